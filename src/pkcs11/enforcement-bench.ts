/**
 * Scratch keys for one attack: session objects of one session, which is closed afterwards.
 * Every attempt runs in a session of its own, because a refused call may leave an operation behind.
 */
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { AttributeName, Template } from './attribute.ts'
import { CKK, CKO } from './constants.ts'
import { CKM, CKM_VENDOR } from './constants-ckm.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from './cryptoki.ts'
import { allowed, isRefusal, refused } from './enforcement-row.ts'
import type { Outcome } from './enforcement-row.ts'
import { mechanism } from './mechanism.ts'
import type { Mechanism } from './mechanism.ts'
import { isReturnValue, returnValueName } from './return-value.ts'

/** Where attacks are mounted. */
export interface ProbeSite {
  readonly cryptoki: Cryptoki
  readonly slotId: number
  /** A user is logged in: scratch keys are PRIVATE. */
  readonly loggedIn: boolean
  /** Nobody else in this process needs the login, so a probe may end it. */
  readonly soleLogin: boolean
}

/** What earlier attacks on the same token found out. */
export interface BenchFindings {
  cipher?: Mechanism
  wrap?: Mechanism
}

/** Label of every scratch object. */
export const SCRATCH_LABEL = 'keyrite doctor scratch'

/** Usage flags of secret keys. */
export type Usage = 'ENCRYPT' | 'DECRYPT' | 'SIGN' | 'VERIFY' | 'WRAP' | 'UNWRAP' | 'DERIVE'

const USAGES: readonly Usage[] = [
  'ENCRYPT',
  'DECRYPT',
  'SIGN',
  'VERIFY',
  'WRAP',
  'UNWRAP',
  'DERIVE',
]

/** One AES block. */
export const BLOCK = new Uint8Array(16).fill(0x5a)

/** Value of imported scratch keys: public, and worth nothing. */
const SCRATCH_VALUE = Uint8Array.from({ length: 32 }, (_, at) => at + 1)

/** Zero-IV CBC of one block equals ECB (SP 800-38A §6.2). */
const CIPHERS: readonly Mechanism[] = [
  mechanism(CKM.AES_ECB),
  mechanism(CKM.AES_CBC, new Uint8Array(16)),
]

/** Any mechanism that wraps and unwraps an AES key serves the attacks. */
const WRAPS: readonly Mechanism[] = [
  mechanism(CKM.AES_KEY_WRAP),
  mechanism(CKM.AES_KEY_WRAP_KWP),
  mechanism(CKM.AES_KEY_WRAP_PAD),
  mechanism(CKM.AES_CBC_PAD, new Uint8Array(16)),
  mechanism(CKM_VENDOR.THALES_AES_KWP),
  mechanism(CKM_VENDOR.CLOUDHSM_AES_KEY_WRAP_ZERO_PAD),
  mechanism(CKM.AES_ECB),
]

/** See the head of this file. */
export interface Bench {
  readonly cryptoki: Cryptoki
  readonly loggedIn: boolean
  /** The session that scratch objects belong to. */
  readonly home: SessionHandle
  /** A new AES-256 key with exactly these usages; SENSITIVE and EXTRACTABLE unless overridden. */
  aes(usages: readonly Usage[], overrides?: Template): ObjectHandle
  /** A new AES-256 key of a known value. */
  imported(usages: readonly Usage[], overrides?: Template): ObjectHandle
  /** Attributes of a secret key that is unwrapped or derived. */
  template(usages: readonly Usage[], overrides?: Template): Template
  /** Notes a scratch object made by other means, so that it is destroyed. */
  keep(object: ObjectHandle): ObjectHandle
  /** Runs `work` in a session of its own; errors pass through: set-up and controls. */
  perform<T>(work: (session: SessionHandle) => T): T
  /** Runs `work` in a session of its own; a refusal is the outcome. */
  attack(work: (session: SessionHandle) => Outcome): Outcome
  /** An attack that has succeeded when its call has. */
  attempt(call: (session: SessionHandle) => unknown): Outcome
  /** A mechanism that encrypts single blocks here. @throws Pkcs11Error if there is none. */
  readonly cipher: () => Mechanism
  /** A mechanism that wraps and unwraps AES keys here. @throws Pkcs11Error if there is none. */
  readonly wrap: () => Mechanism
  /** Tries to read VALUE: the outcome of an attack on its secrecy. */
  readValue(session: SessionHandle, key: ObjectHandle): Outcome
  /** A boolean attribute as the token reports it; undefined when it does not. */
  flag(key: ObjectHandle, name: BooleanAttribute): boolean | undefined
  /** Destroys the scratch objects and closes the session. */
  close(): void
}

/** Attributes that {@link Bench.flag} reads. */
export type BooleanAttribute = Extract<
  AttributeName,
  | Usage
  | 'SENSITIVE'
  | 'EXTRACTABLE'
  | 'PRIVATE'
  | 'LOCAL'
  | 'ALWAYS_SENSITIVE'
  | 'NEVER_EXTRACTABLE'
  | 'MODIFIABLE'
  | 'COPYABLE'
  | 'DESTROYABLE'
  | 'TRUSTED'
  | 'WRAP_WITH_TRUSTED'
>

/** A template of one boolean. */
export const only = (name: BooleanAttribute, value: boolean): Template =>
  ({ [name]: value }) as unknown as Template

/** Runs `call`; a module's refusal or a closed module is of no interest. */
export function quietly(call: () => void): void {
  try {
    call()
  } catch (error) {
    if (!(error instanceof Pkcs11Error || error instanceof TokenError)) throw error
  }
}

/** A read-write session, or a read-only one on a token that is write-protected. */
export function openProbeSession({ cryptoki, slotId }: ProbeSite): SessionHandle {
  try {
    return cryptoki.openSession(slotId, { readWrite: true })
  } catch (error) {
    if (!isReturnValue(error, 'TOKEN_WRITE_PROTECTED')) throw error
    return cryptoki.openSession(slotId, { readWrite: false })
  }
}

/** The first candidate that `works`. @throws the last candidate's Pkcs11Error. */
function firstWorking(
  candidates: readonly Mechanism[],
  works: (candidate: Mechanism) => void,
): Mechanism {
  let last: unknown
  for (const candidate of candidates) {
    try {
      works(candidate)
      return candidate
    } catch (error) {
      if (!isRefusal(error)) throw error
      last = error
    }
  }
  throw last
}

/** Opens a bench; `findings` is shared by the attacks of one table. */
export function openBench(site: ProbeSite, findings: BenchFindings): Bench {
  const { cryptoki, loggedIn } = site
  const home = openProbeSession(site)
  const made: ObjectHandle[] = []

  const keep = (object: ObjectHandle): ObjectHandle => {
    made.push(object)
    return object
  }

  const template = (usages: readonly Usage[], overrides: Template = {}): Template => ({
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: CKK.AES,
    TOKEN: false,
    PRIVATE: loggedIn,
    LABEL: SCRATCH_LABEL,
    SENSITIVE: true,
    EXTRACTABLE: true,
    ...(Object.fromEntries(
      USAGES.map((usage) => [usage, usages.includes(usage)]),
    ) as unknown as Template),
    // Last: SoftHSM refuses attributes that follow MODIFIABLE=false in some calls.
    ...overrides,
  })

  const perform = <T>(work: (session: SessionHandle) => T): T => {
    const session = openProbeSession(site)
    try {
      return work(session)
    } finally {
      quietly(() => cryptoki.closeSession(session))
    }
  }

  const bench: Bench = {
    cryptoki,
    loggedIn,
    home,
    keep,
    template,
    perform,
    aes: (usages, overrides) =>
      keep(
        cryptoki.generateKey(home, mechanism(CKM.AES_KEY_GEN), {
          VALUE_LEN: SCRATCH_VALUE.length,
          ...template(usages, overrides),
        }),
      ),
    imported: (usages, overrides) =>
      keep(cryptoki.createObject(home, { VALUE: SCRATCH_VALUE, ...template(usages, overrides) })),
    attack(work) {
      try {
        return perform(work)
      } catch (error) {
        if (!isRefusal(error)) throw error
        return refused(error.rv)
      }
    },
    attempt: (call) =>
      bench.attack((session) => {
        call(session)
        return allowed()
      }),
    cipher() {
      findings.cipher ??= firstWorking(CIPHERS, (candidate) => {
        const key = bench.aes(['ENCRYPT'])
        perform((session) => cryptoki.encrypt(session, candidate, key, BLOCK))
      })
      return findings.cipher
    },
    wrap() {
      findings.wrap ??= firstWorking(WRAPS, (candidate) => {
        const kek = bench.aes(['WRAP', 'UNWRAP'])
        const key = bench.aes(['ENCRYPT'])
        const blob = perform((session) => cryptoki.wrapKey(session, candidate, kek, key))
        keep(cryptoki.unwrapKey(home, candidate, kek, blob, template(['ENCRYPT'])))
      })
      return findings.wrap
    },
    readValue(session, key) {
      const read = cryptoki.getAttributes(session, key, ['VALUE']).get('VALUE')
      switch (read?.status) {
        case 'value':
          read.value.fill(0)
          return allowed(`allowed: ${read.value.length} bytes read`)
        case 'sensitive':
          return refused('CKR_ATTRIBUTE_SENSITIVE')
        case 'failed':
          return refused(returnValueName(read.ckr))
        case 'malformed':
          return allowed(`allowed: ${read.bytes.length} bytes read`)
        case 'absent':
        case undefined:
          return refused('CKR_ATTRIBUTE_TYPE_INVALID')
      }
    },
    flag: (key, name) =>
      perform((session) => cryptoki.getAttributes(session, key, [name]).value(name)),
    close() {
      for (const object of made) {
        // Some are gone or may not be destroyed, on purpose; the session takes those with it.
        quietly(() => cryptoki.destroyObject(home, object))
      }
      quietly(() => cryptoki.closeSession(home))
    },
  }
  return bench
}
