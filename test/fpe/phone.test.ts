/** Telephone numbers: the country stays, everything else is as declared. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { COUNTRY_CODES } from '../../src/fpe/phone-codes.ts'
import { type PhoneOptions, phone } from '../../src/fpe/phone.ts'
import { behaves, columnOf, digitsOf, refusal, texts } from './format-column.ts'

describe('country codes', () => {
  it('begin no other code', () => {
    for (const code of COUNTRY_CODES) {
      for (let length = 1; length < code.length; length++) {
        expect(COUNTRY_CODES.has(code.slice(0, length))).toBe(false)
      }
    }
  })

  it('are those of ITU-T E.164', () => {
    // The 215 of libphonenumber (888 among them, which is withdrawn) and 379, the Vatican's, not in use.
    expect(COUNTRY_CODES.size).toBe(216)
    for (const code of ['1', '7', '44', '49', '358', '420', '800', '882', '998']) {
      expect(COUNTRY_CODES).toContain(code)
    }
    for (const spare of ['0', '21', '210', '28', '37', '384', '42', '83', '89', '999']) {
      expect(COUNTRY_CODES).not.toContain(spare)
    }
  })
})

const number = fc.constantFrom(...COUNTRY_CODES).chain((code) =>
  fc
    .integer({ min: 6, max: 15 - code.length })
    .chain(digitsOf)
    .map((rest) => ({ code, rest })),
)
const separate = (text: string, seed: number): string =>
  Array.from(text, (digit, i) => ((seed >> i) & 1 ? `${digit}${' -.'[i % 3] ?? ''}` : digit)).join(
    '',
  )

describe('telephone numbers', () => {
  it('keep plus sign, country code and separators', async () => {
    const values = fc
      .tuple(number, fc.nat({ max: 1023 }))
      .map(([{ code, rest }, seed]) => `+${code} ${separate(rest, seed)}`)
    await behaves(phone({ separators: ' -.' }), values, (output, input) => {
      expect(output.replaceAll(/\d/g, '#')).toBe(input.replaceAll(/\d/g, '#'))
      expect(output.split(' ')[0]).toBe(input.split(' ')[0])
    })
  })

  it('keep digits at either end of the national number', async () => {
    const values = number
      .filter(({ rest }) => rest.length >= 8)
      .map(({ code, rest }) => `+${code}${rest}`)
    const codeOf = (text: string): string =>
      [...COUNTRY_CODES].find((c) => text.startsWith(`+${c}`))!
    await behaves(phone({ keepFirst: 3, keepLast: 2 }), values, (output, input) => {
      const kept = 1 + codeOf(input).length + 3
      expect(output.slice(0, kept)).toBe(input.slice(0, kept))
      expect(output.slice(-2)).toBe(input.slice(-2))
    })
  })

  it('without country code on request', async () => {
    const values = fc.integer({ min: 6, max: 15 }).chain(digitsOf)
    await behaves(phone({ national: true }), values, (output, input) => {
      expect(output).toMatch(/^\d+$/)
      expect(output).toHaveLength(input.length)
    })
  })

  it('encrypt alike however they are separated, and not alike in two countries', async () => {
    const field = columnOf(phone({ separators: ' -()', national: true }))
    const [a, b, c, d] = texts(
      await field.encryptEach([
        '+49 171 2345678',
        '+49-(171)-2345678',
        '+43 171 2345678',
        '1712345678',
      ]),
    ).map((text) => text.replaceAll(/\D/g, '').slice(-10))
    expect(b).toBe(a)
    expect(new Set([a, c, d]).size).toBe(3)
  })

  it.each([
    ['+4917x2345678', 'FORMAT_MISMATCH'],
    ['+49 171 2345678', 'FORMAT_MISMATCH'],
    ['01712345678', 'FORMAT_MISMATCH'],
    ['++491712345678', 'FORMAT_MISMATCH'],
    ['+2101712345678', 'FORMAT_MISMATCH'],
    ['+', 'FORMAT_MISMATCH'],
    ['', 'FORMAT_MISMATCH'],
    ['+491', 'LENGTH_INVALID'],
    ['+4917123456789012', 'LENGTH_INVALID'],
    ['+49'.padEnd(60, '1'), 'LENGTH_INVALID'],
    ['+4917123', 'DOMAIN_TOO_SMALL'],
  ])('%j is refused: %s', async (value, code) => {
    expect(await refusal(phone(), value, 1_000_000)).toMatchObject({ code })
  })

  it.each([{ separators: '0' }, { separators: 'x' }, { keepFirst: 14 }, { country: '49' }])(
    'options %j are refused',
    (options) => {
      expect(() => phone(options as PhoneOptions)).toThrow(ConfigError)
    },
  )
})
