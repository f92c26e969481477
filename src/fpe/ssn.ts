/**
 * US social security numbers: area, group and serial, "ddd-dd-dddd" or nine digits. The Social Security
 * Administration assigns no area 000, 666 or 900 to 999, no group 00 and no serial 0000 (still so since it
 * assigns at random, June 2011). Such numbers are refused and never come out, unless `strict` is false.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, onlyOptions } from './format.ts'
import { type Cell, DIGITS, type Layout, type Placed } from './layout.ts'
import { keepEnds, layoutOf, place, replaced, textOf } from './layout.ts'
import { MixedRadix } from './mixed-radix.ts'

/** Options of {@link ssn}. */
export interface SsnOptions {
  /** Digits kept at the end. With 4, fewer than 100,000 numbers remain. Default 0. */
  readonly keepLast?: 0 | 4
  /** Only numbers that can have been assigned. Default true. */
  readonly strict?: boolean
}

/** Areas 001 to 899 without 666. */
const AREAS = 898
const GROUPS = 99
const SERIALS = 9999
const SKIPPED_AREA = 666

function ssnLayout(grouped: boolean, keepLast: number): Layout {
  const cells: Cell[] = []
  for (let digit = 0; digit < 9; digit++) {
    if (grouped && (digit === 3 || digit === 5)) cells.push({ role: 'fixed', character: '-' })
    cells.push({ role: 'encrypt', of: DIGITS })
  }
  return layoutOf(keepEnds(cells, 0, keepLast))
}

/** Area, group and serial of nine digits, each counted from 0 among those that are assigned. */
function assigned(digits: string): [number, number, number] {
  const [area, group, serial] = [digits.slice(0, 3), digits.slice(3, 5), digits.slice(5)].map(
    Number,
  )
  if (!area || !group || !serial || area === SKIPPED_AREA || area > 899) {
    throw new FpeError('FORMAT_MISMATCH', 'no such social security number is ever assigned', {
      expected: 'an area of 001 to 899 but not 666, a group from 01, a serial from 0001',
      hint: 'strict: false takes any nine digits',
    })
  }
  return [area > SKIPPED_AREA ? area - 2 : area - 1, group - 1, serial - 1]
}

/** The numerals of nine digits, the inverse of {@link assigned}. */
function digitsOf(area: number, group: number, serial: number): number[] {
  const number = area < SKIPPED_AREA - 1 ? area + 1 : area + 2
  const text = `${number}`.padStart(3, '0') + `${group + 1}`.padStart(2, '0')
  return Array.from(text + `${serial + 1}`.padStart(4, '0'), Number)
}

/**
 * A format of social security numbers.
 * @throws ConfigError on unknown options.
 */
export function ssn(options: SsnOptions = {}): Format {
  onlyOptions('ssn', options, ['keepLast', 'strict'])
  const { keepLast = 0, strict = true } = options
  if (!([0, 4] as number[]).includes(keepLast)) {
    throw new ConfigError('an option is out of range', {
      where: 'ssn.keepLast',
      expected: '0 or 4',
    })
  }
  const [bare, grouped] = [ssnLayout(false, keepLast), ssnLayout(true, keepLast)]
  const valid = new MixedRadix(keepLast === 0 ? [AREAS, GROUPS, SERIALS] : [AREAS, GROUPS])
  const { size } = strict ? valid.domain : bare.domain
  const format: Format<Placed> = {
    describe: `US social security number${keepLast === 0 ? '' : ', serial kept'}`,
    smallest: size,
    largest: size,
    parse(text) {
      const placed = place(text.length === grouped.length ? grouped : bare, text)
      if (!strict) return placed
      const numerals = valid.toNumerals(assigned(text.replaceAll('-', '')))
      return { ...placed, domain: valid.domain, numerals }
    },
    rebuild(value, numerals) {
      if (!strict) return textOf(replaced(value, numerals))
      const [area = 0, group = 0, serial = 0] = valid.toDigits(numerals)
      return textOf(replaced(value, Uint16Array.from(digitsOf(area, group, serial))))
    },
  }
  return format
}
