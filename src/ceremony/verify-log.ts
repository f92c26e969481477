/**
 * The log below the transcript. Usually the HSM signed all of it. When a ceremony was aborted because the
 * token was gone, lines after the last checkpoint (or all of them) are chained but not signed by the HSM;
 * they are read here too, so that the people's signatures can stand for them.
 */
import { join } from 'node:path'

import { createTree, formatCheckpoint, leafHash, verifyLog } from '../audit/index.ts'
import { fromUtf8, sha256, toHex, utf8 } from '../bytes.ts'
import { parseCanonicalJson } from '../canonical.ts'
import { VerificationError } from '../errors.ts'
import type { NoteVerifier } from '../note.ts'
import type { Json } from '../types.ts'
import { BUNDLE, type Bundle } from './bundle.ts'

/** A log that is chained from its first to its last line. */
export interface ReadLog {
  readonly origin: string
  readonly lines: readonly Json[]
  readonly size: number
  readonly root: Uint8Array
  /** Entries the HSM signed; 0 without a checkpoint. */
  readonly hsmSize: number
  readonly signedBy: readonly string[]
  /** RFC 6962 root over the first `size` lines. */
  rootAt(size: number): Uint8Array
}

const SEGMENT = /^log\/seg\/\d{12}\.jsonl$/

const LOG_FILES: readonly string[] = ['origin', 'checkpoint', 'checkpoints.log'].map(
  (name) => `${BUNDLE.log}/${name}`,
)
const TORN = /^log\/quarantine\//

/** Nobody hides a file among the lines: SHA256SUMS, which would list it, is not signed. */
function refuseStrangers(bundle: Bundle): void {
  const stranger = bundle.files.find(
    ({ path }) =>
      path.startsWith(`${BUNDLE.log}/`) &&
      !LOG_FILES.includes(path) &&
      !SEGMENT.test(path) &&
      !TORN.test(path),
  )
  if (stranger === undefined) return
  throw new VerificationError(
    'CHAIN_BROKEN',
    'LOG-SEG-1',
    'a file stands in the log that is not part of one',
    {
      got: stranger.path,
    },
  )
}

async function rawLines(bundle: Bundle): Promise<Uint8Array[]> {
  const lines: Uint8Array[] = []
  for (const { path } of bundle.files.filter((file) => SEGMENT.test(file.path))) {
    const text = fromUtf8(await bundle.read(path), path)
    const parts = text.split('\n')
    if (parts.pop() !== '') broken('LOG-LINE-1', 'log ends in the middle of a line', lines.length)
    lines.push(...parts.map(utf8))
  }
  return lines
}

function broken(requirement: string, message: string, entry: number): never {
  throw new VerificationError('CHAIN_BROKEN', requirement, message, { entry })
}

/** Chain of lines nobody signed: numbers without gaps, each naming the leaf hash of the one before. */
function checkChain(lines: readonly Uint8Array[], values: readonly Json[], origin: string): void {
  let prev = toHex(sha256(utf8(origin)))
  values.forEach((value, index) => {
    const fields = value as { readonly seq?: Json; readonly prev?: Json }
    if (fields.seq !== index || fields.prev !== prev) {
      broken('LOG-CHAIN-1', 'line does not follow the one before', index)
    }
    prev = toHex(leafHash(lines[index] ?? new Uint8Array()))
  })
}

/**
 * Reads and checks the log of a bundle. With a log key and a checkpoint everything up to its size is
 * verified against them; throws VerificationError with a LOG requirement id.
 */
export async function readLog(
  bundle: Bundle,
  verifiers: readonly NoteVerifier[],
): Promise<ReadLog> {
  refuseStrangers(bundle)
  const signed =
    bundle.has(`${BUNDLE.log}/checkpoint`) && verifiers.length > 0
      ? await verifyLog(join(bundle.dir, BUNDLE.log), { verifiers })
      : undefined
  const raw = await rawLines(bundle)
  const lines = raw.map((line, index) =>
    parseCanonicalJson(fromUtf8(line, `entry ${index}`), `entry ${index}`),
  )
  const origin = signed?.origin ?? (await bundle.text(`${BUNDLE.log}/origin`)).replace(/\n$/, '')
  if (raw.length === 0) broken('LOG-LINE-1', 'log is empty', 0)
  checkChain(raw, lines, origin)
  const tree = createTree()
  for (const line of raw) tree.append(leafHash(line))
  const rootAt = (size: number): Uint8Array => tree.root(size)
  return {
    origin,
    lines,
    size: raw.length,
    root: rootAt(raw.length),
    hsmSize: signed?.size ?? 0,
    signedBy: signed?.signedBy ?? [],
    rootAt,
  }
}

/** The text people sign: a C2SP checkpoint over the whole transcript. */
export const checkpointBody = ({ origin, size, root }: ReadLog): string =>
  formatCheckpoint({ origin, size, root })
