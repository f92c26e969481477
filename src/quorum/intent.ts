/**
 * Intents: what a person signs before something happens. Signed over its RFC 8785 bytes in the namespace
 * `keyrite-approval`, so that `ssh-keygen -Y verify` checks it without keyrite.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalDigest, canonicalJson } from '../canonical.ts'
import { FormatError, QuorumError } from '../errors.ts'
import type { Random } from '../ports.ts'
import type { JsonObject } from '../types.ts'

import { checkSshsig, decodeSshsig } from './sshsig.ts'
import type { Intent, IntentFields, IntentTopic, SignedIntent, SshSigner } from './types.ts'

const TEXT = /^[^\p{Cc}\p{Cs}]{1,512}$/u
const SHA256 = /^[0-9a-f]{64}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/

/** The form of every field; an intent has exactly these. */
const FORMS: Readonly<Record<keyof IntentFields | 'v' | 'type', (value: unknown) => boolean>> = {
  v: (value) => value === 1,
  type: (value) => value === 'keyrite-intent',
  ceremony: (value) => typeof value === 'string' && /^[0-9a-f]{16,128}$/.test(value),
  mode: (value) => value === 'production' || value === 'rehearsal',
  planSha256: (value) => typeof value === 'string' && SHA256.test(value),
  bindingSha256: (value) => typeof value === 'string' && SHA256.test(value),
  step: (value) => typeof value === 'string' && TEXT.test(value),
  action: (value) => typeof value === 'string' && TEXT.test(value),
  argsSha256: (value) => typeof value === 'string' && SHA256.test(value),
  logOrigin: (value) => typeof value === 'string' && TEXT.test(value),
  logSize: (value) => Number.isSafeInteger(value) && Number(value) >= 0,
  logRoot: (value) => typeof value === 'string' && TEXT.test(value),
  // RFC 3339 §5.6, UTC; the parse refuses days and hours that do not exist.
  expires: (value) =>
    typeof value === 'string' && TIME.test(value) && !Number.isNaN(Date.parse(value)),
  signer: (value) => typeof value === 'string' && TEXT.test(value),
  nonce: (value) => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value),
}

/** Strict check of a value from outside, e.g. a log entry; throws FormatError naming the field. */
export function parseIntent(value: unknown, where = 'intent'): Intent {
  const fail = (field: string): never => {
    throw new FormatError('not an intent', { where, expected: 'a keyrite-intent v1', got: field })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('no object')
  const fields = value as Readonly<Record<string, unknown>>
  for (const [name, isGood] of Object.entries(FORMS)) {
    if (!Object.hasOwn(fields, name) || !isGood(fields[name])) fail(`a bad field "${name}"`)
  }
  const extra = Object.keys(fields).find((name) => !Object.hasOwn(FORMS, name))
  if (extra !== undefined) fail(`the unknown field ${JSON.stringify(extra.slice(0, 40))}`)
  return value as Intent
}

/** An intent of these fields; throws FormatError naming the field that is wrong. */
export function makeIntent(fields: IntentFields): Intent {
  return parseIntent({ v: 1, type: 'keyrite-intent', ...topicOf(fields), ...personal(fields) })
}

const personal = ({ expires, signer, nonce }: IntentFields) => ({ expires, signer, nonce })

/** The topic of an intent, and nothing else. */
export function topicOf(from: IntentTopic): IntentTopic {
  const { ceremony, mode, planSha256, bindingSha256, step, action, argsSha256 } = from
  const { logOrigin, logSize, logRoot } = from
  const about = { ceremony, mode, planSha256, bindingSha256, step, action, argsSha256 }
  return { ...about, logOrigin, logSize, logRoot }
}

/** A fresh nonce: 16 random bytes, hex. */
export const intentNonce = async (random: Random): Promise<string> => toHex(await random.bytes(16))

/** SHA-256 (hex) over the canonical JSON of an action's arguments: the field `argsSha256`. */
export const argsDigest = (args: JsonObject): string => toHex(canonicalDigest(args))

/** The bytes that are signed: canonical JSON, no line feed at the end. */
export const encodeIntent = (intent: Intent): Uint8Array => utf8(canonicalJson(intent))

/** SHA-256 (hex) of {@link encodeIntent}. */
export const intentDigest = (intent: Intent): string => toHex(sha256(encodeIntent(intent)))

/** SHA-256 (hex) of what all signers of one approval agree to; the `intentSha256` of an Approval. */
export const topicDigest = (topic: IntentTopic): string =>
  toHex(canonicalDigest({ ...topicOf(topic) }))

/**
 * Has an intent signed. The signature is checked here under the key it names, so that a signer that fails is noticed
 * at once; whether that key may sign is the gate's question. Throws QuorumError SIGNING_FAILED, FormatError.
 */
export async function signIntent(intent: Intent, signer: SshSigner): Promise<SignedIntent> {
  parseIntent(intent)
  if (intent.signer !== signer.principal) {
    throw new QuorumError('SIGNING_FAILED', 'the intent is for another person to sign', {
      where: `step ${intent.step}`,
      expected: intent.signer,
      got: signer.principal,
    })
  }
  const message = encodeIntent(intent)
  const signature = await signer.sign('keyrite-approval', message)
  try {
    checkSshsig(decodeSshsig(signature), 'keyrite-approval', message)
  } catch (cause) {
    throw new QuorumError('SIGNING_FAILED', `${signer.principal} returned a wrong signature`, {
      where: `step ${intent.step}`,
      expected: 'an SSH signature over this intent in namespace keyrite-approval',
      cause,
    })
  }
  return { intent, signature }
}
