/**
 * Ciphertexts of random residues, the same in every run: what the kernel computes does not depend on what they
 * encrypt, and nobody needs a key to make them.
 */
import { createCipheriv } from 'node:crypto'

import {
  type Form,
  HEADER_BYTES,
  type Kind,
  chunkBytes,
  ciphertextLength,
  polynomialBytes,
  writeHeader,
} from '../../src/he/ciphertext-format.ts'
import type { Geometry } from '../../src/he/parameters.ts'
import { packResidues } from '../../src/he/residues.ts'

/** Pseudo-random bytes: AES-256-CTR of zeros. */
export function stream(length: number, number: number): Uint8Array {
  const key = new Uint8Array(32)
  new DataView(key.buffer).setUint32(0, number)
  return new Uint8Array(
    createCipheriv('aes-256-ctr', key, new Uint8Array(16)).update(new Uint8Array(length)),
  )
}

/** A block or query. A random residue is above q with a probability of 2^-35. */
export function randomCiphertexts(
  g: Geometry,
  kind: Kind,
  number: number,
  form: Form = 1,
): Uint8Array {
  const bytes = stream(ciphertextLength(g, kind, form), number)
  writeHeader(g, kind, form, bytes)
  return bytes
}

/** As before, with every residue of c0, and of c1 in form 2, the same. */
export function constantCiphertexts(
  g: Geometry,
  kind: Kind,
  residue: bigint,
  form: Form = 1,
): Uint8Array {
  const bytes = randomCiphertexts(g, kind, 1, form)
  const words = new BigUint64Array(g.set.degree).fill(residue)
  const packed = packResidues(new Uint8Array(words.buffer), g.set.modulusBits)
  for (let chunk = 0; chunk < g.chunks; chunk += 1) {
    const at = HEADER_BYTES + chunk * chunkBytes(g, form)
    bytes.set(packed, at)
    if (form === 2) bytes.set(packed, at + polynomialBytes(g.set))
  }
  return bytes
}

/** Replaces one residue of c0 in place. */
export function setResidue(
  g: Geometry,
  bytes: Uint8Array,
  place: { chunk: number; form: Form; residue: number },
  value: bigint,
): void {
  const { modulusBits } = g.set
  const start = HEADER_BYTES + place.chunk * chunkBytes(g, place.form)
  for (let i = 0; i < modulusBits; i += 1) {
    const bit = place.residue * modulusBits + i
    const at = start + (bit >> 3)
    const mask = 1 << (bit & 7)
    const set = (value >> BigInt(i)) & 1n
    bytes[at] = set === 1n ? bytes[at]! | mask : bytes[at]! & ~mask
  }
}
