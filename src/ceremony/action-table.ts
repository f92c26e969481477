/**
 * The one table of everything a plan can check, do or record. The loader takes the argument names from it,
 * the linter the flags, the printer the words, the engine the approvals. What an action does is code of the
 * engine; nothing else in the ceremony layer enumerates actions.
 * Control ids are those of NIST SP 800-53 Rev. 5.
 */
import type { EvidenceClass } from '../types.ts'
import type { Role } from './room.ts'

/** Kinds of steps that name an action. */
export type ActionKind = 'check' | 'do' | 'record'

/** Names of arguments; {@link REFERENT} says what each one names. */
export type ArgumentName = 'token' | 'key' | 'kek' | 'outer' | 'output' | 'from'

/** What an argument's value is the name of; an artefact is an output or an input. */
export const REFERENT = {
  token: 'token',
  key: 'key',
  kek: 'key',
  outer: 'key',
  output: 'output',
  from: 'artefact',
} as const satisfies Record<ArgumentName, 'token' | 'key' | 'output' | 'artefact'>

/** A box on paper: a value known beforehand, or a blank for one that is read in the room. */
export interface ExpectedBox {
  readonly label: string
  /**
   * Where the expected value comes from. `blank`: written down when read. `tick`: a box to tick.
   * `names`: one line per acting person of the step's roles.
   */
  readonly value:
    | 'blank'
    | 'tick'
    | 'names'
    | 'check-value'
    | 'digest'
    | 'module.path'
    | 'module.sha256'
    | 'token.label'
    | 'token.serial'
    | 'key.form'
    | 'output.file'
}

/** One action. */
export interface ActionSpec {
  readonly with: readonly ArgumentName[]
  /** Those of `with` that may be left out; the plan's form of the key says when. */
  readonly optional?: readonly ArgumentName[]
  /** Changes the state of a token. */
  readonly mutating: boolean
  /** Destroys something that cannot be had back. */
  readonly destructive: boolean
  /** Arguments whose token (of a key: the token it is on) must be logged in. */
  readonly login: readonly ArgumentName[]
  /** The arguments' tokens must not be logged in. */
  readonly loggedOut: boolean
  /** Who acts. */
  readonly performers: readonly Role[]
  /** Who signs an approval of the step's own intent before it runs; beyond the approval of the plan. */
  readonly approvers: readonly Role[]
  /** Minutes on paper unless the step says otherwise. */
  readonly minutes: number
  /** Shown in lists; `{key}` stands for the argument. */
  readonly title: string
  /** The sentence on paper. */
  readonly activity: string
  /** The sentence when `outer` is left out. */
  readonly activityUnderOne?: string
  readonly boxes: readonly ExpectedBox[]
  readonly standards: readonly string[]
  /** Classes of the entries the action leaves; of a check or a record: those of its one entry. */
  readonly evidence: readonly EvidenceClass[]
}

const read = (label: string): ExpectedBox => ({ label, value: 'blank' })
const tick = (label: string): ExpectedBox => ({ label, value: 'tick' })
const box = (label: string, value: ExpectedBox['value']): ExpectedBox => ({ label, value })

/** Defaults: looks, changes nothing, needs no login, one administrator, one minute. */
const look = {
  with: [],
  mutating: false,
  destructive: false,
  login: [],
  loggedOut: false,
  performers: ['administrator'],
  approvers: [],
  minutes: 2,
} as const satisfies Partial<ActionSpec>

/** Defaults: changes one key on its token, approved by the custodians who act. */
const change = {
  ...look,
  with: ['key'],
  mutating: true,
  login: ['key'],
  performers: ['administrator', 'custodian'],
  approvers: ['custodian'],
  minutes: 3,
} as const satisfies Partial<ActionSpec>

const CHECKS = {
  clock: {
    ...look,
    title: 'Read the clocks',
    activity:
      'The administrator reads the wall clock in the room aloud; the witness compares it with the host clock.',
    boxes: [read('Wall clock'), read('Host clock'), read('Difference')],
    standards: ['AU-8'],
    evidence: ['human-asserted'],
  },
  'module.identity': {
    ...look,
    title: 'Check the PKCS#11 module file',
    activity: 'The host hashes the PKCS#11 module file and compares it with the binding.',
    boxes: [box('Module', 'module.path'), box('SHA-256', 'module.sha256'), tick('Equal')],
    standards: ['SI-7', 'CM-14'],
    evidence: ['crypto-verified'],
  },
  'token.identity': {
    ...look,
    with: ['token'],
    title: 'Check the identity of token {token}',
    activity:
      'The host reads manufacturer, model, serial number and firmware of token {token}; the witness compares the serial number with the device.',
    boxes: [
      box('Label', 'token.label'),
      box('Serial', 'token.serial'),
      read('Model'),
      read('Firmware'),
    ],
    standards: ['CM-8', 'IA-3'],
    evidence: ['module-reported'],
  },
  'token.enforcement': {
    ...look,
    with: ['token'],
    minutes: 3,
    title: 'Probe what token {token} enforces',
    activity:
      'The host tries the known attacks on scratch objects of token {token} and shows which ones the token refuses.',
    boxes: [read('Attacks refused'), read('Attacks possible')],
    standards: ['CA-2', 'SC-12'],
    evidence: ['hsm-enforced'],
  },
  'token.inventory': {
    ...look,
    with: ['token'],
    login: ['token'],
    title: 'Compare the objects on token {token} with the record',
    activity:
      'The host lists every object on token {token} and compares the list with the last recorded state.',
    boxes: [read('Objects'), tick('As recorded')],
    standards: ['CM-8'],
    evidence: ['module-reported'],
  },
  'quorum.negative': {
    ...look,
    with: ['token'],
    loggedOut: true,
    performers: ['administrator', 'custodian'],
    minutes: 4,
    title: 'One custodian alone is refused by token {token}',
    activity:
      'One custodian alone tries to log in to token {token}. The attempt must be refused before the quorum is let in.',
    boxes: [read('Custodian who tried'), tick('Refused')],
    standards: ['AC-3(2)', 'AC-5'],
    evidence: ['hsm-enforced'],
  },
  'key.restore': {
    ...look,
    with: ['key', 'from', 'kek', 'outer'],
    optional: ['outer'],
    login: ['kek', 'outer'],
    performers: ['administrator', 'custodian'],
    minutes: 3,
    title: 'Restore test: {from} gives back {key}',
    activity:
      'The host unwraps {from} with {outer} and {kek} into a session object and compares its check value with that of {key}. The object dies with the session.',
    activityUnderOne:
      'The host unwraps {from} with {kek} into a session object and compares its check value with that of {key}, and the MAC of the file. The object dies with the session.',
    boxes: [box('Check value', 'check-value'), tick('Equal to the key')],
    standards: ['CP-9(1)', 'SC-12(1)'],
    evidence: ['crypto-verified'],
  },
} as const satisfies Record<string, ActionSpec>

const DEEDS = {
  'token.initialise': {
    ...look,
    with: ['token'],
    mutating: true,
    destructive: true,
    loggedOut: true,
    performers: ['administrator', 'security-officer', 'custodian'],
    approvers: ['security-officer', 'custodian'],
    minutes: 15,
    title: 'Initialise token {token}',
    activity:
      'Token {token} is initialised; everything on it is lost. Its SO PIN is split among the security officers and its user PIN among the custodians. One person at a time takes a share, opens it again and signs a receipt; the others look away.',
    boxes: [
      read('Serial after initialisation'),
      box('Approved by', 'names'),
      read('Receipts: security officers'),
      read('Receipts: custodians'),
    ],
    standards: ['SC-12', 'AC-3(2)', 'IA-5'],
    evidence: ['module-reported', 'crypto-verified'],
  },
  'quorum.login': {
    ...look,
    with: ['token'],
    loggedOut: true,
    performers: ['administrator', 'custodian'],
    minutes: 5,
    title: 'The quorum opens token {token}',
    activity:
      'The acting custodians open their share files one after the other; the host combines the shares and logs in to token {token}.',
    boxes: [box('Shares given by', 'names'), read('Epoch of the shares')],
    standards: ['AC-3(2)', 'IA-5'],
    evidence: ['hsm-enforced'],
  },
  'quorum.logout': {
    ...look,
    with: ['token'],
    login: ['token'],
    minutes: 1,
    title: 'Log out of token {token}',
    activity: 'The host logs out of token {token} and wipes the PIN.',
    boxes: [tick('Logged out')],
    standards: ['AC-12'],
    evidence: ['module-reported'],
  },
  'quorum.resplit': {
    ...look,
    with: ['token'],
    mutating: true,
    login: ['token'],
    performers: ['administrator', 'custodian'],
    approvers: ['custodian'],
    minutes: 8,
    title: 'New PIN and new shares for token {token}',
    activity:
      'The user PIN of token {token} is changed and split anew among all custodians. Each one takes the new share, opens it again, signs a receipt and destroys the old share.',
    boxes: [
      box('Approved by', 'names'),
      read('Epoch of the new shares'),
      read('Receipts'),
      tick('Old shares destroyed'),
    ],
    standards: ['AC-3(2)', 'IA-5'],
    evidence: ['hsm-enforced', 'crypto-verified'],
  },
  'key.generate': {
    ...change,
    title: 'Generate {key}',
    activity: 'The token generates {key}. The host reads its attributes back and compares them.',
    boxes: [box('Key', 'key.form'), box('Approved by', 'names'), read('CKA_ID')],
    standards: ['SC-12', 'SC-12(2)'],
    evidence: ['module-reported'],
  },
  'key.lock': {
    ...change,
    destructive: true,
    title: 'Lock {key}',
    activity:
      'The key {key} is copied into its final form, which cannot be extracted, modified or copied; the extractable form is destroyed.',
    boxes: [box('Approved by', 'names'), tick('Extractable form is gone')],
    standards: ['SC-12', 'SC-28'],
    evidence: ['module-reported', 'crypto-verified'],
  },
  'key.zeroise': {
    ...change,
    destructive: true,
    performers: ['administrator', 'custodian', 'witness'],
    minutes: 6,
    title: 'Zeroise {key}',
    activity:
      'The key {key} is destroyed. The host then tries to find and use it in every way it knows: by id, by label, by its old handle, on a canary, and through every wrapped copy that needs it to be opened. All attempts must fail. Copies of {key} that other keys still open are listed.',
    boxes: [
      box('Approved by', 'names'),
      box('Check value destroyed', 'check-value'),
      tick('Every attempt failed'),
    ],
    standards: ['SC-12', 'MP-6'],
    evidence: ['module-reported', 'hsm-enforced'],
  },
  'key.wrap': {
    ...change,
    with: ['key', 'kek', 'outer', 'output'],
    optional: ['outer'],
    login: ['key', 'kek', 'outer'],
    title: 'Wrap {key} into {output}',
    activity:
      'The key {key} leaves its token wrapped twice: AES-KWP under {kek}, then AES-GCM under {outer} on the other token. Neither token alone can open {output}.',
    activityUnderOne:
      'The key {key} leaves its token wrapped once: AES-KWP under {kek}. The quorum of that token, or a service it let in, can open {output}; nobody else can.',
    boxes: [box('File', 'output.file'), box('Approved by', 'names')],
    standards: ['SC-12(1)', 'SC-12(2)', 'CP-9(8)'],
    evidence: ['crypto-verified', 'module-reported'],
  },
  'key.unwrap': {
    ...change,
    with: ['key', 'from', 'kek', 'outer'],
    optional: ['outer'],
    login: ['key', 'kek', 'outer'],
    title: 'Unwrap {from} into {key}',
    activity:
      'The wrapped key {from} is opened with {outer}, then unwrapped with {kek} into {key} on its token. The host compares attributes and check value.',
    activityUnderOne:
      'The wrapped key {from} is unwrapped with {kek} into {key} on its token. The host compares attributes, check value and the MAC of the file.',
    boxes: [box('Approved by', 'names'), box('Check value', 'check-value')],
    standards: ['SC-12', 'SC-12(2)'],
    evidence: ['crypto-verified', 'module-reported'],
  },
} as const satisfies Record<string, ActionSpec>

const RECORDS = {
  'key.kcv': {
    ...look,
    with: ['key'],
    login: ['key'],
    title: 'Record the check value of {key}',
    activity: 'The host computes the check value of {key} and shows it.',
    boxes: [read('Method'), box('Check value', 'check-value')],
    standards: ['SC-12', 'AU-12'],
    evidence: ['crypto-verified'],
  },
  'key.attributes': {
    ...look,
    with: ['key'],
    login: ['key'],
    title: 'Record the attributes of {key}',
    activity:
      'The host reads the attributes of {key} back from the token and records them. They were compared with the template of its role when the key was made.',
    boxes: [read('Sensitive'), read('Extractable')],
    standards: ['SC-12', 'AU-12'],
    evidence: ['module-reported'],
  },
  'token.inventory': {
    ...look,
    with: ['token'],
    login: ['token'],
    title: 'Record the objects on token {token}',
    activity: 'The host lists every object on token {token} and records the list and its hash.',
    boxes: [read('Objects'), read('Hash, first 8 digits')],
    standards: ['CM-8', 'AU-12'],
    evidence: ['module-reported'],
  },
  'output.digest': {
    ...look,
    with: ['output'],
    title: 'Record the digest of {output}',
    activity: 'The host reads {output} back from its medium and shows the SHA-256 of the file.',
    boxes: [box('File', 'output.file'), box('SHA-256', 'digest')],
    standards: ['SI-7', 'AU-12'],
    evidence: ['crypto-verified'],
  },
} as const satisfies Record<string, ActionSpec>

/** Every action, by kind and name. */
export const ACTIONS = { check: CHECKS, do: DEEDS, record: RECORDS } as const

/** Names of the actions of one kind. */
export type ActionName<Kind extends ActionKind = ActionKind> = {
  [K in Kind]: keyof (typeof ACTIONS)[K] & string
}[Kind]

type SpecOf<Kind extends ActionKind, Name extends ActionName<Kind>> = (typeof ACTIONS)[Kind][Name &
  keyof (typeof ACTIONS)[Kind]]

type OptionalOf<Spec> = Spec extends { optional: readonly (infer Argument extends string)[] }
  ? Argument
  : never

/** Arguments of one action, all given but those that may be left out. */
export type ActionArguments<Kind extends ActionKind, Name extends ActionName<Kind>> =
  SpecOf<Kind, Name> extends { with: readonly (infer Argument extends string)[] }
    ? { readonly [A in Exclude<Argument, OptionalOf<SpecOf<Kind, Name>>>]: string } & {
        readonly [A in OptionalOf<SpecOf<Kind, Name>>]?: string
      }
    : never

/** The entry of an action, or undefined for a name the table does not have. */
export function actionSpec(kind: ActionKind, name: string): ActionSpec | undefined {
  const table: Readonly<Record<string, ActionSpec>> = ACTIONS[kind]
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** Names of the actions of a kind, in the table's order. */
export const actionNames = (kind: ActionKind): string[] => Object.keys(ACTIONS[kind])
