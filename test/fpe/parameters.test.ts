/** Exact parameters, limits and costs, against the definitions and the table of published lengths. */
import { describe, expect, it } from 'vitest'

import { costOf } from '../../src/fpe/index.ts'
import { checkShape, maxLength, minLength, shapeOf } from '../../src/fpe/parameters.ts'
import { thrownCode } from '../error-code.ts'

describe('FF1 parameters', () => {
  it('are the smallest byte counts that hold a half', () => {
    for (const radix of [
      2, 3, 4, 7, 8, 10, 16, 26, 32, 36, 62, 64, 128, 255, 256, 1024, 65_535, 65_536,
    ]) {
      for (let n = 20; n < 300; n++) {
        const { ff1 } = shapeOf('FF1', radix, n, 0)
        const { u, v, b, d, q, k } = ff1!
        expect(u + v).toBe(n)
        expect(v - u).toBe(n % 2)
        const largest = BigInt(radix) ** BigInt(v) - 1n
        expect(largest < 256n ** BigInt(b) && largest >= 256n ** BigInt(b - 1)).toBe(true)
        expect(d % 4 === 0 && d >= b + 4 && d < b + 8).toBe(true)
        expect(q).toBe(k)
      }
    }
  })

  it('spell P', () => {
    const P = shapeOf('FF1', 65_536, 1024, 300).ff1?.P
    expect(P).toEqual(Uint8Array.of(1, 2, 1, 1, 0, 0, 10, 0, 0, 0, 4, 0, 0, 0, 1, 44))
  })

  it('are computed once per shape', () => {
    expect(shapeOf('FF1', 10, 16, 8)).toBe(shapeOf('FF1', 10, 16, 8))
    expect(shapeOf('FF1', 10, 16, 9)).not.toBe(shapeOf('FF1', 10, 16, 8))
  })

  it('go to native rounds while a half fits 96 bits', () => {
    const longest = (radix: number): number => {
      let n = 20
      while (shapeOf('FF1', radix, n + 1, 0).native) n++
      return n
    }
    // 2^96 holds 28 decimal digits, 48 of radix 4, 16 of radix 62 and 64, 12 bytes, 6 of radix 65,536.
    expect([2, 4, 10, 62, 64, 256].map(longest)).toEqual([192, 96, 56, 32, 32, 24])
    expect([12, 13].map((n) => shapeOf('FF1', 65_536, n, 0).native)).toEqual([true, false])
    expect(shapeOf('FF3-1', 10, 56, 7).native).toBe(true)
  })
})

describe('limits', () => {
  it('of FF3-1 are 2 * floor(log_radix(2^96))', () => {
    const radixes = [2, 10, 26, 36, 62, 64, 256, 65_536]
    expect(radixes.map((radix) => maxLength('FF3-1', radix))).toEqual([
      192, 56, 40, 36, 32, 32, 24, 12,
    ])
  })

  it('of a domain of a million are the published lengths', () => {
    const radixes = [2, 8, 10, 16, 26, 32, 95, 100, 256, 999, 1000, 65_536]
    expect(radixes.map((radix) => minLength(radix, 1_000_000))).toEqual([
      20, 7, 6, 5, 5, 4, 4, 3, 3, 3, 2, 2,
    ])
  })

  it('refuse what the standard does not define', () => {
    expect(thrownCode(() => checkShape('FF1', 1, 8, 0))).toBe('RADIX_INVALID')
    expect(thrownCode(() => checkShape('FF1', 65_537, 8, 0))).toBe('RADIX_INVALID')
    expect(thrownCode(() => checkShape('FF1', 10.5, 8, 0))).toBe('RADIX_INVALID')
    expect(thrownCode(() => checkShape('FF1', 1000, 1, 0))).toBe('LENGTH_INVALID')
    expect(thrownCode(() => checkShape('FF1', 10, 0, 0))).toBe('LENGTH_INVALID')
    expect(thrownCode(() => checkShape('FF1', 10, 4097, 0))).toBe('LENGTH_INVALID')
    expect(thrownCode(() => checkShape('FF3-1', 10, 57, 7))).toBe('LENGTH_INVALID')
    expect(thrownCode(() => checkShape('FF1', 2, 6, 0))).toBe('DOMAIN_TOO_SMALL')
    expect(thrownCode(() => checkShape('FF1', 2, 7, 0))).toBe('none')
    expect(thrownCode(() => checkShape('FF1', 10, 5, 0, 1_000_000))).toBe('DOMAIN_TOO_SMALL')
    expect(thrownCode(() => checkShape('FF1', 10, 8, 4097))).toBe('TWEAK_INVALID')
    expect([6, 7, 8].map((t) => thrownCode(() => checkShape('FF3-1', 10, 8, t)))).toEqual([
      'TWEAK_INVALID',
      'none',
      'TWEAK_INVALID',
    ])
  })

  it('hold for shapes that share a number with one that is kept', () => {
    shapeOf('FF1', 10, 16, 8)
    expect(thrownCode(() => shapeOf('FF1', 10, 15, 8 + 8192))).toBe('TWEAK_INVALID')
    expect(thrownCode(() => shapeOf('FF1', 9, 16 + 8192, 8))).toBe('LENGTH_INVALID')
    expect(thrownCode(() => shapeOf('FF1', 10 - 1 / 8192, 17, 8))).toBe('RADIX_INVALID')
  })
})

describe('costs', () => {
  /** Radix, length, bytes of tweak; calls per batch, blocks per value. */
  const table: readonly [number, number, number, number, number][] = [
    [10, 16, 0, 10, 10],
    [10, 16, 11, 10, 10],
    [10, 9, 11, 10, 10],
    [10, 6, 11, 10, 10],
    [10, 16, 12, 11, 11],
    [10, 16, 27, 11, 11],
    [10, 16, 32, 12, 12],
    [36, 32, 4, 10, 10],
    [36, 32, 8, 11, 11],
    [62, 32, 3, 10, 10],
    [62, 32, 8, 11, 11],
    [10, 56, 0, 10, 10],
    [10, 58, 0, 20, 20],
    [10, 100, 0, 30, 30],
    [64, 40, 8, 21, 21],
    [65_536, 12, 0, 10, 10],
    [65_536, 14, 0, 20, 20],
    [62, 64, 8, 31, 31],
  ]
  it.each(table)('of radix %i, %i symbols, %i bytes of tweak', (radix, n, t, calls, blocks) => {
    expect(costOf('FF1', radix, n, t)).toMatchObject({
      callsPerBatch: calls,
      blocksPerValue: blocks,
      callsOnce: 1,
    })
  })

  it('of FF3-1 are eight', () => {
    expect(costOf('FF3-1', 10, 56)).toEqual({
      ...{ callsPerBatch: 8, blocksPerValue: 8, callsOnce: 0, tweakCalls: 0 },
    })
  })
})
