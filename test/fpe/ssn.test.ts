/** Social security numbers: none that is never assigned goes in or comes out. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { type SsnOptions, ssn } from '../../src/fpe/ssn.ts'
import { behaves, columnOf, digitsOf, permutes, refusal, texts } from './format-column.ts'

/** The rules of the Social Security Administration as one expression. */
const ASSIGNED = /^(?!000|666|9)\d{3}(-?)(?!00)\d{2}\1(?!0000)\d{4}$/
const hyphenated = (digits: string): string => digits.replace(/^(...)(..)/, '$1-$2-')

const numbers = digitsOf(9).filter((digits) => ASSIGNED.test(digits))
const written = fc.tuple(numbers, fc.boolean()).map(([n, h]) => (h ? hyphenated(n) : n))

describe('social security numbers', () => {
  it('become numbers that can have been assigned, written alike', async () => {
    await behaves(ssn(), written, (output, input) => {
      expect(output).toMatch(ASSIGNED)
      expect(output.replaceAll(/\d/g, '#')).toBe(input.replaceAll(/\d/g, '#'))
    })
  })

  it('are 888,931,098', () => {
    expect(columnOf(ssn()).domain).toBe(898n * 99n * 9999n)
  })

  it('take the edges of every part', async () => {
    const edges = ['001-01-0001', '665-99-9999', '667-01-0001', '899-99-9999']
    const field = columnOf(ssn())
    expect(texts(await field.decryptEach(texts(await field.encryptEach(edges))))).toEqual(edges)
  })

  it('keep the serial, with a set too small by default', async () => {
    const format = ssn({ keepLast: 4 })
    expect(() => columnOf(format)).toThrow(
      expect.objectContaining({ got: '88902 possible values' }),
    )
    await behaves(format, written, (output, input) => {
      expect(output).toMatch(ASSIGNED)
      expect(output.slice(-4)).toBe(input.slice(-4))
    })
    const areas = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))
    const groups = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'))
    const set = areas
      .flatMap((a) => groups.map((g) => `${a}${g}4321`))
      .filter((n) => ASSIGNED.test(n))
    expect(set).toHaveLength(88_902)
    await permutes(format, set)
  })

  it('take any nine digits where they need not be assigned', async () => {
    const any = fc.tuple(digitsOf(9), fc.boolean()).map(([n, h]) => (h ? hyphenated(n) : n))
    await behaves(ssn({ strict: false }), any, (output, input) => {
      expect(output.replaceAll(/\d/g, '#')).toBe(input.replaceAll(/\d/g, '#'))
    })
  })

  it.each([
    ['000-12-3456', 'FORMAT_MISMATCH'],
    ['666-12-3456', 'FORMAT_MISMATCH'],
    ['900-12-3456', 'FORMAT_MISMATCH'],
    ['999123456', 'FORMAT_MISMATCH'],
    ['123-00-4567', 'FORMAT_MISMATCH'],
    ['123-45-0000', 'FORMAT_MISMATCH'],
    ['123-456-789', 'FORMAT_MISMATCH'],
    ['123 45 6789', 'FORMAT_MISMATCH'],
    ['12345678', 'LENGTH_INVALID'],
    ['123-456789', 'LENGTH_INVALID'],
    ['12345678a', 'SYMBOL_INVALID'],
  ])('%s is refused: %s', async (value, code) => {
    expect(await refusal(ssn(), value)).toMatchObject({ code })
  })

  it.each([{ keepLast: 3 }, { keepFirst: 3 }])('options %j are refused', (options) => {
    expect(() => ssn(options as SsnOptions)).toThrow(ConfigError)
  })
})
