/** Alphabets: which are possible, what names them, and that a text has one reading. */
import { createHash } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FpeError } from '../../src/errors.ts'
import { radixAlphabet } from '../../src/fpe/alphabet.ts'
import { alphabet, alphabets, digits } from '../../src/fpe/index.ts'
import type { Alphabet } from '../../src/fpe/index.ts'

const refused = (code: string, detail: object = {}) =>
  expect.objectContaining({ name: 'FpeError', code, ...detail }) as FpeError

const ideographs = (count: number): string[] =>
  [
    [0x4e00, 0x9fff],
    [0x20000, 0x2a6df],
    [0x30000, 0x3134a],
  ]
    .flatMap(([from = 0, to = 0]) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
    .slice(0, count)
    .map((point) => String.fromCodePoint(point))

describe('built-in alphabets', () => {
  it('have these symbols in this order, for ever', () => {
    const table = Object.entries(alphabets).map(([name, { symbols }]) => [name, symbols.join('')])
    expect(Object.fromEntries(table)).toEqual({
      binary: '01',
      digits: '0123456789',
      'hex-lower': '0123456789abcdef',
      'hex-upper': '0123456789ABCDEF',
      'letters-lower': 'abcdefghijklmnopqrstuvwxyz',
      'letters-upper': 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
      'alphanumeric-lower': '0123456789abcdefghijklmnopqrstuvwxyz',
      'alphanumeric-upper': '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ',
      base62: '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
    })
  })

  it.each(Object.entries(alphabets))('%s is its id, and what alphabet() gives', (name, one) => {
    expect(one.id).toBe(name)
    expect(one.radix).toBe(one.symbols.length)
    expect(alphabet(one.symbols)).toBe(one)
    expect(alphabet(one.symbols.join(''))).toBe(one)
  })

  it('cannot be changed', () => {
    digits.asciiRuns?.fill(0)
    expect(digits.asciiRuns).toEqual(Uint8Array.of(0x30, 0, 10))
    expect(Object.isFrozen(digits) && Object.isFrozen(digits.symbols)).toBe(true)
  })
})

describe('an id', () => {
  it('is a hash over the ordered symbols with their lengths', () => {
    const hash = createHash('sha256').update('1:a2:é').digest('hex')
    expect(alphabet('aé').id).toBe(`sha256:${hash.slice(0, 16)}`)
    expect(alphabet('ba').id).not.toBe(alphabet('ab').id)
    // The same text cut elsewhere: 1 + FE0F 20E3 is one symbol.
    expect(alphabet(['1\uFE0F\u20E3', '2']).id).not.toBe(alphabet(['1', '2\uFE0F\u20E3']).id)
  })
})

describe('ASCII runs', () => {
  it('are (character, numeral, count) of consecutive characters', () => {
    expect(alphabets.base62.asciiRuns).toEqual(
      Uint8Array.of(0x30, 0, 10, 0x41, 10, 26, 0x61, 36, 26),
    )
    expect(alphabet('zyxabc').asciiRuns).toEqual(
      Uint8Array.of(0x7a, 0, 1, 0x79, 1, 1, 0x78, 2, 1, 0x61, 3, 3),
    )
    expect(alphabet('abcé').asciiRuns).toBeUndefined()
    expect(alphabet(['a', 'b', '1\uFE0F\u20E3']).asciiRuns).toBeUndefined()
  })
})

describe('an alphabet is refused', () => {
  const cases: readonly [string, string | readonly string[]][] = [
    ['no symbol', ''],
    ['one symbol', 'a'],
    ['a symbol twice', 'abca'],
    ['an empty symbol', ['a', '']],
    ['two graphemes in one symbol', ['a', 'bc']],
    ['a lone surrogate', ['a', '\uD83D']],
    ['a number', ['a', 7 as unknown as string]],
    ['a symbol not in NFC', ['a', 'e\u0301']],
    ['a compatibility singleton not in NFC', ['a', '\u212B']],
    ['a combining mark alone', ['a', '\u0301']],
    ['a zero-width joiner', ['a', '\u200D']],
    ['a pictograph that ends in a joiner', ['a', '\u{1F468}\u200D']],
    ['a variation selector', ['a', '\uFE0F']],
    ['a single regional indicator', ['a', '\u{1F1E9}']],
    ['a Hangul leading consonant, which joins a vowel', ['a', '\u1100']],
    ['a Hangul vowel', ['a', '\u1161']],
    ['a Hangul trailing consonant', ['a', '\u11A8']],
    ['a character that joins what follows (Prepend)', ['a', '\u0600']],
    ['a letter that joins the next consonant (virama)', ['a', '\u0915\u094D']],
    ['65,537 symbols', ideographs(65_537)],
  ]
  it.each(cases)('%s', (_what, symbols) => {
    expect(() => alphabet(symbols)).toThrow(refused('ALPHABET_INVALID'))
  })

  it('by place, without the symbol', () => {
    const error = (() => {
      try {
        return alphabet(['a', 'b', 'a'])
      } catch (thrown) {
        return thrown as FpeError
      }
    })()
    expect(error).toMatchObject({ where: 'symbol 3', expected: 'each symbol once' })
  })
})

describe('a text', () => {
  const umlauts = alphabet([
    'a',
    'ä',
    '\u{1F468}',
    '\u{1F468}\u200D\u{1F469}',
    '\u{1F1E9}\u{1F1EA}',
  ])

  it('is read by the longest symbol', () => {
    expect([...umlauts.encode('\u{1F468}\u200D\u{1F469}\u{1F468}a')]).toEqual([3, 2, 0])
    expect([...umlauts.encode('\u{1F1E9}\u{1F1EA}\u{1F1E9}\u{1F1EA}')]).toEqual([4, 4])
  })

  it('is never normalised, folded or converted', () => {
    expect(() => umlauts.encode('aa\u0308')).toThrow(
      refused('SYMBOL_INVALID', { where: 'symbol 3', hint: 'the text is not in Unicode NFC' }),
    )
    expect(() => alphabets['letters-lower'].encode('abC')).toThrow(refused('SYMBOL_INVALID'))
    expect(() => digits.encode('12\uFF13')).toThrow(
      refused('SYMBOL_INVALID', { where: 'symbol 3' }),
    )
    // U+0131 ends in the byte of '1'.
    expect(() => digits.encode('12\u0131')).toThrow(refused('SYMBOL_INVALID'))
    expect(() => umlauts.encode('\u{1F468}\u200Da')).toThrow(
      refused('SYMBOL_INVALID', { where: 'symbol 2' }),
    )
    expect(() => umlauts.encode('\uD83D')).toThrow(refused('SYMBOL_INVALID'))
  })

  it('is made of numerals of the alphabet only', () => {
    for (const bad of [-1, 10, 1.5, NaN]) {
      expect(() => digits.decode([1, bad])).toThrow(
        refused('SYMBOL_INVALID', { where: 'symbol 2' }),
      )
    }
  })

  it('has one reading, in any alphabet that is accepted', () => {
    const pieces = fc.constantFrom(
      ...[
        'a',
        'b',
        'e',
        'é',
        'ä',
        '\u0301',
        '\u0323',
        '\u200D',
        '\uFE0F',
        '\u20E3',
        '1',
        '2',
        '\r',
        '\n',
      ],
      ...[
        '\u{1F468}',
        '\u{1F469}',
        '\u{1F1E9}',
        '\u{1F1EA}',
        '\u{1F3FD}',
        '\u1100',
        '\u1161',
        '\u11A8',
      ],
      ...[
        '\uAC00',
        '\uAC01',
        '\u0915',
        '\u094D',
        '\u0600',
        '\u0E33',
        '\u{110BD}',
        '\u00AD',
        '\u200B',
      ],
    )
    const symbols = fc.array(
      fc.array(pieces, { minLength: 1, maxLength: 2 }).map((parts) => parts.join('')),
      { minLength: 2, maxLength: 4 },
    )
    let accepted = 0
    fc.assert(
      fc.property(symbols, fc.array(fc.nat(7), { maxLength: 12 }), (list, some) => {
        let one: Alphabet
        try {
          one = alphabet(list)
        } catch (error) {
          expect(error).toEqual(refused('ALPHABET_INVALID'))
          return
        }
        accepted++
        const numerals = some.map((numeral) => numeral % one.radix)
        const text = one.decode(numerals)
        expect([...one.encode(text)]).toEqual(numerals)
        expect(text.normalize('NFC')).toBe(text)
      }),
      { numRuns: 20_000 },
    )
    expect(accepted).toBeGreaterThan(500)
  })

  it('of 65,536 symbols has one reading', () => {
    const large = alphabet(ideographs(65_536))
    const numerals = Uint16Array.of(0, 65_535, 1, 65_534)
    expect(large.encode(large.decode(numerals))).toEqual(numerals)
  })
})

describe('numerals without symbols', () => {
  it('have a radix and no text', () => {
    expect(radixAlphabet(65_536)).toMatchObject({ id: 'radix:65536', radix: 65_536, symbols: [] })
    expect(() => radixAlphabet(256).encode('a')).toThrow(refused('ALPHABET_INVALID'))
    expect(() => radixAlphabet(256).decode([1])).toThrow(refused('ALPHABET_INVALID'))
    for (const radix of [0, 1, 65_537, 2.5, NaN]) {
      expect(() => radixAlphabet(radix)).toThrow(refused('RADIX_INVALID'))
    }
  })
})
