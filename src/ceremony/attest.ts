/** A person signs the finished transcript with a key of their own, after it has been verified here. */
import { join } from 'node:path'

import { utf8 } from '../bytes.ts'
import { PolicyError, VerificationError } from '../errors.ts'
import { type SshSigner, verifySshsig } from '../quorum/index.ts'
import { readBundle, signaturePath, writeFileDurable } from './bundle.ts'
import { finishBundle } from './finish.ts'
import type { RequirementId } from './requirements.ts'
import type { Verification } from './verify-context.ts'
import { checkpointBody } from './verify-log.ts'
import { inspectBundle } from './verify.ts'

/** Requirements that signatures are there to meet: they cannot be asked for before anybody signed. */
const NOT_YET: ReadonlySet<RequirementId> = new Set([
  'SIG-CUSTODIAN-1',
  'SIG-WITNESS-1',
  'LOG-COVER-1',
])

/** Inputs of {@link attest}. */
export interface AttestOptions {
  /** Bundle directory. */
  readonly dir: string
  /** Id of a person of the binding. */
  readonly person: string
  readonly signer: SshSigner
  /** Time of signing: the key must be valid then, and at the last entry. */
  readonly at: Date
}

function refuseUnsound({ findings }: Verification): void {
  const bad = findings.find(({ id, status }) => status === 'failed' && !NOT_YET.has(id))
  if (bad === undefined) return
  throw new VerificationError(
    bad.code ?? 'TRANSCRIPT_INVALID',
    bad.id,
    'the transcript does not verify, so nobody should sign it',
    {
      got: bad.detail,
      ...(bad.entry === undefined ? {} : { entry: bad.entry }),
      hint: 'keyrite ceremony verify names everything that fails',
    },
  )
}

/**
 * Verifies the bundle, has `person` sign the checkpoint over the whole transcript (namespace
 * `keyrite-checkpoint`), checks the signature against the bundle's roster, stores it and finishes the
 * bundle again. Throws VerificationError for a transcript that does not verify; QuorumError for a
 * signature the roster does not allow; PolicyError OUTPUT_EXISTS when the person has signed already.
 */
export async function attest({ dir, person: id, signer, at }: AttestOptions): Promise<void> {
  const bundle = await readBundle(dir)
  const { verification } = await inspectBundle(bundle)
  refuseUnsound(verification)
  const { transcript } = verification
  const person = transcript?.open.people.find((one) => one.id === id)
  if (transcript === undefined || person === undefined) {
    throw new PolicyError(
      'STATE_MISMATCH',
      'CER-PEOPLE-1',
      `${id} is not a person of this ceremony`,
      {
        where: dir,
        expected: transcript?.open.people.map((one) => one.id).join(', '),
      },
    )
  }
  if (verification.signedBy.includes(id)) {
    throw new PolicyError('OUTPUT_EXISTS', 'SIG-CUSTODIAN-1', `${id} has signed this transcript`, {
      where: signaturePath(id),
    })
  }
  const message = utf8(checkpointBody(transcript.log))
  const signature = await signer.sign('keyrite-checkpoint', message)
  for (const time of [at, transcript.at]) {
    verifySshsig({
      signature,
      message,
      namespace: 'keyrite-checkpoint',
      principal: person.principal,
      roster: transcript.roster,
      at: time,
    })
  }
  // A signature that does not verify (of an older checkpoint, or a torn copy) may be replaced.
  await writeFileDurable(join(dir, signaturePath(id)), utf8(signature), { replace: true })
  await finishBundle({ dir })
}
