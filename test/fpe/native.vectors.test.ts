/** The official vectors whose halves fit the addon's arithmetic, alone and in mixed batches. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { loadAddon } from '../../src/addon.ts'
import type { FeistelAddon } from '../../src/feistel-addon.ts'
import { NATIVE_HALF_BITS } from '../../src/ports.ts'
import { type Shape, aesOf, expected, recordsOf, sizes, toBatch } from './feistel-oracle.ts'

const addon = loadAddon() as FeistelAddon
const ALL_WELL = { rv: 0, fn: '', invalid: -1, aborted: false, open: false }

interface Vector {
  readonly name: string
  readonly ff3_1: boolean
  readonly key: Uint8Array
  readonly radix: number
  readonly alphabet: string | undefined
  readonly tweak: Uint8Array
  readonly plain: readonly number[]
  readonly cipher: readonly number[]
}

const read = (path: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'vectors', path), 'utf8'))
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const numerals = (text: string, alphabet: string): number[] =>
  Array.from(text, (symbol) => alphabet.indexOf(symbol))
const fits = (radix: number, length: number): boolean =>
  length >= 2 && BigInt(radix) ** BigInt(Math.ceil(length / 2)) <= 1n << BigInt(NATIVE_HALF_BITS)

function nist(): Vector[] {
  const { samples, alphabet36 } = read('nist/ff1samples.json') as {
    alphabet36: string
    samples: { n: number; key: string; radix: number; tweak: string; pt: string; ct: string }[]
  }
  return samples.map(({ n, key, radix, tweak, pt, ct }) => {
    const alphabet = alphabet36.slice(0, radix)
    const [plain, cipher] = [numerals(pt, alphabet), numerals(ct, alphabet)]
    return {
      name: `${n}`,
      ff3_1: false,
      key: hex(key),
      radix,
      alphabet,
      tweak: hex(tweak),
      plain,
      cipher,
    }
  })
}

interface AcvpGroup {
  readonly alphabet: string
  readonly tests: readonly { tcId: number; tweak: string; pt: string; ct: string; key: string }[]
}

function acvp(path: string, ff3_1: boolean): Vector[] {
  const { testGroups } = read(path) as { testGroups: readonly AcvpGroup[] }
  return testGroups.flatMap(({ alphabet, tests }) =>
    tests.map(({ tcId, tweak, pt, ct, key }) => ({
      name: `${tcId}`,
      ff3_1,
      // FF3-1 runs under REVB(K).
      key: ff3_1 ? hex(key).reverse() : hex(key),
      radix: alphabet.length,
      alphabet,
      tweak: hex(tweak),
      plain: numerals(pt, alphabet),
      cipher: numerals(ct, alphabet),
    })),
  )
}

interface WycheproofGroup {
  readonly alphabet?: string
  readonly radix: number
  readonly tests: readonly {
    tcId: number
    key: string
    tweak: string
    msg: string | number[]
    ct: string | number[]
    result: 'valid' | 'invalid'
  }[]
}

function wycheproof(path: string): Vector[] {
  const { testGroups } = read(path) as { testGroups: readonly WycheproofGroup[] }
  return testGroups.flatMap(({ alphabet, radix, tests }) =>
    tests
      .filter(({ result }) => result === 'valid')
      .map(({ tcId, key, tweak, msg, ct }) => ({
        name: `${tcId}`,
        ff3_1: false,
        key: hex(key),
        radix,
        alphabet,
        tweak: hex(tweak),
        plain: typeof msg === 'string' ? numerals(msg, alphabet!) : msg,
        cipher: typeof ct === 'string' ? numerals(ct, alphabet!) : ct,
      })),
  )
}

const SETS: Record<string, { vectors: Vector[]; fit: number }> = {
  'NIST FF1': { vectors: nist(), fit: 9 },
  'ACVP FF1': { vectors: acvp('acvp/ff1.json', false), fit: 1 },
  'ACVP FF3-1': { vectors: acvp('acvp/ff3-1.json', true), fit: 225 },
  ...Object.fromEntries(
    ['radix10', 'base36', 'base64', 'radix256'].map((name) => [
      `Wycheproof ${name}`,
      { vectors: wycheproof(`wycheproof/aes_ff1_${name}_test.json`), fit: 1 },
    ]),
  ),
}

describe.each(Object.entries(SETS))('%s', (_, { vectors, fit }) => {
  const native = vectors.filter(({ radix, plain }) => fits(radix, plain.length))

  it('has vectors that fit', () => {
    expect(native.length).toBeGreaterThanOrEqual(fit)
  })

  it.each([false, true])('one by one, decrypt %s', (decrypt) => {
    for (const { name, ff3_1, key, radix, alphabet, tweak, plain, cipher } of native) {
      const aes = aesOf(key)
      const opened = addon.aesOpen(key)!
      const [from, to] = decrypt ? [cipher, plain] : [plain, cipher]
      for (const form of [alphabet, undefined]) {
        const batch = toBatch(aes, ff3_1, decrypt, [
          { radix, records: [from], tweaks: [tweak], alphabet: form },
        ])
        expect(addon.feistelOnAesSync(opened, 1024, batch), name).toEqual(ALL_WELL)
        expect(recordsOf(batch.groups[0]!, form), name).toEqual([to])
      }
      addon.aesClose(opened)
    }
  })

  it.each([false, true])('in one batch a key, decrypt %s', async (decrypt) => {
    const keys = new Map<string, Vector[]>()
    for (const vector of native) {
      const name = Buffer.from(vector.key).toString('hex')
      keys.set(name, [...(keys.get(name) ?? []), vector])
    }
    for (const mine of keys.values()) {
      const { key, ff3_1 } = mine[0]!
      const opened = addon.aesOpen(key)!
      // Each vector twice, under tweaks of their own, beside a neighbour of another tweak.
      const shapes: Shape[] = mine.map(({ radix, alphabet, tweak, plain, cipher }) => {
        const from = decrypt ? cipher : plain
        return { radix, alphabet, records: [from, from], tweaks: [tweak, tweak.toReversed()] }
      })
      const batch = toBatch(aesOf(key), ff3_1, decrypt, shapes)
      const cancel = new Int32Array(new SharedArrayBuffer(4))
      expect(await addon.feistelOnAes(opened, 7, batch, cancel)).toEqual(ALL_WELL)
      for (const [at, { name, alphabet, plain, cipher, tweak }] of mine.entries()) {
        const [own, other] = recordsOf(batch.groups[at]!, alphabet)
        expect(own, name).toEqual(decrypt ? plain : cipher)
        const shape = {
          ...shapes[at]!,
          records: [shapes[at]!.records[1]!],
          tweaks: [tweak.toReversed()],
        }
        expect([other], name).toEqual(expected(aesOf(key), ff3_1, decrypt, shape))
      }
      addon.aesClose(opened)
    }
  })
})

it('sizes of FF1 are those of the standard’s examples', () => {
  expect(sizes(10, 10)).toEqual({ u: 5, v: 5, b: 3, d: 8 })
  expect(sizes(36, 19)).toEqual({ u: 9, v: 10, b: 7, d: 12 })
})
