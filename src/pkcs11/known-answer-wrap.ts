/**
 * Which wrap does a mechanism number stand for? One number means different things on different
 * modules, so each candidate wraps two known secrets and the result is recognised, not believed.
 */
import { createCipheriv } from 'node:crypto'

import { concat, equal, fromHex } from '../bytes.ts'
import type { Template } from './attribute.ts'
import { CKK } from './constants.ts'
import { CKM, CKM_VENDOR, mechanismName } from './constants-ckm.ts'
import type { ProbeSite } from './enforcement-bench.ts'
import { isRefusal } from './enforcement-row.ts'
import { inTrial } from './known-answer.ts'
import { mechanism } from './mechanism.ts'

/** What a wrapped secret was recognised as. */
export type WrapForm =
  | 'RFC 5649'
  | 'RFC 3394'
  | 'RFC 5649 of the zero-padded secret'
  | 'RFC 3394 of the zero-padded secret'
  | 'RFC 3394 after PKCS#7 padding'
  | 'unknown'

/** One candidate mechanism. */
export interface WrapProbe {
  /** CKM_* number. */
  readonly type: number
  /** `CKM_...` */
  readonly mechanism: string
  /** Whether C_GetMechanismList has it. */
  readonly listed: boolean
  /** What became of a 32-byte AES key: a {@link WrapForm} or the refusal. */
  readonly bytes32: string
  /** What became of a 20-byte generic secret. */
  readonly bytes20: string
}

/** Numbers seen for KW and KWP, by preference (see the vendor hints of the profile). */
const CANDIDATES: readonly number[] = [
  CKM.AES_KEY_WRAP_KWP,
  CKM_VENDOR.THALES_AES_KWP,
  CKM_VENDOR.CLOUDHSM_AES_KEY_WRAP_ZERO_PAD,
  CKM.AES_KEY_WRAP_PAD,
  CKM.AES_KEY_WRAP,
  CKM.AES_KEY_WRAP_PKCS7,
  CKM_VENDOR.THALES_AES_KW,
  CKM_VENDOR.CLOUDHSM_AES_KEY_WRAP_NO_PAD,
  CKM_VENDOR.CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD,
  CKM_VENDOR.NSS_AES_KEY_WRAP,
  CKM_VENDOR.NSS_AES_KEY_WRAP_PAD,
]

/** RFC 3394 §4.6: 256-bit KEK and 256-bit key. */
const KEK = Uint8Array.from({ length: 32 }, (_, at) => at)
const KEY_32 = fromHex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f')
/** The 20-byte key of RFC 5649 §6. */
const KEY_20 = fromHex('c37b7e6492584340bed12207808941155068f738')

function openssl(cipher: string, iv: string, secret: Uint8Array): Uint8Array {
  const wrap = createCipheriv(cipher, KEK, fromHex(iv))
  return new Uint8Array(Buffer.concat([wrap.update(secret), wrap.final()]))
}

/** RFC 5649 §3: alternative initial value. */
const kwp = (secret: Uint8Array): Uint8Array => openssl('id-aes256-wrap-pad', 'a65959a6', secret)
/** RFC 3394 §2.2.3.1: default initial value. */
const kw = (secret: Uint8Array): Uint8Array => openssl('id-aes256-wrap', 'a6a6a6a6a6a6a6a6', secret)

const zeroPadded = (secret: Uint8Array): Uint8Array =>
  concat(secret, new Uint8Array((8 - (secret.length % 8)) % 8))

function pkcs7(secret: Uint8Array, block: number): Uint8Array {
  const pad = block - (secret.length % block)
  return concat(secret, new Uint8Array(pad).fill(pad))
}

/** Names the form of `wrapped`, given the secret and {@link KEK}. */
export function recognise(wrapped: Uint8Array, secret: Uint8Array): WrapForm {
  const whole = secret.length % 8 === 0
  const forms: readonly (readonly [WrapForm, Uint8Array])[] = [
    ['RFC 5649', kwp(secret)],
    whole
      ? ['RFC 3394', kw(secret)]
      : ['RFC 3394 of the zero-padded secret', kw(zeroPadded(secret))],
    ['RFC 5649 of the zero-padded secret', kwp(zeroPadded(secret))],
    ['RFC 3394 after PKCS#7 padding', kw(pkcs7(secret, 8))],
    ['RFC 3394 after PKCS#7 padding', kw(pkcs7(secret, 16))],
  ]
  return forms.find(([, bytes]) => equal(bytes, wrapped))?.[0] ?? 'unknown'
}

function wrapOnce(site: ProbeSite, type: number, secret: Uint8Array, use: Template): string {
  try {
    return inTrial(site, (trial) => {
      const kek = trial.secret(KEK, { WRAP: true, UNWRAP: true })
      const key = trial.secret(secret, { EXTRACTABLE: true, SENSITIVE: false, ...use })
      return recognise(trial.cryptoki.wrapKey(trial.session, mechanism(type), kek, key), secret)
    })
  } catch (error) {
    if (!isRefusal(error)) throw error
    return error.fn === 'C_WrapKey' ? error.rv : `${error.fn} ${error.rv}`
  }
}

/** Vendor numbers mean something on their vendor's modules only; standard ones are sometimes not listed. */
const worthTrying = (type: number, listed: readonly number[]): boolean =>
  type < 0x8000_0000 || listed.includes(type)

/**
 * Tries every candidate that may exist here.
 * @throws Pkcs11Error when the token goes away.
 */
export function probeWraps(site: ProbeSite, listed: readonly number[]): WrapProbe[] {
  return CANDIDATES.filter((type) => worthTrying(type, listed)).map((type) => ({
    type,
    mechanism: mechanismName(type),
    listed: listed.includes(type),
    bytes32: wrapOnce(site, type, KEY_32, { KEY_TYPE: CKK.AES, ENCRYPT: true }),
    bytes20: wrapOnce(site, type, KEY_20, { KEY_TYPE: CKK.GENERIC_SECRET, SIGN: true }),
  }))
}
