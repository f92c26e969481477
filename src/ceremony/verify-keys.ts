/** Checks of what the ceremony left: keys in their declared state, their ids, their wrapped copies. */
import { fromBase64, sha256, toHex } from '../bytes.ts'
import { BUNDLE } from './bundle.ts'
import type { EntryOf, Ledger } from './entries.ts'
import { objectId } from './step-args.ts'
import {
  type Answer,
  type Transcript,
  count,
  entriesOf,
  notApplicable,
  refute,
} from './verify-context.ts'
import { resultsByIntent } from './verify-steps.ts'

type LedgerKey = Ledger['keys'][string]

/** Calls that make an object under a CKA_ID computed from ceremony and step. */
const MAKES: ReadonlySet<string> = new Set([
  'C_GenerateKey',
  'C_GenerateKeyPair',
  'C_CopyObject',
  'C_UnwrapKey',
])

/** Calls whose effect is known to have happened. */
function effects(transcript: Transcript): EntryOf<'intent'>[] {
  const results = resultsByIntent(transcript)
  return entriesOf(transcript, 'intent').filter(({ seq }) => {
    const outcome = results.get(seq)?.outcome
    return outcome === 'done' || outcome === 'adopted'
  })
}

/** KEY-ID-1: CKA_ID = first 16 bytes of SHA-256 over the canonical JSON of ceremony, step and attempt. */
export function checkKeyIds(transcript: Transcript): Answer {
  const made = entriesOf(transcript, 'intent').filter(({ op }) => MAKES.has(op))
  for (const intent of made) {
    const attempts = entriesOf(transcript, 'intent').filter(
      ({ step, op }) => step === intent.step && op === intent.op,
    ).length
    const ids = Array.from({ length: attempts }, (_, at) =>
      toHex(objectId(intent.ceremony, intent.step, at + 1)),
    )
    if (intent.ckaId === undefined || !ids.includes(intent.ckaId)) {
      refute('an object was to be made under another id than the computed one', {
        entry: intent.seq,
        expected: ids[0] ?? '',
        got: intent.ckaId ?? 'none',
      })
    }
  }
  return made.length === 0 ? notApplicable('no key was made') : count(made.length, 'id')
}

/** Refuses a key in the final state that no entry accounts for. */
function accountFor(transcript: Transcript, name: string, key: LedgerKey): void {
  const before = transcript.open.ledger.keys[name]
  const calls = effects(transcript)
  const touched = (ops: ReadonlySet<string>, id: string): boolean =>
    calls.some(({ op, ckaId }) => ops.has(op) && ckaId === id)
  if (before?.id !== key.id && !touched(MAKES, key.id)) {
    refute(`key ${name} is known at the end, but no entry made it`, { got: key.id })
  }
  if (key.state === 'destroyed' && before?.state !== 'destroyed') {
    if (!touched(new Set(['C_DestroyObject']), key.id)) {
      refute(`key ${name} is called destroyed, but no entry destroyed it`, { got: key.id })
    }
  }
  if (before?.id === key.id && before.kcv.value !== key.kcv.value) {
    refute(`key ${name} has another check value than before`, {
      expected: before.kcv.value,
      got: key.kcv.value,
    })
  }
}

/** The KCV of a key pair is a digest of its public half, so anybody can compute it. */
function checkPublicKey(name: string, { kcv, publicKey }: LedgerKey): void {
  if (kcv.method !== 'spki-sha256') return
  const digest = publicKey === undefined ? '' : toHex(sha256(fromBase64(publicKey, `key ${name}`)))
  if (kcv.value === '' || !digest.startsWith(kcv.value)) {
    refute(`check value of ${name} is not that of its public key`, {
      expected: digest,
      got: kcv.value,
    })
  }
}

/** Objects that an interrupted step made and the recorded state does not list. */
function strays(transcript: Transcript): string[] {
  const ids = new Set(
    entriesOf(transcript, 'ledger').flatMap(({ ledger }) =>
      Object.values(ledger.keys).map(({ id }) => id),
    ),
  )
  const gone = new Set(
    effects(transcript)
      .filter(({ op }) => op === 'C_DestroyObject')
      .map(({ ckaId }) => ckaId),
  )
  return effects(transcript)
    .filter(({ op, ckaId }) => MAKES.has(op) && ckaId !== undefined && !gone.has(ckaId))
    .filter(({ ckaId }) => !ids.has(ckaId ?? ''))
    .map(
      ({ seq, ckaId }) =>
        `Entry ${seq} made an object (CKA_ID ${ckaId ?? ''}) that no recorded state lists; it may still be on its token.`,
    )
}

/** KEY-STATE-1. */
export function checkKeyStates(transcript: Transcript): Answer {
  const { ledger, plan, outcome, open } = transcript
  for (const [name, key] of Object.entries(ledger.keys)) {
    accountFor(transcript, name, key)
    checkPublicKey(name, key)
  }
  const lost = Object.keys(open.ledger.keys).find((name) => ledger.keys[name] === undefined)
  if (lost !== undefined) refute(`key ${lost} was known at the start and is not at the end`)
  const states = Object.values(ledger.keys).map(({ state }) => state)
  const present = states.filter((state) => state !== 'destroyed').length
  const summary = `${count(present, 'key')} present, ${states.length - present} destroyed`
  if (outcome !== 'complete') {
    return {
      detail: `${summary}; the plan’s end state was not reached`,
      warnings: strays(transcript),
    }
  }
  for (const [name, planned] of Object.entries(plan.keys)) {
    const key = ledger.keys[name]
    const want = planned.end === 'present' ? 'present' : 'destroyed'
    if (key?.state !== want) {
      refute(`key ${name} is not in the state the plan declares`, {
        expected: want,
        got: key?.state ?? 'unknown',
      })
    }
    if (key.token !== planned.token || key.role !== planned.role) {
      refute(`key ${name} is not the planned one`, {
        expected: `${planned.role} on ${planned.token}`,
        got: `${key.role} on ${key.token}`,
      })
    }
  }
  return summary
}

/** KEY-COPIES-1. */
export async function checkCopies(transcript: Transcript): Promise<Answer> {
  const { bundle, ledger, open, plan } = transcript
  const before = new Set(open.ledger.copies.map((copy) => copy.sha256))
  const made = ledger.copies.filter((copy) => !before.has(copy.sha256))
  const recorded = new Set(
    effects(transcript)
      .filter(({ op }) => op === 'key.wrap')
      .map(({ seq }) => digestIn(resultsByIntent(transcript).get(seq)?.data)),
  )
  const planned = new Set(Object.values(plan.outputs).map(({ file }) => file))
  for (const copy of made) {
    const { output, sha256: digest, key } = copy
    if (!recorded.has(digest)) refute(`no entry made the wrapped copy ${output}`, { got: digest })
    if (ledger.keys[key] === undefined)
      refute(`${output} is a copy of an unknown key`, { got: key })
    checkLayers(ledger, copy)
    const path = `${BUNDLE.artefacts}/${output}`
    const found = bundle.has(path) ? toHex(sha256(await bundle.read(path))) : 'no such file'
    if (found !== digest) {
      refute(`wrapped copy ${output} is not the recorded file`, { expected: digest, got: found })
    }
  }
  const listed = new Set(made.map(({ output }) => `${BUNDLE.artefacts}/${output}`))
  const stray = bundle.files.find(
    ({ path }) => path.startsWith(`${BUNDLE.artefacts}/`) && !listed.has(path),
  )
  if (
    stray !== undefined &&
    (transcript.outcome === 'complete' || !isPlanned(stray.path, planned))
  ) {
    refute('a file stands among the outputs that no entry made', { got: stray.path })
  }
  const live = ledger.copies.filter((copy) => !isUseless(ledger, copy)).length
  if (ledger.copies.length === 0) return 'no wrapped copy is known'
  return `wrapped copies known: ${ledger.copies.length}, of which ${live} can still be opened`
}

const isPlanned = (path: string, planned: ReadonlySet<string>): boolean =>
  planned.has(path.slice(BUNDLE.artefacts.length + 1))

const digestIn = (data: unknown): string =>
  typeof data === 'object' && data !== null && 'sha256' in data ? String(data.sha256) : ''

/** Two KEKs on two tokens; of an embedding seed one KEK is enough. */
function checkLayers(ledger: Ledger, copy: Copy): void {
  const { output, kek, key, outer } = copy
  const homes = keksOf(copy).map((name) => ledger.keys[name]?.token)
  const got = homes.map((token) => token ?? 'unknown').join(', ')
  if (outer === undefined) {
    if (ledger.keys[key]?.role === 'embedding-seed' && homes[0] !== undefined) return
    refute(`wrapped copy ${output} is under one key`, {
      expected: 'two keys on different tokens, or one key and a copy of an embedding-seed',
      got: `${kek} on ${got}, ${ledger.keys[key]?.role ?? 'unknown role'}`,
    })
  }
  if (homes.includes(undefined) || homes[0] === homes[1]) {
    refute(`wrapped copy ${output} does not need two tokens`, {
      expected: `${kek} and ${outer} on different tokens`,
      got,
    })
  }
}

type Copy = Ledger['copies'][number]

/** The keys that open a copy, the inner one first. */
export const keksOf = ({ kek, outer }: Copy): readonly string[] =>
  outer === undefined ? [kek] : [kek, outer]

/** A copy is useless once one of the keys that open it is destroyed. */
export const isUseless = (ledger: Ledger, copy: Copy): boolean =>
  keksOf(copy).some((name) => ledger.keys[name]?.state === 'destroyed')
