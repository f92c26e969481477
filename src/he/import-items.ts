/** One way to read items from any of the formats: JSON Lines, NPY, bare float32, Parquet. */
import { ConfigError } from '../errors.ts'
import { chunksOf, requireFile } from './import-file.ts'
import type { FieldMapping } from './import-item.ts'
import { type SideFiles, openMatrix } from './import-matrix.ts'
import { tooFewToSkip } from './import-lines.ts'
import { jsonLinesItems } from './json-lines-items.ts'
import { openParquet } from './parquet-items.ts'
import type { Item } from './types.ts'

export type { FieldMapping } from './import-item.ts'
export type { SideFiles } from './import-matrix.ts'

/** Formats that can be read. */
export const IMPORT_FORMATS = ['jsonl', 'npy', 'float32', 'parquet'] as const

/** One of {@link IMPORT_FORMATS}. */
export type ImportFormat = (typeof IMPORT_FORMATS)[number]

/** Options of {@link openItems}. */
export interface ImportOptions extends FieldMapping, SideFiles {
  /** Default: by the end of the file's name. */
  readonly format?: ImportFormat | undefined
}

/** A file of items. */
export interface ItemSource extends AsyncDisposable {
  readonly format: ImportFormat
  /** Items there are, where the file says it. */
  readonly count: number | undefined
  /**
   * Items in the order of the file, after the first `skip`.
   * @throws FormatError that names the place, or when there are fewer items than are to be skipped.
   */
  items(skip?: number): AsyncIterable<Item>
}

const NAMES: readonly (readonly [RegExp, ImportFormat])[] = [
  [/\.(?:jsonl|ndjson)$/i, 'jsonl'],
  [/\.npy$/i, 'npy'],
  [/\.(?:bin|f32)$/i, 'float32'],
  [/\.parquet$/i, 'parquet'],
]

/** The format a file's name stands for; undefined: none. */
export const formatOfName = (path: string): ImportFormat | undefined =>
  NAMES.find(([pattern]) => pattern.test(path))?.[1]

/** @throws FormatError when not even those that are to be skipped are there. */
function checkSkip(path: string, rows: number, skip = 0): void {
  if (skip > rows) throw tooFewToSkip(path, skip, rows)
}

/** What errors call the file itself. */
const INPUT = 'the input'

const closed = (): Promise<void> => Promise.resolve()

/**
 * Opens a file of items.
 * @throws ConfigError when it, or the file of ids or records beside it, cannot be read; FormatError.
 */
export async function openItems(path: string, options: ImportOptions = {}): Promise<ItemSource> {
  const { format = formatOfName(path), ids, records } = options
  if (format === undefined) {
    throw new ConfigError('the format of the input is not known', {
      where: path,
      expected: `${IMPORT_FORMATS.join(', ')}, or a name in .jsonl, .npy, .bin, .f32 or .parquet`,
    })
  }
  const matrix = format === 'npy' || format === 'float32'
  if (!matrix && (ids !== undefined || records !== undefined)) {
    throw new ConfigError('ids stand in the file itself', {
      where: ids ?? records,
      expected: 'a file of ids or records only beside npy or float32',
      got: format,
    })
  }
  await requireFile(path, INPUT)
  if (format === 'parquet') {
    const open = await openParquet(path, options)
    const items = (skip?: number) => {
      checkSkip(path, open.rows, skip)
      return open.items(skip)
    }
    return { format, count: open.rows, items, [Symbol.asyncDispose]: closed }
  }
  if (matrix) {
    const open = await openMatrix(path, format, options, { ids, records })
    const close = () => open[Symbol.asyncDispose]()
    return {
      format,
      count: open.rows,
      items: (skip) => {
        checkSkip(path, open.rows, skip)
        return open.items(skip)
      },
      [Symbol.asyncDispose]: close,
    }
  }
  return {
    format,
    count: undefined,
    items: (skip) => jsonLinesItems(chunksOf(path, INPUT), path, { ...options, skip }),
    [Symbol.asyncDispose]: closed,
  }
}
