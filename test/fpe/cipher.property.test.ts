/** What holds for all values: permutation, round trip, closure; TypeScript and native rounds agree; batch equals single. */
import { createHash, randomBytes } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { radixAlphabet } from '../../src/fpe/alphabet.ts'
import { alphabet, alphabets, ff1, ff3_1, runRecords, softwareAes } from '../../src/fpe/index.ts'
import type { Alphabet, FpeCipher, FpeRecord, Method } from '../../src/fpe/index.ts'
import { maxLength, minLength } from '../../src/fpe/parameters.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { countingAes } from './counting-aes.ts'

const key = randomBytes(32)
const methods: readonly Method[] = ['FF1', 'FF3-1']

/** Both ways to run rounds. */
const ciphers = (method: Method): Record<'native' | 'typescript', BlockCipher> => ({
  native: softwareAes(key, { reversed: method === 'FF3-1' }),
  typescript: countingAes(key, { reversed: method === 'FF3-1' }),
})

function fpe(method: Method, cipher: BlockCipher, symbols: Alphabet): FpeCipher {
  const options = { alphabet: symbols, minDomain: 100 }
  return method === 'FF1'
    ? ff1({ key: cipher, ...options })
    : ff3_1({ key: cipher, ...options, allowNonApproved: true, allowEncrypt: true })
}

describe.each(methods)('%s permutes every value of', (method) => {
  const domains: readonly [string, Alphabet, number][] = [
    ['two digits', alphabets.digits, 2],
    ['three digits', alphabets.digits, 3],
    ['seven bits', alphabets.binary, 7],
    ['thirteen bits', alphabets.binary, 13],
    ['two of radix 100', radixAlphabet(100), 2],
    ['three of radix 17', radixAlphabet(17), 3],
  ]
  it.each(domains)('%s', async (_name, symbols, length) => {
    const { radix } = symbols
    const size = radix ** length
    const all = Array.from({ length: size }, (_, value): FpeRecord => {
      const numerals = Uint16Array.from(
        { length },
        (__, at) => Math.floor(value / radix ** (length - 1 - at)) % radix,
      )
      return { radix, numerals, tweak: new Uint8Array(7).fill(1) }
    })
    const value = (numerals: Uint16Array): number =>
      numerals.reduce((sum, numeral) => sum * radix + numeral, 0)
    for (const cipher of Object.values(ciphers(method))) {
      const there = await runRecords(cipher, method, 'encrypt', all)
      expect(new Set(there.map(value)).size).toBe(size)
      expect(Math.max(...there.map(value))).toBe(size - 1)
      const records = there.map((numerals, i) => ({ ...all[i]!, numerals }))
      const back = await runRecords(cipher, method, 'decrypt', records)
      expect(back.map(value)).toEqual(all.map((_, i) => i))
    }
  })
})

/** Any record the method takes; mostly short ones, and all edges of native rounds. */
const anyRecord = (method: Method): fc.Arbitrary<FpeRecord> =>
  fc
    .oneof(
      fc.constantFrom(2, 10, 16, 26, 36, 62, 64, 255, 256, 257, 65_535, 65_536),
      fc.integer({ min: 2, max: 65_536 }),
    )
    .chain((radix) => {
      const shortest = minLength(radix, 100)
      const longest = Math.min(maxLength(method, radix), 210)
      return fc
        .oneof(
          fc.integer({ min: shortest, max: Math.min(longest, shortest + 20) }),
          fc.integer({ min: shortest, max: longest }),
        )
        .chain((length) =>
          fc.record({
            radix: fc.constant(radix),
            numerals: fc
              .array(fc.oneof(fc.nat(radix - 1), fc.constantFrom(0, radix - 1)), {
                minLength: length,
                maxLength: length,
              })
              .map((list) => Uint16Array.from(list)),
            tweak:
              method === 'FF1'
                ? fc.uint8Array({ maxLength: 40 })
                : fc.uint8Array({ minLength: 7, maxLength: 7 }),
          }),
        )
    })

describe.each(methods)('%s on mixed records', (method) => {
  it('natively is what it is in TypeScript, batch equals single, and back again', async () => {
    const { native, typescript } = ciphers(method)
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRecord(method), { minLength: 1, maxLength: 25 }),
        fc.boolean(),
        async (some, repeat) => {
          // Records that share shape and tweak go into one group.
          const records = repeat ? some.flatMap((record) => [record, record, record]) : some
          const there = await runRecords(native, method, 'encrypt', records)
          expect(await runRecords(typescript, method, 'encrypt', records)).toEqual(there)
          const [first] = await runRecords(native, method, 'encrypt', records.slice(0, 1))
          expect(first).toEqual(there[0])
          for (const [i, { radix, numerals }] of records.entries()) {
            expect(there[i]).toHaveLength(numerals.length)
            expect(there[i]!.every((numeral) => numeral < radix)).toBe(true)
          }
          const back = there.map((numerals, i) => ({ ...records[i]!, numerals }))
          const plain = records.map(({ numerals }) => numerals)
          expect(await runRecords(native, method, 'decrypt', back)).toEqual(plain)
          expect(await runRecords(typescript, method, 'decrypt', back)).toEqual(plain)
        },
      ),
      { numRuns: 300 },
    )
  }, 120_000)
})

describe.each(methods)('%s on text', (method) => {
  const shuffled = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).toSorted(
    (a, b) =>
      createHash('md5').update(a).digest('hex') < createHash('md5').update(b).digest('hex')
        ? -1
        : 1,
  )
  const symbols: readonly Alphabet[] = [
    ...Object.values(alphabets),
    alphabet(shuffled),
    alphabet('αβγδεζηθικλμνξοπρστυφχψω'),
    alphabet(['\u{1F468}', '\u{1F468}\u200D\u{1F469}', 'é', 'e', '\u{1F1E9}\u{1F1EA}']),
  ]
  it('natively is what it is in TypeScript, many equal one, stays in the alphabet, and comes back', async () => {
    const { native, typescript } = ciphers(method)
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...symbols),
        fc.array(fc.array(fc.nat(93), { minLength: 7, maxLength: 28 }), {
          minLength: 1,
          maxLength: 30,
        }),
        fc.array(fc.uint8Array({ minLength: 7, maxLength: 7 }), { minLength: 1, maxLength: 3 }),
        async (one, lists, some) => {
          const values = lists.map((list) => one.decode(list.map((numeral) => numeral % one.radix)))
          const tweaks = values.map((_, i) => some[i % some.length]!)
          const own = some.length === 1 ? { tweak: some[0]! } : { tweaks }
          const a = fpe(method, native, one)
          const b = fpe(method, typescript, one)
          const there = await a.encryptMany(values, own)
          expect(await b.encryptMany(values, own)).toEqual(there)
          expect(there.map((value) => one.encode(value).length)).toEqual(
            values.map((value) => one.encode(value).length),
          )
          expect(await a.decryptMany(there, own)).toEqual(values)
          expect(await b.decryptMany(there, own)).toEqual(values)
          const single = await Promise.all(
            values.map((value, i) => a.encrypt(value, { tweak: tweaks[i]! })),
          )
          expect(single).toEqual(there)
        },
      ),
      { numRuns: 150 },
    )
  }, 120_000)
})
