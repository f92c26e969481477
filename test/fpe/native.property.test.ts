/** The addon against the standard word for word: any radix, length, tweak, symbol form and chunk. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { loadAddon } from '../../src/addon.ts'
import type { FeistelAddon } from '../../src/feistel-addon.ts'
import { NATIVE_HALF_BITS } from '../../src/ports.ts'
import { type Shape, aesOf, expected, recordsOf, toBatch } from './feistel-oracle.ts'

const addon = loadAddon() as FeistelAddon
const ALL_WELL = { rv: 0, fn: '', invalid: -1, aborted: false, open: false }
const PRINTABLE = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at))

/** Longest value whose halves fit. */
function longest(radix: number): number {
  let half = 1
  while (BigInt(radix) ** BigInt(half + 1) <= 1n << BigInt(NATIVE_HALF_BITS)) half++
  return 2 * half
}

const radixes = fc.oneof(
  fc.constantFrom(2, 3, 10, 16, 26, 36, 62, 64, 94, 95, 255, 256, 257, 65_535, 65_536),
  fc.integer({ min: 2, max: 65_536 }),
)
const lengths = (radix: number) =>
  fc.oneof(
    fc.integer({ min: 2, max: longest(radix) }),
    fc.constantFrom(longest(radix), longest(radix) - 1),
  )

/** Random numerals, and those whose halves are 0 or radix^m - 1. */
const record = (radix: number, length: number): fc.Arbitrary<number[]> => {
  const half = fc.constantFrom(0, radix - 1)
  return fc.oneof(
    fc.array(fc.integer({ min: 0, max: radix - 1 }), { minLength: length, maxLength: length }),
    fc.tuple(half, half).map(([left, right]) => {
      const u = Math.floor(length / 2)
      return [...Array<number>(u).fill(left), ...Array<number>(length - u).fill(right)]
    }),
  )
}

const tweak = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

const alphabetOf = (radix: number): fc.Arbitrary<string | undefined> =>
  radix > PRINTABLE.length
    ? fc.constant(undefined)
    : fc.option(
        fc.oneof(
          fc.constant(PRINTABLE.slice(0, radix).join('')),
          fc.constant(radix === 10 ? '0123456789' : PRINTABLE.slice(-radix).join('')),
          fc
            .shuffledSubarray(PRINTABLE, { minLength: radix, maxLength: radix })
            .map((symbols) => symbols.join('')),
        ),
        { nil: undefined },
      )

const shape = (ff3_1: boolean): fc.Arbitrary<Shape> =>
  radixes
    .chain((radix) => fc.record({ radix: fc.constant(radix), length: lengths(radix) }))
    .chain(({ radix, length }) =>
      fc.record({
        radix: fc.constant(radix),
        words: fc.boolean(),
        alphabet: alphabetOf(radix),
        records: fc.array(record(radix, length), { minLength: 1, maxLength: 12 }),
        tweakLength: ff3_1 ? fc.constant(7) : fc.integer({ min: 0, max: 64 }),
        shared: fc.boolean(),
      }),
    )
    .chain(({ tweakLength, shared, ...rest }) => {
      const count = shared ? 1 : rest.records.length
      return fc
        .array(tweak(tweakLength), { minLength: count, maxLength: count })
        .map((tweaks) => ({ ...rest, tweaks }))
    })

const key = fc
  .constantFrom(16, 24, 32)
  .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }))

describe.each([
  ['FF1', false],
  ['FF3-1', true],
])('%s', (_, ff3_1) => {
  it('mixed groups are encrypted and decrypted as the standard says; inputs stay as they are', async () => {
    const batch = fc.record({
      key,
      shapes: fc.array(shape(ff3_1), { minLength: 1, maxLength: 5 }),
      chunk: fc.constantFrom(1, 2, 3, 7, 1024, 65_536),
      decrypt: fc.boolean(),
      async: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(batch, async ({ key, shapes, chunk, decrypt, async }) => {
        const aes = aesOf(key)
        const opened = addon.aesOpen(key)!
        const native = toBatch(aes, ff3_1, decrypt, shapes)
        const before = native.groups.map(({ input, tweaks }) => [input.slice(), tweaks.slice()])
        const cancel = new Int32Array(new SharedArrayBuffer(4))
        const outcome = async
          ? await addon.feistelOnAes(opened, chunk, native, cancel)
          : addon.feistelOnAesSync(opened, chunk, native)
        addon.aesClose(opened)
        expect(outcome).toEqual(ALL_WELL)
        for (const [at, group] of native.groups.entries()) {
          const { alphabet } = shapes[at]!
          expect(recordsOf(group, alphabet)).toEqual(expected(aes, ff3_1, decrypt, shapes[at]!))
          expect([group.input, group.tweaks]).toEqual(before[at])
        }
      }),
      { numRuns: 400 },
    )
  })

  it('decryption undoes encryption, over thousands of records', () => {
    const opened = addon.aesOpen(new Uint8Array(32))!
    const aes = aesOf(new Uint8Array(32))
    fc.assert(
      fc.property(shape(ff3_1), fc.constantFrom(1000, 1024), (one, chunk) => {
        const records = Array.from(
          { length: 2500 },
          (_, at) => one.records[at % one.records.length]!,
        )
        const [there] = toBatch(aes, ff3_1, false, [
          { ...one, records, tweaks: [one.tweaks[0]!] },
        ]).groups
        expect(
          addon.feistelOnAesSync(opened, chunk, { ff3_1, decrypt: false, groups: [there!] }),
        ).toEqual(ALL_WELL)
        const back = { ...there!, input: there!.output, output: there!.output.slice().fill(1) }
        expect(
          addon.feistelOnAesSync(opened, chunk, { ff3_1, decrypt: true, groups: [back] }),
        ).toEqual(ALL_WELL)
        expect(back.output).toEqual(there!.input)
      }),
      { numRuns: 60 },
    )
    addon.aesClose(opened)
  })
})

it('on a small domain it is a permutation', () => {
  const opened = addon.aesOpen(new Uint8Array(16))!
  const aes = aesOf(new Uint8Array(16))
  for (const [radix, length, ff3_1] of [
    [10, 3, false],
    [7, 4, false],
    [10, 3, true],
    [2, 11, true],
  ] as const) {
    const total = radix ** length
    const all = Array.from({ length: total }, (_, value) =>
      Array.from({ length }, (_, at) => Math.floor(value / radix ** at) % radix),
    )
    const batch = toBatch(aes, ff3_1, false, [{ radix, records: all, tweaks: [new Uint8Array(7)] }])
    expect(addon.feistelOnAesSync(opened, 1024, batch)).toEqual(ALL_WELL)
    const images = recordsOf(batch.groups[0]!)
    expect(images.flat().every((numeral) => numeral < radix)).toBe(true)
    expect(new Set(images.map(String)).size).toBe(total)
  }
  addon.aesClose(opened)
})

describe('a symbol outside its alphabet', () => {
  it('is reported with the record’s index over all groups, and nothing of its chunk is written', () => {
    const opened = addon.aesOpen(new Uint8Array(16))!
    const aes = aesOf(new Uint8Array(16))
    const forms = fc.constantFrom<Omit<Shape, 'records' | 'tweaks'>>(
      { radix: 10 },
      { radix: 10, alphabet: '0123456789' },
      { radix: 10, words: true },
      { radix: 10, alphabet: 'abcdefghij' },
      { radix: 62, alphabet: PRINTABLE.filter((one) => /[0-9A-Za-z]/.test(one)).join('') },
      { radix: 36 },
      { radix: 300 },
    )
    const records = (length: number, count: number) =>
      Array<number[]>(count).fill(Array<number>(length).fill(1))
    fc.assert(
      fc.property(
        forms,
        fc.boolean(),
        fc.integer({ min: 2, max: 24 }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(),
        fc.nat(),
        (form, ff3_1, wanted, count, place, wrong) => {
          const length = Math.min(wanted, longest(form.radix))
          const tweaks = [new Uint8Array(7)]
          const before = { radix: 5, records: records(4, 9), tweaks }
          const batch = toBatch(aes, ff3_1, false, [
            before,
            { ...form, records: records(length, count), tweaks },
          ])
          const { input, output } = batch.groups[1]!
          const largest = input instanceof Uint16Array ? 0xffff : 0xff
          const valid = form.alphabet === undefined ? form.radix : 0
          let symbol = valid + (wrong % (largest + 1 - valid))
          if (form.alphabet?.includes(String.fromCharCode(symbol)) === true) symbol = 0xb0
          input[place % input.length] = symbol
          const index = 9 + Math.floor((place % input.length) / length)
          expect(addon.feistelOnAesSync(opened, 65_536, batch)).toEqual({
            ...ALL_WELL,
            invalid: index,
          })
          expect(output.every((one) => one === 0)).toBe(true)
          expect(batch.groups[0]!.output.every((one) => one === 0)).toBe(true)
        },
      ),
      { numRuns: 1000 },
    )
    addon.aesClose(opened)
  })
})
