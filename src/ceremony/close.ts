/**
 * The last words of a ceremony. Complete or aborted, the transcript says what happened, the HSM signs the
 * final checkpoint while it still can, tokens are logged out, people sign, the bundle is finished.
 */
import { fromBase64, toHex } from '../bytes.ts'
import { openLog } from '../audit/index.ts'
import { type KeyriteError, PolicyError, StorageError } from '../errors.ts'
import { type NoteSigner, formatVerifierKey, noteVerifier } from '../note.ts'
import { actingPeople } from './acting.ts'
import { asKeyriteError, loggedError } from './logged-error.ts'
import { ledgerKey } from './actions/key-state.ts'
import { attest } from './attest.ts'
import { type Ceremony, closeToken, holders } from './context.ts'
import { dualControlLevel } from './dual-control.ts'
import type { EntryOf, Ledger } from './entries.ts'
import { finishBundle } from './finish.ts'
import { openJournal } from './journal.ts'
import { quorumLogin } from './login.ts'
import { releaseReserve } from './reserve.ts'
import type { Person, Role } from './room.ts'
import { applyUnfinished } from './unfinished.ts'

/** How a ceremony ended. */
export interface CeremonyOutcome {
  readonly outcome: 'complete' | 'aborted'
  readonly dir: string
  readonly size: number
  /** Root of the transcript, hex: what the next ceremony names as its predecessor. */
  readonly root: string
  /** Why it was aborted; of a complete one, why a signature or a file of the bundle is missing. */
  readonly error?: KeyriteError
}

/** Where and why a ceremony failed. */
export interface Failure {
  readonly atStep: string
  readonly error: unknown
}

/** What an aborted ceremony leaves behind, in words. */
export function residuals({ journal, ledger }: Pick<Ceremony, 'journal' | 'ledger'>): string[] {
  const current = Object.values(ledger.tokens).flatMap(({ user, so }) => [user, so])
  const unused = journal
    .of('shares.committed')
    .filter(({ commitments }) => !current.some((held) => sameSplit(held, commitments)))
  return [
    ...journal
      .openIntents()
      .map(
        ({ seq, op, ckaId }) =>
          `entry ${seq}: ${op} may or may not have happened${ckaId === undefined ? '' : ` (CKA_ID ${ckaId})`}`,
      ),
    ...Object.entries(ledger.keys)
      .filter(([, key]) => key.state === 'birth')
      .map(([name]) => `key ${name} is still extractable: lock or zeroise it`),
    ...unused.map(
      ({ commitments: { pin, tokenLabel, epoch } }) =>
        `shares of the ${pin} PIN of ${tokenLabel}, epoch ${epoch}, were given out; unless an open call above used them, they open nothing`,
    ),
  ]
}

const sameSplit = (
  held: Ledger['tokens'][string]['user'],
  { pin, tokenLabel, epoch }: EntryOf<'shares.committed'>['commitments'],
): boolean => held?.pin === pin && held.tokenLabel === tokenLabel && held.epoch >= epoch

/** The key that signs checkpoints: its name in the plan, and what the ledger knows of it. */
const logKey = ({ ledger, plan }: Ceremony): [string, Ledger['keys'][string]] | undefined =>
  Object.entries(ledger.keys).find(
    ([, { role, token, state }]) =>
      role === 'log-signer' && token === plan.log && state === 'present',
  )

/** Verifier key of the log's signer, named after the organisation and the token. */
export function logVerifier(ceremony: Ceremony): ReturnType<typeof noteVerifier> | undefined {
  const { ledger, plan, binding } = ceremony
  const publicKey = logKey(ceremony)?.[1].publicKey
  const serial = ledger.tokens[plan.log]?.serial
  if (publicKey === undefined || serial === undefined) return undefined
  const spki = fromBase64(publicKey)
  // Ed25519 SubjectPublicKeyInfo is 44 bytes (RFC 8410 §4); P-256 is 91.
  const algorithm = spki.length === 44 ? 'ed25519' : 'ecdsa-p256-sha256'
  return noteVerifier(`${binding.organisation}/log/${serial}`, algorithm, spki)
}

async function logSigner(ceremony: Ceremony): Promise<NoteSigner | undefined> {
  const verifier = logVerifier(ceremony)
  const name = logKey(ceremony)?.[0]
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
  return { ...ceremony, journal: openJournal(log, journal.identity, clock, journal.startedMs) }
}

/** Roles the plan's `attest` step names. */
const signingRoles = ({ plan }: Ceremony): readonly Role[] => {
  const step = plan.steps.find((candidate) => candidate.kind === 'attest')
  return step?.kind === 'attest' ? step.by : []
}

/** These people sign the final checkpoint, each with their own key. */
async function collectSignatures(ceremony: Ceremony, signers: readonly Person[]): Promise<void> {
  for (const [index, person] of signers.entries()) {
    ceremony.room.progress(`${person.name} signs the transcript`, index, signers.length)
    await ceremony.room.confirm(person, 'Does the transcript say what happened?', 'sign')
    await attest({
      dir: ceremony.paths.dir,
      person: person.id,
      signer: await ceremony.room.signer(person),
      at: new Date(ceremony.clock.wallMs()),
    })
  }
}

/** Logs out everywhere, wipes, closes the log. */
async function leave(ceremony: Ceremony): Promise<{ size: number; root: string }> {
  for (const name of [...ceremony.open.keys()]) {
    await closeToken(ceremony, name).catch(() => undefined)
  }
  await releaseReserve(ceremony.paths.dir)
  const { log } = ceremony.journal
  const end = { size: log.size, root: toHex(log.root()) }
  await log[Symbol.asyncDispose]()
  return end
}

const finish = (ceremony: Ceremony): Promise<void> => {
  const verifier = logVerifier(ceremony)
  return finishBundle({
    dir: ceremony.paths.dir,
    ...(verifier === undefined ? {} : { vkey: formatVerifierKey(verifier) }),
  })
}

/**
 * Closes a transcript whose steps are all done. Throws while the transcript is still open (the caller then
 * aborts); once it is closed, a missing report or signature is told in the outcome and can be added later.
 */
export async function completeCeremony(ceremony: Ceremony): Promise<CeremonyOutcome> {
  const { journal, plan, paths } = ceremony
  // Who signs is chosen while the log is open, so that their presence is on record.
  const signers: Person[] = []
  for (const role of signingRoles(ceremony)) {
    signers.push(...(await actingPeople(ceremony, role, '')))
  }
  if (!ceremony.open.has(plan.log)) await quorumLogin(ceremony, plan.log, '')
  const signer = await logSigner(ceremony)
  if (signer === undefined) {
    throw new PolicyError('STATE_MISMATCH', 'LOG-SIG-1', `token ${plan.log} has no log signer`, {
      expected: 'a key of role log-signer',
    })
  }
  const dualControl = dualControlLevel(journal)
  await journal.append('ceremony.close', '', { outcome: 'complete', dualControl }, [
    'software-enforced',
  ])
  await journal.log.checkpoint([signer])
  const end = await leave(ceremony)
  try {
    await finish(ceremony)
    await collectSignatures(ceremony, signers)
  } catch (error) {
    return { outcome: 'complete', dir: paths.dir, ...end, error: asKeyriteError(error) }
  }
  return { outcome: 'complete', dir: paths.dir, ...end }
}

/**
 * Closes a transcript truthfully after a failure. The HSM signs if its token is still open; the
 * administrator signs if they can. What could not be signed is missing, and shows.
 */
export async function abortCeremony(running: Ceremony, failure: Failure): Promise<CeremonyOutcome> {
  const error = asKeyriteError(failure.error)
  const ceremony = error instanceof StorageError ? await revive(running) : running
  const { journal, ledger, paths, plan } = ceremony
  const open = journal.openIntents()
  applyUnfinished(journal, ledger)
  // The step may have ended, or not begun, when the failure came: then the state belongs to none.
  await journal.append('ledger', journal.currentStep(), { ledger: structuredClone(ledger) }, [
    'module-reported',
  ])
  await journal.append(
    'ceremony.abort',
    failure.atStep,
    {
      atStep: failure.atStep,
      error: loggedError(error),
      openIntents: open.map(({ seq }) => seq),
      residuals: residuals(ceremony),
    },
    ['software-enforced'],
  )
  const dualControl = dualControlLevel(journal)
  await journal.append('ceremony.close', '', { outcome: 'aborted', dualControl }, [
    'software-enforced',
  ])
  if (ceremony.open.has(plan.log)) {
    const signer = await logSigner(ceremony).catch(() => undefined)
    if (signer !== undefined) await journal.log.checkpoint([signer]).catch(() => undefined)
  }
  const end = await leave(ceremony)
  // A bundle that cannot be finished (a full disk) still holds the closed transcript.
  await finish(ceremony).catch(() => undefined)
  const witnesses = [
    ...holders(ceremony, 'administrator').slice(0, 1),
    ...(ceremony.acting.get('custodian') ?? []),
  ]
  for (const person of witnesses) {
    await collectSignatures(ceremony, [person]).catch((cause: unknown) => {
      const { message } = asKeyriteError(cause)
      ceremony.room.show([`${person.id} has not signed: ${message}`])
    })
  }
  return { outcome: 'aborted', dir: paths.dir, ...end, error }
}
