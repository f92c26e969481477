/**
 * Runs a plan. Everything is checked before the first token is touched; every step is recorded; a failure
 * of any step ends the ceremony in a truthful abort.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalDigest } from '../canonical.ts'
import { PolicyError } from '../errors.ts'
import { openLog } from '../audit/index.ts'
import type { Hsm } from '../pkcs11/index.ts'
import type { Clock, Random } from '../ports.ts'
import { parseAllowedSigners } from '../quorum/index.ts'
import type { Json } from '../types.ts'
import { performStep } from './actions/index.ts'
import { recordRefusal } from './approvals.ts'
import type { Binding, LoadedBinding } from './binding.ts'
import { checkBinding } from './binding-check.ts'
import { bundlePaths, createBundle, writeFileDurable } from './bundle.ts'
import { type CeremonyOutcome, abortCeremony, completeCeremony } from './close.ts'
import { type Ceremony, type CeremonyIdentity, people } from './context.ts'
import type { Ledger } from './entries.ts'
import { emptyLedger, openJournal } from './journal.ts'
import { lint } from './lint.ts'
import type { LoadedPlan, Plan } from './plan.ts'
import type { Policy } from './policy.ts'
import { printScript } from './print.ts'
import { previousLedger } from './previous.ts'
import { holdReserve } from './reserve.ts'
import { readReviewed } from './reviewed.ts'
import type { Room, StepView } from './room.ts'
import { SOFTWARE } from './software.ts'
import { type WriteAheadPoint, writeAhead } from './write-ahead.ts'

/** What every run, first or resumed, needs from outside. */
export interface RunPorts {
  readonly room: Room
  readonly hsm: Hsm
  readonly clock: Clock
  readonly random: Random
  /** Sees every write-ahead point; tests end the process there. */
  readonly observe?: (point: WriteAheadPoint, op: string) => void
}

/** Inputs of {@link run}. */
export interface RunOptions extends RunPorts {
  readonly plan: LoadedPlan
  readonly binding: LoadedBinding
  readonly policy: Policy
  /** Text of `allowed_signers`. */
  readonly roster: string
  /** Bundle directory; must not exist. */
  readonly dir: string
}

/** Digests and names that follow from the reviewed inputs alone. */
export function identify(
  inputs: { plan: Plan; binding: Binding; policy: Policy; roster: string },
  previous: string,
): CeremonyIdentity {
  const { plan, binding, policy, roster } = inputs
  const digest = (value: unknown): string => toHex(canonicalDigest(value as Json))
  const planSha256 = digest(plan)
  const bindingSha256 = digest(binding)
  const { mode } = binding
  const id = toHex(canonicalDigest({ planSha256, bindingSha256, mode, previous }))
  const kind = mode === 'rehearsal' ? 'rehearsal' : 'ceremony'
  return {
    id,
    mode,
    origin: `${binding.organisation}/${kind}/${plan.ceremony}/${id.slice(0, 16)}`,
    planSha256,
    bindingSha256,
    policySha256: digest(policy),
    rosterSha256: toHex(sha256(utf8(roster))),
    previous,
  }
}

function refuseUnlessReviewed({
  plan,
  binding: { resolved: binding },
  policy,
  roster,
}: RunOptions): void {
  const findings = lint(plan.plan, plan.source, { policy, binding }).filter(
    ({ severity }) => severity === 'error',
  )
  const [first] = findings
  if (first !== undefined) {
    throw new PolicyError(
      'LINT_FAILED',
      first.rule,
      `the plan has ${findings.length} lint errors`,
      {
        where: `line ${first.line}, column ${first.column}`,
        got: first.message,
        hint: 'keyrite ceremony lint lists all findings',
      },
    )
  }
  checkBinding(plan.plan, binding)
  const rosterSha256 = toHex(sha256(utf8(roster)))
  if (rosterSha256 !== binding.roster.sha256) {
    throw new PolicyError('BINDING_MISMATCH', 'CER-BINDING-1', 'the roster is not the bound one', {
      where: binding.roster.file,
      expected: binding.roster.sha256,
      got: rosterSha256,
      hint: 'review the roster, then put its digest into the binding',
    })
  }
}

/** The module file and the tokens must be the ones the binding names. */
export async function refuseUnlessBound(
  { plan, binding, ledger }: { plan: Plan; binding: Binding; ledger: Ledger },
  hsm: Hsm,
): Promise<void> {
  if (hsm.info.sha256 !== binding.module.sha256) {
    throw new PolicyError(
      'BINDING_MISMATCH',
      'CER-MODULE-1',
      'the PKCS#11 module is another file',
      {
        where: hsm.info.path,
        expected: binding.module.sha256,
        got: hsm.info.sha256,
      },
    )
  }
  const present = await hsm.tokens()
  for (const name of plan.tokens) {
    const bound = binding.tokens[name]
    if (bound === undefined || bound.serial === 'blank') continue
    const token = present.find(({ label }) => label === bound.label)
    const recorded = ledger.tokens[name]?.serial ?? bound.serial
    if (token?.serial !== bound.serial || recorded !== bound.serial) {
      throw new PolicyError(
        'BINDING_MISMATCH',
        'CER-TOKEN-1',
        `token ${name} is not the bound one`,
        {
          where: `binding: tokens.${name}`,
          expected: `label ${bound.label}, serial ${bound.serial}`,
          got: token === undefined ? 'no such token' : `serial ${token.serial}`,
        },
      )
    }
  }
}

/** Runs a reviewed plan from the start; throws only before anything was written. */
export async function run(options: RunOptions): Promise<CeremonyOutcome> {
  const { plan, policy, roster, dir, room, hsm, clock, random, observe } = options
  const binding = options.binding.resolved
  refuseUnlessReviewed(options)
  const before = await previousLedger(plan.plan, binding)
  const ledger = before?.ledger ?? emptyLedger()
  await refuseUnlessBound({ plan: plan.plan, binding, ledger }, hsm)
  const identity = identify(
    { plan: plan.plan, binding: options.binding.binding, policy, roster },
    before?.root ?? 'genesis',
  )

  await createBundle({
    dir,
    plan: plan.plan as unknown as Json,
    binding: options.binding.binding as unknown as Json,
    policy: policy as unknown as Json,
    roster,
  })
  const paths = bundlePaths(dir)
  const script = await printScript(plan.plan, { binding: options.binding, digest: plan.digest })
  await writeFileDurable(paths.script, script.pdf)
  await holdReserve(dir)
  const log = await openLog({ dir: paths.log, origin: identity.origin, clock, mode: 'create' })
  const journal = openJournal(log, { ceremony: identity.id, mode: identity.mode }, clock)
  const ceremony: Ceremony = {
    plan: plan.plan,
    binding,
    policy,
    roster: parseAllowedSigners(roster, binding.roster.file),
    identity,
    paths,
    room,
    hsm,
    clock,
    random,
    journal,
    wal: writeAhead(journal, observe),
    ledger,
    open: new Map(),
    acting: new Map(),
    spent: before?.signatures ?? new Set(),
  }
  await journal.append(
    'ceremony.open',
    '',
    {
      planSha256: identity.planSha256,
      bindingSha256: identity.bindingSha256,
      policySha256: identity.policySha256,
      rosterSha256: identity.rosterSha256,
      previous: identity.previous,
      software: SOFTWARE,
      module: hsm.info,
      people: people(ceremony).map((person) => ({ ...person, roles: [...person.roles] })),
      ledger: structuredClone(ledger),
    },
    ['software-enforced'],
  )
  return perform(ceremony)
}

/** Carries out what the transcript does not show as done, then closes; never leaves without a last word. */
export async function perform(ceremony: Ceremony): Promise<CeremonyOutcome> {
  const { plan, journal, room } = ceremony
  let current = ''
  try {
    room.show([
      `${plan.title}`,
      `plan ${ceremony.identity.planSha256}`,
      `log ${ceremony.identity.origin}`,
    ])
    const total = plan.steps.length
    for (const [index, step] of plan.steps.entries()) {
      if (step.kind === 'attest') continue
      const view: StepView = {
        id: step.id,
        number: index + 1,
        total,
        kind: step.kind,
        title: step.title,
      }
      if (journal.completed(step.id)) {
        room.stepFinished(view, 'already-done')
        continue
      }
      room.signal.throwIfAborted()
      current = step.id
      // Nobody may edit a reviewed file after people approved its digest.
      await readReviewed(ceremony.paths, ceremony.identity)
      room.stepStarted(view)
      await journal.append('step.begin', step.id, { kind: step.kind, title: step.title }, [
        'software-enforced',
      ])
      const ledgerBefore = JSON.stringify(ceremony.ledger)
      try {
        await performStep(ceremony, step)
        room.signal.throwIfAborted()
      } catch (error) {
        room.stepFinished(view, 'failed')
        throw error
      }
      if (JSON.stringify(ceremony.ledger) !== ledgerBefore) {
        await journal.append('ledger', step.id, { ledger: structuredClone(ceremony.ledger) }, [
          'module-reported',
        ])
      }
      await journal.append('step.end', step.id, { outcome: 'done' }, ['software-enforced'])
      room.stepFinished(view, 'done')
    }
    current = ''
    return await completeCeremony(ceremony)
  } catch (error) {
    const actors = [...ceremony.acting.values()].flat().map(({ id }) => id)
    await recordRefusal(ceremony, current, 'step', actors, error).catch(() => undefined)
    return await abortCeremony(ceremony, { atStep: current, error })
  }
}
