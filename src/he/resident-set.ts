/**
 * Blocks in memory, expanded and arranged for the kernel, up to a bound. Blocks beyond it are read and
 * expanded for one scan at a time: a scan reads every block in turn, so that exchanging the oldest one
 * for the newest would make every read a miss.
 */
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import { type ResidentBlock, type ScanKernel, residentBytes } from './scan-kernel.ts'
import type { EmbeddingStore } from './store.ts'
import { throwIfEnded } from './deadline.ts'

/** Most blocks in one call of the kernel: its results stay near 10 MB per query. */
const BATCH_BLOCKS = 256
/** Most bytes that are expanded for one scan only. */
const PASSING_BYTES = 2 ** 28

/** The blocks of one collection. */
export interface CollectionBlocks {
  readonly name: string
  readonly kernel: ScanKernel
  readonly blockBytes: number
  readonly kept: Map<number, ResidentBlock>
}

/** See the file's comment. */
export interface ResidentSet {
  /** Bytes of expanded blocks kept between scans. */
  readonly bytes: number
  open(name: string, id: string, geometry: Geometry, kernel: () => ScanKernel): CollectionBlocks
  /** Frees kept blocks that a collection has no longer. */
  retain(collection: CollectionBlocks, blocks: ReadonlySet<number>): void
  /**
   * Runs `use` on the blocks, batch by batch; a batch is in memory while `use` runs.
   * @throws EmbeddingError COLLECTION_CHANGED when a block is gone.
   */
  inBatches<T>(
    collection: CollectionBlocks,
    blocks: readonly number[],
    signal: AbortSignal | undefined,
    use: (batch: ReadonlyMap<number, ResidentBlock>) => Promise<T>,
  ): AsyncGenerator<T>
  close(): void
}

/** @throws EmbeddingError LIMIT_EXCEEDED when the bound is too small for one block (on use). */
export function residentSet(store: EmbeddingStore, maxBytes: number): ResidentSet {
  const passing = Math.min(PASSING_BYTES, maxBytes / 4)
  /** In order of use, oldest first. */
  const collections = new Map<string, CollectionBlocks & { readonly id: string }>()
  let bytes = 0
  let turn: Promise<unknown> = Promise.resolve()

  /** One at a time: who loads, so that two scans do not expand one block twice or exceed the bound. */
  async function alone<T>(action: () => Promise<T>): Promise<T> {
    const before = turn
    const { promise, resolve } = Promise.withResolvers<undefined>()
    turn = promise
    await before
    try {
      return await action()
    } finally {
      resolve(undefined)
    }
  }

  function forget(collection: CollectionBlocks, block: number): void {
    const resident = collection.kept.get(block)
    if (resident === undefined) return
    collection.kept.delete(block)
    bytes -= resident.bytes
    resident.free()
  }

  function clear(collection: CollectionBlocks): void {
    for (const block of collection.kept.keys()) forget(collection, block)
  }

  /** Makes room for a block at the cost of other collections, the longest unused first. */
  function roomFor(collection: CollectionBlocks): boolean {
    const fits = () => bytes + collection.blockBytes <= maxBytes - passing
    for (const other of collections.values()) {
      if (fits()) return true
      if (other === collection) continue
      for (const block of other.kept.keys()) {
        if (fits()) return true
        forget(other, block)
      }
    }
    return fits()
  }

  /** Reads and expands, several at a time; the caller owns what comes. */
  async function load(
    collection: CollectionBlocks,
    blocks: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<Map<number, ResidentBlock>> {
    const loaded = new Map<number, ResidentBlock>()
    const running = new Set<Promise<void>>()
    let failure: { readonly error: unknown } | undefined
    try {
      for await (const { block, bytes: sealed } of store.readBlocks(collection.name, blocks)) {
        throwIfEnded(signal)
        const job = collection.kernel.load(sealed).then(
          (resident) => void loaded.set(block, resident),
          (error: unknown) => void (failure ??= { error }),
        )
        const done = job.finally(() => running.delete(done))
        running.add(done)
        if (running.size > collection.kernel.threads) await Promise.race(running)
        if (failure !== undefined) break
      }
      await Promise.all(running)
      if (failure !== undefined) throw failure.error
      if (loaded.size < blocks.length) {
        throw new EmbeddingError('COLLECTION_CHANGED', 'blocks were removed during the scan', {
          where: collection.name,
          hint: 'scan again',
        })
      }
      return loaded
    } catch (error) {
      await Promise.all(running)
      for (const resident of loaded.values()) resident.free()
      throw error
    }
  }

  /** Expands what is missing and may stay; says what has to pass. */
  async function keep(
    collection: CollectionBlocks,
    blocks: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<readonly number[]> {
    const missing = blocks.filter((block) => !collection.kept.has(block))
    for (let at = 0; at < missing.length; at += BATCH_BLOCKS) {
      const fitting: number[] = []
      const batch = missing.slice(at, at + BATCH_BLOCKS)
      for (const block of batch) {
        if (!roomFor(collection)) break
        bytes += collection.blockBytes
        fitting.push(block)
      }
      bytes -= fitting.length * collection.blockBytes
      const loaded = await load(collection, fitting, signal)
      // Nobody would free what is kept for a collection that was made anew, or after the end.
      if (collections.get(collection.name) !== collection) {
        for (const resident of loaded.values()) resident.free()
        throw new EmbeddingError('COLLECTION_CHANGED', 'the collection is another one by now', {
          where: collection.name,
          hint: 'scan again',
        })
      }
      for (const [block, resident] of loaded) {
        collection.kept.set(block, resident)
        bytes += resident.bytes
      }
      if (fitting.length < batch.length) return missing.slice(at + fitting.length)
    }
    return []
  }

  return {
    get bytes() {
      return bytes
    },
    open(name, id, geometry, kernel) {
      const known = collections.get(name)
      collections.delete(name)
      if (known?.id === id) {
        collections.set(name, known)
        return known
      }
      if (known !== undefined) clear(known)
      const blockBytes = residentBytes(geometry)
      if (blockBytes > passing) {
        throw new EmbeddingError('LIMIT_EXCEEDED', 'a block does not fit the memory bound', {
          where: name,
          expected: `maxResidentBytes of at least ${blockBytes * 4}`,
          got: String(maxBytes),
        })
      }
      const opened = { name, id, kernel: kernel(), blockBytes, kept: new Map() }
      collections.set(name, opened)
      return opened
    },
    retain(collection, blocks) {
      for (const block of collection.kept.keys()) {
        if (!blocks.has(block)) forget(collection, block)
      }
    },
    async *inBatches(collection, blocks, signal, use) {
      const passed = new Set(await alone(() => keep(collection, blocks, signal)))
      const here = blocks.filter((block) => !passed.has(block))
      for (let at = 0; at < here.length; at += BATCH_BLOCKS) {
        const batch = new Map<number, ResidentBlock>()
        for (const block of here.slice(at, at + BATCH_BLOCKS)) {
          const resident = collection.kept.get(block)
          // Another collection may have taken the room since.
          if (resident === undefined) passed.add(block)
          else batch.set(block, resident)
        }
        if (batch.size > 0) yield await use(batch)
      }
      const step = Math.min(BATCH_BLOCKS, Math.floor(passing / collection.blockBytes))
      const others = [...passed]
      for (let at = 0; at < others.length; at += step) {
        yield await alone(async () => {
          const batch = await load(collection, others.slice(at, at + step), signal)
          try {
            return await use(batch)
          } finally {
            for (const resident of batch.values()) resident.free()
          }
        })
      }
    },
    close() {
      for (const collection of collections.values()) clear(collection)
      collections.clear()
    },
  }
}
