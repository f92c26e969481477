/** The Luhn check digit: ISO/IEC 7812-1:2017 Annex B. */
import { FpeError } from '../errors.ts'

/** What an even-placed digit, counted from the check digit, contributes: the digit sum of its double. */
const DOUBLED = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9] as const
/** The digit that contributes so much at such a place: doubling permutes the digits. */
const HALVED = [0, 5, 1, 6, 2, 7, 3, 8, 4, 9] as const

const ZERO = 48

/** The sum modulo 10 over digits at `places` of `codes`, the last of them being the check digit. */
function sum(codes: ArrayLike<number>, places: ArrayLike<number>): number {
  let total = 0
  const last = places.length - 1
  for (let i = 0; i <= last; i++) {
    const digit = (codes[places[i] ?? 0] ?? ZERO) - ZERO
    total += (last - i) % 2 === 0 ? digit : (DOUBLED[digit] ?? 0)
  }
  return total % 10
}

/** @throws FpeError FORMAT_MISMATCH when the digits do not end in their check digit. */
export function checkLuhn(codes: ArrayLike<number>, places: ArrayLike<number>): void {
  if (sum(codes, places) !== 0) {
    throw new FpeError('FORMAT_MISMATCH', 'the Luhn check digit is wrong', {
      expected: 'a number that passes the check of ISO/IEC 7812-1 Annex B',
      hint: 'set luhn to false for numbers that do not carry a check digit',
    })
  }
}

/**
 * Sets the digit at `places[which]` so that all digits pass. Whatever the others are, exactly one digit
 * does: numbers that pass and the digits without this one correspond one to one.
 */
export function solveLuhn(codes: number[], places: ArrayLike<number>, which: number): void {
  codes[places[which] ?? 0] = ZERO
  const missing = (10 - sum(codes, places)) % 10
  const straight = (places.length - 1 - which) % 2 === 0
  codes[places[which] ?? 0] = ZERO + (straight ? missing : (HALVED[missing] ?? 0))
}
