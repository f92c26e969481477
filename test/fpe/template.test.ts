/** Templates: only what is declared passes, where it is declared. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { alphabet, alphabets } from '../../src/fpe/alphabet.ts'
import { type TemplateOptions, template } from '../../src/fpe/template.ts'
import { behaves, columnOf, permutes, refusal, texts } from './format-column.ts'

const letters = alphabets['letters-upper']
const { digits } = alphabets

const passport = template({
  parts: [
    { encrypt: { alphabet: letters, length: 1 } },
    { encrypt: { alphabet: digits, length: 6 } },
  ],
})
const invoice = template({
  parts: [
    { literal: 'INV' },
    { separator: '-' },
    { keep: { alphabet: digits, length: 4 } },
    { separator: '-' },
    { encrypt: { alphabet: digits, length: [6, 9] } },
  ],
})
const number = template({
  parts: [
    { encrypt: { alphabet: digits, length: 4 } },
    { separator: '-' },
    { encrypt: { alphabet: digits, length: 4 } },
  ],
})

describe('templates', () => {
  it('of mixed classes', async () => {
    expect(columnOf(passport).domain).toBe(26_000_000n)
    await behaves(passport, fc.stringMatching(/^[A-Z]\d{6}$/), (output) => {
      expect(output).toMatch(/^[A-Z]\d{6}$/)
    })
  })

  it('of mixed classes are permutations', async () => {
    const format = template({
      parts: [
        { encrypt: { alphabet: letters, length: 1 } },
        { encrypt: { alphabet: digits, length: 2 } },
      ],
    })
    const set = letters.symbols.flatMap((letter) =>
      Array.from({ length: 100 }, (_, i) => `${letter}${String(i).padStart(2, '0')}`),
    )
    await permutes(format, set)
  })

  it('keep literals, kept parts and separators', async () => {
    const form = /^INV(-?)(\d{4})\1(\d{6,9})$/
    const values = fc.stringMatching(/^INV-\d{4}-\d{6,9}$|^INV\d{10,13}$/)
    await behaves(invoice, values, (output, input) => {
      expect(output).toMatch(form)
      expect(output.length).toBe(input.length)
      expect(output.replace(form, '$1$2')).toBe(input.replace(form, '$1$2'))
    })
  })

  it('keep ends, counted over data', async () => {
    const format = template({
      parts: [
        { literal: '#' },
        { encrypt: { alphabet: letters, length: 4 } },
        { separator: ' ' },
        { encrypt: { alphabet: digits, length: 8 } },
      ],
      keepFirst: 2,
      keepLast: 3,
    })
    await behaves(format, fc.stringMatching(/^#[A-Z]{4} ?\d{8}$/), (output, input) => {
      expect(output).toMatch(/^#[A-Z]{4} ?\d{8}$/)
      expect(output.slice(0, 3)).toBe(input.slice(0, 3))
      expect(output.slice(-3)).toBe(input.slice(-3))
    })
    expect(format.smallest).toBe(26n ** 2n * 10n ** 5n)
  })

  it('keep any text where they say so', async () => {
    const format = template({
      parts: [
        { keep: { alphabet: 'any', length: [0, 20] } },
        { literal: ':' },
        { encrypt: { alphabet: digits, length: 7 } },
      ],
    })
    const values = fc.tuple(
      fc.string({ unit: 'grapheme', maxLength: 4 }),
      fc.stringMatching(/^\d{7}$/),
    )
    const joined = values.map(([kept, secret]) => `${kept}:${secret}`).filter((v) => v.length <= 28)
    await behaves(format, joined, (output, input) => {
      expect(output.slice(0, -7)).toBe(input.slice(0, -7))
      expect(output).toMatch(/\d{7}$/)
    })
  })

  it('encrypt alike with separators and without, and differently beside other kept parts', async () => {
    const field = columnOf(invoice)
    const [a, b, c] = texts(
      await field.encryptEach(['INV-2024-000017', 'INV2024000017', 'INV-2025-000017']),
    ).map((text) => text.slice(-6))
    expect(b).toBe(a)
    expect(c).not.toBe(a)
  })

  it('over alphabets beyond ASCII', async () => {
    const greek = alphabet('αβγδεζηθικλμνξοπρστυφχψω')
    const format = template({ parts: [{ encrypt: { alphabet: greek, length: [5, 8] } }] })
    await behaves(format, fc.stringMatching(/^[α-ρσ-ω]{5,8}$/), (output) => {
      expect(output).toMatch(/^[α-ρσ-ω]{5,8}$/)
    })
  })
})

describe('values that do not fit', () => {
  it.each([
    ['a hyphen that is not declared', passport, 'A-12345', 'SYMBOL_INVALID'],
    ['digits with a hyphen elsewhere', number, '41111-111', 'FORMAT_MISMATCH'],
    ['a hyphen too many', number, '4111-1111-', 'LENGTH_INVALID'],
    ['one of two separators', invoice, 'INV-2024000017', 'FORMAT_MISMATCH'],
    ['another literal', invoice, 'INW-2024-000017', 'FORMAT_MISMATCH'],
    ['lower case', passport, 'a123456', 'SYMBOL_INVALID'],
    ['too short', passport, 'A12345', 'LENGTH_INVALID'],
    ['another kept character', invoice, 'INV-20x4-000017', 'FORMAT_MISMATCH'],
    ['nothing', passport, '', 'LENGTH_INVALID'],
  ] as const)('%s', async (_what, format, value, code) => {
    expect(await refusal(format, value)).toMatchObject({ code })
  })

  it('an undeclared hyphen is never read as digits', async () => {
    const plain = template({ parts: [{ encrypt: { alphabet: digits, length: [8, 9] } }] })
    expect(await refusal(plain, '4111-1111')).toMatchObject({
      code: 'SYMBOL_INVALID',
      where: 'column field, character 5',
    })
    expect(columnOf(number).domain).toBe(10n ** 8n)
    expect(texts(await columnOf(number).encryptEach(['4111-1111']))[0]).toMatch(/^\d{4}-\d{4}$/)
  })

  it('a kept part that cuts a character in two', async () => {
    const format = template({
      parts: [
        { keep: { alphabet: 'any', length: 1 } },
        { encrypt: { alphabet: digits, length: 7 } },
        { keep: { alphabet: 'any', length: 1 } },
      ],
    })
    expect(await refusal(format, '\ud83d1234567\ude00')).toMatchObject({ code: 'FORMAT_MISMATCH' })
  })

  it('too few encrypted characters for their number', async () => {
    const format = template({
      parts: [{ encrypt: { alphabet: digits, length: [0, 12] } }],
      keepLast: 2,
    })
    expect(await refusal(format, '1234567', 1_000_000)).toMatchObject({
      code: 'DOMAIN_TOO_SMALL',
      got: '100000 possible values',
    })
    expect(await refusal(format, '12')).toMatchObject({ got: '1 possible values' })
  })
})

describe('templates that cannot be read in one way', () => {
  const some = { encrypt: { alphabet: digits, length: [1, 5] } } as const
  it.each<[string, TemplateOptions]>([
    ['two parts of variable length', { parts: [some, some] }],
    ['a separator that is a symbol', { parts: [some, { separator: '0' }, { literal: 'x' }] }],
    ['nothing encrypted', { parts: [{ literal: 'x' }] }],
    ['everything kept', { parts: [{ encrypt: { alphabet: digits, length: 8 } }], keepFirst: 8 }],
    ['an empty literal', { parts: [{ literal: '' }, some] }],
    ['a length of 0', { parts: [{ encrypt: { alphabet: digits, length: 0 } }] }],
    ['too long', { parts: [{ encrypt: { alphabet: digits, length: 4096 } }, { literal: 'x' }] }],
    ['an unknown part', { parts: [{ litteral: 'x' } as never] }],
    [
      'symbols of two units',
      { parts: [{ encrypt: { alphabet: alphabet('\u{1F600}\u{1F601}'), length: 20 } }] },
    ],
  ])('%s', (_what, options) => {
    expect(() => template(options)).toThrow(ConfigError)
  })
})

/** Separators and literals at random places: what comes out is read as what went in was. */
it('random templates round trip', async () => {
  const part = fc.oneof(
    fc.constant({ separator: '-' } as const),
    fc.constant({ separator: '/:' } as const),
    fc.constantFrom('A', '7', 'x-').map((literal) => ({ literal })),
    fc.constantFrom(digits, letters).map((of) => ({ encrypt: { alphabet: of, length: 3 } })),
    fc.constant({ keep: { alphabet: 'any', length: 2 } } as const),
  )
  const variable = { encrypt: { alphabet: letters, length: [2, 4] } } as const
  const parts = fc
    .tuple(fc.array(part, { maxLength: 6 }), fc.array(part, { maxLength: 4 }))
    .map(([before, after]) => [...before, variable, ...after])
  await fc.assert(
    fc.asyncProperty(
      parts,
      fc.boolean(),
      fc.integer({ min: 2, max: 4 }),
      async (list, grouped, length) => {
        const value = list
          .map((one) => {
            if ('literal' in one) return one.literal
            if ('separator' in one) return grouped ? one.separator : ''
            if ('keep' in one) return '-7'
            return (one.encrypt.alphabet === digits ? '907' : 'QKAZ').slice(
              0,
              one === variable ? length : 3,
            )
          })
          .join('')
        const field = columnOf(template({ parts: list }), { minDomain: 100 })
        const [encrypted] = await field.encryptEach([value])
        // Read another way than it was written: then it is refused, or it still comes back.
        if (typeof encrypted !== 'string') return
        expect(texts(await field.decryptEach([encrypted]))).toEqual([value])
      },
    ),
    { numRuns: 400 },
  )
})
