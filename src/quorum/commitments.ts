/**
 * Commitments to shares: public values that let a bad share be named without learning anything about it.
 * Commitment = SHA-256(label, canonical scope with index and holder, 32-byte salt, value). Hiding and binding
 * need a hash only, since the salt has full entropy.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { QuorumError } from '../errors.ts'

import type { Commitments, Share, ShareScope } from './types.ts'

/** Domain label: no other hash in keyrite starts with it. */
const LABEL = 'keyrite-share-commitment-v1'
/** Bytes of salt per share. */
export const SALT_BYTES = 32
/** The most people a PIN can be split among; x coordinates are non-zero bytes. */
const MAX_HOLDERS = 255

const NAME = /^(?! )[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]{1,128}(?<! )$/u

/** True for text that fits on one line of a share file: holder ids, token labels, serials. */
const isName = (text: string): boolean => NAME.test(text) && text.isWellFormed()

/** The scope fields of a share or of commitments, and nothing else. */
export function scopeOf(
  from: ShareScope,
): ShareScope & { readonly [key: string]: string | number } {
  const { tokenLabel, tokenSerial, pin, epoch, threshold, of } = from
  return { tokenLabel, tokenSerial, pin, epoch, threshold, of }
}

/** One line that tells people which PIN, epoch and split is meant. */
export const describeScope = (scope: ShareScope): string =>
  `${scope.pin} PIN of token ${scope.tokenLabel} (serial ${scope.tokenSerial}), epoch ${scope.epoch}, ` +
  `${scope.threshold} of ${scope.of}`

/** The share's name in errors: who and which. */
export const describeShare = (share: { index: number; holder: string }): string =>
  `share ${share.index} of ${share.holder}`

/** The commitment (hex) a share opens. */
export function commitmentOf(share: Share): string {
  const { holder, index } = share
  const about = canonicalJson({ scope: scopeOf(share), holder, index })
  // Canonical JSON has no line feed and the salt has a fixed length, so the input splits in one way only.
  return toHex(sha256(utf8(`${LABEL}\n${about}\n`), share.salt, share.value))
}

const invalid = (expected: string, got: string): QuorumError =>
  new QuorumError('SPLIT_INVALID', 'a PIN cannot be split this way', {
    where: 'split',
    expected,
    got,
  })

/** Refuses a scope no split can have; throws QuorumError SPLIT_INVALID. */
export function checkScope(scope: ShareScope, holders: readonly string[]): void {
  const { threshold, of } = scope
  if (!Number.isSafeInteger(threshold) || threshold < 2) {
    throw invalid('a threshold of at least 2', String(threshold))
  }
  if (of !== holders.length || of < threshold || of > MAX_HOLDERS) {
    throw invalid(`${threshold} to ${MAX_HOLDERS} holders`, String(holders.length))
  }
  if (!Number.isSafeInteger(scope.epoch) || scope.epoch < 1) {
    throw invalid('an epoch of at least 1', String(scope.epoch))
  }
  if ((scope.pin as string) !== 'user' && (scope.pin as string) !== 'so') {
    throw invalid('pin user or so', JSON.stringify(scope.pin))
  }
  for (const name of [scope.tokenLabel, scope.tokenSerial, ...holders]) {
    if (!isName(name)) throw invalid('names of one line, not padded', JSON.stringify(name))
  }
  const twice = holders.find((holder, at) => holders.indexOf(holder) !== at)
  if (twice !== undefined) throw invalid('every holder once', `${twice} twice`)
}

/** Refuses commitments that do not describe one split among distinct people; throws QuorumError SPLIT_INVALID. */
export function checkCommitments(commitments: Commitments): void {
  const { shares } = commitments
  checkScope(
    commitments,
    shares.map((share) => share.holder),
  )
  shares.forEach((share, at) => {
    if (share.index !== at + 1) throw invalid(`share index ${at + 1}`, String(share.index))
    if (!/^[0-9a-f]{64}$/.test(share.commitment)) {
      throw invalid('64 hexadecimal digits per commitment', `other text for ${share.holder}`)
    }
  })
}

/**
 * Checks one share against the public commitments. Throws QuorumError SHARE_WRONG_EPOCH for a share of another
 * token, PIN or epoch, SHARE_INVALID for one that was changed, mistyped or relabelled; both name the share.
 */
export function checkShare(share: Share, commitments: Commitments): void {
  checkCommitments(commitments)
  const where = describeShare(share)
  if (canonicalJson(scopeOf(share)) !== canonicalJson(scopeOf(commitments))) {
    throw new QuorumError('SHARE_WRONG_EPOCH', `${where} belongs to another split`, {
      where,
      expected: describeScope(commitments),
      got: describeScope(share),
      hint: 'bring the share issued at the latest split of this PIN',
    })
  }
  const known = commitments.shares.find((entry) => entry.index === share.index)
  if (known?.holder !== share.holder) {
    throw new QuorumError('SHARE_INVALID', `${where} was never issued`, {
      where,
      expected: known === undefined ? `index 1 to ${commitments.of}` : describeShare(known),
      got: where,
    })
  }
  if (share.salt.length !== SALT_BYTES || commitmentOf(share) !== known.commitment) {
    throw new QuorumError('SHARE_INVALID', `${where} does not match its commitment`, {
      where,
      expected: `commitment ${known.commitment}`,
      got: 'a changed or mistyped value',
      hint: 'enter this share again, or use the share of another holder',
    })
  }
}
