/**
 * Gives space back. A segment without a live byte is deleted; one that is mostly dead is emptied into
 * the current segment, step by step, in the same order as every write: copy, fsync, commit of the rows.
 * A crash on the way leaves bytes that nothing refers to, and the old ones in place.
 */
import type { Space } from './store.ts'
import type { SegmentWriter } from './segment-writer.ts'
import { createLedger } from './sqlite-change.ts'
import { FRAME_HEADER_BYTES, frameFault, NO_UID } from './segment-frame.ts'
import { type Piece, readPieces, SegmentGone, segmentName } from './segment-reader.ts'
import type { Index } from './sqlite-index.ts'
import { recordCrc, type RecordRow } from './sqlite-rows.ts'

/** Most bytes that one step copies, so that a commit is never held up for long. */
const STEP_BYTES = 16 << 20
const STEP_ROWS = 4096

interface BlockPiece extends Piece {
  readonly number: number
  readonly uid: string
  readonly id: string
}

interface RecordPiece
  extends Piece, Pick<RecordRow, 'version' | 'token' | 'epoch' | 'filters' | 'crc'> {
  readonly collection: number
  readonly id: string
  readonly sid: string | null
}

/** Part of a segment that must be alive for it to stay: beside other writes, and when space is asked for. */
export const MIN_LIVE = { aside: 0.5, asked: 0.75 } as const

/** Segments of which less than `minLive` is alive, those with the least to copy first. */
export const mostlyDead = (
  index: Index,
  current: number | undefined,
  minLive: number,
): readonly number[] =>
  index
    .all<{ number: number }>(
      'SELECT number FROM segment WHERE live < size * ? AND number <> ? ORDER BY live',
      minLive,
      current ?? 0,
    )
    .map(({ number }) => number)

/** What the segments take and what of it is alive. */
export function spaceOf(index: Index): Space {
  const sums = 'SELECT coalesce(sum(size), 0) AS bytes, coalesce(sum(live), 0) AS live FROM segment'
  const { bytes, live } = index.get<Space>(sums) ?? { bytes: 0, live: 0 }
  return { bytes, live }
}

/** The newest segment; those behind it are copies that were made since. */
export const newestSegment = (index: Index): number =>
  index.get<{ newest: number }>('SELECT coalesce(max(number), 0) AS newest FROM segment')?.newest ??
  0

/** Bytes of a segment that rows refer to; 0 when it is gone. */
export const liveBytes = (index: Index, segment: number): number =>
  index.get<{ live: number }>('SELECT live FROM segment WHERE number = ?', segment)?.live ?? 0

/** What still lives in a segment, as much as goes into one step. */
function livePieces(index: Index, segment: number) {
  return index.read(() => {
    let room = STEP_BYTES
    const fits = ({ length }: Piece): boolean => {
      const first = room === STEP_BYTES
      room -= length
      return first || room >= 0
    }
    const blocks = index
      .all<BlockPiece>(
        `SELECT block.number, uid, segment, at, length, info ->> 'id' AS id
         FROM block JOIN collection ON collection.number = block.collection
         WHERE segment = ? ORDER BY at LIMIT ?`,
        segment,
        STEP_ROWS,
      )
      .filter(fits)
    const records = index
      .all<RecordPiece>(
        `SELECT record.collection, version, token, record.epoch, filters, record.crc, segment, at, length,
           info ->> 'id' AS id, session.id AS sid
         FROM record JOIN collection ON collection.number = record.collection
         LEFT JOIN session ON session.number = record.session
         WHERE segment = ? ORDER BY at LIMIT ?`,
        segment,
        STEP_ROWS,
      )
      .filter(fits)
    return { blocks, records }
  })
}

/** A segment whose live bytes are not what was written; it stays as it is. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

async function copyBlocks(directory: string, writer: SegmentWriter, blocks: readonly BlockPiece[]) {
  const moved = []
  for (const { number, uid, id, segment, at, length } of blocks) {
    const owner = { kind: 'block', collection: id, uid } as const
    const [frame] = await readPieces(directory, [
      { segment, at, length: FRAME_HEADER_BYTES + length },
    ])
    if (frame === undefined || frameFault(frame, owner) !== undefined) {
      throw new Unreadable(`${segmentName(segment)}: block ${number} is not as it was written`)
    }
    const place = await writer.append(owner, [frame.subarray(FRAME_HEADER_BYTES)])
    moved.push({ number, length, ...place })
  }
  return moved
}

async function copyRecords(
  directory: string,
  writer: SegmentWriter,
  records: readonly RecordPiece[],
) {
  const bytes = await readPieces(directory, records)
  const moved = []
  for (const [id, rows] of Map.groupBy(
    records.map((row, index) => ({ row, sealed: bytes[index] ?? new Uint8Array() })),
    ({ row }) => row.id,
  )) {
    for (const { row, sealed } of rows) {
      const content = { token: row.token, epoch: row.epoch, session: row.sid ?? '', sealed }
      if (sealed.length !== row.length || recordCrc(content, row.filters) !== row.crc) {
        const what = `the record of version ${row.version} is not as it was written`
        throw new Unreadable(`${segmentName(row.segment)}: ${what}`)
      }
    }
    const owner = { kind: 'records', collection: id, uid: NO_UID } as const
    const place = await writer.append(
      owner,
      rows.map(({ sealed }) => sealed),
    )
    let at = place.at + FRAME_HEADER_BYTES
    for (const { row } of rows) {
      const { collection, version, length } = row
      moved.push({ collection, version, length, segment: place.segment, at })
      at += length
    }
  }
  return moved
}

/**
 * Copies one step out of a segment. Returns segments that are empty now; their files can go. The caller
 * undoes the appends when it throws; `onCommit` runs right before the commit.
 * @throws Unreadable; StorageError.
 */
export async function reclaimStep(
  directory: string,
  index: Index,
  writer: SegmentWriter,
  segment: number,
  onCommit: () => void,
): Promise<readonly number[]> {
  const pieces = livePieces(index, segment)
  let blocks: Awaited<ReturnType<typeof copyBlocks>>
  let records: Awaited<ReturnType<typeof copyRecords>>
  try {
    blocks = await copyBlocks(directory, writer, pieces.blocks)
    records = await copyRecords(directory, writer, pieces.records)
  } catch (cause) {
    if (cause instanceof SegmentGone) {
      throw new Unreadable(`${segmentName(cause.segment)} is not there`)
    }
    throw cause
  }
  const segments = await writer.sync()
  return index.write(() => {
    const ledger = createLedger(index)
    for (const block of blocks) {
      index.run(
        'UPDATE block SET segment = ?, at = ? WHERE number = ?',
        block.segment,
        block.at,
        block.number,
      )
      ledger.add(segment, -block.length)
      ledger.add(block.segment, block.length)
    }
    for (const record of records) {
      index.run(
        'UPDATE record SET segment = ?, at = ? WHERE collection = ? AND version = ?',
        record.segment,
        record.at,
        record.collection,
        record.version,
      )
      ledger.add(segment, -record.length)
      ledger.add(record.segment, record.length)
    }
    ledger.write(segments)
    return ledger.dropEmpty(writer.current())
  }, onCommit)
}
