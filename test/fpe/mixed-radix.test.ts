/** Power domains for sets of any size, and integers as records of them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { MixedRadix, domainFor, fromNumerals, toNumerals } from '../../src/fpe/mixed-radix.ts'

const power = ({ radix, length }: { radix: number; length: number }): bigint =>
  BigInt(radix) ** BigInt(length)

describe('domainFor', () => {
  it.each([
    [100n, 10, 2],
    [101n, 11, 2],
    [36_525n, 192, 2],
    [888_931_098n, 29_815, 2],
    [2n ** 32n, 65_536, 2],
    [2n ** 32n + 1n, 1626, 3],
    [2n ** 48n, 65_536, 3],
    // 122 is 2 * 61 and 61 is prime: the only exact powers are those of 2 and 4.
    [2n ** 122n, 4, 61],
    [10n ** 12n, 10_000, 3],
  ])('%s elements: radix %s, %s symbols', (size, radix, length) => {
    expect(domainFor(size)).toMatchObject({ radix, length, size })
  })

  it('holds the set, with more than four fifths of it inside', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 100n, max: 2n ** 400n }), (size) => {
        const domain = domainFor(size)
        expect(power(domain)).toBeGreaterThanOrEqual(size)
        expect(size * 5n).toBeGreaterThan(power(domain) * 4n)
        expect(domain.radix).toBeLessThanOrEqual(65_536)
        expect(domain.length).toBeGreaterThanOrEqual(2)
        expect(domain.bound === undefined).toBe(power(domain) === size)
        if (domain.bound !== undefined) {
          expect(fromNumerals(domain.bound, domain.radix)).toBe(size)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('is found at once for sets of thousands of bits', () => {
    const size = 36n ** 3000n + 1n
    const domain = domainFor(size)
    expect(power(domain)).toBeGreaterThan(size)
  })
})

describe('numerals', () => {
  it('are the integer, on either side of 2^53', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 100n, max: 2n ** 130n }), fc.nat(), (size, seed) => {
        const domain = domainFor(size)
        const index = (BigInt(seed) * 0x9e37_79b9_7f4a_7c15_f39c_c060n) % size
        const numerals = toNumerals(index, domain)
        expect(numerals).toHaveLength(domain.length)
        expect(fromNumerals(numerals, domain.radix)).toBe(index)
      }),
    )
  })

  it('of digits of different radixes come back as these digits', () => {
    const place = fc
      .integer({ min: 2, max: 65_536 })
      .chain((radix) => fc.tuple(fc.constant(radix), fc.nat({ max: radix - 1 })))
    fc.assert(
      fc.property(fc.array(place, { minLength: 1, maxLength: 30 }), (places) => {
        const mixed = new MixedRadix(places.map(([radix]) => radix))
        const digits = places.map(([, digit]) => digit)
        expect([...mixed.toDigits(mixed.toNumerals(digits))]).toEqual(digits)
      }),
    )
  })
})
