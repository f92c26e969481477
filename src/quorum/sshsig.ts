/**
 * SSHSIG, the signature format of `ssh-keygen -Y sign` (OpenSSH PROTOCOL.sshsig), verified without OpenSSH.
 * Stricter than ssh-keygen in three points: a non-empty reserved field, white space around the armor, and a FIDO2
 * signature without user presence are refused.
 */
import { createHash } from 'node:crypto'

import { concat, fromBase64, toBase64, utf8 } from '../bytes.ts'
import { FormatError, QuorumError } from '../errors.ts'

import { judgeSignature, parseKeyBlob, type SshPublicKey } from './ssh-key.ts'
import { wireReader, wireString, wireUint32 } from './ssh-wire.ts'

const MAGIC = utf8('SSHSIG')
const VERSION = 1
const BEGIN = '-----BEGIN SSH SIGNATURE-----'
const END = '-----END SSH SIGNATURE-----'
/** What sshbuf_dtob64 of OpenSSH writes; readers take up to 76. */
const LINE = 70
/** The largest signature we know (RSA 16384) stays far below. */
const MAX_ARMOR = 16_384

/** Hash algorithms PROTOCOL.sshsig allows. */
export type SshsigHash = 'sha256' | 'sha512'

/** A parsed signature. */
export interface Sshsig {
  readonly key: SshPublicKey
  readonly namespace: string
  readonly hash: SshsigHash
  /** `string format` and its fields, as the key made it. */
  readonly signature: Uint8Array
}

function malformed(got: string): never {
  throw new FormatError('not an SSH signature', {
    where: 'SSH signature',
    expected: 'the armor ssh-keygen -Y sign writes',
    got,
  })
}

/** PROTOCOL.sshsig §3: the bytes the key signs. Throws FormatError for an empty namespace. */
export function sshsigSignedData(
  namespace: string,
  hash: SshsigHash,
  message: Uint8Array,
): Uint8Array {
  if (namespace === '') malformed('an empty namespace')
  const digest = createHash(hash).update(message).digest()
  const reserved = wireString('')
  return concat(MAGIC, wireString(namespace), reserved, wireString(hash), wireString(digest))
}

/** PROTOCOL.sshsig §1 and §2: the armored blob, ending in a newline. */
export function encodeSshsig({ key, namespace, hash, signature }: Sshsig): string {
  const blob = concat(
    MAGIC,
    wireUint32(VERSION),
    wireString(key.blob),
    wireString(namespace),
    wireString(''),
    wireString(hash),
    wireString(signature),
  )
  const lines = toBase64(blob).match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []
  return [BEGIN, ...lines, END, ''].join('\n')
}

/** Strict parse of an armored signature; throws FormatError. */
export function decodeSshsig(armored: string): Sshsig {
  if (armored.length > MAX_ARMOR) malformed(`${armored.length} characters`)
  const lines = armored.split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (lines.shift() !== BEGIN || lines.pop() !== END) malformed('other text')
  if (lines.some((line) => line.length === 0 || line.length > 76)) malformed('odd line lengths')
  const reader = wireReader(fromBase64(lines.join(''), 'SSH signature'), 'SSH signature')
  if (toBase64(reader.bytes(MAGIC.length)) !== toBase64(MAGIC)) malformed('another magic value')
  const version = reader.uint32()
  if (version !== VERSION) malformed(`version ${version}`)
  const key = parseKeyBlob(reader.string())
  const namespace = reader.text()
  if (namespace === '') malformed('an empty namespace')
  if (reader.string().length !== 0) malformed('a reserved field that is not empty')
  const hash = reader.text()
  if (hash !== 'sha256' && hash !== 'sha512') {
    return malformed(`hash ${JSON.stringify(hash.slice(0, 20))}`)
  }
  const signature = new Uint8Array(reader.string())
  reader.end()
  return { key, namespace, hash, signature }
}

/**
 * Checks the signature itself, not who may sign. Throws QuorumError SIGNATURE_WRONG_NAMESPACE or SIGNATURE_INVALID,
 * FormatError when the key's part is malformed.
 */
export function checkSshsig(sig: Sshsig, namespace: string, message: Uint8Array): void {
  const where = `signature by ${sig.key.fingerprint}`
  if (sig.namespace !== namespace) {
    throw new QuorumError(
      'SIGNATURE_WRONG_NAMESPACE',
      'the signature was made for something else',
      {
        where,
        expected: `namespace ${namespace}`,
        got: `namespace ${JSON.stringify(sig.namespace.slice(0, 80))}`,
      },
    )
  }
  const data = sshsigSignedData(namespace, sig.hash, message)
  const verdict = judgeSignature(sig.key, sig.signature, data)
  if (verdict !== 'good') {
    throw new QuorumError('SIGNATURE_INVALID', 'the signature does not fit the message', {
      where,
      expected: verdict === 'wrong' ? 'a signature over these bytes' : 'a touch of the FIDO2 key',
      got: verdict === 'wrong' ? 'another one' : 'no user presence',
    })
  }
}
