/** Rows of the index, and what they stand for. Everything here is called inside one transaction. */
import { crc32 } from 'node:zlib'

import { toHex } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import type { Partition } from './store.ts'
import { collectionNotFound } from './store-check.ts'
import type { Index } from './sqlite-index.ts'
import {
  type BlockContent,
  type CollectionInfo,
  type CollectionState,
  type IngestSession,
  type KeyEpoch,
  type RecordContent,
  type StoredRecord,
  TOKEN_BYTES,
} from './types.ts'

/** A collection as the index has it. */
export interface CollectionRow {
  readonly number: number
  readonly info: CollectionInfo
  readonly sequence: number
  readonly tailSequence: number
  readonly nextVersion: number
  readonly records: number
  readonly tail: number
  readonly blocks: number
}

/** A record without its sealed bytes. */
export interface RecordRow {
  readonly version: number
  readonly token: Uint8Array
  readonly epoch: number
  /** Number of the session, 0 for none. */
  readonly session: number
  readonly filters: Uint8Array
  readonly block: number | null
  readonly slot: number | null
  readonly segment: number
  readonly at: number
  readonly length: number
  readonly crc: number
}

/** A block without its bytes. */
export interface BlockRow {
  readonly number: number
  readonly uid: string
  readonly epoch: number
  readonly session: number
  readonly mac: Uint8Array
  readonly slots: number
  readonly alive: Uint8Array
  readonly alive_count: number
  readonly segment: number
  readonly at: number
  readonly length: number
  readonly crc: number
}

const RECORD_COLUMNS =
  'version, token, epoch, session, filters, block, slot, segment, at, length, crc'
const BLOCK_COLUMNS =
  'number, uid, epoch, session, mac, slots, alive, alive_count, segment, at, length, crc'

/**
 * Queries for records; the first value is always the number of the collection. Indexes are named, because
 * without statistics SQLite may go through a whole collection instead.
 */
export const RECORDS = {
  byToken: `SELECT ${RECORD_COLUMNS} FROM record WHERE collection = ? AND token = ?`,
  byPlace: `SELECT ${RECORD_COLUMNS} FROM record INDEXED BY record_place
    WHERE collection = ? AND block = ? AND slot = ?`,
  inBlock: `SELECT ${RECORD_COLUMNS} FROM record INDEXED BY record_place
    WHERE collection = ? AND block = ? ORDER BY slot`,
  tail: `SELECT ${RECORD_COLUMNS} FROM record INDEXED BY record_tail
    WHERE collection = ? AND block IS NULL ORDER BY version`,
  page: `SELECT ${RECORD_COLUMNS} FROM record
    WHERE collection = ? AND version > ? ORDER BY version LIMIT ?`,
  pageOfEpoch: `SELECT ${RECORD_COLUMNS} FROM record
    WHERE collection = ? AND version > ? AND epoch = ? ORDER BY version LIMIT ?`,
} as const

/** Queries for blocks; the first value is always the number of the collection. */
export const BLOCKS = {
  byNumber: `SELECT ${BLOCK_COLUMNS} FROM block WHERE collection = ? AND number = ?`,
  ofPartition: `SELECT ${BLOCK_COLUMNS} FROM block
    WHERE collection = ? AND number % ? = ? ORDER BY number`,
} as const

/** The partition that is everything, as values for a query. */
export const partitionValues = (partition: Partition | undefined): readonly [number, number] => [
  partition?.of ?? 1,
  partition?.index ?? 0,
]

/** @throws EmbeddingError COLLECTION_NOT_FOUND; STORE_INVALID when its description was changed. */
export function collectionRow(index: Index, name: string): CollectionRow {
  // Callers without types; SQLite would not take it.
  if (typeof name !== 'string') throw collectionNotFound(String(name))
  const row = index.get<{ info: string; crc: number } & Omit<CollectionRow, 'info'>>(
    `SELECT number, info, crc, sequence, tail_sequence AS tailSequence, next_version AS nextVersion,
       records, tail, blocks FROM collection WHERE name = ?`,
    name,
  )
  if (row === undefined) throw collectionNotFound(name)
  if (crc32(row.info) !== row.crc) {
    throw new EmbeddingError('STORE_INVALID', 'the description of a collection was changed', {
      where: `${index.path}: collection ${name}`,
      hint: 'bring the directory back from a backup',
    })
  }
  return { ...row, info: JSON.parse(row.info) as CollectionInfo }
}

/** Key epochs, lowest first. */
export const epochsOf = (index: Index, collection: number): readonly KeyEpoch[] =>
  index
    .all<KeyEpoch>(
      'SELECT epoch, kcv AS "check" FROM epoch WHERE collection = ? ORDER BY epoch',
      collection,
    )
    .map((row) => ({ ...row }))

/** Sessions by number, in the order they came. */
export function sessionsOf(index: Index, collection: number): ReadonlyMap<number, IngestSession> {
  const rows = index.all<{ number: number; id: string; epoch: number; key: Uint8Array }>(
    'SELECT number, id, epoch, sealed_key AS "key" FROM session WHERE collection = ? ORDER BY number',
    collection,
  )
  return new Map(rows.map(({ number, id, epoch, key }) => [number, { id, epoch, sealedKey: key }]))
}

/** The state of a collection. */
export function stateOf(index: Index, name: string): CollectionState {
  const { number, info, sequence, tailSequence, records, tail, blocks } = collectionRow(index, name)
  return {
    ...{ info, sequence, tailSequence, records, tail, blocks },
    epochs: epochsOf(index, number),
    sessions: [...sessionsOf(index, number).values()],
  }
}

/** Filters of a record in one array: per field its number in two bytes, then the token. */
export function packFilters(info: CollectionInfo, filters: RecordContent['filters']): Uint8Array {
  const present = info.fields.flatMap((field, number) => {
    const token = Object.hasOwn(filters, field) ? filters[field] : undefined
    return token === undefined ? [] : [{ number, token }]
  })
  const packed = new Uint8Array(present.length * (2 + TOKEN_BYTES))
  for (const [index, { number, token }] of present.entries()) {
    const at = index * (2 + TOKEN_BYTES)
    packed[at] = number & 0xff
    packed[at + 1] = number >> 8
    packed.set(token, at + 2)
  }
  return packed
}

/** Field numbers and tokens of {@link packFilters}. */
export function unpackFilters(packed: Uint8Array): { number: number; token: Uint8Array }[] {
  const filters: { number: number; token: Uint8Array }[] = []
  for (let at = 0; at + 2 + TOKEN_BYTES <= packed.length; at += 2 + TOKEN_BYTES) {
    const number = (packed[at] ?? 0) | ((packed[at + 1] ?? 0) << 8)
    filters.push({ number, token: packed.slice(at + 2, at + 2 + TOKEN_BYTES) })
  }
  return filters
}

/** CRC-32 over all of a record that never changes: row and sealed bytes. */
export const recordCrc = (
  content: Pick<RecordContent, 'token' | 'epoch' | 'session' | 'sealed'>,
  filters: Uint8Array,
): number => {
  const parts = [content.token, filters, content.sealed]
  const head = crc32(`${content.epoch} ${content.session} `)
  // Node 22 begins anew at an array without bytes: crc32(empty, value) is 0 there.
  return parts.reduce((crc, part) => (part.length === 0 ? crc : crc32(part, crc)), head)
}

/** CRC-32 over what the row of a block says and never changes. Its bytes have a SHA-256 in their frame. */
export const blockCrc = (block: Omit<BlockContent, 'bytes'>, length: number): number =>
  crc32([block.uid, block.epoch, block.session, toHex(block.mac), block.slots, length].join(' '))

/** A record of its row and bytes. @throws EmbeddingError STORE_INVALID when they are not what was written. */
export function storedRecord(
  row: RecordRow,
  info: CollectionInfo,
  sessions: ReadonlyMap<number, IngestSession>,
  sealed: Uint8Array,
): StoredRecord {
  const { version, token, epoch, block, slot } = row
  const session = row.session === 0 ? '' : (sessions.get(row.session)?.id ?? 'unknown')
  const content = { token, epoch, session, sealed }
  if (sealed.length !== row.length || recordCrc(content, row.filters) !== row.crc) {
    throw new EmbeddingError('STORE_INVALID', 'a record is not as it was written', {
      where: `collection ${info.name}, record version ${version}, segment ${row.segment} at ${row.at}`,
      got: sealed.length === row.length ? 'another checksum' : 'fewer bytes',
      hint: 'bring the directory back from a backup, or insert the vector again',
    })
  }
  const filters = unpackFilters(row.filters).map(
    ({ number, token }) => [info.fields[number] ?? '', token] as const,
  )
  return {
    ...content,
    filters: Object.fromEntries(filters),
    version,
    place: block === null || slot === null ? undefined : { block, slot },
  }
}
