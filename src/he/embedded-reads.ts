/**
 * Reads of an embedded store. Rows come from one transaction; the bytes they point to are read after it.
 * When a writer has moved them to another segment meanwhile, the rows are looked up again.
 */
import { EmbeddingError } from '../errors.ts'
import { FRAME_HEADER_BYTES, frameFault } from './segment-frame.ts'
import { readPieces, SegmentGone, segmentName } from './segment-reader.ts'
import { intersect, unite } from './slot-bits.ts'
import type { Index } from './sqlite-index.ts'
import {
  BLOCKS,
  type BlockRow,
  type CollectionRow,
  collectionRow,
  partitionValues,
  type RecordRow,
  sessionsOf,
  storedRecord,
} from './sqlite-rows.ts'
import type { Partition } from './store.ts'
import { checkFilter } from './store-check.ts'
import type { BlockInfo, Filter, StoredRecord } from './types.ts'

/** How often a writer may be faster than a reader in one read. */
const ATTEMPTS = 8

/** Runs a read again when a segment is gone. @throws EmbeddingError STORE_INVALID when it stays gone. */
export async function whileMoving<T>(folder: string, action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action()
    } catch (cause) {
      if (!(cause instanceof SegmentGone)) throw cause
      if (attempt < ATTEMPTS) continue
      throw new EmbeddingError('STORE_INVALID', 'a segment that the index refers to is not there', {
        where: `${folder}: ${segmentName(cause.segment)}`,
        hint: 'bring the file back from a backup; verify names everything that is missing',
      })
    }
  }
}

/** Rows with what it takes to make records of them. */
export function selectRecords<Selected>(
  index: Index,
  name: string,
  select: (collection: CollectionRow) => Selected,
) {
  return index.read(() => {
    const collection = collectionRow(index, name)
    return {
      ...select(collection),
      info: collection.info,
      sessions: sessionsOf(index, collection.number),
    }
  })
}

/** Records of the rows that `select` finds, in order, and whatever else it returns. */
export const readRecords = <Extra>(
  index: Index,
  folder: string,
  name: string,
  select: (
    collection: CollectionRow,
  ) => { readonly rows: readonly (RecordRow | undefined)[] } & Extra,
) =>
  whileMoving(folder, async () => {
    const selected = selectRecords(index, name, select)
    const { info, sessions } = selected
    const there = selected.rows.filter((row) => row !== undefined)
    const bytes = await readPieces(folder, there)
    let at = 0
    const records = selected.rows.map((row): StoredRecord | undefined => {
      if (row === undefined) return undefined
      const sealed = bytes[at] ?? new Uint8Array()
      at += 1
      return storedRecord(row, info, sessions, sealed)
    })
    return { ...selected, records }
  })

/** Bytes of a block; undefined when it is not there. @throws EmbeddingError STORE_INVALID. */
export const readBlock = (index: Index, folder: string, name: string, number: number) =>
  whileMoving(folder, async () => {
    const { row, info } = index.read(() => {
      const collection = collectionRow(index, name)
      const found = index.get<BlockRow>(BLOCKS.byNumber, collection.number, number)
      return { row: found, info: collection.info }
    })
    if (row === undefined) return undefined
    const { segment, at, length, uid } = row
    const [frame = new Uint8Array()] = await readPieces(folder, [
      { segment, at, length: FRAME_HEADER_BYTES + length },
    ])
    const fault = frameFault(frame, { kind: 'block', collection: info.id, uid })
    if (fault === undefined) return frame.subarray(FRAME_HEADER_BYTES)
    throw new EmbeddingError('STORE_INVALID', `a block is not as it was written: ${fault}`, {
      where: `${segmentName(segment)}, block ${number} at offset ${at}`,
      hint: 'bring the file back from a backup, or rebuild the block by compaction',
    })
  })

/** Blocks without their bytes. */
export const blockInfos = (
  index: Index,
  name: string,
  partition: Partition | undefined,
): readonly BlockInfo[] =>
  index.read(() => {
    const { number: collection } = collectionRow(index, name)
    const sessions = sessionsOf(index, collection)
    return index
      .all<BlockRow>(BLOCKS.ofPartition, collection, ...partitionValues(partition))
      .map(({ number, uid, epoch, session, mac, slots, alive_count, length }) => ({
        block: number,
        uid,
        epoch,
        session: sessions.get(session)?.id ?? '',
        mac,
        slots,
        live: alive_count,
        length,
      }))
  })

/** Slots per block that every condition matches, dead ones among them. */
function matching(
  index: Index,
  { number, info }: CollectionRow,
  filter: Filter,
  partition: Partition | undefined,
): Map<number, Uint8Array> {
  let result: Map<number, Uint8Array> | undefined
  for (const { field, anyOf } of filter) {
    const matched = new Map<number, Uint8Array>()
    for (const token of anyOf) {
      for (const { block, slots } of index.all<{ block: number; slots: Uint8Array }>(
        `SELECT block, slots FROM posting
         WHERE collection = ? AND field = ? AND token = ? AND block % ? = ?`,
        number,
        info.fields.indexOf(field),
        token,
        ...partitionValues(partition),
      )) {
        const known = matched.get(block)
        if (known === undefined) matched.set(block, slots)
        else unite(known, slots)
      }
    }
    for (const [block, slots] of result ?? []) {
      const other = matched.get(block)
      if (other !== undefined && intersect(other, slots)) continue
      matched.delete(block)
    }
    for (const block of matched.keys()) {
      if (result !== undefined && !result.has(block)) matched.delete(block)
    }
    result = matched
  }
  return result ?? new Map<number, Uint8Array>()
}

/** Live slots that the filter matches, by block. */
export const liveSlots = (
  index: Index,
  name: string,
  filter: Filter = [],
  partition?: Partition,
): { readonly sequence: number; readonly blocks: ReadonlyMap<number, Uint8Array> } =>
  index.read(() => {
    const collection = collectionRow(index, name)
    checkFilter(collection.info, filter)
    const blocks = new Map<number, Uint8Array>()
    const candidates =
      filter.length === 0 ? undefined : matching(index, collection, filter, partition)
    for (const { number, alive } of index.all<{ number: number; alive: Uint8Array }>(
      `SELECT number, alive FROM block
       WHERE collection = ? AND alive_count > 0 AND number % ? = ? ORDER BY number`,
      collection.number,
      ...partitionValues(partition),
    )) {
      const matched = candidates?.get(number)
      if (candidates === undefined || (matched !== undefined && intersect(alive, matched))) {
        blocks.set(number, alive)
      }
    }
    return { sequence: collection.sequence, blocks }
  })
