/**
 * Rotation: every record and block of older epochs is encrypted again under the newest one. Both are
 * searched meanwhile; each step is one durable change, so a stopped rotation goes on where it was.
 */
import { EmbeddingError } from '../errors.ts'
import type { CollectionKeys } from './keyring.ts'
import { type MaintenanceOptions, repack } from './rebuild.ts'
import type { EmbeddingStore, Space } from './store.ts'
import type { StoredRecord } from './types.ts'

/** Nothing old comes once the new epoch is announced; another rotation or compaction may move what is there. */
const PASSES = 16

/** What a rotation did. */
export interface RotateReport {
  /** The epoch everything is under now. */
  readonly epoch: number
  readonly blocks: number
  readonly records: number
  /** Epochs whose seeds this collection no longer needs. */
  readonly retired: readonly number[]
  /** As in `CompactReport`. */
  readonly space: Space | undefined
}

/** Forgets epochs; false: another rotation did at the same time. */
async function retire(
  store: EmbeddingStore,
  { info }: CollectionKeys,
  retired: readonly number[],
): Promise<boolean> {
  const { epochs } = await store.collection(info.name)
  // Another rotation may have forgotten some.
  const removeEpochs = retired.filter((one) => epochs.some(({ epoch }) => epoch === one))
  if (removeEpochs.length === 0) return true
  try {
    await store.commit(info.name, { collection: info.id, removeEpochs })
    return true
  } catch (error) {
    if (error instanceof EmbeddingError && error.code === 'STORE_INVALID') return false
    throw error
  }
}

/**
 * @throws EmbeddingError COLLECTION_CHANGED when others keep rewriting the collection; EPOCH_OUTDATED when a
 * newer epoch is announced meanwhile; ABORTED.
 */
export async function rotate(
  store: EmbeddingStore,
  keys: CollectionKeys,
  epoch: number,
  options: MaintenanceOptions = {},
): Promise<RotateReport> {
  const { name } = keys.info
  const retired = keys.epochs.filter((one) => one < epoch)
  let blocks = 0
  let records = 0
  for (let pass = 0; pass < PASSES; pass++) {
    const old = new Set<number>()
    for (const info of await store.blocks(name)) if (info.epoch !== epoch) old.add(info.block)
    const loose: StoredRecord[] = []
    for (const one of retired) {
      for await (const record of store.all(name, { epoch: one })) {
        if (record.place === undefined) loose.push(record)
        // A record and its block are of one epoch unless a writer and a rotation crossed.
        else old.add(record.place.block)
      }
    }
    if (old.size === 0 && loose.length === 0) {
      if (!(await retire(store, keys, retired))) continue
      const space = await store.reclaim?.({ signal: options.signal })
      return { epoch, blocks, records, retired, space }
    }
    records += await repack(store, keys, epoch, [...old], loose, {
      ...options,
      onProgress: (done) => options.onProgress?.(records + done),
    })
    blocks += old.size
  }
  throw new EmbeddingError('COLLECTION_CHANGED', 'others keep rewriting the collection', {
    where: name,
    hint: 'let the other rotation or compaction end, then rotate again',
  })
}
