/**
 * The gate: decides whether signed intents approve what is about to happen. `software-enforced`: a modified runner
 * could skip it, so it always rides with a split PIN or a nested wrap.
 */
import { FormatError, QuorumError } from '../errors.ts'
import type { Approval } from '../types.ts'

import { type AllowedSigners, verifySshsig } from './allowed-signers.ts'
import { encodeIntent, intentDigest, parseIntent, topicDigest, topicOf } from './intent.ts'
import type { IntentTopic, SignedIntent } from './types.ts'

/** One hour: time to fetch a signature from another machine, too short to keep for another day. */
const DEFAULT_MAX_TTL_MS = 3_600_000

/** Fields that say where and when an approval was given; any difference means it was given for something else. */
const PLACE = ['ceremony', 'mode', 'step', 'logOrigin', 'logSize', 'logRoot'] as const
/** Fields that say what was approved. */
const CONTENT = ['planSha256', 'bindingSha256', 'action', 'argsSha256'] as const

/** What the gate knows. */
export interface GateOptions {
  readonly roster: AllowedSigners
  /** Longest time an approval may still have to live when it is checked, in milliseconds. */
  readonly maxTtlMs?: number
  /** Approvals in the log so far: none of them counts again. */
  readonly used?: Iterable<SignedIntent>
}

/** What is about to happen and who must agree. */
export interface ApprovalRequest {
  readonly expected: IntentTopic
  /** Principals who may approve this. */
  readonly allowed: readonly string[]
  /** How many of them must. */
  readonly need: number
  /** The time to judge expiry and keys by. */
  readonly at: Date
}

/** An approval, with what the log records about it. */
export interface GrantedApproval {
  /** `intentSha256` is the digest of the topic, which all signers share. */
  readonly approval: Approval
  /** SHA-256 (hex) of each signed intent, in the order given. */
  readonly intentSha256: readonly string[]
  /** `SHA256:...` of each signing key, in the order given. */
  readonly keyFingerprints: readonly string[]
}

/** See {@link approvalGate}. */
export interface ApprovalGate {
  /** Judges one signature, e.g. as soon as a person has signed; uses nothing up. Returns the key's fingerprint. */
  checkOne(signed: SignedIntent, request: ApprovalRequest): string
  /** Judges all of them together; when they suffice they are used up, otherwise none is. */
  check(signed: readonly SignedIntent[], request: ApprovalRequest): GrantedApproval
}

function checkSignature(signed: SignedIntent, roster: AllowedSigners, at: Date): string {
  const { intent, signature } = signed
  const namespace = 'keyrite-approval'
  const message = encodeIntent(intent)
  try {
    const owner = verifySshsig({
      signature,
      message,
      namespace,
      principal: intent.signer,
      roster,
      at,
    })
    return owner.keyFingerprint
  } catch (cause) {
    const wrong = ['SIGNATURE_INVALID', 'SIGNATURE_WRONG_NAMESPACE', 'FORMAT']
    if (
      !(cause instanceof QuorumError || cause instanceof FormatError) ||
      !wrong.includes(cause.code)
    ) {
      throw cause
    }
    throw new QuorumError('APPROVAL_INVALID', `the approval of ${intent.signer} is not signed`, {
      where: `step ${intent.step}`,
      expected: cause.expected ?? 'an SSH signature over this intent',
      got: cause.got ?? cause.message,
      cause,
    })
  }
}

const list = (topic: IntentTopic, fields: readonly (keyof IntentTopic)[]): string =>
  fields.map((field) => `${field} ${topic[field]}`).join(', ')

function checkTopic(signer: string, got: IntentTopic, expected: IntentTopic): void {
  const differ = (fields: readonly (keyof IntentTopic)[]) =>
    fields.filter((field) => got[field] !== expected[field])
  const place = differ(PLACE)
  const content = differ(CONTENT)
  if (place.length + content.length === 0) return
  const fields = [...place, ...content]
  const replayed = place.length > 0
  throw new QuorumError(
    replayed ? 'APPROVAL_REPLAYED' : 'APPROVAL_INVALID',
    replayed
      ? `the approval of ${signer} was given at another point`
      : `${signer} approved something else`,
    {
      where: `step ${expected.step}, action ${expected.action}`,
      expected: list(expected, fields),
      got: list(got, fields),
      hint: 'ask for a new approval of this step',
    },
  )
}

function checkTime(signed: SignedIntent, at: Date, maxTtlMs: number): void {
  const { signer, expires, step } = signed.intent
  const left = Date.parse(expires) - at.getTime()
  // Written so that an invalid time, which compares false, is refused.
  if (left >= 0 && left <= maxTtlMs) return
  throw new QuorumError(
    'APPROVAL_EXPIRED',
    left > maxTtlMs
      ? `the approval of ${signer} would live too long`
      : `the approval of ${signer} has expired`,
    {
      where: `step ${step}`,
      expected: `an expiry at most ${maxTtlMs / 1000} s ahead of the check`,
      got: `expires ${expires}, checked ${Number.isNaN(at.getTime()) ? 'at no time' : at.toISOString()}`,
      hint: 'check the clock and ask for a new approval',
    },
  )
}

function refuseTwice(signed: readonly SignedIntent[], keys: readonly string[]): void {
  const people = signed.map(({ intent }) => intent.signer)
  const person = people.find((who, at) => people.indexOf(who) !== at)
  const keyAt = keys.findIndex((key, at) => keys.indexOf(key) !== at)
  if (person === undefined && keyAt < 0) return
  const key = keys[keyAt] ?? ''
  throw new QuorumError('SAME_PERSON_TWICE', 'one person cannot approve twice', {
    where: `step ${signed[0]?.intent.step ?? ''}`,
    expected: 'different people with different keys',
    got:
      person === undefined
        ? `key ${key} of ${people.filter((_, at) => keys[at] === key).join(' and ')}`
        : `${person} twice`,
  })
}

/**
 * A gate over a roster. Its methods throw QuorumError: APPROVAL_INVALID (not signed, or something else approved),
 * APPROVAL_REPLAYED (another ceremony, mode, step or log state, or used before), APPROVAL_EXPIRED, SIGNER_UNKNOWN,
 * SIGNER_WRONG_KEY, SIGNER_EXPIRED, SIGNER_NOT_ALLOWED (lacks the role), SAME_PERSON_TWICE, QUORUM_NOT_MET;
 * FormatError for a malformed intent.
 */
export function approvalGate(options: GateOptions): ApprovalGate {
  const { roster, maxTtlMs = DEFAULT_MAX_TTL_MS } = options
  const usedUp = new Set<string>()
  const spend = ({ intent }: SignedIntent): void => {
    usedUp.add(intent.nonce).add(intentDigest(intent))
  }
  for (const signed of options.used ?? []) spend(signed)

  const checkOne = (signed: SignedIntent, request: ApprovalRequest): string => {
    const intent = parseIntent(signed.intent)
    const { signer } = intent
    const fingerprint = checkSignature(signed, roster, request.at)
    if (!request.allowed.includes(signer)) {
      throw new QuorumError('SIGNER_NOT_ALLOWED', `${signer} may not approve this`, {
        where: `step ${request.expected.step}`,
        expected: request.allowed.join(', '),
        got: signer,
      })
    }
    checkTopic(signer, topicOf(intent), request.expected)
    if (usedUp.has(intent.nonce) || usedUp.has(intentDigest(intent))) {
      throw new QuorumError('APPROVAL_REPLAYED', `the approval of ${signer} was used before`, {
        where: `step ${intent.step}`,
        expected: 'a nonce that is new',
        got: `nonce ${intent.nonce}`,
        hint: 'ask for a new approval of this step',
      })
    }
    checkTime(signed, request.at, maxTtlMs)
    return fingerprint
  }

  return {
    checkOne,
    check(signed, request) {
      const keyFingerprints = signed.map((one) => checkOne(one, request))
      refuseTwice(signed, keyFingerprints)
      const { need } = request
      if (!(need >= 1) || signed.length < need) {
        throw new QuorumError('QUORUM_NOT_MET', 'not enough approvals', {
          where: `step ${request.expected.step}`,
          have: signed.length,
          need,
          expected: `${need} of ${request.allowed.join(', ')}`,
          got: signed.map(({ intent }) => intent.signer).join(', ') || 'none',
        })
      }
      signed.forEach(spend)
      return {
        approval: {
          by: signed.map(({ intent }) => intent.signer),
          intentSha256: topicDigest(request.expected),
        },
        intentSha256: signed.map(({ intent }) => intentDigest(intent)),
        keyFingerprints,
      }
    },
  }
}
