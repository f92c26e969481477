/**
 * The paper script as content: what stands on which sheet, before anything is laid out. HTML and PDF are
 * two renderings of this one value.
 */
import { type ActionSpec, type ExpectedBox, actionSpec } from './action-table.ts'
import type { Binding } from './binding-types.ts'
import { type DigestReadOut, readOut } from './digest.ts'
import { type Plan, type PlanKey, type Step, fill } from './plan.ts'
import type { Role } from './room.ts'

/** Something to compare, to write down or to tick. */
export type ScriptBox =
  | {
      readonly kind: 'value'
      readonly label: string
      readonly value: string
      readonly mono: boolean
    }
  | { readonly kind: 'blank'; readonly label: string }
  | { readonly kind: 'tick'; readonly label: string }
  /** One cell per hexadecimal digit, in groups of four. */
  | { readonly kind: 'cells'; readonly label: string; readonly digits: number }
  /** One line per person: a tick box and a name, or a blank line. */
  | { readonly kind: 'people'; readonly label: string; readonly names: readonly string[] }

/** A numbered row of the script. */
export interface ScriptStep {
  readonly number: number
  readonly id: string
  readonly kind: Step['kind']
  readonly title: string
  /** Paragraphs. */
  readonly activity: readonly string[]
  /** Who acts, in words. */
  readonly who: string
  readonly boxes: readonly ScriptBox[]
  readonly minutes: number
  /** Estimated time since the start when the step is done, `h:mm`. */
  readonly elapsed: string
  readonly isBreak: boolean
}

/** A line of the participants' table; an empty name is filled in by hand. */
export interface Participant {
  readonly role: string
  readonly name: string
}

/** A small table of the first pages. */
export interface FactTable {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** A digest under its name. */
export interface NamedDigest extends DigestReadOut {
  readonly label: string
}

/** Everything on paper. */
export interface ScriptContent {
  readonly title: string
  readonly ceremony: string
  readonly organisation: string
  /** From the binding; undefined is ticked by hand. */
  readonly mode: 'rehearsal' | 'production' | undefined
  readonly description: string
  readonly previous: string
  readonly digests: readonly NamedDigest[]
  /** In every page's footer. */
  readonly shortDigest: string
  readonly tables: readonly FactTable[]
  readonly participants: readonly Participant[]
  readonly steps: readonly ScriptStep[]
  readonly total: string
  /** The alphabet is printed when a value is read aloud with it. */
  readonly nato: boolean
  readonly attesting: readonly Participant[]
}

const ROLE_WORDS: Record<Role, string> = {
  administrator: 'administrator',
  custodian: 'custodian',
  'security-officer': 'security officer',
  witness: 'witness',
}
/** The order in which people stand in tables. */
const ROLE_ORDER = Object.keys(ROLE_WORDS) as Role[]

const hours = (minutes: number): string =>
  `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

interface Site {
  readonly plan: Plan
  readonly binding: Binding | undefined
}

/** How many people hold a role, and how many must act. */
function headcount({ plan }: Site, role: Role): { need: number; of: number } {
  const size = plan.roles[role]
  if (size === undefined) return { need: 0, of: 0 }
  return typeof size === 'number' ? { need: size, of: size } : { need: size.quorum, of: size.of }
}

const boundNames = ({ binding }: Site, role: Role): string[] =>
  Object.values(binding?.people ?? {})
    .filter(({ roles }) => roles.includes(role))
    .map(({ name }) => name)

/** Names of a role's holders, with empty places up to the number the plan asks for. */
function places(site: Site, role: Role, acting: boolean): string[] {
  const { need, of } = headcount(site, role)
  const names = boundNames(site, role)
  const count = names.length > 0 ? Math.max(names.length, of) : acting ? need : of
  return Array.from({ length: count }, (_, at) => names[at] ?? '')
}

const peopleBox = (site: Site, role: Role, verb: string): ScriptBox => {
  const { need, of } = headcount(site, role)
  const quorum = need === of ? '' : ` (${need} of ${of})`
  const label = `${verb} ${ROLE_WORDS[role]}${quorum}`
  return { kind: 'people', label, names: places(site, role, true) }
}

const keyForm = (name: string, key: PlanKey): string =>
  `${name}: ${key.algorithm}, ${key.role}${key.distribute === undefined ? '' : ', to be wrapped'}`

/** Value of a box that is known beforehand; undefined prints a blank. */
function knownValue(site: Site, value: ExpectedBox['value'], args: Arguments): string | undefined {
  const { plan, binding } = site
  const token = binding?.tokens[args['token'] ?? '']
  const key = plan.keys[args['key'] ?? '']
  switch (value) {
    case 'module.path':
      return binding?.module.path
    case 'module.sha256':
      return binding && (binding.module.sha256.match(/.{1,8}/g) ?? []).join(' ')
    case 'token.label':
      return token?.label
    case 'token.serial':
      return token?.serial === 'blank' ? undefined : token?.serial
    case 'key.form':
      return key && keyForm(args['key'] ?? '', key)
    case 'output.file':
      return plan.outputs[args['output'] ?? args['from'] ?? '']?.file
    default:
      return undefined
  }
}

type Arguments = Readonly<Record<string, string>>
const MONO = new Set<ExpectedBox['value']>(['module.sha256', 'module.path', 'token.serial'])

/** The boxes of one table entry. */
function boxesOf(site: Site, spec: ActionSpec, args: Arguments): ScriptBox[] {
  return spec.boxes.flatMap(({ label, value }): ScriptBox[] => {
    if (value === 'blank' || value === 'tick') return [{ kind: value, label }]
    if (value === 'check-value') {
      const isPublic = site.plan.keys[args['key'] ?? '']?.role === 'log-signer'
      return [{ kind: 'cells', label: isPublic ? `${label}, first 16 digits` : label, digits: 16 }]
    }
    if (value === 'digest') return [{ kind: 'cells', label, digits: 64 }]
    if (value === 'names') {
      const roles: readonly Role[] = spec.approvers.length > 0 ? spec.approvers : ['custodian']
      return roles.map((role) => peopleBox(site, role, `${label}:`))
    }
    const known = knownValue(site, value, args)
    return [
      known === undefined
        ? { kind: 'blank', label }
        : { kind: 'value', label, value: known, mono: MONO.has(value) },
    ]
  })
}

const READ_ALOUD = {
  nato: 'The administrator reads the value aloud with the alphabet on the participants’ page; a custodian repeats it from the screen.',
  'pgp-words':
    'The administrator reads the value aloud as PGP words; a custodian repeats them from the screen.',
}

const join = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1) ?? ''}`

/** A quorum in words: `2 of 3 custodians`. */
function quorumWords(site: Site, role: Role): string {
  const { need, of } = headcount(site, role)
  const noun = ROLE_WORDS[role]
  const plural = noun.endsWith('s') ? `${noun}es` : `${noun}s`
  if (need === of) return of === 1 ? `the ${noun}` : `all ${of} ${plural}`
  return `${need} of ${of} ${plural}`
}

type Row = Pick<ScriptStep, 'activity' | 'who' | 'boxes'>

/** Text and boxes of one step. */
function rowOf(site: Site, step: Step): Row {
  if (step.kind === 'say') {
    const paragraphs = step.text.split(/\n+/)
    // A step without a title of its own has its first sentence as title; it is not printed twice.
    const activity =
      paragraphs[0]?.startsWith(step.title) === true
        ? [paragraphs[0].slice(step.title.length).trim(), ...paragraphs.slice(1)]
        : paragraphs
    return {
      activity: activity.filter((text) => text !== ''),
      who: '',
      boxes: [{ kind: 'tick', label: 'Done' }],
    }
  }
  if (step.kind === 'approve') {
    return {
      activity: [
        `Each of ${quorumWords(site, step.by)} compares the plan’s digest with this copy, types the phrase on the screen and signs the approval with their own key.`,
      ],
      who: capital(ROLE_WORDS[step.by]),
      boxes: [
        { kind: 'tick', label: 'Digest words are the ones on page 1' },
        peopleBox(site, step.by, 'Approved by'),
      ],
    }
  }
  if (step.kind === 'attest') {
    return {
      activity: [
        'The host shows the root of the transcript. Everybody writes it on the last page, then signs the checkpoint with their own key.',
      ],
      who: join(step.by.map((role) => ROLE_WORDS[role])),
      boxes: step.by.map((role) => peopleBox(site, role, 'Signed by')),
    }
  }
  const spec = actionSpec(step.kind, step.action)
  if (spec === undefined) return { activity: [], who: '', boxes: [] }
  const boxes = boxesOf(site, spec, step.with)
  const underOne = spec.optional?.includes('outer') === true && !('outer' in step.with)
  const sentence = underOne ? (spec.activityUnderOne ?? spec.activity) : spec.activity
  const activity = [fill(sentence, step.with)]
  if (step.kind === 'record' && step.readAloud !== undefined) {
    activity.push(READ_ALOUD[step.readAloud])
    boxes.push({ kind: 'tick', label: 'Heard and seen the same' })
  }
  return { activity, who: capital(join(spec.performers.map((role) => ROLE_WORDS[role]))), boxes }
}

function stepsOf(site: Site): ScriptStep[] {
  let minutes = 0
  return site.plan.steps.map((step, index) => {
    minutes += step.minutes
    return {
      ...rowOf(site, step),
      number: index + 1,
      id: step.id,
      kind: step.kind,
      title: step.title,
      minutes: step.minutes,
      elapsed: hours(minutes),
      isBreak: step.kind === 'say' && step.break === true,
    }
  })
}

const BLANK = ''

function tablesOf(site: Site): FactTable[] {
  const { plan, binding } = site
  const keys = Object.entries(plan.keys).map(([name, key]) => [
    name,
    key.token,
    key.role,
    key.algorithm,
    key.existing ? 'made before' : 'made here',
    key.end,
  ])
  const tokens = plan.tokens.map((name) => {
    const bound = binding?.tokens[name]
    const serial = bound?.serial === 'blank' ? 'blank until initialised' : bound?.serial
    return [name, bound?.label ?? BLANK, serial ?? BLANK, name === plan.log ? 'yes' : 'no']
  })
  const outputs = Object.entries(plan.outputs).map(([name, { file }]) => [name, file])
  return [
    { title: 'Tokens', head: ['Name', 'Label', 'Serial', 'Signs the log'], rows: tokens },
    {
      title: 'Keys',
      head: ['Name', 'Token', 'Role', 'Algorithm', 'Made', 'At the end'],
      rows: keys,
    },
    { title: 'Outputs', head: ['Name', 'File in the bundle’s artefacts'], rows: outputs },
  ].filter(({ rows }) => rows.length > 0)
}

const participantsOf = (site: Site, roles: readonly Role[]): Participant[] =>
  roles.flatMap((role) =>
    places(site, role, false).map((name) => ({ role: capital(ROLE_WORDS[role]), name })),
  )

/** What follows from a plan, its digest, and the site's binding when there is one. */
export function scriptContent(
  plan: Plan,
  planDigest: Uint8Array,
  binding?: { readonly binding: Binding; readonly digest: Uint8Array },
): ScriptContent {
  const site: Site = { plan, binding: binding?.binding }
  const planReadOut = readOut(planDigest)
  const steps = stepsOf(site)
  const digests: NamedDigest[] = [{ label: 'Plan', ...planReadOut }]
  if (binding !== undefined) digests.push({ label: 'Binding', ...readOut(binding.digest) })
  const last = plan.steps.at(-1)
  return {
    title: plan.title,
    ceremony: plan.ceremony,
    organisation: site.binding?.organisation ?? BLANK,
    mode: site.binding?.mode,
    description: plan.description ?? BLANK,
    previous:
      plan.previous === 'genesis'
        ? 'none: this is the first'
        : (site.binding?.previous?.root ?? (plan.previous === 'required' ? BLANK : plan.previous)),
    digests,
    shortDigest: `${planReadOut.hex.slice(0, 16)} · ${(planReadOut.wordLines[0] ?? '').split(' ').slice(0, 4).join(' ')}`,
    tables: tablesOf(site),
    participants: participantsOf(site, ROLE_ORDER),
    steps,
    total: steps.at(-1)?.elapsed ?? '0:00',
    nato: plan.steps.some((step) => step.kind === 'record' && step.readAloud === 'nato'),
    attesting: participantsOf(site, last?.kind === 'attest' ? last.by : ROLE_ORDER),
  }
}
