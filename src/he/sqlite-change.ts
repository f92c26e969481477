/**
 * Writes one change into the index, inside one transaction. Counts, bitmaps and the live bytes of
 * segments are kept up to date here, so that nothing has to be counted when it is asked for.
 */
import { toHex } from '../bytes.ts'
import type { Change, Committed, Expected, NewRecord } from './store.ts'
import { invalidChange } from './store-check.ts'
import { FRAME_HEADER_BYTES } from './segment-frame.ts'
import type { Appended, SegmentSize } from './segment-writer.ts'
import { clearBit, setBit } from './slot-bits.ts'
import { removeEpochs, removeSessions, writeKeys } from './sqlite-epochs.ts'
import type { Index } from './sqlite-index.ts'
import {
  blockCrc,
  type CollectionRow,
  packFilters,
  RECORDS,
  recordCrc,
  type RecordRow,
  unpackFilters,
} from './sqlite-rows.ts'

/** Where the bytes of a change are. */
export interface ChangeBytes {
  /** Per block of the change. */
  readonly blocks: readonly Appended[]
  /** The frame that has the sealed bytes of all records in order. */
  readonly records: Appended | undefined
  /** Segments that grew. */
  readonly segments: readonly SegmentSize[]
}

interface Bits {
  readonly bits: Uint8Array
  count: number
}

/** Changes to the live bytes of segments. */
export function createLedger(index: Index) {
  const deltas = new Map<number, number>()
  return {
    add: (segment: number, bytes: number) =>
      void deltas.set(segment, (deltas.get(segment) ?? 0) + bytes),
    /** Writes them down together with the sizes of segments that grew. */
    write(segments: readonly SegmentSize[]): void {
      for (const { segment, size } of segments) {
        index.run(
          `INSERT INTO segment (number, size, live) VALUES (?, ?, 0)
           ON CONFLICT (number) DO UPDATE SET size = excluded.size`,
          segment,
          size,
        )
      }
      for (const [segment, delta] of deltas) {
        index.run('UPDATE segment SET live = live + ? WHERE number = ?', delta, segment)
      }
    },
    /** Forgets segments in which nothing is live, but not `keep`. Their files can go after the commit. */
    dropEmpty: (keep: number | undefined): readonly number[] =>
      index
        .all<{ number: number }>(
          'DELETE FROM segment WHERE live = 0 AND number <> ? RETURNING number',
          keep ?? 0,
        )
        .map(({ number }) => number),
  }
}

/** Does all of it. `keep`: the segment that is written to and must stay, however empty. */
export function writeChange(
  index: Index,
  row: CollectionRow,
  change: Change,
  bytes: ChangeBytes,
  keep: number | undefined,
): { readonly committed: Committed; readonly emptied: readonly number[] } {
  const { number: collection, info } = row
  const sequence = row.sequence + 1
  let { records, tail, blocks, nextVersion, tailSequence } = row
  let deleted = 0
  let skipped = 0
  const ledger = createLedger(index)
  const touched = new Map<number, Bits>()
  const postings = new Map<string, { block: number; field: number; token: Uint8Array } & Bits>()

  const changeTail = (by: number): void => {
    tail += by
    tailSequence = sequence
  }
  const bitsOf = (block: number): Bits => {
    const known = touched.get(block)
    if (known !== undefined) return known
    const stored = index.get<{ alive: Uint8Array; alive_count: number }>(
      'SELECT alive, alive_count FROM block WHERE number = ?',
      block,
    )
    if (stored === undefined) {
      throw invalidChange('the index names a block that is not there', { where: `block ${block}` })
    }
    const bits = { bits: stored.alive, count: stored.alive_count }
    touched.set(block, bits)
    return bits
  }
  const find = (token: Uint8Array) => index.get<RecordRow>(RECORDS.byToken, collection, token)
  const expected = ({ token, version }: Expected) => {
    const found = find(token)
    return found?.version === version ? found : undefined
  }
  /** Frees the slot of a record, or its place in the tail. */
  const leave = ({ block, slot }: RecordRow): void => {
    if (block === null || slot === null) {
      changeTail(-1)
      return
    }
    const alive = bitsOf(block)
    clearBit(alive.bits, slot)
    alive.count -= 1
  }
  const drop = (old: RecordRow): void => {
    leave(old)
    index.run('DELETE FROM record WHERE collection = ? AND version = ?', collection, old.version)
    ledger.add(old.segment, -old.length)
    records -= 1
  }
  const dropToken = (token: Uint8Array): boolean => {
    const old = find(token)
    if (old !== undefined) drop(old)
    return old !== undefined
  }
  /** Takes a slot of a new block. */
  const enter = (block: number, slot: number, filters: Uint8Array): void => {
    const alive = bitsOf(block)
    setBit(alive.bits, slot)
    alive.count += 1
    for (const { number: field, token } of unpackFilters(filters)) {
      const key = `${block} ${field} ${toHex(token)}`
      const known = postings.get(key)
      const posting = known ?? {
        block,
        field,
        token,
        bits: new Uint8Array(alive.bits.length),
        count: 0,
      }
      if (known === undefined) postings.set(key, posting)
      setBit(posting.bits, slot)
    }
  }

  const sessionNumber = writeKeys(index, collection, change)

  const numbers = (change.blocks ?? []).map((block, at) => {
    const place = bytes.blocks[at]
    if (place === undefined) throw new TypeError('a block without bytes')
    const session = sessionNumber(block, `blocks[${at}]`)
    const known = index.get(
      'SELECT 1 FROM block WHERE collection = ? AND uid = ?',
      collection,
      block.uid,
    )
    if (known !== undefined) throw invalidChange('the uid is taken', { where: `blocks[${at}].uid` })
    const alive = new Uint8Array(Math.ceil(block.slots / 8))
    const { length } = block.bytes
    const number = Number(
      index.run(
        `INSERT INTO block (collection, uid, epoch, session, mac, slots, alive, alive_count,
           segment, at, length, crc) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)`,
        collection,
        block.uid,
        block.epoch,
        session,
        block.mac,
        block.slots,
        alive,
        place.segment,
        place.at,
        length,
        blockCrc(block, length),
      ),
    )
    touched.set(number, { bits: alive, count: 0 })
    ledger.add(place.segment, length)
    return number
  })
  blocks += numbers.length
  const numberAt = (at: number): number => numbers[at] ?? Number.NaN

  for (const token of change.delete ?? []) deleted += dropToken(token) ? 1 : 0
  for (const one of change.deleteUnchanged ?? []) {
    const old = expected(one)
    if (old === undefined) skipped += 1
    else {
      drop(old)
      deleted += 1
    }
  }

  const insert = (record: NewRecord, where: string, segment: number, at: number): void => {
    const session = sessionNumber(record, where)
    if (record.instead !== undefined) {
      const old = expected(record.instead)
      if (old === undefined) {
        skipped += 1
        return
      }
      drop(old)
      const other = find(record.token)
      if (other !== undefined && other.version > old.version) {
        skipped += 1
        return
      }
    }
    for (const token of record.replaces ?? []) dropToken(token)
    dropToken(record.token)
    const filters = packFilters(info, record.filters)
    const block = record.place === undefined ? null : numberAt(record.place.block)
    const { length } = record.sealed
    index.run(
      `INSERT INTO record (collection, version, token, epoch, session, filters, block, slot,
         segment, at, length, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      collection,
      nextVersion,
      record.token,
      record.epoch,
      session,
      filters,
      block,
      record.place?.slot ?? null,
      segment,
      at,
      length,
      recordCrc(record, filters),
    )
    nextVersion += 1
    records += 1
    ledger.add(segment, length)
    if (block === null || record.place === undefined) changeTail(1)
    else enter(block, record.place.slot, filters)
  }
  let at = (bytes.records?.at ?? 0) + FRAME_HEADER_BYTES
  for (const [number, record] of (change.records ?? []).entries()) {
    insert(record, `records[${number}]`, bytes.records?.segment ?? 0, at)
    at += record.sealed.length
  }

  for (const move of change.moves ?? []) {
    const old = expected(move)
    if (old === undefined) {
      skipped += 1
      continue
    }
    leave(old)
    const block = numberAt(move.block)
    index.run(
      'UPDATE record SET block = ?, slot = ? WHERE collection = ? AND version = ?',
      block,
      move.slot,
      collection,
      old.version,
    )
    enter(block, move.slot, old.filters)
  }

  for (const number of change.removeBlocks ?? []) {
    const gone = index.get<{ segment: number; length: number }>(
      'DELETE FROM block WHERE collection = ? AND number = ? RETURNING segment, length',
      collection,
      number,
    )
    if (gone === undefined) {
      throw invalidChange('there is no such block', { where: `block ${number}` })
    }
    index.run(
      'UPDATE record INDEXED BY record_place SET block = NULL, slot = NULL WHERE block = ?',
      number,
    )
    if (index.changes() > 0) changeTail(index.changes())
    index.run('DELETE FROM posting WHERE block = ?', number)
    ledger.add(gone.segment, -gone.length)
    touched.delete(number)
    blocks -= 1
  }

  for (const [block, { bits, count }] of touched) {
    index.run('UPDATE block SET alive = ?, alive_count = ? WHERE number = ?', bits, count, block)
  }
  for (const { block, field, token, bits } of postings.values()) {
    index.run(
      'INSERT INTO posting (collection, field, token, block, slots) VALUES (?, ?, ?, ?, ?)',
      collection,
      field,
      token,
      block,
      bits,
    )
  }
  if ((change.removeSessions ?? []).length > 0) {
    removeSessions(index, collection, change.removeSessions ?? [])
  }
  if ((change.removeEpochs ?? []).length > 0) {
    removeEpochs(index, collection, change.removeEpochs ?? [])
  }
  ledger.write(bytes.segments)
  index.run(
    `UPDATE collection SET sequence = ?, tail_sequence = ?, next_version = ?,
       records = ?, tail = ?, blocks = ? WHERE number = ?`,
    sequence,
    tailSequence,
    nextVersion,
    records,
    tail,
    blocks,
    collection,
  )
  const emptied = ledger.dropEmpty(keep)
  return { committed: { sequence, blocks: numbers, deleted, skipped }, emptied }
}
