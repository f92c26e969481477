/** A column over software AES, and what is asked of every format. */
import fc from 'fast-check'
import { expect } from 'vitest'

import { FpeError } from '../../src/errors.ts'
import { type ColumnOptions, column } from '../../src/fpe/column.ts'
import type { Format } from '../../src/fpe/format.ts'
import { KeyVersions } from '../../src/fpe/key-versions.ts'
import type { Column } from '../../src/fpe/types.ts'
import { countingAes } from './counting-aes.ts'

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i)

/** A column of one key version. */
export function columnOf(
  format: Format,
  options: Partial<Omit<ColumnOptions, 'format' | 'keys'>> = {},
): Column {
  const versions = { 1: { cipher: countingAes(KEY) } }
  const keys = new KeyVersions({ name: 'test', current: 1, versions })
  return column({ name: 'field', format, keys, ...options })
}

/** All values, none of which may fail. */
export function texts(results: readonly (string | FpeError)[]): string[] {
  return results.map((result) => {
    if (typeof result !== 'string') throw result
    return result
  })
}

/** The error that stands in the place of a value. */
export async function refusal(format: Format, value: string, minDomain = 100): Promise<FpeError> {
  const [result] = await columnOf(format, { minDomain }).encryptEach([value])
  if (!(result instanceof FpeError)) throw new Error('the value was taken')
  // The place and the counts may be named; the value and its longer pieces may not.
  const said = JSON.stringify(result.toJSON())
  for (let at = 0; at + 5 <= value.length; at++) expect(said).not.toContain(value.slice(at, at + 5))
  return result
}

/** Round trip and closure: what comes out passes `check`, which is written without the format. */
export async function behaves(
  format: Format,
  values: fc.Arbitrary<string>,
  check: (output: string, input: string) => void,
  options: Parameters<typeof columnOf>[1] = {},
): Promise<void> {
  const field = columnOf(format, { minDomain: 100, ...options })
  const lists = fc.array(values, { minLength: 1, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(lists, async (list) => {
      const encrypted = texts(await field.encryptEach(list))
      for (const [i, output] of encrypted.entries()) check(output, list[i]!)
      expect(texts(await field.decryptEach(encrypted))).toEqual(list)
      // The other way round, too: decryption is as much a permutation.
      const decrypted = texts(await field.decryptEach(list))
      expect(texts(await field.encryptEach(decrypted))).toEqual(list)
    }),
    { numRuns: 60 },
  )
}

/** Every value of a small set, encrypted: the same set, in another order. */
export async function permutes(format: Format, set: readonly string[]): Promise<void> {
  const encrypted = texts(await columnOf(format, { minDomain: 100 }).encryptEach(set))
  expect(encrypted.toSorted()).toEqual([...set].sort())
  expect(encrypted).not.toEqual(set)
}

/** Decimal digits of a length. */
export const digitsOf = (length: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: length, maxLength: length })
    .map((d) => d.join(''))
