/**
 * Signed intents: each person of a quorum signs what is about to happen, bound to the plan, the step, its
 * arguments, the log as they saw it and an expiry. What is refused is recorded before it is thrown.
 */
import { toHex } from '../bytes.ts'
import { type KeyriteError, PolicyError, QuorumError } from '../errors.ts'
import {
  type IntentTopic,
  type SignedIntent,
  approvalGate,
  makeIntent,
  signIntent,
} from '../quorum/index.ts'
import { actingPeople, needed } from './acting.ts'
import { type Ceremony, holders } from './context.ts'
import { actionSpec } from './action-table.ts'
import type { ApproveStep, DoStep } from './plan.ts'
import { loggedError } from './logged-error.ts'
import { signaturesIn } from './previous.ts'
import type { Person, Role } from './room.ts'
import { approvedAction, stepArgsSha256 } from './step-args.ts'
import type { AskApproval, StepApproval } from './write-ahead.ts'

/** The topic of a step's approval, bound to the log as it stands now. */
export function intentTopic(
  ceremony: Ceremony,
  step: string,
  action: string,
  argsSha256: string,
): IntentTopic {
  const { identity, journal } = ceremony
  return {
    ceremony: identity.id,
    mode: identity.mode,
    planSha256: identity.planSha256,
    bindingSha256: identity.bindingSha256,
    step,
    action,
    argsSha256,
    logOrigin: identity.origin,
    logSize: journal.log.size,
    logRoot: toHex(journal.log.root()),
  }
}

/** One person signs a topic; expires as the policy says. */
export async function signTopic(
  ceremony: Ceremony,
  topic: IntentTopic,
  person: Person,
): Promise<SignedIntent> {
  const ttlMs = ceremony.policy.approvalTtlMinutes * 60_000
  const intent = makeIntent({
    ...topic,
    expires: new Date(ceremony.clock.wallMs() + ttlMs).toISOString(),
    signer: person.principal,
    nonce: toHex(await ceremony.random.bytes(16)),
  })
  const signer = await ceremony.room.signer(person)
  return signIntent(intent, {
    principal: signer.principal,
    async sign(namespace, message) {
      const signature = await signer.sign(namespace, message)
      refuseSpent(ceremony, topic.step, person, signature)
      return signature
    },
  })
}

/** A signature brought from elsewhere may be an old one: then it is named, not just called invalid. */
function refuseSpent(ceremony: Ceremony, step: string, person: Person, signature: string): void {
  const { spent, journal } = ceremony
  if (!spent.has(signature) && !signaturesIn(journal.entries()).has(signature)) return
  throw new QuorumError('APPROVAL_REPLAYED', `${person.id} brought a signature given before`, {
    where: `step ${step}`,
    expected: 'a signature over what is approved now',
    got: spent.has(signature) ? 'one from the ceremony before' : 'one from another step',
  })
}

const onRecord = new WeakSet<KeyriteError>()

/** Records a refusal in the transcript, once, then throws it on. */
export async function recordRefusal(
  ceremony: Ceremony,
  step: string,
  action: string,
  actors: readonly string[],
  error: unknown,
): Promise<never> {
  const refusal = error instanceof QuorumError || error instanceof PolicyError
  if (refusal && !onRecord.has(error)) {
    onRecord.add(error)
    await ceremony.journal.append(
      'refused',
      step,
      { action, actors: [...actors], error: loggedError(error) },
      ['software-enforced'],
    )
  }
  throw error
}

/** Collects the quorum's approvals of a topic, records them, and checks them together. */
async function collect(
  ceremony: Ceremony,
  role: Role,
  step: string,
  action: string,
  argsSha256: string,
  title: string,
): Promise<StepApproval> {
  const { journal, room, roster, clock } = ceremony
  const acting = await actingPeople(ceremony, role, step)
  const topic = intentTopic(ceremony, step, action, argsSha256)
  const gate = approvalGate({
    roster,
    maxTtlMs: ceremony.policy.approvalTtlMinutes * 60_000,
    used: journal.of('approval').map(({ intent, signature }) => ({ intent, signature })),
  })
  const signed: SignedIntent[] = []
  for (const [index, person] of acting.entries()) {
    room.progress(`${person.name} approves: ${title}`, index, acting.length)
    await room.confirm(person, `Approve ${title}?`, `approve ${step}`)
    signed.push(await signTopic(ceremony, topic, person))
  }
  const approval = gate.check(signed, {
    expected: topic,
    allowed: holders(ceremony, role).map(({ principal }) => principal),
    need: needed(ceremony, role),
    at: new Date(clock.wallMs()),
  })
  for (const { intent, signature } of signed) {
    await journal.append('approval', step, { role, intent, signature }, [
      'crypto-verified',
      'software-enforced',
    ])
  }
  return { approval: approval.approval, intentSha256: approval.intentSha256 }
}

/** Approval by a role of the plan as a whole. */
export const approvePlan = (ceremony: Ceremony, step: ApproveStep): Promise<StepApproval> =>
  recorded(
    ceremony,
    step.by,
    step.id,
    approvedAction(step),
    stepArgsSha256(ceremony.plan, step),
    'the plan',
  )

/** Asks every role the action needs, once per step, and once per interrupted call that needs a decision. */
export function stepApprover(ceremony: Ceremony, step: DoStep): AskApproval {
  let forStep: { readonly approval: Promise<StepApproval>; readonly untilMs: number } | undefined
  return (recovery) => {
    const action = approvedAction(step, recovery)
    const args = stepArgsSha256(ceremony.plan, step, recovery)
    const title =
      recovery === undefined
        ? step.title
        : `to ${recovery.decision} what entry ${recovery.intent} left behind`
    const ask = async (): Promise<StepApproval> => {
      const all: StepApproval[] = []
      for (const role of actionSpec('do', step.action)?.approvers ?? []) {
        all.push(await recorded(ceremony, role, step.id, action, args, title))
      }
      return {
        approval: {
          by: all.flatMap(({ approval }) => approval.by),
          intentSha256: all[0]?.approval.intentSha256 ?? '',
        },
        intentSha256: all.flatMap(({ intentSha256 }) => intentSha256),
      }
    }
    if (recovery !== undefined) return ask()
    // A step may outlast its approvals (people fetch media, receipts take time): then they are asked again.
    if (forStep === undefined || ceremony.clock.wallMs() > forStep.untilMs) {
      const untilMs = ceremony.clock.wallMs() + (ceremony.policy.approvalTtlMinutes * 60_000) / 2
      forStep = { approval: ask(), untilMs }
    }
    return forStep.approval
  }
}

async function recorded(
  ceremony: Ceremony,
  ...[role, step, action, args, title]: [Role, string, string, string, string]
): Promise<StepApproval> {
  try {
    return await collect(ceremony, role, step, action, args, title)
  } catch (error) {
    const actors = (ceremony.acting.get(role) ?? []).map(({ id }) => id)
    return await recordRefusal(ceremony, step, action, actors, error)
  }
}
