/** Stored records into new blocks: what sealing the tail, compaction and rotation have in common. */
import { EmbeddingError } from '../errors.ts'
import { sealBlock } from './block-sealer.ts'
import { throwIfEnded } from './deadline.ts'
import { type PreparedItem, prepareItem } from './item.ts'
import type { CollectionKeys } from './keyring.ts'
import { slices } from './slices.ts'
import type { Change, EmbeddingStore, Move, NewRecord } from './store.ts'
import type { StoredRecord } from './types.ts'

/** For long work over a collection. */
export interface MaintenanceOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the records that are durably done. */
  readonly onProgress?: ((done: number) => void) | undefined
}

/** Whether a record is as the key holder itself would write it now. */
export const isCurrent = (record: StoredRecord, epoch: number): boolean =>
  record.epoch === epoch && record.session === ''

/**
 * The change that puts records into one new block under `epoch` (or, `sealed` false, back into the tail):
 * current ones move, others are encrypted again. Each only if it is still what was read.
 */
export async function rebuilt(
  keys: CollectionKeys,
  epoch: number,
  records: readonly StoredRecord[],
  sealed: boolean,
): Promise<Change> {
  const sealer = await keys.sealer(epoch)
  /** By id: the holder of a kit may not have said what a record replaces; the later one counts. */
  const latest = new Map<string, { record: StoredRecord; item: PreparedItem }>()
  const slice = slices()
  for (const record of records) {
    const item = prepareItem(keys.geometry, keys.info, await keys.open(record))
    await slice()
    const other = latest.get(item.id)?.record
    // Left where it is: the store removes it when it is alone, if no newer one has come by then.
    if (other !== undefined && other.version > record.version) continue
    latest.set(item.id, { record, item })
  }
  const renewed: NewRecord[] = []
  const moves: Move[] = []
  for (const [slot, { record, item }] of [...latest.values()].entries()) {
    const { token, version } = record
    if (!isCurrent(record, epoch)) {
      const place = sealed ? { place: { block: 0, slot } } : {}
      renewed.push({ ...sealer.record(item), ...place, instead: { token, version } })
    } else if (sealed) moves.push({ token, version, block: 0, slot })
    await slice()
  }
  const rows = [...latest.values()].map(({ item }) => item.integers)
  return {
    collection: keys.info.id,
    blocks: sealed ? [await sealBlock(sealer, rows)] : [],
    records: renewed,
    moves,
  }
}

/** What a refused step means: that of two who rewrite a collection, the other one was at these blocks before. */
async function refusal(
  store: EmbeddingStore,
  name: string,
  blocks: readonly number[],
  cause: unknown,
): Promise<unknown> {
  if (!(cause instanceof EmbeddingError && cause.code === 'STORE_INVALID')) return cause
  const there = new Set((await store.blocks(name)).map(({ block }) => block))
  const gone = blocks.find((block) => !there.has(block))
  if (gone === undefined) return cause
  return new EmbeddingError(
    'COLLECTION_CHANGED',
    'another compaction or rotation rewrites the collection at the same time',
    {
      where: `${name}, block ${gone}`,
      hint: 'nothing is lost; let the other one end, then run this one again',
      cause,
    },
  )
}

/** Takes away blocks that are scanned for nothing: another ingest may have sealed the same tail. */
async function removeDead(store: EmbeddingStore, { info }: CollectionKeys): Promise<void> {
  const { name, id: collection } = info
  const dead = (await store.blocks(name)).filter(({ live }) => live === 0)
  const removeBlocks = dead.map(({ block }) => block)
  if (removeBlocks.length === 0) return
  try {
    await store.commit(name, { collection, removeBlocks })
  } catch (error) {
    const cause = await refusal(store, name, removeBlocks, error)
    const gone = cause instanceof EmbeddingError && cause.code === 'COLLECTION_CHANGED'
    if (!gone) throw cause
    // Somebody else took them away; if not all, the next one who seals does.
  }
}

/** Puts the tail into blocks while it fills one; blocks without a vector go then. */
export async function sealTail(
  store: EmbeddingStore,
  keys: CollectionKeys,
  epoch: number,
): Promise<void> {
  const { name } = keys.info
  const size = keys.geometry.vectorsPerBlock
  if ((await store.collection(name)).tail < size) return
  const { records } = await store.tail(name)
  for (let at = 0; at + size <= records.length; at += size) {
    await store.commit(name, await rebuilt(keys, epoch, records.slice(at, at + size), true))
  }
  await removeDead(store, keys)
}

/**
 * Takes blocks apart: their records, and those in `pool`, go into full blocks; what is left stays in the
 * tail. Returns how many records were written.
 * @throws EmbeddingError COLLECTION_CHANGED when another process does the same at the same time; ABORTED.
 */
export async function repack(
  store: EmbeddingStore,
  keys: CollectionKeys,
  epoch: number,
  blocks: readonly number[],
  tail: readonly StoredRecord[],
  { signal, onProgress }: MaintenanceOptions,
): Promise<number> {
  const { name } = keys.info
  const size = keys.geometry.vectorsPerBlock
  let pool = [...tail]
  let emptied: number[] = []
  let done = 0
  const commit = async (records: readonly StoredRecord[], sealed: boolean): Promise<void> => {
    throwIfEnded(signal)
    const change = await rebuilt(keys, epoch, records, sealed)
    const all = { ...change, removeBlocks: emptied }
    await store.commit(name, all).catch(async (error: unknown) => {
      throw await refusal(store, name, emptied, error)
    })
    emptied = []
    done += records.length
    onProgress?.(done)
  }
  for (const block of blocks) {
    pool.push(...(await store.inBlock(name, block)))
    emptied.push(block)
    // What of a removed block does not fit the new one comes into the tail, and from there into the next.
    for (; pool.length >= size; pool = pool.slice(size)) await commit(pool.slice(0, size), true)
  }
  if (emptied.length > 0 || pool.some((record) => !isCurrent(record, epoch))) {
    await commit(pool, false)
  }
  return done
}
