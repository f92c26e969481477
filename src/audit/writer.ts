/**
 * Durable appends with group commit: while one write and sync is under way, lines collect, and the next
 * write takes all of them. No timer; a lone caller waits for one sync, many callers share one.
 * The first error ends the writer, because nobody knows what of the file reached the disk.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'

import { StorageError } from '../errors.ts'
import { storageError, syncDirectory, writeAll } from '../durable.ts'
import { SEGMENT_LINES, segmentName } from './segment.ts'

/** Bytes per write; bounds memory and the wait of one caller behind many. */
const BATCH_BYTES = 4 << 20
const NEWLINE = Uint8Array.of(0x0a)

/** A line on its way to the disk. */
interface Waiting {
  readonly line: Uint8Array
  readonly durable: () => void
  readonly failed: (error: StorageError) => void
}

/** Appends lines to the segments of one directory. */
export interface Writer {
  /** Resolves once the line is durable, after `onDurable` ran; lines keep the order of the calls. */
  append(line: Uint8Array, onDurable: () => void): Promise<void>
  /** Ends the writer: every later call throws. Used for storage errors outside of the writer too. */
  fail(error: StorageError): void
  /** Throws the error that ended the writer, if one did. */
  check(): void
  close(): Promise<void>
}

/** A writer that continues after `size` lines. */
export function createWriter(directory: string, size: number): Writer {
  let queue: Waiting[] = []
  let running: Promise<void> | undefined
  let fatal: StorageError | undefined
  let file: FileHandle | undefined
  let written = size

  const check = (): void => {
    if (fatal === undefined) return
    throw new StorageError(fatal.code, 'the log takes no more entries after an error', {
      where: fatal.where,
      got: fatal.got ?? fatal.message,
      hint: fatal.hint,
      cause: fatal,
    })
  }

  const fail = (error: StorageError): void => {
    fatal ??= error
    const lost = queue
    queue = []
    for (const waiting of lost) waiting.failed(error)
  }

  async function segmentFile(): Promise<FileHandle> {
    const isNew = written % SEGMENT_LINES === 0
    if (isNew) {
      await file?.close()
      file = undefined
    }
    if (file !== undefined) return file
    const path = join(directory, segmentName(written - (written % SEGMENT_LINES)))
    const { O_APPEND, O_WRONLY, O_CREAT, O_NOFOLLOW } = constants
    file = await open(path, O_APPEND | O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644)
    if (isNew) await syncDirectory(directory)
    return file
  }

  /** Takes what fits into the current segment and one write. */
  function takeBatch(): Waiting[] {
    const room = SEGMENT_LINES - (written % SEGMENT_LINES)
    let count = 0
    let bytes = 0
    while (count < Math.min(room, queue.length) && bytes < BATCH_BYTES) {
      bytes += (queue[count]?.line.length ?? 0) + 1
      count += 1
    }
    return queue.splice(0, count)
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      const batch = takeBatch()
      try {
        const segment = await segmentFile()
        await writeAll(segment, Buffer.concat(batch.flatMap(({ line }) => [line, NEWLINE])))
        await segment.datasync()
      } catch (cause) {
        const error = storageError(directory, cause)
        for (const waiting of batch) waiting.failed(error)
        fail(error)
        return
      }
      written += batch.length
      for (const waiting of batch) waiting.durable()
    }
  }

  return {
    check,
    fail,
    async append(line, onDurable) {
      check()
      const durable = new Promise<void>((resolve, reject) => {
        const done = () => {
          onDurable()
          resolve()
        }
        queue.push({ line, durable: done, failed: reject })
      })
      // Started in a microtask, so that calls made in one turn share the first write too.
      running ??= Promise.resolve()
        .then(run)
        .finally(() => (running = undefined))
      await durable
    },
    async close() {
      await running
      const open = file
      file = undefined
      await open?.close()
    },
  }
}
