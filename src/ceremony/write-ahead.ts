/**
 * Write-ahead intents. Before an HSM or a medium is changed, an `intent` is durable in the transcript;
 * after it a `result`. A resumed run calls the same code again: what has a result is not repeated, and an
 * open intent is classified by looking at the token (not done, done but unrecorded, partial) first.
 */
import { canonicalDigest } from '../canonical.ts'
import { toHex } from '../bytes.ts'
import { PolicyError } from '../errors.ts'
import type { Approval, EvidenceClass, Json, JsonObject } from '../types.ts'
import type { EntryOf } from './entries.ts'
import type { Journal } from './journal.ts'

/** Where a run stands around one mutating call, in order, and at the end of the step that made it. */
export type WriteAheadPoint =
  'before-intent' | 'after-intent' | 'after-call' | 'after-result' | 'before-step-end'

/** Sees every point; `op` is the call, at the end of a step its action. Tests end the process there. */
export type Observe = (point: WriteAheadPoint, op: string) => void

/** Quorum approval of one step, or of the recovery of one intent. */
export interface StepApproval {
  readonly approval: Approval
  /** SHA-256 (hex) of each signed intent. */
  readonly intentSha256: readonly string[]
}

/** What the token or medium shows about a call whose result is unknown. */
export type Found<T> =
  | { readonly state: 'not-done' }
  | { readonly state: 'done'; readonly data: T }
  | { readonly state: 'partial'; readonly remove: (approval: Approval) => Promise<void> }

/** One mutating call. */
export interface Mutation<T extends Json> {
  readonly step: string
  /** The PKCS#11 function or keyrite operation, e.g. `C_GenerateKey`. */
  readonly op: string
  readonly args: JsonObject
  /** CKA_ID (hex) the call creates or destroys. */
  readonly ckaId?: string
  readonly evidence: readonly EvidenceClass[]
  call(approval: Approval): Promise<T>
  /** Looks, and changes nothing. */
  inspect(): Promise<Found<T>>
}

/** Asks the quorum. `recovery` names what is decided about an interrupted call. */
export type AskApproval = (recovery?: {
  readonly decision: 'adopt' | 'destroy'
  readonly intent: number
}) => Promise<StepApproval>

/** Carries mutations through a journal. */
export interface WriteAhead {
  mutate<T extends Json>(mutation: Mutation<T>, ask: AskApproval): Promise<T>
}

/** A write-ahead log over a journal. */
export function writeAhead(journal: Journal, observe: Observe = () => undefined): WriteAhead {
  const result = (
    intent: number,
    { step, op, evidence }: Mutation<Json>,
    outcome: EntryOf<'result'>['outcome'],
    data: Json,
  ): Promise<number> => journal.append('result', step, { intent, op, outcome, data }, evidence)

  async function perform<T extends Json>(mutation: Mutation<T>, ask: AskApproval): Promise<T> {
    const { step, op, args, ckaId } = mutation
    const { approval, intentSha256 } = await ask()
    observe('before-intent', op)
    const intent = await journal.append(
      'intent',
      step,
      {
        op,
        args,
        argsSha256: toHex(canonicalDigest(args)),
        ...(ckaId === undefined ? {} : { ckaId }),
        approvals: [...intentSha256],
        approvedBy: [...approval.by],
      },
      ['software-enforced'],
    )
    observe('after-intent', op)
    const data = await mutation.call(approval)
    observe('after-call', op)
    await result(intent, mutation, 'done', data)
    observe('after-result', op)
    return data
  }

  /** Settles an intent that has no result, and says whether the call must still be made. */
  async function settle<T extends Json>(
    intent: EntryOf<'intent'>,
    mutation: Mutation<T>,
    ask: AskApproval,
  ): Promise<{ done: true; data: T } | { done: false }> {
    const found = await mutation.inspect()
    if (found.state === 'done') {
      await ask({ decision: 'adopt', intent: intent.seq })
      await result(intent.seq, mutation, 'adopted', found.data)
      return { done: true, data: found.data }
    }
    if (found.state === 'partial') {
      const { approval } = await ask({ decision: 'destroy', intent: intent.seq })
      await found.remove(approval)
      await result(intent.seq, mutation, 'destroyed', null)
      return { done: false }
    }
    await result(intent.seq, mutation, 'not-done', null)
    return { done: false }
  }

  return {
    async mutate<T extends Json>(mutation: Mutation<T>, ask: AskApproval): Promise<T> {
      const last = journal
        .of('intent', mutation.step)
        .findLast((intent) => intent.op === mutation.op && sameTarget(intent, mutation))
      if (last === undefined) return perform(mutation, ask)
      const settled = journal.of('result', mutation.step).find((entry) => entry.intent === last.seq)
      if (settled?.outcome === 'done' || settled?.outcome === 'adopted') return settled.data as T
      if (settled !== undefined) return perform(mutation, ask)
      if (last.argsSha256 !== toHex(canonicalDigest(mutation.args))) {
        throw new PolicyError(
          'NOT_RESUMABLE',
          'CER-WAL-1',
          'interrupted call had other arguments',
          {
            where: `entry ${last.seq}, ${mutation.op}`,
            expected: last.argsSha256,
            got: toHex(canonicalDigest(mutation.args)),
            hint: 'abort this ceremony; its transcript stays truthful',
          },
        )
      }
      const outcome = await settle(last, mutation, ask)
      return outcome.done ? outcome.data : perform(mutation, ask)
    },
  }
}

/** Calls of one kind within a step are told apart by the object they touch. */
const sameTarget = (intent: EntryOf<'intent'>, mutation: Mutation<Json>): boolean =>
  intent.ckaId === mutation.ckaId
