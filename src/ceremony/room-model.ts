/**
 * A symbolic run of a plan: which tokens are open, which keys exist in which form, which copies were made,
 * who has approved. The linter walks the plan over this model; no rule keeps state of its own.
 */
import { type ActionSpec, type ArgumentName, REFERENT, actionSpec } from './action-table.ts'
import type { Plan, PlanKey, Step } from './plan.ts'
import type { Role } from './room.ts'

/** A wrapped copy of a key. */
export interface ModelCopy {
  readonly key: string
  readonly output: string
  readonly kek: string
  readonly outer: string | undefined
  /** Index of the step that made it. */
  readonly step: number
  restored: boolean
}

/** What is known about a token before a step. */
export interface TokenModel {
  open: boolean
  /** Step of a login whose PIN has not been split anew. */
  dueResplit: number | undefined
  identityChecked: boolean
  refusalSeen: boolean
  enforcementProbed: boolean
  inventoryRecorded: boolean
}

/** `birth`: extractable until locked. `locked`: final form. */
export type KeyState = 'none' | 'birth' | 'locked' | 'gone'

/** What is known about a key before a step. */
export interface KeyModel {
  state: KeyState
  /** Index of the step that made it here. */
  made: number | undefined
  /** Index of the step that zeroised it. */
  zeroised: number | undefined
  wrapped: boolean
  kcvRecorded: boolean
  attributesRecorded: boolean
  /** The token's inventory was recorded after it was zeroised. */
  absenceRecorded: boolean
}

/** The room between two steps. */
export interface RoomModel {
  readonly tokens: Map<string, TokenModel>
  readonly keys: Map<string, KeyModel>
  readonly copies: ModelCopy[]
  /** Outputs whose digest was recorded. */
  readonly digests: Set<string>
  /** Roles that approved the plan, with the minutes at the end of that step. */
  readonly approvals: Map<Role, number>
  clockRead: boolean
  moduleChecked: boolean
  /** Estimated minutes before the step. */
  minutes: number
  /** Estimated minutes since the last break. */
  sinceBreak: number
}

/** A step with its entry in the action table. */
export interface ModelStep {
  readonly step: Step
  readonly index: number
  /** For `check`, `do` and `record`. */
  readonly spec: ActionSpec | undefined
  /** `check clock`, `do key.wrap`, ...; the kind alone for other steps. */
  readonly act: string
  readonly args: Readonly<Partial<Record<ArgumentName, string>>>
}

const blankToken = (): TokenModel => ({
  open: false,
  dueResplit: undefined,
  identityChecked: false,
  refusalSeen: false,
  enforcementProbed: false,
  inventoryRecorded: false,
})

/** An embedding seed of an earlier ceremony that ends absent is on no token: all that is left are its files. */
const isFiled = ({ steps }: Plan, name: string, { role, existing, end }: PlanKey): boolean =>
  existing &&
  role === 'embedding-seed' &&
  end === 'absent' &&
  !steps.some(
    (step) => step.kind === 'do' && step.action === 'key.zeroise' && step.with.key === name,
  )

/** The room before the first step. */
function emptyRoom(plan: Plan): RoomModel {
  return {
    tokens: new Map(plan.tokens.map((token) => [token, blankToken()])),
    keys: new Map(
      Object.entries(plan.keys).map(([name, key]) => [
        name,
        {
          state: isFiled(plan, name, key) ? 'gone' : key.existing ? 'locked' : 'none',
          made: undefined,
          zeroised: undefined,
          wrapped: false,
          kcvRecorded: false,
          attributesRecorded: false,
          absenceRecorded: false,
        },
      ]),
    ),
    copies: [],
    digests: new Set(),
    approvals: new Map(),
    clockRead: false,
    moduleChecked: false,
    minutes: 0,
    sinceBreak: 0,
  }
}

/** The steps of a plan with their table entries. */
export const modelSteps = (plan: Plan): ModelStep[] =>
  plan.steps.map((step, index) =>
    'action' in step
      ? {
          step,
          index,
          spec: actionSpec(step.kind, step.action),
          act: `${step.kind} ${step.action}`,
          args: step.with,
        }
      : { step, index, spec: undefined, act: step.kind, args: {} },
  )

/** The token an argument is about: itself, or the one its key is on. */
export function tokenOf(plan: Plan, field: ArgumentName, value: string): string | undefined {
  if (REFERENT[field] === 'token') return value
  if (REFERENT[field] === 'key')
    return Object.hasOwn(plan.keys, value) ? plan.keys[value]?.token : undefined
  return undefined
}

function makeKey(room: RoomModel, plan: Plan, name: string, index: number, form: KeyState): void {
  const key = room.keys.get(name)
  if (key === undefined) return
  key.state = form
  key.made = index
  const token = room.tokens.get(plan.keys[name]?.token ?? '')
  if (token !== undefined) token.inventoryRecorded = false
}

/** What a step does to the room when it goes well. */
function apply(plan: Plan, room: RoomModel, { step, index, act, args }: ModelStep): void {
  const token = room.tokens.get(args.token ?? '')
  const key = room.keys.get(args.key ?? '')
  const effects: Readonly<Record<string, () => void>> = {
    'check clock': () => (room.clockRead = true),
    'check module.identity': () => (room.moduleChecked = true),
    'check token.identity': () => token && (token.identityChecked = true),
    'check token.enforcement': () => token && (token.enforcementProbed = true),
    'check quorum.negative': () => token && (token.refusalSeen = true),
    'check key.restore': () => {
      const copy = room.copies.find(
        ({ key: of, output, kek, outer }) =>
          of === args.key && output === args.from && kek === args.kek && outer === args.outer,
      )
      if (copy !== undefined) copy.restored = true
    },
    'do token.initialise': () => {
      if (token !== undefined) Object.assign(token, blankToken())
      for (const [name, { token: on }] of Object.entries(plan.keys)) {
        const lost = on === args.token ? room.keys.get(name) : undefined
        if (lost !== undefined && lost.state !== 'none') {
          Object.assign(lost, { state: 'gone', zeroised: index })
        }
      }
    },
    'do quorum.login': () => token && Object.assign(token, { open: true, dueResplit: index }),
    'do quorum.logout': () => token && (token.open = false),
    'do quorum.resplit': () => token && (token.dueResplit = undefined),
    'do key.generate': () => {
      const leaves = plan.keys[args.key ?? '']?.distribute !== undefined
      makeKey(room, plan, args.key ?? '', index, leaves ? 'birth' : 'locked')
    },
    'do key.unwrap': () => makeKey(room, plan, args.key ?? '', index, 'locked'),
    'do key.lock': () => key && (key.state = 'locked'),
    'do key.zeroise': () => {
      if (key !== undefined) Object.assign(key, { state: 'gone', zeroised: index })
    },
    'do key.wrap': () => {
      if (key !== undefined) key.wrapped = true
      const { key: of = '', output = '', kek = '', outer } = args
      room.copies.push({ key: of, output, kek, outer, step: index, restored: false })
    },
    'record key.kcv': () => key && (key.kcvRecorded = true),
    'record key.attributes': () => key && (key.attributesRecorded = true),
    'record token.inventory': () => {
      if (token === undefined) return
      token.inventoryRecorded = true
      for (const [name, { token: on }] of Object.entries(plan.keys)) {
        const here = room.keys.get(name)
        if (on === args.token && here?.state === 'gone') here.absenceRecorded = true
      }
    },
    'record output.digest': () => args.output !== undefined && room.digests.add(args.output),
  }
  effects[act]?.()
  room.minutes += step.minutes
  room.sinceBreak += step.minutes
  if (step.kind === 'approve') room.approvals.set(step.by, room.minutes)
  if (step.kind === 'say' && step.break === true) room.sinceBreak = 0
}

/** Walks the plan: `before` sees each step with the room as it is then. Returns the room at the end. */
export function walk(
  plan: Plan,
  before: (step: ModelStep, room: RoomModel) => void = () => undefined,
): RoomModel {
  const room = emptyRoom(plan)
  for (const step of modelSteps(plan)) {
    before(step, room)
    apply(plan, room, step)
  }
  return room
}
