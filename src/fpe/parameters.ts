/**
 * What follows from radix, length and tweak length: the parameters of SP 800-38G §5.1 Algorithm 7 steps 1 to 5,
 * the limits of both methods, and what a value costs. Integers only: logarithms in floating point give a
 * wrong byte count for many radixes.
 *
 * SP 800-38G allows lengths and tweaks below 2^32. Conversions are quadratic in the length, and every 16 bytes
 * of tweak are one more call to the key, so both end at {@link MAX_LENGTH} and {@link MAX_TWEAK} here: eight
 * times what the longest published vectors need (ACVP: 512 symbols).
 */
import { FpeError } from '../errors.ts'
import { NATIVE_HALF_BITS } from '../ports.ts'
import type { Method } from './types.ts'

/** Bytes of an AES block. */
export const BLOCK = 16
/** Longest value for FF1, in symbols. */
export const MAX_LENGTH = 4096
/** Longest tweak for FF1, in bytes. */
export const MAX_TWEAK = 4096
/** Bytes of an FF3-1 tweak: 56 bits. */
export const FF3_1_TWEAK = 7
/** Smallest domain of SP 800-38G §5.1. */
export const STANDARD_DOMAIN = 100
/** Smallest domain of the SP 800-38G Rev. 1 drafts. */
export const DEFAULT_DOMAIN = 1_000_000
/** Rounds of SP 800-38G §5.1 and §5.2. */
export const ROUNDS = { FF1: 10, 'FF3-1': 8 } as const

/** Names are those of SP 800-38G §5.1; lengths in symbols and bytes. */
export interface Ff1Parameters {
  readonly radix: number
  readonly n: number
  readonly t: number
  readonly u: number
  readonly v: number
  /** Bytes of NUM of the longer half. */
  readonly b: number
  /** Bytes of S that are used. */
  readonly d: number
  /** Blocks of Q. */
  readonly q: number
  /** Blocks at the end of Q that differ from round to round; the others hold tweak and padding only. */
  readonly k: number
  readonly radixU: bigint
  readonly radixV: bigint
  readonly P: Uint8Array
}

/** ceil(log2(radix^symbols)), exactly. */
const bitsOf = (radix: number, symbols: number): number =>
  (BigInt(radix) ** BigInt(symbols) - 1n).toString(2).length

function compute(radix: number, n: number, t: number): Ff1Parameters {
  const u = Math.floor(n / 2) // Alg. 7 step 1
  const v = n - u
  const b = Math.ceil(bitsOf(radix, v) / 8) // step 3
  const d = 4 * Math.ceil(b / 4) + 4 // step 4
  const P = new Uint8Array(BLOCK) // step 5
  P.set([1, 2, 1, radix >>> 16, radix >>> 8, radix, 10, u % 256])
  const view = new DataView(P.buffer)
  view.setUint32(8, n)
  view.setUint32(12, t)
  return {
    ...{ radix, n, t, u, v, b, d, P },
    q: Math.ceil((t + b + 1) / BLOCK), // step 6.i
    k: Math.ceil((b + 1) / BLOCK),
    radixU: BigInt(radix) ** BigInt(u),
    radixV: BigInt(radix) ** BigInt(v),
  }
}

/** A method, radix, length and tweak length that passed {@link checkShape}, and what follows from them. */
export interface Shape {
  readonly method: Method
  readonly radix: number
  readonly length: number
  readonly tweakLength: number
  /** A block cipher's native rounds take it: NATIVE_HALF_BITS. */
  readonly native: boolean
  readonly ff1: Ff1Parameters | undefined
}

const KEPT = 256
const kept: Record<Method, Map<number, Shape>> = { FF1: new Map(), 'FF3-1': new Map() }

/** @throws FpeError as {@link checkShape}. */
export function shapeOf(method: Method, radix: number, length: number, tweakLength: number): Shape {
  const key = (radix * 2 * MAX_LENGTH + length) * 2 * MAX_TWEAK + tweakLength
  const shapes = kept[method]
  const known = shapes.get(key)
  // The comparison: a radix that is no integer, or a length without bound, may share a key.
  if (known?.radix === radix && known.length === length) return known
  checkShape(method, radix, length, tweakLength)
  const shape: Shape = {
    ...{ method, radix, length, tweakLength },
    native: fitsNative(radix, length),
    ff1: method === 'FF1' ? compute(radix, length, tweakLength) : undefined,
  }
  const [oldest] = shapes.keys()
  if (oldest !== undefined && shapes.size >= KEPT) shapes.delete(oldest)
  shapes.set(key, shape)
  return shape
}

/** Number of values of a length. */
export const domainOf = (radix: number, length: number): bigint => BigInt(radix) ** BigInt(length)

/** Shortest length, at least 2, whose values number `floor` or more. */
export function minLength(radix: number, floor: number): number {
  let length = 2
  for (let domain = domainOf(radix, length); domain < BigInt(floor); length++) {
    domain *= BigInt(radix)
  }
  return length
}

/** Longest value. FF3-1: 2 * floor(log_radix(2^96)) (SP 800-38G §5.2). */
export function maxLength(method: Method, radix: number): number {
  if (method === 'FF1') return MAX_LENGTH
  let half = 0
  for (let power = BigInt(radix); power <= 1n << 96n; power *= BigInt(radix)) half++
  return 2 * half
}

/** See NATIVE_HALF_BITS; FF3-1 always fits. */
const fitsNative = (radix: number, length: number): boolean =>
  length <= 2 * NATIVE_HALF_BITS && bitsOf(radix, Math.ceil(length / 2)) <= NATIVE_HALF_BITS

/**
 * Checks a shape against the standard; the domain against its floor of 100.
 * @throws FpeError RADIX_INVALID, LENGTH_INVALID, TWEAK_INVALID, DOMAIN_TOO_SMALL.
 */
export function checkShape(
  method: Method,
  radix: number,
  length: number,
  tweakLength: number,
  floor = STANDARD_DOMAIN,
): void {
  if (!Number.isInteger(radix) || radix < 2 || radix > 65_536) {
    throw new FpeError('RADIX_INVALID', 'radix out of range', {
      expected: '2 to 65536',
      got: String(radix),
    })
  }
  const longest = maxLength(method, radix)
  if (!Number.isInteger(length) || length < 2 || length > longest) {
    throw new FpeError('LENGTH_INVALID', `${method} does not take values of this length`, {
      expected: `2 to ${longest} symbols of radix ${radix}`,
      got: `${length} symbols`,
    })
  }
  if (length < minLength(radix, floor)) {
    const domain = `${radix}^${length} = ${domainOf(radix, length)} possible values`
    throw new FpeError('DOMAIN_TOO_SMALL', 'so few possible values can be guessed', {
      expected: `at least ${floor} possible values: ${minLength(radix, floor)} symbols of radix ${radix}`,
      got: domain,
      ...(floor > STANDARD_DOMAIN && {
        hint: 'encrypt more symbols; for data that exists already: minDomain, down to 100',
      }),
    })
  }
  if (method === 'FF1' ? tweakLength > MAX_TWEAK : tweakLength !== FF3_1_TWEAK) {
    throw new FpeError('TWEAK_INVALID', `${method} does not take a tweak of this length`, {
      expected: method === 'FF1' ? `up to ${MAX_TWEAK} bytes` : `${FF3_1_TWEAK} bytes`,
      got: `${tweakLength} bytes`,
    })
  }
}

/** What values of one shape cost at the key, when every value has its own tweak. */
export interface Cost {
  /** Calls for a batch of any size, as long as a wave fits one call. Batches of mixed shapes: the largest. */
  readonly callsPerBatch: number
  /** AES blocks per value. */
  readonly blocksPerValue: number
  /** Calls more, once per key and shape: the block P. */
  readonly callsOnce: number
  /** Of `callsPerBatch` and `blocksPerValue`: spent once per key, shape and tweak instead where a tweak is shared. */
  readonly tweakCalls: number
}

/** Calls and blocks of a shape. @throws FpeError as {@link checkShape}. */
export function costOf(
  method: Method,
  radix: number,
  length: number,
  tweakLength: number = method === 'FF1' ? 0 : FF3_1_TWEAK,
): Cost {
  const { ff1 } = shapeOf(method, radix, length, tweakLength)
  if (ff1 === undefined) {
    const rounds = ROUNDS['FF3-1']
    return { callsPerBatch: rounds, blocksPerValue: rounds, callsOnce: 0, tweakCalls: 0 }
  }
  const { d, q, k } = ff1
  return {
    callsPerBatch: q - k + ROUNDS.FF1 * (k + (d > BLOCK ? 1 : 0)),
    blocksPerValue: q - k + ROUNDS.FF1 * (k + Math.ceil(d / BLOCK) - 1),
    callsOnce: 1,
    tweakCalls: q - k,
  }
}
