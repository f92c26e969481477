/**
 * What a change does to the records it names, worked out before anything is written. Pure: rows as they
 * are under the lock go in, rows to drop, to write and to move come out.
 */
import { toHex } from '../bytes.ts'
import type { Change, NewRecord } from './store.ts'

/** A stored record, as far as a change looks at it. */
export interface RowState {
  readonly token: Uint8Array
  readonly version: number
  readonly place: { readonly block: number; readonly slot: number } | undefined
}

/** A record to write with its version and its place in the store. */
export interface PlannedWrite extends RowState {
  readonly record: NewRecord
}

/** See the file's comment. */
export interface Plan {
  /** Stored rows that vanish, also those written anew. */
  readonly drop: readonly Uint8Array[]
  readonly write: readonly PlannedWrite[]
  readonly move: readonly RowState[]
  /** Taken slots by index in the change's blocks. */
  readonly taken: ReadonlyMap<number, readonly number[]>
  /** Slots of older blocks that are dead now, by block number. */
  readonly freed: ReadonlyMap<number, readonly number[]>
  readonly lastVersion: number
  readonly deleted: number
  readonly skipped: number
  /** Growth of the collection and of its tail; removal of blocks not counted. */
  readonly records: number
  readonly tail: number
  readonly tailChanged: boolean
}

/** Tokens of all stored records a change can touch. */
export function tokensOf(change: Change): Uint8Array[] {
  const all = [
    ...(change.delete ?? []),
    ...(change.deleteUnchanged ?? []).map(({ token }) => token),
    ...(change.records ?? []).flatMap(({ token, replaces = [], instead }) => [
      token,
      ...replaces,
      ...(instead === undefined ? [] : [instead.token]),
    ]),
    ...(change.moves ?? []).map(({ token }) => token),
  ]
  return [...new Map(all.map((token) => [toHex(token), token])).values()]
}

interface Current extends RowState {
  readonly record?: NewRecord
}

/** Takes a change that `checkChange` accepted. @param blocks - numbers given to the change's blocks. */
export function planChange(
  change: Change,
  before: readonly RowState[],
  lastVersion: number,
  blocks: readonly number[],
): Plan {
  const stored = new Map(before.map((row) => [toHex(row.token), row]))
  const now = new Map<string, Current>(stored)
  let version = lastVersion
  let skipped = 0

  let deleted = 0
  for (const token of change.delete ?? []) if (now.delete(toHex(token))) deleted++
  for (const { token, version: read } of change.deleteUnchanged ?? []) {
    if (now.get(toHex(token))?.version === read) {
      now.delete(toHex(token))
      deleted++
    } else skipped++
  }
  for (const record of change.records ?? []) {
    const { token, replaces = [], instead } = record
    if (instead !== undefined) {
      if (now.get(toHex(instead.token))?.version !== instead.version) {
        skipped++
        continue
      }
      now.delete(toHex(instead.token))
      const other = now.get(toHex(token))
      if (other !== undefined && other.version > instead.version) {
        skipped++
        continue
      }
    }
    for (const other of replaces) now.delete(toHex(other))
    now.set(toHex(token), { token, version: ++version, place: given(record.place, blocks), record })
  }
  for (const move of change.moves ?? []) {
    const row = now.get(toHex(move.token))
    if (row?.version === move.version) {
      now.set(toHex(move.token), { ...row, place: given(move, blocks) })
    } else skipped++
  }

  const after = [...now.values()]
  const rewritten = (row: RowState) => now.get(toHex(row.token))?.version !== row.version
  const inTail = (rows: readonly RowState[]) =>
    rows.flatMap((row) => (row.place === undefined ? [row.version] : [])).sort((a, b) => a - b)
  const tails = [inTail(before), inTail(after)] as const
  const isNew = new Map(blocks.map((block, index) => [block, index]))
  const taken = new Map<number, number[]>()
  for (const { place } of after) {
    const index = place === undefined ? undefined : isNew.get(place.block)
    if (place !== undefined && index !== undefined) add(taken, index, place.slot)
  }
  const freed = new Map<number, number[]>()
  for (const { token, place } of before) {
    if (place === undefined) continue
    const kept = now.get(toHex(token))?.place
    if (kept?.block !== place.block || kept.slot !== place.slot) add(freed, place.block, place.slot)
  }
  return {
    drop: before.filter(rewritten).map(({ token }) => token),
    write: after
      .filter((row): row is PlannedWrite => row.record !== undefined)
      .sort((a, b) => a.version - b.version),
    move: after.filter((row) => {
      const old = stored.get(toHex(row.token))
      return row.record === undefined && old !== undefined && old.place !== row.place
    }),
    taken,
    freed,
    lastVersion: version,
    deleted,
    skipped,
    records: after.length - before.length,
    tail: tails[1].length - tails[0].length,
    tailChanged: tails[0].join() !== tails[1].join(),
  }
}

/** The place in the store of a place in the change. */
function given(
  place: { readonly block: number; readonly slot: number } | undefined,
  blocks: readonly number[],
): RowState['place'] {
  const block = place === undefined ? undefined : blocks[place.block]
  return place === undefined || block === undefined ? undefined : { block, slot: place.slot }
}

function add(map: Map<number, number[]>, key: number, slot: number): void {
  const slots = map.get(key)
  if (slots === undefined) map.set(key, [slot])
  else slots.push(slot)
}
