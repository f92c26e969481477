/**
 * Splits a secret t-of-n and puts it together again: Shamir 1979 over GF(2^8), reduction polynomial
 * x^8+x^4+x^3+x+1, by the npm package shamir-secret-sharing (audited by Cure53 and by Zellic). The last byte of
 * a share's value is its x coordinate. Coefficients come from the operating system's generator inside that package.
 */
import { randomBytes } from 'node:crypto'

import { combine, split } from 'shamir-secret-sharing'

import { equal, wipe } from '../bytes.ts'
import { QuorumError } from '../errors.ts'

import {
  checkCommitments,
  checkScope,
  checkShare,
  commitmentOf,
  describeShare,
  SALT_BYTES,
} from './commitments.ts'
import type { Commitments, Share, ShareScope } from './types.ts'

/** A shorter secret could be searched for with fewer than `threshold` shares. */
const MIN_SECRET_BYTES = 16
const MAX_SECRET_BYTES = 64

/** The package compares constructors, so a Buffer must become a plain Uint8Array. */
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

async function recombine(values: readonly Uint8Array[]): Promise<Uint8Array> {
  const copies = values.map(plain)
  try {
    return await combine(copies)
  } finally {
    wipe(...copies)
  }
}

/** Every run of `threshold` neighbours must give the secret back: a split is trusted only once it was undone. */
async function proveSplit(secret: Uint8Array, shares: readonly Share[], threshold: number) {
  for (const [first] of shares.entries()) {
    const values = Array.from(
      { length: threshold },
      (_, at) => shares[(first + at) % shares.length],
    )
    const again = await recombine(values.flatMap((share) => share?.value ?? []))
    const good = equal(again, secret)
    wipe(again)
    if (!good) {
      throw new QuorumError('SPLIT_INVALID', 'the shares do not give the secret back', {
        where: 'split self-check',
      })
    }
  }
}

/**
 * Splits `secret` (16 to 64 bytes, not wiped here) among `holders` in their order; index 1 is the first holder.
 * The shares are secret and the caller wipes them; the commitments are public. Throws QuorumError SPLIT_INVALID.
 */
export async function splitSecret(
  secret: Uint8Array,
  scope: Omit<ShareScope, 'of'>,
  holders: readonly string[],
): Promise<{ shares: Share[]; commitments: Commitments }> {
  const { tokenLabel, tokenSerial, pin, epoch, threshold } = scope
  const full: ShareScope = { tokenLabel, tokenSerial, pin, epoch, threshold, of: holders.length }
  checkScope(full, holders)
  if (secret.length < MIN_SECRET_BYTES || secret.length > MAX_SECRET_BYTES) {
    throw new QuorumError('SPLIT_INVALID', 'the secret has an unusable length', {
      where: 'split',
      expected: `${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes`,
      got: `${secret.length} bytes`,
    })
  }
  const copy = plain(secret)
  const values = await split(copy, holders.length, threshold).finally(() => {
    wipe(copy)
  })
  const shares = holders.map((holder, at): Share => {
    const salt = plain(randomBytes(SALT_BYTES))
    return { ...full, holder, index: at + 1, value: values[at] ?? new Uint8Array(), salt }
  })
  await proveSplit(secret, shares, threshold)
  const commitments: Commitments = {
    ...full,
    shares: shares.map((share) => {
      const { index, holder } = share
      return { index, holder, commitment: commitmentOf(share) }
    }),
  }
  return { shares, commitments }
}

function refuseTwice(shares: readonly Share[]): void {
  shares.forEach((share, at) => {
    const before = shares.slice(0, at)
    const sameShare = before.find(
      (other) => other.index === share.index || equal(other.value, share.value),
    )
    if (sameShare !== undefined) {
      throw new QuorumError('SAME_SHARE_TWICE', `${describeShare(share)} was given twice`, {
        where: describeShare(share),
        expected: 'every share once',
        got: `the same share as ${describeShare(sameShare)}`,
      })
    }
    const samePerson = before.find((other) => other.holder === share.holder)
    if (samePerson !== undefined) {
      throw new QuorumError('SAME_PERSON_TWICE', `${share.holder} gave two shares`, {
        where: describeShare(share),
        expected: 'one share per person',
        got: `${describeShare(samePerson)} and ${describeShare(share)}`,
      })
    }
  })
}

/**
 * The secret of at least `threshold` good shares; the caller wipes it (and the shares). Every share is checked
 * first. Throws QuorumError SAME_SHARE_TWICE, SAME_PERSON_TWICE, SHARE_WRONG_EPOCH, SHARE_INVALID (each naming
 * the share), QUORUM_NOT_MET with `have` and `need`, or SPLIT_INVALID for impossible commitments.
 */
export async function combineShares(
  shares: readonly Share[],
  commitments: Commitments,
): Promise<Uint8Array> {
  checkCommitments(commitments)
  refuseTwice(shares)
  for (const share of shares) checkShare(share, commitments)
  const { threshold } = commitments
  if (shares.length < threshold) {
    throw new QuorumError('QUORUM_NOT_MET', 'not enough shares', {
      where: `${commitments.pin} PIN of token ${commitments.tokenLabel}`,
      have: shares.length,
      need: threshold,
      expected: `${threshold} shares`,
      got: `${shares.length}: ${shares.map((share) => share.holder).join(', ') || 'none'}`,
    })
  }
  return recombine(shares.map((share) => share.value))
}
