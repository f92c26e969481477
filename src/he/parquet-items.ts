/**
 * Items from Apache Parquet through hyparquet: a list column of floats, an id column, the rest metadata.
 * Rows are decoded in windows where the file has an offset index, else a row group at a time.
 */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'

import {
  type Compressors,
  type FileMetaData,
  type ParquetScan,
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
} from 'hyparquet'

import { errnoOf } from '../errno.ts'
import { FormatError, KeyriteError } from '../errors.ts'
import { type FieldMapping, itemOf } from './import-item.ts'
import type { Item } from './types.ts'

/** Rows decoded together where the file allows it. */
const WINDOW_ROWS = 2048

/** Most numbers of one row group that are decoded at once: about 35 bytes each in memory, as measured. */
const MAX_GROUP_VALUES = 48 * 1024 * 1024

/** Largest page; its length is written in the file, so it is a claim. */
const MAX_PAGE_BYTES = 512 * 1024 * 1024

/** The codecs of zlib; the library brings Snappy itself. Output never exceeds what the page header says. */
const compressors: Compressors = (() => {
  const bound = (length: number) => ({ maxOutputLength: Math.min(length, MAX_PAGE_BYTES) || 1 })
  return {
    GZIP: (input, length) => gunzipSync(input, bound(length)),
    BROTLI: (input, length) => brotliDecompressSync(input, bound(length)),
    ZSTD: (input, length) => zstdDecompressSync(input, bound(length)),
  }
})()

/** A file that is open. */
export interface ParquetItems {
  readonly rows: number
  items(skip?: number): AsyncGenerator<Item>
}

/** Runs the library; its errors become ours. They may repeat bytes of the file, so only the cause has them. */
async function reading<T>(where: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    if (cause instanceof KeyriteError || /^E[A-Z]+$/.test(errnoOf(cause) ?? '')) throw cause
    throw new FormatError('the Parquet file cannot be read', {
      where,
      expected: 'Parquet; pages plain or in Snappy, gzip, Brotli or Zstandard',
      hint: 'is the file whole? LZ4 and LZO are not read',
      cause,
    })
  }
}

/** The columns that are read. @throws FormatError when one that was asked for is missing. */
function columnsOf(metadata: FileMetaData, where: string, mapping: FieldMapping) {
  const names = parquetSchema(metadata).children.map(({ element }) => element.name)
  const { idField = 'id', fields } = mapping
  const vectorField = mapping.vectorField ?? (names.includes('vector') ? 'vector' : 'embedding')
  const inner = fields?.some((name) => !names.includes(name)) === true && names.includes('metadata')
  const wanted = [idField, vectorField, ...(fields ?? [])]
  for (const name of wanted) {
    if (names.includes(name) || (inner && name !== idField && name !== vectorField)) continue
    throw new FormatError('the file has no such column', {
      where: `${where}, ${name}`,
      expected: `one of ${names.join(', ')}`,
    })
  }
  const some = [...new Set([...wanted, ...(inner ? ['metadata'] : [])])]
  return {
    vectorField,
    columns: fields === undefined ? names : names.filter((n) => some.includes(n)),
  }
}

/** Row ranges to decode together, in order. @throws FormatError on a row group that is too large. */
export function windows(metadata: FileMetaData, vectorField: string, where: string) {
  let start = 0
  return metadata.row_groups.flatMap((group, index) => {
    const rows = Number(group.num_rows)
    const first = start
    start += rows
    const chunk = group.columns.find(
      ({ meta_data }) => meta_data?.path_in_schema[0] === vectorField,
    )
    const values = Number(chunk?.meta_data?.num_values ?? 0)
    const indexed = chunk?.offset_index_offset !== undefined
    if (!indexed && values > MAX_GROUP_VALUES) {
      throw new FormatError('a row group is too large to be decoded at once', {
        where: `${where}, row group ${index}`,
        expected: `at most ${MAX_GROUP_VALUES} numbers, or a page index`,
        got: `${values} numbers`,
        hint: 'write the file with a page index, or with row groups of some 10,000 rows',
      })
    }
    const step = indexed ? WINDOW_ROWS : rows
    const count = rows === 0 ? 0 : Math.ceil(rows / step)
    return Array.from({ length: count }, (_, i) => ({
      rowStart: first + i * step,
      rowEnd: Math.min(first + (i + 1) * step, first + rows),
    }))
  })
}

async function* rowsOf(
  scan: () => Promise<ParquetScan>,
  columns: readonly string[],
  range: { readonly rowStart: number; readonly rowEnd: number },
  where: string,
): AsyncGenerator<Record<string, unknown>> {
  const { rowStart, rowEnd } = range
  // A scan keeps the columns it read last; a new one for each window gives them back.
  const data = await reading(where, async () => {
    const open = await scan()
    return Promise.all(columns.map((column) => open.readColumn({ column, rowStart, rowEnd })))
  })
  for (const values of data) {
    if (values.length === rowEnd - rowStart) continue
    const expected = `${rowEnd - rowStart} rows`
    throw new FormatError('a column is shorter than the file says', { where, expected })
  }
  for (let i = 0; i < rowEnd - rowStart; i += 1) {
    yield Object.fromEntries(columns.map((name, c) => [name, (data[c] as ArrayLike<unknown>)[i]]))
  }
}

/** Opens a Parquet file. @throws FormatError; what the system says. */
export async function openParquet(path: string, mapping: FieldMapping): Promise<ParquetItems> {
  const file = await asyncBufferFromFile(path)
  const metadata = await reading(path, () => parquetMetadataAsync(file))
  const { vectorField, columns } = columnsOf(metadata, path, mapping)
  const ranges = windows(metadata, vectorField, path)
  const scan = () => parquetScan({ file, metadata, columns: [...columns], compressors })
  return {
    rows: Number(metadata.num_rows),
    async *items(skip = 0) {
      for (const { rowStart, rowEnd } of ranges) {
        if (rowEnd <= skip) continue
        let row = rowStart
        for await (const record of rowsOf(scan, columns, { rowStart, rowEnd }, path)) {
          const where = `${path}, row ${row}`
          row += 1
          if (row > skip) yield itemOf(record, where, { ...mapping, vectorField })
        }
      }
    },
  }
}
