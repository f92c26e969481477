/**
 * What the checks of `verify` look at, and how they answer. A check returns a sentence when its
 * requirement holds and throws when it does not; nothing here writes, asks a token or uses a network.
 */
import {
  KeyriteError,
  QuorumError,
  VerificationError,
  type VerificationErrorCode,
} from '../errors.ts'
import type { NoteVerifier } from '../note.ts'
import type { AllowedSigners } from '../quorum/index.ts'
import type { EvidenceClass } from '../types.ts'
import type { Binding } from './binding.ts'
import type { Bundle } from './bundle.ts'
import type { Entry, EntryOf, Ledger } from './entries.ts'
import type { Plan } from './plan.ts'
import type { Policy } from './policy.ts'
import { REQUIREMENTS, type RequirementId } from './requirements.ts'
import type { Person, Role } from './room.ts'
import type { ReadLog } from './verify-log.ts'

/** Whether the ceremony was held, or rehearsed with a scripted cast. */
export type Mode = 'production' | 'rehearsal'

/** One requirement, answered. */
export interface Finding {
  readonly id: RequirementId
  readonly status: 'ok' | 'failed' | 'not-applicable'
  readonly evidence: EvidenceClass
  /** One sentence; never a secret. */
  readonly detail: string
  /** Log index the fault was found at. */
  readonly entry?: number
  readonly code?: VerificationErrorCode
  /** What a reader must know although the requirement holds. */
  readonly warnings: readonly string[]
}

/** A ceremony entry; leaves out the log's own `log.recovered`. */
export type CeremonyEntry = Exclude<Entry, { type: 'log.recovered' }>

/** Everything about a bundle that could be read, once the log itself is known to be good. */
export interface Transcript {
  readonly bundle: Bundle
  readonly log: ReadLog
  readonly entries: readonly Entry[]
  readonly open: EntryOf<'ceremony.open'>
  readonly close: EntryOf<'ceremony.close'> | undefined
  readonly abort: EntryOf<'ceremony.abort'> | undefined
  readonly outcome: 'complete' | 'aborted' | 'unfinished'
  readonly plan: Plan
  readonly binding: Binding
  readonly policy: Policy
  readonly planText: string
  readonly bindingText: string
  readonly policyText: string
  readonly rosterText: string
  /** The bundle's own roster. */
  readonly roster: AllowedSigners
  /** The roster people's signatures are checked with: the verifier's own, or the bundle's. */
  readonly trustedRoster: AllowedSigners
  readonly logKey: NoteVerifier | undefined
  /** Time at which keys must have been valid. */
  readonly at: Date
  readonly ledger: Ledger
}

/** Everything `verify` found. */
export interface Verification {
  /** No requirement failed. An aborted ceremony can be ok: it tells the truth about itself. */
  readonly ok: boolean
  /** `unreadable`: so much failed that nobody can say. */
  readonly outcome: Transcript['outcome'] | 'unreadable'
  readonly mode: Mode | undefined
  /** One per requirement, in the table's order. */
  readonly findings: readonly Finding[]
  readonly warnings: readonly string[]
  /** One per failed requirement. */
  readonly errors: readonly VerificationError[]
  /** People whose signature on the final checkpoint is good, by id. */
  readonly signedBy: readonly string[]
  /** Root over the whole transcript; empty when it could not be read. */
  readonly root: Uint8Array
  /** What is known to exist at its end. */
  readonly ledger: Ledger
  readonly transcript: Transcript | undefined
}

/** What a check returns: the sentence, or more. */
export type Answer =
  | string
  | {
      readonly detail: string
      readonly status?: 'not-applicable'
      readonly evidence?: EvidenceClass
      readonly warnings?: readonly string[]
    }

/** Throws; the requirement id is filled in by {@link examine}. */
export function refute(
  message: string,
  detail: {
    readonly code?: VerificationErrorCode
    readonly entry?: number
    readonly expected?: string
    readonly got?: string
  } = {},
): never {
  const { code = 'TRANSCRIPT_INVALID', ...rest } = detail
  throw new VerificationError(code, '', message, rest)
}

/** Says why a requirement has no meaning here. */
export const notApplicable = (detail: string): Answer => ({ detail, status: 'not-applicable' })

/** Puts findings together. */
export function conclude(
  findings: readonly Finding[],
  transcript: Transcript | undefined,
  signedBy: readonly string[],
): Verification {
  const bad = findings.filter(({ status }) => status === 'failed')
  return {
    ok: bad.length === 0,
    outcome: transcript?.outcome ?? 'unreadable',
    mode: transcript?.open.mode,
    findings,
    warnings: findings.flatMap(({ warnings }) => warnings),
    errors: bad.map(
      ({ id, code, detail, entry }) =>
        new VerificationError(code ?? 'TRANSCRIPT_INVALID', id, detail, {
          ...(entry === undefined ? {} : { entry, where: `entry ${entry}` }),
        }),
    ),
    signedBy,
    root: transcript?.log.root ?? new Uint8Array(),
    ledger: transcript?.ledger ?? { tokens: {}, keys: {}, copies: [], logKeys: {} },
    transcript,
  }
}

/** One line from an error: what, where, expected, got. */
function explain(error: KeyriteError): string {
  const { message, where, expected, got } = error
  const place = where === undefined ? '' : ` (${where})`
  const wanted = expected === undefined ? '' : `; expected ${expected}`
  return `${message}${place}${wanted}${got === undefined ? '' : `; got ${got}`}`
}

const isKeyrite = (error: unknown): error is KeyriteError => error instanceof KeyriteError

/** Verification codes of what the quorum layer says about signatures. */
const SIGNATURE_CODES: Readonly<Record<string, VerificationErrorCode>> = {
  SIGNATURE_INVALID: 'SIGNATURE_INVALID',
  SIGNATURE_WRONG_NAMESPACE: 'SIGNATURE_INVALID',
  SIGNER_UNKNOWN: 'SIGNER_NOT_TRUSTED',
  SIGNER_WRONG_KEY: 'SIGNER_NOT_TRUSTED',
  SIGNER_EXPIRED: 'SIGNER_NOT_TRUSTED',
}

/** Gives an error the number of the entry it is about. */
export function atEntry<T>(entry: number, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof VerificationError && error.entry !== undefined) throw error
    if (!isKeyrite(error)) throw error
    throw new VerificationError(codeOf(error), '', error.message, {
      where: error.where,
      expected: error.expected,
      got: error.got,
      entry,
      cause: error,
    })
  }
}

const codeOf = (error: KeyriteError): VerificationErrorCode =>
  error instanceof VerificationError
    ? error.code
    : ((error instanceof QuorumError ? SIGNATURE_CODES[error.code] : undefined) ??
      'TRANSCRIPT_INVALID')

/** A failed requirement from the error that was met. */
function failed(id: RequirementId, error: KeyriteError): Finding {
  const entry = error instanceof VerificationError ? error.entry : undefined
  return {
    id,
    status: 'failed',
    evidence: REQUIREMENTS[id].evidence,
    detail: explain(error),
    code: codeOf(error),
    ...(entry === undefined ? {} : { entry }),
    warnings: [],
  }
}

/** Answers one requirement. Errors that are not keyrite's own are faults of keyrite and are thrown on. */
export async function examine(
  id: RequirementId,
  check: () => Answer | Promise<Answer>,
): Promise<Finding> {
  try {
    const answer = await check()
    const full = typeof answer === 'string' ? { detail: answer } : answer
    return {
      id,
      status: full.status ?? 'ok',
      evidence: full.evidence ?? REQUIREMENTS[id].evidence,
      detail: full.detail,
      warnings: full.warnings ?? [],
    }
  } catch (error) {
    if (isKeyrite(error)) return failed(id, error)
    throw error
  }
}

/** A requirement that could not be looked at because another one failed. */
export const unexamined = (id: RequirementId, because: string): Finding => ({
  id,
  status: 'not-applicable',
  evidence: REQUIREMENTS[id].evidence,
  detail: `not looked at: ${because}`,
  warnings: [],
})

/** Entries of one type, in order. */
export const entriesOf = <Type extends Entry['type']>(
  { entries }: Pick<Transcript, 'entries'>,
  type: Type,
): EntryOf<Type>[] => entries.filter((entry): entry is EntryOf<Type> => entry.type === type)

/** Entries that carry the ceremony's fields. */
export const ceremonyEntries = ({ entries }: Pick<Transcript, 'entries'>): CeremonyEntry[] =>
  entries.filter((entry): entry is CeremonyEntry => entry.type !== 'log.recovered')

/** The person a principal belongs to. */
export const personOf = ({ open }: Transcript, principal: string): Person | undefined =>
  open.people.find((person) => person.principal === principal)

/** How many people of a role must act. */
export function need({ plan }: Pick<Transcript, 'plan'>, role: Role): number {
  if (role === 'custodian' || role === 'security-officer') return plan.roles[role]?.quorum ?? 0
  return plan.roles[role] ?? 0
}

/** `3 of 5 entries`-style counting with a plural. */
export const count = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`
