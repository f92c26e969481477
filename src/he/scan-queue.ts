/**
 * The queue between key holders and scan workers, in PostgreSQL alone: tasks are claimed with
 * FOR UPDATE SKIP LOCKED under a lease, and every write of a worker is fenced by the number of its lease.
 * Nothing in it is secret: queries and results are ciphertexts.
 *
 * How it grows. At 768 dimensions a block holds 256 vectors; a query is 1.26 MB and goes to every worker
 * once per job, and 39 kB per block and query come back (153 B per vector: 153 MB for a million).
 * Claims are small: 2,000 a second with their ends were measured on two busy cores. So with N workers and
 * B blocks one query moves N x 1.26 MB out and B x 39 kB in and out; the server's network and memory
 * bandwidth end it, not the claims. A thousand workers with a partition each (250,000 vectors in 3 GB of
 * memory per worker, 250 million in all) would move 1.3 GB of queries and 38 GB of results through one
 * server, minutes per query. Beyond some 20 million vectors therefore: a collection per shard, each with a
 * server and tens of workers of its own, merged by the key holder, who reads the same 153 B per vector
 * anyway. One worker process per machine (all its threads, one copy of the query), partitions at least as
 * many as workers, and memory for a worker's share of the blocks: then owners keep their partitions and
 * no block is read twice.
 */
import { createHash } from 'node:crypto'

import { EmbeddingError, type EmbeddingErrorCode } from '../errors.ts'
import { int4, int8, readInt4, readInt8 } from './postgres-copy.ts'
import type { Connection, Database } from './postgres-connection.ts'
import { plain } from './postgres-row.ts'
import type { EncryptedQuery } from './types.ts'

/** A task is not given to a sixth worker when five did not finish it. */
export const MAX_LEASES = 5
/** A job whose key holder does not put off its end is over. */
export const JOB_LIFE_MS = 15_000
/** How long a worker counts as owner of a partition it scanned. */
const OWNER_MS = 600_000
/** Rows of results read at once. */
export const READ_ROWS = 64

/** Errors that every worker would meet: the task is over. All others may be one worker's own. */
export const FINAL_CODES: ReadonlySet<EmbeddingErrorCode> = new Set<EmbeddingErrorCode>([
  'CIPHERTEXT_INVALID',
  'EPOCH_UNKNOWN',
  'COLLECTION_CHANGED',
  'COLLECTION_NOT_FOUND',
  'PARAMETERS_UNKNOWN',
])

/** A job to be queued. */
export interface NewJob {
  /** Number of the collection. */
  readonly collection: number
  readonly queries: readonly EncryptedQuery[]
  /** Blocks by task. */
  readonly tasks: readonly (readonly number[])[]
  /** Channel that hears of results. */
  readonly reply: string
  /** Milliseconds from now. */
  readonly deadlineMs?: number | undefined
}

/** A claimed task. */
export interface Task {
  readonly job: number
  readonly partition: number
  readonly partitions: number
  /** Fencing number: larger with every claim of the task. */
  readonly lease: number
  readonly blocks: readonly number[]
  /** Name of the collection; null when it is gone. */
  readonly name: string | null
  readonly reply: string
}

/** As pg reads it: bigint[] comes as text. */
type RawTask = Omit<Task, 'blocks'> & { readonly blocks: readonly string[] }

/** Results of one block: one ciphertext per query, in order. */
export interface BlockResult {
  readonly block: number
  readonly epoch: number
  readonly bytes: Uint8Array
}

/** How far a job is. */
export interface JobStatus {
  /** 0: the job is gone. */
  readonly tasks: number
  readonly done: number
  /** Tasks that no worker could finish. */
  readonly given_up: number
  /** Of one failed task. */
  readonly error: string | null
}

/** See the file's comment. Times are those of the server's clock. */
export interface ScanQueue {
  /** Workers listen here. */
  readonly channel: string
  submit(job: NewJob): Promise<number>
  /** Puts off the end of a job that is waited for. */
  prolong(job: number): Promise<void>
  status(job: number): Promise<JobStatus>
  /** Takes results out of the queue; empty: none are there now. */
  take(job: number): Promise<readonly BlockResult[]>
  /** Deletes a job. @param tell - workers that are at it, so that they stop. */
  remove(job: number, tell: boolean): Promise<void>
  /** Deletes jobs that are over. */
  sweep(): Promise<number>

  claim(worker: string, leaseMs: number, graceMs: number): Promise<Task | undefined>
  queries(job: number): Promise<readonly EncryptedQuery[]>
  /** False: the lease is not the newest, or the job is gone. Nothing is written then. */
  extend(task: Task, leaseMs: number): Promise<boolean>
  /**
   * @param last - the task is done with them
   * @throws EmbeddingError COLLECTION_CHANGED when the collection of the job is gone, so that results
   * read under its name may be another one's.
   */
  write(
    task: Task,
    results: readonly BlockResult[],
    leaseMs: number,
    last: boolean,
  ): Promise<boolean>
  /** Ends a task that no worker can do. */
  fail(task: Task, error: string): Promise<boolean>
  /** Gives a task back, for another worker if one is there within `delayMs`. */
  release(task: Task, worker: string, delayMs: number): Promise<void>
}

const ms = (placeholder: string): string => `${placeholder} * interval '1 millisecond'`
const NOW = 'statement_timestamp()'
/** The task a worker still holds: neither given to another one, nor given back, nor done. */
const HELD = 't.job = $1 AND t.partition = $2 AND t.lease = $3 AND t.held'

/**
 * Statements of {@link ScanQueue}. Locks are taken in one order: owner, job, task, result. The removal of a
 * job locks it before its tasks, so whoever writes results, which need the job, does so too.
 * @param s - quoted schema.
 */
const statements = (s: string) => ({
  add_job: `INSERT INTO ${s}.scan_jobs (collection, reply, expires, deadline)
    VALUES ($1, $2, ${NOW} + ${ms(`least($3::float8, ${JOB_LIFE_MS})`)}, ${NOW} + ${ms('$3::float8')})
    ON CONFLICT DO NOTHING RETURNING job`,
  prolong: `UPDATE ${s}.scan_jobs
    SET expires = least(deadline, ${NOW} + ${ms(String(JOB_LIFE_MS))}) WHERE job = $1`,
  status: `SELECT count(*) AS tasks, count(*) FILTER (WHERE done) AS done, min(error) AS error,
      count(*) FILTER (WHERE NOT done AND lease >= ${MAX_LEASES} AND lease_until < ${NOW}) AS given_up
    FROM ${s}.scan_tasks WHERE job = $1`,
  remove: `DELETE FROM ${s}.scan_jobs WHERE job = $1`,
  cancel: `WITH gone AS (DELETE FROM ${s}.scan_jobs WHERE job = $1) SELECT pg_notify($2, $3)`,
  sweep: `WITH gone AS (DELETE FROM ${s}.scan_jobs WHERE job IN (
      SELECT job FROM ${s}.scan_jobs WHERE expires < ${NOW} FOR UPDATE SKIP LOCKED) RETURNING 1),
    disowned AS (DELETE FROM ${s}.scan_owners WHERE (collection, partitions, partition) IN (
      SELECT collection, partitions, partition FROM ${s}.scan_owners
      WHERE until < ${NOW} FOR UPDATE SKIP LOCKED))
    SELECT count(*) AS count FROM gone`,
  notify: 'SELECT pg_notify($1, $2)',
  extend: `UPDATE ${s}.scan_tasks t SET lease_until = ${NOW} + ${ms('$4::float8')} WHERE ${HELD}
    RETURNING 1`,
  write: `WITH task AS (
      UPDATE ${s}.scan_tasks t
      SET lease_until = ${NOW} + ${ms('$4::float8')}, done = $5, held = NOT $5::boolean
      FROM (SELECT job FROM ${s}.scan_jobs WHERE job = $1 FOR KEY SHARE) j
      WHERE t.job = j.job AND ${HELD} RETURNING t.collection)
    SELECT c.number IS NOT NULL AS here, pg_notify($6, $7) AS told
    FROM task LEFT JOIN ${s}.collections c ON c.number = task.collection`,
  fail: `WITH failed AS (
      UPDATE ${s}.scan_tasks t SET done = true, held = false, error = $4 WHERE ${HELD} RETURNING 1)
    SELECT pg_notify($5, $6) AS told FROM failed`,
  release: `UPDATE ${s}.scan_tasks t
    SET held = false, lease_until = ${NOW} + ${ms('$4::float8')} WHERE ${HELD}`,
  disown: `DELETE FROM ${s}.scan_owners o USING ${s}.scan_tasks t
    WHERE t.job = $1 AND t.partition = $2 AND o.worker = $3 AND o.collection = t.collection
      AND o.partitions = t.partitions AND o.partition = t.partition`,
  own: `INSERT INTO ${s}.scan_owners (collection, partitions, partition, worker, until)
    SELECT collection, partitions, partition, $3, ${NOW} + ${ms(String(OWNER_MS))}
    FROM ${s}.scan_tasks WHERE job = $1 AND partition = $2
    ON CONFLICT (collection, partitions, partition)
    DO UPDATE SET worker = excluded.worker, until = excluded.until`,
  // First what this worker has in memory; then what nobody has, or what its owner leaves lying.
  claim_own: claim(
    s,
    `JOIN ${s}.scan_owners o USING (collection, partitions, partition)`,
    `o.worker = $1 AND o.until > ${NOW}`,
  ),
  claim_any: claim(
    s,
    `LEFT JOIN ${s}.scan_owners o USING (collection, partitions, partition)`,
    `(o.worker IS NULL OR o.worker = $1 OR o.until < ${NOW}
      OR coalesce(t.lease_until, t.queued + ${ms('$3::float8')}) < ${NOW})`,
  ),
})

/** Claims one open task without waiting for other claims. */
function claim(s: string, join: string, condition: string): string {
  return `WITH picked AS (
      SELECT t.job, t.partition, j.reply, c.name FROM ${s}.scan_tasks t ${join}
      JOIN ${s}.scan_jobs j ON j.job = t.job AND j.expires > ${NOW}
      LEFT JOIN ${s}.collections c ON c.number = t.collection
      WHERE NOT t.done AND t.lease < ${MAX_LEASES}
        AND (t.lease_until IS NULL OR t.lease_until < ${NOW}) AND ${condition}
      ORDER BY t.job, t.partition LIMIT 1 FOR UPDATE OF t SKIP LOCKED)
    UPDATE ${s}.scan_tasks t
    SET lease = t.lease + 1, held = true, lease_until = ${NOW} + ${ms('$2::float8')}
    FROM picked p WHERE t.job = p.job AND t.partition = p.partition
    RETURNING t.job, t.partition, t.partitions, t.lease, t.blocks, p.name, p.reply`
}

/** For a worker whose job names a collection that is gone, perhaps made anew under its name. */
export const collectionGone = (): EmbeddingError =>
  new EmbeddingError('COLLECTION_CHANGED', 'the collection was removed during the scan')

/** Channel on which the workers of a schema hear of work; channels are those of the whole database. */
const channelOf = (schema: string): string =>
  `keyrite_scan_${createHash('sha256').update(schema).digest('hex').slice(0, 16)}`

export function scanQueue(db: Database): ScanQueue {
  const s = db.schema
  const channel = channelOf(s)
  const texts = statements(s)
  const run = <Row>(
    connection: Connection,
    name: keyof typeof texts,
    ...values: readonly unknown[]
  ): Promise<readonly Row[]> =>
    connection.query<Row>({ name: `keyrite_scan_${name}`, text: texts[name] }, values)
  const held = ({ job, partition, lease }: Task) => [job, partition, lease]

  return {
    channel,
    submit: ({ collection, queries, tasks, reply, deadlineMs }) =>
      db.brief(async (connection) => {
        const add = () =>
          run<{ job: number }>(connection, 'add_job', collection, reply, deadlineMs ?? null)
        let [row] = await add()
        // Another one of this very microsecond.
        while (row === undefined) [row] = await add()
        const { job } = row
        const rows = queries.flatMap((query, position) =>
          [...query].map(([epoch, bytes]) => [int8(job), int4(position), int8(epoch), bytes]),
        )
        await connection.copyIn(
          `COPY ${s}.scan_queries (job, position, epoch, bytes) FROM STDIN (FORMAT binary)`,
          rows,
        )
        const taskText = `INSERT INTO ${s}.scan_tasks (job, partition, partitions, collection, blocks)
          SELECT $1, partition, $2, $3, blocks::bigint[] FROM unnest($4::integer[], $5::text[])
          AS task (partition, blocks)`
        const open = tasks.flatMap((blocks, index) => (blocks.length > 0 ? [index] : []))
        await connection.query({ name: 'keyrite_scan_add_tasks', text: taskText }, [
          job,
          tasks.length,
          collection,
          open,
          open.map((index) => `{${(tasks[index] ?? []).join(',')}}`),
        ])
        await run(connection, 'notify', channel, 'work')
        return job
      }),
    prolong: (job) =>
      db.read(async (connection) => {
        await run(connection, 'prolong', job)
      }),
    status: async (job) => {
      const [row] = await db.read((connection) => run<JobStatus>(connection, 'status', job))
      return row ?? { tasks: 0, done: 0, given_up: 0, error: null }
    },
    // Rows whose transfer breaks off are lost; the key holder misses their blocks and asks again.
    take: (job) =>
      db.use(async (connection) => {
        const results: BlockResult[] = []
        const key = '(job, partition, lease, block)'
        const rows = connection.copyOut(
          `COPY (DELETE FROM ${s}.scan_results WHERE ${key} IN (
              SELECT job, partition, lease, block FROM ${s}.scan_results
              WHERE job = ${job} LIMIT ${READ_ROWS})
            RETURNING block, epoch, bytes) TO STDOUT (FORMAT binary)`,
        )
        for await (const [block, epoch, bytes] of rows) {
          if (bytes === undefined) continue
          results.push({ block: readInt8(block), epoch: readInt8(epoch), bytes: plain(bytes) })
        }
        return results
      }),
    remove: (job, tell) =>
      db.read(async (connection) => {
        if (tell) await run(connection, 'cancel', job, channel, `cancel ${job}`)
        else await run(connection, 'remove', job)
      }),
    sweep: async () => {
      const [row] = await db.read((connection) => run<{ count: number }>(connection, 'sweep'))
      return row?.count ?? 0
    },

    // Each statement for itself: a claim that breaks off in between is a lease that ends.
    claim: (worker, leaseMs, graceMs) =>
      db.use(async (connection) => {
        const [own] = await run<RawTask>(connection, 'claim_own', worker, leaseMs)
        if (own !== undefined) return { ...own, blocks: own.blocks.map(Number) }
        const [task] = await run<RawTask>(connection, 'claim_any', worker, leaseMs, graceMs)
        if (task === undefined) return undefined
        await run(connection, 'own', task.job, task.partition, worker)
        return { ...task, blocks: task.blocks.map(Number) }
      }),
    queries: (job) =>
      db.read(async (connection) => {
        const queries: Map<number, Uint8Array>[] = []
        const rows = connection.copyOut(
          `COPY (SELECT position, epoch, bytes FROM ${s}.scan_queries WHERE job = ${job})
           TO STDOUT (FORMAT binary)`,
        )
        for await (const [place, epoch, bytes] of rows) {
          if (bytes === undefined) continue
          const position = readInt4(place)
          while (queries.length <= position) queries.push(new Map())
          queries[position]?.set(readInt8(epoch), plain(bytes))
        }
        return queries
      }),
    extend: async (task, leaseMs) => {
      const rows = await db.read((connection) => run(connection, 'extend', ...held(task), leaseMs))
      return rows.length > 0
    },
    write: (task, results, leaseMs, last) =>
      db.brief(async (connection) => {
        // Locks job and task until the results are in: nobody claims the task between the two.
        const values = [...held(task), leaseMs, last, task.reply, String(task.job)]
        const [current] = await run<{ here: boolean }>(connection, 'write', ...values)
        if (current === undefined) return false
        if (!current.here) throw collectionGone()
        if (results.length === 0) return true
        await connection.copyIn(
          `COPY ${s}.scan_results (job, partition, lease, block, epoch, bytes)
           FROM STDIN (FORMAT binary)`,
          results.map(({ block, epoch, bytes }) => [
            int8(task.job),
            int4(task.partition),
            int4(task.lease),
            int8(block),
            int8(epoch),
            bytes,
          ]),
        )
        return true
      }),
    fail: async (task, error) => {
      const values = [...held(task), error, task.reply, String(task.job)]
      const rows = await db.read((connection) => run(connection, 'fail', ...values))
      return rows.length > 0
    },
    release: (task, worker, delayMs) =>
      db.brief(async (connection) => {
        await run(connection, 'disown', task.job, task.partition, worker)
        await run(connection, 'release', ...held(task), delayMs)
        await run(connection, 'notify', channel, 'work')
      }),
  }
}
