/** Encryption of blocks with a public key, with SEAL. No secret key can come into this file's imports. */
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import { inSeal, seal } from './seal.ts'
import { encryptChunks, wipedPlaintext } from './seal-chunks.ts'
import { readCiphertext } from './seal-layout.ts'
import { unpackPublicKey } from './seal-public-key.ts'

/** SEAL under one public key. Throws EmbeddingError CLOSED once disposed of. */
export interface SealPublic {
  /** Chunks of N coefficients to a block of form 2. @throws EmbeddingError VECTOR_INVALID. */
  encrypt(coefficients: readonly Int32Array[]): Promise<Uint8Array>
  dispose(): void
}

/**
 * The encryptor of a packed public key.
 * @throws EmbeddingError KEY_INVALID for another length; CIPHERTEXT_INVALID when it is no key of the set.
 */
export async function createSealPublic(g: Geometry, publicKey: Uint8Array): Promise<SealPublic> {
  const library = await seal(g.set)
  const { lib, context, layout } = library
  const blob = unpackPublicKey(layout, publicKey)
  const key = new lib.PublicKey()
  const encryptor = inSeal('public key', () => {
    try {
      key.loadFromArray(context, blob)
      return new lib.Encryptor(context, key)
    } finally {
      key.delete()
    }
  })
  const message = wipedPlaintext(library)
  const ciphertext = new lib.Ciphertext()
  let closed = false
  return {
    encrypt: (coefficients) =>
      encryptChunks(library, g, 'block', 2, coefficients, (clear) => {
        if (closed) throw new EmbeddingError('CLOSED', 'the public key has been disposed of')
        message.loadFromArray(context, clear)
        encryptor.encrypt(message, ciphertext)
        message.setZero()
        return readCiphertext(
          layout,
          2,
          ciphertext.saveToArray(lib.ComprModeType.none) as Uint8Array,
        )
      }),
    dispose() {
      if (closed) return
      closed = true
      for (const one of [encryptor, message, ciphertext]) one.delete()
    },
  }
}
