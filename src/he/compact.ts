/** Compaction: deleted vectors stop costing scan time and space, and the tail is sealed. */
import type { CollectionKeys } from './keyring.ts'
import { type MaintenanceOptions, repack } from './rebuild.ts'
import type { EmbeddingStore, Space } from './store.ts'

/** For {@link compact}. */
export interface CompactOptions extends MaintenanceOptions {
  /** Blocks with a smaller part of live slots are rewritten; 0 to 1, default 0.75. */
  readonly minLive?: number
}

/** What a compaction did. */
export interface CompactReport {
  /** Blocks taken apart. */
  readonly blocks: number
  /** Records that got a new place. */
  readonly records: number
  /** What the store takes then, of all its collections; undefined where the database sees to its space. */
  readonly space: Space | undefined
}

/**
 * Rewrites sparse blocks, blocks of public-key ingests (twice as large) and the tail, and forgets the sessions
 * of those ingests. Searches go on meanwhile; stopped at any point, nothing is lost and the next run goes on.
 */
export async function compact(
  store: EmbeddingStore,
  keys: CollectionKeys,
  epoch: number,
  { minLive = 0.75, ...options }: CompactOptions = {},
): Promise<CompactReport> {
  const { name } = keys.info
  const { sessions } = await store.collection(name)
  const enough = minLive * keys.geometry.vectorsPerBlock
  const sparse = (await store.blocks(name))
    .filter(({ live, session }) => live < enough || session !== '')
    .map(({ block }) => block)
  const tail = (await store.tail(name)).records
  const records = await repack(store, keys, epoch, sparse, tail, options)
  if (sessions.length > 0) {
    const removeSessions = sessions.map(({ id }) => id)
    await store.commit(name, { collection: keys.info.id, removeSessions })
  }
  const space = await store.reclaim?.({ signal: options.signal })
  return { blocks: sparse.length, records, space }
}
