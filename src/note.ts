/**
 * Signed notes and verifier keys.
 * Source: C2SP signed-note v1.0.0 (https://c2sp.org/signed-note); Go `golang.org/x/mod/sumdb/note` reads the same.
 * Stricter than either: base64 must be canonical, and every signature made is verified before it is returned.
 */
import { createPublicKey, verify as verifySignature } from 'node:crypto'

import { concat, equal, fromBase64, fromUtf8, sha256, toBase64, toHex, utf8 } from './bytes.ts'
import { ConfigError, FormatError, VerificationError } from './errors.ts'
import type { SignatureAlgorithm, Signer } from './ports.ts'

/** Signature type bytes of signed-note: 0x01 Ed25519, 0x02 ECDSA. */
const TYPE: Record<SignatureAlgorithm, number> = { ed25519: 0x01, 'ecdsa-p256-sha256': 0x02 }

/**
 * Everything of the DER SubjectPublicKeyInfo before the key itself: RFC 8410 §4 for Ed25519; RFC 5480 §2
 * with the named curve P-256 and an uncompressed point (its 0x04 included). One key has one encoding only.
 */
const SPKI: Record<SignatureAlgorithm, { prefix: Uint8Array; length: number }> = {
  ed25519: { prefix: Buffer.from('302a300506032b6570032100', 'hex'), length: 12 + 32 },
  'ecdsa-p256-sha256': {
    prefix: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
    length: 27 + 64,
  },
}

/** As Go's `unicode.IsSpace`; JavaScript's `\s` leaves out U+0085 and adds U+FEFF. */
const SPACE_OR_PLUS = /[\p{White_Space}+]/u
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/
const SIGNATURE_PREFIX = '— '
const MAX_NOTE_BYTES = 1_000_000
/** Go's limit; signed-note asks verifiers to accept at least 16. */
const MAX_SIGNATURES = 100

/** Signs notes under a key name. */
export interface NoteSigner {
  readonly name: string
  readonly signer: Signer
}

/** Checks signatures of one named key. */
export interface NoteVerifier {
  readonly name: string
  readonly keyId: Uint8Array
  readonly algorithm: SignatureAlgorithm
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
}

/** A parsed note: the signed text (ends in newline) and its signature lines. */
export interface SignedNote {
  readonly text: string
  readonly signatures: readonly {
    readonly name: string
    readonly keyId: Uint8Array
    readonly signature: Uint8Array
  }[]
}

function checkName(name: string): void {
  if (name === '' || SPACE_OR_PLUS.test(name) || CONTROL.test(name) || !name.isWellFormed()) {
    throw new FormatError('key name is not usable in a signed note', {
      where: 'note key name',
      expected: 'non-empty, no white space, no plus sign, no control character',
      got: JSON.stringify(name),
    })
  }
}

function publicKeyObject(algorithm: SignatureAlgorithm, publicKey: Uint8Array) {
  const { prefix, length } = SPKI[algorithm]
  const detail = { where: 'note public key', expected: `DER SubjectPublicKeyInfo, ${algorithm}` }
  if (publicKey.length !== length || !equal(publicKey.subarray(0, prefix.length), prefix)) {
    throw new FormatError('public key does not fit its algorithm', detail)
  }
  try {
    // Refuses a P-256 point that is not on the curve.
    return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new FormatError('public key is not valid', { ...detail, cause })
  }
}

/** The key of a vkey line: Ed25519 as its raw 32 bytes, ECDSA as its SPKI (signed-note, "Signature types"). */
function encodedKey(algorithm: SignatureAlgorithm, publicKey: Uint8Array): Uint8Array {
  const key = algorithm === 'ed25519' ? publicKey.subarray(SPKI.ed25519.prefix.length) : publicKey
  return concat(Uint8Array.of(TYPE[algorithm]), key)
}

/**
 * The verifier for a key. Key id: SHA-256(name || 0x0A || 0x01 || key)[:4] for Ed25519,
 * SHA-256(SPKI)[:4] for ECDSA (signed-note, "Signature types"). Throws FormatError on a key or name that
 * cannot be used.
 */
export function noteVerifier(
  name: string,
  algorithm: SignatureAlgorithm,
  publicKey: Uint8Array,
): NoteVerifier {
  checkName(name)
  publicKeyObject(algorithm, publicKey)
  const keyId =
    algorithm === 'ed25519'
      ? sha256(utf8(`${name}\n`), encodedKey(algorithm, publicKey)).subarray(0, 4)
      : sha256(publicKey).subarray(0, 4)
  return { name, keyId, algorithm, publicKey }
}

/** `name+hex(keyId)+base64(type || key)`: what Go's `note.NewVerifier` reads for Ed25519. */
export function formatVerifierKey(verifier: NoteVerifier): string {
  const { name, keyId, algorithm, publicKey } = verifier
  return `${name}+${toHex(keyId)}+${toBase64(encodedKey(algorithm, publicKey))}`
}

/** Inverse of {@link formatVerifierKey}; throws FormatError. */
export function parseVerifierKey(text: string): NoteVerifier {
  const fail = (got: string): never => {
    throw new FormatError('not a verifier key', {
      where: 'vkey',
      expected: 'name+keyid+base64',
      got,
    })
  }
  const [, name = '', id = '', encoded = ''] =
    /^([^+]+)\+([0-9a-f]{8})\+(.+)$/s.exec(text) ?? fail('other text')
  const bytes = fromBase64(encoded, 'vkey')
  const algorithm = (Object.keys(TYPE) as SignatureAlgorithm[]).find((a) => TYPE[a] === bytes[0])
  if (algorithm === undefined) return fail(`type byte ${bytes[0] ?? 'missing'}`)
  const key = bytes.subarray(1)
  const spki = algorithm === 'ed25519' ? concat(SPKI.ed25519.prefix, key) : key
  const verifier = noteVerifier(name, algorithm, spki)
  return toHex(verifier.keyId) === id ? verifier : fail(`key id ${id}`)
}

/**
 * Signs `text` (must end in a newline) and returns the note. Throws FormatError on text or signers that
 * make no note, VerificationError when a signer returns a signature that does not verify.
 */
export async function signNote(text: string, signers: readonly NoteSigner[]): Promise<string> {
  if (!text.endsWith('\n') || CONTROL.test(text) || !text.isWellFormed()) {
    throw new FormatError('text cannot be signed as a note', {
      where: 'note text',
      expected: 'lines without control characters, ending in a newline',
    })
  }
  const verifiers = signers.map(({ name, signer }) =>
    noteVerifier(name, signer.algorithm, signer.publicKey),
  )
  const keys = new Set(verifiers.map(({ name, keyId }) => `${name}+${toHex(keyId)}`))
  if (signers.length === 0 || signers.length > MAX_SIGNATURES || keys.size !== signers.length) {
    throw new FormatError('a note needs signers, each once', {
      where: 'note signers',
      expected: `1 to ${MAX_SIGNATURES} different keys`,
      got: `${signers.length} signers, ${keys.size} keys`,
    })
  }
  const lines = await Promise.all(
    verifiers.map(async (verifier, index) => {
      const signature = await signers[index]?.signer.sign(utf8(text))
      // A device's answer is checked in software before anybody relies on it.
      if (signature === undefined || !isValid(verifier, text, signature)) throw invalid(verifier)
      return `${SIGNATURE_PREFIX}${verifier.name} ${toBase64(concat(verifier.keyId, signature))}\n`
    }),
  )
  return `${text}\n${lines.join('')}`
}

/** Splits a note into text and signatures without checking them; throws FormatError. */
export function parseNote(note: Uint8Array): SignedNote {
  const fail = (got: string): never => {
    throw new FormatError('not a signed note', { where: 'note', got })
  }
  if (note.length > MAX_NOTE_BYTES) fail(`${note.length} bytes`)
  const all = fromUtf8(note, 'note')
  if (CONTROL.test(all)) fail('a control character')
  // signed-note, "Format": the text is separated from the signatures by the last empty line.
  const split = all.lastIndexOf('\n\n')
  if (split < 0 || !all.endsWith('\n')) fail('no signature block')
  const text = all.slice(0, split + 1)
  const lines = all.slice(split + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) fail(`${lines.length} signature lines`)
  const signatures = lines.map((line) => {
    const space = line.indexOf(' ', SIGNATURE_PREFIX.length)
    if (!line.startsWith(SIGNATURE_PREFIX) || space < 0) fail('a malformed signature line')
    const name = line.slice(SIGNATURE_PREFIX.length, space)
    checkName(name)
    const bytes = fromBase64(line.slice(space + 1), 'note signature')
    if (bytes.length < 5) fail('a signature that is too short')
    return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) }
  })
  return { text, signatures }
}

function isValid(verifier: NoteVerifier, text: string, signature: Uint8Array): boolean {
  const key = publicKeyObject(verifier.algorithm, verifier.publicKey)
  const hash = verifier.algorithm === 'ed25519' ? null : 'sha256'
  return verifySignature(hash, utf8(text), key, signature)
}

const invalid = (verifier: NoteVerifier) =>
  new VerificationError('SIGNATURE_INVALID', 'LOG-SIG-1', 'signature on note does not verify', {
    where: `note key ${verifier.name}+${toHex(verifier.keyId)}`,
  })

/**
 * Names of the given verifiers with a good signature on the note, at least one. Signatures by unknown
 * keys are ignored. Throws VerificationError `SIGNATURE_INVALID` when any signature by a known key is bad
 * and `SIGNER_NOT_TRUSTED` when no known key signed (signed-note, "Signatures"); ConfigError when two
 * verifiers share name and key id.
 */
export function verifyNote(note: SignedNote, verifiers: readonly NoteVerifier[]): string[] {
  const good = new Set<string>()
  for (const { name, keyId, signature } of note.signatures) {
    const [verifier, other] = verifiers.filter((v) => v.name === name && equal(v.keyId, keyId))
    if (verifier === undefined) continue
    if (other !== undefined && !equal(other.publicKey, verifier.publicKey)) {
      throw new ConfigError('two verifier keys share one name and key id', {
        where: `note key ${name}+${toHex(keyId)}`,
      })
    }
    if (!isValid(verifier, note.text, signature)) throw invalid(verifier)
    good.add(name)
  }
  if (good.size === 0) {
    throw new VerificationError(
      'SIGNER_NOT_TRUSTED',
      'LOG-SIG-2',
      'no trusted key signed the note',
      {
        where: 'note',
        expected: verifiers.map(formatVerifierKey).join(' or ') || 'at least one verifier key',
        got: note.signatures.map((s) => `${s.name}+${toHex(s.keyId)}`).join(', '),
      },
    )
  }
  return [...good]
}
