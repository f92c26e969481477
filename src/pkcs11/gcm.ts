/** AES-256-GCM in the token (NIST SP 800-38D): the outer layer of the nested wrap. */
import { TokenError } from '../errors.ts'
import { equal } from '../bytes.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { GCM_PROBE_IV } from './kcv.ts'
import { aesGcm } from './mechanism.ts'
import type { GcmBox } from './types.ts'

/** SP 800-38D §8.2.2: random IVs of 96 bits, at most 2^32 of them per key. */
const IV_BYTES = 12
const TAG_BYTES = 16

/** Encrypts and authenticates; the IV comes from the token's RNG. */
export function seal(
  { cryptoki, session }: Place,
  key: ObjectHandle,
  plaintext: Uint8Array,
  aad: Uint8Array,
): GcmBox {
  const iv = cryptoki.generateRandom(session, IV_BYTES)
  refuseProbeIv(iv, 'KNOWN_ANSWER_MISMATCH')
  const ciphertext = cryptoki.encrypt(session, aesGcm({ iv, aad }), key, plaintext)
  if (ciphertext.length === plaintext.length + TAG_BYTES) return { iv, ciphertext }
  throw new TokenError('KNOWN_ANSWER_MISMATCH', 'the sealed text has the wrong length', {
    where: 'C_Encrypt CKM_AES_GCM',
    expected: `${plaintext.length + TAG_BYTES} bytes`,
    got: `${ciphertext.length} bytes`,
  })
}

/**
 * Checks and decrypts. @throws Pkcs11Error when the tag is wrong: CKR_ENCRYPTED_DATA_INVALID,
 * CKR_AEAD_DECRYPT_FAILED, or CKR_GENERAL_ERROR on SoftHSM.
 */
export function open(
  { cryptoki, session }: Place,
  key: ObjectHandle,
  { iv, ciphertext }: GcmBox,
  aad: Uint8Array,
): Uint8Array {
  if (iv.length !== IV_BYTES || ciphertext.length < TAG_BYTES) {
    throw new TokenError('ARGUMENT_INVALID', 'not an AES-GCM box', {
      where: 'openGcm',
      expected: `${IV_BYTES}-byte IV, at least ${TAG_BYTES} bytes of ciphertext`,
      got: `${iv.length} and ${ciphertext.length} bytes`,
    })
  }
  refuseProbeIv(iv, 'ARGUMENT_INVALID')
  return cryptoki.decrypt(session, aesGcm({ iv, aad }), key, ciphertext)
}

/** The IV of the KCV is never used for data: its first keystream block is what the KCV hashes. */
function refuseProbeIv(iv: Uint8Array, code: 'ARGUMENT_INVALID' | 'KNOWN_ANSWER_MISMATCH'): void {
  if (!equal(iv, GCM_PROBE_IV)) return
  throw new TokenError(code, 'the IV is the one reserved for key check values', {
    where: 'AES-GCM IV',
    expected: 'any other 12 bytes',
  })
}
