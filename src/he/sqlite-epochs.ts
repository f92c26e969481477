/** Epochs and ingest sessions of a collection in the index: what blocks and records may name. */
import { equal } from '../bytes.ts'
import type { Change } from './store.ts'
import { checkEpochs, invalidChange, newEpochs } from './store-check.ts'
import type { Index } from './sqlite-index.ts'
import { sessionsOf } from './sqlite-rows.ts'

/** Writes epochs and sessions; returns which session a block or record may have. */
export function writeKeys(index: Index, collection: number, change: Change) {
  const known = new Map(
    index
      .all<{ epoch: number; kcv: string }>(
        'SELECT epoch, kcv FROM epoch WHERE collection = ?',
        collection,
      )
      .map(({ epoch, kcv }) => [epoch, kcv]),
  )
  const added = newEpochs(change, known)
  for (const [epoch, check] of added) {
    index.run(
      'INSERT INTO epoch (collection, epoch, kcv) VALUES (?, ?, ?)',
      collection,
      epoch,
      check,
    )
  }
  checkEpochs(change, Math.max(...known.keys(), ...added.keys()))
  for (const { id, epoch, sealedKey } of change.sessions ?? []) {
    index.run(
      `INSERT INTO session (collection, id, epoch, sealed_key) VALUES (?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      collection,
      id,
      epoch,
      sealedKey,
    )
  }
  const sessions = new Map(
    [...sessionsOf(index, collection)].map(([number, one]) => [one.id, { number, ...one }]),
  )
  for (const { id, epoch, sealedKey } of change.sessions ?? []) {
    const stored = sessions.get(id)
    if (stored?.epoch !== epoch || !equal(stored.sealedKey, sealedKey)) {
      throw invalidChange('the session is there with another key', { where: `session ${id}` })
    }
  }
  /** Number of the session of a block or record. */
  return (one: { readonly epoch: number; readonly session: string }, where: string): number => {
    if (one.session === '') return 0
    const session = sessions.get(one.session)
    if (session?.epoch === one.epoch) return session.number
    throw invalidChange('the collection does not have this session in this epoch', { where })
  }
}

/** Forgets those of these sessions that nothing has. */
export function removeSessions(index: Index, collection: number, ids: readonly string[]): void {
  const used = new Set(
    index
      .all<{ session: number }>(
        `SELECT DISTINCT session FROM block WHERE collection = ?
         UNION SELECT DISTINCT session FROM record WHERE collection = ?`,
        collection,
        collection,
      )
      .map(({ session }) => session),
  )
  for (const [number, { id }] of sessionsOf(index, collection)) {
    if (ids.includes(id) && !used.has(number)) {
      index.run('DELETE FROM session WHERE number = ?', number)
    }
  }
}

/** @throws EmbeddingError STORE_INVALID for the newest, and for one that a block or record has. */
export function removeEpochs(index: Index, collection: number, epochs: readonly number[]): void {
  const newest = index.get<{ epoch: number }>(
    'SELECT max(epoch) AS epoch FROM epoch WHERE collection = ?',
    collection,
  )?.epoch
  for (const epoch of epochs) {
    const where = `epoch ${epoch}`
    if (epoch === newest) throw invalidChange('the newest epoch stays', { where })
    for (const table of ['block', 'record'] as const) {
      // Both texts are constants; a table's name cannot be a bound value.
      const sql = {
        block: 'SELECT 1 FROM block WHERE collection = ? AND epoch = ? LIMIT 1',
        record: 'SELECT 1 FROM record WHERE collection = ? AND epoch = ? LIMIT 1',
      }[table]
      if (index.get(sql, collection, epoch) !== undefined) {
        throw invalidChange(`a ${table} still has this epoch`, { where })
      }
    }
    index.run('DELETE FROM session WHERE collection = ? AND epoch = ?', collection, epoch)
    index.run('DELETE FROM epoch WHERE collection = ? AND epoch = ?', collection, epoch)
    if (index.changes() === 0) throw invalidChange('there is no such epoch', { where })
  }
}
