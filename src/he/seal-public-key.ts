/** A public key of SEAL in its shortest form: packed c0 and the seed of c1, as a chunk of form 1 has them. */
import { concat } from '../bytes.ts'
import { SEED_BYTES, polynomialBytes } from './ciphertext-format.ts'
import { EmbeddingError } from '../errors.ts'
import type { ParameterSet } from './parameters.ts'
import { type SealLayout, readSeeded, writeSeeded } from './seal-layout.ts'
import { packResidues, unpackResidues } from './residues.ts'

/** Bytes of a packed public key. */
export const publicKeyBytes = (set: ParameterSet): number => polynomialBytes(set) + SEED_BYTES

/** From SEAL's serialised form. @throws EmbeddingError CIPHERTEXT_INVALID. */
export function packPublicKey(layout: SealLayout, blob: Uint8Array): Uint8Array {
  const { c0, seed } = readSeeded(layout, blob)
  return concat(packResidues(c0, layout.set.modulusBits), seed)
}

/** To SEAL's serialised form. @throws EmbeddingError KEY_INVALID; CIPHERTEXT_INVALID for a residue beyond q. */
export function unpackPublicKey(layout: SealLayout, packed: Uint8Array): Uint8Array {
  const { set } = layout
  if (!(packed instanceof Uint8Array) || packed.length !== publicKeyBytes(set)) {
    throw new EmbeddingError('KEY_INVALID', 'a public key has another length', {
      expected: `${publicKeyBytes(set)} bytes`,
    })
  }
  const length = polynomialBytes(set)
  const { degree, modulusBits, modulus } = set
  const c0 = unpackResidues(packed.subarray(0, length), degree, modulusBits, modulus)
  return writeSeeded(layout, c0, packed.subarray(length))
}
