/**
 * Base16 (RFC 4648 §8, lower case) between byte arrays, for secrets: no JavaScript string is made,
 * because a string can be neither wiped nor kept out of the heap snapshot.
 */

/** ASCII codes of the 16 digits. */
const DIGITS = new TextEncoder().encode('0123456789abcdef')

/** ASCII bytes of the lower-case hexadecimal digits of `bytes`. */
export function base16(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length * 2)
  bytes.forEach((byte, at) => {
    out[2 * at] = DIGITS[byte >> 4] ?? 0
    out[2 * at + 1] = DIGITS[byte & 15] ?? 0
  })
  return out
}

/** Inverse of {@link base16}; `undefined` when the input is anything but pairs of 0-9a-f. */
export function fromBase16(ascii: Uint8Array): Uint8Array | undefined {
  if (ascii.length % 2 !== 0) return undefined
  const out = new Uint8Array(ascii.length / 2)
  for (let at = 0; at < out.length; at += 1) {
    const high = DIGITS.indexOf(ascii[2 * at] ?? 0)
    const low = DIGITS.indexOf(ascii[2 * at + 1] ?? 0)
    if (high < 0 || low < 0) {
      out.fill(0)
      return undefined
    }
    out[at] = (high << 4) | low
  }
  return out
}
