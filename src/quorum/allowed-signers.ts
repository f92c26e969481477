/**
 * The roster: an OpenSSH allowed_signers file (ssh-keygen(1), ALLOWED SIGNERS).
 * Never laxer than ssh-keygen, stricter where an answer would depend on the machine or on luck: one bad line refuses
 * the file, times need their Z (or UTC), certificates are not accepted.
 */
import { fromBase64 } from '../bytes.ts'
import { FormatError, QuorumError } from '../errors.ts'

import { matchesPatternList } from './pattern-list.ts'
import { isKeyType, parseKeyBlob, sameKey, type SshPublicKey } from './ssh-key.ts'
import { checkSshsig, decodeSshsig } from './sshsig.ts'

/** One line of the file. */
export interface AllowedSigner {
  /** 1-based line number. */
  readonly line: number
  /** Pattern list (ssh_config(5) PATTERNS) of principals. */
  readonly principals: string
  /** Pattern list of namespaces; any namespace when absent. */
  readonly namespaces: string | undefined
  /** First and last second (Unix time) the key is valid in. */
  readonly validAfter: number | undefined
  readonly validBefore: number | undefined
  readonly key: SshPublicKey
}

/** A parsed roster. */
export type AllowedSigners = readonly AllowedSigner[]

/** Who made a signature. */
export interface SignatureOwner {
  readonly principal: string
  /** `SHA256:...` */
  readonly keyFingerprint: string
  /** Line of the roster that allowed it. */
  readonly line: number
}

type Fail = (expected: string, got: string) => never
type Options = Pick<AllowedSigner, 'namespaces' | 'validAfter' | 'validBefore'>

const MAX_BYTES = 1_000_000
/** keyword[="value"] where the value may hold \" ; the next character is a comma, a space or the end. */
const OPTION = /^([A-Za-z-]+)(?:="((?:[^"\\]|\\")*)")?(?=[, \t]|$)/
const TIME = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(?:Z|UTC)$/i

function parseTime(name: string, text: string, fail: Fail): number {
  const match = TIME.exec(text)
  if (match === null) {
    return fail(`${name} as YYYYMMDDZ or YYYYMMDDHHMM[SS]Z, in UTC`, text.slice(0, 40))
  }
  const [year, month, day, hour, minute, second] = match.slice(1).map((part) => Number(part || 0))
  const [y = 0, m = 0, d = 0, h = 0, i = 0, s = 0] = [year, month, day, hour, minute, second]
  const ms = Date.UTC(y, m - 1, d, h, i, s)
  const iso = [y, m, d, h, i, s].map((part, at) => String(part).padStart(at === 0 ? 4 : 2, '0'))
  const same = ms > 0 && new Date(ms).toISOString().replace(/\D/g, '').startsWith(iso.join(''))
  return same ? ms / 1000 : fail(`${name} that is on the calendar`, text)
}

/** Parses the option field at the start of `text`; returns the options and what follows them. */
function parseOptions(text: string, fail: Fail): { options: Options; rest: string } {
  const seen = new Map<string, string>()
  let rest = text
  for (;;) {
    const match = OPTION.exec(rest)
    if (match === null) return fail('options, key type and key', 'an option that cannot be read')
    const [all, keyword = '', quoted] = match
    const name = keyword.toLowerCase()
    if (name === 'cert-authority') {
      return fail('keys of people', 'cert-authority, which keyrite does not accept')
    }
    if (!['namespaces', 'valid-after', 'valid-before'].includes(name) || quoted === undefined) {
      return fail('namespaces=, valid-after= or valid-before=', `option ${name}`)
    }
    if (seen.has(name)) return fail(`${name} once`, `${name} twice`)
    seen.set(name, quoted.replaceAll('\\"', '"'))
    rest = rest.slice(all.length)
    if (!rest.startsWith(',')) break
    rest = rest.slice(1)
  }
  const time = (name: string): number | undefined => {
    const value = seen.get(name)
    return value === undefined ? undefined : parseTime(name, value, fail)
  }
  const namespaces = seen.get('namespaces')
  const [validAfter, validBefore] = [time('valid-after'), time('valid-before')]
  if (validAfter !== undefined && validBefore !== undefined && validBefore <= validAfter) {
    return fail('valid-before later than valid-after', 'an empty time span')
  }
  return { options: { namespaces, validAfter, validBefore }, rest: rest.replace(/^[ \t]+/, '') }
}

function parseLine(text: string, line: number, where: string): AllowedSigner {
  const at = `${where}:${line}`
  const fail: Fail = (expected, got) => {
    throw new FormatError('roster line cannot be used', { where: at, expected, got })
  }
  const [, principals = '', after = ''] =
    /^([^\s"]+)[ \t]+(.+)$/.exec(text) ?? fail('principals, options, key type, key', 'other text')
  const startsWithKey = isKeyType(/^\S+/.exec(after)?.[0] ?? '')
  const none = { namespaces: undefined, validAfter: undefined, validBefore: undefined }
  const { options, rest } = startsWithKey
    ? { options: none, rest: after }
    : /^(?:[a-z0-9@.-]+)[ \t]+AAAA/.test(after)
      ? fail('ssh-ed25519, ecdsa-sha2-*, ssh-rsa or sk-* keys', 'another key type')
      : parseOptions(after, fail)
  const [, type = '', encoded = ''] =
    /^(\S+)[ \t]+(\S+)(?:[ \t].*)?$/.exec(rest) ?? fail('key type and key', 'no key')
  let key: SshPublicKey
  try {
    key = parseKeyBlob(fromBase64(encoded, at))
  } catch (error) {
    return fail('a usable public key', error instanceof FormatError ? error.message : 'other bytes')
  }
  if (key.type !== type) fail(`a key of type ${type}`, `a key of type ${key.type}`)
  return { line, principals, ...options, key }
}

/** Parses a roster; `where` is its file name. Throws FormatError naming the line. */
export function parseAllowedSigners(text: string, where = 'allowed_signers'): AllowedSigners {
  if (text.length > MAX_BYTES) {
    throw new FormatError('roster is too long', { where, got: `${text.length} characters` })
  }
  return text.split('\n').flatMap((raw, at) => {
    if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(raw)) {
      throw new FormatError('roster line cannot be used', {
        where: `${where}:${at + 1}`,
        expected: 'lines that end in a line feed, without control characters',
        got: 'a control character',
      })
    }
    const line = raw.replace(/^[ \t]+|[ \t]+$/g, '')
    return line === '' || line.startsWith('#') ? [] : [parseLine(line, at + 1, where)]
  })
}

/** The roster's lines for a principal, in order. */
export const signersFor = (roster: AllowedSigners, principal: string): AllowedSigners =>
  roster.filter((entry) => matchesPatternList(principal, entry.principals))

type Refusal =
  'SIGNER_UNKNOWN' | 'SIGNER_WRONG_KEY' | 'SIGNER_EXPIRED' | 'SIGNATURE_WRONG_NAMESPACE'

const refusal = (
  code: Refusal,
  message: string,
  where: string,
  expected: string,
  got: string,
): QuorumError => new QuorumError(code, message, { where, expected, got })

const isoSecond = (seconds: number): string => new Date(seconds * 1000).toISOString()

/** First reason the line does not allow the signature, in the order of ssh-keygen; `undefined` when it does. */
function objection(
  { line, namespaces, validAfter, validBefore }: AllowedSigner,
  namespace: string,
  second: number,
): QuorumError | undefined {
  const where = `roster line ${line}`
  const now = isoSecond(second)
  if (namespaces !== undefined && !matchesPatternList(namespace, namespaces)) {
    const message = 'the key may not sign in this namespace'
    return refusal('SIGNATURE_WRONG_NAMESPACE', message, where, namespaces, namespace)
  }
  if (validAfter !== undefined && second < validAfter) {
    const expected = `at or after ${isoSecond(validAfter)}`
    return refusal('SIGNER_EXPIRED', 'the key is not valid yet', where, expected, now)
  }
  if (validBefore !== undefined && second > validBefore) {
    const expected = `at or before ${isoSecond(validBefore)}`
    return refusal('SIGNER_EXPIRED', 'the key has expired', where, expected, now)
  }
  return undefined
}

/**
 * Verifies an armored SSHSIG as `ssh-keygen -Y verify -O verify-time=` does. Throws FormatError (no signature at all),
 * QuorumError SIGNER_UNKNOWN (no line for the principal), SIGNER_WRONG_KEY (lines, but another key), SIGNER_EXPIRED,
 * SIGNATURE_WRONG_NAMESPACE, SIGNATURE_INVALID.
 */
export function verifySshsig(check: {
  signature: string
  message: Uint8Array
  namespace: string
  principal: string
  roster: AllowedSigners
  at: Date
}): SignatureOwner {
  const { message, namespace, principal, roster } = check
  const sig = decodeSshsig(check.signature)
  const second = Math.floor(check.at.getTime() / 1000)
  if (Number.isNaN(second)) {
    throw new FormatError('not a time', { where: 'time of the signature check' })
  }
  const lines = signersFor(roster, principal)
  const keyFingerprint = sig.key.fingerprint
  if (lines.length === 0) {
    const message = `nobody called ${principal} is on the roster`
    throw refusal('SIGNER_UNKNOWN', message, 'roster', 'a principal of the roster', principal)
  }
  let first: QuorumError | undefined
  for (const entry of lines.filter((candidate) => sameKey(candidate.key, sig.key))) {
    const reason = objection(entry, namespace, second)
    if (reason === undefined) {
      checkSshsig(sig, namespace, message)
      return { principal, keyFingerprint, line: entry.line }
    }
    first ??= reason
  }
  const where = `roster line ${lines.map((entry) => entry.line).join(', ')}`
  const expected = lines.map((entry) => entry.key.fingerprint).join(' or ')
  const wrongKey = `the signature is not by a key of ${principal}`
  throw first ?? refusal('SIGNER_WRONG_KEY', wrongKey, where, expected, keyFingerprint)
}
