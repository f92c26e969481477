/** One change of a collection, inside a transaction that holds the lock of the collection's row. */
import { sha256 } from '../bytes.ts'
import { byteaArray, int4, int8, text } from './postgres-copy.ts'
import type { Connection, Database, Statement } from './postgres-connection.ts'
import { type Plan, planChange, tokensOf } from './postgres-plan.ts'
import {
  type CollectionRow,
  type RawRecord,
  checkName,
  collectionRow,
  recordColumns,
  selectCollection,
} from './postgres-row.ts'
import { clearBit, countBits, setBit } from './slot-bits.ts'
import { checkChange, checkEpochs, invalidChange, newEpochs } from './store-check.ts'
import type { Change, Committed } from './store.ts'
import type { KeyEpoch } from './types.ts'

/** Changes whose outcome a writer can still ask for. */
const CHANGES_KEPT = 1000

interface Applying {
  readonly connection: Connection
  /** Quoted schema. */
  readonly s: string
  readonly row: CollectionRow
  readonly change: Change
}

/** Runs a statement with a placeholder-free name; `$1` is the collection's number. */
const run = <Row>(
  { connection, row }: Applying,
  name: string,
  statement: string,
  ...values: readonly unknown[]
): Promise<readonly Row[]> => {
  const prepared: Statement = { name: `keyrite_${name}`, text: statement }
  return connection.query<Row>(prepared, [row.number, ...values])
}

/** Adds epochs and sessions; returns all epochs and the epoch of each session that is named. */
async function writeKeys(on: Applying) {
  const { s, change } = on
  const epochs = new Map<number, string>()
  const select = `SELECT epoch, check_value AS "check" FROM ${s}.epochs WHERE collection = $1`
  for (const one of await run<KeyEpoch>(on, 'epochs', select)) epochs.set(one.epoch, one.check)
  for (const [epoch, check] of newEpochs(change, epochs)) {
    epochs.set(epoch, check)
    const insert = `INSERT INTO ${s}.epochs (collection, epoch, check_value) VALUES ($1, $2, $3)`
    await run(on, 'epoch_add', insert, epoch, check)
  }
  checkEpochs(change, Math.max(...epochs.keys()))

  const content = [...(change.blocks ?? []), ...(change.records ?? [])]
  const named = content.map(({ session }) => session).filter((id) => id !== '')
  const ids = [...new Set([...named, ...(change.sessions ?? []).map(({ id }) => id)])]
  const sessions = new Map<string, { epoch: number; key: Uint8Array }>()
  if (ids.length > 0) {
    const found = await run<{ id: string; epoch: number; sealed_key: Uint8Array }>(
      on,
      'sessions_by_id',
      `SELECT id, epoch, sealed_key FROM ${s}.sessions WHERE collection = $1 AND id = ANY($2)`,
      ids,
    )
    for (const { id, epoch, sealed_key: key } of found) sessions.set(id, { epoch, key })
  }
  for (const { id, epoch, sealedKey } of change.sessions ?? []) {
    const known = sessions.get(id)
    if (known?.epoch === epoch && Buffer.compare(known.key, sealedKey) === 0) continue
    if (known !== undefined) {
      throw invalidChange('a session is known with another key', { where: `session ${id}` })
    }
    sessions.set(id, { epoch, key: sealedKey })
    const insert = `INSERT INTO ${s}.sessions (collection, id, epoch, sealed_key)
                    VALUES ($1, $2, $3, $4)`
    await run(on, 'session_add', insert, id, epoch, sealedKey)
  }
  return { epochs, sessions }
}

function checkSessions(
  { change }: Applying,
  { sessions }: Awaited<ReturnType<typeof writeKeys>>,
): void {
  const check = ({ epoch, session }: { epoch: number; session: string }, where: string) => {
    if (session === '' || sessions.get(session)?.epoch === epoch) return
    throw invalidChange('the collection does not have this session in this epoch', { where })
  }
  for (const [index, block] of (change.blocks ?? []).entries()) check(block, `blocks[${index}]`)
  for (const [index, record] of (change.records ?? []).entries()) {
    check(record, `records[${index}]`)
  }
}

async function writeBlocks(on: Applying, numbers: readonly number[], plan: Plan): Promise<void> {
  const { connection, s, row, change } = on
  const blocks = change.blocks ?? []
  if (blocks.length === 0) return
  const [known] = await run<{ uid: string }>(
    on,
    'uids',
    `SELECT uid FROM ${s}.blocks WHERE collection = $1 AND uid = ANY($2) LIMIT 1`,
    blocks.map(({ uid }) => uid),
  )
  if (known !== undefined) throw invalidChange('a block uid is taken', { got: known.uid })
  const rows = blocks.map((block, index) => {
    const occupied = new Uint8Array(Math.ceil(block.slots / 8))
    for (const slot of plan.taken.get(index) ?? []) setBit(occupied, slot)
    return [
      int8(row.number),
      int8(numbers[index] ?? 0),
      text(block.uid),
      int8(block.epoch),
      text(block.session),
      block.mac,
      int4(block.slots),
      int4(countBits(occupied)),
      occupied,
      int4(block.bytes.length),
      sha256(block.bytes),
      block.bytes,
    ]
  })
  await connection.copyIn(
    `COPY ${s}.blocks (collection, block, uid, epoch, session, mac, slots, live, occupied, length,
       checksum, bytes) FROM STDIN (FORMAT binary)`,
    rows,
  )
}

async function writeRecords(on: Applying, { drop, write, move }: Plan): Promise<void> {
  const { connection, s, row } = on
  if (drop.length > 0) {
    const statement = `DELETE FROM ${s}.records r USING unnest($2::bytea[]) AS t (token)
                       WHERE r.collection = $1 AND r.token = t.token`
    await run(on, 'records_drop', statement, drop)
  }
  if (write.length > 0) {
    const rows = write.map(({ record, version, place }) => {
      const { filters, checksum } = recordColumns(row.info, record)
      return [
        int8(row.number),
        record.token,
        int8(version),
        int8(record.epoch),
        text(record.session),
        place && int8(place.block),
        place && int4(place.slot),
        byteaArray(filters),
        checksum,
        record.sealed,
      ]
    })
    await connection.copyIn(
      `COPY ${s}.records (collection, token, version, epoch, session, block, slot, filters, checksum,
         sealed) FROM STDIN (FORMAT binary)`,
      rows,
    )
  }
  if (move.length > 0) {
    await run(
      on,
      'records_move',
      `UPDATE ${s}.records r SET block = m.block, slot = m.slot
       FROM unnest($2::bytea[], $3::bigint[], $4::integer[]) AS m (token, block, slot)
       WHERE r.collection = $1 AND r.token = m.token`,
      move.map(({ token }) => token),
      move.map(({ place }) => place?.block),
      move.map(({ place }) => place?.slot),
    )
  }
}

/** Clears the bits of slots that died in older blocks. */
async function freeSlots(on: Applying, { freed }: Plan): Promise<void> {
  if (freed.size === 0) return
  const { s } = on
  const rows = await run<{ block: number; occupied: Uint8Array }>(
    on,
    'occupied',
    `SELECT block, occupied FROM ${s}.blocks WHERE collection = $1 AND block = ANY($2::bigint[])`,
    [...freed.keys()],
  )
  for (const { block, occupied } of rows) {
    for (const slot of freed.get(block) ?? []) clearBit(occupied, slot)
  }
  await run(
    on,
    'occupied_set',
    `UPDATE ${s}.blocks b SET occupied = f.occupied, live = f.live
     FROM unnest($2::bigint[], $3::bytea[], $4::integer[]) AS f (block, occupied, live)
     WHERE b.collection = $1 AND b.block = f.block`,
    rows.map(({ block }) => block),
    rows.map(({ occupied }) => occupied),
    rows.map(({ occupied }) => countBits(occupied)),
  )
}

/** Removes blocks; returns how many records came into the tail. */
async function removeBlocks(on: Applying): Promise<number> {
  const numbers = on.change.removeBlocks ?? []
  if (numbers.length === 0) return 0
  const { s } = on
  const gone = await run<{ block: number }>(
    on,
    'blocks_remove',
    `DELETE FROM ${s}.blocks WHERE collection = $1 AND block = ANY($2::bigint[]) RETURNING block`,
    numbers,
  )
  if (gone.length < numbers.length) {
    const found = new Set(gone.map(({ block }) => block))
    const index = numbers.findIndex((number) => !found.has(number))
    throw invalidChange('there is no such block', {
      where: `removeBlocks[${index}]`,
      got: String(numbers[index]),
    })
  }
  const [moved] = await run<{ count: number }>(
    on,
    'records_to_tail',
    `WITH moved AS (
       UPDATE ${s}.records SET block = NULL, slot = NULL
       WHERE collection = $1 AND block = ANY($2::bigint[]) RETURNING 1)
     SELECT count(*) AS count FROM moved`,
    numbers,
  )
  return moved?.count ?? 0
}

/** Forgets those of these sessions that nothing has. */
async function removeSessions(on: Applying): Promise<void> {
  const gone = on.change.removeSessions ?? []
  if (gone.length === 0) return
  const { s } = on
  await run(
    on,
    'sessions_forget',
    `DELETE FROM ${s}.sessions WHERE collection = $1 AND id = ANY($2)
       AND id NOT IN (SELECT session FROM ${s}.blocks WHERE collection = $1)
       AND id NOT IN (SELECT session FROM ${s}.records WHERE collection = $1)`,
    gone,
  )
}

async function removeEpochs(on: Applying, epochs: ReadonlyMap<number, string>): Promise<void> {
  const gone = [...new Set(on.change.removeEpochs ?? [])]
  if (gone.length === 0) return
  const { s } = on
  const unknown = gone.find((epoch) => !epochs.has(epoch))
  if (unknown !== undefined) {
    throw invalidChange('there is no such epoch', { where: `epoch ${unknown}` })
  }
  const newest = Math.max(...epochs.keys())
  if (gone.includes(newest)) {
    throw invalidChange('the newest epoch stays', { where: `epoch ${newest}` })
  }
  const [used] = await run<{ epoch: number }>(
    on,
    'epochs_used',
    `(SELECT epoch FROM ${s}.blocks WHERE collection = $1 AND epoch = ANY($2::bigint[]) LIMIT 1)
     UNION ALL
     (SELECT epoch FROM ${s}.records WHERE collection = $1 AND epoch = ANY($2::bigint[]) LIMIT 1)`,
    gone,
  )
  if (used !== undefined) {
    throw invalidChange('a block or record still has the epoch', { where: `epoch ${used.epoch}` })
  }
  for (const table of ['sessions', 'epochs']) {
    const statement = `DELETE FROM ${s}.${table} WHERE collection = $1 AND epoch = ANY($2::bigint[])`
    await run(on, `${table}_remove`, statement, gone)
  }
}

/** What a change with this id did, when it was committed before. */
async function outcome(on: Applying, id: string): Promise<Committed | undefined> {
  const [row] = await run<Omit<Committed, 'blocks'> & { blocks: readonly string[] }>(
    on,
    'change_find',
    `SELECT sequence, blocks, deleted, skipped FROM ${on.s}.changes
     WHERE collection = $1 AND change = $2`,
    id,
  )
  return row && { ...row, blocks: row.blocks.map(Number) }
}

/**
 * @param id - names this change, so that it happens once however often it is tried
 * @param notYet - called when no earlier try was committed
 * @throws EmbeddingError COLLECTION_NOT_FOUND, STORE_INVALID.
 */
export async function applyChange(
  db: Database,
  connection: Connection,
  name: string,
  change: Change,
  id: string,
  notYet: () => void,
): Promise<Committed> {
  checkName(name)
  const row = collectionRow(name, await connection.query(selectCollection(db, true), [name]))
  const on: Applying = { connection, s: db.schema, row, change }
  const known = await outcome(on, id)
  if (known !== undefined) return known
  notYet()
  checkChange(row.info, change)
  const keys = await writeKeys(on)
  checkSessions(on, keys)

  const numbers = (change.blocks ?? []).map((_, index) => row.lastBlock + 1 + index)
  const tokens = tokensOf(change)
  const states =
    tokens.length === 0
      ? []
      : await run<Pick<RawRecord, 'token' | 'version' | 'block' | 'slot'>>(
          on,
          'records_state',
          `SELECT r.* FROM unnest($2::bytea[]) AS t (token) CROSS JOIN LATERAL (
             SELECT token, version, block, slot FROM ${on.s}.records
             WHERE collection = $1 AND token = t.token LIMIT 1) r`,
          tokens,
        )
  const before = states.map(({ token, version, block, slot }) => {
    return { token, version, place: block === null || slot === null ? undefined : { block, slot } }
  })
  const plan = planChange(change, before, row.lastVersion, numbers)
  await writeBlocks(on, numbers, plan)
  await writeRecords(on, plan)
  await freeSlots(on, plan)
  const fromBlocks = await removeBlocks(on)
  await removeSessions(on)
  await removeEpochs(on, keys.epochs)

  const sequence = row.sequence + 1
  const done = { sequence, blocks: numbers, deleted: plan.deleted, skipped: plan.skipped }
  await run(
    on,
    'collection_set',
    `UPDATE ${on.s}.collections SET sequence = $2, tail_sequence = $3, last_version = $4,
       last_block = $5, records = $6, tail = $7, blocks = $8 WHERE number = $1`,
    sequence,
    plan.tailChanged || fromBlocks > 0 ? sequence : row.tailSequence,
    plan.lastVersion,
    row.lastBlock + numbers.length,
    row.records + plan.records,
    row.tail + plan.tail + fromBlocks,
    row.blocks + numbers.length - (change.removeBlocks?.length ?? 0),
  )
  await run(
    on,
    'change_add',
    `INSERT INTO ${on.s}.changes (collection, sequence, change, blocks, deleted, skipped)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    sequence,
    id,
    numbers,
    plan.deleted,
    plan.skipped,
  )
  const forget = `DELETE FROM ${on.s}.changes WHERE collection = $1 AND sequence <= $2`
  await run(on, 'change_forget', forget, sequence - CHANGES_KEPT)
  return done
}
