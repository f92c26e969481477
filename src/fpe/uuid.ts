/**
 * UUIDs: RFC 9562, variant 10 (§4.1), versions 1 to 8 (§4.2). Version and variant stay; the other 122 bits are
 * encrypted, two bits a symbol. With hyphens or without, in the case that is declared.
 */
import { ConfigError } from '../errors.ts'
import { alphabets } from './alphabet.ts'
import { type Format, type Parsed, onlyOptions, wrongCharacter, wrongLength } from './format.ts'
import { characterClass, codesOf, numeralAt, textOf } from './layout.ts'
import { uniformDomain } from './mixed-radix.ts'

/** Options of {@link uuid}. */
export interface UuidOptions {
  /** Case of the hexadecimal digits. Default `lower` (RFC 9562 §4). */
  readonly case?: 'lower' | 'upper'
}

/** Hexadecimal digits that are not all encrypted, counted from 0. */
const [VERSION, VARIANT] = [12, 16]
const HYPHENS = [8, 13, 18, 23]
const [BARE, HYPHENATED] = [32, 36]
const HYPHEN = 45
/** Upper bits of the variant digit. */
const VARIANT_BITS = 0b1000
/** 122 bits. */
const DOMAIN = uniformDomain(4, 61)

/** Place of a hexadecimal digit in a text with hyphens. */
const hyphenated = (digit: number): number =>
  digit + (digit < 8 ? 0 : digit >= 20 ? 4 : Math.floor(digit / 4) - 1)

/**
 * A format of UUIDs.
 * @throws ConfigError on unknown options.
 */
export function uuid(options: UuidOptions = {}): Format {
  onlyOptions('uuid', options, ['case'])
  const { case: letters = 'lower' } = options
  if (!['lower', 'upper'].includes(letters)) {
    throw new ConfigError('an option is out of range', {
      where: 'uuid.case',
      expected: 'lower or upper',
    })
  }
  const hex = characterClass(
    letters === 'lower' ? '0-9a-f' : '0-9A-F',
    alphabets[`hex-${letters}`].symbols,
  )
  const placeIn = (text: string): ((digit: number) => number) =>
    text.length === HYPHENATED ? hyphenated : (digit) => digit
  const format: Format = {
    describe: 'UUID, version and variant kept',
    smallest: DOMAIN.size,
    largest: DOMAIN.size,
    parse(text) {
      if (text.length !== BARE && text.length !== HYPHENATED) {
        throw wrongLength(
          text.length,
          `${BARE} hexadecimal digits, or ${HYPHENATED} characters with hyphens`,
        )
      }
      if (text.length === HYPHENATED) {
        for (const at of HYPHENS)
          if (text.charCodeAt(at) !== HYPHEN) throw wrongCharacter(at, '"-"')
      }
      const placeOf = placeIn(text)
      const numerals = new Uint16Array(DOMAIN.length)
      let i = 0
      for (let digit = 0; digit < BARE; digit++) {
        const nibble = numeralAt(text, placeOf(digit), hex)
        if (digit === VERSION) {
          if (nibble < 1 || nibble > 8)
            throw wrongCharacter(placeOf(digit), 'a version from 1 to 8')
          continue
        }
        if (digit !== VARIANT) numerals[i++] = nibble >> 2
        else if (nibble >> 2 !== VARIANT_BITS >> 2) {
          throw wrongCharacter(placeOf(digit), 'the variant of RFC 9562: 8, 9, a or b')
        }
        numerals[i++] = nibble & 3
      }
      return { text, numerals, domain: DOMAIN, clear: [text.charAt(placeOf(VERSION))] }
    },
    rebuild({ text }: Parsed, numerals) {
      const codes = codesOf(text)
      const placeOf = placeIn(text)
      let i = 0
      for (let digit = 0; digit < BARE; digit++) {
        if (digit === VERSION) continue
        const high = digit === VARIANT ? VARIANT_BITS : (numerals[i++] ?? 0) << 2
        codes[placeOf(digit)] = hex.codes[high | (numerals[i++] ?? 0)] ?? 0
      }
      return textOf(codes)
    },
  }
  return format
}
