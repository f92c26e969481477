/** Residues packed to their bits and back, in TypeScript. */
import { EmbeddingError } from '../errors.ts'

/** N little-endian 64-bit words to a bit string. */
export function packResidues(words: Uint8Array, bits: number): Uint8Array {
  const count = words.length / 8
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength)
  const out = new Uint8Array((count * bits) / 8 + 8)
  const target = new DataView(out.buffer)
  for (let j = 0; j < count; j++) {
    const [low, high] = [view.getUint32(8 * j, true), view.getUint32(8 * j + 4, true)]
    const [at, shift] = [(j * bits) >>> 3, (j * bits) & 7]
    const carry = shift === 0 ? 0 : low >>> (32 - shift)
    target.setUint32(at, (target.getUint32(at, true) | (low << shift)) >>> 0, true)
    target.setUint32(at + 4, ((high << shift) | carry) >>> 0, true)
  }
  return out.slice(0, -8)
}

/** The inverse. @throws EmbeddingError CIPHERTEXT_INVALID when a residue is not below the modulus. */
export function unpackResidues(
  packed: Uint8Array,
  count: number,
  bits: number,
  modulus: bigint,
): Uint8Array {
  const padded = new Uint8Array(packed.length + 8)
  padded.set(packed)
  const view = new DataView(padded.buffer)
  const words = new Uint8Array(8 * count)
  const target = new DataView(words.buffer)
  const mask = 2 ** (bits - 32) - 1
  const limit = Number(modulus)
  for (let j = 0; j < count; j++) {
    const [at, shift] = [(j * bits) >>> 3, (j * bits) & 7]
    const [first, second] = [view.getUint32(at, true), view.getUint32(at + 4, true)]
    const low = shift === 0 ? first : ((first >>> shift) | (second << (32 - shift))) >>> 0
    const high = (second >>> shift) & mask
    if (high * 2 ** 32 + low >= limit) {
      throw new EmbeddingError('CIPHERTEXT_INVALID', 'a residue is not below the modulus', {
        where: `residue ${j}`,
      })
    }
    target.setUint32(8 * j, low, true)
    target.setUint32(8 * j + 4, high, true)
  }
  return words
}
