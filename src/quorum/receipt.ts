/**
 * Receipts: a split counts once every holder has read their own file back from its medium, it fits the commitment, and
 * they have signed for it. A receipt is an intent with action `share.receipt`.
 */
import { sha256, toHex, wipe } from '../bytes.ts'
import { KeyriteError, QuorumError } from '../errors.ts'

import type { AllowedSigners } from './allowed-signers.ts'
import { approvalGate } from './approval.ts'
import { checkCommitments, checkShare, scopeOf } from './commitments.ts'
import { argsDigest } from './intent.ts'
import { openShare } from './share-file.ts'
import type { Commitments, IntentTopic, ShareKey, SignedIntent } from './types.ts'

/** The action of every receipt's intent. */
export const RECEIPT_ACTION = 'share.receipt'

/** What a receipt is for: the share's place in the split, its commitment, and the file that was read back. */
export function receiptArgsSha256(
  commitments: Commitments,
  index: number,
  fileSha256: string,
): string {
  const entry = commitments.shares.find((share) => share.index === index)
  if (entry === undefined || !/^[0-9a-f]{64}$/.test(fileSha256)) {
    throw new QuorumError('RECEIPT_INVALID', 'no receipt is possible for this', {
      where: `share ${index}`,
      expected: `index 1 to ${commitments.of} and the SHA-256 of the file`,
    })
  }
  const { holder, commitment } = entry
  return argsDigest({ scope: scopeOf(commitments), index, holder, commitment, fileSha256 })
}

/**
 * Reads a holder's own file back: opens it, checks it against the commitments and that it is theirs. Returns the
 * `argsSha256` to sign. Wipes the share, not the key. Throws QuorumError SHARE_UNREADABLE, SHARE_WRONG_EPOCH,
 * SHARE_INVALID.
 */
export async function readBack(
  file: Uint8Array,
  key: ShareKey,
  holder: string,
  commitments: Commitments,
): Promise<{ index: number; fileSha256: string; argsSha256: string }> {
  const share = await openShare(file, key, `share file of ${holder}`)
  try {
    checkShare(share, commitments)
  } finally {
    wipe(share.value, share.salt)
  }
  if (share.holder !== holder) {
    throw new QuorumError('SHARE_INVALID', `${holder} holds the share of ${share.holder}`, {
      where: `share file of ${holder}`,
      expected: `the share of ${holder}`,
      got: `share ${share.index} of ${share.holder}`,
    })
  }
  const fileSha256 = toHex(sha256(file))
  const argsSha256 = receiptArgsSha256(commitments, share.index, fileSha256)
  return { index: share.index, fileSha256, argsSha256 }
}

/** How a receipt is judged. */
export interface ReceiptCheck {
  readonly roster: AllowedSigners
  /** What the receipt must say; `action` is `share.receipt`. */
  readonly expected: IntentTopic
  /** Principal of the holder. */
  readonly person: string
  readonly at: Date
  readonly maxTtlMs?: number
  readonly used?: Iterable<SignedIntent>
}

/** Checks one receipt; returns the key's fingerprint. Throws QuorumError RECEIPT_INVALID naming person and reason. */
export function checkReceipt(receipt: SignedIntent, check: ReceiptCheck): string {
  const { person, expected, at } = check
  try {
    const topic = { ...expected, action: RECEIPT_ACTION }
    const request = { expected: topic, allowed: [person], need: 1, at }
    return approvalGate(check).checkOne(receipt, request)
  } catch (cause) {
    if (!(cause instanceof KeyriteError)) throw cause
    throw new QuorumError('RECEIPT_INVALID', `the receipt of ${person}: ${cause.message}`, {
      where: `step ${expected.step}`,
      expected: cause.expected,
      got: cause.got,
      hint: cause.hint,
      cause,
    })
  }
}

/** A receipt as the log has it: which file, and who signed when. */
export interface ShareReceipt {
  readonly holder: string
  readonly fileSha256: string
  readonly signed: SignedIntent
}

/** How all receipts of a split are judged. */
export interface ReceiptsCheck {
  readonly roster: AllowedSigners
  /** Principal of each holder. */
  readonly principals: Readonly<Record<string, string>>
  /** Where in the log the receipt was asked for; the other fields follow from the split. */
  readonly topic: (receipt: ShareReceipt) => Omit<IntentTopic, 'action' | 'argsSha256'>
  /** When the receipt was recorded. */
  readonly at: (receipt: ShareReceipt) => Date
  readonly maxTtlMs?: number
}

/**
 * All holders have signed for their share, each with a key of their own. Throws QuorumError RECEIPT_MISSING naming who
 * has not, RECEIPT_INVALID, SAME_PERSON_TWICE, SPLIT_INVALID.
 */
export function checkReceipts(
  commitments: Commitments,
  receipts: readonly ShareReceipt[],
  check: ReceiptsCheck,
): void {
  checkCommitments(commitments)
  const where = `${commitments.pin} PIN of token ${commitments.tokenLabel}, epoch ${commitments.epoch}`
  const byHolder = Map.groupBy(receipts, (receipt) => receipt.holder)
  const missing = commitments.shares.filter(({ holder }) => !byHolder.has(holder))
  if (missing.length > 0) {
    throw new QuorumError('RECEIPT_MISSING', 'not every holder has signed for their share', {
      where,
      have: commitments.of - missing.length,
      need: commitments.of,
      expected: `${commitments.of} receipts`,
      got: `none of ${missing.map(({ holder }) => holder).join(', ')}`,
      hint: 'have them open their file and sign, or abandon the split',
    })
  }
  const keys = new Map<string, string>()
  for (const { index, holder } of commitments.shares) {
    for (const receipt of byHolder.get(holder) ?? []) {
      const argsSha256 = receiptArgsSha256(commitments, index, receipt.fileSha256)
      const expected = { ...check.topic(receipt), action: RECEIPT_ACTION, argsSha256 }
      const person = check.principals[holder] ?? holder
      const limits = check.maxTtlMs === undefined ? {} : { maxTtlMs: check.maxTtlMs }
      const one = { roster: check.roster, expected, person, at: check.at(receipt), ...limits }
      const key = checkReceipt(receipt.signed, one)
      const other = keys.get(key)
      if (other !== undefined && other !== holder) {
        throw new QuorumError('SAME_PERSON_TWICE', 'one key signed for two shares', {
          where,
          expected: 'a key of their own for each holder',
          got: `${key} for ${other} and ${holder}`,
        })
      }
      keys.set(key, holder)
    }
  }
}
