/**
 * Telephone numbers: ITU-T E.164 (11/2010) §6, at most 15 digits, with "+" and a country code, which stay.
 * National numbers, without "+", on request: all their digits are data, a trunk prefix too.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, onlyOptions, optionCount, wrongCharacter, wrongLength } from './format.ts'
import { DIGITS } from './layout.ts'
import { domainOf } from './parameters.ts'
import { COUNTRY_CODES } from './phone-codes.ts'
import { type Scattered, gathered, scattered } from './scattered.ts'

/** Options of {@link phone}. */
export interface PhoneOptions {
  /** Digits after the country code that stay, such as an area code. Default 0. */
  readonly keepFirst?: number
  /** Digits at the end that stay. Default 0. */
  readonly keepLast?: number
  /** Characters that may stand between digits and stay where they are: some of space - . ( ) /. Default none. */
  readonly separators?: string
  /** Also take numbers without "+" and country code. Default false. */
  readonly national?: boolean
}

/** E.164 §6.2.1. */
const MAX_DIGITS = 15
/** Digits and separators. */
const MAX_LENGTH = 40
const SEPARATORS = ' -.()/'

/** Digits of the country code a number begins with. @throws FpeError FORMAT_MISMATCH. */
function countryCode(digits: string): string {
  for (let length = 1; length <= 3; length++) {
    const code = digits.slice(0, length)
    if (COUNTRY_CODES.has(code)) return code
  }
  throw wrongCharacter(1, 'a country code of ITU-T E.164')
}

/**
 * A format of telephone numbers.
 * @throws ConfigError on unknown options and separators.
 */
export function phone(options: PhoneOptions = {}): Format {
  onlyOptions('phone', options, ['keepFirst', 'keepLast', 'separators', 'national'])
  const keepFirst = optionCount('phone.keepFirst', options.keepFirst, [0, MAX_DIGITS - 2], 0)
  const keepLast = optionCount('phone.keepLast', options.keepLast, [0, MAX_DIGITS - 2], 0)
  const { separators = '', national = false } = options
  if (!Array.from(separators).every((character) => SEPARATORS.includes(character))) {
    throw new ConfigError('a character cannot separate digits of a telephone number', {
      where: 'phone.separators',
      expected: 'some of space - . ( ) /',
    })
  }
  const most = MAX_DIGITS - (national ? 0 : 1) - keepFirst - keepLast
  const format: Format<Scattered> = {
    describe: `telephone number${national ? '' : ' with country code, which is kept'}`,
    smallest: domainOf(10, 2),
    largest: domainOf(10, Math.max(most, 0)),
    parse(text) {
      if (text.length > MAX_LENGTH)
        throw wrongLength(text.length, `at most ${MAX_LENGTH} characters`)
      const international = text.startsWith('+')
      if (!international && !national) throw wrongCharacter(0, '"+" and a country code')
      const places: number[] = []
      let digits = ''
      for (let at = international ? 1 : 0; at < text.length; at++) {
        const character = text.charAt(at)
        if (character >= '0' && character <= '9') {
          places.push(at)
          digits += character
        } else if (!separators.includes(character)) {
          throw wrongCharacter(at, separators === '' ? 'a digit' : 'a digit or declared separator')
        }
      }
      const code = international ? countryCode(digits) : ''
      const [from, to] = [code.length + keepFirst, digits.length - keepLast]
      if (digits.length > MAX_DIGITS || to - from < 2) {
        throw new FpeError('LENGTH_INVALID', 'the number has too few or too many digits', {
          expected: `${keepFirst + keepLast + 2} digits after the country code, at most ${MAX_DIGITS} in all`,
          got: `${digits.length} digits`,
        })
      }
      const kept =
        keepFirst + keepLast > 0 ? [digits.slice(code.length, from), digits.slice(to)] : []
      return scattered(text, places.slice(from, to), DIGITS, [code, ...kept])
    },
    rebuild: gathered,
  }
  return format
}
