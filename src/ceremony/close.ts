/**
 * The last words of a ceremony. Complete or aborted, the transcript says what happened, the HSM signs the
 * final checkpoint while it still can, tokens are logged out, people sign, the bundle is finished.
 */
import { fromBase64, toHex } from '../bytes.ts'
import { openLog } from '../audit/index.ts'
import { type KeyriteError, StorageError } from '../errors.ts'
import { type NoteSigner, formatVerifierKey, noteVerifier } from '../note.ts'
import { actingPeople } from './acting.ts'
import { asKeyriteError, loggedError } from './logged-error.ts'
import { ledgerKey } from './actions/key-state.ts'
import { attest } from './attest.ts'
import { type Ceremony, closeToken } from './context.ts'
import { dualControlLevel } from './dual-control.ts'
import type { EntryOf, Ledger } from './entries.ts'
import { finishBundle } from './finish.ts'
import { openJournal } from './journal.ts'
import { quorumLogin } from './login.ts'
import { releaseReserve } from './reserve.ts'
import type { Role } from './room.ts'

/** How a ceremony ended. */
export interface CeremonyOutcome {
  readonly outcome: 'complete' | 'aborted'
  readonly dir: string
  readonly size: number
  /** Root of the transcript, hex: what the next ceremony names as its predecessor. */
  readonly root: string
  /** Why it was aborted. */
  readonly error?: KeyriteError
}

/** Where and why a ceremony failed. */
export interface Failure {
  readonly atStep: string
  readonly error: unknown
}

/** What an aborted ceremony leaves behind, in words. */
export function residuals(ledger: Ledger, open: readonly EntryOf<'intent'>[]): string[] {
  return [
    ...open.map(
      ({ seq, op, ckaId }) =>
        `entry ${seq}: ${op} may or may not have happened${ckaId === undefined ? '' : ` (CKA_ID ${ckaId})`}`,
    ),
    ...Object.entries(ledger.keys)
      .filter(([, key]) => key.state === 'birth')
      .map(([name]) => `key ${name} is still extractable: lock or zeroise it`),
  ]
}

/** Verifier key of the log's signer, named after the organisation and the token. */
export function logVerifier(ceremony: Ceremony): ReturnType<typeof noteVerifier> | undefined {
  const { ledger, plan, binding } = ceremony
  const key = Object.values(ledger.keys).find(
    ({ role, token, state }) => role === 'log-signer' && token === plan.log && state === 'present',
  )
  const serial = ledger.tokens[plan.log]?.serial
  if (key?.publicKey === undefined || serial === undefined) return undefined
  const spki = fromBase64(key.publicKey)
  // Ed25519 SubjectPublicKeyInfo is 44 bytes (RFC 8410 §4); P-256 is 91.
  const algorithm = spki.length === 44 ? 'ed25519' : 'ecdsa-p256-sha256'
  return noteVerifier(`${binding.organisation}/log/${serial}`, algorithm, spki)
}

async function logSigner(ceremony: Ceremony): Promise<NoteSigner | undefined> {
  const verifier = logVerifier(ceremony)
  const name = Object.entries(ceremony.ledger.keys).find(
    ([, { role, token, state }]) =>
      role === 'log-signer' && token === ceremony.plan.log && state === 'present',
  )?.[0]
  if (verifier === undefined || name === undefined) return undefined
  const { key } = await ledgerKey(ceremony, name, '')
  return { name: verifier.name, signer: await key.signer() }
}

/** Reopens a log whose writer died of a full disk, with the space that was held back. */
async function revive(ceremony: Ceremony): Promise<Ceremony> {
  const { journal, paths, clock, identity } = ceremony
  try {
    await journal.log[Symbol.asyncDispose]()
  } catch {
    // The writer is dead already; recovery below reads what is on the disk.
  }
  await releaseReserve(paths.dir)
  const log = await openLog({ dir: paths.log, origin: identity.origin, clock, mode: 'append' })
  return { ...ceremony, journal: openJournal(log, journal.identity, clock) }
}

async function sayLastWords(
  ceremony: Ceremony,
  outcome: 'complete' | 'aborted',
  failure: { atStep: string; error: KeyriteError } | undefined,
): Promise<void> {
  const { journal, ledger } = ceremony
  if (failure !== undefined) {
    const open = journal.openIntents()
    await journal.append(
      'ceremony.abort',
      failure.atStep,
      {
        atStep: failure.atStep,
        error: loggedError(failure.error),
        openIntents: open.map(({ seq }) => seq),
        residuals: residuals(ledger, open),
      },
      ['software-enforced'],
    )
  }
  await journal.append('ceremony.close', '', { outcome, dualControl: dualControlLevel(journal) }, [
    'software-enforced',
  ])
}

/** The people of these roles sign the final checkpoint, each with their own key. */
async function collectSignatures(ceremony: Ceremony, roles: readonly Role[]): Promise<void> {
  for (const role of roles) {
    const acting = await actingPeople(ceremony, role, '')
    for (const [index, person] of acting.entries()) {
      ceremony.room.progress(`${person.name} signs the transcript`, index, acting.length)
      await ceremony.room.confirm(person, 'Does the transcript say what happened?', 'sign')
      await attest({
        dir: ceremony.paths.dir,
        person: person.id,
        signer: await ceremony.room.signer(person),
        at: new Date(ceremony.clock.wallMs()),
      })
    }
  }
}

/** Ends a ceremony. Never throws for an aborted one: what could not be signed is missing, and shows. */
export async function closeCeremony(
  running: Ceremony,
  outcome: 'complete' | 'aborted',
  failed?: Failure,
): Promise<CeremonyOutcome> {
  const error = failed === undefined ? undefined : asKeyriteError(failed.error)
  const failure =
    failed === undefined || error === undefined ? undefined : { atStep: failed.atStep, error }
  let ceremony = running
  try {
    if (error instanceof StorageError) ceremony = await revive(running)
    if (outcome === 'complete') {
      // Roles that sign are chosen while the log is still open, so that their presence is on record.
      for (const role of signingRoles(ceremony)) await actingPeople(ceremony, role, '')
      if (!ceremony.open.has(ceremony.plan.log)) await quorumLogin(ceremony, ceremony.plan.log, '')
    }
    await sayLastWords(ceremony, outcome, failure)
    const signer = await logSigner(ceremony).catch((cause: unknown) => {
      if (outcome === 'complete') throw cause
      return undefined
    })
    if (signer !== undefined) await ceremony.journal.log.checkpoint([signer])
  } finally {
    for (const name of [...ceremony.open.keys()]) {
      await closeToken(ceremony, name).catch(() => undefined)
    }
    await releaseReserve(ceremony.paths.dir)
  }
  const { size } = ceremony.journal.log
  const root = toHex(ceremony.journal.log.root())
  await ceremony.journal.log[Symbol.asyncDispose]()
  const verifier = logVerifier(ceremony)
  const finish = (): Promise<void> =>
    finishBundle({
      dir: ceremony.paths.dir,
      ...(verifier === undefined ? {} : { vkey: formatVerifierKey(verifier) }),
    })
  await finish()
  if (outcome === 'complete') await collectSignatures(ceremony, signingRoles(ceremony))
  else await collectSignatures(ceremony, ['administrator']).catch(() => undefined)
  await finish()
  return {
    outcome,
    dir: ceremony.paths.dir,
    size,
    root,
    ...(error === undefined ? {} : { error }),
  }
}

/** Roles the plan's `attest` step names. */
const signingRoles = ({ plan }: Ceremony): readonly Role[] => {
  const step = plan.steps.find((candidate) => candidate.kind === 'attest')
  return step?.kind === 'attest' ? step.by : []
}
