/**
 * Reads a whole log and checks everything that can be checked, without writing: lines, chain, segments,
 * signatures, every recorded checkpoint against the recomputed root. `openLog` and `verifyLog` share it,
 * so a log that opens is a log that verifies.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'

import { equal, toHex, utf8 } from '../bytes.ts'
import { ConfigError } from '../errors.ts'
import type { NoteVerifier } from '../note.ts'
import { type SignedCheckpoint, describe, openCheckpoint, readHistory } from './checkpoint.ts'
import { readIfPresent } from '../durable.ts'
import type { Layout } from './layout.ts'
import { type LogRequirementId, broken } from './requirements.ts'
import {
  type ParsedLine,
  type RawLine,
  SEGMENT_HEIGHT,
  SEGMENT_LINES,
  firstPrev,
  isTorn,
  listSegments,
  loadSegment,
  parseEntry,
  readLines,
  segmentName,
} from './segment.ts'
import { type Tree, createCutTree } from './tree.ts'
import type { Checkpoint, LogEntry } from './types.ts'

/** A last line that a crash cut short. */
export interface TornTail {
  readonly path: string
  readonly offset: number
  readonly bytes: Uint8Array
  /** The index the line would have had. */
  readonly index: number
}

/** What was found. */
export interface Replay {
  readonly origin: string
  readonly tree: Tree
  /** `prev` of the next line. */
  readonly prev: string
  /** The largest signed checkpoint. */
  readonly head: SignedCheckpoint | undefined
  /** Whether the checkpoint file holds the head. */
  readonly headInPlace: boolean
  readonly torn: TornTail | undefined
  /** What follows the last whole record of the history file. */
  readonly tornHistory: TornTail | undefined
}

/** What a replay checks against. */
export interface ReplayOptions {
  readonly origin?: string | undefined
  readonly verifiers?: readonly NoteVerifier[] | undefined
  readonly anchor?: Pick<Checkpoint, 'size' | 'root'> | undefined
  /**
   * `write` needs every checkpoint on record and checks the signature of the last, which covers the others;
   * `verify` checks every signature there is, and a copy may hold the last checkpoint only.
   */
  readonly purpose: 'write' | 'verify'
  readonly onEntry: (entry: LogEntry) => void
}

interface Mark extends Pick<Checkpoint, 'size' | 'root'> {
  readonly requirement: LogRequirementId
}

async function readOrigin(
  files: Layout,
  checkpoints: readonly SignedCheckpoint[],
  expected: string | undefined,
): Promise<string> {
  const stored = await readIfPresent(files.origin)
  const fromFile = stored && Buffer.from(stored).toString('utf8').replace(/\n$/, '')
  const origin = expected ?? fromFile ?? checkpoints[0]?.origin
  if (origin === undefined) throw new ConfigError('there is no log here', { where: files.dir })
  const other = [fromFile, ...checkpoints.map((c) => c.origin)].find(
    (o) => o !== origin && o !== undefined,
  )
  if (other === undefined) return origin
  throw broken('ORIGIN_MISMATCH', 'LOG-ORIGIN-1', 'log has another origin', {
    where: files.dir,
    expected: origin,
    got: other,
  })
}

/** Reads both checkpoint files. */
async function readCheckpoints(files: Layout, options: ReplayOptions) {
  const { verifiers, purpose } = options
  const note = await readIfPresent(files.checkpoint)
  const latest = note && openCheckpoint(note, 'checkpoint', verifiers)
  const bytes = (await readIfPresent(files.history)) ?? new Uint8Array()
  const { checkpoints, wholeBytes } = readHistory(
    bytes,
    purpose === 'verify' ? verifiers : undefined,
  )
  // The history is written first, so a crash can leave the checkpoint file behind it, never ahead.
  if (purpose === 'write' && latest && !checkpoints.some((c) => c.note === latest.note)) {
    throw broken('LOG_FORKED', 'LOG-APPEND-1', 'checkpoint is missing from the history', {
      where: files.history,
      expected: describe(latest),
    })
  }
  for (const [at, checkpoint] of checkpoints.entries()) {
    const before = checkpoints[at - 1]
    if (before !== undefined && before.size > checkpoint.size) {
      throw broken('LOG_FORKED', 'LOG-APPEND-1', 'checkpoint is smaller than one before it', {
        where: `checkpoints.log, record ${at + 1}`,
        expected: `at least ${before.size} entries`,
        got: describe(checkpoint),
      })
    }
  }
  const last = checkpoints.at(-1)
  const newest = latest && (last === undefined || latest.size > last.size) ? latest : last
  // A history record was perhaps read without its signatures being checked.
  const head = newest && openCheckpoint(utf8(newest.note), 'last checkpoint', verifiers)
  const tornHistory =
    wholeBytes === bytes.length
      ? undefined
      : {
          path: files.history,
          offset: wholeBytes,
          bytes: bytes.subarray(wholeBytes),
          index: checkpoints.length,
        }
  const all = latest === undefined ? checkpoints : [...checkpoints, latest]
  return { all, head, headInPlace: head?.note === latest?.note, tornHistory }
}

/**
 * Compares the root with each mark when the tree has its size. Failures are kept until all lines are
 * read: a broken chain names the bad line, a root can only name the stretch between two checkpoints.
 */
function createMarkCheck(marks: readonly Mark[]) {
  const pending = [...marks].sort((a, b) => a.size - b.size)
  let good = 0
  let failure: { mark: Mark; after: number; root: Uint8Array } | undefined
  return {
    atSize(tree: Tree): void {
      while (pending[0]?.size === tree.size) {
        const mark = pending.shift() as Mark
        const root = tree.root()
        if (equal(root, mark.root)) good = mark.size
        else failure ??= { mark, after: good, root }
      }
    },
    finish(tree: Tree): void {
      const missing = pending.at(-1)
      if (missing !== undefined) {
        const requirement =
          missing.requirement === 'LOG-ROOT-1' ? 'LOG-SIZE-1' : missing.requirement
        throw broken('LOG_TRUNCATED', requirement, 'log has fewer lines than were signed', {
          where: `entry ${tree.size}`,
          entry: tree.size,
          expected: `${missing.size} entries`,
          got: `${tree.size} entries`,
        })
      }
      if (failure === undefined) return
      const { mark, after, root } = failure
      throw broken('ROOT_MISMATCH', mark.requirement, 'entries are not the ones that were signed', {
        where: mark.size === 0 ? 'empty log' : `entries ${after} to ${mark.size - 1}`,
        expected: describe(mark),
        got: `root ${toHex(root)}`,
        ...(mark.size - after === 1 ? { entry: after } : {}),
      })
    },
  }
}

/** Follows `prev` from line to line and finds which of two neighbours was changed. */
function createChainCheck(origin: string) {
  let prev = firstPrev(origin)
  let suspect: number | undefined
  const blame = (entry: number, next: number): never => {
    throw broken('CHAIN_BROKEN', 'LOG-CHAIN-1', 'log line does not continue the line before it', {
      where: `entry ${entry}`,
      entry,
      got:
        next === 0
          ? 'a first line of another origin'
          : `entries ${next - 1} and ${next} do not fit`,
    })
  }
  return {
    get prev() {
      return prev
    },
    next({ entry, leaf }: ParsedLine): void {
      // Line n did not fit line n-1. If line n+1 confirms line n, then n-1 was changed; else n was.
      if (suspect !== undefined) blame(entry.prev === prev ? suspect - 1 : suspect, suspect)
      if (entry.prev !== prev) {
        if (entry.seq === 0) blame(0, 0)
        suspect = entry.seq
      }
      prev = toHex(leaf)
    },
    finish(): void {
      if (suspect !== undefined) blame(suspect - 1, suspect)
    },
  }
}

/** Reads and checks the log in `files`; throws VerificationError on anything but a torn last line. */
export async function replay(files: Layout, options: ReplayOptions): Promise<Replay> {
  const { all, head, headInPlace, tornHistory } = await readCheckpoints(files, options)
  const origin = await readOrigin(files, all, options.origin)
  const tree = createCutTree(SEGMENT_HEIGHT, (segment) =>
    loadSegment(files.segments, segment * SEGMENT_LINES, tree.node(SEGMENT_HEIGHT, segment)),
  )
  const chain = createChainCheck(origin)
  const marks = createMarkCheck([
    ...all.map(({ size, root }) => ({ size, root, requirement: 'LOG-ROOT-1' as const })),
    ...(options.anchor ? [{ ...options.anchor, requirement: 'LOG-ANCHOR-1' as const }] : []),
  ])
  const parse = (line: RawLine): ParsedLine => {
    try {
      return parseEntry(line, tree.size)
    } catch (error) {
      // A break of the chain found one line earlier comes first.
      chain.finish()
      throw error
    }
  }
  const accept = (line: RawLine) => {
    const parsed = parse(line)
    chain.next(parsed)
    tree.append(parsed.leaf)
    options.onEntry(parsed.entry)
    marks.atSize(tree)
  }
  marks.atSize(tree)

  const segments = await listSegments(files.segments)
  let torn: TornTail | undefined
  for (const first of segments) {
    const path = join(files.segments, segmentName(first))
    // One line is held back: only the very last one may be torn.
    let held: RawLine | undefined
    for (const lines of readLines(path)) {
      for (const line of lines) {
        if (held !== undefined) accept(held)
        held = line
      }
      await nextTurn()
    }
    const isLast = first === segments.at(-1)
    if (held !== undefined && isLast && tree.size < first + SEGMENT_LINES && isTorn(held)) {
      torn = { path, offset: held.offset, bytes: held.bytes, index: tree.size }
      if (held.terminated) torn = { ...torn, bytes: Buffer.concat([held.bytes, Buffer.from('\n')]) }
    } else if (held !== undefined) {
      accept(held)
    }
    const expected = first + SEGMENT_LINES
    if (tree.size > expected || (!isLast && tree.size !== expected)) {
      throw broken('CHAIN_BROKEN', 'LOG-SEG-1', 'segment has the wrong number of lines', {
        where: segmentName(first),
        entry: Math.min(tree.size, expected),
        expected: `${SEGMENT_LINES} lines`,
        got: `${tree.size - first} lines`,
      })
    }
  }
  chain.finish()
  marks.finish(tree)
  return { origin, tree, prev: chain.prev, head, headInPlace, torn, tornHistory }
}
