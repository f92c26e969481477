/**
 * Checkpoint bodies: C2SP tlog-checkpoint, `origin\nsize\nbase64(root)\n`. Stricter: no extension lines
 * (not recommended there), and the origin is usable as a key name.
 */
import { fromBase64, toBase64, toHex, utf8 } from '../bytes.ts'
import { FormatError, KeyriteError, type VerificationError } from '../errors.ts'
import { type NoteVerifier, parseNote, verifyNote } from '../note.ts'
import { HASH_BYTES } from './merkle.ts'
import { broken } from './requirements.ts'
import type { Checkpoint } from './types.ts'

const ORIGIN = /^[\x21-\x2a\x2c-\x7e]{1,255}$/

/** Throws FormatError unless the origin is printable ASCII without white space and plus sign. */
export function checkOrigin(origin: string): void {
  if (ORIGIN.test(origin)) return
  throw new FormatError('origin cannot name a log', {
    where: 'origin',
    expected: 'schema-less URL such as keyrite.example/audit/site-1, at most 255 characters',
    got: JSON.stringify(origin),
  })
}

/** The text that is signed. Throws FormatError on an unusable origin. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  checkOrigin(origin)
  return `${origin}\n${size}\n${toBase64(root)}\n`
}

/** Inverse of {@link formatCheckpoint}, to the byte; throws FormatError. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = ''] = text.split('\n')
  const checkpoint = { origin, size: Number(size), root: fromBase64(root, 'checkpoint root') }
  if (
    !Number.isSafeInteger(checkpoint.size) ||
    checkpoint.size < 0 ||
    checkpoint.root.length !== HASH_BYTES ||
    formatCheckpoint(checkpoint) !== text
  ) {
    throw new FormatError('not a checkpoint', {
      where: 'checkpoint',
      expected: 'origin, size and root, one line each',
    })
  }
  return checkpoint
}

/** A checkpoint with the note it came in. */
export interface SignedCheckpoint extends Checkpoint {
  readonly note: string
  /** Names of the given verifiers that signed; empty when no verifiers were given. */
  readonly signedBy: readonly string[]
}

/** What went wrong while a checkpoint was read, as evidence that does not hold. */
function unreadable(where: string, cause: unknown): VerificationError {
  const got = cause instanceof KeyriteError ? cause.message : 'unreadable bytes'
  return broken('SIGNATURE_INVALID', 'LOG-SIG-1', 'checkpoint is malformed', { where, got, cause })
}

/**
 * Reads a checkpoint note and checks its signatures when verifiers are given. `where` names the file.
 * Throws VerificationError `SIGNATURE_INVALID` or `SIGNER_NOT_TRUSTED`.
 */
export function openCheckpoint(
  note: Uint8Array,
  where: string,
  verifiers: readonly NoteVerifier[] | undefined,
): SignedCheckpoint {
  let parsed
  let checkpoint
  try {
    parsed = parseNote(note)
    checkpoint = parseCheckpoint(parsed.text)
  } catch (cause) {
    throw unreadable(where, cause)
  }
  const signedBy = verifiers === undefined ? [] : verifyNote(parsed, verifiers)
  return { ...checkpoint, note: Buffer.from(note).toString('utf8'), signedBy }
}

/** `size root` in words for messages. */
export const describe = ({ size, root }: Pick<Checkpoint, 'size' | 'root'>): string =>
  `${size} entries, root ${toHex(root)}`

/** Bytes of a note in the history file: the note, then an empty line. */
export const historyRecord = (note: string): Uint8Array => utf8(`${note}\n`)

/** The history of a log's checkpoints. */
export interface History {
  readonly checkpoints: readonly SignedCheckpoint[]
  /** Length of the file up to the last whole record. */
  readonly wholeBytes: number
}

/**
 * Reads `checkpoints.log`: notes, each followed by an empty line. A note has one empty line between text
 * and signatures, so records are pairs of parts; a last part that is cut short is left out.
 */
export function readHistory(
  bytes: Uint8Array,
  verifiers: readonly NoteVerifier[] | undefined,
): History {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const checkpoints: SignedCheckpoint[] = []
  let at = 0
  for (;;) {
    const text = file.indexOf('\n\n', at)
    const end = text < 0 ? -1 : file.indexOf('\n\n', text + 2)
    if (end < 0) return { checkpoints, wholeBytes: at }
    const where = `checkpoints.log, record ${checkpoints.length + 1}`
    checkpoints.push(openCheckpoint(file.subarray(at, end + 1), where, verifiers))
    at = end + 2
  }
}
