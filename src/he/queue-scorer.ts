/**
 * The key holder's side of the scan workers: reads one state of a collection, queues its blocks, and gives
 * the encrypted scores as they come. It holds no key. Blocks never change, so that results belong to the
 * state that was read, however the collection goes on; only the removal of a block ends a scan, with
 * COLLECTION_CHANGED, and the search begins anew.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { toHex } from '../bytes.ts'
import { EmbeddingError, type EmbeddingErrorCode } from '../errors.ts'
import { checkCiphertexts } from './ciphertext-format.ts'
import { callSignal, endedError, throwIfEnded } from './deadline.ts'
import { geometryOf } from './parameters.ts'
import type { Database } from './postgres-connection.ts'
import { isConnectionLost } from './postgres-error.ts'
import {
  type LiveSlots,
  readCollection,
  readLive,
  readPlaces,
  readState,
  readTail,
} from './postgres-read.ts'
import type { CollectionRow } from './postgres-row.ts'
import { prepareSchema } from './postgres-schema.ts'
import { FINAL_CODES, type JobStatus, READ_ROWS, type ScanQueue, scanQueue } from './scan-queue.ts'
import { type Wakeups, listenFor } from './scan-queue-wakeup.ts'
import type {
  BlockScores,
  CallOptions,
  EncryptedQuery,
  ScanRequest,
  ScanTail,
  Scorer,
} from './types.ts'

/** For {@link queueScorer}. */
export interface QueueScorerOptions {
  /** See `openPostgresStore`. The role needs SELECT on the store and all rights on the scan_* tables. */
  readonly url: string
  readonly schema?: string | undefined
  /** Connections at most; a scan holds none while it waits. Default 8. */
  readonly poolSize?: number | undefined
  /**
   * Tasks per scan; at least as many as there are workers. Default: by the size of the collection: 2 for 10,000
   * vectors of 768 dimensions, 8 for 100,000, 16 for a million.
   */
  readonly partitions?: number | undefined
  /** Longest wait between two looks when no notification comes; default 1,000. */
  readonly pollMs?: number | undefined
}

const MOST_PARTITIONS = 10_000
/** How often missing blocks are queued again: after a crash of the server, or of a transfer. */
const REQUEUES = 3
/** How often the end of a job is put off. */
const PROLONG_MS = 4000
/** How long results are waited for while the server cannot be reached. */
const RECONNECT_MS = 20_000
const RETRY_MS = 250

/** One scan under way. */
interface Running {
  readonly row: CollectionRow
  readonly queries: readonly EncryptedQuery[]
  readonly live: LiveSlots
  readonly deadline: number | undefined
  readonly signal: AbortSignal | undefined
}

interface Parts {
  readonly queue: ScanQueue
  readonly wakeups: Wakeups
  readonly reply: string
  readonly partitions: number | undefined
  readonly pollMs: number
  /** Jobs whose notifications are of interest. */
  readonly jobs: Set<string>
}

/** The error a worker wrote down. */
function taskError(text: string): EmbeddingError {
  const { code, message } = JSON.parse(text) as { code: EmbeddingErrorCode; message: string }
  return new EmbeddingError(FINAL_CODES.has(code) ? code : 'UNAVAILABLE', message, {
    where: 'scan worker',
    hint: code === 'COLLECTION_CHANGED' ? 'search again' : undefined,
  })
}

function checkStatus({ error, given_up: givenUp }: JobStatus): void {
  if (error !== null) throw taskError(error)
  if (givenUp === 0) return
  throw new EmbeddingError('UNAVAILABLE', 'no scan worker finished a part of the scan', {
    got: `${givenUp} parts given up`,
    hint: 'look at the log of the workers: memory, store and kernel',
  })
}

/** Waits out a lost connection; what it repeats may be done twice. */
async function patiently<T>(signal: AbortSignal | undefined, action: () => Promise<T>): Promise<T> {
  const until = performance.now() + RECONNECT_MS
  for (;;) {
    try {
      return await action()
    } catch (error) {
      if (!isConnectionLost(error) || performance.now() > until) throw error
      throwIfEnded(signal)
      await sleep(RETRY_MS)
    }
  }
}

/**
 * Tasks by default: with the collection both their number and their size grow, since a task costs as much as the
 * scan of some 10 blocks. By all blocks, whatever the filter, and a power of two: a block keeps its task, and so
 * the worker that has it in memory, until the collection has four times as many.
 */
export function partitionsFor(blocks: number): number {
  let count = 1
  while (blocks >= 4 * (2 * count) ** 2 && count < MOST_PARTITIONS / 2) count *= 2
  return count
}

async function submit(parts: Parts, running: Running, blocks: Iterable<number>): Promise<number> {
  const { row, queries, deadline, signal } = running
  const partitions = parts.partitions ?? partitionsFor(row.blocks)
  const tasks = Array.from({ length: partitions }, (): number[] => [])
  for (const block of blocks) tasks[block % partitions]?.push(block)
  throwIfEnded(signal)
  const job = await patiently(signal, () =>
    parts.queue.submit({
      collection: row.number,
      queries,
      tasks,
      reply: parts.reply,
      deadlineMs: deadline === undefined ? undefined : Math.max(deadline - performance.now(), 0),
    }),
  )
  parts.jobs.add(String(job))
  return job
}

/** Results of one job as they come; ends when its tasks are done or the job is gone. */
async function* results(parts: Parts, job: number, signal: AbortSignal | undefined) {
  const { queue, wakeups, pollMs } = parts
  const topic = String(job)
  for (;;) {
    throwIfEnded(signal)
    const heard = wakeups.heard(topic)
    // Before the results: those of a task are there when it is done.
    const status = await patiently(signal, () => queue.status(job))
    checkStatus(status)
    const taken = await patiently(signal, () => queue.take(job))
    yield* taken
    if (taken.length === READ_ROWS) continue
    if (status.done === status.tasks) return
    await wakeups.wait(topic, heard, pollMs, signal)
  }
}

/** Splits the ciphertexts of a block. */
function split(bytes: Uint8Array, count: number): Uint8Array[] {
  const length = bytes.length / count
  if (!Number.isInteger(length) || length === 0) {
    throw new EmbeddingError('CIPHERTEXT_INVALID', 'a worker sent results of another number', {
      expected: `${count} of one length`,
      got: `${bytes.length} bytes`,
    })
  }
  return Array.from({ length: count }, (_, at) => bytes.subarray(at * length, (at + 1) * length))
}

/** Scores of all blocks of the state, each once. */
async function* scores(parts: Parts, running: Running, first: number): AsyncGenerator<BlockScores> {
  const { queue, wakeups, jobs } = parts
  const { live, queries, signal } = running
  const missing = new Map(live.blocks)
  let job = first
  let done = false
  const prolong = setInterval(() => {
    queue.prolong(job).catch(() => {})
  }, PROLONG_MS)
  try {
    for (let requeues = 0; ; requeues++) {
      for await (const { block, epoch, bytes } of results(parts, job, signal)) {
        const slots = missing.get(block)
        // Computed twice, by a worker that was taken for dead.
        if (slots === undefined) continue
        missing.delete(block)
        yield { block, epoch, live: slots, results: split(bytes, queries.length) }
      }
      if (missing.size === 0) break
      if (requeues === REQUEUES) {
        throw new EmbeddingError('UNAVAILABLE', 'results of the scan are missing', {
          got: `${missing.size} blocks`,
          hint: 'look at the logs of the workers and of the server, then search again',
        })
      }
      jobs.delete(String(job))
      job = await submit(parts, running, missing.keys())
    }
    done = true
  } catch (error) {
    // What ends because the call ended is told as its end.
    if (signal?.aborted === true) throw endedError(signal)
    throw error
  } finally {
    clearInterval(prolong)
    jobs.delete(String(job))
    wakeups.drop(String(job))
    // A job that cannot be removed now ends by itself.
    await queue.remove(job, !done).catch(() => {})
  }
}

function checkRequest({ info }: CollectionRow, { queries }: ScanRequest): void {
  if (queries.length === 0) {
    throw new EmbeddingError('CIPHERTEXT_INVALID', 'a scan without a query', {
      expected: '1 or more',
    })
  }
  const geometry = geometryOf(info)
  for (const query of queries) {
    for (const bytes of query.values()) checkCiphertexts(geometry, 'query', bytes)
  }
}

/**
 * A scorer whose work is done by scan workers on the same database.
 * @throws EmbeddingError STORE_UNAVAILABLE, STORE_INVALID; ConfigError.
 */
export async function queueScorer(options: QueueScorerOptions): Promise<Scorer> {
  const { partitions, pollMs = 1000 } = options
  const given = partitions ?? 1
  if (!Number.isInteger(given) || given < 1 || given > MOST_PARTITIONS) {
    throw new EmbeddingError('LIMIT_EXCEEDED', 'not a number of partitions', {
      expected: `1 to ${MOST_PARTITIONS}`,
      got: String(given),
    })
  }
  // pg is an optional dependency, loaded only by who asks for it.
  const { connectPostgres } = await import('./postgres.ts')
  const db = await connectPostgres(options.url, options)
  try {
    await prepareSchema(db, { create: false, readOnly: true })
  } catch (error) {
    await db[Symbol.asyncDispose]()
    throw error
  }
  return scorerOn(db, partitions, pollMs)
}

function scorerOn(db: Database, partitions: number | undefined, pollMs: number): Scorer {
  const reply = `keyrite_reply_${toHex(randomBytes(8))}`
  const jobs = new Set<string>()
  const queue = scanQueue(db)
  const wakeups = listenFor(db, reply, (payload) => (jobs.has(payload) ? payload : undefined))
  const parts: Parts = { queue, wakeups, reply, partitions, pollMs, jobs }
  let closed = false

  const started = (call: CallOptions | undefined): AbortSignal | undefined => {
    if (closed) throw new EmbeddingError('CLOSED', 'the scorer is closed')
    const signal = callSignal(call)
    throwIfEnded(signal)
    return signal
  }

  return {
    async collection(name, call) {
      started(call)
      return readState(db, name)
    },
    async scan(name, request, call) {
      const signal = started(call)
      const deadline =
        call?.timeoutMs === undefined ? undefined : performance.now() + call.timeoutMs
      const reading = db.snapshot(async (connection) => {
        const row = await readCollection(db, connection, name)
        checkRequest(row, request)
        const live = await readLive(db, connection, row, request.filter)
        const tail: ScanTail =
          row.tailSequence === request.knownTail
            ? { sequence: row.tailSequence, records: undefined }
            : await readTail(db, connection, row)
        return { row, live, tail }
      })
      const [{ row, live, tail }] = await Promise.all([reading, queue.sweep()])
      const running: Running = { row, queries: request.queries, live, deadline, signal }
      const { sequence } = live
      if (live.blocks.size === 0) return { sequence, tail, blocks: none() }
      const job = await submit(parts, running, live.blocks.keys())
      return { sequence, tail, blocks: scores(parts, running, job) }
    },
    async records(name, places, call) {
      started(call)
      return readPlaces(db, name, places)
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await wakeups[Symbol.asyncDispose]()
      await db[Symbol.asyncDispose]()
    },
  }
}

async function* none(): AsyncGenerator<BlockScores> {
  // A filter that matches nothing, or an empty collection.
}
