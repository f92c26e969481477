/** Rules on keys: made, wrapped, locked, restored, recorded, zeroised, and in the declared state at the end. */
import { epochOf } from '../lifecycle/index.ts'
import { type LintContext, at, keysOf } from './lint-context.ts'
import type { Plan, PlanKey } from './plan.ts'
import { type KeyModel, type ModelStep, type RoomModel, tokenOf, walk } from './room-model.ts'

const MAKES = new Set(['do key.generate', 'do key.unwrap'])

/** A seed is restored from its file, which is all that is left of it. */
const restoresSeed = (plan: Plan, act: string, field: string, name: string): boolean =>
  act === 'check key.restore' && field === 'key' && plan.keys[name]?.role === 'embedding-seed'

/** KEY-LIFE-1, -2, -3: what a step needs its keys to be. */
function life(context: LintContext, { act, args, index }: ModelStep, room: RoomModel): void {
  const { plan, report } = context
  for (const field of ['key', 'kek', 'outer'] as const) {
    const name = args[field]
    const key = room.keys.get(name ?? '')
    if (name === undefined || key === undefined) continue
    const path = at(index, 'with', field)
    if (field === 'key' && MAKES.has(act)) {
      if (key.state === 'none') continue
      const why = plan.keys[name]?.existing === true ? 'is declared existing' : 'was made before'
      report('KEY-LIFE-3', path, `key ${name} ${why}`, 'declare another key for it')
    } else if (key.state === 'none') {
      const hint = 'make it first, or declare `existing: true`'
      report('KEY-LIFE-1', path, `key ${name} does not exist yet`, hint)
    } else if (key.state === 'gone' && !restoresSeed(plan, act, field, name)) {
      report('KEY-LIFE-2', path, `key ${name} was zeroised before`, 'move the step before it')
    }
  }
}

/** KEY-FORM-3, -4, -5. */
function form(context: LintContext, { act, args, index }: ModelStep, room: RoomModel): void {
  const { plan, report } = context
  const name = args.key ?? ''
  const key = room.keys.get(name)
  if (key === undefined) return
  const leaves = plan.keys[name]?.distribute !== undefined
  if (act === 'do key.wrap' && !leaves) {
    const hint = 'declare `distribute: nested` for it'
    report('KEY-FORM-4', at(index), `key ${name} cannot leave its token`, hint)
  } else if (act === 'do key.wrap' && key.state === 'locked') {
    report('KEY-FORM-3', at(index), `key ${name} is locked already`, 'wrap it before key.lock')
  }
  if (act === 'do key.lock' && key.state === 'locked') {
    const hint = leaves ? 'lock it once' : 'delete the step'
    report('KEY-FORM-5', at(index), `key ${name} is in its final form already`, hint)
  }
}

const COMPLEMENT: Record<'kek' | 'outer', PlanKey['role']> = { kek: 'kek', outer: 'kek-outer' }

/** KEY-WRAP-4: how many layers. */
function layerCount({ plan, report }: LintContext, { args, index }: ModelStep): void {
  const { key: name = '', outer } = args
  const key = plan.keys[name]
  if (key === undefined) return
  const { role, distribute } = key
  const seed = role === 'embedding-seed'
  if (outer !== undefined && distribute === 'single' && seed) {
    const hint = 'delete outer, or declare `distribute: nested`'
    report('KEY-WRAP-4', at(index, 'with', 'outer'), `key ${name} is to be wrapped once`, hint)
  }
  if (outer === undefined && (!seed || distribute === 'nested')) {
    const hint = 'name the kek-outer of another token as outer'
    report('KEY-WRAP-4', at(index, 'with'), `key ${name} is to be wrapped twice`, hint)
  }
}

/** KEY-WRAP-1 to -4: the layers. */
function layers(context: LintContext, model: ModelStep): void {
  const { plan, report } = context
  const { args, index } = model
  const { kek, outer, key } = args
  if (kek === undefined || key === undefined) return
  layerCount(context, model)
  for (const field of ['kek', 'outer'] as const) {
    const declared = plan.keys[args[field] ?? '']
    if (declared === undefined || declared.role === COMPLEMENT[field]) continue
    report(
      'KEY-WRAP-2',
      at(index, 'with', field),
      `key ${args[field] ?? ''} has role ${declared.role}`,
      `${field} must be a key of role ${COMPLEMENT[field]}`,
    )
  }
  const [inner, outside, home] = [kek, outer ?? '', key].map((name) => tokenOf(plan, 'key', name))
  if (inner !== undefined && inner === outside) {
    const hint = 'use a kek-outer key on another token'
    report('KEY-WRAP-1', at(index), `${kek} and ${outer ?? ''} are both on token ${inner}`, hint)
  }
  if (inner !== undefined && home !== undefined && inner !== home) {
    const hint = `use a kek on token ${home}`
    report('KEY-WRAP-3', at(index), `${kek} is on token ${inner}, ${key} on ${home}`, hint)
  }
}

/** PLAN-OUTPUT-4: reading what is not there yet. */
function artefacts(
  { plan, report }: LintContext,
  { args, index, act }: ModelStep,
  room: RoomModel,
) {
  const field = args.from === undefined ? 'output' : 'from'
  const name = args[field]
  if (name === undefined || act === 'do key.wrap' || !Object.hasOwn(plan.outputs, name)) return
  if (room.copies.some(({ output }) => output === name)) return
  const hint = 'put the key.wrap that writes it before'
  report('PLAN-OUTPUT-4', at(index, 'with', field), `${name} is not written yet`, hint)
}

/** KEY-ZERO-2, KEY-ZERO-3 (before). */
function zeroise(
  { plan, report }: LintContext,
  { act, args, index }: ModelStep,
  room: RoomModel,
): void {
  const name = args.key ?? ''
  const key = room.keys.get(name)
  const token = plan.keys[name]?.token ?? ''
  if (act !== 'do key.zeroise' || key === undefined || key.state === 'gone') return
  if (!key.kcvRecorded) {
    const hint = `put \`record: key.kcv\` with { key: ${name} } before it`
    report('KEY-ZERO-2', at(index), `the check value of ${name} is not on record`, hint)
  }
  if (room.tokens.get(token)?.inventoryRecorded === false) {
    const hint = `put \`record: token.inventory\` with { token: ${token} } before it`
    report('KEY-ZERO-3', at(index), `the objects on token ${token} are not on record`, hint)
  }
}

/** KEY-ROLE-3, KEY-FORM-7, -8: embedding seeds, and what is for them alone. */
function seeds({ report }: LintContext, name: string, key: PlanKey): void {
  const seed = key.role === 'embedding-seed'
  if (key.distribute === 'single' && !seed) {
    const hint = 'declare `distribute: nested`'
    report('KEY-FORM-7', ['keys', name, 'distribute'], `key ${name} is no embedding seed`, hint)
  }
  if (!seed) return
  if (!key.existing && key.distribute === undefined) {
    const hint = 'declare `distribute: single` or `distribute: nested`'
    report('KEY-FORM-8', ['keys', name], `seed ${name} would never leave its token`, hint)
  }
  if (epochOf(name) !== undefined) return
  const hint = 'name it like embeddings-epoch-1'
  report('KEY-ROLE-3', ['keys', name], `the name ${name} says no epoch`, hint)
}

/** KEY-ROLE-1, -2, KEY-FORM-6: declarations. */
function declarations(context: LintContext): void {
  const { policy, report } = context
  for (const [name, key] of keysOf(context)) {
    const signs = key.role === 'log-signer'
    if (signs === (key.algorithm === 'AES-256')) {
      const hint = signs ? 'Ed25519 or P-256' : 'AES-256'
      const message = `a ${key.role} key cannot be ${key.algorithm}`
      report('KEY-ROLE-1', ['keys', name, 'algorithm'], message, hint)
    }
    const allowed: readonly [string, readonly string[], string][] = [
      ['role', policy.allowedRoles, key.role],
      ['algorithm', policy.allowedAlgorithms, key.algorithm],
    ]
    for (const [field, values, value] of allowed) {
      if (values.includes(value)) continue
      const hint = `allowed: ${values.join(', ')}`
      const message = `policy ${policy.policy} does not allow ${value}`
      report('KEY-ROLE-2', ['keys', name, field], message, hint)
    }
    seeds(context, name, key)
    if (key.existing && key.distribute !== undefined) {
      const hint = 'delete one of existing and distribute'
      report('KEY-FORM-6', ['keys', name, 'distribute'], `existing key ${name} is locked`, hint)
    }
  }
}

/** What must hold of one key when the ceremony ends. */
function endOfKey(context: LintContext, name: string, declared: PlanKey, room: RoomModel): void {
  const { plan, report } = context
  const key: KeyModel | undefined = room.keys.get(name)
  if (key === undefined) return
  const path = ['keys', name]
  const made = key.made === undefined ? path : at(key.made)
  if (declared.end === 'present' && key.state === 'none') {
    report('KEY-LIFE-4', path, `no step makes key ${name}`, 'make it, or declare `existing: true`')
  }
  if (declared.end === 'present' && key.zeroised !== undefined) {
    const hint = 'declare `end: absent`, or delete this step'
    report('KEY-LIFE-4', at(key.zeroised), `key ${name} is declared present at the end`, hint)
  }
  if (declared.end === 'absent' && key.state !== 'gone') {
    const hint = 'put `do: key.zeroise` at the end, or declare `end: present`'
    report('KEY-LIFE-5', [...path, 'end'], `key ${name} is never zeroised`, hint)
  }
  if (declared.distribute !== undefined && !declared.existing && key.state !== 'none') {
    if (!key.wrapped) {
      const hint = 'wrap it, or delete `distribute`'
      report('KEY-FORM-1', [...path, 'distribute'], `key ${name} is never wrapped`, hint)
    }
    if (key.state === 'birth') {
      const hint = `put \`do: key.lock\` with { key: ${name} } after the last key.wrap`
      report('KEY-FORM-2', made, `key ${name} stays extractable`, hint)
    }
  }
  if (key.made !== undefined && !(key.kcvRecorded && key.attributesRecorded)) {
    const what = key.kcvRecorded ? 'key.attributes' : 'key.kcv'
    const hint = `put \`record: ${what}\` with { key: ${name} } after it`
    report('KEY-RECORD-1', made, `${what} of ${name} is not recorded`, hint)
  }
  if (declared.end !== 'absent') return
  const unlisted = room.copies.filter(
    ({ key: of, output }) => of === name && declared.copies?.includes(output) !== true,
  )
  if (declared.copies === undefined || unlisted.length > 0) {
    const missing = unlisted.map(({ output }) => output).join(', ')
    report(
      'KEY-ZERO-1',
      [...path, 'copies'],
      missing === '' ? `key ${name} does not list its copies` : `copies lacks ${missing}`,
      'write `copies: [...]` with every wrapped copy, or `copies: []`',
    )
  }
  if (key.zeroised !== undefined && !key.absenceRecorded) {
    const hint = `put \`record: token.inventory\` with { token: ${declared.token} } after it`
    report('KEY-ZERO-3', at(key.zeroised), `the absence of ${name} is not recorded`, hint)
  }
  // The files of a seed made here are what the ceremony is for.
  if (declared.role === 'embedding-seed' && !declared.existing) return
  const wrappingKeyGone = Object.entries(plan.keys).some(
    ([kek, { role }]) =>
      (role === 'kek' || role === 'kek-outer') &&
      kek !== name &&
      room.keys.get(kek)?.state === 'gone',
  )
  if ((declared.copies?.length ?? 0) > 0 && !wrappingKeyGone) {
    const hint = 'zeroise their kek in this plan, or accept the residual'
    report('KEY-ZERO-4', [...path, 'copies'], `copies of ${name} can still be opened`, hint)
  }
}

/** KEY-BACKUP-1, PLAN-OUTPUT-5. */
function copies({ policy, report }: LintContext, room: RoomModel): void {
  for (const { key, output, kek, outer, step, restored } of room.copies) {
    if (policy.requireRestoreTest && !restored) {
      report(
        'KEY-BACKUP-1',
        at(step),
        `${output} is never restored`,
        `put \`check: key.restore\` with { key: ${key}, from: ${output}, kek: ${kek}${outer === undefined ? '' : `, outer: ${outer}`} } after it`,
      )
    }
    if (room.digests.has(output)) continue
    const hint = `put \`record: output.digest\` with { output: ${output} } after it`
    report('PLAN-OUTPUT-5', at(step), `the digest of ${output} is not recorded`, hint)
  }
}

/** All rules of this file. */
export function lintKeys(context: LintContext): void {
  declarations(context)
  const end = walk(context.plan, (model, room) => {
    life(context, model, room)
    form(context, model, room)
    layers(context, model)
    artefacts(context, model, room)
    zeroise(context, model, room)
  })
  for (const [name, key] of keysOf(context)) endOfKey(context, name, key, end)
  copies(context, end)
}
