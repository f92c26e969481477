/** Rows of the tables as the types of a store, and back. */
import { concat, equal, sha256, utf8 } from '../bytes.ts'
import type { Database, Statement } from './postgres-connection.ts'
import { collectionNotFound } from './store-check.ts'
import type { CollectionInfo, Metric, Place, RecordContent, StoredRecord } from './types.ts'

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

/** A row of `collections`. */
export interface CollectionRow {
  readonly number: number
  readonly sequence: number
  readonly tailSequence: number
  readonly lastVersion: number
  readonly lastBlock: number
  readonly records: number
  readonly tail: number
  readonly blocks: number
  readonly info: CollectionInfo
}

interface RawCollection {
  readonly number: number
  readonly name: string
  readonly id: string
  readonly parameter_set: string
  readonly dimensions: number
  readonly metric: Metric
  readonly max_norm: number
  readonly fields: readonly string[]
  readonly sequence: number
  readonly tail_sequence: number
  readonly last_version: number
  readonly last_block: number
  readonly records: number
  readonly tail: number
  readonly blocks: number
}

const COLLECTION_COLUMNS = `number, name, id, parameter_set, dimensions, metric, max_norm, fields,
  sequence, tail_sequence, last_version, last_block, records, tail, blocks`

/** Statement that reads a collection by name; `lock` makes other writers wait. */
export const selectCollection = ({ schema }: Database, lock = false): Statement => ({
  name: lock ? 'keyrite_collection_lock' : 'keyrite_collection',
  text: `SELECT ${COLLECTION_COLUMNS} FROM ${schema}.collections WHERE name = $1
         ${lock ? 'FOR NO KEY UPDATE' : ''}`,
})

/** Refuses what cannot be the name of a collection before the server sees it. */
export function checkName(name: string): void {
  if (!NAME.test(name)) throw collectionNotFound(name)
}

/** The row of {@link selectCollection}. @throws EmbeddingError COLLECTION_NOT_FOUND. */
export function collectionRow(name: string, rows: readonly unknown[]): CollectionRow {
  const [row] = rows as readonly RawCollection[]
  if (row === undefined) throw collectionNotFound(name)
  return {
    number: row.number,
    sequence: row.sequence,
    tailSequence: row.tail_sequence,
    lastVersion: row.last_version,
    lastBlock: row.last_block,
    records: row.records,
    tail: row.tail,
    blocks: row.blocks,
    info: {
      name: row.name,
      id: row.id,
      parameterSet: row.parameter_set,
      dimensions: row.dimensions,
      metric: row.metric,
      maxNorm: row.max_norm,
      fields: row.fields,
    },
  }
}

/** Bytes without Node's Buffer around them. */
export const plain = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A filter token as it is indexed: number of the field (u16, big endian), then the token. */
export function filterKey(info: CollectionInfo, field: string, token: Uint8Array): Uint8Array {
  const index = info.fields.indexOf(field)
  return concat(Uint8Array.of(index >> 8, index & 0xff), token)
}

const filterKeys = (info: CollectionInfo, filters: RecordContent['filters']): Uint8Array[] =>
  Object.entries(filters).map(([field, token]) => filterKey(info, field, token))

function filtersOf(info: CollectionInfo, keys: readonly Uint8Array[]): Record<string, Uint8Array> {
  return Object.fromEntries(
    keys.map((key) => [
      info.fields[((key[0] ?? 0) << 8) | (key[1] ?? 0)] ?? '',
      plain(key.subarray(2)),
    ]),
  )
}

/** What a row of `records` keeps of a record's content. */
export interface RecordColumns {
  readonly filters: readonly Uint8Array[]
  readonly checksum: Uint8Array
}

function recordChecksum(
  record: Pick<RecordContent, 'token' | 'epoch' | 'session' | 'sealed'>,
  filters: readonly Uint8Array[],
): Uint8Array {
  const { token, epoch, session, sealed } = record
  return sha256(utf8(`${epoch} ${session} ${filters.length} `), token, ...filters, sealed)
}

export function recordColumns(info: CollectionInfo, record: RecordContent): RecordColumns {
  const filters = filterKeys(info, record.filters)
  return { filters, checksum: recordChecksum(record, filters) }
}

/** A row of `records` with {@link RECORD_COLUMNS}. */
export interface RawRecord {
  readonly token: Uint8Array
  readonly version: number
  readonly epoch: number
  readonly session: string
  readonly block: number | null
  readonly slot: number | null
  readonly filters: readonly Uint8Array[]
  readonly sealed: Uint8Array
}

export const RECORD_COLUMNS =
  'r.token, r.version, r.epoch, r.session, r.block, r.slot, r.filters, r.sealed'

const placeOf = ({ block, slot }: RawRecord): Place | undefined =>
  block === null || slot === null ? undefined : { block, slot }

export const storedRecord = (info: CollectionInfo, row: RawRecord): StoredRecord => ({
  token: plain(row.token),
  epoch: row.epoch,
  session: row.session,
  sealed: plain(row.sealed),
  filters: filtersOf(info, row.filters),
  version: row.version,
  place: placeOf(row),
})

/** Whether a row is as it was written. */
export const isSound = (row: RawRecord & { readonly checksum: Uint8Array }): boolean =>
  equal(recordChecksum(row, row.filters), row.checksum)
