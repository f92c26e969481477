/** A stream of bytes cut into batches of whole rows, in constant memory. */
import { isUtf8 } from 'node:buffer'

import { FormatError } from '../errors.ts'
import {
  type RowFault,
  type RowFormat,
  type RowPlan,
  type RowSlots,
  isUtf8Text,
  rowSlots,
} from './row.ts'

/** Longest row of any format, line breaks in quotes included. */
export const MAX_ROW_BYTES = 16 * 1024 * 1024

/** Input scanned at once by default; short of the megabyte from which Node keeps strings outside the heap. */
export const DEFAULT_BLOCK_BYTES = 512 * 1024

const BOM = '\u00ef\u00bb\u00bf'

/** A row that has no values: why it is bad, or what it goes out as. */
export type SpecialRow = { readonly fault: RowFault } | { readonly literal: string }

/** Consecutive rows of one block, in columns. */
export interface RowBatch {
  /** Bytes of the block, and the same as text with one character for each byte. */
  readonly block: Uint8Array
  readonly text: string
  /** What goes out before the first row: bytes of a byte order mark. */
  readonly bomBytes: number
  readonly count: number
  /** By row: its first byte in the block, the byte after its line end, and its line from 1. */
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  readonly lineOf: readonly number[]
  readonly special: ReadonlyMap<number, SpecialRow>
  /** By field of the plan and row; see {@link RowSlots}. */
  readonly values: readonly (readonly (string | undefined)[])[]
  /** By version field and row; see {@link RowSlots}. */
  readonly versions: readonly (readonly (number | undefined)[])[]
  /** By tweak field and row. */
  readonly tweaks: readonly (readonly (string | undefined)[])[]
  readonly before: readonly (readonly string[])[]
  readonly none: readonly (readonly string[])[]
  /** By slot (fields, then version fields) and row. */
  readonly placeStarts: readonly (readonly number[])[]
  readonly placeEnds: readonly (readonly number[])[]
  /** Lines and bytes of input up to the end of the batch. */
  readonly lines: number
  readonly bytes: number
  /** Bytes up to the end of the first row of the file, which tells the columns. */
  readonly preambleBytes: number
}

/** Where a resumed reader goes on. */
export interface RowStart {
  /** Lines and bytes of input that are done. */
  readonly lines: number
  readonly bytes: number
  /** The first {@link RowBatch.preambleBytes} of the file. */
  readonly preamble: Uint8Array
}

const bomLength = (text: string): number => (text.startsWith(BOM) ? BOM.length : 0)

function tooLong(line: number): FormatError {
  return new FormatError('a row is too long', {
    where: `line ${line}`,
    expected: `at most ${MAX_ROW_BYTES} bytes`,
    got: 'more',
    hint: 'is a quote not closed, or is this the wrong format?',
  })
}

function refuseUtf16(text: string): void {
  if (!text.startsWith('\u00ff\u00fe') && !text.startsWith('\u00fe\u00ff')) return
  throw new FormatError('the file is UTF-16', {
    where: 'line 1',
    expected: 'UTF-8',
    hint: 'convert it, e.g. iconv -f UTF-16 -t UTF-8',
  })
}

const NOT_UTF8: RowFault = { message: 'not UTF-8', expected: 'UTF-8 (RFC 3629)' }

/** Whole rows up to the last line end are judged at once; a character may be cut at the end of a block. */
function allUtf8(block: Uint8Array, last: boolean): boolean {
  return isUtf8(last ? block : block.subarray(0, block.lastIndexOf(0x0a) + 1))
}

/** Rows that are being collected. */
class Rows {
  readonly starts: number[] = []
  readonly ends: number[] = []
  readonly lineOf: number[] = []
  readonly special = new Map<number, SpecialRow>()
  readonly values: (string | undefined)[][]
  readonly versions: (number | undefined)[][]
  readonly tweaks: (string | undefined)[][]
  readonly before: string[][]
  readonly none: string[][]
  readonly placeStarts: number[][]
  readonly placeEnds: number[][]

  constructor({ fields, versionFields, tweakFields }: RowPlan) {
    this.values = fields.map(() => [])
    this.versions = versionFields.map(() => [])
    this.tweaks = tweakFields.map(() => [])
    this.before = versionFields.map(() => [])
    this.none = versionFields.map(() => [])
    this.placeStarts = [...fields, ...versionFields].map(() => [])
    this.placeEnds = [...fields, ...versionFields].map(() => [])
  }

  get count(): number {
    return this.starts.length
  }

  push(row: RowSlots, start: number, line: number, utf8: boolean): void {
    const fault = utf8 ? row.fault : NOT_UTF8
    if (fault !== undefined) this.special.set(this.count, { fault })
    else if (row.literal !== undefined) this.special.set(this.count, { literal: row.literal })
    this.starts.push(start)
    this.ends.push(row.end)
    this.lineOf.push(line)
    for (let i = 0; i < this.values.length; i += 1) this.values[i]?.push(row.values[i])
    for (let t = 0; t < this.tweaks.length; t += 1) this.tweaks[t]?.push(row.tweaks[t])
    for (let v = 0; v < this.versions.length; v += 1) {
      this.versions[v]?.push(row.versions[v])
      this.before[v]?.push(row.before[v] ?? '')
      this.none[v]?.push(row.none[v] ?? '')
    }
    for (let slot = 0; slot < this.placeStarts.length; slot += 1) {
      this.placeStarts[slot]?.push(row.starts[slot] ?? 0)
      this.placeEnds[slot]?.push(row.ends[slot] ?? 0)
    }
  }
}

/**
 * Cuts a stream into batches of at most `batchRows` rows, none longer than a block.
 * @throws FormatError for rows longer than {@link MAX_ROW_BYTES} and for UTF-16; ConfigError of the format.
 */
export async function* rowBatches(
  source: AsyncIterable<Uint8Array>,
  format: RowFormat,
  plan: RowPlan,
  { batchRows, blockBytes }: { readonly batchRows: number; readonly blockBytes: number },
  from?: RowStart,
): AsyncGenerator<RowBatch> {
  const row = rowSlots(plan)
  let [lines, offset, preambleBytes] = [0, 0, 0]
  if (from !== undefined) {
    const preamble = Buffer.from(from.preamble).toString('latin1')
    format.next(row, preamble, bomLength(preamble), true)
    ;({ lines, bytes: offset } = from)
    preambleBytes = preamble.length
  }
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let wantedBytes = blockBytes

  function* scan(last: boolean): Generator<RowBatch> {
    const buffer = Buffer.concat(pending)
    const text = buffer.toString('latin1')
    const block = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
    if (offset === 0) refuseUtf16(text)
    const bom = offset === 0 ? bomLength(text) : 0
    const clean = allUtf8(block, last)
    let [at, rows, bomBytes] = [bom, new Rows(plan), bom]
    const batch = (): RowBatch => {
      const { count, starts, ends, lineOf, special } = rows
      const { values, versions, tweaks, before, none, placeStarts, placeEnds } = rows
      return {
        ...{ block, text, bomBytes, count, starts, ends, lineOf, special },
        ...{ values, versions, tweaks, before, none, placeStarts, placeEnds },
        ...{ lines, bytes: offset + at, preambleBytes },
      }
    }
    while (at < text.length && format.next(row, text, at, last)) {
      if (preambleBytes === 0) preambleBytes = row.end
      if (row.end - at > MAX_ROW_BYTES) throw tooLong(lines + 1)
      rows.push(row, at, lines + 1, clean || isUtf8Text(text.slice(at, row.end)))
      at = row.end
      lines += row.lines
      if (rows.count === batchRows) {
        yield batch()
        ;[rows, bomBytes] = [new Rows(plan), 0]
      }
    }
    if (rows.count > 0 || (last && bom === text.length && bom > 0)) yield batch()
    // Without a whole row the byte order mark waits too.
    const done = lines === 0 ? 0 : at
    offset += done
    pending = done < block.length ? [block.subarray(done)] : []
    pendingBytes = block.length - done
    if (pendingBytes > MAX_ROW_BYTES) throw tooLong(lines + 1)
    // Twice as much before the next try: a long row is not scanned from its start for each chunk.
    wantedBytes = Math.max(blockBytes, 2 * pendingBytes)
  }

  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += blockBytes) {
      const part = chunk.subarray(at, at + blockBytes)
      pending.push(part)
      pendingBytes += part.length
      if (pendingBytes >= wantedBytes) yield* scan(false)
    }
  }
  if (pendingBytes > 0) yield* scan(true)
}
