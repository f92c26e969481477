/**
 * What keyrite would use on a token, decided by what the token was seen to do. Vendor hints ride
 * along and decide nothing; what is known about a vendor only keeps rounds from multi-part operations.
 */
import type { SignatureAlgorithm } from '../ports.ts'
import { CKM, mechanismName } from './constants-ckm.ts'
import type { EnforcementRow, Severity } from './enforcement-row.ts'
import type { KnownAnswer } from './known-answer.ts'
import type { WrapProbe } from './known-answer-wrap.ts'
import { multiPartPolicy, vendorHints } from './profile-vendors.ts'
import type { VendorHints } from './profile-vendors.ts'
import type { KeyRole } from './types.ts'

/** A mechanism and why. */
export interface Choice {
  /** `CKM_...`; null: there is none. */
  readonly mechanism: string | null
  /** `listed`: the token names it, but takes no known keys, so its answers were not compared. */
  readonly basis: 'probed' | 'listed' | 'none'
  readonly note: string
}

/** How the blocks of a round of format-preserving encryption would be sent, and why. */
export interface RoundsChoice {
  /** Null: no mechanism gives single blocks. */
  readonly operation: 'single-part' | 'multi-part' | null
  readonly why: string
}

/** An attribute of keyrite's key templates that this token does not hold up. */
export interface AttributeWaiver {
  readonly attribute: string
  readonly reason: 'not accepted' | 'accepted, not enforced'
}

/** Something a person should read before keys are made here. */
export interface ProfileWarning {
  readonly severity: Severity
  /** Id of the enforcement row or known answer. */
  readonly id: string
  readonly text: string
}

/** Whether keys of a role can live on the token. */
export interface RoleFit {
  readonly role: KeyRole
  readonly usable: boolean
  readonly why: string
}

/** See the head of this file. */
export interface Profile {
  /** AES-KWP (RFC 5649). */
  readonly wrap: Choice
  /** Single AES blocks, for format-preserving encryption. */
  readonly blockCipher: Choice
  readonly rounds: RoundsChoice
  /** Authenticated encryption, for the outer layer of the nested wrap. */
  readonly seal: Choice
  /** The log's signatures. */
  readonly signature: Choice & { readonly algorithm: SignatureAlgorithm | null }
  readonly roles: readonly RoleFit[]
  /**
   * Every attack that would take a protected key out of the token was refused, and no known answer
   * was wrong. Says nothing about the hardware: a software token can pass.
   */
  readonly protectsKeys: boolean
  readonly waivers: readonly AttributeWaiver[]
  /** Worst first. */
  readonly warnings: readonly ProfileWarning[]
  /** From documents, not probed. */
  readonly vendor: VendorHints | null
}

/** What the profile is computed from. */
export interface ProfileInputs {
  readonly knownAnswers: readonly KnownAnswer[]
  readonly wraps: readonly WrapProbe[]
  readonly enforcement: readonly EnforcementRow[]
  /** CKM_* numbers the token lists. */
  readonly mechanisms: readonly number[]
  /** Manufacturer and description of library and token. */
  readonly names: readonly string[]
}

const NONE = { mechanism: null, basis: 'none' } as const

/** Attributes whose absence a template survives with a record (`template.ts`). */
const WAIVABLE = ['MODIFIABLE', 'COPYABLE', 'DESTROYABLE', 'ALLOWED_MECHANISMS', 'UNWRAP_TEMPLATE']

/** Attacks whose success takes a protected key out; they must have been refused, not merely skipped. */
const DECISIVE = ['read-sensitive', 'set-sensitive-off', 'set-extractable-on', 'wrap-unextractable']

const RANK: Readonly<Record<Severity, number>> = { critical: 0, warning: 1, note: 2 }

type Results = (id: string) => KnownAnswer | undefined

/** Nothing could be compared, because the token takes no keys from outside. */
const importRefused = (answer: KnownAnswer | undefined): boolean =>
  answer?.result === 'unavailable' && answer.detail.startsWith('C_CreateObject ')

function pick(
  results: Results,
  listed: readonly number[],
  id: string,
  type: number,
  note: string,
): Choice | undefined {
  const answer = results(id)
  const mechanism = mechanismName(type)
  if (answer?.result === 'match') return { mechanism, basis: 'probed', note }
  if (importRefused(answer) && listed.includes(type)) {
    return { mechanism, basis: 'listed', note: `${note}; not compared: ${answer?.detail ?? ''}` }
  }
  return undefined
}

/** The rule of the KWP probe in `kwp.ts`: right for 32 bytes, better if right for 20 as well. */
function chooseWrap(wraps: readonly WrapProbe[]): Choice {
  const right = wraps.filter(({ listed, bytes32 }) => listed && bytes32 === 'RFC 5649')
  const exact = right.find(({ bytes20 }) => bytes20 === 'RFC 5649')
  const chosen = exact ?? right[0]
  if (chosen === undefined) return { ...NONE, note: 'no mechanism wraps as RFC 5649' }
  return {
    mechanism: chosen.mechanism,
    basis: 'probed',
    note:
      exact === undefined
        ? `RFC 5649 for multiples of 8 bytes only; 20 bytes: ${chosen.bytes20}`
        : 'RFC 5649 for every length',
  }
}

/** The rule of `block-route.ts`, on the answers of a known key. */
function chooseRounds(
  { mechanism }: Choice,
  results: Results,
  names: readonly string[],
): RoundsChoice {
  if (mechanism === null) return { operation: null, why: 'no mechanism gives single blocks' }
  const single = (why: string): RoundsChoice => ({ operation: 'single-part', why })
  if (mechanism !== mechanismName(CKM.AES_ECB)) return single('one block in each call')
  const answer = results('aes-ecb-multipart')
  if (answer?.result !== 'match') {
    const why = answer === undefined || answer.detail === '' ? 'not tried' : answer.detail
    return single(`the trial of multi-part failed: ${why}`)
  }
  const { allowed, reason } = multiPartPolicy(names)
  return allowed
    ? { operation: 'multi-part', why: `the trial succeeded; ${reason}` }
    : single(`the trial of multi-part succeeded, but ${reason}`)
}

function chooseSignature(results: Results): Profile['signature'] {
  const schemes = [
    ['ed25519', CKM.EDDSA],
    ['ecdsa-p256-sha256', CKM.ECDSA],
  ] as const
  const found = schemes.find(([algorithm]) => results(algorithm)?.result === 'match')
  if (found === undefined) return { ...NONE, algorithm: null, note: 'neither Ed25519 nor P-256' }
  const [algorithm, type] = found
  return { mechanism: mechanismName(type), algorithm, basis: 'probed', note: algorithm }
}

function waivers(rows: readonly EnforcementRow[]): AttributeWaiver[] {
  return WAIVABLE.flatMap((attribute): AttributeWaiver[] => {
    const own = rows.filter((row) => row.attribute === attribute)
    if (own.some(({ verdict }) => verdict === 'not enforced')) {
      return [{ attribute, reason: 'accepted, not enforced' }]
    }
    const none = own.length > 0 && own.every(({ verdict }) => verdict === 'not applicable')
    return none ? [{ attribute, reason: 'not accepted' }] : []
  })
}

/** Known answers that, when wrong, mean that the token computes wrongly. */
const wrong = (answers: readonly KnownAnswer[]): ProfileWarning[] =>
  answers
    .filter(({ result }) => result === 'mismatch')
    .map(({ id, mechanism, detail }) => ({
      severity: 'critical',
      id,
      text: `${mechanism} computes wrongly: ${detail}`,
    }))

const broken = (rows: readonly EnforcementRow[]): ProfileWarning[] =>
  rows
    .filter(({ verdict }) => verdict === 'not enforced')
    .map(({ severity, id, consequence }) => ({ severity, id, text: consequence }))

function undecided(rows: readonly EnforcementRow[]): ProfileWarning[] {
  return DECISIVE.flatMap((id) => {
    const found = rows.find((row) => row.id === id)
    if (found?.verdict === 'enforced' || found?.verdict === 'not enforced') return []
    const text = `unknown whether this is refused: ${found?.attack ?? id}`
    return [{ severity: 'critical' as const, id, text }]
  })
}

const fit = (role: KeyRole, { mechanism, note }: Choice): RoleFit => ({
  role,
  usable: mechanism !== null,
  why: mechanism === null ? note : `${mechanism} (${note})`,
})

/** Computes the profile. */
export function chooseProfile(inputs: ProfileInputs): Profile {
  const { knownAnswers, wraps, enforcement, mechanisms } = inputs
  const results: Results = (id) => knownAnswers.find((answer) => answer.id === id)
  const wrap = chooseWrap(wraps)
  const blockCipher = pick(results, mechanisms, 'aes-ecb', CKM.AES_ECB, 'single blocks') ??
    // One block under a zero IV is E_K of the block (SP 800-38A §6.2).
    pick(results, mechanisms, 'aes-cbc-zero-iv', CKM.AES_CBC, 'zero IV, one block') ?? {
      ...NONE,
      note: 'neither AES-ECB nor AES-CBC',
    }
  const forged = results('aes-gcm-wrong-tag')?.result === 'mismatch'
  const seal =
    (forged
      ? undefined
      : pick(results, mechanisms, 'aes-gcm', CKM.AES_GCM, '96-bit IV, 128-bit tag')) ??
    ({ ...NONE, note: forged ? 'accepts forged tags' : 'no AES-GCM' } as const)
  const prf = pick(results, mechanisms, 'aes-cmac', CKM.AES_CMAC, 'PRF of a KDF') ?? {
    ...NONE,
    note: 'no AES-CMAC',
  }
  const signature = chooseSignature(results)
  const warnings = [...wrong(knownAnswers), ...broken(enforcement), ...undecided(enforcement)].sort(
    (a, b) => RANK[a.severity] - RANK[b.severity],
  )
  return {
    wrap,
    blockCipher,
    rounds: chooseRounds(blockCipher, results, inputs.names),
    seal,
    signature,
    roles: [
      fit('fpe', blockCipher),
      fit('kek', wrap),
      fit('kek-outer', seal),
      fit('embedding-seed', prf),
      fit('log-signer', signature),
      fit('approval', signature),
    ],
    protectsKeys: warnings.every(({ severity }) => severity !== 'critical'),
    waivers: waivers(enforcement),
    warnings,
    vendor: vendorHints(...inputs.names),
  }
}
