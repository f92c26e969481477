/** Attacks on usage flags and ALLOWED_MECHANISMS (PKCS#11 v3.2 §4.7, §4.10). */
import type { Template } from './attribute.ts'
import { CKK, CKO } from './constants.ts'
import { CKM } from './constants-ckm.ts'
import type { ObjectHandle, SessionHandle } from './cryptoki.ts'
import type { Attack } from './enforcement-attack.ts'
import { BLOCK, SCRATCH_LABEL } from './enforcement-bench.ts'
import type { Bench, Usage } from './enforcement-bench.ts'
import { allowed, inert } from './enforcement-row.ts'
import type { Outcome } from './enforcement-row.ts'
import { aesCbcEncryptData, mechanism } from './mechanism.ts'

/** Prepares one use of a key; what it returns is the call that the usage flag governs. */
type Use = (bench: Bench, key: ObjectHandle) => (session: SessionHandle) => unknown

const ZERO_IV = new Uint8Array(16)
const MAC = mechanism(CKM.AES_CMAC)
const CBC = mechanism(CKM.AES_CBC, ZERO_IV)
const DERIVE = aesCbcEncryptData(ZERO_IV, new Uint8Array(32).fill(0x5a))

/** One use of a key per usage flag. */
const USES: Readonly<Record<Usage, Use>> = {
  ENCRYPT({ cryptoki, cipher }, key) {
    const how = cipher()
    return (session) => cryptoki.encrypt(session, how, key, BLOCK)
  },
  DECRYPT({ cryptoki, cipher }, key) {
    const how = cipher()
    return (session) => cryptoki.decrypt(session, how, key, BLOCK)
  },
  SIGN:
    ({ cryptoki }, key) =>
    (session) =>
      cryptoki.sign(session, MAC, key, BLOCK),
  VERIFY:
    ({ cryptoki }, key) =>
    (session) =>
      cryptoki.verify(session, MAC, key, BLOCK, BLOCK),
  WRAP(bench, key) {
    const how = bench.wrap()
    const ordinary = bench.aes(['ENCRYPT'])
    return (session) => bench.cryptoki.wrapKey(session, how, key, ordinary)
  },
  UNWRAP(bench, key) {
    const how = bench.wrap()
    const ordinary = bench.aes(['ENCRYPT'])
    const blob = bench.perform((session) => bench.cryptoki.wrapKey(session, how, key, ordinary))
    return (session) =>
      bench.cryptoki.unwrapKey(session, how, key, blob, bench.template(['ENCRYPT']))
  },
  DERIVE: (bench, key) => (session) =>
    bench.cryptoki.deriveKey(session, DERIVE, key, {
      CLASS: CKO.SECRET_KEY,
      KEY_TYPE: CKK.AES,
      VALUE_LEN: 32,
      TOKEN: false,
      PRIVATE: bench.loggedIn,
      LABEL: SCRATCH_LABEL,
      SENSITIVE: true,
      EXTRACTABLE: false,
    }),
}

/** What else the key may do, so that it is an ordinary key in every other respect. */
const BESIDE: Readonly<Record<Usage, readonly Usage[]>> = {
  ENCRYPT: ['DECRYPT'],
  DECRYPT: ['ENCRYPT'],
  SIGN: ['VERIFY'],
  VERIFY: ['SIGN'],
  WRAP: ['UNWRAP'],
  UNWRAP: ['WRAP'],
  DERIVE: ['ENCRYPT'],
}

function useWithout(bench: Bench, usage: Usage): Outcome {
  const permitted = bench.aes([usage, ...BESIDE[usage]])
  bench.perform(USES[usage](bench, permitted))
  const key = bench.aes(BESIDE[usage])
  return bench.attempt(USES[usage](bench, key))
}

function usageAttack(usage: Usage, broken: string): Attack {
  return {
    id: `use-without-${usage.toLowerCase()}`,
    attribute: usage,
    attack: `use a key with ${usage}=false to ${usage.toLowerCase()}`,
    expected: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
    severity: 'warning',
    needs: 'nothing',
    holds: `a key without ${usage} does not ${usage.toLowerCase()}`,
    broken,
    run: (bench) => useWithout(bench, usage),
  }
}

/** After a change that the token accepted: does the key now do what it could not do? */
function nowEncrypts(bench: Bench, key: ObjectHandle): Outcome {
  const use = bench.attempt(USES.ENCRYPT(bench, key))
  return use.verdict === 'enforced' ? inert('CKR_OK, without effect') : allowed()
}

function widen(bench: Bench, by: 'set' | 'copy'): Outcome {
  bench.cipher()
  const key = bench.aes(['DECRYPT'], { MODIFIABLE: false })
  return bench.attack((session) => {
    const template = { ENCRYPT: true } satisfies Template
    if (by === 'set') bench.cryptoki.setAttributes(session, key, template)
    const widened = by === 'set' ? key : bench.cryptoki.copyObject(session, key, template)
    return nowEncrypts(bench, widened)
  })
}

/** A key for AES-ECB only, with the proof that CBC works on a key that does not say so. */
function ecbOnly(bench: Bench): ObjectHandle {
  const { cryptoki } = bench
  const ordinary = bench.aes(['ENCRYPT'])
  bench.perform((session) => cryptoki.encrypt(session, CBC, ordinary, BLOCK))
  const key = bench.aes(['ENCRYPT'], { ALLOWED_MECHANISMS: [CKM.AES_ECB] })
  bench.perform((session) => cryptoki.encrypt(session, mechanism(CKM.AES_ECB), key, BLOCK))
  return key
}

const encryptCbc = (bench: Bench, key: ObjectHandle): Outcome =>
  bench.attempt((session) => bench.cryptoki.encrypt(session, CBC, key, BLOCK))

/** See the head of this file. */
export const USE_ATTACKS: readonly Attack[] = [
  usageAttack('ENCRYPT', 'a decrypt-only key also encrypts'),
  usageAttack('DECRYPT', 'an encrypt-only key also decrypts'),
  usageAttack('SIGN', 'a verify-only key also signs'),
  usageAttack('VERIFY', 'a sign-only key also verifies'),
  usageAttack('WRAP', 'any AES key of the user can wrap keys out'),
  usageAttack('UNWRAP', 'any AES key of the user can unwrap blobs'),
  usageAttack('DERIVE', 'any AES key of the user can be used to derive keys'),
  {
    id: 'widen-unmodifiable',
    attribute: 'MODIFIABLE',
    attack: 'set ENCRYPT from false to true on a key with MODIFIABLE=false',
    expected: 'CKR_ACTION_PROHIBITED',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a key that is born with MODIFIABLE=false keeps its usage',
    broken: 'whoever can log in widens the usage of every key',
    run: (bench) => widen(bench, 'set'),
  },
  {
    id: 'copy-widens-usage',
    attribute: 'COPYABLE',
    attack: 'copy a key with MODIFIABLE=false and ENCRYPT changed to true',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: 'a copy of an unmodifiable key has no wider usage',
    broken: 'a copy gets round MODIFIABLE=false: COPYABLE must be false as well',
    run: (bench) => widen(bench, 'copy'),
  },
  {
    id: 'mechanism-not-allowed',
    attribute: 'ALLOWED_MECHANISMS',
    attack: 'use AES-CBC with a key whose ALLOWED_MECHANISMS is AES-ECB',
    expected: 'CKR_MECHANISM_INVALID',
    severity: 'warning',
    needs: 'nothing',
    holds: 'a key works with its allowed mechanisms only',
    broken: 'a key works with every mechanism of its type, e.g. a KEK with modes that undo a wrap',
    run: (bench) => encryptCbc(bench, ecbOnly(bench)),
  },
  {
    id: 'widen-mechanisms',
    attribute: 'ALLOWED_MECHANISMS',
    attack: 'add AES-CBC to the ALLOWED_MECHANISMS of a key',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: 'the list of allowed mechanisms is final',
    broken: 'the list of allowed mechanisms can be widened, or means nothing',
    run: (bench) => {
      const key = ecbOnly(bench)
      const set = bench.attempt((session) => {
        bench.cryptoki.setAttributes(session, key, {
          ALLOWED_MECHANISMS: [CKM.AES_ECB, CKM.AES_CBC],
        })
      })
      if (set.verdict === 'enforced') return set
      return encryptCbc(bench, key).verdict === 'enforced'
        ? inert('CKR_OK, without effect')
        : allowed()
    },
  },
]
