/**
 * What a writer does before it writes: brings the segment files to what the index refers to. Bytes
 * behind that, and files the index does not know, are of changes that were never committed. Bytes that
 * are missing were committed and cannot be made up for: that is refused.
 */
import { readdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { storageError, syncDirectory, syncFile, truncateDurably } from '../durable.ts'
import { EmbeddingError } from '../errors.ts'
import type { StoreFault } from './store.ts'
import { fileLength } from './embedded-directory.ts'
import { FRAME_HEADER_BYTES } from './segment-frame.ts'
import { segmentName, segmentNumber } from './segment-reader.ts'
import type { SegmentSize } from './segment-writer.ts'
import type { Index } from './sqlite-index.ts'

/** The first thing the index refers to that is not in the first `length` bytes of a segment. */
export function firstBeyond(index: Index, segment: number, length: number): string | undefined {
  const block = index.get<{ number: number; at: number }>(
    'SELECT number, at FROM block WHERE segment = ? AND at + length + ? > ? ORDER BY at LIMIT 1',
    segment,
    FRAME_HEADER_BYTES,
    length,
  )
  if (block !== undefined) return `block ${block.number} at offset ${block.at}`
  const record = index.get<{ version: number; at: number }>(
    'SELECT version, at FROM record WHERE segment = ? AND at + length > ? ORDER BY at LIMIT 1',
    segment,
    length,
  )
  return record && `the record of version ${record.version} at offset ${record.at}`
}

/** Where writing goes on. */
export interface Recovered {
  readonly last: SegmentSize | undefined
  /** Highest segment number that was ever committed. */
  readonly highest: number
}

/**
 * Puts what the index says now on the disk. The commit of a process that was killed within it may be in
 * the kernel alone: a power loss would bring back rows whose bytes are removed here on its word, or what
 * was beside a lock while it was taken over.
 */
async function settle({ path }: Index): Promise<void> {
  const log = `${path}-wal`
  // Without a log all of it is in the database, which SQLite syncs before it removes the log.
  if ((await fileLength(log)) !== undefined) await syncFile(log)
  await syncDirectory(dirname(path))
}

/**
 * Call with the lock held.
 * @throws EmbeddingError STORE_INVALID naming file, offset and block; StorageError.
 */
export async function recoverSegments(
  directory: string,
  index: Index,
  notice: (what: StoreFault) => void,
): Promise<Recovered> {
  const segments = index.all<{ number: number; size: number }>(
    'SELECT number, size FROM segment ORDER BY number',
  )
  await settle(index)
  let last: SegmentSize | undefined
  for (const { number, size } of segments) {
    const path = join(directory, segmentName(number))
    const length = await fileLength(path)
    last = undefined
    if (length === undefined || length < size) {
      const lost = firstBeyond(index, number, length ?? 0)
      // Nothing refers to what is missing: no harm, but nothing is appended to such a file either.
      if (lost === undefined) continue
      throw new EmbeddingError('STORE_INVALID', 'bytes that were committed are missing', {
        where: `${path}: ${lost}`,
        expected: `${size} bytes`,
        got: length === undefined ? 'no file' : `${length} bytes`,
        hint: 'bring the file back from a backup; verify names everything that is missing',
      })
    }
    if (length > size) {
      await truncateDurably(path, size)
      const what = `${length - size} bytes of a change that was not committed were cut off`
      notice({ where: path, what })
    }
    last = { segment: number, size }
  }
  await removeStrays(directory, new Set(segments.map(({ number }) => number)), notice)
  const row = index.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'segment'")
  return { last, highest: row?.seq ?? 0 }
}

/** Removes segment files that the index does not know. */
async function removeStrays(
  directory: string,
  known: ReadonlySet<number>,
  notice: (what: StoreFault) => void,
): Promise<void> {
  let names
  try {
    names = await readdir(directory)
  } catch (cause) {
    throw storageError(directory, cause)
  }
  for (const name of names) {
    const number = segmentNumber(name)
    if (number === undefined || known.has(number)) continue
    const path = join(directory, name)
    try {
      await unlink(path)
    } catch (cause) {
      throw storageError(path, cause)
    }
    notice({ where: path, what: 'a segment that nothing refers to was removed' })
  }
}
