/** Card numbers: what is kept, what is refused, and that check digits hold. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError, FpeError } from '../../src/errors.ts'
import { type PanOptions, pan } from '../../src/fpe/pan.ts'
import { behaves, columnOf, digitsOf, permutes, refusal, texts } from './format-column.ts'

/** The check of ISO/IEC 7812-1 Annex B, from the right, as it is usually taught. */
function passesLuhn(number: string): boolean {
  const digits = number.replaceAll(/\D/g, '')
  const sum = Array.from(digits)
    .reverse()
    .reduce((total, text, i) => {
      const value = i % 2 === 0 ? Number(text) : Number(text) * 2
      return total + (value > 9 ? value - 9 : value)
    }, 0)
  return sum % 10 === 0
}
const withCheckDigit = (payload: string): string =>
  `${payload}${Array.from('0123456789').find((digit) => passesLuhn(payload + digit)) ?? ''}`

const data = (text: string): string => text.replaceAll(/[ -]/g, '')
const layout = (text: string): string => text.replaceAll(/\d/g, '#')

/** Groupings of the industry: 4-4-4-4 for 16 digits, 4-6-5 for 15, 4-6-4 for 14. */
const GROUPED = [
  [16, /^(....)(....)(....)(....)$/],
  [15, /^(....)(......)(.....)$/],
  [14, /^(....)(......)(....)$/],
] as const
const grouped = fc
  .tuple(fc.constantFrom(...GROUPED), fc.constantFrom('', ' ', '-'))
  .chain(([[length, groups], separator]) =>
    digitsOf(length).map((digits) => groups.exec(digits)!.slice(1).join(separator)),
  )
const bare = fc.integer({ min: 12, max: 19 }).chain(digitsOf)

describe('card numbers', () => {
  it('stay card numbers of the same length and grouping', async () => {
    await behaves(pan(), fc.oneof(bare, grouped), (output, input) => {
      expect(layout(output)).toBe(layout(input))
    })
  })

  it('keep their ends', async () => {
    await behaves(pan({ keepFirst: 6, keepLast: 4 }), fc.oneof(bare, grouped), (output, input) => {
      expect(layout(output)).toBe(layout(input))
      expect(data(output).slice(0, 6)).toBe(data(input).slice(0, 6))
      expect(data(output).slice(-4)).toBe(data(input).slice(-4))
    })
  })

  const luhn = fc.integer({ min: 11, max: 18 }).chain(digitsOf).map(withCheckDigit)
  it.each<[string, PanOptions]>([
    ['nothing kept', {}],
    ['the check digit kept', { keepLast: 1 }],
    ['ends kept', { keepFirst: 6, keepLast: 4 }],
    ['an odd end kept', { keepFirst: 1, keepLast: 3 }],
  ])('pass the Luhn check, %s', async (_what, options) => {
    const { keepFirst = 0, keepLast = 0 } = options
    const format = pan({ ...options, luhn: true })
    const check = (output: string, input: string): void => {
      expect(passesLuhn(output)).toBe(true)
      expect(output).toHaveLength(input.length)
      expect(output.slice(0, keepFirst)).toBe(input.slice(0, keepFirst))
      expect(output.slice(output.length - keepLast)).toBe(input.slice(input.length - keepLast))
    }
    const values = luhn.filter((number) => number.length - keepFirst - keepLast >= 4)
    await behaves(format, values, check)
  })

  it.each([0, 1, 2])(
    'with check digits are permuted, %d digits kept at the end',
    async (keepLast) => {
      // 3 free digits in the middle, the Luhn digit solved for: 1,000 numbers of 10,000 candidates.
      const keepFirst = 12 - keepLast
      const end = '42'.slice(0, keepLast)
      const start = '400000123456'.slice(0, keepFirst)
      const all = Array.from({ length: 10_000 }, (_, i) => start + String(i).padStart(4, '0') + end)
      const set = all.filter(passesLuhn)
      expect(set).toHaveLength(1000)
      await permutes(pan({ keepFirst, keepLast, luhn: true, digits: 16 }), set)
    },
  )

  it('are bound to what is kept, and not to how they are grouped', async () => {
    const field = columnOf(pan({ keepFirst: 6, keepLast: 4, digits: 16 }))
    const [plain, hyphens, blanks, otherBin, otherEnd] = texts(
      await field.encryptEach([
        '4111111111111111',
        '4111-1111-1111-1111',
        '4111 1111 1111 1111',
        '4111121111111111',
        '4111111111111112',
      ]),
    )
    expect(data(hyphens!)).toBe(plain)
    expect(data(blanks!)).toBe(plain)
    expect(otherBin!.slice(6, 12)).not.toBe(plain!.slice(6, 12))
    expect(otherEnd!.slice(6, 12)).not.toBe(plain!.slice(6, 12))
  })
})

describe('refusals by number of possible values', () => {
  const built = (options: PanOptions): string => {
    try {
      columnOf(pan(options))
      return 'taken'
    } catch (error) {
      if (!(error instanceof FpeError)) throw error
      expect(error.hint).toContain('minDomain')
      return `${error.code} ${error.got}`
    }
  }
  it.each<[string, PanOptions, string]>([
    ['15 digits, first 6 and last 4 kept', { digits: 15, keepFirst: 6, keepLast: 4 }, '100000'],
    ['16 digits, first 8 and last 4 kept', { digits: 16, keepFirst: 8, keepLast: 4 }, '10000'],
    ['as usual, with Luhn', { digits: 16, keepFirst: 6, keepLast: 4, luhn: true }, '100000'],
  ])('%s: when the column is made', (_what, options, size) => {
    expect(built(options)).toBe(`DOMAIN_TOO_SMALL ${size} possible values`)
  })

  it('16 digits, first 6 and last 4 kept, are just enough', () => {
    const options = { digits: 16, keepFirst: 6, keepLast: 4 }
    expect(built(options)).toBe('taken')
    expect(columnOf(pan(options)).domain).toBe(1_000_000n)
  })

  it('each value by its own length', async () => {
    const field = columnOf(pan({ keepFirst: 6, keepLast: 4 }))
    const [card, amex] = await field.encryptEach(['4111111111111111', '378282246310005'])
    expect(card).toMatch(/^411111\d{6}1111$/)
    expect(amex).toMatchObject({
      code: 'DOMAIN_TOO_SMALL',
      got: '100000 possible values',
      index: 1,
    })
  })
})

describe('wrong card numbers', () => {
  it.each([
    ['4111-1111', 'LENGTH_INVALID'],
    ['41111111111', 'LENGTH_INVALID'],
    ['41111111111111111111', 'LENGTH_INVALID'],
    ['', 'LENGTH_INVALID'],
    ['4111-11111111-1111', 'LENGTH_INVALID'],
    ['4111-1111 1111-1111', 'FORMAT_MISMATCH'],
    ['4111_1111_1111_1111', 'SYMBOL_INVALID'],
    ['411111111111111x', 'SYMBOL_INVALID'],
    [' 111111111111111', 'SYMBOL_INVALID'],
    // Full-width digits are no digits.
    ['\uff14111111111111111', 'SYMBOL_INVALID'],
    // U+0120 is the space, a letter further up: no other unit may be taken for a separator.
    ['4111\u01201111\u01201111\u01201111', 'SYMBOL_INVALID'],
  ])('%j: %s', async (value, code) => {
    expect(await refusal(pan(), value)).toMatchObject({ code, index: 0 })
  })

  it('that do not pass the Luhn check', async () => {
    const error = await refusal(pan({ luhn: true }), '4111111111111112')
    expect(error).toMatchObject({ code: 'FORMAT_MISMATCH', hint: expect.stringContaining('luhn') })
  })

  it('are refused when they are to be decrypted, too', async () => {
    const field = columnOf(pan({ luhn: true }))
    const [error] = await field.decryptEach(['4111111111111112'])
    expect(error).toMatchObject({ code: 'FORMAT_MISMATCH' })
  })
})

describe('options', () => {
  it.each([
    { keepfirst: 6 },
    { keepFirst: -1 },
    { keepFirst: 1.5 },
    { keepFirst: 13 },
    { keepFirst: 6, keepLast: 6 },
    { digits: 11 },
    { digits: [16, 20] },
    { digits: [16, 14] },
  ])('%j are refused', (options) => {
    expect(() => pan(options as PanOptions)).toThrow(ConfigError)
  })
})
