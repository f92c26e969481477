/**
 * Integers below N as records FF1 can take, for sets whose size is no power: dates, ranges, "A123456".
 * A set of N elements lies in the power domain radix^length chosen here; cycle-walk.ts does the rest.
 * Exact integers throughout.
 */
import type { Domain } from './format.ts'

/** SP 800-38G §5.1: radix is at most 2^16. */
const MAX_RADIX = 65_536n

/** The degree-th root, rounded up. */
function ceilRoot(value: bigint, degree: bigint): bigint {
  let low = 1n
  let high = 1n << (BigInt(value.toString(2).length) / degree + 1n)
  while (low < high) {
    const middle = (low + high) / 2n
    if (middle ** degree >= value) high = middle
    else low = middle + 1n
  }
  return low
}

/**
 * The power domain for a set of `size` elements: an exact power if there is one (nothing to walk), with
 * the fewest symbols; else the fewest symbols, and the smallest radix for them. FF1 wants two symbols at least.
 * Between the two of (radix - 1)^length and radix^length, so that a walk ends at once for nearly all values.
 */
export function domainFor(size: bigint): Domain {
  const bits = size.toString(2).length
  let fewest: { radix: bigint; length: number } | undefined
  for (let length = 2; length <= Math.max(bits, 2); length++) {
    const radix = ceilRoot(size, BigInt(length))
    if (radix > MAX_RADIX) continue
    if (radix < 2n) break
    fewest ??= { radix, length }
    if (radix ** BigInt(length) === size) {
      return { radix: Number(radix), length, size }
    }
  }
  const { radix, length } = fewest ?? { radix: 2n, length: 2 }
  const open = { radix: Number(radix), length, size }
  return { ...open, bound: toNumerals(size, open) }
}

/** Numerals of an integer, most significant first. */
export function toNumerals(
  index: bigint,
  { radix, length }: Pick<Domain, 'radix' | 'length'>,
): Uint16Array {
  const numerals = new Uint16Array(length)
  if (index <= Number.MAX_SAFE_INTEGER) {
    let rest = Number(index)
    for (let i = length - 1; i >= 0; i--) {
      numerals[i] = rest % radix
      rest = Math.floor(rest / radix)
    }
    return numerals
  }
  const base = BigInt(radix)
  let rest = index
  for (let i = length - 1; i >= 0; i--) {
    numerals[i] = Number(rest % base)
    rest /= base
  }
  return numerals
}

/** The integer of numerals, most significant first. */
export function fromNumerals(numerals: Uint16Array, radix: number): bigint {
  const base = BigInt(radix)
  let index = 0n
  for (const numeral of numerals) index = index * base + BigInt(numeral)
  return index
}

/** Digits of different radixes, most significant first, as one integer, and back. */
export class MixedRadix {
  readonly domain: Domain
  readonly #radices: readonly bigint[]

  constructor(radices: readonly number[]) {
    this.#radices = radices.map(BigInt)
    this.domain = domainFor(this.#radices.reduce((size, radix) => size * radix, 1n))
  }

  /** The record of digits, each below its radix. */
  toNumerals(digits: ArrayLike<number>): Uint16Array {
    let index = 0n
    for (let i = 0; i < this.#radices.length; i++) {
      index = index * (this.#radices[i] ?? 1n) + BigInt(digits[i] ?? 0)
    }
    return toNumerals(index, this.domain)
  }

  /** The digits of a record inside the set. */
  toDigits(numerals: Uint16Array): Uint16Array {
    const digits = new Uint16Array(this.#radices.length)
    let rest = fromNumerals(numerals, this.domain.radix)
    for (let i = digits.length - 1; i >= 0; i--) {
      const radix = this.#radices[i] ?? 1n
      digits[i] = Number(rest % radix)
      rest /= radix
    }
    return digits
  }
}
