/**
 * AES Key Wrap with Padding (RFC 5649, NIST SP 800-38F §6.3) on tokens that disagree about its number.
 *
 * One CKM_* value means RFC 5649 on one module, PKCS#7 padding on another, and RFC 5649 for some lengths
 * only on a third. So the mechanism is chosen by known-answer probe: wrap known keys under a known KEK in
 * the token and compare with what node:crypto (OpenSSL) computes.
 */
import { createCipheriv } from 'node:crypto'

import { equal, fromHex } from '../bytes.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import { CKK, CKO } from './constants.ts'
import { CKM, CKM_VENDOR, mechanismName } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { mechanism } from './mechanism.ts'

/** What the probe found on one token. */
export interface KwpCapability {
  /** CKM_* number. */
  readonly mechanism: number
  readonly name: string
  /**
   * `any`: right for every length. `multiple-of-8`: right for AES keys only; other lengths are padded
   * before the wrap, and come back longer than they were (SoftHSM).
   */
  readonly exactFor: 'any' | 'multiple-of-8'
}

/** RFC 5649 §3: the alternative initial value of OpenSSL's `id-aes256-wrap-pad`. */
const ICV2 = fromHex('a65959a6')
/** 0x210B is the standard's number; 0x210A comes last because it means three different things. */
const CANDIDATES: readonly number[] = [
  CKM.AES_KEY_WRAP_KWP,
  CKM_VENDOR.THALES_AES_KWP,
  CKM_VENDOR.CLOUDHSM_AES_KEY_WRAP_ZERO_PAD,
  CKM.AES_KEY_WRAP_PAD,
]
/** Public constants: they protect nothing, they only have known wraps. */
const PROBE_KEK = Uint8Array.from({ length: 32 }, (_, at) => at)
const PROBE_AES = Uint8Array.from({ length: 32 }, (_, at) => 0xa0 ^ at)
const PROBE_SECRET = Uint8Array.from({ length: 20 }, (_, at) => 0x50 + at)

/** Length of a wrapped secret: one 8-byte block more than the padded secret (RFC 5649 §4.1). */
export const wrappedLength = (bytes: number): number => Math.ceil(bytes / 8) * 8 + 8

/** RFC 5649 in software, for KEKs of 16, 24 or 32 bytes: the reference of the probe. */
export function wrapInSoftware(kek: Uint8Array, secret: Uint8Array): Uint8Array {
  const cipher = createCipheriv(`id-aes${kek.length * 8}-wrap-pad`, kek, ICV2)
  return new Uint8Array(Buffer.concat([cipher.update(secret), cipher.final()]))
}

/** A session object with a known value; the caller destroys it. */
export function importProbe(
  { cryptoki, session }: Place,
  value: Uint8Array,
  use: 'kek' | 'aes' | 'secret',
): ObjectHandle {
  return cryptoki.createObject(session, {
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: use === 'secret' ? CKK.GENERIC_SECRET : CKK.AES,
    TOKEN: false,
    PRIVATE: true,
    SENSITIVE: false,
    EXTRACTABLE: use !== 'kek',
    WRAP: use === 'kek',
    UNWRAP: use === 'kek',
    VALUE: value,
  })
}

/** Whether `type` wraps `value` exactly as RFC 5649. A refusal is a no. */
function agrees(
  { cryptoki, session }: Place,
  type: number,
  kek: ObjectHandle,
  key: ObjectHandle,
  value: Uint8Array,
): boolean {
  try {
    const wrapped = cryptoki.wrapKey(session, mechanism(type), kek, key)
    return equal(wrapped, wrapInSoftware(PROBE_KEK, value))
  } catch (error) {
    if (error instanceof Pkcs11Error && error.retry === 'never') return false
    throw error
  }
}

/**
 * Tries the candidates that the token lists.
 * @throws TokenError MECHANISM_UNAVAILABLE when none is RFC 5649 for 32-byte keys, or when the token takes no known keys to probe with.
 */
export function probeKwp(place: Place): KwpCapability {
  const { cryptoki, slotId } = place
  const listed = new Set(cryptoki.mechanismList(slotId))
  const candidates = CANDIDATES.filter((type) => listed.has(type))
  const made: ObjectHandle[] = []
  const make = (value: Uint8Array, use: 'kek' | 'aes' | 'secret') => {
    const handle = importProbe(place, value, use)
    made.push(handle)
    return handle
  }
  try {
    if (candidates.length === 0) throw unavailable('none of the known mechanisms is listed')
    const kek = make(PROBE_KEK, 'kek')
    const aes = make(PROBE_AES, 'aes')
    const secret = make(PROBE_SECRET, 'secret')
    const right = candidates.filter((type) => agrees(place, type, kek, aes, PROBE_AES))
    const exact = right.find((type) => agrees(place, type, kek, secret, PROBE_SECRET))
    const chosen = exact ?? right[0]
    if (chosen === undefined) {
      throw unavailable(`${candidates.map(mechanismName).join(', ')}: wrong wraps`)
    }
    return {
      mechanism: chosen,
      name: mechanismName(chosen),
      exactFor: exact === undefined ? 'multiple-of-8' : 'any',
    }
  } catch (error) {
    if (error instanceof Pkcs11Error && error.retry === 'never' && error.fn === 'C_CreateObject') {
      throw unavailable('the token takes no plaintext keys, so nothing can be probed', error)
    }
    throw error
  } finally {
    for (const handle of made) destroyQuietly(place, handle)
  }
}

/** Session objects die with the session anyway. */
export function destroyQuietly({ cryptoki, session }: Place, handle: ObjectHandle): void {
  try {
    cryptoki.destroyObject(session, handle)
  } catch (error) {
    if (!(error instanceof Pkcs11Error)) throw error
  }
}

function unavailable(got: string, cause?: unknown): TokenError {
  return new TokenError('MECHANISM_UNAVAILABLE', 'no mechanism of this token wraps as RFC 5649', {
    where: 'AES-KWP known-answer probe',
    expected: `one of ${CANDIDATES.map(mechanismName).join(', ')} with the known answer`,
    got,
    hint: 'a KEK cannot live on this token; run keyrite doctor on the module',
    cause,
  })
}

/**
 * C_WrapKey by RFC 5649 of an AES-256 key.
 * @throws TokenError KNOWN_ANSWER_MISMATCH when the wrap has not the length RFC 5649 gives.
 */
export function wrapAesKey(
  { cryptoki, session }: Place,
  capability: KwpCapability,
  kek: ObjectHandle,
  key: ObjectHandle,
  keyBytes: number,
): Uint8Array {
  const wrapped = cryptoki.wrapKey(session, mechanism(capability.mechanism), kek, key)
  if (wrapped.length === wrappedLength(keyBytes)) return wrapped
  throw new TokenError('KNOWN_ANSWER_MISMATCH', 'the wrapped key has the wrong length', {
    where: `C_WrapKey ${capability.name}`,
    expected: `${wrappedLength(keyBytes)} bytes`,
    got: `${wrapped.length} bytes`,
  })
}
