/** Whether a binding fits a plan: people who must be different are different, devices too, nothing missing. */
import { PolicyError } from '../errors.ts'
import type { Binding, BoundPerson } from './binding-types.ts'
import { RULES, type RuleId } from './lint-rules.ts'
import type { Plan } from './plan.ts'
import type { Role } from './room.ts'
import type { SourcePath } from './source-map.ts'
import { pathText } from './strict-yaml.ts'

/** A rule that the binding breaks; `path` is where in the binding. */
export interface BindingFault {
  readonly rule: RuleId
  readonly path: SourcePath
  readonly message: string
  readonly hint: string
}

type People = readonly [string, BoundPerson][]

const APART: readonly [RuleId, Role, Role][] = [
  ['CER-ROLES-1', 'administrator', 'custodian'],
  ['CER-ROLES-2', 'security-officer', 'custodian'],
  ['CER-ROLES-3', 'administrator', 'security-officer'],
  ['CER-ROLES-4', 'witness', 'administrator'],
  ['CER-ROLES-4', 'witness', 'custodian'],
  ['CER-ROLES-4', 'witness', 'security-officer'],
]

/** CER-ROLES-1 to -4. */
const conflicts = (people: People): BindingFault[] =>
  people.flatMap(([id, { roles }]) =>
    APART.filter(([, one, other]) => roles.includes(one) && roles.includes(other)).map(
      ([rule, one, other]) => ({
        rule,
        path: ['people', id, 'roles'],
        message: `${id} is both ${one} and ${other}`,
        hint: 'give one of the roles to somebody else',
      }),
    ),
  )

/** What only one person can have, in a form in which equal things are equal. */
function traits({ name, principal, signer, shares }: BoundPerson): [SourcePath, string][] {
  const plain = (text: string): string => text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ')
  const found: [SourcePath, string][] = [
    [['name'], `name ${plain(name)}`],
    [['principal'], `principal ${plain(principal)}`],
  ]
  if (signer !== undefined && !('detached' in signer)) {
    // A key file and the agent's copy of it are one key.
    found.push([
      ['signer'],
      `signing key ${Object.values(signer)
        .join()
        .replace(/\.pub$/, '')}`,
    ])
  }
  if (shares !== undefined) {
    found.push([['shares', 'directory'], `share medium ${shares.directory.replace(/\/+$/, '')}`])
    if (shares.lock !== 'passphrase') {
      found.push([['shares', 'lock'], `share recipient ${shares.lock.recipient}`])
    }
  }
  return found
}

/** BIND-PEOPLE-1. */
function doubles(people: People): BindingFault[] {
  const owners = new Map<string, string>()
  const faults = new Map<string, BindingFault>()
  for (const [id, person] of people) {
    for (const [path, trait] of traits(person)) {
      const owner = owners.get(trait)
      owners.set(trait, owner ?? id)
      if (owner === undefined || faults.has(id)) continue
      faults.set(id, {
        rule: 'BIND-PEOPLE-1',
        path: ['people', id, ...path],
        message: `${id} has the ${trait} of ${owner}`,
        hint: 'one person has one entry; two people have nothing in common',
      })
    }
  }
  return [...faults.values()]
}

/** BIND-ROLES-1. */
function headcounts(plan: Plan, people: People): BindingFault[] {
  const { administrator, witness, custodian, 'security-officer': officer } = plan.roles
  const wanted: readonly [Role, number, boolean][] = [
    ['administrator', administrator, false],
    ['witness', witness ?? 0, false],
    ['custodian', custodian?.of ?? 0, custodian !== undefined],
    ['security-officer', officer?.of ?? 0, officer !== undefined],
  ]
  return wanted.flatMap(([role, need, exact]): BindingFault[] => {
    const have = people.filter(([, { roles }]) => roles.includes(role)).length
    if (have === need || (have > need && !exact)) return []
    return [
      {
        rule: 'BIND-ROLES-1',
        path: ['people'],
        message: `${have} of ${need} people are bound as ${role}`,
        hint: exact ? 'a PIN is split among exactly these people' : `name ${need} or more`,
      },
    ]
  })
}

/** BIND-PEOPLE-2, -3: what each person's part in the plan needs. */
function equipment(plan: Plan, people: People): BindingFault[] {
  const signing = new Set<Role>(['custodian'])
  for (const step of plan.steps) {
    if (step.kind === 'approve') signing.add(step.by)
    if (step.kind === 'attest') step.by.forEach((role) => signing.add(role))
  }
  return people.flatMap(([id, { roles, signer, shares }]): BindingFault[] => {
    const faults: BindingFault[] = []
    const part = roles.filter((role) => plan.roles[role] !== undefined)
    if (signer === undefined && part.some((role) => signing.has(role))) {
      const message = `${id} signs but has no signer`
      const hint =
        'add signer: { file: ... }, { agent: ... }, { pkcs11: ... } or { detached: true }'
      faults.push({ rule: 'BIND-PEOPLE-2', path: ['people', id], message, hint })
    }
    const holds = part.includes('custodian') || part.includes('security-officer')
    if (shares === undefined && holds) {
      const message = `${id} holds shares but has no place for them`
      const hint = 'add shares: { directory: ..., lock: passphrase }'
      faults.push({ rule: 'BIND-PEOPLE-3', path: ['people', id], message, hint })
    }
    return faults
  })
}

/** BIND-TOKEN-1 to -3. */
function devices(plan: Plan, binding: Binding): BindingFault[] {
  const faults: BindingFault[] = []
  const initialised = new Set(
    plan.steps.flatMap((step) =>
      step.kind === 'do' && step.action === 'token.initialise' ? [step.with.token] : [],
    ),
  )
  const seen = new Map<string, string>()
  for (const name of plan.tokens) {
    const bound = Object.hasOwn(binding.tokens, name) ? binding.tokens[name] : undefined
    if (bound === undefined) {
      const hint = `add ${name}: { label: ..., serial: ... }`
      const message = `token ${name} is not bound`
      faults.push({ rule: 'BIND-TOKEN-1', path: ['tokens'], message, hint })
      continue
    }
    const { label, serial } = bound
    const device = serial === 'blank' ? `label ${label}` : `serial ${serial}`
    const first = seen.get(device)
    seen.set(device, first ?? name)
    if (first !== undefined) {
      const message = `${name} and ${first} have the same ${device}`
      const hint = 'bind each token to a device of its own'
      faults.push({ rule: 'BIND-TOKEN-2', path: ['tokens', name], message, hint })
    }
    if (serial === 'blank' && !initialised.has(name)) {
      const message = `token ${name} is blank, but the plan does not initialise it`
      const hint = 'put the serial that its initialisation recorded here'
      faults.push({ rule: 'BIND-TOKEN-3', path: ['tokens', name, 'serial'], message, hint })
    }
  }
  return faults
}

/** BIND-PREVIOUS-1, BIND-INPUT-1. */
function lineage(plan: Plan, binding: Binding): BindingFault[] {
  const faults: BindingFault[] = []
  const add = (rule: RuleId, path: SourcePath, message: string, hint: string): unknown =>
    faults.push({ rule, path, message, hint })
  const before = 'BIND-PREVIOUS-1'
  if (plan.previous === 'genesis' && binding.previous !== undefined) {
    add(before, ['previous'], 'the plan begins a history', 'delete previous')
  }
  if (plan.previous !== 'genesis' && binding.previous === undefined) {
    const hint = 'add previous: { bundle: ..., root: sha256:... }'
    add(before, ['previous'], 'the plan continues a transcript that is not named', hint)
  }
  const { previous } = binding
  if (plan.previous.startsWith('sha256:') && previous && previous.root !== plan.previous) {
    const hint = `the plan continues ${plan.previous}`
    add(before, ['previous', 'root'], 'another transcript than the plan names', hint)
  }
  const inputs = binding.inputs ?? {}
  for (const input of Object.keys(plan.inputs)) {
    if (Object.hasOwn(inputs, input)) continue
    add('BIND-INPUT-1', ['inputs'], `input ${input} has no path`, `add ${input}: path`)
  }
  for (const input of Object.keys(inputs)) {
    if (Object.hasOwn(plan.inputs, input)) continue
    add('BIND-INPUT-1', ['inputs', input], `the plan has no input ${input}`, 'delete it')
  }
  return faults
}

/** Everything in a binding that does not fit the plan; conflicts of roles first. */
export function bindingFaults(plan: Plan, binding: Binding): BindingFault[] {
  const people = Object.entries(binding.people)
  return [
    ...conflicts(people),
    ...doubles(people),
    ...headcounts(plan, people),
    ...equipment(plan, people),
    ...devices(plan, binding),
    ...lineage(plan, binding),
  ]
}

/**
 * Refuses a binding that does not fit the plan: PolicyError ROLE_CONFLICT for people who must be different
 * (CER-ROLES-*, BIND-PEOPLE-1), BINDING_MISMATCH for everything else; `requirement` is the rule's id.
 */
export function checkBinding(plan: Plan, binding: Binding): void {
  const [fault, ...others] = bindingFaults(plan, binding)
  if (fault === undefined) return
  const conflict = fault.rule.startsWith('CER-ROLES-') || fault.rule === 'BIND-PEOPLE-1'
  throw new PolicyError(
    conflict ? 'ROLE_CONFLICT' : 'BINDING_MISMATCH',
    fault.rule,
    fault.message,
    {
      where: `binding: ${pathText(fault.path)}`,
      expected: RULES[fault.rule].sentence,
      hint: others.length === 0 ? fault.hint : `${fault.hint}; ${others.length} more faults`,
    },
  )
}
