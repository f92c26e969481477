/** Runs bytes through a stream, cut into pieces of any size. */
import { type BadRow, type FpeStreamOptions, fpePieces } from '../../src/fpe/stream.ts'

/** What came out. */
export interface Streamed {
  readonly text: string
  readonly bytes: Buffer
  readonly badRows: readonly BadRow[]
  readonly rows: number
  readonly values: number
}

/** The bytes in chunks. */
export async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size))
  }
}

/** Everything the stream gives; throws what it throws. */
export async function streamed(
  input: string | Uint8Array,
  options: FpeStreamOptions,
  chunkBytes = 1 << 16,
): Promise<Streamed> {
  const bytes = typeof input === 'string' ? Buffer.from(input, 'utf8') : input
  const parts: Uint8Array[] = []
  const badRows: BadRow[] = []
  let [rows, values] = [0, 0]
  for await (const piece of fpePieces(chunks(bytes, chunkBytes), {
    blockBytes: chunkBytes,
    ...options,
  })) {
    parts.push(piece.bytes)
    badRows.push(...piece.badRows)
    ;({ rows, values } = piece.progress)
  }
  const out = Buffer.concat(parts)
  return { bytes: out, text: out.toString('utf8'), badRows, rows, values }
}
