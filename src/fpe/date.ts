/**
 * Dates and times of day between two bounds, written after a pattern, in the proleptic Gregorian calendar
 * (ISO 8601-1:2019 §4.2.1) without time zones and leap seconds. A value becomes another one of the same range,
 * exact to the calendar. The range is the set: 100 years of days are 36,525 values, far too few by default.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, type Parsed, onlyOptions, wrongCharacter, wrongLength } from './format.ts'
import { domainFor, fromNumerals, toNumerals } from './mixed-radix.ts'

/** Options of {@link date}. */
export interface DateOptions {
  /**
   * YYYY, MM and DD, and also HH, mm and ss, each once and in any order, with punctuation, blanks, T and Z between:
   * `YYYY-MM-DD`, `DD.MM.YYYY`, `YYYYMMDD`, `YYYY-MM-DDTHH:mm:ssZ`.
   */
  readonly pattern: string
  /** First and last value, written after the pattern. */
  readonly min: string
  readonly max: string
}

const TOKENS = ['YYYY', 'MM', 'DD', 'HH', 'mm', 'ss'] as const
type Token = (typeof TOKENS)[number]
/** Milliseconds of one step, by the finest token of a pattern. */
const STEPS = { DD: 86_400_000, HH: 3_600_000, mm: 60_000, ss: 1000 } as const

type Piece = { readonly at: number } & ({ readonly token: Token } | { readonly literal: string })

interface Pattern {
  readonly pieces: readonly Piece[]
  readonly length: number
  readonly step: number
}

/** @throws ConfigError. */
function compile(pattern: string): Pattern {
  const refuse = (expected: string): never => {
    throw new ConfigError('the pattern of a date cannot be used', {
      where: 'date.pattern',
      expected,
    })
  }
  const pieces: Piece[] = []
  const tokens = new Set<Token>()
  for (let at = 0; at < pattern.length;) {
    const token = TOKENS.find((one) => pattern.startsWith(one, at))
    if (token !== undefined) {
      if (tokens.has(token)) refuse(`${token} once`)
      tokens.add(token)
      pieces.push({ at, token })
      at += token.length
    } else {
      const literal = pattern.charAt(at)
      if (!/^[-./: ,TZ]$/.test(literal)) refuse(`${TOKENS.join(', ')}, - . / : , T, Z and blanks`)
      pieces.push({ at, literal })
      at++
    }
  }
  const [, , , ...times] = TOKENS
  const needed = TOKENS.slice(0, 3 + times.filter((token) => tokens.has(token)).length)
  if (!needed.every((token) => tokens.has(token))) {
    refuse('YYYY, MM and DD; mm with HH only, ss with mm only')
  }
  const finest = needed.at(-1) as keyof typeof STEPS
  return { pieces, length: pattern.length, step: STEPS[finest] }
}

/** Steps since 1970. @throws FpeError LENGTH_INVALID, FORMAT_MISMATCH. */
function read({ pieces, length, step }: Pattern, text: string): number {
  if (text.length !== length) throw wrongLength(text.length, `${length} characters`)
  const found = { YYYY: 0, MM: 0, DD: 0, HH: 0, mm: 0, ss: 0 }
  for (const piece of pieces) {
    if ('literal' in piece) {
      if (text.charAt(piece.at) !== piece.literal) {
        throw wrongCharacter(piece.at, JSON.stringify(piece.literal))
      }
      continue
    }
    let value = 0
    for (let at = piece.at; at < piece.at + piece.token.length; at++) {
      const digit = text.charCodeAt(at) - 48
      if (!(digit >= 0 && digit <= 9)) throw wrongCharacter(at, 'a digit')
      value = value * 10 + digit
    }
    found[piece.token] = value
  }
  const { YYYY, MM, DD, HH, mm, ss } = found
  const when = new Date(0)
  // Not Date.UTC, for which years 0 to 99 are those after 1900.
  when.setUTCFullYear(YYYY, MM - 1, DD)
  when.setUTCHours(HH, mm, ss)
  const exact =
    when.getUTCFullYear() === YYYY &&
    when.getUTCMonth() === MM - 1 &&
    when.getUTCDate() === DD &&
    when.getUTCHours() === HH &&
    when.getUTCMinutes() === mm &&
    when.getUTCSeconds() === ss
  if (!exact) {
    throw new FpeError('FORMAT_MISMATCH', 'the calendar has no such day or time', {
      expected: 'a day of the Gregorian calendar, 00:00:00 to 23:59:59',
    })
  }
  return when.getTime() / step
}

function write({ pieces, step }: Pattern, steps: number): string {
  const when = new Date(steps * step)
  const fields = {
    YYYY: when.getUTCFullYear(),
    MM: when.getUTCMonth() + 1,
    DD: when.getUTCDate(),
    HH: when.getUTCHours(),
    mm: when.getUTCMinutes(),
    ss: when.getUTCSeconds(),
  }
  let text = ''
  for (const piece of pieces) {
    text +=
      'literal' in piece
        ? piece.literal
        : String(fields[piece.token]).padStart(piece.token.length, '0')
  }
  return text
}

function bound(pattern: Pattern, text: string, name: 'min' | 'max'): number {
  try {
    return read(pattern, text)
  } catch (error) {
    if (!(error instanceof FpeError)) throw error
    const { expected } = error
    throw new ConfigError('a bound of a date is not written after the pattern', {
      where: `date.${name}`,
      expected,
    })
  }
}

/**
 * A format of dates, or dates with times.
 * @throws ConfigError on unknown options, patterns that cannot be used, and bounds that are no dates or no range.
 */
export function date(options: DateOptions): Format {
  onlyOptions('date', options, ['pattern', 'min', 'max'])
  const pattern = compile(options.pattern)
  const [min, max] = [bound(pattern, options.min, 'min'), bound(pattern, options.max, 'max')]
  if (max <= min) {
    throw new ConfigError('the last date is not after the first', { where: 'date.max' })
  }
  const domain = domainFor(BigInt(max - min + 1))
  const format: Format = {
    describe: `date ${options.pattern} from ${options.min} to ${options.max}`,
    smallest: domain.size,
    largest: domain.size,
    parse(text): Parsed {
      const steps = read(pattern, text)
      if (steps < min || steps > max) {
        throw new FpeError('FORMAT_MISMATCH', 'the date is outside the range of the format', {
          expected: `${options.min} to ${options.max}`,
        })
      }
      return { text, domain, clear: [], numerals: toNumerals(steps - min, domain) }
    },
    rebuild: (_value, numerals) =>
      write(pattern, min + Number(fromNumerals(numerals, domain.radix))),
  }
  return format
}
