/** Decimal integers between two bounds, each written in one way only. */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, onlyOptions, optionCount, wrongLength } from './format.ts'
import { domainFor, fromNumerals, toNumerals } from './mixed-radix.ts'

/** Options of {@link integer}. */
export interface IntegerOptions {
  /** Bounds, both possible. Beyond 2^53 as decimal text. */
  readonly min: number | bigint | string
  readonly max: number | bigint | string
  /** Digits of every value, with zeros before. Without it values have no zeros before. */
  readonly width?: number
}

const MAX_DIGITS = 100

function bound(value: number | bigint | string, name: 'min' | 'max'): bigint {
  const text = String(value)
  const safe = typeof value !== 'number' || Number.isSafeInteger(value)
  if (!safe || !/^-?(?:0|[1-9]\d*)$/.test(text) || text === '-0' || text.length > MAX_DIGITS) {
    throw new ConfigError('a bound is no whole number', {
      where: `integer.${name}`,
      expected: `a whole number, beyond 2^53 as text, of at most ${MAX_DIGITS} digits`,
    })
  }
  return BigInt(text)
}

/**
 * A format of integers.
 * @throws ConfigError on unknown options, bounds that are no range, and a width the largest does not fit.
 */
export function integer(options: IntegerOptions): Format {
  onlyOptions('integer', options, ['min', 'max', 'width'])
  const [min, max] = [bound(options.min, 'min'), bound(options.max, 'max')]
  const width = optionCount('integer.width', options.width, [1, MAX_DIGITS], 0)
  if (max <= min) {
    throw new ConfigError('the largest number is not above the smallest', { where: 'integer.max' })
  }
  if (width > 0 && (min < 0n || max.toString().length > width)) {
    throw new ConfigError('not every number of the range has this width', {
      where: 'integer.width',
      expected: 'no negative numbers, and room for the largest',
    })
  }
  const longest = Math.max(min.toString().length, max.toString().length, width)
  const shape = width > 0 ? new RegExp(`^[0-9]{${width}}$`) : /^(?:0|-?[1-9][0-9]*)$/
  const domain = domainFor(max - min + 1n)
  const format: Format = {
    describe: `integer from ${min} to ${max}${width > 0 ? `, ${width} digits` : ''}`,
    smallest: domain.size,
    largest: domain.size,
    parse(text) {
      if (text.length > longest) throw wrongLength(text.length, `at most ${longest} characters`)
      const index = shape.test(text) ? BigInt(text) - min : -1n
      if (index < 0n || index >= domain.size) {
        throw new FpeError('FORMAT_MISMATCH', 'the value is no integer of the range', {
          expected:
            width > 0
              ? `${min} to ${max} in ${width} digits`
              : `${min} to ${max} without zeros before it`,
        })
      }
      return { text, domain, clear: [], numerals: toNumerals(index, domain) }
    },
    rebuild: (_value, numerals) =>
      (min + fromNumerals(numerals, domain.radix)).toString().padStart(width, '0'),
  }
  return format
}
