/**
 * The key holder: the one party that can decrypt. It makes collections, encrypts queries, opens scores and
 * records, and rewrites collections. It gives out ids and rounded scores, never a raw decryption.
 */
import { randomBytes } from 'node:crypto'

import { toHex } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import { type CompactOptions, type CompactReport, compact } from './compact.ts'
import { requireSafe } from './failure.ts'
import { type Ingest, ingestWith } from './ingest.ts'
import { ingestKit } from './ingest-kit.ts'
import { type CollectionKeys, type KeySeed, createKeyring } from './keyring.ts'
import { DEFAULT_PARAMETER_SET, geometryOf } from './parameters.ts'
import { type MaintenanceOptions, sealTail } from './rebuild.ts'
import { type RotateReport, rotate } from './rotate.ts'
import {
  type Hit,
  type OpenTail,
  type QueryVector,
  type SearchOptions,
  type SearchTimings,
  searchCollection,
} from './search.ts'
import type { EmbeddingStore, StoreFault } from './store.ts'
import type { CollectionInfo, Item, KeyEpoch, Metric, Scorer } from './types.ts'
import { verifyCollection } from './verify-collection.ts'

/** For {@link KeyHolder.createCollection}. */
export interface CreateCollectionOptions {
  /** `[a-z0-9]` then up to 62 of `[a-z0-9_-]`. */
  readonly name: string
  readonly dimensions: number
  /** Default: cosine. */
  readonly metric?: Metric | undefined
  /** Default: {@link DEFAULT_PARAMETER_SET}. */
  readonly parameterSet?: string | undefined
  /** Needed for inner-product and squared-l2: no stored vector may be longer. */
  readonly maxNorm?: number | undefined
  /** Metadata fields to filter on. */
  readonly fields?: readonly string[] | undefined
}

/** For {@link KeyHolder.search}. */
export interface HolderSearchOptions extends SearchOptions {
  /** Called once with the time of each stage. */
  readonly onTimings?: ((timings: SearchTimings) => void) | undefined
}

/** See the file's comment. All methods throw EmbeddingError KEY_MISMATCH or EPOCH_UNKNOWN for a wrong or missing seed. */
export interface KeyHolder extends AsyncDisposable {
  /** Epochs of the seeds, ascending. */
  readonly epochs: readonly number[]
  /**
   * Makes an empty collection under the newest epoch.
   * @throws EmbeddingError COLLECTION_INVALID, COLLECTION_EXISTS, PARAMETERS_UNKNOWN, PARAMETERS_UNSAFE.
   */
  createCollection(store: EmbeddingStore, options: CreateCollectionOptions): Promise<CollectionInfo>
  /** Encrypts with the secret key; full tails are sealed after each insertion. */
  ingest(store: EmbeddingStore, name: string): Promise<Ingest>
  /**
   * What an ingest that must not decrypt needs (`createIngest`).
   * @throws EmbeddingError PARAMETERS_UNSAFE when the set leaves no room for public-key noise.
   */
  ingestKit(store: EmbeddingStore, name: string): Promise<Uint8Array>
  /** The k nearest, nearest first. @throws EmbeddingError VECTOR_INVALID, FILTER_INVALID, SCORES_INVALID and what the scorer throws. */
  search(
    scorer: Scorer,
    name: string,
    query: QueryVector,
    options: HolderSearchOptions,
  ): Promise<readonly Hit[]>
  /** Several queries in one scan. */
  searchMany(
    scorer: Scorer,
    name: string,
    queries: readonly QueryVector[],
    options: HolderSearchOptions,
  ): Promise<readonly (readonly Hit[])[]>
  /** Items by id, in order; undefined where there is none. */
  get(
    store: EmbeddingStore,
    name: string,
    ids: readonly string[],
  ): Promise<readonly (Item | undefined)[]>
  /** Returns how many there were. */
  delete(store: EmbeddingStore, name: string, ids: readonly string[]): Promise<number>
  compact(store: EmbeddingStore, name: string, options?: CompactOptions): Promise<CompactReport>
  /** Encrypts everything again under the newest seed; goes on where it was stopped. */
  rotate(store: EmbeddingStore, name: string, options?: MaintenanceOptions): Promise<RotateReport>
  /** Faults as they are found; see `verify-collection.ts` for what is checked. */
  verify(
    store: EmbeddingStore,
    name: string,
    options?: MaintenanceOptions,
  ): AsyncIterable<StoreFault>
  /** Everything in clear, to leave or to move. */
  items(store: EmbeddingStore, name: string): AsyncIterable<Item>
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

function describe(options: CreateCollectionOptions): CollectionInfo {
  const { name, dimensions, metric = 'cosine', fields = [] } = options
  const refuse = (message: string, where: string, expected: string, got: unknown): never => {
    throw new EmbeddingError('COLLECTION_INVALID', message, { where, expected, got: String(got) })
  }
  if (!NAME.test(name)) {
    refuse('not a collection name', 'name', 'a-z, 0-9, then also _ and -; at most 63', name)
  }
  if (!['cosine', 'inner-product', 'squared-l2'].includes(metric)) {
    refuse('unknown metric', 'metric', 'cosine, inner-product or squared-l2', metric)
  }
  const { maxNorm = metric === 'cosine' ? 1 : Number.NaN } = options
  if (metric === 'cosine' && maxNorm !== 1) {
    refuse('cosine normalises its vectors', 'maxNorm', 'none', maxNorm)
  }
  if (!(maxNorm > 0 && Number.isFinite(maxNorm))) {
    refuse(
      `${metric} needs a bound on the vectors\u2019 length`,
      'maxNorm',
      'a positive number',
      maxNorm,
    )
  }
  const unsound = fields.find((field) => !/^[\p{L}\p{N}_.-]{1,64}$/u.test(field))
  if (unsound !== undefined || new Set(fields).size < fields.length) {
    refuse('fields are not distinct names', 'fields', 'letters, digits, _ . -; at most 64', unsound)
  }
  const info = {
    name,
    id: toHex(randomBytes(16)),
    parameterSet: options.parameterSet ?? DEFAULT_PARAMETER_SET,
    dimensions,
    metric,
    maxNorm,
    fields: [...fields],
  }
  requireSafe(geometryOf(info), 'symmetric')
  return info
}

/**
 * Opens a key holder over the seeds of all epochs its collections still have; the newest one is used to
 * write. Wiped on dispose.
 * @throws EmbeddingError KEY_INVALID.
 */
export async function createKeyHolder(options: {
  readonly seeds: readonly KeySeed[]
}): Promise<KeyHolder> {
  const ring = createKeyring(options.seeds)
  const tails = new Map<string, OpenTail>()

  /** The collection's keys; an epoch newer than the collection's is announced first when it is to be written. */
  async function opened(
    store: EmbeddingStore,
    name: string,
    announce: boolean,
  ): Promise<CollectionKeys> {
    const state = await store.collection(name)
    const keys = ring.collection(state)
    if (!announce || keys.epochs.includes(ring.newest)) return keys
    await store.commit(name, { epochs: [ring.check(state.info, ring.newest)] })
    return ring.collection(await store.collection(name))
  }

  /** The epoch that is written: of the key holder's, the newest the collection has. */
  const writes = (keys: CollectionKeys): number => Math.max(...keys.epochs)

  async function search(
    scorer: Scorer,
    name: string,
    queries: readonly QueryVector[],
    { onTimings, ...options }: HolderSearchOptions,
  ): Promise<readonly (readonly Hit[])[]> {
    const { signal, timeoutMs } = options
    const state = await scorer.collection(name, { signal, timeoutMs })
    const keys = ring.collection(state)
    requireSafe(keys.geometry, 'symmetric')
    const cache = {
      get: () => tails.get(state.info.id),
      set: (tail: OpenTail) => void tails.set(state.info.id, tail),
    }
    return searchCollection(scorer, keys, queries, options, cache, onTimings)
  }

  return {
    epochs: ring.epochs,
    async createCollection(store, create) {
      const info = describe(create)
      const epoch: KeyEpoch = ring.check(info, ring.newest)
      await store.createCollection(info, epoch)
      return info
    },
    async ingest(store, name) {
      const keys = await opened(store, name, false)
      const epoch = writes(keys)
      const settle = async () => {
        await sealTail(store, await opened(store, name, false), epoch)
      }
      return ingestWith(store, await keys.sealer(epoch), { settle })
    },
    async ingestKit(store, name) {
      const keys = await opened(store, name, false)
      requireSafe(keys.geometry, 'public-key')
      const epoch = writes(keys)
      return ingestKit(keys.info, keys.derived(epoch), (await keys.cipher(epoch)).publicKey())
    },
    async search(scorer, name, query, searchOptions) {
      const [hits = []] = await search(scorer, name, [query], searchOptions)
      return hits
    },
    searchMany: search,
    async get(store, name, ids) {
      const keys = await opened(store, name, false)
      const tokens = ids.flatMap((id) => keys.tokens(id))
      const found = await store.find(name, tokens)
      const items: (Item | undefined)[] = []
      for (const at of ids.keys()) {
        const of = found.slice(at * keys.epochs.length, (at + 1) * keys.epochs.length)
        const record = of.findLast((one) => one !== undefined)
        items.push(record === undefined ? undefined : await keys.open(record))
      }
      return items
    },
    async delete(store, name, ids) {
      const keys = await opened(store, name, false)
      const { deleted } = await store.commit(name, { delete: ids.flatMap((id) => keys.tokens(id)) })
      return deleted
    },
    async compact(store, name, compactOptions) {
      const keys = await opened(store, name, false)
      return compact(store, keys, writes(keys), compactOptions)
    },
    async rotate(store, name, rotateOptions) {
      return rotate(store, await opened(store, name, true), ring.newest, rotateOptions)
    },
    async *verify(store, name, verifyOptions) {
      yield* verifyCollection(store, await opened(store, name, false), verifyOptions)
    },
    async *items(store, name) {
      const keys = await opened(store, name, false)
      for await (const record of store.all(name)) yield await keys.open(record)
    },
    async [Symbol.asyncDispose]() {
      ring[Symbol.dispose]()
      tails.clear()
    },
  }
}
