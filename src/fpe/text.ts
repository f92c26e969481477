/** Text over any alphabet: every symbol is encrypted, but for those kept at either end. */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, type Parsed, onlyOptions, optionCount } from './format.ts'
import { uniformDomain } from './mixed-radix.ts'
import { MAX_LENGTH, domainOf } from './parameters.ts'
import type { Alphabet } from './types.ts'

/** Options of {@link text}. Lengths in symbols. */
export interface TextOptions {
  readonly alphabet: Alphabet
  /** Shortest value; default 2 more than are kept. */
  readonly minLength?: number
  /** Longest value; default 4,096. */
  readonly maxLength?: number
  /** Symbols kept at either end. Default 0. */
  readonly keepFirst?: number
  readonly keepLast?: number
}

interface Text extends Parsed {
  readonly head: string
  readonly tail: string
}

/**
 * A format of text over an alphabet.
 * @throws ConfigError on unknown options and lengths out of range.
 */
export function text(options: TextOptions): Format {
  onlyOptions('text', options, ['alphabet', 'minLength', 'maxLength', 'keepFirst', 'keepLast'])
  const { alphabet } = options
  const keepFirst = optionCount('text.keepFirst', options.keepFirst, [0, MAX_LENGTH], 0)
  const keepLast = optionCount('text.keepLast', options.keepLast, [0, MAX_LENGTH], 0)
  const kept = keepFirst + keepLast
  // SP 800-38G §5.1: at least two symbols.
  if (kept + 2 > MAX_LENGTH) {
    throw new ConfigError('a text of which everything is kept', {
      where: 'text.keepFirst and text.keepLast',
    })
  }
  const bounds = [kept + 2, MAX_LENGTH] as const
  const maxLength = optionCount('text.maxLength', options.maxLength, bounds, MAX_LENGTH)
  const least = [kept + 2, maxLength] as const
  const minLength = optionCount('text.minLength', options.minLength, least, kept + 2)
  const expected = minLength === maxLength ? `${minLength}` : `${minLength} to ${maxLength}`
  const wrong = (got: string): FpeError =>
    new FpeError('LENGTH_INVALID', 'the value has a wrong length', {
      expected: `${expected} symbols`,
      got,
    })
  /** No symbol is longer, so that a text beyond this is not even read. */
  const longest = alphabet.symbols.reduce((max, { length }) => Math.max(max, length), 1) * maxLength
  const format: Format<Text> = {
    describe: [
      `text of ${expected} symbols of alphabet ${alphabet.id}`,
      keepFirst > 0 ? `first ${keepFirst} kept` : '',
      keepLast > 0 ? `last ${keepLast} kept` : '',
    ]
      .filter((part) => part !== '')
      .join(', '),
    smallest: domainOf(alphabet.radix, minLength - kept),
    largest: domainOf(alphabet.radix, maxLength - kept),
    parse(value) {
      if (value.length > longest) throw wrong(`${value.length} characters`)
      const numerals = alphabet.encode(value)
      const { length } = numerals
      if (length < minLength || length > maxLength) throw wrong(`${length} symbols`)
      const head = alphabet.decode(numerals.subarray(0, keepFirst))
      const tail = alphabet.decode(numerals.subarray(length - keepLast))
      return {
        ...{ text: value, head, tail, domain: uniformDomain(alphabet.radix, length - kept) },
        numerals: numerals.slice(keepFirst, length - keepLast),
        clear: kept === 0 ? [] : [head, tail],
      }
    },
    rebuild: ({ head, tail }, numerals) => head + alphabet.decode(numerals) + tail,
  }
  return format
}
