/**
 * Shamir over GF(2^8) written for the tests alone, by shift and reduce instead of tables, so that it shares nothing
 * with the library it checks.
 */

/** Product modulo x^8 + x^4 + x^3 + x + 1. */
export function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0; bit < 8; bit += 1) {
    if ((b >> bit) & 1) product ^= a << bit
  }
  for (let bit = 15; bit >= 8; bit -= 1) {
    if ((product >> bit) & 1) product ^= 0x11b << (bit - 8)
  }
  return product
}

/** a^254, the inverse of a. */
export function inverse(a: number): number {
  let result = 1
  for (let count = 0; count < 254; count += 1) result = multiply(result, a)
  return result
}

/** Lagrange interpolation at 0 of shares y_1..y_n || x. */
export function interpolate(shares: readonly Uint8Array[]): Uint8Array {
  const size = shares[0]!.length - 1
  const out = new Uint8Array(size)
  for (const share of shares) {
    const x = share[size]!
    let basis = 1
    for (const other of shares) {
      if (other === share) continue
      basis = multiply(basis, multiply(other[size]!, inverse(other[size]! ^ x)))
    }
    for (let at = 0; at < size; at += 1) out[at]! ^= multiply(share[at]!, basis)
  }
  return out
}
