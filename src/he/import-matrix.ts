/**
 * Items from a file that is only numbers, row by row: NumPy's .npy, or bare float32. Ids and metadata come
 * from a file of lines beside it, or the ids are row numbers from 0.
 */
import { type FileHandle, open } from 'node:fs/promises'

import { FormatError } from '../errors.ts'
import { chunksOf } from './import-file.ts'
import { type FieldMapping, idOf, metadataOf, vectorOf } from './import-item.ts'
import { linesOf } from './import-lines.ts'
import { objectOf } from './json-lines-items.ts'
import {
  FLOAT_BYTES,
  type FloatType,
  NPY_PREFIX_BYTES,
  decodeFloats,
  npyHeaderSpan,
  parseNpyHeader,
} from './npy.ts'
import type { Item } from './types.ts'

/** Numbers are read in pieces of about this size. */
const READ_BYTES = 1024 * 1024

/** What errors call the files beside the numbers. */
const IDS = 'a file of ids'
const RECORDS = 'a file of records'

/** Files beside the numbers, one line a row. */
export interface SideFiles {
  /** A file of ids, one a line. */
  readonly ids?: string | undefined
  /** A file of JSON objects, one a line: the id field is the id, the rest metadata. */
  readonly records?: string | undefined
}

/** A matrix in an open file. */
export interface Matrix extends AsyncDisposable {
  readonly rows: number
  readonly columns: number
  items(skip?: number): AsyncGenerator<Item>
}

async function readSpan(
  file: FileHandle,
  start: number,
  length: number,
  where: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let have = 0; have < length;) {
    const { bytesRead } = await file.read(bytes, have, length - have, start + have)
    if (bytesRead === 0) {
      const got = `${start + have} bytes`
      throw new FormatError('the file is cut off', {
        where,
        expected: `${start + length} bytes or more`,
        got,
      })
    }
    have += bytesRead
  }
  return bytes
}

interface Layout {
  readonly type: FloatType
  readonly rows: number
  readonly columns: number
  readonly offset: number
}

/** @throws FormatError. */
async function npyLayout(file: FileHandle, size: number, where: string): Promise<Layout> {
  const prefix = await readSpan(file, 0, Math.min(size, NPY_PREFIX_BYTES), where)
  const { start, end } = npyHeaderSpan(prefix, where)
  const header = await readSpan(file, start, end - start, where)
  const layout = parseNpyHeader(Buffer.from(header).toString('utf8'), where)
  const expected = end + layout.rows * layout.columns * FLOAT_BYTES[layout.type]
  if (size !== expected) {
    throw new FormatError('the file is not as long as its header says', {
      where,
      expected: `${expected} bytes for ${layout.rows} rows of ${layout.columns}`,
      got: `${size} bytes`,
    })
  }
  return { ...layout, offset: end }
}

/** @throws FormatError when the bytes are no whole number of rows. */
function bareLayout(size: number, columns: number, where: string): Layout {
  const rowBytes = columns * FLOAT_BYTES.float32
  if (size % rowBytes !== 0) {
    throw new FormatError('the file is no whole number of vectors', {
      where,
      expected: `a multiple of ${rowBytes} bytes (${columns} float32 each)`,
      got: `${size} bytes`,
      hint: 'are the dimensions right?',
    })
  }
  return { type: 'float32', rows: size / rowBytes, columns, offset: 0 }
}

/** Vectors from a row on. */
async function* vectors(
  file: FileHandle,
  { type, rows, columns, offset }: Layout,
  where: string,
  first: number,
): AsyncGenerator<Float32Array> {
  const rowBytes = columns * FLOAT_BYTES[type]
  const together = Math.max(1, Math.floor(READ_BYTES / rowBytes))
  for (let row = first; row < rows; row += together) {
    const count = Math.min(together, rows - row)
    const bytes = await readSpan(file, offset + row * rowBytes, count * rowBytes, where)
    for (let i = 0; i < count; i += 1) {
      const numbers = decodeFloats(bytes.subarray(i * rowBytes, (i + 1) * rowBytes), type)
      yield vectorOf(numbers, `${where}, row ${row + i}`, columns)
    }
  }
}

type Label = Omit<Item, 'vector'>

/** Ids and metadata of the rows, in order. */
async function* labels(
  { ids, records }: SideFiles,
  mapping: FieldMapping,
  skip: number,
): AsyncGenerator<Label, undefined> {
  if (ids !== undefined) {
    for await (const { number, text } of linesOf(chunksOf(ids, IDS), ids, skip)) {
      yield { id: idOf(text, `${ids}, line ${number}`) }
    }
  } else if (records !== undefined) {
    const { idField = 'id' } = mapping
    for await (const line of linesOf(chunksOf(records, RECORDS), records, skip)) {
      const where = `${records}, line ${line.number}`
      const record = objectOf(line, records)
      const metadata = metadataOf(record, where, mapping, [idField])
      const id = idOf(Object.hasOwn(record, idField) ? record[idField] : undefined, where)
      yield metadata === undefined ? { id } : { id, metadata }
    }
  } else {
    for (let row = skip; ; row += 1) yield { id: String(row) }
  }
}

/** @throws FormatError when the file beside the numbers has more or fewer lines than they have rows. */
const otherCount = (where: string, rows: number, more: boolean): FormatError =>
  new FormatError('the file beside the vectors does not fit them', {
    where,
    expected: `${rows} lines, one for each vector`,
    got: more ? 'more lines' : 'fewer lines',
  })

/**
 * A file that does not fit would give vectors the ids of others, so it is read once before any of them is.
 * @throws ConfigError, FormatError.
 */
async function checkCount(beside: string, what: string, rows: number): Promise<void> {
  const lines = linesOf(chunksOf(beside, what), beside)
  let count = 0
  while (count <= rows && (await lines.next()).done !== true) count += 1
  await lines.return(undefined)
  if (count !== rows) throw otherCount(beside, rows, count > rows)
}

/** Opens .npy, or bare float32 of the dimensions in the mapping. @throws ConfigError, FormatError. */
export async function openMatrix(
  path: string,
  form: 'npy' | 'float32',
  mapping: FieldMapping,
  side: SideFiles,
): Promise<Matrix> {
  const { dimensions } = mapping
  if (side.ids !== undefined && side.records !== undefined) {
    const expected = 'a file of ids or a file of records, not both'
    throw new FormatError('ids come from two files', { where: side.ids, expected })
  }
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (form === 'float32' && dimensions === undefined) {
      const expected = 'the dimensions of the vectors: the file does not say them'
      throw new FormatError('bare numbers have no shape', { where: path, expected })
    }
    const layout =
      form === 'npy' ? await npyLayout(file, size, path) : bareLayout(size, dimensions ?? 1, path)
    const { rows, columns } = layout
    if (dimensions !== undefined && columns !== dimensions) {
      throw new FormatError('the vectors have other dimensions', {
        where: path,
        expected: String(dimensions),
        got: String(columns),
      })
    }
    const beside = side.ids ?? side.records
    if (beside !== undefined) {
      await checkCount(beside, side.ids === undefined ? RECORDS : IDS, rows)
    }
    return {
      rows,
      columns,
      async *items(skip = 0) {
        const labelled = labels(side, mapping, Math.min(skip, rows))
        try {
          for await (const vector of vectors(file, layout, path, skip)) {
            const label: IteratorResult<Label, undefined> = await labelled.next()
            // It was changed since it was counted.
            if (label.done === true) throw otherCount(beside ?? path, rows, false)
            yield { ...label.value, vector }
          }
          if (beside !== undefined && (await labelled.next()).done !== true) {
            throw otherCount(beside, rows, true)
          }
        } finally {
          await labelled.return(undefined)
        }
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}
