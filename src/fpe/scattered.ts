/** Values of which characters of one class are encrypted wherever they stand, and all others stay in place. */
import { FpeError } from '../errors.ts'
import type { Parsed } from './format.ts'
import { type CharacterClass, codesOf, numeralAt, textOf } from './layout.ts'
import { uniformDomain } from './mixed-radix.ts'

/** A value taken apart, with the places of its encrypted characters. */
export interface Scattered extends Parsed {
  readonly places: readonly number[]
  readonly of: CharacterClass
}

/** @throws FpeError SYMBOL_INVALID, LENGTH_INVALID when fewer than two characters are encrypted. */
export function scattered(
  text: string,
  places: readonly number[],
  of: CharacterClass,
  clear: readonly string[],
): Scattered {
  // SP 800-38G §5.1: at least two symbols.
  if (places.length < 2) {
    throw new FpeError('LENGTH_INVALID', 'too few characters are left to encrypt', {
      expected: 'at least 2',
      got: String(places.length),
    })
  }
  const numerals = Uint16Array.from(places, (at) => numeralAt(text, at, of))
  return { text, places, of, numerals, clear, domain: uniformDomain(of.size, places.length) }
}

/** The text with new symbols at its encrypted places. */
export function gathered({ text, places, of }: Scattered, numerals: Uint16Array): string {
  const codes = codesOf(text)
  for (const [i, at] of places.entries()) codes[at] = of.codes[numerals[i] ?? 0] ?? 0
  return textOf(codes)
}
