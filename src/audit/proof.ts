/**
 * Portable proofs that one entry is in a signed log: C2SP tlog-proof v1 (https://c2sp.org/tlog-proof).
 * The entry's line travels as `extra`; its hash is recomputed from it, so it is authenticated by the proof.
 */
import { fromBase64, toBase64, utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { ConfigError, FormatError } from '../errors.ts'
import type { NoteVerifier } from '../note.ts'
import { openCheckpoint } from './checkpoint.ts'
import { HASH_BYTES, inclusionPath, leafHash, verifyInclusion } from './merkle.ts'
import { broken } from './requirements.ts'
import { parseEntry } from './segment.ts'
import type { LogEntry, VerifyLogOptions } from './types.ts'
import { readVerified } from './verify.ts'

const HEADER = 'c2sp.org/tlog-proof@v1'

/** The parts of a proof file. */
export interface TlogProof {
  readonly index: number
  /** RFC 6962 audit path, from the leaf's sibling up. */
  readonly hashes: readonly Uint8Array[]
  /** Signed note. */
  readonly checkpoint: string
  /** Opaque bytes; keyrite puts the entry's line here. */
  readonly extra?: Uint8Array
}

/** An entry that a proof was checked for. */
export interface ProvenEntry {
  readonly entry: LogEntry
  readonly index: number
  readonly origin: string
  readonly size: number
  readonly signedBy: readonly string[]
}

/** Text of a proof file (`.tlog-proof`). */
export function formatProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  return [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...hashes.map(toBase64),
    '',
    checkpoint,
  ].join('\n')
}

/** Inverse of {@link formatProof}, to the byte; checks no signature. Throws FormatError. */
export function parseProof(text: string): TlogProof {
  const where = 'tlog proof'
  const split = text.indexOf('\n\n')
  const lines = (split < 0 ? '' : text.slice(0, split)).split('\n')
  const extra = lines[1]?.startsWith('extra ') ? fromBase64(lines[1].slice(6), where) : undefined
  const [indexLine = '', ...rest] = lines.slice(extra === undefined ? 1 : 2)
  const hashes = rest.map((line) => fromBase64(line, where))
  const proof = {
    index: Number(indexLine.slice('index '.length)),
    hashes,
    checkpoint: text.slice(split + 2),
    ...(extra === undefined ? {} : { extra }),
  }
  if (
    !Number.isSafeInteger(proof.index) ||
    proof.index < 0 ||
    hashes.some((hash) => hash.length !== HASH_BYTES) ||
    formatProof(proof) !== text
  ) {
    throw new FormatError('not a tlog proof', { where, expected: HEADER })
  }
  return proof
}

/** Verifies the log in `dir`, then returns the proof file of one of its signed entries. */
export async function proveEntry(
  dir: string,
  index: number,
  options: VerifyLogOptions,
): Promise<string> {
  const { head, tree, entries } = await readVerified(dir, options)
  const entry = entries[index]
  if (entry === undefined || index >= head.size) {
    throw new ConfigError('the checkpoint covers no such entry', {
      where: 'index',
      expected: head.size === 0 ? 'a log with entries' : `0 to ${head.size - 1}`,
      got: String(index),
    })
  }
  return formatProof({
    index,
    hashes: inclusionPath(tree, index, head.size),
    checkpoint: head.note,
    extra: utf8(canonicalJson(entry)),
  })
}

/**
 * Checks a proof file against trusted keys and returns the entry it proves. Throws FormatError on a
 * malformed file, VerificationError `SIGNATURE_INVALID`, `SIGNER_NOT_TRUSTED`, `ORIGIN_MISMATCH` or
 * `PROOF_INVALID` (LOG-PROOF-1).
 */
export function verifyProof(
  text: string,
  options: { readonly verifiers: readonly NoteVerifier[]; readonly origin?: string },
): ProvenEntry {
  const { index, hashes, checkpoint, extra } = parseProof(text)
  const signed = openCheckpoint(utf8(checkpoint), 'proof', options.verifiers)
  const { origin, size, root, signedBy } = signed
  if (options.origin !== undefined && options.origin !== origin) {
    throw broken('ORIGIN_MISMATCH', 'LOG-ORIGIN-1', 'proof is for another log', {
      where: 'proof',
      expected: options.origin,
      got: origin,
    })
  }
  if (extra === undefined) {
    throw broken('PROOF_INVALID', 'LOG-PROOF-1', 'proof does not carry its entry', {
      where: 'proof',
      expected: 'the log line as extra data',
    })
  }
  verifyInclusion({ leafHash: leafHash(extra), index, size, root, proof: hashes })
  const { entry } = parseEntry({ bytes: extra, offset: 0, terminated: true }, index)
  return { entry, index, origin, size, signedBy }
}
