/**
 * The official vectors under software keys: NIST, ACVP FF1 and FF3-1, Wycheproof FF1; one by one and in mixed
 * batches, by native rounds and by TypeScript rounds, both directions; through the forms for text as well.
 * Wycheproof's invalid cases end in a typed error; its domains below 1,000,000 need the opt-out.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { fromHex } from '../../src/bytes.ts'
import { FpeError } from '../../src/errors.ts'
import { radixAlphabet } from '../../src/fpe/alphabet.ts'
import { alphabet, ff1, ff3_1, runRecords, softwareAes } from '../../src/fpe/index.ts'
import type { Direction, FpeRecord, Method } from '../../src/fpe/index.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { countingAes } from './counting-aes.ts'
import { type Vector, vectorSets } from './vector-sets.ts'

const DIRECTIONS: readonly Direction[] = ['encrypt', 'decrypt']

/** Where rounds run. */
const PATHS: Readonly<Record<string, (key: Uint8Array, method: Method) => BlockCipher>> = {
  TypeScript: (key, method) => countingAes(key, { reversed: method === 'FF3-1' }),
  native: (key, method) => softwareAes(key, { reversed: method === 'FF3-1' }),
}

/** What stands beside a vector in its batch: other radixes, lengths and tweaks. */
const others = (method: Method): FpeRecord[] =>
  [
    [10, 16],
    [36, 20],
    [256, 5],
    [2, 100],
  ].map(([radix = 0, length = 0], i) => ({
    ...{ radix, numerals: Uint16Array.from({ length }, (_, at) => (at + i) % radix) },
    tweak: new Uint8Array(method === 'FF1' ? i * 9 : 7).fill(i),
  }))

const recordOf = ({ radix, tweak, ...vector }: Vector, direction: Direction): FpeRecord => ({
  ...{ radix, tweak, numerals: direction === 'encrypt' ? vector.plaintext : vector.ciphertext },
})
const resultOf = (vector: Vector, direction: Direction): Uint16Array =>
  direction === 'encrypt' ? vector.ciphertext : vector.plaintext

it('native rounds are there', () => {
  expect(softwareAes(new Uint8Array(16)).feistel).toBeTypeOf('function')
})

describe.each(Object.entries(PATHS))('%s rounds', (_name, open) => {
  it.each(vectorSets())('$name, $vectors vectors, one by one', async ({ vectors, byKey }) => {
    let checked = 0
    for (const [key, list] of byKey()) {
      const method = list[0]!.method
      const cipher = open(key, method)
      for (const vector of list) {
        for (const direction of DIRECTIONS) {
          const record = recordOf(vector, direction)
          const [result] = await runRecords(cipher, method, direction, [record])
          expect(result).toEqual(resultOf(vector, direction))
        }
        checked++
      }
    }
    expect(checked).toBe(vectors)
    expect(checked).toBeGreaterThan(0)
  })

  it.each(vectorSets())('$name, $vectors vectors, in mixed batches', async ({ vectors, byKey }) => {
    let checked = 0
    for (const [key, list] of byKey()) {
      const method = list[0]!.method
      const cipher = open(key, method)
      for (const direction of DIRECTIONS) {
        const beside = others(method)
        const records = [...beside, ...list.map((vector) => recordOf(vector, direction)), ...beside]
        const results = await runRecords(cipher, method, direction, records)
        expect(results.slice(beside.length, -beside.length)).toEqual(
          list.map((vector) => resultOf(vector, direction)),
        )
      }
      checked += list.length
    }
    expect(checked).toBe(vectors)
  })
})

const VECTORS = join(import.meta.dirname, '..', 'vectors')
const read = (path: string): unknown => JSON.parse(readFileSync(join(VECTORS, path), 'utf8'))

describe('ACVP, as text over its own alphabets', () => {
  it.each(['ff1', 'ff3-1'] as const)('%s', async (file) => {
    const { testGroups } = read(`acvp/${file}.json`) as {
      testGroups: {
        direction: string
        alphabet: string
        tests: { key: string; tweak: string; pt: string; ct: string }[]
      }[]
    }
    let checked = 0
    for (const { alphabet: symbols, tests } of testGroups) {
      for (const { key, tweak, pt, ct } of tests) {
        const bytes = fromHex(key.toLowerCase())
        const use = { tweak: fromHex(tweak.toLowerCase()) }
        const one = alphabet(symbols)
        const cipher =
          file === 'ff1'
            ? ff1({ key: softwareAes(bytes), alphabet: one })
            : ff3_1({
                key: softwareAes(bytes, { reversed: true }),
                ...{ alphabet: one, allowNonApproved: true, allowEncrypt: true },
              })
        expect(await cipher.encrypt(pt, use)).toBe(ct)
        expect(await cipher.decryptMany([ct, pt, ct], use)).toEqual([
          ...[pt, await cipher.decrypt(pt, use), pt],
        ])
        checked++
      }
    }
    expect(checked).toBe(testGroups.length * 25)
  })
})

interface WycheproofGroup {
  readonly alphabet?: string
  readonly radix: number
  readonly msgSize: number
  readonly tests: readonly {
    readonly tcId: number
    readonly flags: readonly string[]
    readonly key: string
    readonly tweak: string
    readonly msg: string | number[]
    readonly ct: string | number[]
    readonly result: 'valid' | 'invalid'
  }[]
}

describe('Wycheproof, through the public forms', () => {
  it.each(['base36', 'base64', 'radix10', 'radix256'])('%s', async (file) => {
    const { testGroups, numberOfTests } = read(`wycheproof/aes_ff1_${file}_test.json`) as {
      testGroups: readonly WycheproofGroup[]
      numberOfTests: number
    }
    const seen = { valid: 0, small: 0, invalid: 0 }
    for (const { alphabet: symbols, radix, tests } of testGroups) {
      const one = symbols === undefined ? radixAlphabet(radix) : alphabet(symbols)
      for (const { tcId, flags, key, tweak, msg, ct, result } of tests) {
        /** Both directions of a case. */
        const run = async (minDomain?: number): Promise<[unknown, unknown]> => {
          const cipher = ff1({
            key: softwareAes(fromHex(key)),
            ...{ alphabet: one, ...(minDomain !== undefined && { minDomain }) },
          })
          const use = { tweak: fromHex(tweak) }
          if (typeof msg === 'string') {
            const there = await cipher.encrypt(msg, use)
            return [there, await cipher.decrypt(ct as string, use)]
          }
          return [
            Array.from(await cipher.encryptNumerals(msg, use)),
            Array.from(await cipher.decryptNumerals(ct as number[], use)),
          ]
        }
        const outcome = await run().catch((error: unknown) => error)
        if (result === 'invalid') {
          expect(outcome, `case ${tcId}`).toBeInstanceOf(FpeError)
          expect(['KEY_INVALID', 'LENGTH_INVALID', 'SYMBOL_INVALID', 'DOMAIN_TOO_SMALL']).toContain(
            (outcome as FpeError).code,
          )
          seen.invalid++
        } else if (BigInt(radix) ** BigInt(msg.length) < 1_000_000n) {
          expect(flags).toContain('SmallMessageSize')
          expect(outcome, `case ${tcId}`).toMatchObject({ code: 'DOMAIN_TOO_SMALL' })
          expect(await run(100), `case ${tcId}`).toEqual([ct, msg])
          seen.small++
        } else {
          expect(outcome, `case ${tcId}`).toEqual([ct, msg])
          seen.valid++
        }
      }
    }
    expect(seen.valid + seen.small + seen.invalid).toBe(numberOfTests)
    expect(seen.invalid).toBeGreaterThan(200)
    expect(seen.valid).toBeGreaterThan(1000)
  })
})
