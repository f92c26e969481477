/** Key pairs and randomness: the token computes with fresh values, OpenSSL checks. */
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  verify,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'

import { equal, sha256, toHex } from '../bytes.ts'
import { CKK, CKO } from './constants.ts'
import { CKM } from './constants-ckm.ts'
import { SCRATCH_LABEL } from './enforcement-bench.ts'
import { isRefusal } from './enforcement-row.ts'
import { compare } from './known-answer.ts'
import type { Question, Trial } from './known-answer.ts'
import { eddsa, mechanism, rsaOaep } from './mechanism.ts'
import type { MechanismHash } from './mechanism.ts'
import { SCHEMES, ecdsaToDer, readSpki } from './signature.ts'
import type { SignatureScheme } from './signature.ts'

const MESSAGE = new TextEncoder().encode('keyrite doctor')

/** Generates a session key pair on the first curve encoding the token takes. */
function pair({ cryptoki, session, loggedIn }: Trial, scheme: SignatureScheme) {
  let last: unknown
  for (const curve of scheme.curve) {
    try {
      return cryptoki.generateKeyPair(
        session,
        mechanism(scheme.generate),
        {
          CLASS: CKO.PUBLIC_KEY,
          KEY_TYPE: scheme.keyType,
          TOKEN: false,
          PRIVATE: false,
          LABEL: SCRATCH_LABEL,
          EC_PARAMS: curve,
          VERIFY: true,
        },
        {
          CLASS: CKO.PRIVATE_KEY,
          KEY_TYPE: scheme.keyType,
          TOKEN: false,
          PRIVATE: loggedIn,
          LABEL: SCRATCH_LABEL,
          SENSITIVE: true,
          EXTRACTABLE: false,
          SIGN: true,
        },
      )
    } catch (error) {
      if (!isRefusal(error)) throw error
      last = error
    }
  }
  throw last
}

/** Signs in the token, verifies in OpenSSL; an altered message must not verify. */
function signQuestion(scheme: SignatureScheme): Question {
  const { algorithm } = scheme
  const ed25519 = algorithm === 'ed25519'
  return {
    id: algorithm,
    mechanism: scheme.sign,
    source: 'signed in the token, verified by OpenSSL',
    ask(trial) {
      const { cryptoki, session, slotId } = trial
      const { publicKey, privateKey } = pair(trial, scheme)
      const { spki } = readSpki(
        { cryptoki, session, slotId, epoch: 0, change: (call) => call() },
        publicKey,
      )
      const signature = ed25519
        ? cryptoki.sign(session, eddsa(), privateKey, MESSAGE)
        : ecdsaToDer(cryptoki.sign(session, mechanism(CKM.ECDSA), privateKey, sha256(MESSAGE)))
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
      const holds = (message: Uint8Array) =>
        verify(ed25519 ? null : 'sha256', message, key, signature)
      if (!holds(MESSAGE)) return 'the signature does not verify'
      return holds(MESSAGE.subarray(1)) ? 'verifies under another message' : undefined
    },
  }
}

interface RsaPair {
  readonly privateKey: KeyObject
  readonly number: (name: 'n' | 'e' | 'd' | 'p' | 'q' | 'dp' | 'dq' | 'qi') => Uint8Array
}

/** A throw-away RSA-2048 pair that protects nothing. */
function makeRsa(): RsaPair {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = privateKey.export({ format: 'jwk' })
  return {
    privateKey,
    number: (name) => new Uint8Array(Buffer.from(jwk[name] ?? '', 'base64url')),
  }
}

const AES_KEY = Uint8Array.from({ length: 32 }, (_, at) => 0xc0 ^ at)

/** RFC 8017 §7.1 with an empty label; MGF1 with the same hash. */
const oaepOptions = (key: KeyObject, hash: MechanismHash) => ({
  key,
  padding: constants.RSA_PKCS1_OAEP_PADDING,
  oaepHash: hash,
})

function oaepQuestions(hash: MechanismHash, rsa: () => RsaPair): Question[] {
  const common = {
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: CKK.AES,
    TOKEN: false,
    LABEL: SCRATCH_LABEL,
    ENCRYPT: true,
    SENSITIVE: false,
    EXTRACTABLE: true,
  } as const
  return [
    {
      id: `rsa-oaep-${hash}-wrap`,
      mechanism: CKM.RSA_PKCS_OAEP,
      source: 'wrapped in the token, opened by OpenSSL',
      ask({ cryptoki, session, secret }) {
        const { privateKey, number } = rsa()
        const publicKey = cryptoki.createObject(session, {
          CLASS: CKO.PUBLIC_KEY,
          KEY_TYPE: CKK.RSA,
          TOKEN: false,
          PRIVATE: false,
          LABEL: SCRATCH_LABEL,
          MODULUS: number('n'),
          PUBLIC_EXPONENT: number('e'),
          ENCRYPT: true,
          WRAP: true,
        })
        const key = secret(AES_KEY, { EXTRACTABLE: true, SENSITIVE: false, ENCRYPT: true })
        const blob = cryptoki.wrapKey(session, rsaOaep(hash), publicKey, key)
        return compare(opened(oaepOptions(privateKey, hash), blob), AES_KEY, 'key')
      },
    },
    {
      id: `rsa-oaep-${hash}-unwrap`,
      mechanism: CKM.RSA_PKCS_OAEP,
      source: 'wrapped by OpenSSL, opened in the token',
      ask({ cryptoki, session, loggedIn }) {
        const { privateKey, number } = rsa()
        const unwrapping = cryptoki.createObject(session, {
          CLASS: CKO.PRIVATE_KEY,
          KEY_TYPE: CKK.RSA,
          TOKEN: false,
          PRIVATE: loggedIn,
          LABEL: SCRATCH_LABEL,
          // NSS finds private keys by their id and takes none without.
          ID: sha256(number('n')),
          MODULUS: number('n'),
          PUBLIC_EXPONENT: number('e'),
          PRIVATE_EXPONENT: number('d'),
          PRIME_1: number('p'),
          PRIME_2: number('q'),
          EXPONENT_1: number('dp'),
          EXPONENT_2: number('dq'),
          COEFFICIENT: number('qi'),
          SENSITIVE: true,
          EXTRACTABLE: false,
          DECRYPT: true,
          UNWRAP: true,
        })
        const publicKey = createPublicKey(privateKey)
        const blob = new Uint8Array(publicEncrypt(oaepOptions(publicKey, hash), AES_KEY))
        const template = { ...common, PRIVATE: loggedIn }
        const key = cryptoki.unwrapKey(session, rsaOaep(hash), unwrapping, blob, template)
        const value = cryptoki.getAttributes(session, key, ['VALUE']).value('VALUE')
        return value === undefined
          ? 'the unwrapped key cannot be read'
          : compare(value, AES_KEY, 'key')
      },
    },
  ]
}

/** Empty when OpenSSL cannot open it. */
function opened(options: ReturnType<typeof oaepOptions>, blob: Uint8Array): Uint8Array {
  try {
    return new Uint8Array(privateDecrypt(options, blob))
  } catch {
    return new Uint8Array()
  }
}

/** Bytes drawn for the sanity check of the generator. */
const DRAW = 4096
/** Seven standard deviations of a fair coin over 32 768 bits: about one false alarm in 10^12. */
const BIT_BOUND = Math.ceil(7 * Math.sqrt((DRAW * 8) / 4))

const ones = (bytes: Uint8Array): number =>
  bytes.reduce((sum, byte) => {
    let count = sum
    for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1
    return count
  }, 0)

/** What is wrong with random bytes; undefined: nothing that such a check can see. */
export function randomFault(first: Uint8Array, second: Uint8Array): string | undefined {
  if (equal(first, second)) return 'two draws are the same'
  const blocks = new Set<string>()
  for (const draw of [first, second]) {
    for (let at = 0; at + 16 <= draw.length; at += 16) {
      blocks.add(toHex(draw.subarray(at, at + 16)))
    }
  }
  const expected = Math.floor(first.length / 16) + Math.floor(second.length / 16)
  if (blocks.size !== expected) return 'a 16-byte block came twice'
  const excess = Math.abs(ones(first) - first.length * 4)
  return excess > BIT_BOUND ? `${ones(first)} of ${first.length * 8} bits are set` : undefined
}

/** Computations that are checked in software. `rsa` is made once, when first needed. */
export function softwareQuestions(): Question[] {
  let rsa: RsaPair | undefined
  const lazyRsa = () => (rsa ??= makeRsa())
  return [
    ...SCHEMES.map(signQuestion),
    ...oaepQuestions('sha1', lazyRsa),
    ...oaepQuestions('sha256', lazyRsa),
    {
      id: 'random',
      mechanism: undefined,
      source: 'no repeats, no bias; says nothing about quality',
      ask: ({ cryptoki, session }) =>
        randomFault(cryptoki.generateRandom(session, DRAW), cryptoki.generateRandom(session, DRAW)),
    },
  ]
}
