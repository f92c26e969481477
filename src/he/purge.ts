/**
 * Deletion without ids: of what an ingest session wrote, or of records that do not open. Whoever has a kit can
 * seal anything under a session of his own, and a search refuses to pass over a record it cannot check.
 */
import { EmbeddingError } from '../errors.ts'
import { throwIfEnded } from './deadline.ts'
import type { CollectionKeys } from './keyring.ts'
import type { MaintenanceOptions } from './rebuild.ts'
import type { EmbeddingStore, Expected } from './store.ts'
import type { StoredRecord } from './types.ts'

/** For {@link KeyHolder.purge}. */
export interface PurgeOptions extends MaintenanceOptions {
  /** Only what this ingest session wrote. */
  readonly session?: string | undefined
  /** Only records that do not open, or that the collection would not take. Without it, a session is needed. */
  readonly invalid?: boolean | undefined
}

/** Records of one change. */
const AT_ONCE = 1000

/** Whether the record opens to an item that the collection takes. */
async function isSound(keys: CollectionKeys, record: StoredRecord): Promise<boolean> {
  try {
    await keys.open(record)
    return true
  } catch (error) {
    // KEY_MISMATCH: its session is not sealed to the key holder.
    const codes: readonly unknown[] = ['RECORD_INVALID', 'KEY_MISMATCH']
    if (error instanceof EmbeddingError && codes.includes(error.code)) return false
    throw error
  }
}

/**
 * Returns how many records were deleted; what was written again meanwhile stays. Stopped, the same call goes on.
 * @throws EmbeddingError SESSION_UNKNOWN, ABORTED.
 */
export async function purge(
  store: EmbeddingStore,
  keys: CollectionKeys,
  { session, invalid = false, signal, onProgress }: PurgeOptions,
): Promise<number> {
  const { name, id: collection } = keys.info
  const { sessions } = await store.collection(name)
  if (session === undefined ? !invalid : !sessions.some(({ id }) => id === session)) {
    throw new EmbeddingError('SESSION_UNKNOWN', 'the collection has no such ingest session', {
      where: name,
      expected: sessions.map(({ id }) => id).join(', ') || 'none: all is the key holder\u2019s own',
      got: session ?? 'none',
    })
  }
  let deleted = 0
  let batch: Expected[] = []
  const flush = async (): Promise<void> => {
    throwIfEnded(signal)
    deleted += (await store.commit(name, { collection, deleteUnchanged: batch })).deleted
    batch = []
  }
  let read = 0
  for await (const record of store.all(name)) {
    onProgress?.(++read)
    throwIfEnded(signal)
    if (session !== undefined && record.session !== session) continue
    if (invalid && (await isSound(keys, record))) continue
    batch.push({ token: record.token, version: record.version })
    if (batch.length === AT_ONCE) await flush()
  }
  if (batch.length > 0) await flush()
  if (session !== undefined && !invalid) {
    const blocks = (await store.blocks(name)).filter((block) => block.session === session)
    const removeBlocks = blocks.map(({ block }) => block)
    await store.commit(name, { collection, removeBlocks, removeSessions: [session] })
  }
  return deleted
}
