/**
 * Signed notes and verifier keys.
 * Source: C2SP signed-note (https://c2sp.org/signed-note), Go `golang.org/x/mod/sumdb/note`.
 */
import { createPublicKey, verify as verifySignature } from 'node:crypto'

import { concat, equal, fromBase64, fromUtf8, sha256, toBase64, toHex, utf8 } from './bytes.ts'
import { FormatError } from './errors.ts'
import type { SignatureAlgorithm, Signer } from './ports.ts'

/** Signature type bytes of signed-note: 0x01 Ed25519, 0x02 ECDSA. */
const TYPE: Record<SignatureAlgorithm, number> = { ed25519: 0x01, 'ecdsa-p256-sha256': 0x02 }
const ED25519_SPKI_PREFIX = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'))
const SIGNATURE_LINE = /^— (\S+) (\S+)$/u
const MAX_NOTE_BYTES = 1_000_000

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
  if (name === '' || /[\s+]/u.test(name) || !name.isWellFormed()) {
    throw new FormatError('key name is not usable in a signed note', {
      where: 'note key name',
      expected: 'non-empty, no white space, no plus sign',
      got: JSON.stringify(name),
    })
  }
}

/** Ed25519 keys are named by their raw 32 bytes, ECDSA keys by their SPKI. */
function encodedKey(algorithm: SignatureAlgorithm, publicKey: Uint8Array): Uint8Array {
  const raw = algorithm === 'ed25519' ? publicKey.subarray(ED25519_SPKI_PREFIX.length) : publicKey
  return concat(Uint8Array.of(TYPE[algorithm]), raw)
}

/** The verifier for a key: key id per signed-note (Ed25519) and per RFC 6962 practice (ECDSA: SHA-256 of the SPKI). */
export function noteVerifier(
  name: string,
  algorithm: SignatureAlgorithm,
  publicKey: Uint8Array,
): NoteVerifier {
  checkName(name)
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
  const match = /^(\S+?)\+([0-9a-f]{8})\+(\S+)$/.exec(text)
  const fail = (got: string): never => {
    throw new FormatError('not a verifier key', {
      where: 'vkey',
      expected: 'name+keyid+base64',
      got,
    })
  }
  const [, name = '', id = '', encoded = ''] = match ?? fail('other text')
  const bytes = fromBase64(encoded, 'vkey')
  const algorithm = (Object.keys(TYPE) as SignatureAlgorithm[]).find((a) => TYPE[a] === bytes[0])
  if (algorithm === undefined) return fail(`type byte ${bytes[0] ?? 'missing'}`)
  const key = bytes.subarray(1)
  if (algorithm === 'ed25519' && key.length !== 32) return fail(`${key.length}-byte Ed25519 key`)
  const spki = algorithm === 'ed25519' ? concat(ED25519_SPKI_PREFIX, key) : key
  const verifier = noteVerifier(name, algorithm, spki)
  return toHex(verifier.keyId) === id ? verifier : fail(`key id ${id}`)
}

/** Signs `text` (must end in a newline) and returns the note; throws FormatError on unusable text. */
export async function signNote(text: string, signers: readonly NoteSigner[]): Promise<string> {
  if (!text.endsWith('\n') || /[\u0000-\u0009\u000b-\u001f]/.test(text)) {
    throw new FormatError('text cannot be signed as a note', {
      where: 'note text',
      expected: 'lines without control characters, ending in a newline',
    })
  }
  const lines = await Promise.all(
    signers.map(async ({ name, signer }) => {
      const { keyId } = noteVerifier(name, signer.algorithm, signer.publicKey)
      const signature = await signer.sign(utf8(text))
      return `— ${name} ${toBase64(concat(keyId, signature))}\n`
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
  if (/[\u0000-\u0009\u000b-\u001f]/.test(all)) fail('a control character')
  const split = all.lastIndexOf('\n\n')
  if (split < 0 || !all.endsWith('\n')) fail('no signature block')
  const text = all.slice(0, split + 1)
  const block = all.slice(split + 2, -1)
  const signatures = block.split('\n').map((line) => {
    const [, name = '', encoded = ''] =
      SIGNATURE_LINE.exec(line) ?? fail('a malformed signature line')
    checkName(name)
    const bytes = fromBase64(encoded, 'note signature')
    if (bytes.length < 5) fail('a signature that is too short')
    return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) }
  })
  return { text, signatures }
}

function isValid(verifier: NoteVerifier, text: string, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.from(verifier.publicKey), format: 'der', type: 'spki' })
  const hash = verifier.algorithm === 'ed25519' ? null : 'sha256'
  return verifySignature(hash, utf8(text), key, signature)
}

/**
 * Names of the given verifiers with a good signature on the note. A bad signature by a known key makes
 * the whole note bad (signed-note: "MUST reject"), reported as FormatError; unknown keys are ignored.
 */
export function verifyNote(note: SignedNote, verifiers: readonly NoteVerifier[]): string[] {
  const good = new Set<string>()
  for (const { name, keyId, signature } of note.signatures) {
    const verifier = verifiers.find((v) => v.name === name && equal(v.keyId, keyId))
    if (verifier === undefined) continue
    if (!isValid(verifier, note.text, signature)) {
      throw new FormatError('signature on note does not verify', { where: `note key ${name}` })
    }
    good.add(name)
  }
  return [...good]
}
