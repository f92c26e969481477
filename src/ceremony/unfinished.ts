/**
 * What an unfinished step has already done to tokens. The ledger follows completed steps; an abort in the
 * middle of one must still tell the next ceremony which PIN, keys and copies there are.
 */
import type { Commitments } from '../quorum/index.ts'
import { type Born, knownFrom } from './actions/key-state.ts'
import type { EntryOf, Ledger } from './entries.ts'
import type { Journal } from './journal.ts'
import { loggedCommitments } from './logged-commitments.ts'

type Intent = EntryOf<'intent'>

const text = (args: unknown, name: string): string => {
  const value = (args as Readonly<Record<string, unknown>>)[name]
  return typeof value === 'string' ? value : ''
}

/** The split that a PIN change was about; it was committed in the same step. */
function splitFor(
  journal: Pick<Journal, 'of'>,
  intent: Intent,
  label: string,
): Commitments | undefined {
  const epoch = Number((intent.args as { epoch?: unknown }).epoch)
  const entry = journal
    .of('shares.committed', intent.step)
    .findLast(
      ({ commitments }) =>
        commitments.pin === 'user' &&
        commitments.tokenLabel === label &&
        commitments.epoch === epoch,
    )
  return entry?.commitments
}

function applyPinChange(
  journal: Pick<Journal, 'of'>,
  ledger: Ledger,
  intent: Intent,
  done: boolean,
): void {
  const name = text(intent.args, 'token')
  const entry = ledger.tokens[name]
  const split = entry === undefined ? undefined : splitFor(journal, intent, entry.label)
  if (entry === undefined || split === undefined) return
  delete entry.pending
  if (done) entry.user = loggedCommitments(split)
  else entry.pending = loggedCommitments(split)
}

function applyKey(ledger: Ledger, { args, ckaId }: Intent, data: unknown): void {
  const born = data as Born | null
  if (born === null || ckaId === undefined) return
  const label = text(args, 'label')
  const state = text(args, 'form') === 'birth' ? 'birth' : 'present'
  const key = {
    token: text(args, 'token'),
    role: text(args, 'role'),
    label,
    id: ckaId,
    state,
  } as const
  ledger.keys[label] = knownFrom(key, born)
}

function applyCopy(ledger: Ledger, { args }: Intent, data: unknown): void {
  const sha256 = text(data, 'sha256')
  if (ledger.copies.some((copy) => copy.sha256 === sha256)) return
  const [key, output] = [text(args, 'key'), text(args, 'file')]
  const [kek, outer] = [text(args, 'kek'), text(args, 'outer')]
  ledger.copies.push({ key, output, sha256, kek, ...(outer === '' ? {} : { outer }) })
}

/** Brings `ledger` up to every result on record, and marks PIN changes whose result is not known. */
export function applyUnfinished(journal: Pick<Journal, 'of' | 'completed'>, ledger: Ledger): void {
  const results = new Map(journal.of('result').map((result) => [result.intent, result]))
  for (const intent of journal.of('intent')) {
    if (journal.completed(intent.step)) continue
    const result = results.get(intent.seq)
    const done = result?.outcome === 'done' || result?.outcome === 'adopted'
    if (intent.op === 'C_SetPIN' && (done || result === undefined)) {
      applyPinChange(journal, ledger, intent, done)
    }
    if (!done) continue
    switch (intent.op) {
      case 'C_GenerateKey':
      case 'C_GenerateKeyPair':
      case 'C_UnwrapKey':
      case 'C_CopyObject':
        applyKey(ledger, intent, result.data)
        break
      case 'key.wrap':
        applyCopy(ledger, intent, result.data)
        break
      case 'C_DestroyObject': {
        const key = Object.values(ledger.keys).find(({ id }) => id === intent.ckaId)
        if (key !== undefined) key.state = 'destroyed'
      }
    }
  }
}
