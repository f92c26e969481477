/**
 * The mechanism that gives single AES blocks: CKM_AES_ECB, or CKM_AES_CBC under a zero IV where a token has
 * no ECB. One block of CBC under a zero IV is E_K of the block (SP 800-38A §6.2), so each goes in a call of its own.
 */
import { CKM } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { mechanism } from './mechanism.ts'
import type { Mechanism } from './mechanism.ts'
import { isReturnValue } from './return-value.ts'

/** Bytes of an AES block. */
export const AES_BLOCK = 16

/** Any number of blocks in one call. */
export const ECB: Mechanism = mechanism(CKM.AES_ECB)
/** One block in one call. */
export const CBC_ZERO_IV: Mechanism = mechanism(CKM.AES_CBC, new Uint8Array(AES_BLOCK))

/** CKM_* number that keys for single blocks are restricted to on this token, by its mechanism list. */
export function blockMechanismType({ cryptoki, slotId }: Place): number {
  const listed = cryptoki.mechanismList(slotId)
  return !listed.includes(CKM.AES_ECB) && listed.includes(CKM.AES_CBC) ? CKM.AES_CBC : CKM.AES_ECB
}

/** E_K of one block: by ECB or, where the token or the key has none, by CBC. */
export function encryptSingle(
  { cryptoki, session }: Place,
  key: ObjectHandle,
  block: Uint8Array,
): Uint8Array {
  try {
    return cryptoki.encrypt(session, ECB, key, block)
  } catch (error) {
    if (!isReturnValue(error, 'MECHANISM_INVALID')) throw error
    return cryptoki.encrypt(session, CBC_ZERO_IV, key, block)
  }
}
