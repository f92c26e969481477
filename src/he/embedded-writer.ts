/**
 * The one writer of an embedded store. It takes the lock at its first write and keeps it until it is
 * closed; writes wait for each other. A write is: bytes to segments, fsync, one transaction of the index.
 */
import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

import { EmbeddingError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import { throwIfEnded } from './deadline.ts'
import type { Change, Committed, Space, StoreFault } from './store.ts'
import {
  checkChange,
  checkCollection,
  collectionExists,
  collectionNotFound,
} from './store-check.ts'
import { LOCK_FILE, SEGMENT_FOLDER } from './embedded-directory.ts'
import { NO_UID } from './segment-frame.ts'
import { segmentName } from './segment-reader.ts'
import {
  liveBytes,
  MIN_LIVE,
  mostlyDead,
  newestSegment,
  reclaimStep,
  spaceOf,
  Unreadable,
} from './segment-reclaim.ts'
import { recoverSegments } from './segment-recovery.ts'
import { type Appended, createSegmentWriter, type SegmentWriter } from './segment-writer.ts'
import { type ChangeBytes, writeChange } from './sqlite-change.ts'
import { dropStep, markDropped } from './sqlite-drop.ts'
import type { Index } from './sqlite-index.ts'
import { collectionRow } from './sqlite-rows.ts'
import type { CollectionInfo, KeyEpoch } from './types.ts'

/** See {@link createWriter}. */
export interface EmbeddedWriter {
  create(info: CollectionInfo, epoch: KeyEpoch): Promise<void>
  drop(name: string): Promise<void>
  commit(name: string, change: Change): Promise<Committed>
  /** See `EmbeddingStore.reclaim`. */
  reclaim(signal?: AbortSignal): Promise<Space>
  /** Waits for what is under way. */
  close(): Promise<void>
}

/** How to write. */
export interface WriterOptions {
  readonly readOnly: boolean
  readonly segmentBytes: number
  readonly notice: (what: StoreFault) => void
}

interface Held {
  readonly segments: SegmentWriter
  readonly release: () => Promise<void>
}

/** A writer that has not taken the lock yet. */
export function createWriter(
  directory: string,
  index: Index,
  { readOnly, segmentBytes, notice }: WriterOptions,
): EmbeddedWriter {
  const folder = join(directory, SEGMENT_FOLDER)
  let held: Held | undefined
  let closed = false
  let queue: Promise<unknown> = Promise.resolve()
  /** Segments that cannot be emptied because something in them is damaged. */
  const damaged = new Set<number>()

  async function acquire(): Promise<SegmentWriter> {
    if (closed) throw new EmbeddingError('CLOSED', 'the store is closed', { where: directory })
    if (held !== undefined) return held.segments
    if (readOnly) {
      throw new EmbeddingError('STORE_UNAVAILABLE', 'the store was opened for reading only', {
        where: directory,
        hint: 'open it without readOnly to write',
      })
    }
    const release = await takeLock(join(directory, LOCK_FILE))
    try {
      const { last, highest } = await recoverSegments(folder, index, notice)
      held = { release, segments: createSegmentWriter(folder, segmentBytes, highest, last) }
      return held.segments
    } catch (cause) {
      await release()
      throw cause
    }
  }

  /** One write after the other. */
  function inTurn<T>(action: (segments: SegmentWriter) => T | Promise<T>): Promise<T> {
    const turn = queue.then(acquire).then(action)
    queue = turn.catch(() => undefined)
    return turn
  }

  /** Runs appends and the transaction after them; undoes the appends unless the rows are committed. */
  async function guarded<T>(
    segments: SegmentWriter,
    action: (onCommit: () => void) => Promise<T>,
  ): Promise<T> {
    // A commit that failed may still be found in the write-ahead log after a crash.
    const outcome = { giveUp: () => segments.undo() }
    try {
      const result = await action(() => {
        outcome.giveUp = () => segments.abandon()
      })
      segments.keep()
      return result
    } catch (cause) {
      await outcome.giveUp()
      throw cause
    }
  }

  /** Files that no row names any more. One that stays behind is removed by the next writer. */
  async function unlinkAll(numbers: readonly number[]): Promise<void> {
    for (const number of numbers) {
      damaged.delete(number)
      await unlink(join(folder, segmentName(number))).catch(() => undefined)
    }
  }

  function tellKept(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : 'unknown error'
    notice({ where: folder, what: `space could not be given back: ${reason}` })
  }

  /** Removes some of what was dropped; says whether there may be more. */
  async function dropOne(segments: SegmentWriter): Promise<boolean> {
    const { more, emptied } = dropStep(index, segments.current())
    await unlinkAll(emptied)
    return more
  }

  /** Empties some of a segment that is mostly dead; says whether there may be more. */
  async function reclaimOne(
    segments: SegmentWriter,
    minLive: number = MIN_LIVE.aside,
    newest = Number.POSITIVE_INFINITY,
  ): Promise<boolean> {
    const dead = mostlyDead(index, segments.current(), minLive)
    const segment = dead.find((one) => one <= newest && !damaged.has(one))
    if (segment === undefined) return false
    const before = liveBytes(index, segment)
    try {
      const emptied = await guarded(segments, (onCommit) =>
        reclaimStep(folder, index, segments, segment, onCommit),
      )
      await unlinkAll(emptied)
      return emptied.length > 0 || liveBytes(index, segment) < before
    } catch (cause) {
      if (cause instanceof Unreadable) damaged.add(segment)
      throw cause
    }
  }

  /** A segment that is mostly dead is written no further, so that it can be emptied as well. */
  async function leaveDead(segments: SegmentWriter, newest: number): Promise<void> {
    const current = segments.current()
    if (current === undefined || current > newest) return
    if (mostlyDead(index, undefined, MIN_LIVE.asked).includes(current)) await segments.abandon()
  }

  /** One step of {@link EmbeddedWriter.reclaim}; what fails ends it and is told. */
  async function reclaimStepAsked(segments: SegmentWriter, newest: number): Promise<boolean> {
    try {
      if (await dropOne(segments)) return true
      await leaveDead(segments, newest)
      return await reclaimOne(segments, MIN_LIVE.asked, newest)
    } catch (cause) {
      tellKept(cause)
      // What is damaged is left out from then on.
      return cause instanceof Unreadable
    }
  }

  /** The change before it is durable, so nothing that fails here may fail it. */
  async function giveSpaceBack(segments: SegmentWriter): Promise<void> {
    for (const step of [dropOne, reclaimOne]) {
      try {
        await step(segments)
      } catch (cause) {
        tellKept(cause)
      }
    }
  }

  async function appendBytes(
    segments: SegmentWriter,
    collection: string,
    change: Change,
  ): Promise<ChangeBytes> {
    const blocks: Appended[] = []
    for (const { uid, bytes } of change.blocks ?? []) {
      blocks.push(await segments.append({ kind: 'block', collection, uid }, [bytes]))
    }
    const sealed = (change.records ?? []).map((record) => record.sealed)
    const records =
      sealed.length === 0
        ? undefined
        : await segments.append({ kind: 'records', collection, uid: NO_UID }, sealed)
    return { blocks, records, segments: await segments.sync() }
  }

  return {
    async create(info, epoch) {
      checkCollection(info, epoch)
      const { name, id, parameterSet, dimensions, metric, maxNorm, fields } = info
      const kept = { name, id, parameterSet, dimensions, metric, maxNorm, fields }
      const text = JSON.stringify(kept)
      await inTurn(() =>
        index.write(() => {
          if (index.get('SELECT 1 FROM collection WHERE name = ?', name) !== undefined) {
            throw collectionExists(name)
          }
          const number = index.run(
            `INSERT INTO collection (name, info, crc, sequence, tail_sequence, next_version,
               records, tail, blocks) VALUES (?, ?, ?, 0, 0, 1, 0, 0, 0)`,
            name,
            text,
            crc32(text),
          )
          index.run(
            'INSERT INTO epoch (collection, epoch, kcv) VALUES (?, ?, ?)',
            number,
            epoch.epoch,
            epoch.check,
          )
        }),
      )
    },

    async drop(name) {
      collectionRow(index, name)
      await inTurn(async (segments) => {
        // A new segment, so that the current one can go as well.
        await segments.abandon()
        markDropped(index, name)
      })
      // Other writes may come in between the steps; after a close the next writer does the rest.
      const step = (): Promise<boolean> =>
        inTurn(dropOne).catch((cause: unknown) => {
          if (closed) return false
          throw cause
        })
      while (await step());
    },

    async commit(name, change) {
      const { info } = collectionRow(index, name)
      checkChange(info, change)
      return inTurn(async (segments) => {
        const { committed, emptied } = await guarded(segments, async (onCommit) => {
          const bytes = await appendBytes(segments, info.id, change)
          return index.write(() => {
            const row = collectionRow(index, name)
            // Dropped, and made anew under the same name, since the change was checked.
            if (row.info.id !== info.id) throw collectionNotFound(name)
            return writeChange(index, row, change, bytes, segments.current())
          }, onCommit)
        })
        await unlinkAll(emptied)
        await giveSpaceBack(segments)
        return committed
      })
    },

    async reclaim(signal) {
      // What is written meanwhile, by this or by others, is not copied again.
      const newest = newestSegment(index)
      do throwIfEnded(signal)
      while (await inTurn((segments) => reclaimStepAsked(segments, newest)))
      return spaceOf(index)
    },

    async close() {
      await queue
      closed = true
      await held?.segments.close()
      await held?.release()
      held = undefined
    },
  }
}
