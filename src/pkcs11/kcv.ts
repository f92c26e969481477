/**
 * Key check values, computed here because tokens leave CKA_CHECK_VALUE out, empty, or 24 bits of ECB.
 * Which way depends on what the key may do:
 *
 *   cmac         AES-CMAC (NIST SP 800-38B) of one zero block, by CKM_AES_CMAC or built from two single
 *                blocks; first 8 bytes
 *   kwp-probe    RFC 5649 wrap of the public constant key 32×00; SHA-256 of it, first 8 bytes
 *   gcm-probe    GCM tag over nothing under one reserved IV; SHA-256 of it, first 8 bytes
 *   spki-sha256  SHA-256 of the SubjectPublicKeyInfo
 */
import { fromHex, sha256, toHex } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import { encryptSingle } from './block-mechanism.ts'
import { CKM } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { destroyQuietly, importProbe, wrapAesKey } from './kwp.ts'
import type { KwpCapability } from './kwp.ts'
import { aesGcm, mechanism } from './mechanism.ts'
import type { Kcv } from './types.ts'

const BLOCK = 16
const KCV_BYTES = 8
/** The IV of `gcm-probe`; sealing and opening refuse it, so its keystream protects nothing. */
export const GCM_PROBE_IV: Uint8Array = fromHex('ff'.repeat(12))

const short = (bytes: Uint8Array): string => toHex(bytes.subarray(0, KCV_BYTES))

/** Multiplication by x in GF(2^128) (SP 800-38B §6.1 steps 2 and 3: shift, then R_128 = 0x87). */
function double(block: Uint8Array): Uint8Array {
  const shifted = block.map((byte, at) => ((byte << 1) | ((block[at + 1] ?? 0) >> 7)) & 0xff)
  const carry = (block[0] ?? 0) >> 7
  shifted[BLOCK - 1] = (shifted[BLOCK - 1] ?? 0) ^ (carry * 0x87)
  return shifted
}

/**
 * AES-CMAC of one zero block. SP 800-38B §6.1: K1 from L = E(0). §6.2: the only block is complete, so
 * step 4 gives M1* = K1 xor 0, and step 6 gives T = E(M1*).
 */
export function cmacOfZeroBlock(encryptBlock: (block: Uint8Array) => Uint8Array): Uint8Array {
  const l = encryptBlock(new Uint8Array(BLOCK))
  return encryptBlock(double(l))
}

/** How a key may be used, as far as a KCV depends on it. */
export interface Uses {
  readonly encrypt: boolean
  readonly wrap: boolean
  readonly sign?: boolean
  /** CKA_ALLOWED_MECHANISMS; undefined or empty: no restriction. */
  readonly mechanisms: readonly number[] | undefined
}

const allows = ({ mechanisms }: Uses, type: number): boolean =>
  mechanisms === undefined || mechanisms.length === 0 || mechanisms.includes(type)

const singleBlocks = (uses: Uses): boolean =>
  uses.encrypt && (allows(uses, CKM.AES_ECB) || allows(uses, CKM.AES_CBC))

/** The method for an AES key; undefined: its attributes allow none. */
export function kcvMethod(
  uses: Uses,
  kwp: KwpCapability | undefined,
): Exclude<Kcv['method'], 'spki-sha256'> | undefined {
  if (singleBlocks(uses)) return 'cmac'
  if (uses.sign === true && allows(uses, CKM.AES_CMAC)) return 'cmac'
  if (uses.encrypt && allows(uses, CKM.AES_GCM)) return 'gcm-probe'
  if (uses.wrap && kwp !== undefined && allows(uses, kwp.mechanism)) return 'kwp-probe'
  return undefined
}

const cmac = (place: Place, key: ObjectHandle, uses: Uses): string =>
  short(
    singleBlocks(uses)
      ? cmacOfZeroBlock((block) => encryptSingle(place, key, block))
      : cmacInToken(place, key, new Uint8Array(BLOCK)),
  )

/** AES-CMAC (SP 800-38B §6.2) by the token, all 16 bytes of it. @throws TokenError KNOWN_ANSWER_MISMATCH. */
export function cmacInToken(
  { cryptoki, session }: Place,
  key: ObjectHandle,
  message: Uint8Array,
): Uint8Array {
  const mac = cryptoki.sign(session, mechanism(CKM.AES_CMAC), key, message)
  if (mac.length === BLOCK) return mac
  throw new TokenError('KNOWN_ANSWER_MISMATCH', 'the MAC has the wrong length', {
    where: 'C_Sign CKM_AES_CMAC',
    expected: `${BLOCK} bytes`,
    got: `${mac.length} bytes`,
  })
}

function gcmProbe({ cryptoki, session }: Place, key: ObjectHandle): string {
  const nothing = new Uint8Array()
  const tag = cryptoki.encrypt(session, aesGcm({ iv: GCM_PROBE_IV, aad: nothing }), key, nothing)
  return short(sha256(tag))
}

function kwpProbe(place: Place, key: ObjectHandle, kwp: KwpCapability): string {
  const zero = importProbe(place, new Uint8Array(32), 'aes')
  try {
    return short(sha256(wrapAesKey(place, kwp, key, zero, 32)))
  } finally {
    destroyQuietly(place, zero)
  }
}

/** KCV of an AES key. @throws TokenError MECHANISM_UNAVAILABLE when the key may do none of these. */
export function aesKcv(
  place: Place,
  key: ObjectHandle,
  uses: Uses,
  kwp: KwpCapability | undefined,
): Kcv {
  const method = kcvMethod(uses, kwp)
  if (method === 'cmac') return { method, value: cmac(place, key, uses) }
  if (method === 'gcm-probe') return { method, value: gcmProbe(place, key) }
  if (method === 'kwp-probe' && kwp !== undefined) {
    return { method, value: kwpProbe(place, key, kwp) }
  }
  throw new TokenError('MECHANISM_UNAVAILABLE', 'no check value can be computed for this key', {
    where: 'kcv',
    expected:
      'a key that may encrypt with AES-ECB, AES-CBC or AES-GCM, MAC with AES-CMAC, or wrap by RFC 5649',
  })
}

/** KCV of a key pair: its whole public key. */
export const spkiKcv = (spki: Uint8Array): Kcv => ({
  method: 'spki-sha256',
  value: toHex(sha256(spki)),
})

/** Whether two check values were made the same way and agree. */
export const sameKcv = (a: Kcv, b: Kcv): boolean => a.method === b.method && a.value === b.value
