/**
 * Alphabets: ordered sets of graphemes (UAX #29), so that a text has one reading as numerals.
 * The order is part of the format of the data; {@link Alphabet.id} names it.
 *
 * A text is read by the longest symbol that matches, code unit by code unit: nothing is normalised, folded or
 * segmented, so a later Unicode version cannot change what stored data means. That `encode(decode(x))` is x
 * for any numerals is made sure when the alphabet is made, with the Unicode version of this Node: each symbol
 * is one grapheme in NFC that neither joins its neighbours nor is taken for the start of another symbol.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { FpeError } from '../errors.ts'
import type { Alphabet } from './types.ts'

const MAX_RADIX = 65_536

const DIGITS = '0123456789'
const LOWER = 'abcdefghijklmnopqrstuvwxyz'
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** Built-in alphabets: the name is the id, the order is that of ASCII. */
const BUILT_IN = {
  binary: '01',
  digits: DIGITS,
  'hex-lower': `${DIGITS}abcdef`,
  'hex-upper': `${DIGITS}ABCDEF`,
  'letters-lower': LOWER,
  'letters-upper': UPPER,
  'alphanumeric-lower': DIGITS + LOWER,
  'alphanumeric-upper': DIGITS + UPPER,
  /** Upper case before lower case. Data made with the other order: `alphabet('0-9a-zA-Z' spelt out)`. */
  base62: DIGITS + UPPER + LOWER,
} as const

/** Name of a built-in alphabet; stable. */
export type AlphabetName = keyof typeof BUILT_IN

function refuse(message: string, at: number, expected: string): never {
  throw new FpeError('ALPHABET_INVALID', message, { where: `symbol ${at + 1}`, expected })
}

/**
 * What a symbol is tried beside: an ordinary letter, itself, a regional indicator, a pictograph, a consonant of a
 * script with conjuncts, and between Hangul syllables. In each place it has to stay one grapheme of its own.
 */
const beside = (symbol: string): string[] => [
  ...['a', symbol, 'a', symbol, symbol, 'a', symbol, '\u{1F1E6}', 'a', symbol, '\u{1F469}'],
  ...['a', symbol, '\u0915', 'a', '\uAC00', symbol, '\uAC00'],
]

const graphemes = (text: string): string[] =>
  Array.from(new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text), (s) => s.segment)

const isPrintableAscii = (symbol: string): boolean => /^[!-~]$/.test(symbol)

/** @throws FpeError ALPHABET_INVALID with the place of the symbol. */
function checkSymbols(symbols: readonly string[]): void {
  if (symbols.length < 2 || symbols.length > MAX_RADIX) {
    throw new FpeError('ALPHABET_INVALID', 'an alphabet of this size is not possible', {
      expected: `2 to ${MAX_RADIX} symbols`,
      got: `${symbols.length} symbols`,
    })
  }
  const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })
  const seen = new Set<string>()
  for (const [at, symbol] of symbols.entries()) {
    if (typeof symbol !== 'string' || !symbol.isWellFormed()) {
      refuse('a symbol is not text', at, 'a string without lone surrogates')
    }
    if (seen.has(symbol)) refuse('a symbol occurs twice', at, 'each symbol once')
    seen.add(symbol)
    if (isPrintableAscii(symbol)) continue
    if (symbol.normalize('NFC') !== symbol) {
      refuse('a symbol is not in normal form', at, 'Unicode NFC')
    }
    const parts = beside(symbol)
    const found = Array.from(segmenter.segment(parts.join('')), ({ segment }) => segment)
    if (found.length !== parts.length || parts.some((part, i) => found[i] !== part)) {
      refuse('a symbol joins its neighbours', at, 'one grapheme that stays one beside others')
    }
  }
  checkPrefixes(symbols, seen)
}

/**
 * Longest match is exact when no symbol can follow a shorter one in such a way that the two begin like a longer one.
 * @throws FpeError ALPHABET_INVALID
 */
function checkPrefixes(symbols: readonly string[], all: ReadonlySet<string>): void {
  const firsts = new Set(symbols.map((symbol) => symbol.codePointAt(0)))
  for (const [at, symbol] of symbols.entries()) {
    for (let end = 1; end < symbol.length; end++) {
      if (all.has(symbol.slice(0, end)) && firsts.has(symbol.codePointAt(end))) {
        refuse('a symbol begins like two others', at, 'symbols that can be told apart in any text')
      }
    }
  }
}

/** See FeistelGroup.characters; undefined when a symbol is not one ASCII character. */
function runsOf(symbols: readonly string[]): Uint8Array | undefined {
  const runs: number[] = []
  for (const [numeral, symbol] of symbols.entries()) {
    const code = symbol.charCodeAt(0)
    if (symbol.length !== 1 || code > 0x7f) return undefined
    const [first = 0, , count = 0] = runs.slice(-3)
    if (count > 0 && first + count === code) runs[runs.length - 1] = count + 1
    else runs.push(code, numeral, 1)
  }
  return new Uint8Array(runs)
}

/** Ordered symbols, each with its length before it, so that no two alphabets share a text. */
const idOf = (symbols: readonly string[]): string =>
  `sha256:${toHex(sha256(utf8(symbols.map((s) => `${utf8(s).length}:${s}`).join('')))).slice(0, 16)}`

function invalidSymbol(text: string, at: number): never {
  throw new FpeError('SYMBOL_INVALID', 'a symbol is not in the alphabet', {
    where: `symbol ${at + 1}`,
    expected: 'symbols of the alphabet only, exactly as they stand in it',
    ...(text.normalize('NFC') !== text && { hint: 'the text is not in Unicode NFC' }),
  })
}

function outOfRange(at: number, radix: number): never {
  throw new FpeError('SYMBOL_INVALID', 'a numeral is out of range', {
    where: `symbol ${at + 1}`,
    expected: `an integer from 0 to ${radix - 1}`,
  })
}

/** Reader for symbols of one UTF-16 code unit each. */
function unitReader(symbols: readonly string[]): Alphabet['encode'] {
  const codes = symbols.map((symbol) => symbol.charCodeAt(0))
  const table = new Int32Array(codes.reduce((a, b) => Math.max(a, b)) + 1).fill(-1)
  for (const [numeral, code] of codes.entries()) table[code] = numeral
  return (text) => {
    const numerals = new Uint16Array(text.length)
    for (let at = 0; at < text.length; at++) {
      const numeral = table[text.charCodeAt(at)] ?? -1
      if (numeral < 0) invalidSymbol(text, at)
      numerals[at] = numeral
    }
    return numerals
  }
}

/** Reader for symbols of any length: the longest that matches. */
function graphemeReader(symbols: readonly string[]): Alphabet['encode'] {
  const table = new Map(symbols.map((symbol, numeral) => [symbol, numeral]))
  const longest = symbols.reduce((max, { length }) => Math.max(max, length), 0)
  return (text) => {
    const numerals: number[] = []
    for (let at = 0; at < text.length;) {
      let length = Math.min(longest, text.length - at)
      let numeral: number | undefined
      for (; length > 0; length--) {
        numeral = table.get(text.slice(at, at + length))
        if (numeral !== undefined) break
      }
      numerals.push(numeral ?? invalidSymbol(text, numerals.length))
      at += length
    }
    return Uint16Array.from(numerals)
  }
}

function build(id: string, symbols: readonly string[]): Alphabet {
  const asciiRuns = runsOf(symbols)
  const encode = symbols.every(({ length }) => length === 1)
    ? unitReader(symbols)
    : graphemeReader(symbols)
  return Object.freeze({
    id,
    symbols: Object.freeze([...symbols]),
    radix: symbols.length,
    // A copy: bytes cannot be frozen, and this object is shared.
    get asciiRuns() {
      return asciiRuns?.slice()
    },
    encode,
    decode(numerals: ArrayLike<number>): string {
      let text = ''
      for (let at = 0; at < numerals.length; at++) {
        text += symbols[numerals[at] ?? -1] ?? outOfRange(at, symbols.length)
      }
      return text
    },
  })
}

/** The built-in alphabets by name. */
export const alphabets = Object.fromEntries(
  Object.entries(BUILT_IN).map(([name, symbols]) => [name, build(name, Array.from(symbols))]),
) as Readonly<Record<AlphabetName, Alphabet>>

/** The ten decimal digits. */
export const digits: Alphabet = alphabets.digits

/**
 * An alphabet of graphemes in the order given; a string is split into its graphemes. The same symbols in the same
 * order as a built-in alphabet are that alphabet.
 * @throws FpeError ALPHABET_INVALID with the place: not 2 to 65,536 symbols, a symbol that occurs twice, is not
 * in NFC, is not one grapheme, or joins its neighbours (combining marks, joiners, single regional indicators).
 */
export function alphabet(symbols: string | readonly string[]): Alphabet {
  const list = typeof symbols === 'string' ? graphemes(symbols) : [...symbols]
  checkSymbols(list)
  const id = idOf(list)
  return Object.values(alphabets).find((one) => idOf(one.symbols) === id) ?? build(id, list)
}

/**
 * Numerals without symbols, for the numeral forms of any radix; `encode` and `decode` throw ALPHABET_INVALID.
 * @throws FpeError RADIX_INVALID
 */
export function radixAlphabet(radix: number): Alphabet {
  if (!Number.isInteger(radix) || radix < 2 || radix > MAX_RADIX) {
    throw new FpeError('RADIX_INVALID', 'radix out of range', { expected: `2 to ${MAX_RADIX}` })
  }
  const noText = (): never => {
    throw new FpeError('ALPHABET_INVALID', 'this alphabet has numerals only, no symbols', {
      hint: 'use the numeral forms, or an alphabet with symbols',
    })
  }
  return {
    id: `radix:${radix}`,
    symbols: [],
    radix,
    asciiRuns: undefined,
    encode: noText,
    decode: noText,
  }
}
