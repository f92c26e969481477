/** Integers between bounds. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { type IntegerOptions, integer } from '../../src/fpe/integer.ts'
import { behaves, columnOf, permutes, refusal } from './format-column.ts'

describe('integers', () => {
  it.each<[number | string, number | string]>([
    [0, 2_999_999],
    [-1_000_000, 1_000_000],
    ['-170141183460469231731687303715884105728', '170141183460469231731687303715884105727'],
  ])('stay between %s and %s', async (min, max) => {
    const values = fc.bigInt({ min: BigInt(min), max: BigInt(max) }).map(String)
    await behaves(integer({ min, max }), values, (output) => {
      expect(BigInt(output) >= BigInt(min) && BigInt(output) <= BigInt(max)).toBe(true)
      expect(String(BigInt(output))).toBe(output)
    })
  })

  it('of a width keep it', async () => {
    const values = fc.integer({ min: 7, max: 5_000_000 }).map((n) => String(n).padStart(9, '0'))
    await behaves(integer({ min: 7, max: 5_000_000, width: 9 }), values, (output) => {
      expect(output).toMatch(/^\d{9}$/)
      expect(Number(output)).toBeGreaterThanOrEqual(7)
      expect(Number(output)).toBeLessThanOrEqual(5_000_000)
    })
  })

  it('of a small range are permuted', async () => {
    const set = Array.from({ length: 331 }, (_, i) => String(i - 100))
    await permutes(integer({ min: -100, max: 230 }), set)
  })

  it('are refused by number', () => {
    expect(() => columnOf(integer({ min: 1, max: 999_999 }))).toThrow(
      expect.objectContaining({ code: 'DOMAIN_TOO_SMALL', got: '999999 possible values' }),
    )
    expect(columnOf(integer({ min: 0, max: 999_999 })).domain).toBe(1_000_000n)
  })

  it.each([
    ['-1', 'FORMAT_MISMATCH'],
    ['1000000', 'LENGTH_INVALID'],
    ['007', 'FORMAT_MISMATCH'],
    ['-0', 'FORMAT_MISMATCH'],
    ['+5', 'FORMAT_MISMATCH'],
    ['1e5', 'FORMAT_MISMATCH'],
    ['0x10', 'FORMAT_MISMATCH'],
    [' 5', 'FORMAT_MISMATCH'],
    ['', 'FORMAT_MISMATCH'],
    ['100000000', 'LENGTH_INVALID'],
  ])('%j is refused: %s', async (value, code) => {
    expect(await refusal(integer({ min: 0, max: 999_999 }), value)).toMatchObject({ code })
  })

  it.each([
    { min: 5, max: 5 },
    { min: 0, max: 1.5 },
    { min: 0, max: 2 ** 60 },
    { min: '00', max: '10' },
    { min: -5, max: 500, width: 3 },
    { min: 0, max: 1000, width: 3 },
    { min: 0, max: 1000, step: 2 },
  ])('options %j are refused', (options) => {
    expect(() => integer(options as IntegerOptions)).toThrow(ConfigError)
  })
})
