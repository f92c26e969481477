/**
 * Issuing and opening PIN shares. A split counts only when every holder has read their own share back
 * from the medium and signed a receipt for it.
 */
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { wipe } from '../bytes.ts'
import { ConfigError, QuorumError } from '../errors.ts'
import {
  type Commitments,
  type PinKind,
  type Share,
  type ShareKey,
  checkReceipt,
  checkShare,
  combineShares,
  openShare,
  RECEIPT_ACTION,
  readBack,
  sealShare,
  splitSecret,
} from '../quorum/index.ts'
import { actingPeople, needed } from './acting.ts'
import { intentTopic, recordRefusal, signTopic } from './approvals.ts'
import { writeFileDurable } from './bundle.ts'
import { type Ceremony, holders } from './context.ts'
import { loggedCommitments } from './logged-commitments.ts'
import type { Person, Role } from './room.ts'

const TRIES = 3

/** Which people hold shares of which PIN. */
export const shareRole = (pin: PinKind): Role => (pin === 'user' ? 'custodian' : 'security-officer')

/** A split of one PIN of one token. */
export interface SplitTopic {
  readonly step: string
  readonly tokenLabel: string
  readonly tokenSerial: string
  readonly pin: PinKind
  readonly epoch: number
}

type Scope = Pick<Commitments, 'tokenLabel' | 'pin' | 'epoch'>

/** Where a person's share file lies: on their own medium. */
export function shareFile(ceremony: Ceremony, person: Person, scope: Scope): string {
  const medium = ceremony.binding.people[person.id]?.shares
  if (medium === undefined) {
    throw new ConfigError(`${person.id} holds a share but has no medium`, {
      where: `binding: people.${person.id}.shares`,
      expected: 'directory and lock',
    })
  }
  return join(
    medium.directory,
    `${scope.tokenLabel}.${scope.pin}-pin.epoch-${scope.epoch}.${person.id}.age`,
  )
}

async function shareKey(ceremony: Ceremony, person: Person, purpose: string): Promise<ShareKey> {
  const lock = ceremony.binding.people[person.id]?.shares?.lock
  if (lock === undefined || lock === 'passphrase') {
    return { passphrase: await ceremony.room.passphrase(person, purpose, { again: false }) }
  }
  return { identity: new Uint8Array(await readFile(lock.identity)) }
}

const wipeKey = (key: ShareKey): void => wipe('passphrase' in key ? key.passphrase : key.identity)

/**
 * The folder of shares on a person's medium. Only that one folder is made: where the medium itself is
 * missing, making it would put the share on the host's disk.
 */
async function prepareMedium(person: Person, directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
    const there = code === 'EEXIST' && (await stat(directory).catch(() => undefined))?.isDirectory()
    if (there === true) return
    throw new ConfigError(`the share medium of ${person.id} cannot be used`, {
      where: directory,
      expected: 'a folder on the medium, or one that can be made there',
      got: code,
      hint: `insert the medium of ${person.id}; the ceremony can then be held again`,
      cause,
    })
  }
}

/** Writes a share file, then reads it back from the medium, opens it and checks it against its commitment. */
async function deliver(
  ceremony: Ceremony,
  person: Person,
  share: Share,
  commitments: Commitments,
): Promise<{ fileSha256: string; argsSha256: string }> {
  const path = shareFile(ceremony, person, share)
  const label = `${share.tokenLabel} ${share.pin} PIN, epoch ${share.epoch}`
  const lock = ceremony.binding.people[person.id]?.shares?.lock
  const recipient = lock === undefined || lock === 'passphrase' ? undefined : lock.recipient
  const key: ShareKey =
    recipient === undefined
      ? {
          passphrase: await ceremony.room.passphrase(person, `new share: ${label}`, {
            again: true,
          }),
        }
      : await shareKey(ceremony, person, label)
  try {
    const file = await sealShare(
      share,
      'passphrase' in key ? { passphrase: key.passphrase } : { recipient: recipient ?? '' },
    )
    await prepareMedium(person, dirname(path))
    // An unfinished split may have left a share of the same epoch; it never counted.
    await writeFileDurable(path, file, { replace: true })
    return await readBack(new Uint8Array(await readFile(path)), key, person.id, commitments)
  } finally {
    wipeKey(key)
  }
}

/**
 * Splits a secret among all holders of its role and collects a signed receipt from each. Until this
 * returns, nothing about the token's PIN may change. Throws RECEIPT_MISSING, SHARE_INVALID, SPLIT_INVALID.
 */
export async function issueShares(
  ceremony: Ceremony,
  topic: SplitTopic,
  secret: Uint8Array,
): Promise<Commitments> {
  const { journal, room, roster, clock } = ceremony
  const role = shareRole(topic.pin)
  const everyone = holders(ceremony, role)
  const { step, ...scope } = topic
  const { shares, commitments } = await splitSecret(
    secret,
    { ...scope, threshold: needed(ceremony, role) },
    everyone.map(({ id }) => id),
  )
  try {
    for (const [index, person] of everyone.entries()) {
      const share = shares[index]
      if (share === undefined) throw new RangeError('fewer shares than holders')
      room.progress(
        `${person.name} receives a share of the ${topic.pin} PIN`,
        index,
        everyone.length,
      )
      const { fileSha256, argsSha256 } = await deliver(ceremony, person, share, commitments)
      await room.confirm(person, `You hold share ${share.index} of ${commitments.of}?`, 'received')
      const expected = intentTopic(ceremony, step, RECEIPT_ACTION, argsSha256)
      const receipt = await signTopic(ceremony, expected, person)
      checkReceipt(receipt, {
        roster,
        expected,
        person: person.principal,
        maxTtlMs: ceremony.policy.approvalTtlMinutes * 60_000,
        at: new Date(clock.wallMs()),
      })
      await journal.append('receipt', step, { ...receipt, fileSha256 }, ['crypto-verified'])
    }
  } catch (error) {
    return await recordRefusal(ceremony, step, RECEIPT_ACTION, [], error)
  } finally {
    for (const share of shares) wipe(share.value, share.salt)
  }
  await journal.append('shares.committed', step, { commitments: loggedCommitments(commitments) }, [
    'crypto-verified',
  ])
  return commitments
}

/** One person opens their own share file; wrong passphrases may be tried again. */
export async function openOwnShare(
  ceremony: Ceremony,
  step: string,
  person: Person,
  commitments: Commitments,
): Promise<Share> {
  const path = shareFile(ceremony, person, commitments)
  const file = await readFile(path).catch((cause: unknown) => {
    throw new QuorumError('SHARE_UNREADABLE', `the share of ${person.id} is not there`, {
      where: path,
      expected: `share of the ${commitments.pin} PIN of ${commitments.tokenLabel}, epoch ${commitments.epoch}`,
      hint: 'insert the medium that holds this share; after a later ceremony, name its bundle as previous',
      cause,
    })
  })
  for (let attempt = 1; ; attempt += 1) {
    const key = await shareKey(
      ceremony,
      person,
      `share: ${commitments.tokenLabel} ${commitments.pin} PIN`,
    )
    try {
      const share = await openShare(new Uint8Array(file), key)
      checkShare(share, commitments)
      return share
    } catch (error) {
      const again = error instanceof QuorumError && error.code === 'SHARE_UNREADABLE'
      if (!again || attempt === TRIES || 'identity' in key) {
        return await recordRefusal(ceremony, step, 'share.open', [person.id], error)
      }
      ceremony.room.show([`${error.message} (${attempt} of ${TRIES} tries)`])
    } finally {
      wipeKey(key)
    }
  }
}

/** Opens the shares of the people who act today and combines them into the secret; the caller wipes it. */
export async function combineOpened(
  ceremony: Ceremony,
  step: string,
  commitments: Commitments,
): Promise<Uint8Array> {
  const acting = await actingPeople(ceremony, shareRole(commitments.pin), step)
  const shares: Share[] = []
  try {
    for (const [index, person] of acting.entries()) {
      ceremony.room.progress(`${person.name} opens a share`, index, acting.length)
      const share = await openOwnShare(ceremony, step, person, commitments)
      shares.push(share)
      await ceremony.journal.append(
        'share.opened',
        step,
        {
          token: commitments.tokenLabel,
          pin: commitments.pin,
          epoch: commitments.epoch,
          holder: share.holder,
          index: share.index,
        },
        ['crypto-verified'],
      )
    }
    return await combineShares(shares, commitments).catch((error: unknown) =>
      recordRefusal(
        ceremony,
        step,
        'shares.combine',
        acting.map(({ id }) => id),
        error,
      ),
    )
  } finally {
    for (const share of shares) wipe(share.value, share.salt)
  }
}

/** Removes the share files of an epoch that no longer opens anything. Their media may keep traces. */
export async function removeShares(ceremony: Ceremony, scope: Scope): Promise<void> {
  for (const person of holders(ceremony, shareRole(scope.pin))) {
    await rm(shareFile(ceremony, person, scope), { force: true })
  }
}
