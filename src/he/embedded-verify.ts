/**
 * Reads everything an embedded store keeps of a collection and checks it: the database's own structure,
 * segment files against the index, blocks against their SHA-256, records against their CRC-32, and
 * bitmaps, postings and counts against the records.
 */
import { join } from 'node:path'

import { EmbeddingError } from '../errors.ts'
import { fileLength } from './embedded-directory.ts'
import { readBlock, selectRecords, whileMoving } from './embedded-reads.ts'
import { readPieces, segmentName } from './segment-reader.ts'
import { firstBeyond } from './segment-recovery.ts'
import { countBits, hasBit } from './slot-bits.ts'
import { INDEX_FILE, type Index } from './sqlite-index.ts'
import {
  blockCrc,
  type BlockRow,
  BLOCKS,
  type CollectionRow,
  collectionRow,
  partitionValues,
  RECORDS,
  type RecordRow,
  sessionsOf,
  storedRecord,
  unpackFilters,
} from './sqlite-rows.ts'
import type { StoreFault } from './store.ts'

const PAGE_ROWS = 512

/** A refusal while reading, as a fault; everything else is thrown on. */
function faultOf(cause: unknown, where: string): StoreFault {
  if (cause instanceof EmbeddingError && cause.code === 'STORE_INVALID') {
    return { where: cause.where ?? where, what: cause.message }
  }
  throw cause
}

function* structure(index: Index): Generator<StoreFault> {
  for (const row of index.all<{ integrity_check: string }>('PRAGMA integrity_check(20)')) {
    if (row.integrity_check !== 'ok') yield { where: INDEX_FILE, what: row.integrity_check }
  }
}

/** Counts of the collection and of its blocks. */
function counts(index: Index, name: string): readonly StoreFault[] {
  return index.read(() => {
    const { number, records, tail, blocks } = collectionRow(index, name)
    const found = index.get<Record<'records' | 'tail' | 'blocks', number>>(
      `SELECT (SELECT count(*) FROM record WHERE collection = ?1) AS records,
         (SELECT count(*) FROM record WHERE collection = ?1 AND block IS NULL) AS tail,
         (SELECT count(*) FROM block WHERE collection = ?1) AS blocks`,
      number,
    )
    const faults: StoreFault[] = []
    for (const [what, kept] of Object.entries({ records, tail, blocks })) {
      const there = found?.[what as 'records']
      if (there === kept) continue
      const say = `${String(there)} ${what} are there and ${kept} are counted`
      faults.push({ where: `${INDEX_FILE}: collection ${name}`, what: say })
    }
    for (const { block } of index.all<{ block: number }>(
      `SELECT number AS block FROM block WHERE collection = ? AND alive_count <>
         (SELECT count(*) FROM record WHERE record.block = block.number)`,
      number,
    )) {
      const what = 'it has another number of records than it counts'
      faults.push({ where: `${INDEX_FILE}: block ${block}`, what })
    }
    return faults
  })
}

/** Lengths of the segment files. */
async function* lengths(index: Index, folder: string): AsyncGenerator<StoreFault> {
  const sizes = () =>
    index.all<{ number: number; size: number }>('SELECT number, size FROM segment ORDER BY number')
  for (const { number, size } of sizes()) {
    const length = (await fileLength(join(folder, segmentName(number)))) ?? 0
    // A writer may have emptied and removed it meanwhile.
    if (length >= size || !sizes().some((one) => one.number === number)) continue
    const lost = firstBeyond(index, number, length)
    if (lost === undefined) continue
    const what = `it has ${length} of ${size} bytes; the first that is lost is ${lost}`
    yield { where: `segments/${segmentName(number)}`, what }
  }
}

function blockRowFault(block: BlockRow, session: string): string | undefined {
  if (blockCrc({ ...block, session }, block.length) !== block.crc) return 'its row was changed'
  if (block.alive.length !== Math.ceil(block.slots / 8)) return 'its bitmap has a wrong length'
  return countBits(block.alive) === block.alive_count ? undefined : 'its bitmap has a wrong count'
}

async function* blocks(index: Index, folder: string, name: string): AsyncGenerator<StoreFault> {
  const { rows, sessions } = index.read(() => {
    const { number } = collectionRow(index, name)
    return {
      rows: index.all<BlockRow>(BLOCKS.ofPartition, number, ...partitionValues(undefined)),
      sessions: sessionsOf(index, number),
    }
  })
  for (const row of rows) {
    const where = `${INDEX_FILE}: block ${row.number}`
    const session = row.session === 0 ? '' : sessions.get(row.session)?.id
    const what = session === undefined ? 'its session is not there' : blockRowFault(row, session)
    if (what !== undefined) yield { where, what }
    try {
      await readBlock(index, folder, name, row.number)
    } catch (cause) {
      yield faultOf(cause, where)
    }
  }
}

/** What the index says of a record that the record itself does not bear out. */
function placeFaults(
  index: Index,
  { number }: CollectionRow,
  rows: readonly RecordRow[],
): string[] {
  const faults: string[] = []
  const bitmaps = new Map<number, Uint8Array | undefined>()
  const aliveOf = (block: number): Uint8Array | undefined => {
    if (!bitmaps.has(block)) {
      bitmaps.set(block, index.get<BlockRow>(BLOCKS.byNumber, number, block)?.alive)
    }
    return bitmaps.get(block)
  }
  for (const { version, block, slot, filters } of rows) {
    if (block === null || slot === null) continue
    const record = `record of version ${version}`
    const alive = aliveOf(block)
    if (alive === undefined || !hasBit(alive, slot)) faults.push(`${record}: its slot is not live`)
    for (const { number: field, token } of unpackFilters(filters)) {
      const posting = index.get<{ slots: Uint8Array }>(
        'SELECT slots FROM posting WHERE collection = ? AND field = ? AND token = ? AND block = ?',
        number,
        field,
        token,
        block,
      )
      if (posting === undefined || !hasBit(posting.slots, slot)) {
        faults.push(`${record}: it cannot be found by its field ${field}`)
      }
    }
  }
  return faults
}

async function* records(index: Index, folder: string, name: string): AsyncGenerator<StoreFault> {
  for (let after = 0; ;) {
    const page = await whileMoving(folder, async () => {
      const selected = selectRecords(index, name, (collection) => {
        const rows = index.all<RecordRow>(RECORDS.page, collection.number, after, PAGE_ROWS)
        return { rows, faults: placeFaults(index, collection, rows) }
      })
      return { ...selected, bytes: await readPieces(folder, selected.rows) }
    })
    for (const what of page.faults) yield { where: INDEX_FILE, what }
    for (const [at, row] of page.rows.entries()) {
      try {
        storedRecord(row, page.info, page.sessions, page.bytes[at] ?? new Uint8Array())
      } catch (cause) {
        yield faultOf(cause, `record of version ${row.version}`)
      }
    }
    const last = page.rows.at(-1)
    if (last === undefined) return
    after = last.version
  }
}

/** See `EmbeddingStore.verify`. @throws EmbeddingError COLLECTION_NOT_FOUND. */
export async function* verifyEmbedded(
  index: Index,
  folder: string,
  name: string,
): AsyncGenerator<StoreFault> {
  const where = INDEX_FILE
  const parts: readonly (() => AsyncIterable<StoreFault> | Iterable<StoreFault>)[] = [
    () => structure(index),
    () => counts(index, name),
    () => lengths(index, folder),
    () => blocks(index, folder, name),
    () => records(index, folder, name),
  ]
  // Each part is looked at even when one before it could not go on.
  for (const part of parts) {
    try {
      yield* part()
    } catch (cause) {
      yield faultOf(cause, where)
    }
  }
}
