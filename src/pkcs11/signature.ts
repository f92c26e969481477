/**
 * Signature keys: Ed25519 (PKCS#11 v3.2 §6.3.17, RFC 8032) and ECDSA on P-256 (§6.3.12, FIPS 186-5).
 * Every signature is verified in software before it is released.
 */
import { createPublicKey, verify } from 'node:crypto'

import { concat, fromHex, sha256, toHex } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import type { SignatureAlgorithm } from '../ports.ts'
import { CKK } from './constants.ts'
import { CKM } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { eddsa, mechanism } from './mechanism.ts'

/** How a scheme's keys are made and used. */
export interface SignatureScheme {
  readonly algorithm: SignatureAlgorithm
  readonly keyType: number
  readonly generate: number
  readonly sign: number
  /** CKA_EC_PARAMS, in the order to try them. */
  readonly curve: readonly Uint8Array[]
}

/** In order of preference. */
export const SCHEMES: readonly SignatureScheme[] = [
  {
    algorithm: 'ed25519',
    keyType: CKK.EC_EDWARDS,
    generate: CKM.EC_EDWARDS_KEY_PAIR_GEN,
    sign: CKM.EDDSA,
    // PrintableString "edwards25519" (§6.3.5), then the OID 1.3.101.112 (RFC 8410 §3).
    curve: [fromHex('130c656477617264733235353139'), fromHex('06032b6570')],
  },
  {
    algorithm: 'ecdsa-p256-sha256',
    keyType: CKK.EC,
    generate: CKM.EC_KEY_PAIR_GEN,
    sign: CKM.ECDSA,
    // OID 1.2.840.10045.3.1.7 (RFC 5480 §2.1.1.1).
    curve: [fromHex('06082a8648ce3d030107')],
  },
]

/** The best scheme a token lists. @throws TokenError MECHANISM_UNAVAILABLE. */
export function bestScheme(mechanisms: readonly number[]): SignatureScheme {
  const found = SCHEMES.find(
    ({ generate, sign }) => mechanisms.includes(generate) && mechanisms.includes(sign),
  )
  if (found !== undefined) return found
  throw new TokenError('MECHANISM_UNAVAILABLE', 'the token has no signature scheme for keyrite', {
    where: 'signature key',
    expected: 'CKM_EDDSA or CKM_ECDSA with key pair generation',
  })
}

const schemeOf = (keyType: number): SignatureScheme | undefined =>
  SCHEMES.find((scheme) => scheme.keyType === keyType)

function malformed(got: string): TokenError {
  return new TokenError('KNOWN_ANSWER_MISMATCH', 'the token gave no usable public key', {
    where: 'CKA_EC_POINT',
    expected: 'an Ed25519 or uncompressed P-256 point',
    got,
  })
}

const POINT_BYTES: Readonly<Record<SignatureAlgorithm, number>> = {
  ed25519: 32,
  'ecdsa-p256-sha256': 65,
}

/** The bare point: modules give it raw, in an OCTET STRING (v2.40) or in a BIT STRING (v3.0 Edwards). */
function barePoint(value: Uint8Array, bytes: number): Uint8Array {
  const header = toHex(value.subarray(0, value.length - bytes))
  const length = (content: number) => content.toString(16).padStart(2, '0')
  const known = ['', `04${length(bytes)}`, `03${length(bytes + 1)}00`]
  if (value.length < bytes || !known.includes(header)) throw malformed(`${value.length} bytes`)
  return value.subarray(value.length - bytes)
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

/**
 * SubjectPublicKeyInfo of a public key object. OpenSSL checks that the point is on the curve.
 * @throws TokenError KNOWN_ANSWER_MISMATCH, MECHANISM_UNAVAILABLE (another type of key).
 */
export function readSpki(
  { cryptoki, session }: Place,
  publicKey: ObjectHandle,
): { readonly algorithm: SignatureAlgorithm; readonly spki: Uint8Array } {
  const reads = cryptoki.getAttributes(session, publicKey, ['KEY_TYPE', 'EC_PARAMS', 'EC_POINT'])
  const scheme = schemeOf(reads.value('KEY_TYPE') ?? -1)
  const curve = toHex(reads.value('EC_PARAMS') ?? new Uint8Array())
  if (scheme === undefined || !scheme.curve.some((known) => toHex(known) === curve)) {
    throw new TokenError('MECHANISM_UNAVAILABLE', 'not a key of a known signature scheme', {
      where: 'CKA_KEY_TYPE, CKA_EC_PARAMS',
      expected: SCHEMES.map(({ algorithm }) => algorithm).join(' or '),
    })
  }
  const { algorithm } = scheme
  const point = barePoint(reads.value('EC_POINT') ?? new Uint8Array(), POINT_BYTES[algorithm])
  const jwk =
    algorithm === 'ed25519'
      ? { kty: 'OKP', crv: 'Ed25519', x: base64url(point) }
      : {
          kty: 'EC',
          crv: 'P-256',
          x: base64url(point.subarray(1, 33)),
          y: base64url(point.subarray(33)),
        }
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    return { algorithm, spki: new Uint8Array(key.export({ type: 'spki', format: 'der' })) }
  } catch {
    throw malformed('a point that is not on the curve')
  }
}

/** DER INTEGER of an unsigned big-endian number (X.690 §8.3). */
function derInteger(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1
  const minimal = bytes.subarray(start)
  const sign = (minimal[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array()
  return concat(Uint8Array.of(0x02, minimal.length + sign.length), sign, minimal)
}

/** PKCS#11 gives r||s (§6.3.1); the port promises ECDSA-Sig-Value (RFC 3279 §2.2.3). */
export function ecdsaToDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const body = concat(derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half)))
  return concat(Uint8Array.of(0x30, body.length), body)
}

/**
 * Signs in the token, verifies here.
 * @throws TokenError KEY_CHANGED when the signature does not verify under `spki`.
 */
export function signAndVerify(
  { cryptoki, session }: Place,
  key: ObjectHandle,
  { algorithm, spki }: { readonly algorithm: SignatureAlgorithm; readonly spki: Uint8Array },
  message: Uint8Array,
): Uint8Array {
  const ed25519 = algorithm === 'ed25519'
  // CKM_ECDSA takes the hash: tokens with CKM_ECDSA_SHA256 are fewer.
  const signature = ed25519
    ? cryptoki.sign(session, eddsa(), key, message)
    : ecdsaToDer(cryptoki.sign(session, mechanism(CKM.ECDSA), key, sha256(message)))
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  if (verify(ed25519 ? null : 'sha256', message, publicKey, signature)) return signature
  throw new TokenError('KEY_CHANGED', 'the signature does not verify under the known public key', {
    where: 'C_Sign',
    expected: 'a signature of the key whose public half is on record',
    hint: 'the private key was replaced, or the token is broken',
  })
}
