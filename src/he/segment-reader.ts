/**
 * Reads pieces of segment files. A reader may hold rows that a writer in another process has moved on
 * from, so a file that is not there is a signal of its own: the caller looks its rows up again.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'

import { storageError } from '../durable.ts'
import { errnoOf } from '../errno.ts'

/** Pieces this near to each other are read in one go. */
const GAP_BYTES = 8 << 10
const RUN_BYTES = 1 << 20
/** Reads on their way at once; libuv has four threads. */
const PARALLEL = 4

/** A piece of a segment. */
export interface Piece {
  readonly segment: number
  readonly at: number
  readonly length: number
}

/** A segment file that is not there (any more). */
export class SegmentGone extends Error {
  override readonly name = 'SegmentGone'
  readonly segment: number

  constructor(segment: number) {
    super('the segment is not there')
    this.segment = segment
  }
}

/** File name of a segment. */
export const segmentName = (segment: number): string => `${String(segment).padStart(8, '0')}.seg`

/** Number of the segment in a file of that name. */
export const segmentNumber = (name: string): number | undefined =>
  /^\d{8,15}\.seg$/.test(name) ? Number(name.slice(0, -'.seg'.length)) : undefined

/** Fills as much as the file has. */
async function readAt(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/** Indices of pieces that are read together. */
interface Run extends Piece {
  readonly pieces: readonly number[]
}

function runsOf(pieces: readonly Piece[]): Run[] {
  const order = pieces
    .map((piece, index) => ({ ...piece, index }))
    .sort((a, b) => a.segment - b.segment || a.at - b.at)
  const runs: (Piece & { length: number; pieces: number[] })[] = []
  for (const { segment, at, length, index } of order) {
    const last = runs.at(-1)
    const end = at + length
    if (
      last?.segment === segment &&
      at - (last.at + last.length) <= GAP_BYTES &&
      end - last.at <= RUN_BYTES
    ) {
      last.length = Math.max(last.length, end - last.at)
      last.pieces.push(index)
    } else {
      runs.push({ segment, at, length, pieces: [index] })
    }
  }
  return runs
}

/**
 * The bytes of pieces, in order; shorter where the file ends before. Each has a buffer of its own.
 * @throws SegmentGone; StorageError when the disk cannot be read.
 */
export async function readPieces(
  directory: string,
  pieces: readonly Piece[],
): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = new Array<Uint8Array>(pieces.length)
  const files = new Map<number, Promise<FileHandle>>()
  const fileOf = (segment: number): Promise<FileHandle> => {
    const known = files.get(segment)
    if (known !== undefined) return known
    const file = open(join(directory, segmentName(segment)), 'r')
    files.set(segment, file)
    return file
  }
  const readRun = async (run: Run): Promise<void> => {
    try {
      const bytes = await readAt(await fileOf(run.segment), run.at, run.length)
      for (const index of run.pieces) {
        const { at, length } = pieces[index] as Piece
        const from = at - run.at
        found[index] = run.pieces.length === 1 ? bytes : bytes.slice(from, from + length)
      }
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') throw new SegmentGone(run.segment)
      throw storageError(join(directory, segmentName(run.segment)), cause)
    }
  }
  const runs = runsOf(pieces)
  try {
    for (let at = 0; at < runs.length; at += PARALLEL) {
      const outcomes = await Promise.allSettled(runs.slice(at, at + PARALLEL).map(readRun))
      const failed = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failed !== undefined) throw failed.reason
    }
    return found
  } finally {
    for (const file of files.values()) {
      await file.then((handle) => handle.close()).catch(() => undefined)
    }
  }
}
