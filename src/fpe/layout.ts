/**
 * Values of one form, character by character: which places hold encrypted symbols, which hold kept data,
 * which hold fixed text, and which hold a check digit derived from the rest. Compiled once per form.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { alphabets } from './alphabet.ts'
import { type Parsed, type Domain, wrongCharacter, wrongLength } from './format.ts'
import { MixedRadix, uniformDomain } from './mixed-radix.ts'

/** Characters (UTF-16 units) of one class in order. */
export interface CharacterClass {
  readonly name: string
  readonly size: number
  /** Numeral by character code; -1 or absent: not of the class. */
  readonly numerals: Int32Array
  /** Character code by numeral. */
  readonly codes: Uint16Array
}

/**
 * A class of the given characters.
 * @throws ConfigError when one of them is not a single UTF-16 unit, or stands there twice.
 */
export function characterClass(name: string, symbols: readonly string[]): CharacterClass {
  const refuse = (expected: string): never => {
    throw new ConfigError('the characters cannot form a class', { where: name, expected })
  }
  const codes = Uint16Array.from(symbols, (symbol) => {
    if (symbol.length !== 1 || !symbol.isWellFormed()) {
      return refuse('symbols of one UTF-16 unit; the format text takes any others')
    }
    return symbol.charCodeAt(0)
  })
  const numerals = new Int32Array(codes.reduce((max, code) => Math.max(max, code), 0) + 1).fill(-1)
  for (const [numeral, code] of codes.entries()) {
    if (numerals[code] !== -1) refuse('each character once')
    numerals[code] = numeral
  }
  return { name, size: codes.length, numerals, codes }
}

/** Decimal digits; the numeral is the digit. */
export const DIGITS = characterClass('0-9', alphabets.digits.symbols)
/** Upper-case letters: class `a` of ISO 13616. */
export const UPPER = characterClass('A-Z', alphabets['letters-upper'].symbols)
/** Digits and upper-case letters: class `c` of ISO 13616. */
export const UPPER_ALPHANUMERIC = characterClass('0-9A-Z', alphabets['alphanumeric-upper'].symbols)

/** What one character of a form is. */
export type Cell =
  | { readonly role: 'encrypt'; readonly of: CharacterClass }
  /** Data that stays; without `of` any character. */
  | { readonly role: 'keep'; readonly of?: CharacterClass | undefined }
  /** Literal or separator: stays, and is no data. */
  | { readonly role: 'fixed'; readonly character: string }
  /** Recomputed by the format. */
  | { readonly role: 'derived'; readonly of: CharacterClass }

/** See the head of this file. */
export interface Layout {
  readonly length: number
  readonly fixed: readonly (readonly [at: number, code: number, character: string])[]
  /** Places of kept and derived characters that must be of a class. */
  readonly checked: readonly (readonly [at: number, of: CharacterClass])[]
  /** Encrypted places, in order. */
  readonly places: Uint16Array
  readonly classes: readonly CharacterClass[]
  /** Kept data: parts separated by encrypted data, each as slices [from, to) around fixed characters. */
  readonly kept: readonly (readonly (readonly [from: number, to: number])[])[]
  readonly domain: Domain
  /** Absent: all classes are one, and the numerals are those of the symbols. */
  readonly mixed: MixedRadix | undefined
}

/** A value that a layout took apart. */
export interface Placed<Of extends Layout = Layout> extends Parsed {
  readonly layout: Of
}

/** A layout of cells. */
export function layoutOf(cells: readonly Cell[]): Layout {
  const fixed: [number, number, string][] = []
  const checked: [number, CharacterClass][] = []
  const places: number[] = []
  const classes: CharacterClass[] = []
  const kept: [number, number][][] = []
  let keeping = false
  for (const [at, cell] of cells.entries()) {
    if (cell.role === 'fixed') {
      fixed.push([at, cell.character.charCodeAt(0), cell.character])
      continue
    }
    if (cell.role === 'encrypt') {
      places.push(at)
      classes.push(cell.of)
    } else if (cell.of !== undefined) checked.push([at, cell.of])
    if (cell.role === 'keep') {
      if (!keeping) kept.push([])
      const slices = kept.at(-1) ?? []
      const last = slices.at(-1)
      if (last?.[1] === at) last[1] = at + 1
      else slices.push([at, at + 1])
    }
    keeping = cell.role === 'keep'
  }
  const first = classes[0]
  const uniform = classes.length >= 2 && classes.every((one) => one === first)
  const mixed = uniform ? undefined : new MixedRadix(classes.map(({ size }) => size))
  return {
    length: cells.length,
    fixed,
    checked,
    places: Uint16Array.from(places),
    classes,
    kept,
    domain: mixed?.domain ?? uniformDomain(first?.size ?? 2, classes.length),
    mixed,
  }
}

/** Numeral of the character at a place. @throws FpeError SYMBOL_INVALID. */
export function numeralAt(text: string, at: number, of: CharacterClass): number {
  const numeral = of.numerals[text.charCodeAt(at)] ?? -1
  if (numeral < 0) {
    throw new FpeError('SYMBOL_INVALID', 'a character is not of the alphabet of its place', {
      where: `character ${at + 1}`,
      expected: `a character of ${of.name}`,
    })
  }
  return numeral
}

/**
 * Takes a text apart.
 * @throws FpeError LENGTH_INVALID, FORMAT_MISMATCH, SYMBOL_INVALID.
 */
export function place<Of extends Layout>(layout: Of, text: string): Placed<Of> {
  const { fixed, checked, places, classes, kept, domain, mixed } = layout
  if (text.length !== layout.length) throw wrongLength(text.length, `${layout.length} characters`)
  for (const [at, code, character] of fixed) {
    if (text.charCodeAt(at) !== code) throw wrongCharacter(at, JSON.stringify(character))
  }
  for (const [at, of] of checked) {
    if ((of.numerals[text.charCodeAt(at)] ?? -1) < 0) {
      throw wrongCharacter(at, `a character of ${of.name}`)
    }
  }
  const digits = new Uint16Array(places.length)
  for (let i = 0; i < digits.length; i++) {
    digits[i] = numeralAt(text, places[i] ?? 0, classes[i] ?? DIGITS)
  }
  const clear = kept.map((slices) => {
    let part = ''
    for (const [from, to] of slices) part += text.slice(from, to)
    return part
  })
  return { text, layout, domain, clear, numerals: mixed?.toNumerals(digits) ?? digits }
}

/** Character codes of a text. A plain array: typed ones cost more to make than to use, in values this short. */
export function codesOf(text: string): number[] {
  const codes: number[] = []
  for (let at = 0; at < text.length; at++) codes.push(text.charCodeAt(at))
  return codes
}

/** The characters of a value with its encrypted places replaced; derived ones are those of the old text. */
export function replaced({ text, layout }: Placed, numerals: Uint16Array): number[] {
  const { places, classes, mixed } = layout
  const digits = mixed?.toDigits(numerals) ?? numerals
  const codes = codesOf(text)
  for (let i = 0; i < places.length; i++) {
    codes[places[i] ?? 0] = classes[i]?.codes[digits[i] ?? 0] ?? 0
  }
  return codes
}

/** The text of character codes, of which there are at most some thousands. */
export const textOf = (codes: number[]): string => String.fromCharCode.apply(null, codes)

/** Cells of which the first and the last data characters are kept. Data are all but fixed and derived ones. */
export function keepEnds(cells: readonly Cell[], first: number, last: number): Cell[] {
  const isData = ({ role }: Cell): boolean => role === 'encrypt' || role === 'keep'
  const data = cells.filter(isData).length
  let seen = 0
  return cells.map((cell) => {
    if (!isData(cell)) return cell
    seen++
    const keeps = cell.role === 'encrypt' && (seen <= first || seen > data - last)
    return keeps ? { role: 'keep', of: cell.of } : cell
  })
}
