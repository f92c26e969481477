/**
 * Card numbers: 12 to 19 digits (ISO/IEC 7812-1:2017), bare or grouped as printed, by space or hyphen.
 * With `luhn`, numbers that pass their check become numbers that pass: the last digit that is not kept is
 * not encrypted but solved for, so the set is a tenth as large and nothing has to be walked.
 */
import { ConfigError } from '../errors.ts'
import { type Format, onlyOptions, optionCount, wrongLength } from './format.ts'
import { type Cell, DIGITS, type Layout, type Placed } from './layout.ts'
import { codesOf, keepEnds, layoutOf, place, replaced, textOf } from './layout.ts'
import { checkLuhn, solveLuhn } from './luhn.ts'

/** Options of {@link pan}. */
export interface PanOptions {
  /** Digits kept at the beginning: 0 to 12, 0 by default. The issuer number has 6 or 8. */
  readonly keepFirst?: number
  /** Digits kept at the end: 0 to 12, 0 by default. */
  readonly keepLast?: number
  /** Input passes the Luhn check, and so does output. Default false. */
  readonly luhn?: boolean
  /** Digits; a number or [shortest, longest] within 12 to 19. Default [12, 19]. */
  readonly digits?: number | readonly [number, number]
}

/** Groups as printed on cards, by number of digits. */
const GROUPS: Readonly<Record<number, readonly number[]>> = {
  12: [4, 4, 4],
  13: [4, 4, 5],
  14: [4, 6, 4],
  15: [4, 6, 5],
  16: [4, 4, 4, 4],
  17: [4, 4, 4, 5],
  18: [4, 4, 4, 6],
  19: [4, 4, 4, 4, 3],
}
/** All groupings begin with four digits. */
const FIRST_GROUP = 4
const SEPARATORS = ['', ' ', '-']

interface PanLayout extends Layout {
  /** Places of all digits, and which of them is solved for. */
  readonly digits: Uint8Array
  readonly solved: number
}

function panLayout(digits: number, separator: string, options: Required<PanOptions>): PanLayout {
  const { keepFirst, keepLast, luhn } = options
  const cells: Cell[] = []
  const places: number[] = []
  for (const [group, size] of (GROUPS[digits] ?? []).entries()) {
    if (group > 0 && separator !== '') cells.push({ role: 'fixed', character: separator })
    for (let i = 0; i < size; i++) {
      places.push(cells.length)
      cells.push({ role: 'encrypt', of: DIGITS })
    }
  }
  const solved = digits - keepLast - 1
  const kept = keepEnds(cells, keepFirst, keepLast)
  if (luhn) kept[places[solved] ?? 0] = { role: 'derived', of: DIGITS }
  return { ...layoutOf(kept), digits: Uint8Array.from(places), solved }
}

/**
 * A format of card numbers.
 * @throws ConfigError on unknown options and counts out of range.
 */
export function pan(options: PanOptions = {}): Format {
  onlyOptions('pan', options, ['keepFirst', 'keepLast', 'luhn', 'digits'])
  const { luhn = false, digits = [12, 19] } = options
  const keepFirst = optionCount('pan.keepFirst', options.keepFirst, [0, 12], 0)
  const keepLast = optionCount('pan.keepLast', options.keepLast, [0, 12], 0)
  const ends = typeof digits === 'number' ? ([digits, digits] as const) : digits
  const shortest = optionCount('pan.digits', ends[0], [12, 19], 12)
  const longest = optionCount('pan.digits', ends[1], [shortest, 19], 19)
  if (keepFirst + keepLast >= shortest - 1) {
    throw new ConfigError('a card number of which nearly everything is kept', {
      where: 'pan.keepFirst and pan.keepLast',
      expected: `together at most ${shortest - 2}`,
      got: String(keepFirst + keepLast),
    })
  }
  const required = { keepFirst, keepLast, luhn, digits }
  /** By separator and length of the text. */
  const forms: PanLayout[][] = SEPARATORS.map(() => [])
  const sizes: bigint[] = []
  for (let count = shortest; count <= longest; count++) {
    for (const [which, separator] of SEPARATORS.entries()) {
      const form = panLayout(count, separator, required)
      const byLength = forms[which] ?? []
      byLength[form.length] = form
      sizes.push(form.domain.size)
    }
  }
  const range = shortest === longest ? `${shortest}` : `${shortest} to ${longest}`
  const format: Format<Placed<PanLayout>> = {
    describe: [
      `card number of ${range} digits`,
      keepFirst > 0 ? `first ${keepFirst} kept` : '',
      keepLast > 0 ? `last ${keepLast} kept` : '',
      luhn ? 'passes the Luhn check' : '',
    ]
      .filter((part) => part !== '')
      .join(', '),
    smallest: sizes[0] ?? 0n,
    largest: sizes.at(-1) ?? 0n,
    parse(text) {
      const separator = Math.max(0, SEPARATORS.indexOf(text.charAt(FIRST_GROUP)))
      const form = forms[separator]?.[text.length]
      if (form === undefined) {
        throw wrongLength(text.length, `${range} digits, bare or in groups by space or hyphen`)
      }
      const placed = place(form, text)
      if (luhn) checkLuhn(codesOf(text), form.digits)
      return placed
    },
    rebuild(value, numerals) {
      const codes = replaced(value, numerals)
      if (luhn) solveLuhn(codes, value.layout.digits, value.layout.solved)
      return textOf(codes)
    },
  }
  return format
}
