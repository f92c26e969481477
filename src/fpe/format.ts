/**
 * What every format does: take a value apart into numerals to encrypt and clear parts, and put the text
 * together again from new numerals. The text of the result has the same form, so that it can be taken
 * apart the same way: same domain, same clear parts, same layout.
 */
import { ConfigError, FpeError } from '../errors.ts'

/** The set the encrypted positions of a value are an element of. Shared by all values of one form. */
export interface Domain {
  /** Radix and number of symbols of the record FF1 runs on. */
  readonly radix: number
  readonly length: number
  /** Elements of the set; at most radix^length. */
  readonly size: bigint
  /** Numerals of `size`: records from there on are outside the set. Absent: every record is an element. */
  readonly bound?: Uint16Array
}

/** A value taken apart. */
export interface Parsed {
  readonly text: string
  readonly domain: Domain
  /** Of the encrypted positions, as a record of `domain`; inside its bound. */
  readonly numerals: Uint16Array
  /** What stays and is data: bound into the tweak. Not literals, separators and derived check digits. */
  readonly clear: readonly string[]
}

/** See the head of this file. */
export interface Format<Value extends Parsed = Parsed> {
  /** One sentence for people: what is encrypted, what stays. */
  readonly describe: string
  /** Size of the set for the shortest value. */
  readonly smallest: bigint
  /** Size of the set for the longest value; equal to `smallest` when all values have one domain. */
  readonly largest: bigint
  /** @throws FpeError FORMAT_MISMATCH, LENGTH_INVALID, SYMBOL_INVALID; never with a part of the value. */
  parse(text: string): Value
  /** The text of `value` with the encrypted positions replaced. `numerals` are inside the bound. */
  rebuild(value: Value, numerals: Uint16Array): string
}

/** A character, counted from 1, that its place does not take. */
export function wrongCharacter(at: number, expected: string): FpeError {
  return new FpeError('FORMAT_MISMATCH', 'a character does not belong where it stands', {
    where: `character ${at + 1}`,
    expected,
  })
}

/** A length the format does not take. */
export function wrongLength(got: number, expected: string): FpeError {
  return new FpeError('LENGTH_INVALID', 'the value has a wrong length', {
    expected,
    got: `${got} characters`,
  })
}

/** Refuses options of a name that does not exist: a misspelt one would be silently without effect. */
export function onlyOptions(format: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw new ConfigError(`the format ${format} has no such option`, {
        where: `${format}.${name}`,
        expected: known.length === 0 ? 'no options' : `one of ${known.join(', ')}`,
      })
    }
  }
}

/** A whole number of an option within bounds. */
export function optionCount(
  where: string,
  value: number | undefined,
  [min, max]: readonly [number, number],
  absent: number,
): number {
  if (value === undefined) return absent
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new ConfigError('an option is out of range', {
      where,
      expected: `a whole number from ${min} to ${max}`,
      got: String(value),
    })
  }
  return value
}
