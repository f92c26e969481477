/**
 * Known answers: the token computes, and the result is compared with a published vector.
 * Keys are imported as session objects with public values; nothing is left on the token.
 */
import { concat, equal, fromHex } from '../bytes.ts'
import type { Template } from './attribute.ts'
import { CKK, CKO } from './constants.ts'
import { CKM, mechanismName } from './constants-ckm.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from './cryptoki.ts'
import { SCRATCH_LABEL, openProbeSession, quietly } from './enforcement-bench.ts'
import type { ProbeSite } from './enforcement-bench.ts'
import { isRefusal } from './enforcement-row.ts'
import { aesGcm, mechanism } from './mechanism.ts'

/** One computation and how it came out. */
export interface KnownAnswer {
  /** Stable. */
  readonly id: string
  /** `CKM_...`, or `-`. */
  readonly mechanism: string
  /** Where the right answer comes from. */
  readonly source: string
  /** `unavailable`: the token refused the mechanism or the key; `detail` says how. */
  readonly result: 'match' | 'mismatch' | 'unavailable'
  readonly detail: string
}

/** A session for one computation. */
export interface Trial {
  readonly cryptoki: Cryptoki
  readonly session: SessionHandle
  readonly slotId: number
  readonly loggedIn: boolean
  /** Imports a secret key as a session object. */
  readonly secret: (value: Uint8Array, use: Template) => ObjectHandle
}

/** One computation; a Pkcs11Error that is a refusal makes it `unavailable`. */
export interface Question {
  readonly id: string
  /** CKM_* number; undefined for C_GenerateRandom. */
  readonly mechanism: number | undefined
  readonly source: string
  /** Text: a mismatch, and what was wrong. Undefined: match. */
  ask(trial: Trial): string | Unavailable | undefined
}

/** The token answered, but not in the form asked for; nothing was computed wrongly. */
export interface Unavailable {
  readonly unavailable: string
}

/** Runs `work` in a session of its own; all objects die with it. */
export function inTrial<T>(site: ProbeSite, work: (trial: Trial) => T): T {
  const { cryptoki, slotId, loggedIn } = site
  const session = openProbeSession(site)
  try {
    return work({
      cryptoki,
      session,
      slotId,
      loggedIn,
      secret: (value, use) =>
        cryptoki.createObject(session, {
          CLASS: CKO.SECRET_KEY,
          KEY_TYPE: CKK.AES,
          TOKEN: false,
          PRIVATE: loggedIn,
          LABEL: SCRATCH_LABEL,
          VALUE: value,
          ...use,
        }),
    })
  } finally {
    quietly(() => cryptoki.closeSession(session))
  }
}

/** Undefined when equal. */
export const compare = (
  got: Uint8Array,
  expected: Uint8Array,
  what = 'result',
): string | undefined => (equal(got, expected) ? undefined : `wrong ${what} (${got.length} bytes)`)

/** Asks one question. @throws Pkcs11Error when the token goes away. */
export function answer(site: ProbeSite, question: Question): KnownAnswer {
  const { id, source } = question
  const about = {
    id,
    mechanism: question.mechanism === undefined ? '-' : mechanismName(question.mechanism),
    source,
  }
  try {
    const wrong = inTrial(site, (trial) => question.ask(trial))
    if (typeof wrong === 'object') {
      return { ...about, result: 'unavailable', detail: wrong.unavailable }
    }
    return { ...about, result: wrong === undefined ? 'match' : 'mismatch', detail: wrong ?? '' }
  } catch (error) {
    if (!isRefusal(error)) throw error
    return { ...about, result: 'unavailable', detail: `${error.fn} ${error.rv}` }
  }
}

/** SP 800-38A appendix F: the AES-256 key and the four plaintext blocks of all modes. */
const KEY = fromHex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4')
const TEXT = fromHex(
  '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
    '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
)
/** F.1.5. */
const ECB = fromHex(
  'f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870' +
    'b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7',
)
/** F.2.5. */
const CBC_IV = fromHex('000102030405060708090a0b0c0d0e0f')
const CBC = fromHex(
  'f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d' +
    '39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b',
)
/** SP 800-38B D.3, examples 9 to 12: message length and CMAC under {@link KEY}. */
const CMAC: readonly (readonly [number, string])[] = [
  [16, '28a7023f452e8f82bd4bf28d8c37c35c'],
  [40, 'aaf3d8f1de5640c232f5b169b9c911e6'],
  [64, 'e1992190549f6ed5696a2c056c315410'],
]
/** "The Galois/Counter Mode of Operation", appendix B, test case 16. */
const GCM = {
  key: fromHex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
  iv: fromHex('cafebabefacedbaddecaf888'),
  aad: fromHex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  text: fromHex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  ),
  box: fromHex(
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  ),
}
/** RFC 4231 §4.7 (test case 6): a 131-byte key, because SoftHSM takes none shorter than 32 bytes. */
const HMAC = {
  key: new Uint8Array(131).fill(0xaa),
  text: 'Test Using Larger Than Block-Size Key - Hash Key First',
  mac: fromHex('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
}

const CIPHER = { ENCRYPT: true, DECRYPT: true } satisfies Template

function bothWays(
  { cryptoki, session, secret }: Trial,
  how: ReturnType<typeof mechanism>,
  value: Uint8Array,
  text: Uint8Array,
  box: Uint8Array,
): string | undefined {
  const key = secret(value, CIPHER)
  return (
    compare(cryptoki.encrypt(session, how, key, text), box, 'ciphertext') ??
    compare(cryptoki.decrypt(session, how, key, box), text, 'plaintext')
  )
}

/** Computations with a published vector. */
export const VECTOR_QUESTIONS: readonly Question[] = [
  {
    id: 'aes-ecb',
    mechanism: CKM.AES_ECB,
    source: 'SP 800-38A F.1.5, F.1.6',
    ask: (trial) => bothWays(trial, mechanism(CKM.AES_ECB), KEY, TEXT, ECB),
  },
  {
    id: 'aes-ecb-multipart',
    mechanism: CKM.AES_ECB,
    source: 'SP 800-38A F.1.5, block by block',
    ask({ cryptoki, session, secret }) {
      cryptoki.encryptInit(session, mechanism(CKM.AES_ECB), secret(KEY, CIPHER))
      const blocks = [0, 16, 32, 48].map((at) =>
        cryptoki.encryptUpdate(session, TEXT.subarray(at, at + 16)),
      )
      const wrong = compare(concat(...blocks, cryptoki.encryptFinal(session)), ECB, 'ciphertext')
      if (wrong !== undefined || blocks.every(({ length }) => length === 16)) return wrong
      return { unavailable: 'C_EncryptUpdate holds blocks back' }
    },
  },
  {
    id: 'aes-cbc',
    mechanism: CKM.AES_CBC,
    source: 'SP 800-38A F.2.5, F.2.6',
    ask: (trial) => bothWays(trial, mechanism(CKM.AES_CBC, CBC_IV), KEY, TEXT, CBC),
  },
  {
    id: 'aes-cbc-zero-iv',
    mechanism: CKM.AES_CBC,
    source: 'SP 800-38A F.1.5: one block, zero IV',
    ask: (trial) =>
      bothWays(
        trial,
        mechanism(CKM.AES_CBC, new Uint8Array(16)),
        KEY,
        TEXT.subarray(0, 16),
        ECB.subarray(0, 16),
      ),
  },
  {
    id: 'aes-gcm',
    mechanism: CKM.AES_GCM,
    source: 'GCM specification, test case 16',
    ask: (trial) => bothWays(trial, aesGcm(GCM), GCM.key, GCM.text, GCM.box),
  },
  {
    id: 'aes-gcm-wrong-tag',
    mechanism: CKM.AES_GCM,
    source: 'SP 800-38D §7.2: FAIL',
    ask({ cryptoki, session, secret }) {
      const key = secret(GCM.key, CIPHER)
      // A control: the same call with the right tag.
      cryptoki.decrypt(session, aesGcm(GCM), key, GCM.box)
      const forged = GCM.box.slice()
      forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
      try {
        cryptoki.decrypt(session, aesGcm(GCM), key, forged)
      } catch (error) {
        if (isRefusal(error)) return undefined
        throw error
      }
      return 'a forged tag was accepted'
    },
  },
  {
    id: 'aes-cmac',
    mechanism: CKM.AES_CMAC,
    source: 'SP 800-38B D.3, examples 10 to 12',
    ask({ cryptoki, session, secret }) {
      const key = secret(KEY, { SIGN: true })
      const wrong = CMAC.map(([length, mac]) =>
        compare(
          cryptoki.sign(session, mechanism(CKM.AES_CMAC), key, TEXT.subarray(0, length)),
          fromHex(mac),
          `MAC of ${length} bytes`,
        ),
      )
      return wrong.find((text) => text !== undefined)
    },
  },
  {
    id: 'hmac-sha256',
    mechanism: CKM.SHA256_HMAC,
    source: 'RFC 4231 §4.7',
    ask({ cryptoki, session, secret }) {
      const key = secret(HMAC.key, { KEY_TYPE: CKK.GENERIC_SECRET, SIGN: true })
      const text = new TextEncoder().encode(HMAC.text)
      return compare(cryptoki.sign(session, mechanism(CKM.SHA256_HMAC), key, text), HMAC.mac, 'MAC')
    },
  },
]
