/**
 * Zeroisation with attempts to falsify it. What can be shown: the object is gone for a fresh process, the
 * old handle is dead, a canary can no longer be opened, and every known wrapped copy that needed this key
 * no longer unwraps. What cannot be shown in software: physical erasure, backups and snapshots of the
 * token. Those are stated as residuals.
 */
import { randomBytes } from 'node:crypto'

import { utf8 } from '../bytes.ts'
import { type Pkcs11Category, Pkcs11Error, TokenError, type TokenErrorCode } from '../errors.ts'
import type { GcmBox, Key, KeyRole, Token } from '../pkcs11/index.ts'
import type { EvidenceClass } from '../types.ts'
import { type AbsenceQuery, findFromFreshProcess } from './absence.ts'

/** One attempt to use the key after its destruction, and how it failed. */
export interface Falsification {
  readonly attempt: string
  /** Error the attempt met, or what was found. */
  readonly outcome: string
  readonly evidence: EvidenceClass
}

const PROVES_NOTHING: ReadonlySet<Pkcs11Category> = new Set([
  'auth',
  'auth-locked',
  'session',
  'token-gone',
  'device',
  'module',
  'capacity',
])
/** What a token says when it has no such key; a lost connection or a full pool says something else. */
const SHOWS_ABSENCE: ReadonlySet<TokenErrorCode> = new Set(['KEY_NOT_FOUND', 'KEY_CHANGED'])
const CANARY_AAD = utf8('keyrite zeroise canary')

/** Uses the key once, so that the same use can be shown to fail afterwards. */
export async function plantCanary(token: Token, key: Key, role: KeyRole): Promise<Attempt> {
  const sample = new Uint8Array(randomBytes(16))
  switch (role) {
    case 'fpe': {
      const cipher = key.blockCipher()
      await cipher.encryptBlocks(sample)
      return { attempt: 'AES-ECB with the old key object', use: () => cipher.encryptBlocks(sample) }
    }
    case 'kek-outer': {
      const box: GcmBox = await token.sealGcm(key, sample, CANARY_AAD)
      await token.openGcm(key, box, CANARY_AAD)
      return {
        attempt: 'AES-GCM decryption of a canary sealed before',
        use: () => token.openGcm(key, box, CANARY_AAD),
      }
    }
    case 'kek':
      await key.kcv()
      return { attempt: 'AES-KWP wrap probe with the old key object', use: () => key.kcv() }
    case 'embedding-seed': {
      await key.cmac(sample)
      return { attempt: 'AES-CMAC with the old key object', use: () => key.cmac(sample) }
    }
    default: {
      const signer = await key.signer()
      await signer.sign(sample)
      return { attempt: 'signature with the old key object', use: () => signer.sign(sample) }
    }
  }
}

/** Runs an attempt that must fail in the token or because the key is not there. */
async function mustFail(attempt: string, use: () => Promise<unknown>): Promise<Falsification> {
  try {
    await use()
  } catch (error) {
    if (error instanceof Pkcs11Error && !PROVES_NOTHING.has(error.category)) {
      return { attempt, outcome: `${error.fn}: ${error.rv}`, evidence: 'hsm-enforced' }
    }
    if (error instanceof TokenError && SHOWS_ABSENCE.has(error.code)) {
      return { attempt, outcome: error.code, evidence: 'module-reported' }
    }
    // A token that is gone or not open, a quorum that did not meet: nothing was shown about the key.
    throw error
  }
  throw new TokenError('KEY_CHANGED', 'a destroyed key could still be used', {
    where: attempt,
    expected: 'an error',
    got: 'success',
    hint: 'treat the key as not destroyed; take the token out of service',
  })
}

/** A use of the destroyed key that must fail. */
export interface Attempt {
  readonly attempt: string
  readonly use: () => Promise<unknown>
}

/**
 * The attempts after destruction: a search from a fresh process, then every given use of the key. Throws
 * KEY_CHANGED if the key is found or any use succeeds, and the error of a use that failed for another
 * reason than the key's absence. Safe to repeat; `pin` stays the caller's.
 */
export async function falsifyZeroise(
  query: AbsenceQuery,
  pin: Uint8Array,
  attempts: readonly Attempt[],
): Promise<Falsification[]> {
  const seen = await findFromFreshProcess(query, pin)
  if (seen.byId + seen.byLabel > 0) {
    throw new TokenError('KEY_CHANGED', 'a fresh process still finds the destroyed key', {
      where: `${query.tokenUri}, ${query.label}`,
      expected: 'no object',
      got: `${seen.byId} by id, ${seen.byLabel} by label`,
    })
  }
  const found: Falsification[] = [
    {
      attempt: 'search by id and by label from a fresh process',
      outcome: 'no object',
      evidence: 'module-reported',
    },
  ]
  for (const { attempt, use } of attempts) found.push(await mustFail(attempt, use))
  return found
}

/** What a zeroisation on a token cannot show. */
export const ZEROISE_RESIDUALS: readonly string[] = [
  'physical erasure of the storage is the token vendor’s certification, not shown here',
  'backups, snapshots, clones and HA members of the token are not reachable from here',
]
