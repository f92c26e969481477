/**
 * Runs a plan. Everything is checked before the first token is touched; every step is recorded; a failure
 * of any step ends the ceremony in a truthful abort.
 */
import { readFile } from 'node:fs/promises'

import { sha256, toHex, utf8 } from '../bytes.ts'
import { ConfigError, PolicyError } from '../errors.ts'
import { openLog } from '../audit/index.ts'
import type { Hsm } from '../pkcs11/index.ts'
import type { Clock, Random } from '../ports.ts'
import { parseAllowedSigners } from '../quorum/index.ts'
import { performStep } from './actions/index.ts'
import { recordRefusal } from './approvals.ts'
import type { Binding, LoadedBinding, PinnedFile } from './binding.ts'
import { checkBinding } from './binding-check.ts'
import { bundlePaths, createBundle, writeFileDurable } from './bundle.ts'
import { type CeremonyOutcome, abortCeremony, completeCeremony } from './close.ts'
import { type Ceremony, beginCeremony, people } from './context.ts'
import type { Ledger } from './entries.ts'
import { identify } from './identity.ts'
import { emptyLedger, openJournal } from './journal.ts'
import { lint } from './lint.ts'
import type { LoadedPlan, Plan } from './plan.ts'
import { type Policy, loadPolicy } from './policy.ts'
import { printScript } from './print.ts'
import { previousLedger } from './previous.ts'
import { holdReserve } from './reserve.ts'
import { readReviewed } from './reviewed.ts'
import type { Room, StepView } from './room.ts'
import { refuseUnlessRostered } from './roster-check.ts'
import { SOFTWARE } from './software.ts'
import type { Observe } from './write-ahead.ts'

/** What every run, first or resumed, needs from outside. */
export interface RunPorts {
  readonly room: Room
  readonly hsm: Hsm
  readonly clock: Clock
  readonly random: Random
  /** Sees every write-ahead point; tests end the process there. */
  readonly observe?: Observe
}

/** Inputs of {@link run}. */
export interface RunOptions extends RunPorts {
  readonly plan: LoadedPlan
  /** Names the policy file and the roster, each with its digest. */
  readonly binding: LoadedBinding
  /** Bundle directory; must not exist. */
  readonly dir: string
}

/** Text of a file the binding pins; throws BINDING_MISMATCH when it is another file, ConfigError when missing. */
async function readPinned({ file, sha256: expected }: PinnedFile, what: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`the ${what} cannot be read`, {
      where: file,
      expected: `the file that the binding names as its ${what}`,
      got: cause instanceof Error && 'code' in cause ? String(cause.code) : undefined,
      cause,
    })
  })
  const got = toHex(sha256(utf8(text)))
  if (got === expected) return text
  throw new PolicyError('BINDING_MISMATCH', 'CER-BINDING-1', `the ${what} is not the bound one`, {
    where: file,
    expected,
    got,
    hint: `review the ${what}, then put its digest into the binding`,
  })
}

/** Lint has the last word before anything happens; throws LINT_FAILED with the first error. */
function refuseUnlessClean({ plan, source }: LoadedPlan, policy: Policy, binding: Binding): void {
  const errors = lint(plan, source, { policy, binding }).filter(
    ({ severity }) => severity === 'error',
  )
  const [first] = errors
  if (first !== undefined) {
    throw new PolicyError('LINT_FAILED', first.rule, `the plan has ${errors.length} lint errors`, {
      where: `line ${first.line}, column ${first.column}`,
      got: first.message,
      hint: 'keyrite ceremony lint lists all findings',
    })
  }
  checkBinding(plan, binding)
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
        hint: 'find out who changed the module; if it was a reviewed update, bind its digest',
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
          expected:
            recorded === bound.serial
              ? `label ${bound.label}, serial ${bound.serial}`
              : `serial ${recorded}, which the transcript before recorded for ${name}`,
          got:
            recorded !== bound.serial
              ? `serial ${bound.serial} in the binding`
              : token === undefined
                ? `no token labelled ${bound.label}`
                : `serial ${token.serial}`,
          hint: 'keyrite token list shows labels and serials; a PIN is never tried on another device',
        },
      )
    }
  }
}

/** Runs a reviewed plan from the start; throws only before anything was written. */
export async function run(options: RunOptions): Promise<CeremonyOutcome> {
  const { plan, dir, room, hsm, clock, random, observe = () => undefined } = options
  const binding = options.binding.resolved
  const roster = await readPinned(binding.roster, 'roster')
  const { policy } = loadPolicy(await readPinned(binding.policy, 'policy'), binding.policy.file)
  refuseUnlessClean(plan, policy, binding)
  const signers = parseAllowedSigners(roster, binding.roster.file)
  refuseUnlessRostered(binding, signers, new Date(clock.wallMs()))
  const before = await previousLedger(plan.plan, binding)
  const ledger = before?.ledger ?? emptyLedger()
  await refuseUnlessBound({ plan: plan.plan, binding, ledger }, hsm)
  const identity = identify(
    { plan: plan.plan, binding: options.binding.binding, policy, roster },
    before?.root ?? 'genesis',
  )

  await createBundle({
    dir,
    plan: plan.plan,
    binding: options.binding.binding,
    policy: policy,
    roster,
  })
  const paths = bundlePaths(dir)
  const script = await printScript(plan.plan, { binding: options.binding, digest: plan.digest })
  await writeFileDurable(paths.script, script.pdf)
  await holdReserve(dir)
  const log = await openLog({ dir: paths.log, origin: identity.origin, clock, mode: 'create' })
  const journal = openJournal(log, { ceremony: identity.id, mode: identity.mode }, clock)
  const ceremony = beginCeremony({
    plan: plan.plan,
    binding,
    policy,
    roster: signers,
    identity,
    paths,
    room,
    hsm,
    clock,
    random,
    journal,
    observe,
    ledger,
    spent: before?.signatures ?? new Set(),
  })
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
      plan.title,
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
      ceremony.observe('before-step-end', step.kind === 'do' ? step.action : step.kind)
      await journal.append('step.end', step.id, { outcome: 'done' }, ['software-enforced'])
      current = ''
      room.stepFinished(view, 'done')
    }
    return await completeCeremony(ceremony)
  } catch (error) {
    const actors = [...ceremony.acting.values()].flat().map(({ id }) => id)
    await recordRefusal(ceremony, journal.currentStep(), 'step', actors, error).catch(
      () => undefined,
    )
    return await abortCeremony(ceremony, { atStep: current, error })
  }
}
