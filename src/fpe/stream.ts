/**
 * Columns of CSV, JSON Lines and plain lines encrypted, decrypted or moved to the current key version as a
 * stream: rows in batches, order kept, at most two batches at work, everything but the values byte for byte.
 * No value goes out in its old form: a row with a value that cannot be used ends the stream or is left out.
 */
import { ReadableStream, type ReadableWritablePair, TransformStream } from 'node:stream/web'

import { ConfigError, FpeError } from '../errors.ts'
import { type CsvOptions, csvFormat } from './csv.ts'
import { jsonLinesFormat } from './json-lines.ts'
import { linesFormat } from './plain-lines.ts'
import type { RowPlan, Task } from './row.ts'
import { DEFAULT_BLOCK_BYTES, type RowBatch, rowBatches } from './row-batch.ts'
import { type BadRow, type RewritePlan, rewriteBatch } from './row-rewrite.ts'
import type { Column } from './types.ts'

export type { BadRow } from './row-rewrite.ts'

/** Rows sent to the key together. */
export const DEFAULT_BATCH_ROWS = 2048

/** A column and where it stands in the file. */
export interface StreamColumn {
  readonly column: Column
  /** CSV: name in the header, or number from 1 without one. JSON Lines: dotted path or JSON Pointer. Default: the column's name. */
  readonly field?: string | number
  /**
   * Where the key version stands, in the same form. Encryption writes the current version there and adds
   * the field at the end of the row (JSON: of its object) if it is missing; decryption takes it away again
   * if it stands there, and else empties it. Rewrap writes the new version.
   */
  readonly versionField?: string | number
  /** The field whose text is bound into the tweak, for columns with a row tweak. Must not change afterwards. */
  readonly tweakField?: string | number
}

/** Where a stream stands: between two rows. */
export interface StreamProgress {
  /** Rows with values that were read, bad ones included. */
  readonly rows: number
  readonly badRows: number
  /** Values that were written. */
  readonly values: number
  readonly lines: number
  readonly inputBytes: number
  readonly outputBytes: number
  /** Bytes up to the end of the first row of the file. */
  readonly preambleBytes: number
}

/** Options of {@link fpeTransform}. */
export interface FpeStreamOptions {
  readonly format: 'csv' | 'jsonl' | 'lines'
  readonly direction: Task
  /** Plain lines: exactly one. */
  readonly columns: readonly StreamColumn[]
  /**
   * Where columns stand that are not worked on, although their key version stands where that of one of
   * `columns` does: refused where the file has them.
   */
  readonly leftOut?: readonly (string | number)[]
  /** `stop` (default): the first bad row ends the stream with its error. `skip`: bad rows are left out. */
  readonly onError?: 'stop' | 'skip'
  readonly onBadRow?: (row: BadRow) => void
  readonly onProgress?: (progress: StreamProgress) => void
  /** Default 2,048. */
  readonly batchRows?: number
  /** Input that is read before rows are looked for, in bytes. Default 512 KiB. */
  readonly blockBytes?: number
  readonly csv?: CsvOptions
  /** Empty, null and missing values stay as they are; default false: they make a bad row. */
  readonly keepEmpty?: boolean
  /** Key version of values that have none beside them. Rewrap needs this or a version field. */
  readonly fromVersion?: number
  readonly signal?: AbortSignal
}

/** Output, and where the stream stands after it. */
export interface StreamPiece {
  readonly bytes: Uint8Array
  readonly badRows: readonly BadRow[]
  readonly progress: StreamProgress
}

/** Where a stream goes on that was interrupted. */
export interface StreamStart {
  readonly progress: StreamProgress
  /** The first `preambleBytes` of the input. */
  readonly preamble: Uint8Array
}

const refuse = (message: string, where: string, expected: string, hint?: string): ConfigError =>
  new ConfigError(message, { where, expected, hint })

function checkVersions(options: FpeStreamOptions): void {
  const { direction, columns, format, fromVersion } = options
  const written = new Map<string, number>()
  for (const { column, versionField } of columns) {
    const where = `column ${column.name}`
    if (versionField === undefined) {
      if (direction !== 'rewrap' || fromVersion !== undefined) continue
      throw refuse(
        'nothing says under which key version the values are',
        where,
        'a field with the key version, or one version for all values',
        'a file whose rows do not hold their version must be of one version as a whole',
      )
    }
    if (format === 'lines') {
      throw refuse('plain lines have no place for a key version', where, 'no version field')
    }
    const other = written.get(String(versionField))
    if (other !== undefined && other !== column.currentVersion) {
      throw refuse(
        'columns with one version field have different current versions',
        where,
        'one current version, or a version field each',
      )
    }
    written.set(String(versionField), column.currentVersion)
  }
  if (direction === 'encrypt' && fromVersion !== undefined) {
    throw refuse('encryption uses the current key version', 'fromVersion', 'no version')
  }
}

/** What an option that is one of a few words may be. Callers without types get here too. */
const CHOICES = {
  format: ['csv', 'jsonl', 'lines'],
  direction: ['encrypt', 'decrypt', 'rewrap'],
  onError: ['stop', 'skip'],
} as const

function checkOptions(options: FpeStreamOptions): void {
  const { columns, format, direction, onError = 'stop', batchRows, blockBytes } = options
  const given: Record<string, unknown> = { format, direction, onError }
  for (const [name, choices] of Object.entries(CHOICES)) {
    if (choices.some((choice) => choice === given[name])) continue
    throw refuse('an option is none of its choices', name, `one of ${choices.join(', ')}`)
  }
  if (columns.length === 0 || (format === 'lines' && columns.length > 1)) {
    const expected = format === 'lines' ? 'exactly one' : 'at least one'
    throw refuse(`not a set of columns for ${format}`, 'columns', expected)
  }
  for (const [name, count = 1] of Object.entries({ batchRows, blockBytes })) {
    if (Number.isInteger(count) && count >= 1) continue
    throw refuse('not a size of batches', name, 'a whole number from 1')
  }
  const { tweakField, column } = columns.find((one) => one.tweakField !== undefined) ?? {}
  if (format === 'lines' && tweakField !== undefined) {
    const where = `column ${column?.name ?? ''}`
    throw refuse('plain lines have no other field for the tweak', where, 'no row tweak')
  }
  checkVersions(options)
}

function makePlan(options: FpeStreamOptions, signal: AbortSignal): RewritePlan {
  checkOptions(options)
  const { format, direction, columns } = options
  const versionFields = [
    ...new Set(columns.flatMap(({ versionField }) => versionField ?? [])),
  ] as const
  const tweakFields = [...new Set(columns.flatMap(({ tweakField }) => tweakField ?? []))] as const
  const rows: RowPlan = {
    task: direction,
    fields: columns.map(({ column, field }) => field ?? column.name),
    versionFields,
    tweakFields,
    leftOut: options.leftOut ?? [],
    versionsMayLack: direction === 'encrypt' || options.fromVersion !== undefined,
    keepEmpty: options.keepEmpty ?? false,
  }
  return {
    task: direction,
    format:
      format === 'csv'
        ? csvFormat(rows, options.csv)
        : format === 'jsonl'
          ? jsonLinesFormat(rows)
          : linesFormat(rows),
    rows,
    columns: columns.map(({ column, versionField, tweakField }) => ({
      column,
      version: versionField === undefined ? undefined : versionFields.indexOf(versionField),
      tweak: tweakField === undefined ? undefined : tweakFields.indexOf(tweakField),
    })),
    fromVersion: options.fromVersion,
    stop: (options.onError ?? 'stop') === 'stop',
    signal,
  }
}

/** Where a stream starts: at the first byte. */
const AT_START: StreamProgress = {
  rows: 0,
  badRows: 0,
  values: 0,
  lines: 0,
  inputBytes: 0,
  outputBytes: 0,
  preambleBytes: 0,
}

/** Batches that are at work at the same time: while one is with the key, the next is read. */
const IN_FLIGHT = 2

const aborted = (): FpeError =>
  new FpeError('ABORTED', 'the stream was stopped', {
    hint: 'what went out until then is whole rows',
  })

/**
 * The stream as pieces of output, each whole rows, with where the stream stands after it. A consumer that
 * stops early ends the work that is under way. With `from`, `source` begins at `from.progress.inputBytes`.
 * @throws ConfigError, FormatError and FpeError of the first bad row, FpeError ABORTED, what the columns throw.
 */
export async function* fpePieces(
  source: AsyncIterable<Uint8Array>,
  options: FpeStreamOptions,
  from?: StreamStart,
): AsyncGenerator<StreamPiece, void, undefined> {
  const end = new AbortController()
  const { signal: outer, batchRows = DEFAULT_BATCH_ROWS } = options
  const { blockBytes = DEFAULT_BLOCK_BYTES } = options
  const signal = outer === undefined ? end.signal : AbortSignal.any([outer, end.signal])
  const plan = makePlan(options, signal)
  const start = from && {
    lines: from.progress.lines,
    bytes: from.progress.inputBytes,
    preamble: from.preamble,
  }
  let progress = from?.progress ?? AT_START
  const atWork: { batch: RowBatch; done: ReturnType<typeof rewriteBatch> }[] = []

  const oldest = async (): Promise<StreamPiece | undefined> => {
    const next = atWork[0]
    if (next === undefined) return undefined
    const { bytes, rows, values, badRows } = await next.done
    atWork.shift()
    if (outer?.aborted === true) throw aborted()
    progress = {
      rows: progress.rows + rows,
      badRows: progress.badRows + badRows.length,
      values: progress.values + values,
      lines: next.batch.lines,
      inputBytes: next.batch.bytes,
      outputBytes: progress.outputBytes + bytes.length,
      preambleBytes: next.batch.preambleBytes,
    }
    for (const bad of badRows) options.onBadRow?.(bad)
    options.onProgress?.(progress)
    return { bytes, badRows, progress }
  }

  try {
    for await (const batch of rowBatches(
      source,
      plan.format,
      plan.rows,
      { batchRows, blockBytes },
      start,
    )) {
      if (outer?.aborted === true) throw aborted()
      const done = rewriteBatch(plan, batch)
      // Its error is thrown when its turn comes; until then it is nobody's.
      done.catch(() => undefined)
      atWork.push({ batch, done })
      const piece = atWork.length < IN_FLIGHT ? undefined : await oldest()
      if (piece !== undefined) yield piece
    }
    for (let piece = await oldest(); piece !== undefined; piece = await oldest()) yield piece
  } finally {
    end.abort(aborted())
    await Promise.allSettled(atWork.map(({ done }) => done))
  }
}

async function* bytesOf(pieces: AsyncIterable<StreamPiece>): AsyncGenerator<Uint8Array> {
  for await (const { bytes } of pieces) if (bytes.length > 0) yield bytes
}

/**
 * `source.pipeThrough(fpeTransform(options))`: the same as a pair of web streams, with back-pressure.
 * The readable side fails with what {@link fpePieces} throws; the writable side is cancelled then.
 */
export function fpeTransform(
  options: FpeStreamOptions,
): ReadableWritablePair<Uint8Array, Uint8Array> {
  makePlan(options, new AbortController().signal)
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  return { writable, readable: ReadableStream.from(bytesOf(fpePieces(readable, options))) }
}
