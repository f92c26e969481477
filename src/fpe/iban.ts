/**
 * International bank account numbers: ISO 13616-1:2020. The country stays, the check digits are recomputed
 * (ISO/IEC 7064, MOD 97-10), the BBAN is encrypted within its country's structure. Check digits that some
 * countries have inside the BBAN are data here, and come out as such.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, onlyOptions, optionCount, wrongCharacter } from './format.ts'
import { type BbanRun, IBAN_STRUCTURES } from './iban-structures.ts'
import { type Cell, DIGITS, type Layout, type Placed, UPPER, UPPER_ALPHANUMERIC } from './layout.ts'
import { codesOf, keepEnds, layoutOf, place, replaced, textOf } from './layout.ts'

/** Options of {@link iban}. */
export interface IbanOptions {
  /** Countries taken; all of the registry by default. */
  readonly countries?: readonly string[]
  /** Characters of the BBAN kept at its beginning, such as the bank. Default 0. */
  readonly keepFirst?: number
  /** Characters of the BBAN kept at its end. Default 0. */
  readonly keepLast?: number
}

const CLASSES = { n: DIGITS, a: UPPER, c: UPPER_ALPHANUMERIC }
const [SPACE, ZERO, A] = [32, 48, 65]
/** Printed in groups of four. */
const GROUP = 4

/** Without spaces, or as printed. */
interface Forms {
  readonly bare: Layout
  readonly printed: Layout
}

function formsOf(runs: readonly BbanRun[], first: number, last: number): Forms {
  const bban = runs.flatMap(({ count, class: letter }) =>
    Array.from({ length: count }, (): Cell => ({ role: 'encrypt', of: CLASSES[letter] })),
  )
  const country: Cell = { role: 'keep', of: UPPER }
  const check: Cell = { role: 'derived', of: DIGITS }
  const cells = [country, country, check, check, ...keepEnds(bban, first, last)]
  const space: Cell = { role: 'fixed', character: ' ' }
  const printed = cells.flatMap((cell, at) => (at > 0 && at % GROUP === 0 ? [space, cell] : [cell]))
  return { bare: layoutOf(cells), printed: layoutOf(printed) }
}

/** The two check digits for the other characters: 98 - (BBAN, country, 00) mod 97 (ISO 13616-1 §6). */
function checkDigits(codes: readonly number[]): number {
  let rest = 0
  const add = (code = ZERO): void => {
    rest = code >= A ? (rest * 100 + code - A + 10) % 97 : (rest * 10 + code - ZERO) % 97
  }
  for (let at = GROUP; at < codes.length; at++) if (codes[at] !== SPACE) add(codes[at])
  add(codes[0])
  add(codes[1])
  add(ZERO)
  add(ZERO)
  return 98 - rest
}

/**
 * A format of IBANs.
 * @throws ConfigError on unknown options and countries. Where keeping leaves too little of a country's BBAN, the
 * column refuses its values: DOMAIN_TOO_SMALL.
 */
export function iban(options: IbanOptions = {}): Format {
  onlyOptions('iban', options, ['countries', 'keepFirst', 'keepLast'])
  const keepFirst = optionCount('iban.keepFirst', options.keepFirst, [0, 30], 0)
  const keepLast = optionCount('iban.keepLast', options.keepLast, [0, 30], 0)
  const forms = new Map<string, Forms>()
  for (const country of options.countries ?? IBAN_STRUCTURES.keys()) {
    const runs = IBAN_STRUCTURES.get(country)
    if (runs === undefined) {
      throw new ConfigError('the IBAN registry has no such country', {
        where: 'iban.countries',
        expected: 'ISO 3166-1 codes of countries with IBANs, in capitals',
      })
    }
    forms.set(country, formsOf(runs, keepFirst, keepLast))
  }
  const sizes = Array.from(forms.values(), ({ bare }) => bare.domain.size)
  const [first] = sizes
  if (first === undefined) {
    throw new ConfigError('no country is given', { where: 'iban.countries' })
  }
  const format: Format<Placed> = {
    describe: `IBAN${options.countries === undefined ? '' : ` of ${[...forms.keys()].join(', ')}`}, country kept`,
    smallest: sizes.reduce((least, size) => (size < least ? size : least), first),
    largest: sizes.reduce((most, size) => (size > most ? size : most), first),
    parse(text) {
      const form = forms.get(text.slice(0, 2))
      if (form === undefined) throw wrongCharacter(0, 'the code of a country that is taken')
      const printed = text.charCodeAt(GROUP) === SPACE
      const placed = place(printed ? form.printed : form.bare, text)
      // Also refuses 00, 01 and 99, which have the remainder of 97, 98 and 02 and would not come back.
      if (Number(text.slice(2, 4)) !== checkDigits(codesOf(text))) {
        throw new FpeError('FORMAT_MISMATCH', 'the check digits are wrong', {
          where: 'characters 3 and 4',
          expected: 'ISO/IEC 7064 MOD 97-10',
        })
      }
      return placed
    },
    rebuild(value, numerals) {
      const codes = replaced(value, numerals)
      const check = checkDigits(codes)
      codes[2] = ZERO + Math.floor(check / 10)
      codes[3] = ZERO + (check % 10)
      return textOf(codes)
    },
  }
  return format
}
