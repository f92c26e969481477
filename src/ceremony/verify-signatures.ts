/** Checks of who stands for the transcript as a whole: the HSM's checkpoint and the people's signatures. */
import { equal, fromBase64, utf8 } from '../bytes.ts'
import { KeyriteError, VerificationError } from '../errors.ts'
import { verifySshsig } from '../quorum/index.ts'
import { signaturePath, signaturePerson } from './bundle.ts'
import type { Person, Role } from './room.ts'
import {
  type Answer,
  type Transcript,
  count,
  entriesOf,
  need,
  notApplicable,
  refute,
} from './verify-context.ts'
import { checkpointBody } from './verify-log.ts'

/** A good signature on the final checkpoint. */
export interface CheckpointSignature {
  readonly person: Person
  readonly keyFingerprint: string
}

/** Good signatures, and what was wrong with the others. */
export interface CheckpointSignatures {
  readonly good: readonly CheckpointSignature[]
  readonly bad: readonly VerificationError[]
}

/** Verifies every file in `signatures/`, as `ssh-keygen -Y verify -n keyrite-checkpoint` does. */
export async function readSignatures(transcript: Transcript): Promise<CheckpointSignatures> {
  const { bundle, open, log, trustedRoster, at } = transcript
  const message = utf8(checkpointBody(log))
  const good: CheckpointSignature[] = []
  const bad: VerificationError[] = []
  for (const { path } of bundle.files.filter((file) => file.path.startsWith('signatures/'))) {
    const person = open.people.find(({ id }) => id === signaturePerson(path))
    try {
      if (person === undefined) {
        refute('signature of somebody the binding does not name', {
          code: 'SIGNER_NOT_TRUSTED',
          got: path,
        })
      }
      const { keyFingerprint } = verifySshsig({
        signature: await bundle.text(path),
        message,
        namespace: 'keyrite-checkpoint',
        principal: person.principal,
        roster: trustedRoster,
        at,
      })
      good.push({ person, keyFingerprint })
    } catch (error) {
      bad.push(asRefusal(error, path))
    }
  }
  return { good, bad }
}

function asRefusal(error: unknown, path: string): VerificationError {
  if (error instanceof VerificationError) return error
  if (!(error instanceof KeyriteError)) throw error
  const { code, message, expected, got } = error as KeyriteError
  return new VerificationError(
    code.startsWith('SIGNER_') ? 'SIGNER_NOT_TRUSTED' : 'SIGNATURE_INVALID',
    '',
    message,
    { where: path, expected, got, cause: error },
  )
}

/** People who acted in a role, by id. */
function acting(transcript: Transcript, role: Role): Set<string> {
  return new Set(
    entriesOf(transcript, 'people.chosen')
      .filter((entry) => entry.role === role)
      .flatMap((entry) => entry.acting),
  )
}

/** Good signatures by people who acted in a role: as many as there are both people and keys. */
export function signedAs(
  transcript: Transcript,
  { good }: CheckpointSignatures,
  role: Role,
): { readonly names: readonly string[]; readonly number: number } {
  const acted = acting(transcript, role)
  const mine = good.filter(({ person }) => acted.has(person.id) && person.roles.includes(role))
  const keys = new Set(mine.map(({ keyFingerprint }) => keyFingerprint))
  const names = [...new Set(mine.map(({ person }) => person.id))]
  return { names, number: Math.min(names.length, keys.size) }
}

function requireSignatures(
  transcript: Transcript,
  signatures: CheckpointSignatures,
  role: Role,
  least: number,
): string {
  const { names, number } = signedAs(transcript, signatures, role)
  if (number < least) {
    refute(`too few people signed the transcript as ${role}`, {
      code: 'SIGNATURE_INVALID',
      expected: `${least} who acted, e.g. ${signaturePath('NAME')}; keyrite ceremony sign adds one`,
      got: names.join(', ') || 'nobody',
    })
  }
  return names.join(', ')
}

/** SIG-CUSTODIAN-1; any signature file that does not verify fails it, whoever it is of. */
export function checkCustodians(transcript: Transcript, signatures: CheckpointSignatures): Answer {
  const [first] = signatures.bad
  if (first !== undefined) throw first
  const wanted = need(transcript, 'custodian')
  if (transcript.outcome === 'aborted' && signatures.good.length === 0) {
    return notApplicable('an aborted ceremony need not be signed by custodians')
  }
  if (transcript.outcome === 'aborted') {
    return `signed by ${signatures.good.map(({ person }) => person.id).join(', ')}`
  }
  if (wanted === 0) return notApplicable('the plan has no custodians')
  return requireSignatures(transcript, signatures, 'custodian', Math.max(2, wanted))
}

/** SIG-WITNESS-1. */
export function checkOthers(transcript: Transcript, signatures: CheckpointSignatures): Answer {
  if (transcript.outcome !== 'complete')
    return notApplicable('only a complete ceremony is attested')
  const roles = transcript.plan.steps
    .flatMap((step) => (step.kind === 'attest' ? step.by : []))
    .filter((role) => role !== 'custodian')
  const names = roles.map((role) =>
    requireSignatures(transcript, signatures, role, need(transcript, role)),
  )
  return roles.length === 0 ? notApplicable('the plan asks nobody else to sign') : names.join(', ')
}

/** The log signer's key as the ledger of this transcript knows it. */
function ledgerLogKeys({ ledger, plan }: Transcript): Uint8Array[] {
  return Object.entries(ledger.keys)
    .filter(([, key]) => key.role === 'log-signer' && key.token === plan.log)
    .flatMap(([name, { publicKey }]) =>
      publicKey === undefined ? [] : [fromBase64(publicKey, `key ${name}`)],
    )
}

/** LOG-COVER-1: without the HSM's signature over everything, an aborted transcript needs the people's. */
export function checkCover(transcript: Transcript, signatures: CheckpointSignatures): Answer {
  const { log, logKey, outcome } = transcript
  if (log.hsmSize > 0 && logKey !== undefined) {
    const known = ledgerLogKeys(transcript)
    if (!known.some((key) => equal(key, logKey.publicKey))) {
      refute('the checkpoint is signed by a key that is not the plan’s log signer', {
        code: 'SIGNER_NOT_TRUSTED',
        expected: 'the key the transcript’s state names',
        got: logKey.name,
      })
    }
  }
  if (log.hsmSize === log.size)
    return `${count(log.size, 'line')}, signed by ${log.signedBy.join(', ')}`
  const tail = log.size - log.hsmSize
  if (outcome !== 'aborted') {
    refute(`the last ${count(tail, 'line')} are not signed by the HSM`, {
      code: 'LOG_TRUNCATED',
      expected: `a checkpoint over ${log.size}`,
      got: `a checkpoint over ${log.hsmSize}`,
    })
  }
  // An abort may have caught the room before any quorum met: one person who vouches is the least.
  const names = [...new Set(signatures.good.map(({ person }) => person.id))]
  if (names.length === 0) {
    refute('nobody signed the transcript', {
      code: 'SIGNATURE_INVALID',
      expected: `the HSM, or at least ${signaturePath('NAME')}; keyrite ceremony sign adds one`,
      got: 'nobody',
    })
  }
  return {
    detail: `${count(tail, 'line')} stand on the signature of ${names.join(', ')}`,
    warnings: [
      `The HSM did not sign the last ${count(tail, 'line')}: the ceremony was aborted without it. Only ${names.join(', ')} can vouch for them, and for nothing having been cut off after them.`,
    ],
  }
}

/** TRUST-ANCHOR-1. */
export function checkAnchors(given: { readonly roster: boolean; readonly vkey: boolean }): Answer {
  const missing = [
    ...(given.roster ? [] : ['the people’s keys (allowed_signers)']),
    ...(given.vkey ? [] : ['the HSM’s log key (vkey)']),
  ]
  if (missing.length === 0) return 'both were given by the verifier'
  return {
    detail: `taken from the bundle itself: ${missing.join(' and ')}`,
    evidence: 'human-asserted',
    warnings: [
      `Taken from the bundle itself: ${missing.join(' and ')}. Whoever made the bundle chose them; compare them with copies you got another way.`,
    ],
  }
}
