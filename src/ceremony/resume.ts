/** Takes up a transcript that a killed process left, or closes it as aborted. */
import { fromUtf8, toHex } from '../bytes.ts'
import { readFile } from 'node:fs/promises'
import { openLog } from '../audit/index.ts'
import { PolicyError } from '../errors.ts'
import { parseAllowedSigners } from '../quorum/index.ts'
import type { LoadedBinding } from './binding.ts'
import { bundlePaths, removeTemporaries } from './bundle.ts'
import { type CeremonyOutcome, abortCeremony, residuals } from './close.ts'
import { type Ceremony, beginCeremony, holders } from './context.ts'
import type { CeremonyIdentity } from './identity.ts'
import { openJournal } from './journal.ts'
import { readPlan } from './plan.ts'
import { previousLedger } from './previous.ts'
import { loadPolicy } from './policy.ts'
import { holdReserve } from './reserve.ts'
import { readReviewed } from './reviewed.ts'
import { type RunPorts, perform, refuseUnlessBound } from './run.ts'
import { SOFTWARE } from './software.ts'

/** Inputs of {@link resume}. */
export interface ResumeOptions extends RunPorts {
  /** Bundle directory of the interrupted ceremony. */
  readonly dir: string
  /** The same binding file as before: its paths are relative to where it lies. */
  readonly binding: LoadedBinding
}

const notResumable = (where: string, got: string, hint: string): PolicyError =>
  new PolicyError('NOT_RESUMABLE', 'CER-WAL-1', 'this ceremony cannot be taken up again', {
    where,
    expected: 'an unfinished transcript',
    got,
    hint,
  })
const NOTHING_YET = 'no token was touched yet: move this directory away and run the ceremony again'

/** Opens the transcript, checks that the reviewed files are the approved ones, and rebuilds the state. */
async function takeUp(options: ResumeOptions): Promise<Ceremony> {
  const { dir, binding, room, hsm, clock, random, observe = () => undefined } = options
  const paths = bundlePaths(dir)
  const first = await readFirstEntry(paths.log)
  const log = await openLog({ dir: paths.log, origin: first.origin, clock, mode: 'append' })
  try {
    const journal = openJournal(log, { ceremony: first.ceremony, mode: first.mode }, clock)
    const [open] = journal.of('ceremony.open')
    if (open === undefined) throw notResumable(dir, 'no opening entry', NOTHING_YET)
    if (journal.of('ceremony.close').length > 0)
      throw notResumable(
        dir,
        'a closed one',
        'keyrite ceremony verify shows how it ended; sign adds a signature',
      )
    const texts = await readReviewed(paths, open)
    if (toHex(binding.digest) !== open.bindingSha256) {
      throw new PolicyError(
        'BINDING_CHANGED',
        'CER-BINDING-1',
        'the binding is not the approved one',
        {
          where: binding.binding.binding,
          expected: open.bindingSha256,
          got: toHex(binding.digest),
          hint: 'give the binding file the ceremony was started with; if it was edited, abort the ceremony and hold a new one',
        },
      )
    }
    const plan = readPlan(texts.plan)
    const identity: CeremonyIdentity = {
      id: open.ceremony,
      origin: log.origin,
      mode: open.mode,
      planSha256: open.planSha256,
      bindingSha256: open.bindingSha256,
      policySha256: open.policySha256,
      rosterSha256: open.rosterSha256,
      previous: open.previous,
    }
    await removeTemporaries(dir)
    await holdReserve(dir)
    return beginCeremony({
      plan,
      binding: binding.resolved,
      policy: loadPolicy(texts.policy, paths.policy).policy,
      roster: parseAllowedSigners(texts.roster, paths.roster),
      identity,
      paths,
      room,
      hsm,
      clock,
      random,
      journal,
      observe,
      ledger: journal.ledger(),
      spent: (await previousLedger(plan, binding.resolved))?.signatures ?? new Set(),
    })
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

/** The first line, read without opening the log for writing: it names the ceremony. */
async function readFirstEntry(
  logDir: string,
): Promise<{ origin: string; ceremony: string; mode: 'production' | 'rehearsal' }> {
  const origin = (await readFile(`${logDir}/origin`, 'utf8').catch(() => '')).trim()
  const segment = await readFile(`${logDir}/seg/000000000000.jsonl`).catch(() => undefined)
  const end = segment?.indexOf(0x0a) ?? -1
  if (origin === '' || segment === undefined || end < 0)
    throw notResumable(logDir, 'no transcript', NOTHING_YET)
  const line = JSON.parse(fromUtf8(new Uint8Array(segment.subarray(0, end)), 'log')) as {
    ceremony: string
    mode: 'production' | 'rehearsal'
  }
  return { origin, ceremony: line.ceremony, mode: line.mode }
}

/** A new process writes from here on, with a monotonic clock of its own. */
const recordTakeUp = ({ journal, hsm }: Ceremony): Promise<number> =>
  journal.append(
    'ceremony.resume',
    '',
    {
      software: SOFTWARE,
      moduleSha256: hsm.info.sha256,
      openIntents: journal.openIntents().map(({ seq }) => seq),
    },
    ['software-enforced'],
  )

/** Continues where the transcript ends; what has a result is not repeated. */
export async function resume(options: ResumeOptions): Promise<CeremonyOutcome> {
  const ceremony = await takeUp(options)
  const { plan, binding, ledger, hsm, journal } = ceremony
  try {
    await refuseUnlessBound({ plan, binding, ledger }, hsm)
  } catch (error) {
    await journal.log[Symbol.asyncDispose]()
    throw error
  }
  await recordTakeUp(ceremony)
  return perform(ceremony)
}

/**
 * Only a resumed run looks at the token and settles a call without a result: it finds out which PIN fits,
 * and adopts or destroys what was made. After an abort nobody can, so the administrator must mean it.
 */
async function confirmLeftOpen(ceremony: Ceremony): Promise<void> {
  if (ceremony.journal.openIntents().length === 0) return
  ceremony.room.show(residuals(ceremony))
  for (const person of holders(ceremony, 'administrator').slice(0, 1)) {
    await ceremony.room.confirm(
      person,
      'keyrite ceremony resume would find out what happened, and can be stopped afterwards. After an abort a changed PIN, or an object that was made, is on no record: later ceremonies may not open the token, or refuse it. Abort all the same?',
      'leave it open',
    )
  }
}

/**
 * Closes an interrupted ceremony as aborted, with what it leaves behind. Throws CONFIRMATION_REFUSED, the
 * transcript unchanged, when a call has no result and the administrator does not want to leave it so.
 */
export async function abort(
  options: ResumeOptions & { readonly reason: string },
): Promise<CeremonyOutcome> {
  const ceremony = await takeUp(options)
  try {
    await confirmLeftOpen(ceremony)
  } catch (error) {
    await ceremony.journal.log[Symbol.asyncDispose]()
    throw error
  }
  await recordTakeUp(ceremony)
  return abortCeremony(ceremony, {
    atStep: ceremony.journal.currentStep(),
    error: new PolicyError('ABORTED', 'CER-CLOSE-1', options.reason),
  })
}
