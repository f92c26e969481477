/**
 * The transcript as the engine sees it: typed entries on top of the audit log, and the questions a
 * resumed run asks of them. Appending is durable before it returns.
 */
import type { Log } from '../audit/index.ts'
import { VerificationError } from '../errors.ts'
import type { Clock } from '../ports.ts'
import type { EvidenceClass, Json } from '../types.ts'
import { type Entry, type EntryOf, type Ledger, entrySchema } from './entries.ts'

/** Entry types the engine writes; `log.recovered` is the audit log's own. */
export type CeremonyEntryType = Exclude<Entry['type'], 'log.recovered'>

type BaseField =
  'v' | 'seq' | 'time' | 'prev' | 'ceremony' | 'mode' | 'step' | 'monoMs' | 'evidence'

/** The fields that belong to one entry type alone. */
export type EntryFields<Type extends CeremonyEntryType> = Omit<EntryOf<Type>, BaseField | 'type'>

/** Identity that every entry repeats. */
export interface JournalIdentity {
  /** Ceremony id, hex. */
  readonly ceremony: string
  readonly mode: 'production' | 'rehearsal'
}

/** Typed access to one transcript. */
export interface Journal {
  readonly log: Log
  readonly identity: JournalIdentity
  /** Monotonic time that `monoMs` counts from. */
  readonly startedMs: number
  /** All entries, oldest first. */
  entries(): readonly Entry[]
  /** Entries of a type, optionally of one step. */
  of<Type extends Entry['type']>(type: Type, step?: string): EntryOf<Type>[]
  /** Durable append; returns the entry's number. */
  append<Type extends CeremonyEntryType>(
    type: Type,
    step: string,
    fields: EntryFields<Type>,
    evidence: readonly EvidenceClass[],
  ): Promise<number>
  /** Whether the step has ended well. */
  completed(step: string): boolean
  /** The step that has begun and not ended; empty between steps. */
  currentStep(): string
  /** Intents without a result, oldest first. */
  openIntents(): EntryOf<'intent'>[]
  /** The ledger as of the last step that ended. */
  ledger(): Ledger
}

/** Parses log lines as transcript entries; throws VerificationError naming the first that is not one. */
export function parseEntries(lines: readonly unknown[]): Entry[] {
  return lines.map((line, index) => {
    const parsed = entrySchema.safeParse(line)
    if (parsed.success) return parsed.data
    const issue = parsed.error.issues[0]
    throw new VerificationError('TRANSCRIPT_INVALID', 'CER-ENTRY-1', 'not a transcript entry', {
      entry: index,
      where: `entry ${index}${issue ? `, ${issue.path.join('.')}` : ''}`,
      ...(issue ? { got: issue.message } : {}),
    })
  })
}

/** A journal over an open log. `startedMs`: where this process's monotonic time starts. */
export function openJournal(
  log: Log,
  identity: JournalIdentity,
  clock: Clock,
  startedMs = clock.monotonicMs(),
): Journal {
  const known: Entry[] = parseEntries(log.entries())

  const entries = (): readonly Entry[] => {
    if (known.length < log.size) known.push(...parseEntries(log.entries().slice(known.length)))
    return known
  }
  const of = <Type extends Entry['type']>(type: Type, step?: string): EntryOf<Type>[] =>
    entries().filter(
      (entry): entry is EntryOf<Type> =>
        entry.type === type && (step === undefined || ('step' in entry && entry.step === step)),
    )

  return {
    log,
    identity,
    startedMs,
    entries,
    of,
    async append(type, step, fields, evidence) {
      const line = {
        ...(fields as Record<string, Json>),
        type,
        ...identity,
        step,
        monoMs: Math.round(clock.monotonicMs() - startedMs),
        evidence,
      }
      return (await log.append(line)).index
    },
    completed: (step) => of('step.end', step).length > 0,
    currentStep() {
      const begun = of('step.begin').at(-1)?.step ?? ''
      return of('step.end', begun).length > 0 ? '' : begun
    },
    openIntents() {
      const settled = new Set(of('result').map((result) => result.intent))
      return of('intent').filter((intent) => !settled.has(intent.seq))
    },
    ledger() {
      const all = entries()
      const lastEnd = all.findLastIndex((entry) => entry.type === 'step.end')
      const last = all
        .slice(0, lastEnd + 1)
        .findLast((entry): entry is EntryOf<'ledger'> => entry.type === 'ledger')
      const open = all.find(
        (entry): entry is EntryOf<'ceremony.open'> => entry.type === 'ceremony.open',
      )
      return structuredClone(last?.ledger ?? open?.ledger ?? emptyLedger())
    },
  }
}

/** Nothing is known yet: the state before the first ceremony. */
export const emptyLedger = (): Ledger => ({ tokens: {}, keys: {}, copies: [], logKeys: {} })
