/** A stream of bytes cut into batches of whole rows, in constant memory. */
import { isUtf8 } from 'node:buffer'

import { FormatError } from '../errors.ts'
import { type Row, type RowFormat, faultyRow, isUtf8Text } from './row.ts'

/** Longest row of any format, line breaks in quotes included. */
export const MAX_ROW_BYTES = 16 * 1024 * 1024

/** Input scanned at once; short of the megabyte from which Node keeps strings outside the heap. */
const BLOCK_BYTES = 512 * 1024

const BOM = '\u00ef\u00bb\u00bf'

/** Consecutive rows. */
export interface RowBatch {
  /** One character for each byte; the rows are places in it. */
  readonly text: string
  readonly rows: readonly Row[]
  /** What goes out before the first row: a byte order mark, or nothing. */
  readonly before: string
  /** Line of the first row, from 1. */
  readonly line: number
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

const notUtf8 = (row: Row): Row =>
  faultyRow(row, row.lines, { message: 'not UTF-8', expected: 'UTF-8 (RFC 3629)' })

/** Whole rows up to the last line end are judged at once; a character may be cut at the end of a block. */
function allUtf8(block: Buffer, last: boolean): boolean {
  return isUtf8(last ? block : block.subarray(0, block.lastIndexOf(0x0a) + 1))
}

/**
 * Cuts a stream into batches of at most `batchRows` rows.
 * @throws FormatError for rows longer than {@link MAX_ROW_BYTES} and for UTF-16; ConfigError of the format.
 */
export async function* rowBatches(
  source: AsyncIterable<Uint8Array>,
  format: RowFormat,
  batchRows: number,
  from?: RowStart,
): AsyncGenerator<RowBatch> {
  let [lines, offset, preambleBytes] = [0, 0, 0]
  if (from !== undefined) {
    const preamble = Buffer.from(from.preamble).toString('latin1')
    format.next(preamble, bomLength(preamble), true)
    ;({ lines, bytes: offset } = from)
    preambleBytes = preamble.length
  }
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let wantedBytes = BLOCK_BYTES

  function* scan(last: boolean): Generator<RowBatch> {
    const block = Buffer.concat(pending)
    const text = block.toString('latin1')
    if (offset === 0) refuseUtf16(text)
    const bom = offset === 0 ? bomLength(text) : 0
    const clean = allUtf8(block, last)
    let [at, rows, first] = [bom, [] as Row[], lines]
    const batch = (): RowBatch => ({
      text,
      rows,
      before: first === 0 ? text.slice(0, bom) : '',
      line: first + 1,
      lines,
      bytes: offset + at,
      preambleBytes,
    })
    while (at < text.length) {
      const row = format.next(text, at, last)
      if (row === undefined) break
      if (preambleBytes === 0) preambleBytes = row.end
      rows.push(clean || isUtf8Text(text.slice(at, row.end)) ? row : notUtf8(row))
      at = row.end
      lines += row.lines
      if (row.end - row.start > MAX_ROW_BYTES) throw tooLong(lines)
      if (rows.length === batchRows) {
        yield batch()
        ;[rows, first] = [[], lines]
      }
    }
    if (rows.length > 0 || (last && bom === text.length && bom > 0)) yield batch()
    // Without a whole row the byte order mark waits too.
    const done = lines === 0 ? 0 : at
    offset += done
    pending = done < block.length ? [block.subarray(done)] : []
    pendingBytes = block.length - done
    if (pendingBytes > MAX_ROW_BYTES) throw tooLong(lines + 1)
    // Twice as much before the next try: a long row is not scanned from its start for each chunk.
    wantedBytes = Math.max(BLOCK_BYTES, 2 * pendingBytes)
  }

  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
      const part = chunk.subarray(at, at + BLOCK_BYTES)
      pending.push(part)
      pendingBytes += part.length
      if (pendingBytes >= wantedBytes) yield* scan(false)
    }
  }
  if (pendingBytes > 0) yield* scan(true)
}
