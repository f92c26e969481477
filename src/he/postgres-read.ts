/** Reading a collection. Each answer comes from one statement, or one snapshot, so from one state. */
import type { Connection, Database } from './postgres-connection.ts'
import {
  type CollectionRow,
  RECORD_COLUMNS,
  type RawRecord,
  checkName,
  collectionRow,
  filterKey,
  plain,
  selectCollection,
  storedRecord,
} from './postgres-row.ts'
import { setBit } from './slot-bits.ts'
import { checkFilter, checkPartition, checkToken, collectionNotFound } from './store-check.ts'
import type { Partition } from './store.ts'
import type {
  BlockInfo,
  CollectionState,
  Filter,
  IngestSession,
  KeyEpoch,
  Place,
  StoredRecord,
} from './types.ts'

/** Records per page of a walk through all. */
const PAGE = 256
/** Largest number of bigint. */
const MAX_NUMBER = Number.MAX_SAFE_INTEGER
const MAX_SLOT = 2 ** 31 - 1

export async function readCollection(
  db: Database,
  connection: Connection,
  name: string,
): Promise<CollectionRow> {
  checkName(name)
  return collectionRow(name, await connection.query(selectCollection(db), [name]))
}

/** Reads on a connection of the pool, again when it was lost. */
export const reading = <T>(
  db: Database,
  name: string,
  action: (connection: Connection, row: CollectionRow) => Promise<T>,
): Promise<T> =>
  db.read(async (connection) => action(connection, await readCollection(db, connection, name)))

export const readState = (db: Database, name: string): Promise<CollectionState> =>
  db.snapshot(async (connection) => {
    const row = await readCollection(db, connection, name)
    const { schema: s } = db
    const epochs = await connection.query<KeyEpoch>(
      {
        name: 'keyrite_state_epochs',
        text: `SELECT epoch, check_value AS "check" FROM ${s}.epochs
               WHERE collection = $1 ORDER BY epoch`,
      },
      [row.number],
    )
    const sessions = await connection.query<{ id: string; epoch: number; sealed_key: Uint8Array }>(
      {
        name: 'keyrite_state_sessions',
        text: `SELECT id, epoch, sealed_key FROM ${s}.sessions WHERE collection = $1 ORDER BY id`,
      },
      [row.number],
    )
    const session = ({ id, epoch, sealed_key: key }: (typeof sessions)[number]): IngestSession => ({
      id,
      epoch,
      sealedKey: plain(key),
    })
    return {
      info: row.info,
      epochs,
      sessions: sessions.map(session),
      sequence: row.sequence,
      records: row.records,
      tail: row.tail,
      tailSequence: row.tailSequence,
      blocks: row.blocks,
    }
  })

/** `$from` and `$from + 1`: number of partitions and index. */
const inPartition = (column: string, from: number): string => `${column} % $${from} = $${from + 1}`
const partitionValues = ({ of, index }: Partition = { index: 0, of: 1 }): number[] => [of, index]

export async function readBlockInfos(
  db: Database,
  name: string,
  partition?: Partition,
): Promise<readonly BlockInfo[]> {
  checkPartition(partition)
  const text = `SELECT block, uid, epoch, session, mac, slots, live, length FROM ${db.schema}.blocks
                WHERE collection = $1 AND ${inPartition('block', 2)} ORDER BY block`
  const rows = await reading(db, name, (connection, { number }) =>
    connection.query<BlockInfo>({ name: 'keyrite_blocks', text }, [
      number,
      ...partitionValues(partition),
    ]),
  )
  return rows.map((row) => ({ ...row, mac: plain(row.mac) }))
}

/** Slots to consider at one sequence. */
export interface LiveSlots {
  readonly sequence: number
  readonly blocks: ReadonlyMap<number, Uint8Array>
}

interface LiveRow {
  readonly sequence: number
  readonly block: number | null
  readonly slots: number
  readonly bits: Uint8Array | readonly number[]
}

/** On one connection, so that a caller can look at the tail in the same snapshot. */
export async function readLive(
  db: Database,
  connection: Connection,
  row: CollectionRow,
  filter: Filter = [],
  partition?: Partition,
): Promise<LiveSlots> {
  checkPartition(partition)
  checkFilter(row.info, filter)
  const s = db.schema
  const wanted = filter.map(({ field, anyOf }) =>
    anyOf.map((token) => filterKey(row.info, field, token)),
  )
  const conditions = wanted.map((_, index) => `AND r.filters && $${index + 4}::bytea[]`).join(' ')
  // Without a filter the bitmap beside each block says it all; with one, the index over filter tokens.
  const found =
    filter.length === 0
      ? `SELECT block, slots, occupied AS bits FROM ${s}.blocks
         WHERE collection = $1 AND live > 0 AND ${inPartition('block', 2)}`
      : `SELECT b.block, b.slots, m.found AS bits FROM ${s}.blocks b JOIN (
           SELECT r.block, array_agg(r.slot) AS found FROM ${s}.records r
           WHERE r.collection = $1 AND r.block IS NOT NULL AND ${inPartition('r.block', 2)}
             ${conditions} GROUP BY r.block) m ON b.collection = $1 AND b.block = m.block`
  const rows = await connection.query<LiveRow>(
    {
      name: `keyrite_live_${filter.length}`,
      text: `SELECT c.sequence, f.block, f.slots, f.bits
             FROM ${s}.collections c LEFT JOIN (${found}) f ON true WHERE c.number = $1`,
    },
    [row.number, ...partitionValues(partition), ...wanted],
  )
  const [first] = rows
  if (first === undefined) throw collectionNotFound(row.info.name)
  const blocks = new Map<number, Uint8Array>()
  for (const { block, slots, bits } of rows) {
    if (block === null) continue
    if (bits instanceof Uint8Array) {
      blocks.set(block, plain(bits))
      continue
    }
    const live = new Uint8Array(Math.ceil(slots / 8))
    for (const slot of bits) setBit(live, slot)
    blocks.set(block, live)
  }
  return { sequence: first.sequence, blocks }
}

type TailRow = Omit<RawRecord, 'token'> & {
  readonly token: Uint8Array | null
  readonly tail_sequence: number
}

/** The tail of the state a connection sees. */
export async function readTail(
  db: Database,
  connection: Connection,
  row: CollectionRow,
): Promise<{ readonly sequence: number; readonly records: readonly StoredRecord[] }> {
  const s = db.schema
  const rows = await connection.query<TailRow>(
    {
      name: 'keyrite_tail',
      text: `SELECT c.tail_sequence, ${RECORD_COLUMNS} FROM ${s}.collections c
             LEFT JOIN ${s}.records r ON r.collection = c.number AND r.block IS NULL
             WHERE c.number = $1 ORDER BY r.version`,
    },
    [row.number],
  )
  const [first] = rows
  if (first === undefined) throw collectionNotFound(row.info.name)
  // The outer join gives one row of NULLs for an empty tail.
  const records = rows.filter((one): one is TailRow & RawRecord => one.token !== null)
  return {
    sequence: first.tail_sequence,
    records: records.map((one) => storedRecord(row.info, one)),
  }
}

export function readPlaces(
  db: Database,
  name: string,
  places: readonly Place[],
): Promise<readonly (StoredRecord | undefined)[]> {
  const asked = places.filter(
    ({ block, slot }) =>
      Number.isSafeInteger(block) && Number.isInteger(slot) && slot >= 0 && slot <= MAX_SLOT,
  )
  const key = ({ block, slot }: Place) => `${block} ${slot}`
  return reading(db, name, async (connection, { number, info }) => {
    if (asked.length === 0) return places.map(() => undefined)
    const rows = await connection.query<RawRecord>(
      {
        name: 'keyrite_places',
        // The limit keeps the planner, which may have no statistics yet, at one index look-up a place.
        text: `SELECT r.* FROM unnest($2::bigint[], $3::integer[]) AS p (block, slot)
               CROSS JOIN LATERAL (
                 SELECT ${RECORD_COLUMNS} FROM ${db.schema}.records r
                 WHERE r.collection = $1 AND r.block = p.block AND r.slot = p.slot LIMIT 1) r`,
      },
      [number, asked.map(({ block }) => block), asked.map(({ slot }) => slot)],
    )
    const found = new Map<string, StoredRecord>()
    for (const row of rows) {
      const record = storedRecord(info, row)
      if (record.place !== undefined) found.set(key(record.place), record)
    }
    return places.map((place) => found.get(key(place)))
  })
}

export function readTokens(
  db: Database,
  name: string,
  tokens: readonly Uint8Array[],
): Promise<readonly (StoredRecord | undefined)[]> {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  return reading(db, name, async (connection, { number, info }) => {
    for (const [index, token] of tokens.entries()) checkToken(token, `tokens[${index}]`)
    if (tokens.length === 0) return []
    const rows = await connection.query<RawRecord>(
      {
        name: 'keyrite_tokens',
        text: `SELECT r.* FROM (SELECT DISTINCT * FROM unnest($2::bytea[])) AS t (token)
               CROSS JOIN LATERAL (
                 SELECT ${RECORD_COLUMNS} FROM ${db.schema}.records r
                 WHERE r.collection = $1 AND r.token = t.token LIMIT 1) r`,
      },
      [number, tokens],
    )
    const found = new Map(rows.map((row) => [hex(row.token), storedRecord(info, row)]))
    return tokens.map((token) => found.get(hex(token)))
  })
}

/** Records of one block by slot. */
export function readBlockRecords(
  db: Database,
  name: string,
  block: number,
): Promise<readonly StoredRecord[]> {
  return reading(db, name, async (connection, { number, info }) => {
    if (!Number.isSafeInteger(block)) return []
    const rows = await connection.query<RawRecord>(
      {
        name: 'keyrite_in_block',
        text: `SELECT ${RECORD_COLUMNS} FROM ${db.schema}.records r
               WHERE r.collection = $1 AND r.block = $2 ORDER BY r.slot`,
      },
      [number, block],
    )
    return rows.map((row) => storedRecord(info, row))
  })
}

/**
 * For pages by version: without statistics of a young table the planner would sort the whole rest of the
 * collection for each page, instead of reading the indexes of the partitions side by side.
 */
export const BY_INDEX = 'SET LOCAL enable_sort = off'

/** Pages by version: a record keeps its version unless it is written, so none is seen twice. */
export async function* readAll(
  db: Database,
  name: string,
  options: { readonly after?: number; readonly epoch?: number } = {},
): AsyncGenerator<StoredRecord> {
  const text = `SELECT ${RECORD_COLUMNS} FROM ${db.schema}.records r
                WHERE r.collection = $1 AND r.version > $2 AND ($3::bigint IS NULL OR r.epoch = $3)
                ORDER BY r.version LIMIT ${PAGE}`
  // Versions begin with 1.
  let after = Math.floor(options.after ?? 0)
  for (;;) {
    const page = await db.snapshot(async (connection) => {
      const { number, info } = await readCollection(db, connection, name)
      await connection.run(BY_INDEX)
      const values = [number, Math.min(Math.max(after, 0), MAX_NUMBER), options.epoch ?? null]
      const rows = await connection.query<RawRecord>({ name: 'keyrite_all', text }, values)
      return rows.map((row) => storedRecord(info, row))
    })
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    after = last.version
  }
}
