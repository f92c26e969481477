/**
 * Share files: age v1 (C2SP age.md), ASCII armored, one custodian each. Stock `age -d FILE` opens them.
 *
 * What stays in memory: passphrases are read from their bytes and never become strings. An age identity does become
 * a string (the age package decodes it), and the plaintext passes through web streams; both live until the engine
 * reuses the memory. So shares are sealed and opened in the short-lived process that shows them to their holder.
 */
import {
  armor,
  Decrypter,
  Encrypter,
  generateX25519Identity,
  identityToRecipient,
} from 'age-encryption'

import { fromUtf8, utf8, wipe } from '../bytes.ts'
import { ConfigError, QuorumError } from '../errors.ts'

import {
  DEFAULT_WORK_FACTOR,
  MAX_WORK_FACTOR,
  scryptIdentity,
  scryptRecipient,
} from './age-scrypt.ts'
import { encodeShareText, parseShareText } from './share-text.ts'
import type { Share, ShareKey, ShareLock } from './types.ts'

/** Below this, an offline search of a passphrase is cheap; only rehearsals and tests go there. */
const MIN_WORK_FACTOR = 10
const MAX_FILE_BYTES = 65_536
/** The age package judges the rest; the pattern keeps white space and other tools' keys away from it. */
const RECIPIENT = /^age1[0-9a-z]+$/

function refuseRecipient(got: string): never {
  throw new ConfigError('a share cannot be locked for this recipient', {
    where: 'share recipient',
    expected: 'age1..., age1pq1..., age1tag1... or age1tagpq1...',
    got,
    hint: 'for a plugin recipient lock the share with a passphrase and re-encrypt it with age -r',
  })
}

function lockWith(encrypter: Encrypter, lock: ShareLock): void {
  if ('recipient' in lock) {
    const { recipient } = lock
    // Not quoted: the likeliest mistake is the identity, a secret, in place of the recipient.
    if (!RECIPIENT.test(recipient)) refuseRecipient('text that is no age recipient')
    try {
      encrypter.addRecipient(recipient)
    } catch {
      refuseRecipient('a plugin recipient or a mistyped one')
    }
    return
  }
  const workFactor = lock.workFactor ?? DEFAULT_WORK_FACTOR
  const usable = Number.isInteger(workFactor) && workFactor >= MIN_WORK_FACTOR
  if (!usable || workFactor > MAX_WORK_FACTOR) {
    throw new ConfigError('scrypt work factor is out of range', {
      where: 'share lock',
      expected: `${MIN_WORK_FACTOR} to ${MAX_WORK_FACTOR}`,
      got: String(workFactor),
    })
  }
  if (lock.passphrase.length === 0) {
    throw new ConfigError('the passphrase is empty', { where: 'share lock' })
  }
  encrypter.addRecipient(scryptRecipient(lock.passphrase, workFactor))
}

/** The armored age file of a share. Wipes nothing of the caller's. Throws ConfigError on an unusable lock. */
export async function sealShare(share: Share, lock: ShareLock): Promise<Uint8Array> {
  const encrypter = new Encrypter()
  lockWith(encrypter, lock)
  const text = encodeShareText(share)
  try {
    return utf8(armor.encode(await encrypter.encrypt(text)))
  } finally {
    wipe(text)
  }
}

/** Adds every identity of an age identity file (comments and empty lines are skipped). */
function addIdentities(decrypter: Decrypter, identity: Uint8Array, where: string): void {
  const refuse = (): never => {
    // The age package quotes the identity in its own messages, so no cause is kept.
    throw new QuorumError('SHARE_UNREADABLE', 'the age identity is not usable', {
      where,
      expected: 'AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1...',
      hint: 'a plugin identity (AGE-PLUGIN-...) opens the file with: age -d -i IDENTITY FILE',
    })
  }
  let lines: string[] = []
  try {
    lines = fromUtf8(identity).split(/\r?\n/)
  } catch {
    refuse()
  }
  const keys = lines.map((line) => line.trim()).filter((line) => line !== '' && !/^#/.test(line))
  if (keys.length === 0) refuse()
  for (const key of keys) {
    try {
      decrypter.addIdentity(key)
    } catch {
      refuse()
    }
  }
}

function dearmor(file: Uint8Array): Uint8Array {
  const armored = file[0] === '-'.charCodeAt(0)
  return armored ? armor.decode(fromUtf8(file)) : file
}

/**
 * Opens a share file (armored or binary). `where` names the file or its holder in errors. The caller wipes the key and
 * the share. Throws QuorumError SHARE_UNREADABLE (wrong passphrase or identity, or no age file) or SHARE_INVALID
 * (opened, but not a share).
 */
export async function openShare(
  file: Uint8Array,
  key: ShareKey,
  where = 'share file',
): Promise<Share> {
  const decrypter = new Decrypter()
  if ('passphrase' in key) decrypter.addIdentity(scryptIdentity(key.passphrase))
  else addIdentities(decrypter, key.identity, where)
  let text: Uint8Array
  try {
    if (file.length > MAX_FILE_BYTES) throw new Error('too long for a share file')
    text = await decrypter.decrypt(dearmor(file))
  } catch {
    const what = 'passphrase' in key ? 'passphrase' : 'identity'
    throw new QuorumError('SHARE_UNREADABLE', `the ${what} does not open this share`, {
      where,
      expected: `an undamaged age file locked with this ${what}`,
      hint: `check that this is your file, then enter the ${what} again`,
    })
  }
  try {
    return parseShareText(text, where)
  } finally {
    wipe(text)
  }
}

/**
 * A fresh age X25519 identity, as the text of an identity file (what `age-keygen` writes), and its recipient. For
 * holders who bring no identity of their own; the caller wipes the identity, whose string stays with the engine.
 */
export async function newShareIdentity(): Promise<{ identity: Uint8Array; recipient: string }> {
  const key = await generateX25519Identity()
  const recipient = await identityToRecipient(key)
  return { identity: utf8(`# public key: ${recipient}\n${key}\n`), recipient }
}
