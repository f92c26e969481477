/**
 * The scorer in this process: reads ciphertexts from a store and lets the kernel multiply them. It holds
 * no key and imports nothing that could.
 */
import { totalmem } from 'node:os'

import { EmbeddingError } from '../errors.ts'
import { checkCiphertexts } from './ciphertext-format.ts'
import { callSignal, throwIfEnded } from './deadline.ts'
import { type Geometry, geometryOf } from './parameters.ts'
import { type CollectionBlocks, residentSet } from './resident-set.ts'
import { type KernelPath, createKernel } from './scan-kernel.ts'
import type { EmbeddingStore, Partition } from './store.ts'
import type {
  BlockScores,
  CallOptions,
  CollectionState,
  EncryptedQuery,
  Scan,
  ScanRequest,
  Scorer,
} from './types.ts'

/** How often a snapshot of blocks and tail is tried while writers change both. */
const SNAPSHOT_TRIES = 8

/** For {@link createScorer}. */
export interface ScorerOptions {
  /** Stays the caller's to close. */
  readonly store: EmbeddingStore
  /** Threads of the kernel; default: one per available core. */
  readonly threads?: number
  /** Kernel; default: the fastest this CPU runs. */
  readonly path?: KernelPath
  /** Bound on expanded blocks in memory; default: half of the machine's memory. */
  readonly maxResidentBytes?: number
  /** Scan only these blocks. */
  readonly partition?: Partition
}

/** A scorer in this process. */
export interface LocalScorer extends Scorer {
  /** Bytes of expanded blocks kept between scans. */
  readonly residentBytes: number
  /** Reads and expands the blocks of a collection, so that the first scan is as fast as the next. */
  warm(name: string, options?: CallOptions): Promise<void>
  /**
   * Scores of the blocks that are named, for a caller who has read the state of the collection: a worker
   * of a distributed scan.
   * @throws EmbeddingError as `scan`; COLLECTION_CHANGED when a block is gone.
   */
  scores(
    name: string,
    queries: readonly EncryptedQuery[],
    blocks: readonly number[],
    options?: CallOptions,
  ): AsyncGenerator<BlockScores>
}

interface Opened {
  readonly state: CollectionState
  readonly geometry: Geometry
  readonly blocks: CollectionBlocks
}

/** @throws EmbeddingError KERNEL_UNAVAILABLE for a kernel this CPU does not run (on first use). */
export function createScorer(options: ScorerOptions): LocalScorer {
  const { store, partition } = options
  const resident = residentSet(store, options.maxResidentBytes ?? Math.floor(totalmem() / 2))
  /** Epoch by block, by collection id, as of a sequence: blocks do not change under their number. */
  const epochs = new Map<string, { sequence: number; byBlock: ReadonlyMap<number, number> }>()
  let closed = false

  async function open(name: string): Promise<Opened> {
    if (closed) throw new EmbeddingError('CLOSED', 'the scorer is closed')
    const state = await store.collection(name)
    const geometry = geometryOf(state.info)
    const { path, threads } = options
    const kernel = () =>
      createKernel(geometry, {
        ...(path === undefined ? {} : { path }),
        ...(threads === undefined ? {} : { threads }),
      })
    return { state, geometry, blocks: resident.open(name, state.info.id, geometry, kernel) }
  }

  /** Epochs of all blocks of a state; frees what the collection has no longer. */
  async function epochsOf(
    { state, blocks }: Opened,
    sequence: number,
  ): Promise<ReadonlyMap<number, number>> {
    const known = epochs.get(state.info.id)
    if (known?.sequence === sequence) return known.byBlock
    const all = await store.blocks(state.info.name, partition)
    const byBlock = new Map(all.map(({ block, epoch }) => [block, epoch]))
    epochs.set(state.info.id, { sequence, byBlock })
    resident.retain(blocks, new Set(byBlock.keys()))
    return byBlock
  }

  /** Live slots and tail of one state. */
  async function snapshot(name: string, request: ScanRequest, signal: AbortSignal | undefined) {
    for (let tries = 0; tries < SNAPSHOT_TRIES; tries++) {
      throwIfEnded(signal)
      const live = await store.live(name, request.filter, partition)
      const { tailSequence } = await store.collection(name)
      if (tailSequence > live.sequence) continue
      if (tailSequence === request.knownTail) {
        return { ...live, tail: { sequence: tailSequence, records: undefined } }
      }
      const tail = await store.tail(name)
      // The tail is that of the blocks' state when it has not changed since.
      if (tail.sequence <= live.sequence) return { ...live, tail }
    }
    throw new EmbeddingError(
      'COLLECTION_CHANGED',
      'the collection changes faster than it is read',
      {
        where: name,
        hint: 'search again, or write in larger batches',
      },
    )
  }

  function checkQueries(geometry: Geometry, { queries }: ScanRequest): void {
    if (queries.length === 0) {
      throw new EmbeddingError('CIPHERTEXT_INVALID', 'a scan without a query', {
        expected: '1 or more',
      })
    }
    for (const [index, query] of queries.entries()) {
      for (const [epoch, bytes] of query) {
        const { form } = checkCiphertexts(geometry, 'query', bytes)
        if (form !== 1) {
          throw new EmbeddingError('CIPHERTEXT_INVALID', 'a query is not in its short form', {
            where: `epoch ${epoch}`,
            index,
          })
        }
      }
    }
  }

  async function* scores(
    opened: Opened,
    sequence: number,
    live: ReadonlyMap<number, Uint8Array>,
    request: ScanRequest,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<BlockScores> {
    const epochOf = await epochsOf(opened, sequence)
    const byEpoch = Map.groupBy(live.keys(), (block) => epochOf.get(block))
    for (const [epoch, numbers] of byEpoch) {
      if (epoch === undefined) {
        throw new EmbeddingError('COLLECTION_CHANGED', 'blocks were removed during the scan', {
          where: opened.state.info.name,
          hint: 'scan again',
        })
      }
      const queries = request.queries.map((query, index) => {
        const bytes = query.get(epoch)
        if (bytes !== undefined) return bytes
        throw new EmbeddingError('EPOCH_UNKNOWN', 'no query for an epoch that has blocks', {
          where: `epoch ${epoch}`,
          index,
        })
      })
      const use = async (batch: Parameters<Parameters<typeof resident.inBatches>[3]>[0]) => {
        throwIfEnded(signal)
        const all = await opened.blocks.kernel.scan(
          [...batch.values()],
          queries,
          signal === undefined ? {} : { signal },
        )
        return [...batch.keys()].map((block, at) => ({
          block,
          epoch,
          live: live.get(block) ?? new Uint8Array(),
          results: all[at] ?? [],
        }))
      }
      for await (const done of resident.inBatches(opened.blocks, numbers, signal, use)) yield* done
    }
  }

  return {
    get residentBytes() {
      return resident.bytes
    },
    async collection(name, call) {
      throwIfEnded(callSignal(call))
      return (await open(name)).state
    },
    async scan(name, request, call): Promise<Scan> {
      const signal = callSignal(call)
      const opened = await open(name)
      checkQueries(opened.geometry, request)
      const { sequence, tail, blocks } = await snapshot(name, request, signal)
      return { sequence, tail, blocks: scores(opened, sequence, blocks, request, signal) }
    },
    async *scores(name, queries, blocks, call) {
      const signal = callSignal(call)
      const opened = await open(name)
      const request = { queries }
      checkQueries(opened.geometry, request)
      const named = new Map(blocks.map((block) => [block, new Uint8Array()]))
      yield* scores(opened, opened.state.sequence, named, request, signal)
    },
    async records(name, places, call) {
      throwIfEnded(callSignal(call))
      return store.records(name, places)
    },
    async warm(name, call) {
      const signal = callSignal(call)
      const opened = await open(name)
      const numbers = (await store.blocks(name, partition)).map(({ block }) => block)
      const all = resident.inBatches(opened.blocks, numbers, signal, () => Promise.resolve())
      while ((await all.next()).done !== true) throwIfEnded(signal)
    },
    [Symbol.asyncDispose]() {
      closed = true
      resident.close()
      return Promise.resolve()
    },
  }
}
