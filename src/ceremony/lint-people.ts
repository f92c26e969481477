/** Rules on people and time: quorums, approvals, attestation, breaks, and the transcript before. */
import { type LintContext, at, keysOf } from './lint-context.ts'
import type { Role } from './room.ts'
import { modelSteps, walk } from './room-model.ts'

const SHARE_HOLDERS = ['custodian', 'security-officer'] as const

/** PLAN-QUORUM-1 to -4. */
function quorums({ plan, policy, report }: LintContext): void {
  for (const role of SHARE_HOLDERS) {
    const size = plan.roles[role]
    if (size === undefined) continue
    const { quorum, of } = size
    const path = ['roles', role]
    if (quorum < 2) {
      const hint = 'a quorum of 2 or more'
      report('PLAN-QUORUM-1', [...path, 'quorum'], `one ${role} alone would be enough`, hint)
    }
    if (of < quorum) {
      const hint = `make \`of\` at least ${quorum + 1}`
      report('PLAN-QUORUM-2', [...path, 'of'], `${quorum} of ${of} can never be met`, hint)
    } else if (of === quorum) {
      const hint = `make \`of\` ${quorum + 1}: one person may be ill, one share unreadable`
      report('PLAN-QUORUM-3', [...path, 'of'], `${quorum} of ${of} leaves no spare share`, hint)
    }
    const { minimumThreshold, minimumHolders } = policy
    if ((quorum >= 2 && quorum < minimumThreshold) || (of >= quorum && of < minimumHolders)) {
      report(
        'PLAN-QUORUM-4',
        path,
        `${quorum} of ${of} is below the policy`,
        `policy ${policy.policy} asks for ${minimumThreshold} of ${minimumHolders} or more`,
      )
    }
  }
}

/** PLAN-APPROVE-1, -2, PLAN-CHECK-1. */
function approvals({ plan, policy, report }: LintContext): void {
  let clockReported = false
  walk(plan, ({ step, index, spec }, room) => {
    if (step.kind === 'approve' && !room.clockRead && !clockReported) {
      clockReported = true
      const hint = 'put `check: clock` before it'
      report('PLAN-CHECK-1', at(index), 'people approve before the clocks were read', hint)
    }
    if (spec?.mutating !== true) return
    const needed: readonly Role[] = ['custodian', 'security-officer'].filter(
      (role): role is Role => role === 'custodian' || spec.performers.includes('security-officer'),
    )
    for (const role of needed) {
      const approved = room.approvals.get(role)
      if (approved === undefined) {
        report(
          'PLAN-APPROVE-1',
          at(index),
          `the ${role} quorum has not approved the plan before this step`,
          `put \`approve: { by: ${role}, what: plan }\` before it`,
        )
      } else if (room.minutes - approved > policy.approvalTtlMinutes) {
        report(
          'PLAN-APPROVE-2',
          at(index),
          `${room.minutes - approved} minutes after the approval by ${role}`,
          `approve again; approvals live ${policy.approvalTtlMinutes} minutes`,
        )
      }
    }
  })
}

/** PLAN-ATTEST-1, -2. */
function attestation({ plan, report }: LintContext): void {
  const attests = modelSteps(plan).filter(({ step }) => step.kind === 'attest')
  const last = plan.steps.length - 1
  if (attests.length === 0) {
    report(
      'PLAN-ATTEST-1',
      at(last),
      'nobody attests the transcript',
      'end with `attest: { by: [custodian, witness], what: transcript }`',
    )
  }
  for (const { step, index } of attests) {
    if (index !== last) {
      report('PLAN-ATTEST-1', at(index), 'attest is not the last step', 'move it to the end')
    }
    if (step.kind !== 'attest' || index !== last) continue
    for (const role of ['custodian', 'witness'] as const) {
      if (plan.roles[role] === undefined || step.by.includes(role)) continue
      report('PLAN-ATTEST-2', at(index, 'attest', 'by'), `no ${role} attests`, `add ${role}`)
    }
  }
}

const hours = (minutes: number): string =>
  `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`

/** PLAN-TIME-1, -2. */
function time({ plan, policy, report }: LintContext): void {
  let reported = false
  const end = walk(plan, ({ step, index }, room) => {
    const isBreak = step.kind === 'say' && step.break === true
    if (reported || isBreak || room.sinceBreak + step.minutes <= policy.maxMinutesWithoutBreak)
      return
    reported = true
    report(
      'PLAN-TIME-2',
      at(index),
      `${hours(room.sinceBreak + step.minutes)} without a break at the end of this step`,
      `put a \`say\` with \`break: true\` before it; the policy allows ${hours(policy.maxMinutesWithoutBreak)}`,
    )
  })
  if (end.minutes <= policy.maxMinutes) return
  report(
    'PLAN-TIME-1',
    ['steps'],
    `the plan takes ${hours(end.minutes)}`,
    `the policy allows ${hours(policy.maxMinutes)}; make two plans of it`,
  )
}

/** PLAN-PREVIOUS-1, -2. */
function previous(context: LintContext): void {
  const { plan, policy, binding, report } = context
  if (plan.previous !== 'genesis') return
  const initialises = plan.steps.some(
    (step) => step.kind === 'do' && step.action === 'token.initialise',
  )
  if (!initialises) {
    const strict = policy.requirePrevious && binding?.mode === 'production'
    report(
      'PLAN-PREVIOUS-1',
      ['previous'],
      'the plan initialises nothing, yet begins a new history',
      'write `previous: required` and name the bundle before in the binding',
      strict ? 'error' : 'warning',
    )
  }
  const earlier = (path: readonly string[], what: string): void =>
    report(
      'PLAN-PREVIOUS-2',
      path,
      `${what}, but there is no transcript before`,
      'write `previous: required`',
    )
  for (const [name, { existing }] of keysOf(context)) {
    if (existing) earlier(['keys', name, 'existing'], `key ${name} is existing`)
  }
  for (const input of Object.keys(plan.inputs)) earlier(['inputs', input], `${input} is an input`)
  if (plan.after.length > 0) earlier(['after'], 'other plans must have run')
}

/** All rules of this file. */
export function lintPeople(context: LintContext): void {
  quorums(context)
  approvals(context)
  attestation(context)
  time(context)
  previous(context)
}
