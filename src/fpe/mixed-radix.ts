/**
 * Integers below N as records FF1 can take, for sets whose size is no power: dates, ranges, "A123456".
 * A set of N elements lies in the power domain radix^length chosen here; cycle-walk.ts does the rest.
 * Exact integers throughout.
 */
import type { Domain } from './format.ts'
import { domainOf } from './parameters.ts'

/** SP 800-38G §5.1: radix is at most 2^16. */
const MAX_RADIX = 65_536n
/** Exact powers are looked for up to this length. */
const MAX_EXACT = 64

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

/** Domains kept: more than a column has lengths, and bounded for those that have thousands. */
const KEPT = 512
const uniform = new Map<number, Domain>()

/** The set of all records of a radix and length, at least two symbols. */
export function uniformDomain(radix: number, length: number): Domain {
  const key = length * 65_537 + radix
  const known = uniform.get(key)
  if (known !== undefined) return known
  const domain = { radix, length, size: domainOf(radix, length) }
  if (uniform.size >= KEPT) uniform.clear()
  uniform.set(key, domain)
  return domain
}

/**
 * The power domain for a set of `size` elements: an exact power if there is one (nothing to walk), with
 * the fewest symbols; else the fewest symbols, and the smallest radix for them. FF1 wants two symbols at least.
 * The size is above (radix - 1)^length, so that a walk ends at once for nearly all values.
 */
export function domainFor(size: bigint): Domain {
  const bits = size.toString(2).length
  const shortest = Math.max(2, Math.floor((bits - 1) / 16))
  let fewest: { radix: number; length: number } | undefined
  for (let length = shortest; fewest === undefined || length <= MAX_EXACT; length++) {
    const root = ceilRoot(size, BigInt(length))
    if (root > MAX_RADIX) continue
    const radix = Math.max(2, Number(root))
    if (domainOf(radix, length) === size) return { radix, length, size }
    fewest ??= { radix, length }
  }
  const open = { ...fewest, size }
  return { ...open, bound: toNumerals(size, open) }
}

/** Numerals of an integer, most significant first. A number must be a safe one. */
export function toNumerals(
  index: number | bigint,
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
  let rest = BigInt(index)
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
  readonly #radices: readonly number[]
  /** Below 2^53 numbers are exact, and several times faster than bigints. */
  readonly #small: boolean

  constructor(radices: readonly number[]) {
    this.#radices = radices
    this.domain = domainFor(radices.reduce((size, radix) => size * BigInt(radix), 1n))
    this.#small = this.domain.size <= Number.MAX_SAFE_INTEGER
  }

  /** The record of digits, each below its radix. */
  toNumerals(digits: ArrayLike<number>): Uint16Array {
    if (this.#small) {
      let index = 0
      for (let i = 0; i < this.#radices.length; i++) {
        index = index * (this.#radices[i] ?? 1) + (digits[i] ?? 0)
      }
      return toNumerals(index, this.domain)
    }
    let index = 0n
    for (let i = 0; i < this.#radices.length; i++) {
      index = index * BigInt(this.#radices[i] ?? 1) + BigInt(digits[i] ?? 0)
    }
    return toNumerals(index, this.domain)
  }

  /** The digits of a record inside the set. */
  toDigits(numerals: Uint16Array): Uint16Array {
    const digits = new Uint16Array(this.#radices.length)
    const { radix: base } = this.domain
    if (this.#small) {
      let rest = numerals.reduce((index, numeral) => index * base + numeral, 0)
      for (let i = digits.length - 1; i >= 0; i--) {
        const radix = this.#radices[i] ?? 1
        digits[i] = rest % radix
        rest = Math.floor(rest / radix)
      }
      return digits
    }
    let rest = fromNumerals(numerals, base)
    for (let i = digits.length - 1; i >= 0; i--) {
      const radix = BigInt(this.#radices[i] ?? 1)
      digits[i] = Number(rest % radix)
      rest /= radix
    }
    return digits
  }
}
