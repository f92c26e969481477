/**
 * Drops a collection. It is gone for everybody with the first transaction; its rows, which may be
 * millions, go in steps after it. After a crash the steps go on with the next writes. Segment files are
 * deleted on the way; the index keeps its length, and its free pages are used again.
 */
import { createLedger } from './sqlite-change.ts'
import type { Index } from './sqlite-index.ts'
import { collectionRow } from './sqlite-rows.ts'

/** Rows of each table that one step removes. */
const STEP_ROWS = 5000

/** Makes the collection disappear. @throws EmbeddingError COLLECTION_NOT_FOUND. */
export function markDropped(index: Index, name: string): void {
  index.write(() => {
    const { number } = collectionRow(index, name)
    index.run('INSERT INTO dropped (collection) VALUES (?)', number)
    index.run('DELETE FROM collection WHERE number = ?', number)
  })
}

/** Removes records with the lowest versions. Returns how many. */
function dropRecords(index: Index, collection: number, ledger: ReturnType<typeof createLedger>) {
  const rows = index.all<{ version: number; segment: number; length: number }>(
    'SELECT version, segment, length FROM record WHERE collection = ? ORDER BY version LIMIT ?',
    collection,
    STEP_ROWS,
  )
  for (const { segment, length } of rows) ledger.add(segment, -length)
  const last = rows.at(-1)
  if (last === undefined) return 0
  index.run('DELETE FROM record WHERE collection = ? AND version <= ?', collection, last.version)
  return rows.length
}

/** Removes blocks with the lowest numbers, and what is posted for them. Returns how many. */
function dropBlocks(index: Index, collection: number, ledger: ReturnType<typeof createLedger>) {
  // A block has a posting for each of its slots and fields, at worst.
  const rows = index.all<{ number: number; segment: number; length: number }>(
    'SELECT number, segment, length FROM block WHERE collection = ? ORDER BY number LIMIT ?',
    collection,
    STEP_ROWS >> 8,
  )
  for (const { number, segment, length } of rows) {
    ledger.add(segment, -length)
    index.run('DELETE FROM posting WHERE block = ?', number)
    index.run('DELETE FROM block WHERE number = ?', number)
  }
  return rows.length
}

/**
 * One step of removing what was dropped. `keep`: as in `Ledger.dropEmpty`.
 * `more`: whether there is more to remove; `emptied`: segments whose files can go.
 */
export function dropStep(
  index: Index,
  keep: number | undefined,
): { readonly more: boolean; readonly emptied: readonly number[] } {
  const next = index.get<{ collection: number }>('SELECT collection FROM dropped LIMIT 1')
  if (next === undefined) return { more: false, emptied: [] }
  const { collection } = next
  return index.write(() => {
    const ledger = createLedger(index)
    const removed = dropRecords(index, collection, ledger) + dropBlocks(index, collection, ledger)
    if (removed === 0) {
      index.run('DELETE FROM session WHERE collection = ?', collection)
      index.run('DELETE FROM epoch WHERE collection = ?', collection)
      index.run('DELETE FROM dropped WHERE collection = ?', collection)
    }
    ledger.write([])
    return { more: true, emptied: ledger.dropEmpty(keep) }
  })
}
