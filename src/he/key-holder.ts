/**
 * The key holder: the one party that can decrypt. It makes collections, encrypts queries, opens scores and
 * records, and rewrites collections. It gives out ids and rounded scores, never a raw decryption.
 */
import { randomBytes } from 'node:crypto'

import { toHex } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import { type CompactOptions, type CompactReport, compact } from './compact.ts'
import { callSignal } from './deadline.ts'
import { requireSafe } from './failure.ts'
import { type Ingest, ingestWith } from './ingest.ts'
import { ingestKit } from './ingest-kit.ts'
import { type CollectionKeys, type KeySeed, createKeyring } from './keyring.ts'
import { againWhenOutdated } from './outdated.ts'
import { type PurgeOptions, purge } from './purge.ts'
import { DEFAULT_PARAMETER_SET, geometryOf, parseParameterSet } from './parameters.ts'
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
import { seal } from './seal.ts'
import type { EmbeddingStore, StoreFault } from './store.ts'
import type { CollectionInfo, CollectionState, Item, KeyEpoch, Metric, Scorer } from './types.ts'
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
  createCollection(
    store: Pick<EmbeddingStore, 'createCollection'>,
    options: CreateCollectionOptions,
  ): Promise<CollectionInfo>
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
  /** Deletes what an ingest session wrote, or what does not open; returns how many. See `purge.ts`. */
  purge(store: EmbeddingStore, name: string, options: PurgeOptions): Promise<number>
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

/** Smallest normal and largest float32: beyond them a scale leaves float64, and all scores are alike. */
const MIN_NORM = 2 ** -126
const MAX_NORM = 2 ** 128 - 2 ** 104
/** What a search meets whose keys and query were made for an earlier state of the collection. */
const OUTDATED: ReadonlySet<unknown> = new Set([
  'EPOCH_UNKNOWN',
  'RECORD_INVALID',
  'SCORES_INVALID',
  'COLLECTION_CHANGED',
])
const SEARCH_TRIES = 4
/** Does not narrow, as `Array.isArray` does to `any[]`. */
const isList = (value: unknown): boolean => Array.isArray(value)
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
  if (!(maxNorm >= MIN_NORM && maxNorm <= MAX_NORM)) {
    refuse(
      `${metric} needs a bound on the vectors\u2019 length`,
      'maxNorm',
      'a positive number, 1.2e-38 to 3.4e38 as float32 has them',
      options.maxNorm ?? 'nothing',
    )
  }
  const names = 'letters, digits, _ . -; at most 64'
  if (!isList(fields)) refuse('fields are no list', 'fields', `a list of ${names}`, fields)
  const unsound = fields.find((field) => !/^[\p{L}\p{N}_.-]{1,64}$/u.test(field))
  const twice = fields.find((field, at) => fields.indexOf(field) < at)
  if (unsound !== undefined || twice !== undefined) {
    const got = unsound ?? `${String(twice)}, twice`
    refuse('fields are not distinct names', 'fields', names, got)
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

/** Callers without types may give one id alone. @throws EmbeddingError ID_INVALID. */
function requireIds(ids: readonly string[]): void {
  if (isList(ids)) return
  throw new EmbeddingError('ID_INVALID', 'not a list of ids', {
    where: 'ids',
    expected: 'an array of texts',
    got: typeof ids,
  })
}

/**
 * Opens a key holder over the seeds of all epochs its collections still have; the newest one is used to
 * write. Wiped on dispose.
 * @throws EmbeddingError KEY_INVALID.
 */
export async function createKeyHolder(options: {
  readonly seeds: readonly KeySeed[]
}): Promise<KeyHolder> {
  // Now, so that a machine that cannot run SEAL says so before there is work.
  await seal(parseParameterSet(DEFAULT_PARAMETER_SET))
  const ring = createKeyring(options.seeds)
  /** By scorer and collection: two copies of a collection may count their changes alike. */
  let tails = new WeakMap<Scorer, Map<string, OpenTail>>()

  /** The collection's keys; an epoch newer than the collection's is announced first when it is to be written. */
  async function opened(
    store: EmbeddingStore,
    name: string,
    announce: boolean,
  ): Promise<CollectionKeys> {
    const read = () => store.collection(name)
    const state = await read()
    const keys = ring.collection(state, read)
    if (!announce || keys.epochs.includes(ring.newest)) return keys
    const collection = state.info.id
    await store.commit(name, { collection, epochs: [ring.check(state.info, ring.newest)] })
    return ring.collection(await read(), read)
  }

  /** The epoch that is written: the newest that the collection has. */
  const writes = (keys: CollectionKeys): number => Math.max(...keys.epochs)

  async function search(
    scorer: Scorer,
    name: string,
    queries: readonly QueryVector[],
    // Callers without types are told what is missing in it.
    { onTimings, ...options }: HolderSearchOptions = {} as HolderSearchOptions,
    tries = 1,
  ): Promise<readonly (readonly Hit[])[]> {
    // One time for all tries.
    const signal = callSignal(options)
    const read = () => scorer.collection(name, { signal, timeoutMs: options.timeoutMs })
    const state = await read()
    const keys = ring.collection(state, read)
    requireSafe(keys.geometry, 'symmetric')
    const own = tails.get(scorer) ?? new Map<string, OpenTail>()
    tails.set(scorer, own)
    const cache = {
      get: () => own.get(state.info.id),
      set: (tail: OpenTail) => void own.set(state.info.id, tail),
    }
    /** Whether a rotation began or ended, or the collection was made anew, since its state was read. */
    const rekeyed = ({ info, epochs }: CollectionState): boolean => {
      const now = epochs.map(({ epoch }) => epoch).sort((a, b) => a - b)
      return info.id !== state.info.id || now.join() !== keys.epochs.join()
    }
    const changed = (now: CollectionState) => now.sequence !== state.sequence || rekeyed(now)
    let found: readonly (readonly Hit[])[] | undefined
    try {
      found = await searchCollection(
        scorer,
        keys,
        queries,
        { ...options, signal },
        cache,
        onTimings,
      )
    } catch (error) {
      const stale = error instanceof EmbeddingError && OUTDATED.has(error.code)
      if (!stale || tries >= SEARCH_TRIES || !changed(await read())) throw error
    }
    // Records of an epoch that no filter token was made for would not be found.
    const partial = options.filter !== undefined && tries < SEARCH_TRIES && rekeyed(await read())
    if (found !== undefined && !partial) return found
    return search(scorer, name, queries, { ...options, signal, onTimings }, tries + 1)
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
      // Read anew for each change: a rotation may have begun.
      const current = async () => {
        const keys = await opened(store, name, false)
        return keys.sealer(writes(keys))
      }
      const settle = () =>
        againWhenOutdated(async () => {
          const keys = await opened(store, name, false)
          await sealTail(store, keys, writes(keys))
        })
      return ingestWith(store, await current(), { current, settle })
    },
    async ingestKit(store, name) {
      const keys = await opened(store, name, false)
      requireSafe(keys.geometry, 'public-key')
      const epoch = writes(keys)
      const publicKey = (await keys.cipher(epoch)).publicKey()
      const before = keys.epochs.filter((one) => one < epoch).map((one) => keys.derived(one))
      return ingestKit(keys.info, keys.derived(epoch), before, publicKey)
    },
    async search(scorer, name, query, searchOptions) {
      const [hits = []] = await search(scorer, name, [query], searchOptions)
      return hits
    },
    searchMany: (scorer, name, queries, searchOptions) =>
      search(scorer, name, queries, searchOptions),
    async get(store, name, ids) {
      requireIds(ids)
      const keys = await opened(store, name, false)
      const tokens = ids.flatMap((id) => keys.tokens(id))
      const found = await store.find(name, tokens)
      const items: (Item | undefined)[] = []
      for (const at of ids.keys()) {
        const of = found.slice(at * keys.epochs.length, (at + 1) * keys.epochs.length)
        // Of several epochs: as rotation will have it.
        const latest = Math.max(...of.map((one) => one?.version ?? -1))
        const record = of.find((one) => one?.version === latest)
        items.push(record === undefined ? undefined : await keys.open(record))
      }
      return items
    },
    async delete(store, name, ids) {
      requireIds(ids)
      const keys = await opened(store, name, false)
      const { deleted } = await store.commit(name, {
        collection: keys.info.id,
        delete: ids.flatMap((id) => keys.tokens(id)),
      })
      return deleted
    },
    async purge(store, name, purgeOptions) {
      return purge(store, await opened(store, name, false), purgeOptions)
    },
    compact: (store, name, compactOptions) =>
      againWhenOutdated(async () => {
        const keys = await opened(store, name, false)
        return compact(store, keys, writes(keys), compactOptions)
      }),
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
    [Symbol.asyncDispose]() {
      ring[Symbol.dispose]()
      tails = new WeakMap()
      return Promise.resolve()
    },
  }
}
