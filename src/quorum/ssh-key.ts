/**
 * SSH public keys and what verifies under them, with node:crypto.
 * Sources: RFC 4253 §6.6 (RSA), RFC 8332 (rsa-sha2), RFC 5656 §3.1 (ECDSA), RFC 8709 (Ed25519),
 * OpenSSH PROTOCOL.u2f (FIDO2 `sk-` keys).
 */
import { createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto'

import { concat, equal, fromBase64, sha256, toBase64 } from '../bytes.ts'
import { FormatError } from '../errors.ts'

import { type WireReader, wireReader } from './ssh-wire.ts'

/** A parsed public key. `blob` is its wire form, the identity of the key. */
export interface SshPublicKey {
  readonly type: string
  readonly blob: Uint8Array
  /** `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string
  readonly key: KeyObject
  /** FIDO2 application, for `sk-` keys. */
  readonly application: string | undefined
}

/** `untouched`: a FIDO2 signature that is right but was made without user presence. */
export type SignatureVerdict = 'good' | 'wrong' | 'untouched'

interface KeyType {
  readonly read: (reader: WireReader) => JsonWebKey
  readonly sk: boolean
  /** Checks the rest of a signature blob of format `format` over `data`. */
  readonly check: (
    key: SshPublicKey,
    format: string,
    signature: WireReader,
    data: Uint8Array,
  ) => boolean
}

/** SP 800-131A Rev. 2 §3 disallows shorter keys; OpenSSL refuses to compute with longer ones. */
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 16_384
/** PROTOCOL.u2f: bit 0 of the flags is "user presence". */
const USER_PRESENT = 0x01

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

function malformed(got: string): never {
  throw new FormatError('not a usable SSH public key', { where: 'SSH public key', got })
}

function readEd25519(reader: WireReader): JsonWebKey {
  const point = reader.string()
  if (point.length !== 32) malformed(`${point.length}-byte Ed25519 key`)
  return { kty: 'OKP', crv: 'Ed25519', x: base64url(point) }
}

const readEcdsa =
  (curve: string, crv: string, size: number) =>
  (reader: WireReader): JsonWebKey => {
    if (reader.text() !== curve) malformed('a curve that differs from the key type')
    const point = reader.string()
    // RFC 5656 §3.1: Q is an encoded point (SEC 1 §2.3.3); OpenSSH writes the uncompressed form only.
    if (point.length !== 2 * size + 1 || point[0] !== 4) malformed('a compressed or short point')
    const x = base64url(point.subarray(1, size + 1))
    return { kty: 'EC', crv, x, y: base64url(point.subarray(size + 1)) }
  }

function readRsa(reader: WireReader): JsonWebKey {
  const e = reader.mpint()
  const n = reader.mpint()
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) malformed(`RSA key of ${bits} bits`)
  return { kty: 'RSA', e: base64url(e), n: base64url(n) }
}

/** RFC 5656 §3.1.2: mpint r, mpint s; as fixed-size r || s (IEEE P1363) for node:crypto. */
function ecdsaSignature(reader: WireReader, size: number): Uint8Array {
  const out = new Uint8Array(2 * size)
  for (const end of [size, 2 * size]) {
    const part = reader.mpint()
    if (part.length > size || part.length === 0) {
      throw new FormatError('ECDSA signature is out of range', { where: 'SSH signature' })
    }
    out.set(part, end - part.length)
  }
  reader.end()
  return out
}

const checkEcdsa =
  (hash: string, size: number): KeyType['check'] =>
  ({ key, type }, format, signature, data) => {
    const rs = ecdsaSignature(wireReader(signature.string(), 'ECDSA signature'), size)
    signature.end()
    return format === type && verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, rs)
  }

const RSA_HASHES: Readonly<Record<string, string>> = {
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
}

const checkRsa: KeyType['check'] = ({ key }, format, signature, data) => {
  const raw = signature.string()
  signature.end()
  const size = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
  const hash = RSA_HASHES[format]
  // RFC 8332 §3 names the formats; SHA-1 (`ssh-rsa`) is not among those PROTOCOL.sshsig allows.
  if (hash === undefined || raw.length > size) return false
  // Some signers drop leading zeros of the signature; RFC 3447 §8.2.2 wants the length of the modulus.
  return verify(hash, data, key, concat(new Uint8Array(size - raw.length), raw))
}

/** PROTOCOL.u2f "SSH U2F signatures": the authenticator signs application hash, flags, counter, message hash. */
const skData = (key: SshPublicKey, flagsAndCounter: Uint8Array, data: Uint8Array): Uint8Array =>
  concat(sha256(new TextEncoder().encode(key.application)), flagsAndCounter, sha256(data))

const plainEd25519: KeyType = {
  sk: false,
  read: readEd25519,
  check: ({ key, type }, format, signature, data) => {
    const raw = signature.string()
    signature.end()
    return format === type && raw.length === 64 && verify(null, data, key, raw)
  },
}
const skEd25519: KeyType = {
  sk: true,
  read: readEd25519,
  check: (key, format, signature, data) => {
    const raw = signature.string()
    const tail = signature.bytes(5)
    signature.end()
    const good = raw.length === 64 && verify(null, skData(key, tail, data), key.key, raw)
    return format === key.type && good
  },
}
const skEcdsa: KeyType = {
  sk: true,
  read: readEcdsa('nistp256', 'P-256', 32),
  check: (key, format, signature, data) => {
    const rs = ecdsaSignature(wireReader(signature.string(), 'ECDSA signature'), 32)
    const tail = signature.bytes(5)
    signature.end()
    const options = { key: key.key, dsaEncoding: 'ieee-p1363' } as const
    return format === key.type && verify('sha256', skData(key, tail, data), options, rs)
  },
}
const ecdsa = (curve: string, crv: string, hash: string, size: number): KeyType => ({
  sk: false,
  read: readEcdsa(curve, crv, size),
  check: checkEcdsa(hash, size),
})

const KEY_TYPES: Readonly<Record<string, KeyType>> = {
  'ssh-ed25519': plainEd25519,
  'ecdsa-sha2-nistp256': ecdsa('nistp256', 'P-256', 'sha256', 32),
  'ecdsa-sha2-nistp384': ecdsa('nistp384', 'P-384', 'sha384', 48),
  'ecdsa-sha2-nistp521': ecdsa('nistp521', 'P-521', 'sha512', 66),
  'ssh-rsa': { sk: false, read: readRsa, check: checkRsa },
  'sk-ssh-ed25519@openssh.com': skEd25519,
  'sk-ecdsa-sha2-nistp256@openssh.com': skEcdsa,
}

/** True for the key types keyrite verifies. */
export const isKeyType = (type: string): boolean => Object.hasOwn(KEY_TYPES, type)

/** Parses a key's wire form; throws FormatError for unknown types, certificates, bad points and short RSA keys. */
export function parseKeyBlob(blob: Uint8Array): SshPublicKey {
  const reader = wireReader(blob, 'SSH public key')
  const type = reader.text()
  const kind = isKeyType(type) ? KEY_TYPES[type] : undefined
  if (kind === undefined) return malformed(`key type ${JSON.stringify(type.slice(0, 60))}`)
  const jwk = kind.read(reader)
  const application = kind.sk ? reader.text() : undefined
  reader.end()
  const fingerprint = `SHA256:${toBase64(sha256(blob)).replace(/=+$/, '')}`
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    return { type, blob: new Uint8Array(blob), fingerprint, key, application }
  } catch {
    return malformed('a point that is not on the curve, or an unusable modulus')
  }
}

/** Parses `type base64 [comment]`, the line of a `.pub` file; throws FormatError. */
export function parsePublicKey(line: string): SshPublicKey {
  const [, type = '', encoded = ''] =
    /^([^\s"]+)[ \t]+(\S+)(?:[ \t][^\r\n]*)?\r?\n?$/.exec(line) ?? malformed('other text')
  const key = parseKeyBlob(fromBase64(encoded, 'SSH public key'))
  return key.type === type ? key : malformed('a key of another type than the line says')
}

/** `type base64 [comment]`, as in a `.pub` file and in `allowed_signers`. */
export const formatPublicKey = (key: SshPublicKey, comment = ''): string =>
  `${key.type} ${toBase64(key.blob)}${comment === '' ? '' : ` ${comment}`}`

/** Equality of keys. */
export const sameKey = (a: SshPublicKey, b: SshPublicKey): boolean => equal(a.blob, b.blob)

/** OpenSSL throws for keys it will not compute with, e.g. an even modulus: such a signature does not hold. */
function holds(check: () => boolean): boolean {
  try {
    return check()
  } catch (error) {
    if (error instanceof FormatError) throw error
    return false
  }
}

/** Judges a signature blob (`string format`, then its fields) over `data`; throws FormatError when malformed. */
export function judgeSignature(
  key: SshPublicKey,
  blob: Uint8Array,
  data: Uint8Array,
): SignatureVerdict {
  const reader = wireReader(blob, 'SSH signature')
  const format = reader.text()
  const kind = KEY_TYPES[key.type]
  if (kind === undefined || !holds(() => kind.check(key, format, reader, data))) return 'wrong'
  // The last five bytes of an sk signature are flags and counter; their place was checked above.
  const touched = !kind.sk || ((blob.at(-5) ?? 0) & USER_PRESENT) !== 0
  return touched ? 'good' : 'untouched'
}
