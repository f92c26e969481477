/**
 * Appends frames to segment files. What is appended counts once a row of the index refers to it, so the
 * order is: append, fsync, commit of the rows. Until then it can be undone, and a crash leaves at most
 * bytes behind the end that the index knows, which the next writer cuts off.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { storageError, syncDirectory } from '../durable.ts'
import { FRAME_HEADER_BYTES, type FrameOwner, frameHeader } from './segment-frame.ts'
import { segmentName } from './segment-reader.ts'

/** Bytes per write. */
const WRITE_BYTES = 4 << 20

/** Where a frame came to be. */
export interface Appended {
  readonly segment: number
  /** Offset of the frame; the payload is {@link FRAME_HEADER_BYTES} further. */
  readonly at: number
}

/** A segment as the index knows it. */
export interface SegmentSize {
  readonly segment: number
  /** Bytes that rows may refer to. */
  readonly size: number
}

/** Appends to the segments of one directory. One call at a time. */
export interface SegmentWriter {
  append(owner: FrameOwner, payload: readonly Uint8Array[]): Promise<Appended>
  /** Makes everything appended durable. Returns the segments that grew, with their new sizes. */
  sync(): Promise<readonly SegmentSize[]>
  /** The rows are committed: what was appended stays. */
  keep(): void
  /** The rows were not committed: cuts off what was appended. Never throws; what it cannot cut is left behind. */
  undo(): Promise<void>
  /** Goes on in a new segment and leaves the bytes alone, e.g. because nobody knows whether the rows count. */
  abandon(): Promise<void>
  /** Segment that the next frame goes to, if it is known. */
  current(): number | undefined
  close(): Promise<void>
}

interface Open {
  readonly segment: number
  readonly file: FileHandle
  /** Length that is kept, and length with what is not yet. */
  kept: number
  size: number
}

/** Writes all parts at a position. Small parts are gathered, so that records do not cost a call each. */
async function writeParts(
  file: FileHandle,
  position: number,
  parts: readonly Uint8Array[],
): Promise<void> {
  let at = position
  let gathered: Uint8Array[] = []
  let size = 0
  const flush = async (): Promise<void> => {
    const bytes = gathered.length === 1 ? (gathered[0] as Uint8Array) : Buffer.concat(gathered)
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.length - done
      done += (await file.write(bytes, done, rest, at + done)).bytesWritten
    }
    at += bytes.length
    gathered = []
    size = 0
  }
  for (const part of parts) {
    gathered.push(part)
    size += part.length
    if (size >= WRITE_BYTES) await flush()
  }
  if (size > 0) await flush()
}

/**
 * A writer that goes on after `last`. Segments are at most `limit` bytes long unless one frame alone is
 * longer. `highest` is the highest segment number that was ever given.
 */
export function createSegmentWriter(
  directory: string,
  limit: number,
  highest: number,
  last: SegmentSize | undefined,
): SegmentWriter {
  let number = highest
  let resume = last
  let active: Open | undefined
  /** Segments that grew since {@link SegmentWriter.keep}; all but the active one are full. */
  let grown: Open[] = []
  const pathOf = (segment: number) => join(directory, segmentName(segment))

  async function openNext(): Promise<Open> {
    number += 1
    // A number is used once; a file of this name would be somebody else's.
    const file = await open(pathOf(number), 'wx', 0o600)
    try {
      await syncDirectory(directory)
    } catch (cause) {
      await closeAll([{ file }])
      throw cause
    }
    return { segment: number, file, kept: 0, size: 0 }
  }

  async function openLast({ segment, size }: SegmentSize): Promise<Open> {
    return { segment, file: await open(pathOf(segment), 'r+'), kept: size, size }
  }

  /** The segment that takes `bytes` more. */
  async function room(bytes: number): Promise<Open> {
    if (active === undefined && resume !== undefined && resume.size + bytes <= limit) {
      active = await openLast(resume)
    }
    resume = undefined
    if (active !== undefined && (active.size === 0 || active.size + bytes <= limit)) return active
    // A full segment that has not grown is not in anybody's list to close.
    if (active !== undefined && !grown.includes(active)) await active.file.close()
    active = undefined
    active = await openNext()
    return active
  }

  async function closeAll(segments: readonly Pick<Open, 'file'>[]): Promise<void> {
    for (const { file } of segments) await file.close().catch(() => undefined)
  }

  return {
    async append(owner, payload) {
      const header = frameHeader(owner, payload)
      const length = payload.reduce((sum, part) => sum + part.length, FRAME_HEADER_BYTES)
      try {
        const segment = await room(length)
        if (!grown.includes(segment)) grown.push(segment)
        const at = segment.size
        // The position is ours to know: after an undo the file may be longer than what counts.
        await writeParts(segment.file, at, [header, ...payload])
        segment.size += length
        return { segment: segment.segment, at }
      } catch (cause) {
        throw storageError(pathOf(active?.segment ?? number), cause)
      }
    },

    async sync() {
      for (const { file, segment } of grown) {
        try {
          await file.sync()
        } catch (cause) {
          throw storageError(pathOf(segment), cause)
        }
      }
      return grown.map(({ segment, size }) => ({ segment, size }))
    },

    keep() {
      for (const one of grown) one.kept = one.size
      void closeAll(grown.filter((one) => one !== active))
      grown = []
    },

    async undo() {
      const segments = grown
      grown = []
      const first = segments.at(0)
      // Segments after the first are new ones; so is the first if nothing of it counts.
      for (const one of segments) {
        try {
          if (one.kept === 0) await unlink(pathOf(one.segment))
          else await one.file.truncate(one.kept)
          one.size = one.kept
        } catch {
          await closeAll(segments)
          active = undefined
          return
        }
      }
      if (first === undefined) return
      await closeAll(segments.filter((one) => one !== first || one.kept === 0))
      active = first.kept > 0 ? first : undefined
    },

    async abandon() {
      await closeAll(active === undefined || grown.includes(active) ? grown : [...grown, active])
      grown = []
      active = undefined
      resume = undefined
    },

    current: () => active?.segment ?? resume?.segment,

    async close() {
      await closeAll(active === undefined || grown.includes(active) ? grown : [...grown, active])
      grown = []
      active = undefined
    },
  }
}
