/**
 * Reads a bundle and answers every requirement about the transcript itself; the files around it are
 * `verify`'s own business.
 */
import { toHex } from '../bytes.ts'
import { KeyriteError, VerificationError } from '../errors.ts'
import { type NoteVerifier, parseVerifierKey } from '../note.ts'
import { parseAllowedSigners } from '../quorum/index.ts'
import { loadBinding } from './binding.ts'
import { BUNDLE, type Bundle } from './bundle.ts'
import type { Entry, EntryOf } from './entries.ts'
import { parseEntries } from './journal.ts'
import { readPlan } from './plan.ts'
import { loadPolicy } from './policy.ts'
import { REQUIREMENT_IDS, type RequirementId } from './requirements.ts'
import { checkApprovals, checkQuorum, checkReceipts, checkReplay } from './verify-approvals.ts'
import {
  type Finding,
  type Mode,
  type Transcript,
  type Verification,
  conclude,
  examine,
  refute,
  unexamined,
} from './verify-context.ts'
import {
  type PreviousFacts,
  checkBindingDigest,
  checkId,
  checkMode,
  checkPeople,
  checkPlan,
  checkPrevious,
} from './verify-identity.ts'
import { checkCopies, checkKeyIds, checkKeyStates } from './verify-keys.ts'
import { type ReadLog, readLog } from './verify-log.ts'
import { checkResplit, checkShares } from './verify-shares.ts'
import {
  checkAnchors,
  checkCover,
  checkCustodians,
  checkOthers,
  readSignatures,
} from './verify-signatures.ts'
import {
  checkClose,
  checkDualControl,
  checkOrder,
  checkTime,
  checkWriteAhead,
} from './verify-steps.ts'

/** What the verifier knows already. */
export interface VerifyOptions {
  /** What the transcript is held to be; `production` by default. */
  readonly mode?: Mode
  /** Text of the verifier's own `allowed_signers`. */
  readonly roster?: string
  /** The verifier's own C2SP verifier key of the log signer. */
  readonly vkey?: string
  /** Bundle of the ceremony before. */
  readonly previous?: string
  /** Time the people's keys must have been valid at; that of the last entry by default. */
  readonly at?: Date
}

const LOG_IDS = REQUIREMENT_IDS.filter((id) => id.startsWith('LOG-') && id !== 'LOG-COVER-1')
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** What could be read, requirement by requirement. */
export interface Reading {
  readonly findings: Finding[]
  log: ReadLog | undefined
  transcript: Transcript | undefined
  signedBy: readonly string[]
}

/** A requirement that failed with this error. */
export function failedWith(id: RequirementId, error: unknown): Promise<Finding> {
  return examine(id, () => {
    throw error
  })
}

/** Findings about the log itself: the one that was refused, and those that were not reached. */
async function logFindings(read: () => Promise<ReadLog>, into: Reading): Promise<void> {
  try {
    into.log = await read()
    const { size, root, origin } = into.log
    const details: Partial<Record<RequirementId, string>> = {
      'LOG-LINE-1': `${size} lines`,
      'LOG-ROOT-1': toHex(root),
      'LOG-ORIGIN-1': origin,
    }
    for (const id of LOG_IDS) {
      into.findings.push(await examine(id, () => logAnswer(id, into.log, details[id])))
    }
  } catch (error) {
    if (!(error instanceof KeyriteError)) throw error
    const named = error instanceof VerificationError ? error.requirement : 'LOG-LINE-1'
    const culprit = LOG_IDS.find((id) => id === named) ?? 'LOG-LINE-1'
    for (const id of LOG_IDS) {
      into.findings.push(
        id === culprit ? await failedWith(id, error) : unexamined(id, `${culprit} failed`),
      )
    }
  }
}

const SIGNED: readonly RequirementId[] = [
  'LOG-SIG-1',
  'LOG-SIG-2',
  'LOG-SIZE-1',
  'LOG-ROOT-1',
  'LOG-APPEND-1',
]

/** Without a checkpoint only chain and form can hold; {@link checkCover} says whether that is enough. */
const logAnswer = (id: RequirementId, log: ReadLog | undefined, detail = 'holds') =>
  log?.hsmSize === 0 && SIGNED.includes(id)
    ? ({ detail: 'the HSM signed no checkpoint', status: 'not-applicable' } as const)
    : detail

/** Texts of the four reviewed documents. */
async function documents(bundle: Bundle) {
  return {
    planText: await bundle.text(BUNDLE.plan),
    bindingText: await bundle.text(BUNDLE.binding),
    policyText: await bundle.text(BUNDLE.policy),
    rosterText: await bundle.text(BUNDLE.roster),
  }
}

function checkEntries(log: ReadLog): Entry[] {
  const entries = parseEntries(log.lines)
  const odd = entries.find(({ time }) => !TIME.test(time) || Number.isNaN(Date.parse(time)))
  if (odd !== undefined) refute('entry has no usable time', { entry: odd.seq, got: odd.time })
  if (entries[0]?.type !== 'ceremony.open') {
    refute('the first entry does not open a ceremony', {
      entry: 0,
      expected: 'ceremony.open',
      got: entries[0]?.type ?? 'nothing',
    })
  }
  return entries
}

/** Puts together what the checks look at; throws when a document is unreadable. */
function assemble(
  bundle: Bundle,
  log: ReadLog,
  entries: readonly Entry[],
  texts: Awaited<ReturnType<typeof documents>>,
  options: VerifyOptions,
  logKey: NoteVerifier | undefined,
): Transcript {
  const find = <Type extends Entry['type']>(type: Type): EntryOf<Type> | undefined =>
    entries.findLast((entry): entry is EntryOf<Type> => entry.type === type)
  const open = find('ceremony.open')
  if (open === undefined) throw new RangeError('checked before: the first entry opens')
  const last = entries.at(-1)
  const close = last?.type === 'ceremony.close' ? last : undefined
  const roster = parseAllowedSigners(texts.rosterText)
  return {
    bundle,
    log,
    entries,
    open,
    close,
    abort: find('ceremony.abort'),
    outcome: close?.outcome ?? 'unfinished',
    plan: readPlan(texts.planText),
    binding: loadBinding(texts.bindingText, BUNDLE.binding).binding,
    policy: loadPolicy(texts.policyText, BUNDLE.policy).policy,
    ...texts,
    roster,
    trustedRoster:
      options.roster === undefined ? roster : parseAllowedSigners(options.roster, 'own roster'),
    logKey,
    at: options.at ?? new Date(last?.time ?? open.time),
    ledger: find('ledger')?.ledger ?? open.ledger,
  }
}

/** Everything but the files around the transcript. */
export async function readTranscript(
  bundle: Bundle,
  options: VerifyOptions,
  previous: PreviousFacts | undefined,
): Promise<Reading> {
  const into: Reading = { findings: [], log: undefined, transcript: undefined, signedBy: [] }
  const keep = (finding: Finding): number => into.findings.push(finding)
  let logKey: NoteVerifier | undefined
  await logFindings(async () => {
    const own = bundle.has(BUNDLE.vkey) ? () => bundle.text(BUNDLE.vkey) : () => undefined
    const vkey = options.vkey ?? (await own())
    logKey = vkey === undefined ? undefined : parseVerifierKey(vkey.trim())
    return readLog(bundle, logKey === undefined ? [] : [logKey])
  }, into)
  const { log } = into
  if (log === undefined) return into
  let entries: readonly Entry[] | undefined
  keep(
    await examine('CER-ENTRY-1', () => {
      entries = checkEntries(log)
      return `${entries.length} entries`
    }),
  )
  if (entries === undefined) return into
  try {
    into.transcript = assemble(bundle, log, entries, await documents(bundle), options, logKey)
  } catch (error) {
    keep(await failedWith('CER-PLAN-1', error))
    return into
  }
  const transcript = into.transcript
  const signatures = await readSignatures(transcript)
  into.signedBy = signatures.good.map(({ person }) => person.id)
  const given = { roster: options.roster !== undefined, vkey: options.vkey !== undefined }
  const checks: readonly (readonly [RequirementId, Parameters<typeof examine>[1]])[] = [
    ['TRUST-ANCHOR-1', () => checkAnchors(given)],
    ['LOG-COVER-1', () => checkCover(transcript, signatures)],
    ['CER-MODE-1', () => checkMode(transcript, options.mode ?? 'production')],
    ['CER-ID-1', () => checkId(transcript)],
    ['CER-PLAN-1', () => checkPlan(transcript)],
    ['CER-BINDING-1', () => checkBindingDigest(transcript)],
    ['CER-PREVIOUS-1', () => checkPrevious(transcript, previous)],
    ['CER-PEOPLE-1', () => checkPeople(transcript)],
    ['CER-ORDER-1', () => checkOrder(transcript)],
    ['CER-QUORUM-1', () => checkQuorum(transcript)],
    ['CER-APPROVAL-1', () => checkApprovals(transcript)],
    ['CER-REPLAY-1', () => checkReplay(transcript)],
    ['CER-WAL-1', () => checkWriteAhead(transcript)],
    ['CER-SHARES-1', () => checkShares(transcript)],
    ['CER-RECEIPT-1', () => checkReceipts(transcript)],
    ['CER-RESPLIT-1', () => checkResplit(transcript)],
    ['CER-TIME-1', () => checkTime(transcript)],
    ['CER-CLOSE-1', () => checkClose(transcript)],
    ['CER-DUAL-1', () => checkDualControl(transcript)],
    ['KEY-STATE-1', () => checkKeyStates(transcript)],
    ['KEY-ID-1', () => checkKeyIds(transcript)],
    ['KEY-COPIES-1', () => checkCopies(transcript)],
    ['SIG-CUSTODIAN-1', () => checkCustodians(transcript, signatures)],
    ['SIG-WITNESS-1', () => checkOthers(transcript, signatures)],
  ]
  for (const [id, check] of checks) keep(await examine(id, check))
  return into
}

/** Every requirement in table order; what nobody looked at says so. */
export function complete(
  { findings, transcript, signedBy }: Reading,
  ids: readonly RequirementId[],
): Verification {
  const first = findings.find(({ status }) => status === 'failed')?.id ?? 'an earlier one'
  const all = ids.map(
    (id) => findings.find((finding) => finding.id === id) ?? unexamined(id, `${first} failed`),
  )
  return conclude(all, transcript, signedBy)
}
