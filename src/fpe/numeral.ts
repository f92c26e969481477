/**
 * Numerals, integers and bytes: the conversions of SP 800-38G §4.5 (Algorithms 1 to 3), exact at any size.
 * Numerals are most significant first. BigInt arithmetic: time depends on the values.
 */

/** Largest power of the radix a double holds exactly, so that most digits need no BigInt. */
const LIMB = Number.MAX_SAFE_INTEGER

/** NUM_radix(X), Algorithm 1. */
export function numRadix(numerals: ArrayLike<number>, radix: number): bigint {
  let value = 0n
  let limb = 0
  let weight = 1
  for (let i = 0; i < numerals.length; i++) {
    if (weight * radix > LIMB) {
      value = value * BigInt(weight) + BigInt(limb)
      limb = 0
      weight = 1
    }
    limb = limb * radix + (numerals[i] ?? 0)
    weight *= radix
  }
  return value === 0n ? BigInt(limb) : value * BigInt(weight) + BigInt(limb)
}

/** STR^m_radix(x), Algorithm 3; `x` is below radix^m. */
export function strRadix(x: bigint, radix: number, m: number): Uint16Array {
  const numerals = new Uint16Array(m)
  let digits = 1
  let weight = radix
  while (weight * radix <= LIMB) {
    weight *= radix
    digits++
  }
  const limbWeight = BigInt(weight)
  let rest = x
  for (let end = m; end > 0; end -= digits) {
    const last = end <= digits
    let limb = Number(last ? rest : rest % limbWeight)
    if (!last) rest /= limbWeight
    for (let i = end - 1; i >= Math.max(0, end - digits); i--) {
      numerals[i] = limb % radix
      limb = Math.floor(limb / radix)
    }
  }
  return numerals
}

/** NUM(X) of the first `length` bytes, Algorithm 2. */
export function num(bytes: DataView, length: number): bigint {
  let value = 0n
  let at = 0
  for (; at < length % 8; at += 4) value = BigInt(bytes.getUint32(at))
  for (; at < length; at += 8) {
    const word = bytes.getBigUint64(at)
    value = at === 0 ? word : (value << 64n) | word
  }
  return value
}

/** Writes [x]^length, big-endian, at `at`; `x` is below 256^length. */
export function writeBytes(x: bigint, bytes: DataView, at: number, length: number): void {
  let rest = x
  let end = at + length
  for (; end - at > 8; end -= 8) {
    bytes.setBigUint64(end - 8, BigInt.asUintN(64, rest))
    rest >>= 64n
  }
  let high = Number(rest >> 32n)
  let low = Number(rest & 0xffff_ffffn)
  for (let i = end - 1; i >= at; i--) {
    bytes.setUint8(i, low)
    low = (low >>> 8) | ((high & 0xff) << 24)
    high >>>= 8
  }
}

/** x mod m, never negative (SP 800-38G §4.5). */
export const mod = (x: bigint, m: bigint): bigint => {
  const rest = x % m
  return rest < 0n ? rest + m : rest
}
