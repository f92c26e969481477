/**
 * Reading hexadecimal aloud: the ICAO/NATO radiotelephony alphabet (ICAO Annex 10, Volume II, §5.2.1.3).
 * Digits are spoken as plain English words; the paper script prints the table.
 */
import { FormatError } from './errors.ts'

/** Code word per letter. */
export const NATO_LETTERS: Readonly<Record<string, string>> = Object.fromEntries(
  (
    'Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike ' +
    'November Oscar Papa Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu'
  )
    .split(' ')
    .map((word) => [word.charAt(0).toLowerCase(), word]),
)

/** Word per digit. */
export const DIGIT_WORDS: readonly string[] =
  'Zero One Two Three Four Five Six Seven Eight Nine'.split(' ')

/**
 * Hexadecimal as spoken words, one string per group of `groupDigits` digits, `a1` is `Alfa One`.
 * Throws {@link FormatError} for anything but lower-case hexadecimal digits.
 */
export function natoReadOut(hex: string, groupDigits = 4): string[] {
  if (!/^[0-9a-f]*$/.test(hex)) {
    throw new FormatError('cannot be read out', { where: 'hex', expected: 'digits 0-9a-f' })
  }
  const words = Array.from(hex, (digit) => NATO_LETTERS[digit] ?? DIGIT_WORDS[Number(digit)] ?? '')
  return Array.from({ length: Math.ceil(words.length / groupDigits) }, (_, at) =>
    words.slice(at * groupDigits, (at + 1) * groupDigits).join(' '),
  )
}
