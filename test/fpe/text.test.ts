/** Text over free alphabets. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { alphabet, alphabets } from '../../src/fpe/alphabet.ts'
import { type TextOptions, text } from '../../src/fpe/text.ts'
import { behaves, columnOf, permutes, refusal, texts } from './format-column.ts'

const { base62, digits } = alphabets
const faces = alphabet(['\u{1F600}', '\u{1F44D}\u{1F3FD}', '\u{1F1E9}\u{1F1EA}', 'é', 'z'])

describe('text', () => {
  it('of every length', async () => {
    await behaves(
      text({ alphabet: base62 }),
      fc.stringMatching(/^[0-9A-Za-z]{2,60}$/),
      (output, input) => {
        expect(output).toMatch(/^[0-9A-Za-z]+$/)
        expect(output).toHaveLength(input.length)
      },
    )
  })

  it('with ends kept', async () => {
    const format = text({ alphabet: base62, keepFirst: 3, keepLast: 2 })
    await behaves(format, fc.stringMatching(/^[0-9A-Za-z]{7,30}$/), (output, input) => {
      expect(output.slice(0, 3)).toBe(input.slice(0, 3))
      expect(output.slice(-2)).toBe(input.slice(-2))
    })
  })

  it('of graphemes of several units', async () => {
    const values = fc
      .array(fc.constantFrom(...faces.symbols), { minLength: 4, maxLength: 12 })
      .map((symbols) => symbols.join(''))
    await behaves(text({ alphabet: faces, keepLast: 1 }), values, (output, input) => {
      expect([...faces.encode(output)]).toHaveLength(faces.encode(input).length)
      expect(faces.encode(output).at(-1)).toBe(faces.encode(input).at(-1))
    })
  })

  it('of a small set is permuted', async () => {
    const set = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))
    await permutes(text({ alphabet: digits }), set)
  })

  it('is refused by number, each value by its own length', async () => {
    const field = columnOf(text({ alphabet: digits }))
    const [short, long] = await field.encryptEach(['12345', '123456'])
    expect(short).toMatchObject({ code: 'DOMAIN_TOO_SMALL', got: '100000 possible values' })
    expect(long).toMatch(/^\d{6}$/)
    expect(() => columnOf(text({ alphabet: digits, maxLength: 5 }))).toThrow(
      expect.objectContaining({ code: 'DOMAIN_TOO_SMALL', got: '100000 for the longest value' }),
    )
  })

  it('tells kept parts apart', async () => {
    const field = columnOf(text({ alphabet: base62, keepFirst: 2 }))
    const [a, b] = texts(await field.encryptEach(['abSECRETS', 'acSECRETS']))
    expect(a!.slice(2)).not.toBe(b!.slice(2))
  })

  it.each([
    ['abc-def', 'SYMBOL_INVALID'],
    ['abcdéf', 'SYMBOL_INVALID'],
    ['a', 'LENGTH_INVALID'],
    ['', 'LENGTH_INVALID'],
    ['a'.repeat(4097), 'LENGTH_INVALID'],
    ['a'.repeat(9), 'LENGTH_INVALID'],
  ])('%j is refused: %s', async (value, code) => {
    const format = text({ alphabet: base62, minLength: 6, maxLength: 8 })
    expect(await refusal(format, value)).toMatchObject({ code })
  })

  it.each([
    { alphabet: digits, minLength: 1 },
    { alphabet: digits, maxLength: 4097 },
    { alphabet: digits, minLength: 9, maxLength: 8 },
    { alphabet: digits, keepFirst: 4, maxLength: 5 },
    { alphabet: digits, keepFirst: 4090, keepLast: 5 },
    { alphabet: digits, length: 8 },
  ])('options %# are refused', (options) => {
    expect(() => text(options as TextOptions)).toThrow(ConfigError)
  })
})
