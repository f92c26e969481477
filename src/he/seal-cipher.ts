/**
 * Encryption and decryption under a secret key, with SEAL. Only whole decrypted coefficients leave this file:
 * there is no way to a noise budget, to a raw polynomial or to the key.
 */
import { secretBytes, wipe } from '../bytes.ts'
import { chunkBytes, checkCiphertexts } from './ciphertext-format.ts'
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import { inSeal, seal } from './seal.ts'
import { chunkToSeal, encryptChunks, wipedPlaintext } from './seal-chunks.ts'
import { slices } from './slices.ts'
import { readPlaintext, readSeeded } from './seal-layout.ts'
import { packPublicKey } from './seal-public-key.ts'
import { secretKeyOf } from './seal-secret.ts'

/** SEAL under one secret key. Throws EmbeddingError CLOSED once disposed of. */
export interface SealCipher {
  /** Chunks of N coefficients to a ciphertext of form 1. @throws EmbeddingError VECTOR_INVALID. */
  encrypt(coefficients: readonly Int32Array[], kind: 'block' | 'query'): Promise<Uint8Array>
  /** N centred coefficients of a result. @throws EmbeddingError CIPHERTEXT_INVALID. */
  decryptResult(bytes: Uint8Array): Int32Array
  /** Chunks of N centred coefficients of a block. @throws EmbeddingError CIPHERTEXT_INVALID. */
  decryptBlock(bytes: Uint8Array): Promise<Int32Array[]>
  /** A public key of this secret key, for `seal-public.ts`; another one each time. */
  publicKey(): Uint8Array
  /** Gives the key's memory back, which SEAL overwrites. */
  dispose(): void
}

const SECRET_BYTES = 32

/**
 * The cipher whose secret key is expanded from 32 bytes; those are read and not kept.
 * @throws EmbeddingError KEY_INVALID.
 */
export async function createSealCipher(g: Geometry, seed: Uint8Array): Promise<SealCipher> {
  if (!(seed instanceof Uint8Array) || seed.length !== SECRET_BYTES) {
    throw new EmbeddingError('KEY_INVALID', 'the secret has another length', {
      expected: `${SECRET_BYTES} bytes`,
    })
  }
  // Not slice(), which of a Buffer is a view: the caller's seed would be wiped.
  const own = secretBytes(SECRET_BYTES)
  own.set(seed)
  const library = await seal(g.set).catch((error: unknown) => {
    wipe(own)
    throw error
  })
  const { lib, context, layout } = library
  const key = inSeal('secret key', () => {
    try {
      return secretKeyOf(library, own)
    } finally {
      wipe(own)
    }
  })
  const { none } = lib.ComprModeType
  const generator = new lib.KeyGenerator(context, key)
  const discarded = generator.createPublicKey()
  // node-seal has no encryptor without a public key; only its symmetric half is used.
  const encryptor = new lib.Encryptor(context, discarded, key)
  discarded.delete()
  const decryptor = new lib.Decryptor(context, key)
  key.delete()
  const message = wipedPlaintext(library)
  const decrypted = wipedPlaintext(library)
  const ciphertext = new lib.Ciphertext()
  let closed = false

  const open = (): void => {
    if (closed) throw new EmbeddingError('CLOSED', 'the key has been disposed of')
  }

  function decrypt(blob: Uint8Array): Int32Array {
    open()
    return inSeal('ciphertext', () => {
      ciphertext.loadFromArray(context, blob)
      decryptor.decrypt(ciphertext, decrypted)
      const clear = decrypted.saveToArray(none) as Uint8Array
      try {
        return readPlaintext(layout, clear)
      } finally {
        wipe(clear)
        decrypted.setZero()
      }
    })
  }

  return {
    encrypt: (coefficients, kind) =>
      encryptChunks(library, g, kind, 1, coefficients, (clear) => {
        open()
        message.loadFromArray(context, clear)
        const made = encryptor.encryptSymmetricSerializable(message)
        try {
          const { c0, seed: c1 } = readSeeded(layout, made.saveToArray(none) as Uint8Array)
          return [c0, c1]
        } finally {
          made.delete()
          message.setZero()
        }
      }),
    decryptResult(bytes) {
      open()
      const { form, body } = checkCiphertexts(g, 'result', bytes)
      return decrypt(chunkToSeal(library, g, form, body))
    },
    async decryptBlock(bytes) {
      open()
      const { form, body } = checkCiphertexts(g, 'block', bytes)
      const length = chunkBytes(g, form)
      const chunks: Int32Array[] = []
      const slice = slices()
      for (let i = 0; i < g.chunks; i++) {
        const chunk = body.subarray(i * length, (i + 1) * length)
        chunks.push(decrypt(chunkToSeal(library, g, form, chunk)))
        await slice()
      }
      return chunks
    },
    publicKey() {
      open()
      const made = generator.createPublicKeySerializable()
      try {
        return packPublicKey(layout, made.saveToArray(none) as Uint8Array)
      } finally {
        made.delete()
      }
    },
    dispose() {
      if (closed) return
      closed = true
      for (const one of [generator, encryptor, decryptor, message, decrypted, ciphertext]) {
        one.delete()
      }
    },
  }
}
