/** Encryption chunk by chunk, without holding up the event loop. Knows no key: that is in the encryptor. */
import { wipe } from '../bytes.ts'
import {
  type Form,
  HEADER_BYTES,
  type Kind,
  chunkBytes,
  ciphertextLength,
  polynomialBytes,
  writeHeader,
} from './ciphertext-format.ts'
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import { inSeal, type Plaintext, type Seal } from './seal.ts'
import { wordsLength, writeCiphertext, writePlaintext, writeSeeded } from './seal-layout.ts'
import { packResidues, unpackResidues } from './residues.ts'
import { slices } from './slices.ts'

/** A plaintext in memory that SEAL overwrites when it is given back. */
export function wipedPlaintext({ lib }: Seal): Plaintext {
  const pool = lib.MemoryPoolHandle.New(true)
  try {
    return lib.Plaintext.withPool(pool)
  } finally {
    pool.delete()
  }
}

/**
 * Encrypts chunks of N coefficients to the ciphertext format.
 * @param encrypt - Makes c0, and c1 or its seed, from SEAL's serialised plaintext.
 * @throws EmbeddingError VECTOR_INVALID when the chunks are not those of the geometry.
 */
export async function encryptChunks(
  { layout }: Seal,
  g: Geometry,
  kind: Kind,
  form: Form,
  coefficients: readonly Int32Array[],
  encrypt: (clear: Uint8Array) => readonly Uint8Array[],
): Promise<Uint8Array> {
  if (coefficients.length !== g.chunks) {
    throw new EmbeddingError('VECTOR_INVALID', 'another number of chunks', {
      expected: String(g.chunks),
      got: String(coefficients.length),
    })
  }
  const out = new Uint8Array(ciphertextLength(g, kind, form))
  writeHeader(g, kind, form, out)
  const slice = slices()
  for (const [chunk, values] of coefficients.entries()) {
    const clear = writePlaintext(layout, values)
    const parts = inSeal(`chunk ${chunk}`, () => {
      try {
        return encrypt(clear)
      } finally {
        wipe(clear)
      }
    })
    let at = HEADER_BYTES + chunk * chunkBytes(g, form)
    for (const part of parts) {
      const words = part.length === wordsLength(g.set)
      const bytes = words ? packResidues(part, g.set.modulusBits) : part
      out.set(bytes, at)
      at += bytes.length
    }
    await slice()
  }
  return out
}

/**
 * One chunk of the ciphertext format as SEAL's serialised ciphertext.
 * @throws EmbeddingError CIPHERTEXT_INVALID when a residue is not below q.
 */
export function chunkToSeal({ layout }: Seal, g: Geometry, form: Form, chunk: Uint8Array) {
  const { set } = g
  const length = polynomialBytes(set)
  const polynomial = (i: number) =>
    unpackResidues(
      chunk.subarray(i * length, (i + 1) * length),
      set.degree,
      set.modulusBits,
      set.modulus,
    )
  if (form === 1) return writeSeeded(layout, polynomial(0), chunk.subarray(length))
  return writeCiphertext(
    layout,
    Array.from({ length: form }, (_, i) => polynomial(i)),
  )
}
