/** Rules on names: everything named is declared, everything declared is used; and on output files. */
import { posix } from 'node:path'

import { type ArgumentName, REFERENT } from './action-table.ts'
import { isOutputName } from './bundle.ts'
import { type LintContext, at, keysOf } from './lint-context.ts'
import type { RuleId } from './lint-rules.ts'
import type { Role } from './room.ts'
import { type ModelStep, modelSteps, tokenOf } from './room-model.ts'

const UNDECLARED: Record<'token' | 'key' | 'output' | 'artefact', [RuleId, string]> = {
  token: ['PLAN-NAME-1', 'token'],
  key: ['PLAN-NAME-2', 'key'],
  output: ['PLAN-NAME-3', 'output'],
  artefact: ['PLAN-NAME-3', 'output or input'],
}

function declared(context: LintContext): Record<keyof typeof UNDECLARED, readonly string[]> {
  const { tokens, keys, outputs, inputs } = context.plan
  return {
    token: tokens,
    key: Object.keys(keys),
    output: Object.keys(outputs),
    artefact: [...Object.keys(outputs), ...Object.keys(inputs)],
  }
}

const choices = (names: readonly string[]): string =>
  names.length === 0 ? 'nothing is declared' : `declared: ${names.join(', ')}`

/** PLAN-NAME-1, -2, -3: references. */
function references(context: LintContext, steps: readonly ModelStep[]): void {
  const { plan, report } = context
  const known = declared(context)
  for (const { index, args } of steps) {
    for (const [field, value] of Object.entries(args) as [ArgumentName, string][]) {
      const what = REFERENT[field]
      if (known[what].includes(value)) continue
      const [rule, noun] = UNDECLARED[what]
      report(rule, at(index, 'with', field), `no such ${noun}: ${value}`, choices(known[what]))
    }
  }
  for (const [name, key] of keysOf(context)) {
    if (!plan.tokens.includes(key.token)) {
      report(
        'PLAN-NAME-1',
        ['keys', name, 'token'],
        `no such token: ${key.token}`,
        choices(plan.tokens),
      )
    }
    key.copies?.forEach((copy, index) => {
      if (known.artefact.includes(copy)) return
      const path = ['keys', name, 'copies', index]
      report('PLAN-NAME-3', path, `no such output or input: ${copy}`, choices(known.artefact))
    })
  }
  if (!plan.tokens.includes(plan.log)) {
    report('PLAN-NAME-1', ['log'], `no such token: ${plan.log}`, choices(plan.tokens))
  }
}

/** PLAN-NAME-5: one name, one thing. */
function uniqueness({ plan, report }: LintContext): void {
  plan.steps.forEach(({ id }, index) => {
    const first = plan.steps.findIndex((other) => other.id === id)
    if (first === index) return
    report(
      'PLAN-NAME-5',
      at(index, 'id'),
      `step id ${id} is taken by step ${first + 1}`,
      'give this step another id',
    )
  })
  plan.tokens.forEach((token, index) => {
    if (plan.tokens.indexOf(token) === index) return
    report('PLAN-NAME-5', ['tokens', index], `token ${token} is listed twice`, 'delete one')
  })
  for (const name of Object.keys(plan.inputs)) {
    if (!Object.hasOwn(plan.outputs, name)) continue
    report('PLAN-NAME-5', ['inputs', name], `${name} is an output too`, 'rename one of them')
  }
}

/** People a step needs. */
function actors({ step, spec }: ModelStep): readonly Role[] {
  if (step.kind === 'approve') return [step.by]
  if (step.kind === 'attest') return step.by
  return [...(spec?.performers ?? []), ...(spec?.approvers ?? [])]
}

/** PLAN-NAME-4, PLAN-USE-4: roles. */
function roles({ plan, report }: LintContext, steps: readonly ModelStep[]): void {
  const used = new Set<Role>(['administrator'])
  for (const model of steps) {
    for (const role of new Set(actors(model))) {
      used.add(role)
      if (plan.roles[role] !== undefined) continue
      const hint = `add ${role} under roles`
      report('PLAN-NAME-4', at(model.index), `the step needs a ${role}, the plan has none`, hint)
    }
  }
  for (const role of Object.keys(plan.roles) as Role[]) {
    if (used.has(role)) continue
    report(
      'PLAN-USE-4',
      ['roles', role],
      `no step needs a ${role}`,
      'let the role approve or attest, or delete it',
    )
  }
}

/** PLAN-USE-1, -2, -3. */
function use(context: LintContext, steps: readonly ModelStep[]): void {
  const { plan, report } = context
  const fields = steps.flatMap(({ args }) => Object.entries(args) as [ArgumentName, string][])
  const values = (...names: ArgumentName[]): string[] =>
    fields.filter(([field]) => names.includes(field)).map(([, value]) => value)
  const keys = new Set(values('key', 'kek', 'outer'))
  for (const [name, { role, token }] of keysOf(context)) {
    const signsTheLog = role === 'log-signer' && token === plan.log
    if (keys.has(name) || signsTheLog) continue
    report('PLAN-USE-1', ['keys', name], `no step uses key ${name}`, 'delete it or use it')
  }
  const tokens = new Set(fields.map(([field, value]) => tokenOf(plan, field, value)))
  plan.tokens.forEach((token, index) => {
    if (tokens.has(token) || token === plan.log) return
    report('PLAN-USE-2', ['tokens', index], `no step uses token ${token}`, 'delete it or use it')
  })
  for (const output of Object.keys(plan.outputs)) {
    const writers = steps.filter(({ args }) => args.output === output && args.key !== undefined)
    const [, second] = writers
    if (writers.length === 0) {
      report('PLAN-USE-3', ['outputs', output], `no step writes ${output}`, 'delete it or write it')
    } else if (second !== undefined) {
      const path = at(second.index, 'with', 'output')
      report('PLAN-USE-3', path, `${output} is written twice`, 'declare a second output')
    }
  }
  const read = new Set([
    ...values('from'),
    ...keysOf(context).flatMap(([, key]) => key.copies ?? []),
  ])
  for (const input of Object.keys(plan.inputs)) {
    if (read.has(input)) continue
    report('PLAN-USE-3', ['inputs', input], `no step reads ${input}`, 'delete it or read it')
  }
}

/** PLAN-OUTPUT-1, -2, -3. */
function files({ plan, report, exists }: LintContext): void {
  const seen = new Map<string, string>()
  for (const [output, { file }] of Object.entries(plan.outputs)) {
    const path = ['outputs', output, 'file']
    const plain = posix.normalize(file)
    // The names a bundle takes: what passes here must not be refused in the room.
    if (plain !== file || !isOutputName(file)) {
      const hint = 'name it like wrapped/fpe-pan.json'
      report('PLAN-OUTPUT-1', path, `${JSON.stringify(file)} is not a plain relative path`, hint)
      continue
    }
    // Media may not tell upper from lower case.
    const first = seen.get(plain.toLowerCase())
    seen.set(plain.toLowerCase(), first ?? output)
    if (first !== undefined) {
      report('PLAN-OUTPUT-3', path, `${file} is the file of ${first} too`, 'choose another name')
    }
    if (exists?.(file) === true) {
      report('PLAN-OUTPUT-2', path, `${file} exists`, 'choose another name or another bundle')
    }
  }
}

/** All rules of this file. */
export function lintNames(context: LintContext): void {
  const steps = modelSteps(context.plan)
  references(context, steps)
  uniqueness(context)
  roles(context, steps)
  use(context, steps)
  files(context)
}
