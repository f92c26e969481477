/**
 * Checks of how the ceremony went: steps in the plan's order, write-ahead intents and their results,
 * clocks, the last word, the dual control it claims.
 */
import { toHex } from '../bytes.ts'
import { canonicalDigest, canonicalJson } from '../canonical.ts'
import { actionSpec } from './action-table.ts'
import { dualControlLevel } from './dual-control.ts'
import type { EntryOf } from './entries.ts'
import type { Step } from './plan.ts'
import {
  type Answer,
  type CeremonyEntry,
  type Transcript,
  ceremonyEntries,
  count,
  entriesOf,
  notApplicable,
  refute,
} from './verify-context.ts'

/** Entry types that stand outside steps. */
const OUTSIDE = new Set<CeremonyEntry['type']>([
  'ceremony.open',
  'ceremony.resume',
  'ceremony.abort',
  'ceremony.close',
])

/** What a step that ended must have left, beside its begin and end. */
function leftBehind(step: Step, entries: readonly CeremonyEntry[]): boolean {
  const some = (type: CeremonyEntry['type']): boolean =>
    entries.some((entry) => entry.type === type)
  switch (step.kind) {
    case 'say':
      return some('statement')
    case 'check':
      return some('check')
    case 'record':
      return some('record')
    case 'approve':
      return some('approval')
    case 'do':
      return actionSpec('do', step.action)?.mutating === true ? some('result') : some('record')
    case 'attest':
      return true
  }
}

/** CER-ORDER-1. Attestation steps leave signature files, not entries. */
export function checkOrder(transcript: Transcript): Answer {
  const planned = transcript.plan.steps.filter((step) => step.kind !== 'attest')
  // Signing the last checkpoint takes people and a login that belong to no step.
  const lastEnd = entriesOf(transcript, 'step.end').at(-1)?.seq ?? -1
  const isLast = ({ seq }: CeremonyEntry): boolean =>
    seq > lastEnd && (transcript.outcome !== 'complete' || done === planned.length)
  let done = 0
  let current: Step | undefined
  let inside: CeremonyEntry[] = []
  for (const entry of ceremonyEntries(transcript)) {
    const at = { entry: entry.seq }
    const next = planned[done]
    if (entry.type === 'step.begin') {
      // After a crash a step is begun again; a step that ended is not.
      if (next === undefined || entry.step !== next.id) {
        refute('step is not the next one of the plan', {
          ...at,
          expected: next?.id ?? 'no further step',
          got: entry.step,
        })
      }
      if (entry.kind !== next.kind || entry.title !== next.title) {
        refute('step is not the planned one', { ...at, expected: next.title, got: entry.title })
      }
      if (current === undefined) inside = []
      current = next
    } else if (OUTSIDE.has(entry.type) || (entry.step === '' && isLast(entry))) {
      // An abort names the step it happened in.
      if (entry.step !== '' && entry.type !== 'ceremony.abort') {
        refute('entry cannot belong to a step', at)
      }
    } else if (current === undefined || entry.step !== current.id) {
      refute('entry stands outside the step it names', {
        ...at,
        expected: current?.id ?? 'a step that has begun',
        got: entry.step,
      })
    } else if (entry.type === 'step.end') {
      if (!leftBehind(current, inside)) {
        refute(`step ${current.id} ended without the entries its kind leaves`, at)
      }
      current = undefined
      done += 1
    } else {
      inside.push(entry)
    }
  }
  if (transcript.outcome === 'complete' && (done !== planned.length || current !== undefined)) {
    refute('ceremony is closed as complete, but steps are missing', {
      expected: count(planned.length, 'step'),
      got: count(done, 'step'),
    })
  }
  return `${done} of ${count(planned.length, 'step')} done, in order`
}

/** Result of each intent, by the intent's number. */
export function resultsByIntent(transcript: Transcript): Map<number, EntryOf<'result'>> {
  return new Map(entriesOf(transcript, 'result').map((result) => [result.intent, result]))
}

/** CER-WAL-1. */
export function checkWriteAhead(transcript: Transcript): Answer {
  const intents = new Map(entriesOf(transcript, 'intent').map((intent) => [intent.seq, intent]))
  const settled = new Set<number>()
  for (const result of entriesOf(transcript, 'result')) {
    const at = { entry: result.seq }
    const intent = intents.get(result.intent)
    if (intent === undefined || intent.seq >= result.seq)
      refute('result without an intent before it', at)
    if (settled.has(intent.seq)) refute(`intent ${intent.seq} has two results`, at)
    if (intent.op !== result.op || intent.step !== result.step) {
      refute('result is not that of its intent', {
        ...at,
        expected: `${intent.op} in step ${intent.step}`,
        got: `${result.op} in step ${result.step}`,
      })
    }
    settled.add(intent.seq)
  }
  for (const intent of intents.values()) {
    const digest = toHex(canonicalDigest(intent.args as never))
    if (digest !== intent.argsSha256) {
      refute('arguments of an intent are not those of its digest', {
        entry: intent.seq,
        expected: intent.argsSha256,
        got: digest,
      })
    }
  }
  refuseOverlap(transcript)
  const open = [...intents.keys()].filter((seq) => !settled.has(seq))
  checkOpenIntents(transcript, open)
  const left = open.length === 0 ? '' : `, ${open.length} left open and named as such`
  return `${count(intents.size, 'call')}, each with intent and result${left}`
}

/** One call at a time: a new intent while another is open would hide what a crash left behind. */
function refuseOverlap(transcript: Transcript): void {
  let open: number | undefined
  for (const entry of transcript.entries) {
    if (entry.type === 'intent') {
      if (open !== undefined) {
        refute(`a call began while the one of entry ${open} had no result`, { entry: entry.seq })
      }
      open = entry.seq
    } else if (entry.type === 'result' && entry.intent === open) {
      open = undefined
    }
  }
}

/** Open intents are allowed only in an aborted ceremony, which must name them. */
function checkOpenIntents(transcript: Transcript, open: readonly number[]): void {
  const { outcome, abort } = transcript
  const same = (named: readonly number[], actual: readonly number[]): boolean =>
    canonicalJson([...named]) === canonicalJson([...actual])
  if (outcome === 'aborted' && abort !== undefined && !same(abort.openIntents, open)) {
    refute('the abort names other open calls than the transcript has', {
      entry: abort.seq,
      expected: open.join(', ') || 'none',
      got: abort.openIntents.join(', ') || 'none',
    })
  }
  if (outcome !== 'aborted' && open[0] !== undefined) {
    refute('a call has no result', { entry: open[0] })
  }
  const results = resultsByIntent(transcript)
  for (const resume of entriesOf(transcript, 'ceremony.resume')) {
    const then = entriesOf(transcript, 'intent')
      .filter(({ seq }) => seq < resume.seq && (results.get(seq)?.seq ?? Infinity) > resume.seq)
      .map(({ seq }) => seq)
    if (!same(resume.openIntents, then)) {
      refute('the resumed run names other open calls than the transcript has', {
        entry: resume.seq,
        expected: then.join(', ') || 'none',
        got: resume.openIntents.join(', ') || 'none',
      })
    }
  }
}

/** Wall and monotonic clock may differ by this much before a reader is told. */
const DRIFT_MS = 5_000

/** CER-TIME-1: never orders by wall time; jumps are reported, not repaired. */
export function checkTime(transcript: Transcript): Answer {
  const warnings: string[] = []
  let before: CeremonyEntry | undefined
  for (const entry of ceremonyEntries(transcript)) {
    if (before !== undefined && entry.type !== 'ceremony.resume') {
      const mono = entry.monoMs - before.monoMs
      if (mono < 0) {
        refute('the monotonic clock ran backwards within one run', {
          entry: entry.seq,
          expected: `at least ${before.monoMs} ms`,
          got: `${entry.monoMs} ms`,
        })
      }
      const wall = Date.parse(entry.time) - Date.parse(before.time)
      if (Math.abs(wall - mono) > DRIFT_MS) {
        warnings.push(
          `The wall clock moved by ${Math.round((wall - mono) / 1000)} s before entry ${entry.seq}; its times are statements, not an order.`,
        )
      }
    }
    before = entry
  }
  const first = transcript.open.time
  return { detail: `${first} to ${before?.time ?? first}`, warnings }
}

/** CER-CLOSE-1. */
export function checkClose(transcript: Transcript): Answer {
  const { outcome, close, abort, entries } = transcript
  const closes = entriesOf(transcript, 'ceremony.close')
  const aborts = entriesOf(transcript, 'ceremony.abort')
  const opens = entriesOf(transcript, 'ceremony.open')
  if (opens.length !== 1 || entries[0]?.type !== 'ceremony.open') {
    refute('a transcript opens once, with its first entry')
  }
  if (close === undefined) {
    refute('the transcript is not closed', {
      expected: 'ceremony.close as the last entry: resume the ceremony, or abort it',
      got: entries.at(-1)?.type ?? 'nothing',
    })
  }
  if (closes.length !== 1 || entries.at(-1) !== close) {
    refute('something follows the last entry', { entry: closes[0]?.seq ?? close.seq })
  }
  if (outcome === 'complete' && aborts.length > 0) {
    refute('an aborted ceremony is closed as complete', { entry: close.seq })
  }
  if (outcome === 'aborted' && aborts.length !== 1) {
    refute('an aborted ceremony says once where and why', { entry: close.seq })
  }
  return outcome === 'complete'
    ? 'complete'
    : `aborted at step ${abort?.atStep || 'none'}: ${abort?.error.message ?? ''}`
}

/** CER-DUAL-1: the words of page one are computed again from the entries. */
export function checkDualControl(transcript: Transcript): Answer {
  const { close } = transcript
  if (close === undefined) return notApplicable('the transcript is not closed')
  const computed = dualControlLevel({
    of: (type, step) =>
      entriesOf(transcript, type).filter(
        (entry) => step === undefined || ('step' in entry && entry.step === step),
      ),
  })
  if (canonicalJson(computed) !== canonicalJson(close.dualControl)) {
    refute('the dual control claimed is not the one the entries show', {
      entry: close.seq,
      expected: computed.level,
      got: close.dualControl.level,
    })
  }
  return { detail: computed.level, evidence: computed.evidence }
}
