/** Any text at any format: a value that comes back, or a refusal of a known kind that does not repeat it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FpeError } from '../../src/errors.ts'
import { alphabet, alphabets } from '../../src/fpe/alphabet.ts'
import { date } from '../../src/fpe/date.ts'
import { email } from '../../src/fpe/email.ts'
import type { Format } from '../../src/fpe/format.ts'
import { iban } from '../../src/fpe/iban.ts'
import { integer } from '../../src/fpe/integer.ts'
import { pan } from '../../src/fpe/pan.ts'
import { phone } from '../../src/fpe/phone.ts'
import { ssn } from '../../src/fpe/ssn.ts'
import { template } from '../../src/fpe/template.ts'
import { text } from '../../src/fpe/text.ts'
import { uuid } from '../../src/fpe/uuid.ts'
import { columnOf, texts } from './format-column.ts'

const { digits } = alphabets
const FORMATS: Readonly<Record<string, readonly [Format, string]>> = {
  pan: [pan({ keepFirst: 6, keepLast: 4 }), '4111-1111-1111-1111'],
  'pan with Luhn': [pan({ luhn: true }), '4111111111111111'],
  ssn: [ssn(), '123-45-6789'],
  iban: [iban(), 'GB29 NWBK 6016 1331 9268 19'],
  phone: [phone({ separators: ' -.()/', national: true }), '+49 (171) 234-5678'],
  email: [email(), 'john.doe+tag@example.com'],
  uuid: [uuid(), '01890a5d-ac96-774b-bcce-b302099a8057'],
  date: [date({ pattern: 'DD.MM.YYYY', min: '01.01.1900', max: '31.12.2099' }), '29.02.2024'],
  integer: [integer({ min: -5_000_000, max: 5_000_000 }), '-314159'],
  text: [text({ alphabet: alphabet('0123456789äöüß'), keepFirst: 1 }), '1ä3ö5ü7ß'],
  template: [
    template({
      parts: [
        { keep: { alphabet: 'any', length: [0, 9] } },
        { separator: '/' },
        { encrypt: { alphabet: digits, length: 6 } },
        { literal: 'x' },
      ],
    }),
    'abc/123456x',
  ],
}

const odd = fc.constantFrom(
  '\0',
  '\n',
  '\u200b',
  '\ud800',
  '\udfff',
  '\uff11',
  '\u0661',
  '-0',
  ' ',
  "'",
  '"',
  'e\u0301',
)
/** A good value with something done to it: a piece replaced, doubled, dropped, or something odd put in. */
const spoilt = (good: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.nat({ max: good.length }),
      fc.nat({ max: 3 }),
      fc.oneof(odd, fc.string({ maxLength: 3 })),
    )
    .map(([at, dropped, put]) => good.slice(0, at) + put + good.slice(at + dropped))
const any = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.stringMatching(/^[0-9+. -]{0,40}$/),
)

describe.each(Object.entries(FORMATS))('%s', (_name, [format, good]) => {
  const field = columnOf(format, { minDomain: 100 })

  it('takes what it can give back, and refuses the rest', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(any, spoilt(good), spoilt(good)), async (value) => {
        for (const [there, back] of [
          ['encryptEach', 'decryptEach'],
          ['decryptEach', 'encryptEach'],
        ] as const) {
          const [result, beside] = await field[there]([value, good])
          expect(typeof beside).toBe('string')
          if (typeof result === 'string') {
            expect(texts(await field[back]([result]))).toEqual([value])
            continue
          }
          expect(result).toBeInstanceOf(FpeError)
          const { code, index } = result as FpeError
          expect(index).toBe(0)
          expect(code).toMatch(
            /^(FORMAT_MISMATCH|LENGTH_INVALID|SYMBOL_INVALID|DOMAIN_TOO_SMALL|TWEAK_INVALID)$/,
          )
          const said = JSON.stringify((result as FpeError).toJSON())
          if (value.length > 12) expect(said).not.toContain(value)
        }
      }),
      { numRuns: 700 },
    )
  })

  it('refuses what is no text', async () => {
    const values = [undefined, null, 5, 5n, {}, ['4111'], Symbol('x')] as unknown as string[]
    for (const result of await field.encryptEach(values)) {
      expect(result).toMatchObject({ code: 'FORMAT_MISMATCH', expected: 'a string' })
    }
  })

  it('refuses a text of a million characters at once', async () => {
    const start = performance.now()
    const results = await field.encryptEach(['1', 'a', '0', 'ä'].map((c) => c.repeat(1_000_000)))
    for (const result of results) expect(result).toBeInstanceOf(FpeError)
    expect(performance.now() - start).toBeLessThan(2000)
  })
})
