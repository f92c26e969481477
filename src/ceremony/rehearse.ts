/**
 * Rehearses plans: the same engine, a scripted cast, tokens of a module that may be thrown away. Plans
 * run in order, each starting from the transcript before it; the mode stands in every entry and in the
 * origin, so that a rehearsal never passes as production.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { stringify } from 'yaml'

import { sha256, toHex, utf8 } from '../bytes.ts'
import { ConfigError } from '../errors.ts'
import type { Hsm } from '../pkcs11/index.ts'
import type { Clock, Random } from '../ports.ts'
import type { Binding } from './binding.ts'
import { loadBinding } from './binding.ts'
import { BUNDLE } from './bundle.ts'
import { type Cast, type ScriptedRoomOptions, headcount, makeCast, scriptedRoom } from './cast.ts'
import type { CeremonyOutcome } from './close.ts'
import { type LoadedPlan, loadPlan } from './plan.ts'
import { DEFAULT_POLICY, loadPolicy } from './policy.ts'
import { run } from './run.ts'
import type { Observe } from './write-ahead.ts'

/** Organisation of every rehearsal: a reserved name (RFC 2606). */
const ORGANISATION = 'rehearsal.invalid'

/** Inputs of {@link rehearse}. */
export interface RehearseOptions {
  /** Plan files; plans named by their `after:` run first. */
  readonly plans: readonly string[]
  /** Policy file; the default policy without one. */
  readonly policy?: string
  /** Everything is written below it; created when missing. */
  readonly workDir: string
  /** A module with blank tokens to spend. */
  readonly hsm: Hsm
  readonly clock: Clock
  readonly random: Random
  readonly room?: Omit<ScriptedRoomOptions, 'clock'>
  readonly observe?: Observe
  /** See {@link makeCast}. */
  readonly filesOnly?: boolean
}

/** One rehearsed plan. */
export interface Rehearsed {
  readonly plan: LoadedPlan
  readonly planFile: string
  readonly bindingFile: string
  readonly outcome: CeremonyOutcome
}

/** The plans in the order they must run: what a plan is `after` comes first, and nothing runs twice. */
export async function planOrder(
  files: readonly string[],
): Promise<{ file: string; loaded: LoadedPlan }[]> {
  const ordered = new Map<string, LoadedPlan>()
  const visit = async (file: string, within: readonly string[]): Promise<void> => {
    const path = resolve(file)
    if (ordered.has(path)) return
    const from = within.at(-1)
    if (within.includes(path)) {
      throw new ConfigError('plans come after each other in a circle', {
        where: `${from ?? path}: after`,
        got: [...within, path].map((each) => basename(each)).join(' → '),
      })
    }
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new ConfigError('a plan cannot be read', {
        where: from === undefined ? file : `${from}: after`,
        expected: path,
        cause,
      })
    })
    const loaded = loadPlan(text, file)
    for (const before of loaded.plan.after) {
      await visit(join(dirname(path), before), [...within, path])
    }
    ordered.set(path, loaded)
  }
  for (const file of files) await visit(file, [])
  return [...ordered].map(([file, loaded]) => ({ file, loaded }))
}

/** Ongoing rehearsal: what one plan leaves for the next. */
interface Stage {
  readonly cast: Cast
  readonly rosterFile: string
  readonly policyFile: string
  previous: CeremonyOutcome | undefined
  readonly outputs: Map<string, string>
}

function bindingFor(
  plan: LoadedPlan['plan'],
  stage: Stage,
  hsm: Hsm,
  digests: { roster: string; policy: string },
  serials: ReadonlyMap<string, string>,
): Binding {
  const { cast, previous, rosterFile, policyFile, outputs } = stage
  const inputs = Object.keys(plan.inputs).flatMap((input) => {
    const path = outputs.get(input)
    return path === undefined ? [] : [[input, path] as const]
  })
  return {
    binding: `rehearsal-${plan.ceremony}`,
    mode: 'rehearsal',
    organisation: ORGANISATION,
    module: { path: hsm.info.path, sha256: hsm.info.sha256 },
    tokens: Object.fromEntries(
      plan.tokens.map((name) => [name, { label: name, serial: serials.get(name) ?? 'blank' }]),
    ),
    people: Object.fromEntries([...cast.members].map(([id, { bound }]) => [id, bound])),
    roster: { file: rosterFile, sha256: digests.roster },
    policy: { file: policyFile, sha256: digests.policy },
    ...(previous === undefined || plan.previous === 'genesis'
      ? {}
      : { previous: { bundle: previous.dir, root: `sha256:${previous.root}` } }),
    ...(inputs.length === 0 ? {} : { inputs: Object.fromEntries(inputs) }),
  }
}

/** Runs the plans one after the other and stops at the first that does not complete. */
export async function rehearse(options: RehearseOptions): Promise<Rehearsed[]> {
  const { workDir, hsm, clock, random, observe } = options
  const plans = await planOrder(options.plans)
  await mkdir(workDir, { recursive: true, mode: 0o700 })
  await using cast = await makeCast({
    dir: join(workDir, 'people'),
    roles: headcount(plans.map(({ loaded }) => loaded.plan.roles)),
    organisation: ORGANISATION,
    hsm,
    random,
    ...(options.filesOnly === undefined ? {} : { filesOnly: options.filesOnly }),
  })
  const rosterFile = join(workDir, 'allowed_signers')
  await writeFile(rosterFile, cast.roster)
  const policyFile = join(workDir, 'policy.yaml')
  const policyText =
    options.policy === undefined
      ? stringify(DEFAULT_POLICY)
      : await readFile(options.policy, 'utf8')
  await writeFile(policyFile, policyText)
  loadPolicy(policyText, policyFile)
  const digests = {
    roster: toHex(sha256(utf8(cast.roster))),
    policy: toHex(sha256(utf8(policyText))),
  }
  const room = scriptedRoom(cast, { ...options.room, clock })
  const stage: Stage = { cast, rosterFile, policyFile, previous: undefined, outputs: new Map() }
  const done: Rehearsed[] = []
  for (const { file, loaded } of plans) {
    const serials = new Map((await hsm.tokens()).map(({ label, serial }) => [label, serial]))
    const bindingFile = join(workDir, `${loaded.plan.ceremony}.binding.yaml`)
    const binding = bindingFor(loaded.plan, stage, hsm, digests, serials)
    await writeFile(bindingFile, stringify(binding))
    const outcome = await run({
      plan: loaded,
      binding: loadBinding(await readFile(bindingFile, 'utf8'), bindingFile),
      dir: join(workDir, loaded.plan.ceremony),
      room,
      hsm,
      clock,
      random,
      ...(observe === undefined ? {} : { observe }),
    })
    done.push({ plan: loaded, planFile: file, bindingFile, outcome })
    if (outcome.outcome !== 'complete') break
    stage.previous = outcome
    for (const [name, { file: output }] of Object.entries(loaded.plan.outputs)) {
      stage.outputs.set(name, join(outcome.dir, BUNDLE.artefacts, output))
    }
  }
  return done
}
