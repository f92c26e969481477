/**
 * The embedded store: a directory with an SQLite index and append-only segment files. Any number of
 * handles and processes read, one writes. See `embedded-directory.ts` for what is where,
 * `embedded-writer.ts` for how a write becomes durable, `segment-reclaim.ts` for how space comes back.
 */
import { join } from 'node:path'

import { EmbeddingError } from '../errors.ts'
import type { EmbeddingStore, StoreFault } from './store.ts'
import { checkPartition, checkToken } from './store-check.ts'
import { prepareDirectory, SEGMENT_FOLDER } from './embedded-directory.ts'
import { blockInfos, liveSlots, readBlock, readRecords } from './embedded-reads.ts'
import { verifyEmbedded } from './embedded-verify.ts'
import { createWriter } from './embedded-writer.ts'
import { openIndex } from './sqlite-index.ts'
import { collectionRow, RECORDS, type RecordRow, stateOf } from './sqlite-rows.ts'

/** Length that segment files are kept to, in bytes. */
const SEGMENT_BYTES = 256 << 20
/** Records that are read at a time. */
const PAGE_ROWS = 512

/** How to open an embedded store. */
export interface EmbeddedStoreOptions {
  /** Make the directory and the store if there is none. */
  readonly create?: boolean | undefined
  /** Never write and never take the lock. Without it the lock is taken by the first write. */
  readonly readOnly?: boolean | undefined
  /** Length that segment files are kept to, in bytes; 256 MiB unless told. */
  readonly segmentBytes?: number | undefined
  /** Called with what was put right after a crash, and with space that could not be given back. */
  readonly onNotice?: ((what: StoreFault) => void) | undefined
}

/**
 * Opens the store in a directory.
 * @throws EmbeddingError STORE_UNAVAILABLE when there is none, STORE_INVALID when it is damaged or of another
 * version; ConfigError when the path is something else; StorageError.
 */
export async function openEmbeddedStore(
  path: string,
  options: EmbeddedStoreOptions = {},
): Promise<EmbeddingStore> {
  const readOnly = options.readOnly ?? false
  const directory = await prepareDirectory(path, (options.create ?? false) && !readOnly)
  const folder = join(directory, SEGMENT_FOLDER)
  const index = openIndex(directory, readOnly)
  const writer = createWriter(directory, index, {
    readOnly,
    segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
    notice: options.onNotice ?? (() => undefined),
  })
  let closing: Promise<void> | undefined

  const check = (): void => {
    if (closing === undefined) return
    throw new EmbeddingError('CLOSED', 'the store is closed', { where: directory })
  }
  /** A read of the index alone. */
  const now = <T>(read: () => T): Promise<T> =>
    new Promise((resolve) => {
      check()
      resolve(read())
    })

  return {
    async createCollection(info, epoch) {
      check()
      await writer.create(info, epoch)
    },
    collections: () =>
      now(() =>
        index
          .all<{ name: string }>('SELECT name FROM collection ORDER BY name')
          .map(({ name }) => name),
      ),
    collection: (name) => now(() => index.read(() => stateOf(index, name))),
    async dropCollection(name) {
      check()
      await writer.drop(name)
    },
    async commit(name, change) {
      check()
      return writer.commit(name, change)
    },

    async reclaim({ signal } = {}) {
      check()
      return writer.reclaim(signal)
    },

    blocks: (name, partition) =>
      now(() => {
        checkPartition(partition)
        return blockInfos(index, name, partition)
      }),

    async *readBlocks(name, blocks) {
      await now(() => collectionRow(index, name))
      for (const block of blocks) {
        check()
        const bytes = await readBlock(index, folder, name, block)
        if (bytes !== undefined) yield { block, bytes }
      }
    },

    live: (name, filter, partition) =>
      now(() => {
        checkPartition(partition)
        return liveSlots(index, name, filter, partition)
      }),

    async tail(name) {
      check()
      const { records, sequence } = await readRecords(index, folder, name, (collection) => ({
        rows: index.all<RecordRow>(RECORDS.tail, collection.number),
        sequence: collection.tailSequence,
      }))
      return { sequence, records: records.filter((record) => record !== undefined) }
    },

    async records(name, places) {
      check()
      const { records } = await readRecords(index, folder, name, ({ number }) => ({
        rows: places.map(({ block, slot }) =>
          index.get<RecordRow>(RECORDS.byPlace, number, block, slot),
        ),
      }))
      return records
    },

    async find(name, tokens) {
      check()
      for (const [at, token] of tokens.entries()) checkToken(token, `tokens[${at}]`)
      const { records } = await readRecords(index, folder, name, ({ number }) => ({
        rows: tokens.map((token) => index.get<RecordRow>(RECORDS.byToken, number, token)),
      }))
      return records
    },

    async *all(name, { after = 0, epoch } = {}) {
      for (let from = after; ;) {
        check()
        const { records } = await readRecords(index, folder, name, ({ number }) => ({
          rows:
            epoch === undefined
              ? index.all<RecordRow>(RECORDS.page, number, from, PAGE_ROWS)
              : index.all<RecordRow>(RECORDS.pageOfEpoch, number, from, epoch, PAGE_ROWS),
        }))
        const page = records.filter((record) => record !== undefined)
        yield* page
        const last = page.at(-1)
        if (last === undefined) return
        from = last.version
      }
    },

    async inBlock(name, block) {
      check()
      const { records } = await readRecords(index, folder, name, ({ number }) => ({
        rows: index.all<RecordRow>(RECORDS.inBlock, number, block),
      }))
      return records.filter((record) => record !== undefined)
    },

    async *verify(name) {
      await now(() => collectionRow(index, name)).catch((cause: unknown) => {
        // A damaged index is what verify is for.
        if (!(cause instanceof EmbeddingError) || cause.code !== 'STORE_INVALID') throw cause
      })
      yield* verifyEmbedded(index, folder, name)
    },

    async [Symbol.asyncDispose]() {
      closing ??= writer.close().finally(() => index.close())
      await closing
    },
  }
}
