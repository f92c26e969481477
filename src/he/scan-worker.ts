/**
 * A scan worker: takes tasks out of the queue, computes on ciphertexts, writes encrypted scores back. It
 * holds no key, and any number of them may run. What it does not finish another one does.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { concat, toHex } from '../bytes.ts'
import { EmbeddingError, KeyriteError } from '../errors.ts'
import type { Database } from './postgres-connection.ts'
import { prepareSchema } from './postgres-schema.ts'
import {
  type BlockResult,
  FINAL_CODES,
  type ScanQueue,
  type Task,
  collectionGone,
  scanQueue,
} from './scan-queue.ts'
import { type Wakeups, listenFor } from './scan-queue-wakeup.ts'
import { type ScorerOptions, createScorer } from './scorer.ts'
import type { Partition } from './store.ts'
import type { BlockScores, CallOptions, EncryptedQuery } from './types.ts'

/** What a worker needs of a scorer: scores of blocks it is told, whatever else the collection holds. */
export interface BlockScorer {
  scores(
    name: string,
    queries: readonly EncryptedQuery[],
    blocks: readonly number[],
    options?: CallOptions,
  ): AsyncIterable<Omit<BlockScores, 'live'>>
}

/** What a worker does, for logs and metrics. */
export interface WorkerEvent {
  readonly what: 'claimed' | 'finished' | 'stale' | 'failed' | 'released' | 'trouble'
  readonly job?: number
  readonly partition?: number
  readonly lease?: number
  /** Code and message of an error. */
  readonly error?: string
}

/** How a worker takes part in the queue. */
export interface QueueOptions {
  /** The worker ends when it fires; its task goes back to the queue. */
  readonly signal: AbortSignal
  /** A task without a sign of life for so long is given to another worker; default 10,000. */
  readonly leaseMs?: number | undefined
  /** Longest wait between two looks into the queue when no notification comes; default 5,000. */
  readonly pollMs?: number | undefined
  /** How long a task is left to the worker that has its blocks in memory; default 200. */
  readonly graceMs?: number | undefined
  readonly onEvent?: ((event: WorkerEvent) => void) | undefined
}

/** For {@link workOnQueue}. */
export interface QueueWorkOptions extends QueueOptions {
  /** Stays the caller's to close. */
  readonly database: Database
  /** One scorer may serve all partitions. */
  readonly scorerFor: (partition: Partition) => BlockScorer
}

/** For {@link runScanWorker}. */
export interface ScanWorkerOptions
  extends QueueOptions, Omit<ScorerOptions, 'store' | 'partition'> {
  /** See `openPostgresStore`. The role needs SELECT on the store and all rights on the scan_* tables. */
  readonly url: string
  readonly schema?: string | undefined
}

/** Results written at once, bytes. */
const WRITE_BYTES = 8 << 20
/** A task that failed here waits so long for another worker. */
const RELEASE_MS = 500
/** Pause after trouble with the server. */
const TROUBLE_MS = 1000
/** Longest timer of Node. */
const LONGEST_MS = 2 ** 31 - 1

/** Topic of `work`; cancelled jobs have one each. */
const WORK = 'work'
const CANCEL = 'cancel '

const said = (error: unknown): string =>
  error instanceof KeyriteError ? `${String(error.code)}: ${error.message}` : 'unexpected error'

interface Worker {
  readonly id: string
  readonly queue: ScanQueue
  readonly options: QueueWorkOptions
  readonly leaseMs: number
  /** Queries of the last job: its other tasks need the same. */
  queries: { readonly job: number; readonly all: Promise<readonly EncryptedQuery[]> } | undefined
  /** Topic of the end of the job that is worked on. */
  cancel: string | undefined
}

/** A lease that is not the newest any more, or a job that is gone. */
const stale = Symbol('stale')

function queriesOf(worker: Worker, job: number): Promise<readonly EncryptedQuery[]> {
  if (worker.queries?.job !== job) worker.queries = { job, all: worker.queue.queries(job) }
  return worker.queries.all
}

/** Scans the blocks of a task; writes while the next ones are computed. The last ones end the task. */
async function scan(worker: Worker, task: Task, control: AbortController): Promise<void> {
  const { queue, leaseMs, options } = worker
  const { signal } = control
  const scorer = options.scorerFor({ index: task.partition, of: task.partitions })
  let batch: BlockResult[] = []
  let bytes = 0
  let writing: Promise<boolean> = Promise.resolve(true)
  const flush = async (last: boolean) => {
    if (!(await writing)) control.abort(stale)
    signal.throwIfAborted()
    writing = queue.write(task, batch, leaseMs, last)
    // Looked at with the next one; until then a failure is nobody's.
    writing.catch(() => {})
    batch = []
    bytes = 0
  }
  if (task.name === null) throw collectionGone()
  const queries = await queriesOf(worker, task.job)
  try {
    for await (const { block, epoch, results } of scorer.scores(task.name, queries, task.blocks, {
      signal,
    })) {
      batch.push({ block, epoch, bytes: concat(...results) })
      bytes += results.reduce((sum, { length }) => sum + length, 0)
      if (bytes >= WRITE_BYTES) await flush(false)
    }
    await flush(true)
    // A signal that fires only now comes too late to make it undone.
    if (await writing) return
    control.abort(stale)
    signal.throwIfAborted()
  } finally {
    await writing.catch(() => {})
  }
}

/** Works on one task and settles it. */
async function work(worker: Worker, task: Task, wakeups: Wakeups): Promise<void> {
  const { queue, leaseMs, options } = worker
  const { job, partition, lease } = task
  const tell = (what: WorkerEvent['what'], error?: unknown) =>
    options.onEvent?.({
      what,
      job,
      partition,
      lease,
      ...(error === undefined ? {} : { error: said(error) }),
    })
  const control = new AbortController()
  const stop = () => {
    control.abort(options.signal.reason)
  }
  options.signal.addEventListener('abort', stop, { once: true })
  if (options.signal.aborted) stop()
  const topic = `${CANCEL}${job}`
  worker.cancel = topic
  const over = new AbortController()
  const extend = () =>
    queue.extend(task, leaseMs).then(
      (held) => {
        if (!held) control.abort(stale)
      },
      // The next one may get through; when none does the lease ends.
      () => {},
    )
  const end = AbortSignal.any([over.signal, control.signal])
  /** Woken by the end of the job, or by a new LISTEN that may have missed it: the queue knows. */
  const watch = async () => {
    for (let heard = 0; ;) {
      await wakeups.wait(topic, heard, LONGEST_MS, end)
      // A task that was given back is not extended.
      if (end.aborted) return
      heard = wakeups.heard(topic)
      await extend()
    }
  }
  const cancelled = watch()
  const heartbeat = setInterval(() => void extend(), leaseMs / 3)
  tell('claimed')
  try {
    await scan(worker, task, control)
    tell('finished')
  } catch (error) {
    if (control.signal.reason === stale) tell('stale')
    else if (error instanceof EmbeddingError && FINAL_CODES.has(error.code)) {
      await queue.fail(task, JSON.stringify({ code: error.code, message: error.message }))
      tell('failed', error)
    } else {
      worker.queries = undefined
      await queue.release(task, worker.id, options.signal.aborted ? 0 : RELEASE_MS)
      tell('released', error)
    }
  } finally {
    clearInterval(heartbeat)
    over.abort()
    options.signal.removeEventListener('abort', stop)
    await cancelled
    worker.cancel = undefined
    wakeups.drop(topic)
  }
}

/** Runs until the signal fires; trouble with the server is told and outlasted. */
export async function workOnQueue(options: QueueWorkOptions): Promise<void> {
  const { database, signal, leaseMs = 10_000, pollMs = 5000, graceMs = 200 } = options
  const queue = scanQueue(database)
  const id = toHex(randomBytes(8))
  const worker: Worker = { id, queue, options, leaseMs, queries: undefined, cancel: undefined }
  await using wakeups = listenFor(database, queue.channel, (payload) =>
    payload === WORK || payload === worker.cancel ? payload : undefined,
  )
  let seen = 0
  while (!signal.aborted) {
    const heard = wakeups.heard(WORK)
    try {
      const task = await queue.claim(id, leaseMs, graceMs)
      if (task !== undefined) {
        await work(worker, task, wakeups)
        continue
      }
      worker.queries = undefined
      await queue.sweep()
      // New work that is left to its owners is looked at once more when their time is over.
      const wait = heard === seen ? pollMs : Math.min(pollMs, graceMs * 2)
      seen = heard
      // Not all workers at the same moment.
      await wakeups.wait(WORK, heard, randomInt(Math.ceil(wait / 2), wait + 1), signal)
    } catch (error) {
      options.onEvent?.({ what: 'trouble', error: said(error) })
      await sleep(TROUBLE_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/**
 * pg is an optional dependency, loaded only by who asks for it. In a function of its own: TypeScript 6.0 leaves the
 * `.ts` of an import as it is inside a function that has `using` declarations, and such an import breaks in `dist`.
 */
const postgres = () => import('./postgres.ts')

/**
 * A worker on a store in PostgreSQL, until the signal fires. All its partitions share one bound of memory;
 * blocks beyond it are read anew for each scan.
 * @throws EmbeddingError STORE_UNAVAILABLE, STORE_INVALID; ConfigError.
 */
export async function runScanWorker(options: ScanWorkerOptions): Promise<void> {
  const { url, schema, ...rest } = options
  const { connectPostgres, postgresStore } = await postgres()
  await using database = await connectPostgres(url, { schema })
  await prepareSchema(database, { create: false, readOnly: true })
  const store = postgresStore(database, { readOnly: true })
  await using scorer = createScorer({ ...rest, store })
  await workOnQueue({ ...rest, database, scorerFor: () => scorer })
}
