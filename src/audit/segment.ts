/**
 * Lines and the files they are in: JSON Lines, one canonical JSON object per line, at most 65 536 lines
 * per file, each line below 65 536 bytes (the uint16 length of C2SP tlog-tiles entry bundles). A full
 * segment is a complete subtree of height 16.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { fromUtf8, sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalJson, parseCanonicalJson } from '../canonical.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, type FormatError } from '../errors.ts'
import type { Json } from '../types.ts'
import { storageError } from '../durable.ts'
import { leafHash } from './merkle.ts'
import { broken } from './requirements.ts'
import { type Tree, createTree } from './tree.ts'
import type { LogEntry } from './types.ts'

/** Height of the subtree that a full segment is. */
export const SEGMENT_HEIGHT = 16
/** Lines of a full segment. */
export const SEGMENT_LINES = 2 ** SEGMENT_HEIGHT
/** Longest line in bytes, newline not counted. */
export const MAX_LINE_BYTES = 65_535
/** Fields the log itself sets. */
const OWN_FIELDS = ['v', 'seq', 'time', 'prev'] as const
const CHUNK_BYTES = 1 << 20
const NEWLINE = 0x0a
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** File name of the segment that starts at an index. */
export const segmentName = (first: number): string => `${String(first).padStart(12, '0')}.jsonl`

/** Bytes between two newlines. */
export interface RawLine {
  readonly bytes: Uint8Array
  /** Where the line starts in its file. */
  readonly offset: number
  /** Whether a newline ends it. */
  readonly terminated: boolean
}

/** A line read back. */
export interface ParsedLine {
  readonly entry: LogEntry
  readonly leaf: Uint8Array
}

/** `prev` of the first line: binds the chain to the log's name. */
export const firstPrev = (origin: string): string => toHex(sha256(utf8(origin)))

/**
 * The line of an entry, without newline. Throws ConfigError on fields the log sets itself or a line that
 * is too long, FormatError on values without canonical form.
 */
export function encodeEntry(
  fields: { readonly type: string; readonly [key: string]: Json },
  own: Pick<LogEntry, 'seq' | 'time' | 'prev'>,
): { entry: LogEntry; line: Uint8Array } {
  const taken = OWN_FIELDS.find((field) => Object.hasOwn(fields, field))
  if (taken !== undefined) {
    throw new ConfigError('log entry sets a field of the log', { where: `field ${taken}` })
  }
  if (typeof fields.type !== 'string' || fields.type === '') {
    throw new ConfigError('log entry has no type', { where: 'field type' })
  }
  const text = canonicalJson({ ...fields, ...own, v: 1 })
  const line = utf8(text)
  if (line.length > MAX_LINE_BYTES) {
    throw new ConfigError('log entry is too long', {
      where: `entry of type ${fields.type}`,
      expected: `at most ${MAX_LINE_BYTES} bytes`,
      got: `${line.length} bytes`,
      hint: 'log a digest and keep the data in a file',
    })
  }
  // The parsed text, not the caller's object: later changes to that must not reach the log's view.
  return { entry: JSON.parse(text) as LogEntry, line }
}

/** Whether a value is RFC 3339 in UTC with milliseconds. */
const isTime = (time: unknown): boolean =>
  typeof time === 'string' &&
  TIME.test(time) &&
  !Number.isNaN(Date.parse(time)) &&
  new Date(time).toISOString() === time

/** Reads a line that should be entry `index`; `prev` is the caller's to compare. Throws VerificationError. */
export function parseEntry({ bytes, terminated }: RawLine, index: number): ParsedLine {
  const where = `entry ${index}`
  const fail = (message: string, got?: string, cause?: unknown): never => {
    throw broken('CHAIN_BROKEN', 'LOG-LINE-1', message, { where, entry: index, got, cause })
  }
  if (!terminated) fail('log ends in the middle of a line')
  if (bytes.length > MAX_LINE_BYTES) fail('log line is too long', `${bytes.length} bytes`)
  let entry: LogEntry
  try {
    entry = parseCanonicalJson(fromUtf8(bytes, where), where) as LogEntry
  } catch (cause) {
    return fail('log line is not canonical JSON', (cause as FormatError).message, cause)
  }
  if (typeof entry !== 'object' || (entry as unknown) === null || Array.isArray(entry)) {
    fail('log line is not an object')
  }
  const { v, seq, time, prev, type } = entry as Record<string, unknown>
  if (v !== 1) fail('log line has an unknown version', JSON.stringify(v))
  if (seq !== index) {
    throw broken('CHAIN_BROKEN', 'LOG-CHAIN-1', 'log line is out of place', {
      where,
      entry: index,
      expected: `seq ${index}`,
      got: `seq ${JSON.stringify(seq)}`,
    })
  }
  if (!isTime(time)) fail('log line has no RFC 3339 time', JSON.stringify(time))
  if (typeof prev !== 'string' || !/^[0-9a-f]{64}$/.test(prev)) fail('log line has no prev hash')
  if (typeof type !== 'string' || type === '') fail('log line has no type')
  return { entry, leaf: leafHash(bytes) }
}

/** Whether a last line may be what a crash left: no newline, or not JSON at all. */
export function isTorn({ bytes, terminated }: RawLine): boolean {
  if (!terminated) return true
  try {
    JSON.parse(fromUtf8(bytes))
    return false
  } catch {
    return true
  }
}

function orStorageError<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw storageError(path, cause)
  }
}

/** Lines of a file, in lists of one read each so that a long file can be read without a long pause. */
export function* readLines(path: string): Generator<RawLine[]> {
  const fd = orStorageError(path, () => openSync(path, 'r'))
  try {
    let rest: Uint8Array[] = []
    let offset = 0
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES)
      const read = orStorageError(path, () => readSync(fd, chunk, 0, CHUNK_BYTES, null))
      if (read === 0) break
      const lines: RawLine[] = []
      let start = 0
      for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0 && end < read; start = end + 1) {
        const part = chunk.subarray(start, end)
        const bytes = rest.length === 0 ? part : Buffer.concat([...rest, part])
        rest = []
        lines.push({ bytes, offset, terminated: true })
        offset += bytes.length + 1
      }
      if (start < read) rest.push(chunk.subarray(start, read))
      yield lines
    }
    if (rest.length > 0) yield [{ bytes: Buffer.concat(rest), offset, terminated: false }]
  } finally {
    closeSync(fd)
  }
}

/** First indexes of the segments of a log, in order; throws VerificationError on a gap or a strange file. */
export async function listSegments(directory: string): Promise<number[]> {
  let names: string[]
  try {
    names = (await readdir(directory)).sort()
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return []
    throw storageError(directory, cause)
  }
  return names.map((name, at) => {
    const first = at * SEGMENT_LINES
    if (name !== segmentName(first)) {
      throw broken('CHAIN_BROKEN', 'LOG-SEG-1', 'segment file is missing or strange', {
        where: join(directory, name),
        entry: first,
        expected: segmentName(first),
        got: name,
      })
    }
    return first
  })
}

/** The subtree of a full segment read back from disk; `root` is what it was when it was closed. */
export function loadSegment(directory: string, first: number, root: Uint8Array): Tree {
  const tree = createTree()
  for (const lines of readLines(join(directory, segmentName(first)))) {
    for (const { bytes } of lines) tree.append(leafHash(bytes))
  }
  if (tree.size !== SEGMENT_LINES || toHex(tree.root()) !== toHex(root)) {
    throw broken('ROOT_MISMATCH', 'LOG-ROOT-1', 'segment has changed since it was written', {
      where: segmentName(first),
      expected: toHex(root),
      got: toHex(tree.root()),
    })
  }
  return tree
}
