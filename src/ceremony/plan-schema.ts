/**
 * The plan as its author writes it: one strict zod schema per step form, generated from the action table.
 * JSON Schema is generated from the same objects. Names that refer to other parts of the plan, and
 * everything about order, are the linter's business.
 */
import * as z from 'zod'

import {
  type ActionKind,
  type ActionSpec,
  type ArgumentName,
  actionNames,
  actionSpec,
} from './action-table.ts'

/** Lower-case words joined by single hyphens: ids of ceremonies, tokens, keys, outputs, steps, people. */
export const NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/
export const name = z
  .string()
  .max(48, 'at most 48 characters')
  .regex(NAME, 'lower-case letters and digits, joined by single hyphens')
/** Text on one line. */
export const line = (max: number): z.ZodString =>
  z
    .string()
    .min(1, 'must not be empty')
    .max(max, `at most ${max} characters`)
    .regex(/^\S(?:[^\n\t]*\S)?$/, 'one line without white space at its ends')
const prose = (max: number): z.ZodString =>
  z.string().trim().min(1, 'must not be empty').max(max, `at most ${max} characters`)

export const role = z.enum(['administrator', 'custodian', 'security-officer', 'witness'])
export const keyRole = z.enum(['fpe', 'kek', 'kek-outer', 'embedding-seed', 'log-signer'])
export const keyAlgorithm = z.enum(['AES-256', 'Ed25519', 'P-256'])
const previousRoot = z.union(
  [
    z.enum(['genesis', 'required']),
    z.templateLiteral(['sha256:', z.string().regex(/[0-9a-f]{64}/)]),
  ],
  { error: 'expected genesis, required or sha256: and 64 lower-case hexadecimal digits' },
)
const relativeFile = z.string().min(1).max(200)
const headcount = z.int().min(1).max(32)
const quorum = z.strictObject({ quorum: headcount, of: headcount })

const key = z.strictObject({
  token: name,
  role: keyRole,
  algorithm: keyAlgorithm,
  /** State at the end of the ceremony. */
  end: z.enum(['present', 'absent']).default('present'),
  /** Made by an earlier ceremony. */
  existing: z.boolean().default(false),
  /** Born extractable, wrapped (`nested`: twice, `single`: once), then locked or zeroised. */
  distribute: z.enum(['nested', 'single']).optional(),
  /** For a key that ends absent: every artefact that holds a wrapped copy of it. */
  copies: z.array(name).optional(),
})

/** What every step may carry. */
const stepFields = {
  id: name.optional(),
  title: line(80).optional(),
  minutes: z.int().min(1).max(480).optional(),
}

const sayStep = z.strictObject({
  say: prose(1200),
  /** The people leave the room; the seal is checked when they come back. */
  break: z.literal(true).optional(),
  ...stepFields,
})
const approveStep = z.strictObject({
  approve: z.strictObject({ by: role, what: z.literal('plan') }),
  ...stepFields,
})
const attestStep = z.strictObject({
  attest: z.strictObject({ by: z.array(role).min(1), what: z.literal('transcript') }),
  ...stepFields,
})
const readAloud = z.enum(['nato', 'pgp-words'])

/** The schema of one action's step. A lone `token` argument may be left out in a plan with one token. */
function actionStep(kind: ActionKind, action: string, spec: ActionSpec): z.ZodType {
  const names: readonly ArgumentName[] = spec.with
  const optional = new Set<ArgumentName>(['token', ...(spec.optional ?? [])])
  const fields = Object.fromEntries(
    names.map((field) => [field, optional.has(field) ? name.optional() : name]),
  )
  const args = z.strictObject(fields)
  const mayBeLeftOut = names.every((field) => optional.has(field))
  return z.strictObject({
    [kind]: z.literal(action),
    ...(names.length === 0 ? {} : { with: mayBeLeftOut ? args.optional() : args }),
    ...(kind === 'record' ? { 'read-aloud': readAloud.optional() } : {}),
    ...stepFields,
  })
}

const actionSteps = new Map(
  (['check', 'do', 'record'] as const).flatMap((kind) =>
    actionNames(kind).flatMap((action) => {
      const spec = actionSpec(kind, action)
      return spec === undefined
        ? []
        : [[`${kind} ${action}`, actionStep(kind, action, spec)] as const]
    }),
  ),
)

/** The six words a step can start with. */
export const STEP_KINDS = ['say', 'check', 'approve', 'do', 'record', 'attest'] as const

/** The schema for a step of this form; undefined for an action the table does not have. */
export function stepSchema(
  kind: (typeof STEP_KINDS)[number],
  action: string,
): z.ZodType | undefined {
  if (kind === 'say') return sayStep
  if (kind === 'approve') return approveStep
  if (kind === 'attest') return attestStep
  return actionSteps.get(`${kind} ${action}`)
}

/** Any step; for JSON Schema. The loader picks one form, whose complaints are clearer than a union's. */
export const anyStep = z.union([sayStep, approveStep, attestStep, ...actionSteps.values()])

const table = <Value extends z.ZodType>(value: Value, max = 64) =>
  z
    .record(name, value)
    .refine((entries) => Object.keys(entries).length <= max, `at most ${max} entries`)

/** The plan with `step` as the schema of its steps. */
export const planSchema = <Step extends z.ZodType>(step: Step) =>
  z.strictObject({
    ceremony: name,
    title: line(80),
    /** Why this ceremony is held, and for whom. */
    description: prose(2000).optional(),
    previous: previousRoot,
    /** Plans, next to this one, that must have run before; a rehearsal runs them first. */
    after: z
      .array(z.string().regex(/^[a-z0-9-]+\.yaml$/, 'the file name of a plan next to this one'))
      .max(16)
      .default([]),
    roles: z.strictObject({
      administrator: headcount,
      custodian: quorum.optional(),
      'security-officer': quorum.optional(),
      witness: headcount.optional(),
    }),
    tokens: z.array(name).min(1).max(16),
    /** The token whose log-signer key signs the checkpoints. */
    log: name.optional(),
    keys: table(key).default({}),
    outputs: table(z.strictObject({ file: relativeFile })).default({}),
    inputs: table(z.strictObject({ from: z.literal('previous') })).default({}),
    steps: z.array(step).min(1).max(200),
  })
