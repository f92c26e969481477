/** Hexadecimal digits as words to read aloud: the spelling alphabet of ICAO Annex 10 Volume II §5.2.1.3. */
import { FormatError } from '../errors.ts'

const WORDS: Readonly<Record<string, string>> = {
  0: 'zero',
  1: 'one',
  2: 'two',
  3: 'three',
  4: 'four',
  5: 'five',
  6: 'six',
  7: 'seven',
  8: 'eight',
  9: 'nine',
  a: 'alfa',
  b: 'bravo',
  c: 'charlie',
  d: 'delta',
  e: 'echo',
  f: 'foxtrot',
}

/** One word per lower-case hexadecimal digit, separated by spaces; throws FormatError on other text. */
export function spellHex(digits: string): string {
  return Array.from(digits)
    .map((digit) => {
      const word = WORDS[digit]
      if (word !== undefined) return word
      throw new FormatError('only hexadecimal digits can be spelled', { where: 'spelling' })
    })
    .join(' ')
}
