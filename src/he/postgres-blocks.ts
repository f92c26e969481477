/** Bytes of blocks out of PostgreSQL, and the check of everything a store keeps. */
import { equal, sha256 } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import { readInt8 } from './postgres-copy.ts'
import type { Connection, Database } from './postgres-connection.ts'
import { BY_INDEX, readCollection, reading } from './postgres-read.ts'
import { RECORD_COLUMNS, type RawRecord, isSound, plain } from './postgres-row.ts'
import { countBits, hasBit } from './slot-bits.ts'
import type { StoreFault } from './store.ts'

/** Blocks per COPY: a connection is held, and a snapshot kept, no longer than for so many. */
const BATCH = 32
/** Records per page of a verification. */
const PAGE = 1000

/** Query of {@link copyBlocks}; COPY takes no placeholders, so that every number is checked here. */
function blocksQuery(s: string, collection: number, condition: string): string {
  if (!Number.isSafeInteger(collection)) throw new TypeError('not a collection number')
  return `COPY (SELECT block, checksum, bytes FROM ${s}.blocks
                WHERE collection = ${collection} AND ${condition}) TO STDOUT (FORMAT binary)`
}

const anyBlock = (numbers: readonly number[]): string =>
  `block = ANY ('{${numbers.filter((number) => Number.isSafeInteger(number)).join(',')}}'::bigint[])`

interface BlockBytes {
  readonly block: number
  readonly bytes: Uint8Array
  readonly sound: boolean
}

async function* copyBlocks(connection: Connection, query: string): AsyncGenerator<BlockBytes> {
  for await (const [block, checksum, bytes] of connection.copyOut(query)) {
    if (checksum === undefined || bytes === undefined) continue
    const sound = equal(sha256(bytes), plain(checksum))
    yield { block: readInt8(block), bytes: plain(bytes), sound }
  }
}

/** @throws EmbeddingError STORE_INVALID for bytes that are not those that were stored. */
export async function* readBlockBytes(
  db: Database,
  name: string,
  blocks: readonly number[],
): AsyncGenerator<{ readonly block: number; readonly bytes: Uint8Array }> {
  const { number } = await reading(db, name, async (_, row) => Promise.resolve(row))
  for (let at = 0; at < blocks.length; at += BATCH) {
    const query = blocksQuery(db.schema, number, anyBlock(blocks.slice(at, at + BATCH)))
    const batch = await db.read(async (connection) => {
      const read: BlockBytes[] = []
      for await (const one of copyBlocks(connection, query)) read.push(one)
      return read
    })
    for (const { block, bytes, sound } of batch) {
      if (!sound) {
        throw new EmbeddingError('STORE_INVALID', 'a block is not as it was stored', {
          where: `collection ${name}, block ${block}`,
          hint: 'restore the table from a backup, or remove the block and insert its records again',
        })
      }
      yield { block, bytes }
    }
  }
}

interface BlockUse {
  readonly block: number
  readonly slots: number
  readonly live: number
  readonly occupied: Uint8Array
  readonly found: readonly number[] | null
}

/** What a block says of its slots against the records that say they are in it. */
function* checkUse({ block, slots, live, occupied, found }: BlockUse): Generator<StoreFault> {
  const where = `block ${block}`
  const places = new Set(found ?? [])
  if (places.size !== (found ?? []).length) yield { where, what: 'two records share a slot' }
  const agree =
    occupied.length === Math.ceil(slots / 8) &&
    countBits(occupied) === places.size &&
    [...places].every((slot) => slot < slots && hasBit(occupied, slot))
  if (!agree) yield { where, what: 'the slots in use are not those of its records' }
  if (live !== places.size) yield { where, what: `${live} live slots, but ${places.size} records` }
}

async function* faultsOfRecords(
  connection: Connection,
  s: string,
  collection: number,
): AsyncGenerator<StoreFault> {
  const text = `SELECT r.checksum, ${RECORD_COLUMNS} FROM ${s}.records r
                WHERE r.collection = $1 AND r.version > $2 ORDER BY r.version LIMIT ${PAGE}`
  await connection.run(BY_INDEX)
  for (let after = 0; ;) {
    const rows = await connection.query<RawRecord & { checksum: Uint8Array }>(
      { name: 'keyrite_verify_records', text },
      [collection, after],
    )
    for (const row of rows) {
      if (!isSound(row)) {
        yield { where: `record ${row.version}`, what: 'not as it was stored (checksum)' }
      }
    }
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.version
  }
}

async function* faults(
  db: Database,
  connection: Connection,
  name: string,
): AsyncGenerator<StoreFault> {
  const s = db.schema
  const row = await readCollection(db, connection, name)
  const uses = await connection.query<BlockUse>(
    {
      name: 'keyrite_verify_use',
      text: `SELECT b.block, b.slots, b.live, b.occupied, f.found FROM ${s}.blocks b LEFT JOIN (
               SELECT block, array_agg(slot) AS found FROM ${s}.records
               WHERE collection = $1 AND block IS NOT NULL GROUP BY block) f ON f.block = b.block
             WHERE b.collection = $1 ORDER BY b.block`,
    },
    [row.number],
  )
  for (const use of uses) yield* checkUse(use)
  const [counts] = await connection.query<Record<'records' | 'tail' | 'lost', number>>(
    {
      name: 'keyrite_verify_counts',
      text: `SELECT count(*) AS records, count(*) FILTER (WHERE r.block IS NULL) AS tail,
                    count(*) FILTER (WHERE r.block IS NOT NULL AND b.block IS NULL) AS lost
             FROM ${s}.records r
             LEFT JOIN ${s}.blocks b ON b.collection = r.collection AND b.block = r.block
             WHERE r.collection = $1`,
    },
    [row.number],
  )
  const where = 'collections'
  for (const [what, said, found] of [
    ['blocks', row.blocks, uses.length],
    ['records', row.records, counts?.records],
    ['records in the tail', row.tail, counts?.tail],
    ['records in a block that is not there', 0, counts?.lost],
  ] as const) {
    if (said !== found) yield { where, what: `${said} ${what} expected, ${String(found)} found` }
  }
  yield* faultsOfRecords(connection, s, row.number)
  const found = new Set<number>()
  for await (const { block, sound } of copyBlocks(connection, blocksQuery(s, row.number, 'true'))) {
    found.add(block)
    if (!sound) yield { where: `block ${block}`, what: 'not as it was stored (checksum)' }
  }
  for (const { block } of uses) {
    if (!found.has(block)) yield { where: `block ${block}`, what: 'its bytes are missing' }
  }
}

/** Reads everything in one snapshot; the faults come when all has been read. */
export async function* verifyCollection(db: Database, name: string): AsyncGenerator<StoreFault> {
  yield* await db.snapshot(async (connection) => {
    const all: StoreFault[] = []
    for await (const fault of faults(db, connection, name)) all.push(fault)
    return all
  })
}
