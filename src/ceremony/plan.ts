/**
 * A plan: read strictly, every default written out, and digested. What is printed, linted, approved,
 * rehearsed, run and verified is this one object; its canonical JSON (RFC 8785) is `plan.json`.
 */
import * as z from 'zod'

import { canonicalDigest, canonicalJson } from '../canonical.ts'
import { ConfigError } from '../errors.ts'
import {
  type ActionArguments,
  type ActionKind,
  type ActionName,
  type ArgumentName,
  actionNames,
  actionSpec,
} from './action-table.ts'
import { STEP_KINDS, planSchema, stepSchema } from './plan-schema.ts'
import type { Role } from './room.ts'
import type { SourceMap } from './source-map.ts'
import {
  type Problem,
  type YamlFile,
  checkShape,
  problems,
  readYaml,
  refuseProblems,
} from './strict-yaml.ts'

/** t-of-n people. */
export type Quorum = { readonly quorum: number; readonly of: number }

/** How many people hold each role. */
export type PlanRoles = {
  readonly administrator: number
  readonly custodian?: Quorum
  readonly 'security-officer'?: Quorum
  readonly witness?: number
}

/** A key and the state it is declared to be in when the ceremony ends. Its name is its CKA_LABEL. */
export type PlanKey = {
  readonly token: string
  readonly role: 'fpe' | 'kek' | 'kek-outer' | 'embedding-seed' | 'log-signer'
  readonly algorithm: 'AES-256' | 'Ed25519' | 'P-256'
  readonly end: 'present' | 'absent'
  readonly existing: boolean
  readonly distribute?: 'nested' | 'single'
  readonly copies?: readonly string[]
}

type StepBase = { readonly id: string; readonly title: string; readonly minutes: number }

/** A step of one action. */
export type ActionStep<Kind extends ActionKind, Name extends ActionName<Kind>> = StepBase & {
  readonly kind: Kind
  readonly action: Name
  readonly with: ActionArguments<Kind, Name>
} & (Kind extends 'record' ? { readonly readAloud?: 'nato' | 'pgp-words' } : unknown)

type AnyAction<Kind extends ActionKind> = {
  [Name in ActionName<Kind>]: ActionStep<Kind, Name>
}[ActionName<Kind>]

export type SayStep = StepBase & {
  readonly kind: 'say'
  readonly text: string
  readonly break?: true
}
export type CheckStep = AnyAction<'check'>
export type ApproveStep = StepBase & {
  readonly kind: 'approve'
  readonly by: Role
  readonly what: 'plan'
}
export type DoStep = AnyAction<'do'>
export type RecordStep = AnyAction<'record'>
export type AttestStep = StepBase & {
  readonly kind: 'attest'
  readonly by: readonly Role[]
  readonly what: 'transcript'
}

/** One step; `kind` tells which. */
export type Step = SayStep | CheckStep | ApproveStep | DoStep | RecordStep | AttestStep

/** A plan with every default written out. It is its own canonical JSON value. */
export type Plan = {
  readonly v: 1
  readonly ceremony: string
  readonly title: string
  readonly description?: string
  /** `genesis`, `required` (the binding names it) or `sha256:` and a root in hex. */
  readonly previous: string
  readonly after: readonly string[]
  readonly roles: PlanRoles
  readonly tokens: readonly string[]
  readonly log: string
  readonly keys: Readonly<Record<string, PlanKey>>
  readonly outputs: Readonly<Record<string, { readonly file: string }>>
  readonly inputs: Readonly<Record<string, { readonly from: 'previous' }>>
  readonly steps: readonly Step[]
}

/** A plan, where its parts stand in the file, and the SHA-256 of its canonical JSON. */
export interface LoadedPlan {
  readonly plan: Plan
  readonly source: SourceMap
  readonly digest: Uint8Array
}

type RawStep = Readonly<Record<string, unknown>>
type RawArguments = Readonly<Partial<Record<ArgumentName, string>>>

const looseStep = z.record(z.string(), z.unknown(), { error: 'expected a mapping' })
const MINUTES = { say: 2, approve: 5, attest: 10 } as const

function headOf(step: RawStep): (typeof STEP_KINDS)[number] | undefined {
  const heads = STEP_KINDS.filter((kind) => Object.hasOwn(step, kind))
  return heads.length === 1 ? heads[0] : undefined
}

/** Faults of one step's form. */
function stepProblems(step: RawStep, index: number): Problem[] {
  const path = ['steps', index]
  const kind = headOf(step)
  if (kind === undefined) {
    return [{ path, message: `a step has exactly one of ${STEP_KINDS.join(', ')}` }]
  }
  const action = step[kind]
  const schema = stepSchema(kind, typeof action === 'string' ? action : '')
  if (schema === undefined) {
    const known = actionNames(kind as ActionKind).join(', ')
    return [{ path: [...path, kind], message: `no such action; ${kind} knows ${known}` }]
  }
  const result = schema.safeParse(step)
  return result.success ? [] : problems(result.error, path)
}

const words = (text: string): string => {
  const first = text.split(/(?<=[.!?:;])\s|\n/)[0] ?? text
  return first.length <= 80 ? first : `${first.slice(0, 79).trimEnd()}…`
}

/** Roles as words for several people. */
const PLURAL: Record<Role, string> = {
  administrator: 'administrators',
  custodian: 'custodians',
  'security-officer': 'security officers',
  witness: 'witnesses',
}

/** `a, b and c`. */
const listed = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1) ?? ''}`

/** Puts argument values in the place of `{name}`. */
export const fill = (template: string, args: Readonly<Record<string, string>>): string =>
  template.replace(/\{(\w+)\}/g, (whole, field: string) => args[field] ?? whole)

/** A step with its defaults written out; `raw` has passed its schema. */
function normaliseStep(raw: RawStep, index: number, onlyToken: string | undefined): Step | Problem {
  const kind = headOf(raw) ?? 'say'
  const id = (raw['id'] as string | undefined) ?? `s${String(index + 1).padStart(2, '0')}`
  const base = (title: string, minutes: number): StepBase => ({
    id,
    title: (raw['title'] as string | undefined) ?? title,
    minutes: (raw['minutes'] as number | undefined) ?? minutes,
  })
  if (kind === 'say') {
    const text = (raw['say'] as string).trim()
    const pause = raw['break'] === true ? { break: true as const } : {}
    return { ...base(words(text), MINUTES.say), kind, text, ...pause }
  }
  if (kind === 'approve') {
    const { by, what } = raw['approve'] as { by: Role; what: 'plan' }
    return {
      ...base(`Approval of the plan by ${PLURAL[by]}`, MINUTES.approve),
      kind,
      by,
      what,
    }
  }
  if (kind === 'attest') {
    const { by, what } = raw['attest'] as { by: Role[]; what: 'transcript' }
    const who = listed(by.map((role) => PLURAL[role]))
    return { ...base(`Attestation of the transcript by ${who}`, MINUTES.attest), kind, by, what }
  }
  const action = raw[kind] as string
  const spec = actionSpec(kind, action)
  const given = (raw['with'] ?? {}) as RawArguments
  const needsToken = spec?.with.includes('token') === true && given.token === undefined
  if (needsToken && onlyToken === undefined) {
    return {
      path: ['steps', index, 'with'],
      message: 'which token? it can be left out only in a plan with one token',
    }
  }
  const args = needsToken && onlyToken !== undefined ? { token: onlyToken } : { ...given }
  const readAloud = raw['read-aloud']
  // The schema, made from the same table, has checked that action and arguments fit.
  return {
    ...base(fill(spec?.title ?? action, args), spec?.minutes ?? 1),
    kind,
    action,
    with: args,
    ...(readAloud === undefined ? {} : { readAloud }),
  } as Step
}

function normalise(file: YamlFile): Plan {
  const raw = checkShape(planSchema(looseStep), file, 'the plan')
  const faults = raw.steps.flatMap(stepProblems)
  if (faults.length > 0) refuseProblems(faults, 'the plan', file.source)
  const onlyToken = raw.tokens.length === 1 ? raw.tokens[0] : undefined
  const steps = raw.steps.map((step, index) => normaliseStep(step, index, onlyToken))
  const unclear = steps.filter((step): step is Problem => 'path' in step)
  const log = raw.log ?? onlyToken
  if (log === undefined) {
    unclear.push({ path: ['tokens'], message: 'several tokens: `log:` must name one of them' })
  }
  if (unclear.length > 0 || log === undefined) refuseProblems(unclear, 'the plan', file.source)
  // Values parsed by zod hold no undefined, so optional fields are absent or set.
  return { v: 1, ...raw, log, steps: steps as Step[] } as unknown as Plan
}

/** SHA-256 of the RFC 8785 form: comments, order of keys and layout of the file do not count. */
export const planDigest = (plan: Plan): Uint8Array => canonicalDigest(plan)

/**
 * Reads a plan file. Throws {@link ConfigError} whose `where` is `file:line:column` for YAML that is not
 * strict, unknown or missing keys, and values of the wrong form.
 */
export function loadPlan(text: string, file: string): LoadedPlan {
  const yaml = readYaml(text, file)
  const plan = normalise(yaml)
  return { plan, source: yaml.source, digest: planDigest(plan) }
}

/** The plan as an author would write it; the inverse of reading it. */
function asWritten({ v: _version, steps, ...plan }: Plan): object {
  const written = steps.map((step): object => {
    const { id, title, minutes } = step
    if (step.kind === 'say') {
      const pause = step.break === true ? { break: true } : {}
      return { id, title, minutes, say: step.text, ...pause }
    }
    if (step.kind === 'approve' || step.kind === 'attest') {
      return { id, title, minutes, [step.kind]: { by: step.by, what: step.what } }
    }
    const aloud = step.kind === 'record' && step.readAloud !== undefined
    return {
      id,
      title,
      minutes,
      [step.kind]: step.action,
      ...(Object.keys(step.with).length === 0 ? {} : { with: step.with }),
      ...(aloud ? { 'read-aloud': step.readAloud } : {}),
    }
  })
  return { ...plan, steps: written }
}

/**
 * Reads the `plan.json` of a bundle as strictly as a plan file: it must be the canonical JSON of a plan,
 * byte for byte. Throws {@link ConfigError}.
 */
export function readPlan(text: string, file = 'plan.json'): Plan {
  const refuse = (hint: string, cause?: unknown): never => {
    throw new ConfigError('not the canonical form of a plan', {
      where: file,
      expected: 'plan.json as a ceremony wrote it',
      hint,
      cause,
    })
  }
  const attempt = (): Plan => {
    const written = JSON.stringify(asWritten(JSON.parse(text) as Plan))
    return normalise(readYaml(written, file))
  }
  let plan: Plan
  try {
    plan = attempt()
  } catch (cause) {
    return refuse(cause instanceof Error ? cause.message : 'not JSON', cause)
  }
  return canonicalJson(plan) === text ? plan : refuse('the text was changed or reformatted')
}
