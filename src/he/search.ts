/**
 * Two-stage search. The scorer multiplies the encrypted query with every vector; the key holder decrypts
 * the integer scores, takes the best few more than asked for, opens their records and ranks them exactly.
 * Each of those must have the very score that its record gives: a block, slot or record that was swapped or
 * changed is found here, before it can become a hit. A record and its slot that were put back together, as they
 * were before a deletion or replacement, are not told from those of today.
 */
import { EmbeddingError } from '../errors.ts'
import { type CandidateList, candidateList } from './candidates.ts'
import { callSignal, throwIfEnded } from './deadline.ts'
import { checkMetadata, matches } from './item.ts'
import type { CollectionKeys } from './keyring.ts'
import { packQuery, unpackScores } from './packing.ts'
import { exactScore, quantiseQuery, quantiseVector } from './quantise.ts'
import type { OpenedRecord } from './record.ts'
import { slices } from './slices.ts'
import type {
  CallOptions,
  EncryptedQuery,
  FilterCondition,
  Metadata,
  MetadataValue,
  Metric,
  Place,
  Scan,
  ScanTail,
  Scorer,
} from './types.ts'

/** A vector to search with. */
export type QueryVector = Float32Array | Float64Array | readonly number[]

/** One found vector. */
export interface Hit {
  readonly id: string
  /** Rounded: cosine to 4 decimals, others to 5 significant digits. */
  readonly score: number
  /** With {@link SearchOptions.withMetadata}. */
  readonly metadata?: Metadata
}

/** For a search. */
export interface SearchOptions extends CallOptions {
  /** Hits wanted, 1 or more. */
  readonly k: number
  /** Values by field; all fields must match, each any of its values. Only fields of the collection. */
  readonly filter?: Readonly<Record<string, MetadataValue | readonly MetadataValue[]>> | undefined
  /** Vectors that are ranked exactly; default 3 k, at least k + 20. */
  readonly overFetch?: number | undefined
  readonly withMetadata?: boolean | undefined
}

/** Milliseconds of each stage, and what it read. */
export interface SearchTimings {
  readonly encryptMs: number
  readonly scanMs: number
  readonly decryptMs: number
  readonly rerankMs: number
  readonly blocks: number
}

/** The tail in clear, kept between searches of one collection. */
export interface OpenTail {
  readonly sequence: number
  readonly records: readonly VersionedRecord[]
}

/** With the version its store gave it: of two records of one id, the later one counts. */
type VersionedRecord = OpenedRecord & { readonly version: number }

type FilterValues = ReadonlyMap<string, readonly MetadataValue[]>

const TRIES = 8

/** Where a tail is kept between searches. */
export interface TailCache {
  get(): OpenTail | undefined
  set(tail: OpenTail): void
}

function positive(value: number, name: string): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new EmbeddingError('LIMIT_EXCEEDED', `${name} is not a positive integer`, {
    where: name,
    expected: 'an integer, 1 or more',
    got: String(value),
  })
}

function filterValues(keys: CollectionKeys, filter: SearchOptions['filter']): FilterValues {
  const values = new Map<string, readonly MetadataValue[]>()
  // A function or a Map has no entries: it would filter nothing out.
  const kind = Object.prototype.toString.call(filter ?? {})
  if (kind !== '[object Object]') {
    throw new EmbeddingError('FILTER_INVALID', 'a filter is an object of fields and values', {
      where: 'filter',
      expected: '{ field: value } or { field: [value, ...] }',
      got: kind.slice('[object '.length, -1),
    })
  }
  for (const [field, wanted] of Object.entries(filter ?? {})) {
    if (!keys.info.fields.includes(field)) {
      throw new EmbeddingError('FILTER_INVALID', 'not a field that can be filtered on', {
        where: field,
        expected: keys.info.fields.join(', ') || 'no filter: the collection has no fields',
      })
    }
    const list = Array.isArray(wanted)
      ? (wanted as readonly MetadataValue[])
      : [wanted as MetadataValue]
    if (list.length === 0) {
      throw new EmbeddingError('FILTER_INVALID', 'a filter without values matches nothing', {
        where: field,
      })
    }
    for (const value of list) checkMetadata({ [field]: value })
    values.set(field, list)
  }
  return values
}

const rounded = (metric: Metric, score: number): number =>
  (metric === 'cosine' ? Number(score.toFixed(4)) : Number(score.toPrecision(5))) + 0

interface Query {
  readonly vector: Float64Array
  readonly integers: Int32Array
  readonly candidates: CandidateList
}

/** One search of several queries in one scan. Throws as {@link KeyHolder.search} does. */
export async function searchCollection(
  scorer: Scorer,
  keys: CollectionKeys,
  vectors: readonly QueryVector[],
  options: SearchOptions,
  cache: TailCache,
  onTimings?: (timings: SearchTimings) => void,
): Promise<readonly (readonly Hit[])[]> {
  const k = positive(options.k, 'k')
  const wide = Math.max(k, positive(options.overFetch ?? Math.max(3 * k, k + 20), 'overFetch'))
  const signal = callSignal(options)
  const call = signal === undefined ? {} : { signal }
  const { geometry, info } = keys
  const wanted = filterValues(keys, options.filter)
  const filter = [...wanted].map(([field, values]): FilterCondition => ({
    field,
    anyOf: values.flatMap((value) => keys.filterTokens(field, value)),
  }))
  if (vectors.length === 0) return []

  let mark = performance.now()
  const lap = (): number => {
    const before = mark
    mark = performance.now()
    return mark - before
  }
  const quantised = vectors.map((vector, index) => ({
    // First, since it refuses what is no vector.
    integers: quantiseQuery(geometry, info.maxNorm, vector, index),
    vector: Float64Array.from(vector),
  }))
  const encrypted: EncryptedQuery[] = []
  for (const { integers } of quantised) {
    const coefficients = packQuery(geometry, integers)
    const byEpoch = new Map<number, Uint8Array>()
    for (const epoch of keys.epochs) {
      throwIfEnded(signal)
      byEpoch.set(epoch, await (await keys.cipher(epoch)).encrypt(coefficients, 'query'))
    }
    encrypted.push(byEpoch)
  }
  const encryptMs = lap()

  /** Decrypts a scan into candidates, as it comes. */
  async function decrypt(scan: Scan, queries: readonly Query[]) {
    let blocks = 0
    let scanMs = 0
    let decryptMs = 0
    const slice = slices()
    for await (const { block, epoch, live, results } of scan.blocks) {
      scanMs += lap()
      throwIfEnded(signal)
      if (
        results.length !== queries.length ||
        live.length > Math.ceil(geometry.vectorsPerBlock / 8)
      ) {
        throw new EmbeddingError('SCORES_INVALID', 'the scorer\u2019s answer has another shape', {
          where: `block ${block}`,
        })
      }
      const cipher = await keys.cipher(epoch)
      for (const [index, result] of results.entries()) {
        const scores = unpackScores(geometry, cipher.decryptResult(result))
        queries[index]?.candidates.offer(block, scores, live)
        await slice()
      }
      blocks++
      decryptMs += lap()
    }
    return { blocks, scanMs: scanMs + lap(), decryptMs }
  }

  /** @param known - what the scorer was told to be known; another search may have a newer one by now. */
  async function openTail(tail: ScanTail, known: OpenTail | undefined): Promise<OpenTail> {
    if (tail.records === undefined) {
      if (known?.sequence === tail.sequence) return known
      throw new EmbeddingError(
        'SCORES_INVALID',
        'the scorer left out a tail it has not sent before',
      )
    }
    const records: VersionedRecord[] = []
    const slice = slices()
    for (const record of tail.records) {
      records.push({ ...(await keys.open(record)), version: record.version })
      await slice()
      throwIfEnded(signal)
    }
    const opened = { sequence: tail.sequence, records }
    cache.set(opened)
    return opened
  }

  /** Opens the candidates' records; undefined when one has moved since the scan. */
  async function openCandidates(queries: readonly Query[]) {
    const found = new Map<string, Place>()
    for (const { candidates } of queries) {
      for (const { block, slot } of candidates.best())
        found.set(`${block} ${slot}`, { block, slot })
    }
    // In an order of their own: the candidates' says which one is nearest.
    const places = [...found.values()].sort((a, b) => a.block - b.block || a.slot - b.slot)
    const stored = places.length === 0 ? [] : await scorer.records(info.name, places, call)
    const opened = new Map<string, VersionedRecord & { readonly integers: Int32Array }>()
    for (const [at, { block, slot }] of places.entries()) {
      const record = stored[at]
      if (record === undefined) return undefined
      const item = await keys.open(record)
      const integers = quantiseVector(geometry, info.maxNorm, item.vector)
      opened.set(`${block} ${slot}`, { ...item, version: record.version, integers })
    }
    return opened
  }

  function rank(
    query: Query,
    opened: NonNullable<Awaited<ReturnType<typeof openCandidates>>>,
    tail: OpenTail,
  ): Hit[] {
    const found = new Map<string, { score: number; metadata: Metadata; version: number }>()
    const add = ({ id, vector, metadata, version }: VersionedRecord): void => {
      // The holder of a kit may not have said what a record replaces.
      if ((found.get(id)?.version ?? -1) > version) return
      const score = exactScore(info.metric, query.vector, vector)
      found.set(id, { score, metadata, version })
    }
    for (const { block, slot, score } of query.candidates.best()) {
      const item = opened.get(`${block} ${slot}`)
      const expected = item?.integers.reduce((sum, x, i) => sum + x * (query.integers[i] ?? 0), 0)
      if (item === undefined || expected !== score || !matches(item.metadata, wanted)) {
        throw new EmbeddingError(
          'SCORES_INVALID',
          'a score is not that of the record in its place',
          {
            where: `${info.name}, block ${block}, slot ${slot}`,
            hint: 'blocks or records were changed or exchanged: run keyrite embeddings verify',
          },
        )
      }
      add(item)
    }
    for (const item of tail.records) if (matches(item.metadata, wanted)) add(item)
    const sign = info.metric === 'squared-l2' ? 1 : -1
    return [...found]
      .sort(([a, one], [b, two]) => sign * (one.score - two.score) || (a < b ? -1 : 1))
      .slice(0, k)
      .map(([id, { score, metadata }]) => ({
        id,
        score: rounded(info.metric, score),
        ...(options.withMetadata === true ? { metadata } : {}),
      }))
  }

  for (let tries = 1; ; tries++) {
    const queries = quantised.map((query) => ({ ...query, candidates: candidateList(wide) }))
    const known = cache.get()
    try {
      const scan = await scorer.scan(
        info.name,
        { queries: encrypted, filter, ...(known ? { knownTail: known.sequence } : {}) },
        call,
      )
      const { blocks, scanMs, decryptMs } = await decrypt(scan, queries)
      const tail = await openTail(scan.tail, known)
      const opened = await openCandidates(queries)
      if (opened !== undefined) {
        const hits = queries.map((query) => rank(query, opened, tail))
        onTimings?.({ encryptMs, scanMs, decryptMs, rerankMs: lap(), blocks })
        return hits
      }
    } catch (error) {
      const changed = error instanceof EmbeddingError && error.code === 'COLLECTION_CHANGED'
      if (!changed || tries >= TRIES) throw error
    }
    if (tries >= TRIES) {
      throw new EmbeddingError(
        'COLLECTION_CHANGED',
        'vectors keep moving between scan and ranking',
        {
          where: info.name,
          hint: 'search again when the compaction or rotation has slowed down',
        },
      )
    }
  }
}
