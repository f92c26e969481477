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

/** NUM(X) of a byte string, Algorithm 2. */
export function num(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let value = 0n
  let at = 0
  for (; at < bytes.length % 8; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0)
  for (; at < bytes.length; at += 8) value = (value << 64n) | view.getBigUint64(at)
  return value
}

/** Writes [x]^length, big-endian, at `at`; `x` is below 256^length. */
export function writeBytes(x: bigint, bytes: Uint8Array, at: number, length: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let rest = x
  let end = at + length
  for (; end - at >= 8; end -= 8) {
    view.setBigUint64(end - 8, BigInt.asUintN(64, rest))
    rest >>= 64n
  }
  for (; end > at; end--) {
    bytes[end - 1] = Number(rest & 0xffn)
    rest >>= 8n
  }
}

/** x mod m, never negative (SP 800-38G §4.5). */
export const mod = (x: bigint, m: bigint): bigint => {
  const rest = x % m
  return rest < 0n ? rest + m : rest
}
