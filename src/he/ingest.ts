/**
 * Items in, sealed blocks and tail records out. Every full block is one durable change of the store, so a
 * stopped import has lost nothing it reported, and running it again replaces instead of doubling.
 */
import { EmbeddingError } from '../errors.ts'
import { type BlockSealer, sealBlock } from './block-sealer.ts'
import { throwIfEnded } from './deadline.ts'
import { type PreparedItem, prepareItem } from './item.ts'
import { againWhenOutdated } from './outdated.ts'
import { slices } from './slices.ts'
import type { EmbeddingStore, NewRecord } from './store.ts'
import type { Item } from './types.ts'

/** For {@link Ingest.insert}. */
export interface InsertOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of items that are durable. */
  readonly onProgress?: ((done: number) => void) | undefined
}

/** What an insertion did. */
export interface Inserted {
  /** Items read; of several with one id the last one counts. */
  readonly items: number
  /** Records that took the place of another one with their id. */
  readonly replaced: number
}

/** Encrypts vectors into a collection. */
export interface Ingest extends AsyncDisposable {
  /**
   * @throws EmbeddingError VECTOR_INVALID, ID_INVALID, METADATA_INVALID with the item's index: items
   * before it that were reported are kept; EPOCH_OUTDATED when a rotation has begun and the ingest has only
   * the keys of a kit; ABORTED; CLOSED when closed meanwhile; StorageError.
   */
  insert(items: Iterable<Item> | AsyncIterable<Item>, options?: InsertOptions): Promise<Inserted>
}

/** How an ingest ends an insertion: the key holder seals a long tail. */
export interface IngestHooks {
  /** After each insertion. */
  readonly settle?: () => Promise<void>
  /** The sealer to write with now, of the newest epoch; without it the one that the ingest began with. */
  readonly current?: () => Promise<BlockSealer>
  readonly close?: () => void
}

/** Callers without types may give one item alone. @throws EmbeddingError VECTOR_INVALID. */
function requireItems(items: unknown): void {
  const given = (items ?? undefined) as Partial<AsyncIterable<Item> & Iterable<Item>> | undefined
  if (given?.[Symbol.asyncIterator] !== undefined || given?.[Symbol.iterator] !== undefined) return
  throw new EmbeddingError('VECTOR_INVALID', 'not a list of items', {
    where: 'items',
    expected: 'an array, or something else to iterate over, of { id, vector, metadata }',
    got: items === null ? 'null' : typeof items,
  })
}

/** @throws EmbeddingError CLOSED after it was disposed of. */
export function ingestWith(
  store: EmbeddingStore,
  first: BlockSealer,
  hooks: IngestHooks = {},
): Ingest {
  const { name, id: collection } = first.info
  const { vectorsPerBlock } = first.geometry
  let closed = false

  /** Makes one change of the items: a block when they fill one, else tail records. */
  async function write(sealer: BlockSealer, items: readonly PreparedItem[]): Promise<number> {
    const full = items.length === vectorsPerBlock
    const records: NewRecord[] = []
    const tokens: Uint8Array[] = []
    const slice = slices()
    for (const [slot, item] of items.entries()) {
      const record = sealer.record(item)
      const own = sealer.tokens(item.id)
      const replaces = own.filter((token) => !Buffer.from(token).equals(record.token))
      records.push({
        ...record,
        ...(full ? { place: { block: 0, slot } } : {}),
        ...(replaces.length > 0 ? { replaces } : {}),
      })
      tokens.push(...own)
      await slice()
    }
    const known = await store.find(name, tokens)
    const blocks = full
      ? [
          await sealBlock(
            sealer,
            items.map(({ integers }) => integers),
          ),
        ]
      : []
    await store.commit(name, {
      collection,
      // Each time: a compaction may have forgotten it since.
      ...(sealer.session === undefined ? {} : { sessions: [sealer.session] }),
      blocks,
      records,
    })
    return known.filter((record) => record !== undefined).length
  }

  return {
    async insert(items, { signal, onProgress } = {}) {
      if (closed) throw new EmbeddingError('CLOSED', 'the ingest is closed')
      requireItems(items)
      /** By id: within a block, the later item of an id is the one that counts. */
      let waiting = new Map<string, PreparedItem>()
      let read = 0
      let replaced = 0
      const flush = async () => {
        throwIfEnded(signal)
        // Closed amid an insertion: the keys of its sealer are wiped.
        if (closed)
          throw new EmbeddingError('CLOSED', 'the ingest was closed before all was written')
        const { current } = hooks
        const items = [...waiting.values()]
        replaced += await (current === undefined
          ? write(first, items)
          : againWhenOutdated(async () => write(await current(), items)))
        waiting = new Map()
        onProgress?.(read)
      }
      for await (const item of items) {
        const prepared = prepareItem(first.geometry, first.info, item, read)
        // The later one takes the later slot.
        if (waiting.delete(prepared.id)) replaced++
        waiting.set(prepared.id, prepared)
        read++
        if (waiting.size === vectorsPerBlock) await flush()
      }
      if (waiting.size > 0) await flush()
      await hooks.settle?.()
      return { items: read, replaced }
    },
    [Symbol.asyncDispose]() {
      closed = true
      hooks.close?.()
      return Promise.resolve()
    },
  }
}
