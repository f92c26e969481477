/**
 * Residues modulo q as bit strings and as words, and the polynomial that a seed stands for; in the addon
 * (`bindings/he_residues.cc`, `he_seed.cc`). Bit i of residue j is bit (bits * j + i) of the string.
 */
import { EmbeddingError } from '../errors.ts'
import type { ParameterSet } from './parameters.ts'
import { nativeRing, scanAddon } from './scan-addon.ts'

/**
 * Packs little-endian 64-bit words below 2^bits; `bits` is 1 to 63. Unused bits of the last byte are zero.
 * @throws TypeError when a word is larger; EmbeddingError KERNEL_UNAVAILABLE.
 */
export const packResidues = (words: Uint8Array, bits: number): Uint8Array =>
  scanAddon().hePack(words, bits)

/**
 * The words of `count` packed residues.
 * @throws EmbeddingError CIPHERTEXT_INVALID when the length is another one, a residue is not below `modulus` or
 * an unused bit is set; KERNEL_UNAVAILABLE.
 */
export function unpackResidues(
  packed: Uint8Array,
  count: number,
  bits: number,
  modulus: bigint,
): Uint8Array {
  const length = Math.ceil((count * bits) / 8)
  if (packed.length !== length) {
    throw new EmbeddingError('CIPHERTEXT_INVALID', 'packed residues have another length', {
      expected: `${length} bytes`,
      got: `${packed.length} bytes`,
    })
  }
  const words = scanAddon().heUnpack(packed, count, bits, modulus)
  if (typeof words !== 'number') return words
  throw invalidResidue(words < count ? `residue ${words}` : 'unused bits')
}

/** A residue that no ciphertext of ours has. */
export const invalidResidue = (where: string, index?: number): EmbeddingError =>
  new EmbeddingError('CIPHERTEXT_INVALID', 'a residue is not canonical', {
    where,
    expected: 'a number below the modulus',
    got: 'a larger one',
    index,
  })

/**
 * c1 of a seeded ciphertext: the N words that SEAL's default generator and its uniform sampling make of a 64-byte
 * seed, in the order of its number-theoretic transform. `path` is one of `kernelPaths()` (default: the first).
 * @throws TypeError when the seed has another length or the CPU no such path; EmbeddingError KERNEL_UNAVAILABLE.
 */
export function expandSeed(seed: Uint8Array, set: ParameterSet, path?: string): Uint8Array {
  const addon = scanAddon()
  return addon.heExpandSeed(seed, nativeRing(set), path ?? addon.heKernels()[0] ?? '')
}
