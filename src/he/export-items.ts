/**
 * Items to files in clear, for leaving: JSON Lines, or an NPY matrix of float32 with its records beside it.
 * What is written here is read again by `import-items.ts`, and by any other program. A file gets its name
 * when it is whole and on the disk, and never takes the place of another one unasked. Mode 0600.
 */
import { dirname } from 'node:path'

import { utf8 } from '../bytes.ts'
import { syncDirectory } from '../durable.ts'
import { ConfigError, EmbeddingError } from '../errors.ts'
import { Growing, exists, partOf, remove, taken, writing } from '../growing-file.ts'
import { takeLock } from '../lock.ts'
import { npyPreamble } from './npy.ts'
import type { Item } from './types.ts'

/** Formats that can be written. */
export const EXPORT_FORMATS = ['jsonl', 'npy'] as const

/** For {@link exportItems}. */
export interface ExportOptions {
  /** Default: by the end of the file's name. */
  readonly format?: (typeof EXPORT_FORMATS)[number] | undefined
  /** Coordinates of each vector; what an NPY file without items says. */
  readonly dimensions: number
  /** Files of these names may be replaced. */
  readonly replace?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Called with the number of items written so far. */
  readonly onProgress?: ((done: number) => void) | undefined
}

/** What was written. */
export interface Exported {
  readonly items: number
  readonly files: readonly string[]
}

/** Bytes collected before they are written. */
const WRITE_BYTES = 1024 * 1024

const NAMES: readonly (readonly [RegExp, (typeof EXPORT_FORMATS)[number]])[] = [
  [/\.(?:jsonl|ndjson)$/i, 'jsonl'],
  [/\.npy$/i, 'npy'],
]

function formatOf(out: string): (typeof EXPORT_FORMATS)[number] {
  const format = NAMES.find(([pattern]) => pattern.test(out))?.[1]
  if (format !== undefined) return format
  throw new ConfigError('the format of the output is not known', {
    where: out,
    expected: `${EXPORT_FORMATS.join(', ')}, or a name in .jsonl or .npy`,
  })
}

/** @throws ConfigError when there is no such directory to write into. */
export async function requireDirectory(path: string): Promise<void> {
  if (await exists(path)) return
  throw new ConfigError('there is no such directory', {
    where: path,
    expected: 'a directory for the file',
    got: 'nothing',
    hint: 'make it, or choose another place',
  })
}

/** Name of the file of ids and metadata beside an NPY file. */
export const recordsOf = (path: string): string => `${path.replace(/\.npy$/i, '')}.records.jsonl`

/** A file that is written in pieces worth a call. */
interface Sink {
  add(bytes: Uint8Array): Promise<void>
  flush(): Promise<void>
}

function sinkOf(file: Growing): Sink {
  let held: Uint8Array[] = []
  let size = 0
  const flush = async (): Promise<void> => {
    const bytes = Buffer.concat(held)
    held = []
    size = 0
    await writing(file.final, () => file.write(bytes))
  }
  return {
    async add(bytes) {
      held.push(bytes)
      size += bytes.length
      if (size >= WRITE_BYTES) await flush()
    },
    flush,
  }
}

const line = (value: object): Uint8Array => utf8(`${JSON.stringify(value)}\n`)

/** float32, little-endian whatever the machine is. */
function float32Bytes(vector: Item['vector']): Uint8Array {
  const bytes = new Uint8Array(4 * vector.length)
  const view = new DataView(bytes.buffer)
  for (const [i, value] of vector.entries()) view.setFloat32(4 * i, value, true)
  return bytes
}

const aborted = (done: number): EmbeddingError =>
  new EmbeddingError('ABORTED', 'the export was stopped', {
    where: `after ${done} items`,
    hint: 'nothing was written; run it again',
  })

/** Writes the items into the open files; returns how many there were. */
async function pour(
  items: AsyncIterable<Item>,
  [vectors, records]: readonly [Growing, Growing?],
  { dimensions, signal, onProgress }: ExportOptions,
): Promise<number> {
  const [main, beside] = [sinkOf(vectors), records && sinkOf(records)]
  const preamble = (rows: number): Uint8Array =>
    npyPreamble({ type: 'float32', rows, columns: dimensions })
  if (beside !== undefined) await main.add(preamble(0))
  let done = 0
  for await (const { id, vector, metadata } of items) {
    if (signal?.aborted === true) throw aborted(done)
    if (vector.length !== dimensions) {
      throw new EmbeddingError('VECTOR_INVALID', 'a vector has another length', {
        expected: String(dimensions),
        got: String(vector.length),
        index: done,
      })
    }
    const extra = metadata === undefined || Object.keys(metadata).length === 0 ? {} : { metadata }
    if (beside === undefined) await main.add(line({ id, vector: Array.from(vector), ...extra }))
    else {
      await main.add(float32Bytes(vector))
      await beside.add(line({ id, ...extra }))
    }
    done += 1
    onProgress?.(done)
  }
  if (signal?.aborted === true) throw aborted(done)
  await main.flush()
  await beside?.flush()
  // The header is as long for any number of rows.
  if (beside !== undefined) await writing(vectors.final, () => vectors.rewriteStart(preamble(done)))
  return done
}

/**
 * Writes all items to `out`, and with `npy` their ids and metadata to {@link recordsOf}.
 * @throws ConfigError when a file is in the way, or no directory or format is known; StorageError; EmbeddingError ABORTED.
 */
export async function exportItems(
  items: AsyncIterable<Item>,
  out: string,
  options: ExportOptions,
): Promise<Exported> {
  const { format = formatOf(out), replace = false } = options
  await requireDirectory(dirname(out))
  // The matrix last: where it is, its records are.
  const paths = format === 'npy' ? [recordsOf(out), out] : [out]
  const release = await takeLock(`${partOf(out)}.lock`)
  const open: Growing[] = []
  try {
    for (const path of paths) if (!replace && (await exists(path))) throw taken(path)
    for (const path of paths) open.push(await writing(path, () => Growing.open(path, 0)))
    const [first, last] = open
    if (first === undefined) throw new TypeError('no file')
    const files = last === undefined ? ([first] as const) : ([last, first] as const)
    const done = await pour(items, files, options)
    for (const file of open) await writing(file.final, () => file.sync())
    for (const file of open) await writing(file.final, () => file.publish(replace))
    await syncDirectory(dirname(out))
    return { items: done, files: paths }
  } finally {
    for (const file of open) {
      await file.close()
      await remove(file.part)
    }
    await release()
  }
}
