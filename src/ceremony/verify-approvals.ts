/**
 * Checks of what people signed while the ceremony ran: approvals and receipts. Every signature is verified
 * again, and everything it binds is computed again from plan, binding and log.
 */
import { toHex } from '../bytes.ts'
import {
  type Commitments,
  RECEIPT_ACTION,
  type SignatureOwner,
  encodeIntent,
  intentDigest,
  receiptArgsSha256,
  verifySshsig,
} from '../quorum/index.ts'
import { actionSpec } from './action-table.ts'
import type { EntryOf } from './entries.ts'
import type { Step } from './plan.ts'
import type { Role } from './room.ts'
import { approvedAction, stepArgsSha256 } from './step-args.ts'
import {
  type Answer,
  type Transcript,
  atEntry,
  count,
  entriesOf,
  need,
  notApplicable,
  personOf,
  refute,
} from './verify-context.ts'

type ApprovalEntry = EntryOf<'approval'>
type Signed = ApprovalEntry | EntryOf<'receipt'>
type Recovery = { readonly decision: 'adopt' | 'destroy'; readonly intent: number }

const MINUTE_MS = 60_000

/** Verifies one signed intent and all that does not depend on what it is about. */
function checkSigned(transcript: Transcript, entry: Signed): SignatureOwner {
  const { intent, signature } = entry
  const { open, log, trustedRoster, policy } = transcript
  const at = { entry: entry.seq }
  const owner = verifySshsig({
    signature,
    message: encodeIntent(intent),
    namespace: 'keyrite-approval',
    principal: intent.signer,
    roster: trustedRoster,
    at: new Date(entry.time),
  })
  const bound = {
    ceremony: open.ceremony,
    planSha256: open.planSha256,
    bindingSha256: open.bindingSha256,
    step: entry.step,
    logOrigin: log.origin,
  } as const
  for (const [field, expected] of Object.entries(bound)) {
    const got = intent[field as keyof typeof bound]
    if (got !== expected) refute(`what was signed names another ${field}`, { ...at, expected, got })
  }
  const begun = entriesOf(transcript, 'step.begin').findLast(
    ({ seq, step }) => seq < entry.seq && step === entry.step,
  )
  if (begun === undefined || intent.logSize <= begun.seq || intent.logSize > entry.seq) {
    refute('signed over a log from before the step began, or from later', {
      ...at,
      expected: `${(begun?.seq ?? 0) + 1} to ${entry.seq} entries`,
      got: `${intent.logSize} entries`,
    })
  }
  const root = toHex(log.rootAt(intent.logSize))
  if (intent.logRoot !== root) {
    refute('signed over another log', { ...at, expected: root, got: intent.logRoot })
  }
  const [expires, logged] = [Date.parse(intent.expires), Date.parse(entry.time)]
  if (!(expires >= logged)) {
    refute('signature had expired', { ...at, expected: `until ${intent.expires}`, got: entry.time })
  }
  if (expires - logged > policy.approvalTtlMinutes * MINUTE_MS) {
    refute('signature is valid for longer than the policy allows', {
      ...at,
      expected: `${policy.approvalTtlMinutes} minutes`,
      got: `until ${intent.expires}`,
    })
  }
  return owner
}

/** Interrupted calls an approval of this step could be about. */
function recoveries(transcript: Transcript, { step, seq }: ApprovalEntry): Recovery[] {
  const before = entriesOf(transcript, 'intent').filter(
    (intent) => intent.step === step && intent.seq < seq,
  )
  return before.flatMap(({ seq: intent }) => [
    { decision: 'adopt' as const, intent },
    { decision: 'destroy' as const, intent },
  ])
}

/** What an approval is about: the step itself (`undefined`) or the fate of an interrupted call. */
function topicOf(
  transcript: Transcript,
  entry: ApprovalEntry,
): { readonly step: Step; readonly recovery: Recovery | undefined } {
  const step = transcript.plan.steps.find(({ id }) => id === entry.step)
  if (step === undefined)
    return refute('approval of a step the plan does not have', { entry: entry.seq })
  const { action, argsSha256 } = entry.intent
  const recovery = [undefined, ...recoveries(transcript, entry)].find(
    (topic) =>
      approvedAction(step, topic) === action &&
      stepArgsSha256(transcript.plan, step, topic) === argsSha256,
  )
  const fits =
    recovery !== undefined ||
    (approvedAction(step) === action && stepArgsSha256(transcript.plan, step) === argsSha256)
  if (!fits) {
    refute('approval is of another action or other arguments', {
      entry: entry.seq,
      expected: `${approvedAction(step)} with ${stepArgsSha256(transcript.plan, step)}`,
      got: `${action} with ${argsSha256}`,
    })
  }
  return { step, recovery }
}

/** CER-APPROVAL-1. */
export function checkApprovals(transcript: Transcript): Answer {
  const approvals = entriesOf(transcript, 'approval')
  for (const entry of approvals) {
    atEntry(entry.seq, () => checkSigned(transcript, entry))
    topicOf(transcript, entry)
    const person = personOf(transcript, entry.intent.signer)
    if (person?.roles.includes(entry.role) !== true) {
      refute(`${entry.intent.signer} does not hold the role ${entry.role}`, { entry: entry.seq })
    }
  }
  return approvals.length === 0
    ? notApplicable('nothing was approved')
    : `${count(approvals.length, 'approval')} verified again`
}

/** CER-REPLAY-1, over approvals and receipts together. */
export function checkReplay(transcript: Transcript): Answer {
  const seen = new Map<string, number>()
  const signed = [...entriesOf(transcript, 'approval'), ...entriesOf(transcript, 'receipt')]
  for (const { seq, intent, signature } of signed) {
    for (const mark of [`nonce ${intent.nonce}`, `intent ${intentDigest(intent)}`, signature]) {
      const before = seen.get(mark)
      if (before !== undefined) {
        refute(`what was signed in entry ${Math.min(before, seq)} is used again`, {
          entry: Math.max(before, seq),
        })
      }
      seen.set(mark, seq)
    }
  }
  return `${count(signed.length, 'signature')}, each used once`
}

/** Refuses unless these approvals come from a quorum of different people with different keys. */
function requireQuorum(
  transcript: Transcript,
  entries: readonly ApprovalEntry[],
  role: Role,
  what: string,
  at: number,
): void {
  const mine = entries.filter((entry) => entry.role === role)
  const people = new Set(mine.map(({ intent }) => intent.signer))
  const keys = new Set(
    mine.map((entry) => atEntry(entry.seq, () => checkSigned(transcript, entry)).keyFingerprint),
  )
  const have = Math.min(people.size, keys.size)
  // Fewer than two would not be dual control, whatever a plan says.
  const wanted = Math.max(2, need(transcript, role))
  if (have < wanted) {
    refute(`${what} without a quorum of ${role}s`, {
      entry: at,
      expected: `${wanted} different people and keys`,
      got: [...people].join(', ') || 'nobody',
    })
  }
}

/** Approvers of a planned step; a step that is no action has none. */
const approversOf = (step: Step | undefined): readonly Role[] =>
  step?.kind === 'do' ? (actionSpec('do', step.action)?.approvers ?? []) : []

/** Approvals a write-ahead intent rests on, found by the digests it names. */
function restsOn(transcript: Transcript, intent: EntryOf<'intent'>): ApprovalEntry[] {
  const known = entriesOf(transcript, 'approval').filter(({ seq }) => seq < intent.seq)
  return intent.approvals.map((digest) => {
    const entry = known.find((approval) => intentDigest(approval.intent) === digest)
    if (entry?.step !== intent.step || topicOf(transcript, entry).recovery !== undefined) {
      return refute('a call rests on an approval that is not one of its step', {
        entry: intent.seq,
        got: digest,
      })
    }
    if (Date.parse(entry.intent.expires) < Date.parse(intent.time)) {
      refute('a call rests on an approval that had expired', {
        entry: intent.seq,
        expected: `until ${entry.intent.expires}`,
        got: intent.time,
      })
    }
    return entry
  })
}

/** CER-QUORUM-1. */
export function checkQuorum(transcript: Transcript): Answer {
  const { plan } = transcript
  const intents = entriesOf(transcript, 'intent')
  for (const intent of intents) {
    const step = plan.steps.find(({ id }) => id === intent.step)
    const roles = approversOf(step)
    const approvals = restsOn(transcript, intent)
    if (roles.length === 0) refute('a call in a step that nobody approves', { entry: intent.seq })
    for (const role of roles) requireQuorum(transcript, approvals, role, intent.op, intent.seq)
    const signers = new Set(approvals.map((approval) => approval.intent.signer))
    if (intent.approvedBy.some((who) => !signers.has(who)) || intent.approvedBy.length === 0) {
      refute('a call names approvers who did not sign', {
        entry: intent.seq,
        expected: [...signers].join(', '),
        got: intent.approvedBy.join(', ') || 'nobody',
      })
    }
  }
  checkRecoveries(transcript)
  for (const { step, seq } of entriesOf(transcript, 'step.end')) {
    const planned = plan.steps.find(({ id }) => id === step)
    if (planned?.kind !== 'approve') continue
    const given = entriesOf(transcript, 'approval').filter((entry) => entry.step === step)
    if (planned.by === 'custodian' || planned.by === 'security-officer') {
      requireQuorum(transcript, given, planned.by, 'the plan was accepted', seq)
    } else if (given.length < need(transcript, planned.by)) {
      refute(`the plan was accepted without its ${planned.by}`, { entry: seq })
    }
  }
  return intents.length === 0
    ? 'nothing was changed'
    : `${count(intents.length, 'call')}, each approved by a quorum`
}

/** Adopting or removing what an interrupted call left is decided by the same people as the call. */
function checkRecoveries(transcript: Transcript): void {
  for (const result of entriesOf(transcript, 'result')) {
    const decision = { adopted: 'adopt', destroyed: 'destroy' }[result.outcome as string]
    if (decision === undefined) continue
    const given = entriesOf(transcript, 'approval').filter((entry) => {
      if (entry.step !== result.step || entry.seq > result.seq) return false
      const { recovery } = topicOf(transcript, entry)
      return recovery?.intent === result.intent && recovery.decision === decision
    })
    const step = transcript.plan.steps.find(({ id }) => id === result.step)
    for (const role of approversOf(step)) {
      requireQuorum(transcript, given, role, `${decision} after an interruption`, result.seq)
    }
  }
}

/** CER-RECEIPT-1: receipts stand before the split they are for, one per holder. */
export function checkReceipts(transcript: Transcript): Answer {
  const splits = entriesOf(transcript, 'shares.committed')
  const receipts = entriesOf(transcript, 'receipt')
  const used = new Set<number>()
  for (const { seq, step, commitments } of splits) {
    const since = splits.findLast((split) => split.seq < seq)?.seq ?? -1
    for (const { holder, index } of commitments.shares) {
      const principal = transcript.open.people.find(({ id }) => id === holder)?.principal
      const receipt = receipts.find(
        ({ seq: at, step: of, intent, fileSha256 }) =>
          at > since &&
          at < seq &&
          of === step &&
          intent.signer === principal &&
          intent.action === RECEIPT_ACTION &&
          intent.argsSha256 === receiptArgsSha256(commitments as Commitments, index, fileSha256),
      )
      if (receipt === undefined) {
        return refute(`${holder} signed no receipt for share ${index}`, { entry: seq })
      }
      atEntry(receipt.seq, () => checkSigned(transcript, receipt))
      used.add(receipt.seq)
    }
  }
  const stray = receipts.find(({ seq }) => !used.has(seq))
  if (stray !== undefined && transcript.outcome === 'complete') {
    // An interrupted split leaves receipts for shares that never counted.
    const resumed = entriesOf(transcript, 'ceremony.resume').some(({ seq }) => seq > stray.seq)
    if (!resumed) refute('a receipt is for no share that was issued', { entry: stray.seq })
  }
  return splits.length === 0
    ? notApplicable('no PIN was split')
    : `${count(used.size, 'receipt')} for ${count(splits.length, 'split')}`
}
