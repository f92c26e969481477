/**
 * The binary format of COPY (PostgreSQL manual, "COPY", Binary Format): ciphertexts go in and out as they
 * are, at half the bytes of the hexadecimal text that queries return.
 */
import { EmbeddingError } from '../errors.ts'

/** `PGCOPY\n\377\r\n\0`, flags 0, no header extension. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const TRAILER = Buffer.from([0xff, 0xff])
/** Small rows are sent together up to this size; larger fields go without a copy. */
const PIECE_BYTES = 1 << 16
/** Longest field that is read: PostgreSQL's own bound. */
const MAX_FIELD = 2 ** 30
/** Object id of the type bytea. */
const BYTEA_OID = 17

/** Bytes of one field; undefined: NULL. */
export type Field = Uint8Array | undefined

/** @param value - a safe integer. */
export function int8(value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

/** @param value - a signed 32-bit integer. */
export function int4(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

export const text = (value: string): Uint8Array => Buffer.from(value, 'utf8')

/** Value of the type bytea[]. */
export function byteaArray(values: readonly Uint8Array[]): Uint8Array {
  const dimension = values.length === 0 ? [] : [int4(values.length), int4(1)]
  const elements = values.flatMap((value) => [int4(value.length), value])
  return Buffer.concat([
    int4(dimension.length === 0 ? 0 : 1),
    int4(0),
    int4(BYTEA_OID),
    ...dimension,
    ...elements,
  ])
}

/** Reads what {@link int8} writes. */
export const readInt8 = (field: Field): number =>
  field === undefined ? Number.NaN : Number(Buffer.from(field).readBigInt64BE())

/** Reads what {@link int4} writes. */
export const readInt4 = (field: Field): number =>
  field === undefined ? Number.NaN : Buffer.from(field).readInt32BE()

/** The stream that COPY FROM STDIN takes. */
export function* encodeRows(rows: Iterable<readonly Field[]>): Generator<Uint8Array> {
  let pieces: Uint8Array[] = [SIGNATURE]
  let length = 0
  for (const row of rows) {
    const count = Buffer.alloc(2)
    count.writeInt16BE(row.length)
    pieces.push(count)
    for (const field of row) {
      pieces.push(int4(field?.length ?? -1))
      if (field === undefined) continue
      if (field.length < PIECE_BYTES) {
        pieces.push(field)
        length += field.length + 4
        continue
      }
      yield Buffer.concat(pieces)
      yield field
      pieces = []
      length = 0
    }
    if (length < PIECE_BYTES) continue
    yield Buffer.concat(pieces)
    pieces = []
    length = 0
  }
  yield Buffer.concat([...pieces, TRAILER])
}

const malformed = (got: string): EmbeddingError =>
  new EmbeddingError('STORE_UNAVAILABLE', 'the server sent a COPY stream that ends or breaks off', {
    got,
    hint: 'try again; if it stays, look at the log of the server',
  })

/** Rows of a stream that COPY TO STDOUT gives. Fields are copies. */
export async function* decodeRows(source: AsyncIterable<Uint8Array>): AsyncGenerator<Field[]> {
  const chunks = source[Symbol.asyncIterator]()
  let held: Uint8Array[] = []
  let available = 0

  async function take(length: number): Promise<Buffer> {
    while (available < length) {
      const next = await chunks.next()
      if (next.done === true) throw malformed(`${available} bytes instead of ${length}`)
      held.push(next.value)
      available += next.value.length
    }
    const out = Buffer.allocUnsafe(length)
    let at = 0
    while (at < length) {
      const [first] = held
      if (first === undefined) throw malformed('nothing')
      const part = first.subarray(0, length - at)
      out.set(part, at)
      at += part.length
      if (part.length === first.length) held.shift()
      else held[0] = first.subarray(part.length)
    }
    available -= length
    return out
  }

  try {
    const signature = await take(SIGNATURE.length)
    if (!signature.equals(SIGNATURE)) throw malformed('another header')
    for (;;) {
      const count = (await take(2)).readInt16BE()
      if (count === -1) break
      if (count < 0) throw malformed(`${count} fields`)
      const row: Field[] = []
      for (let index = 0; index < count; index++) {
        const length = (await take(4)).readInt32BE()
        if (length < -1 || length > MAX_FIELD) throw malformed(`a field of ${length} bytes`)
        row.push(length === -1 ? undefined : await take(length))
      }
      yield row
    }
    // To the end, so that the connection is ready for the next query.
    while ((await chunks.next()).done !== true);
  } finally {
    held = []
    await chunks.return?.()
  }
}
