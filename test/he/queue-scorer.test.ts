/** The queue itself: leases, fencing, owners, jobs that nobody waits for, and what a bad worker can do. */
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { EmbeddingError } from '../../src/errors.ts'
import { geometryOf } from '../../src/he/parameters.ts'
import { connectPostgres, openPostgresStore } from '../../src/he/postgres.ts'
import type { Database } from '../../src/he/postgres-connection.ts'
import { partitionsFor, queueScorer } from '../../src/he/queue-scorer.ts'
import { MAX_LEASES, type ScanQueue, scanQueue } from '../../src/he/scan-queue.ts'
import { type BlockScorer, type WorkerEvent, workOnQueue } from '../../src/he/scan-worker.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import type { BlockScores, Scorer } from '../../src/he/types.ts'
import { type PostgresServer, startPostgres } from './postgres-server.ts'
import { randomCiphertexts } from './random-ciphertexts.ts'
import { block, bytes, collect, epochOf, info, placed } from './store-content.ts'

const NAME = 'things'
const collection = info(NAME)
const geometry = geometryOf(collection)
const queries = [new Map([[1, randomCiphertexts(geometry, 'query', 1)]])]
const result = (block: number) => ({ block, epoch: 1, bytes: bytes(200).fill(block & 0xff) })
const LEASE = 60_000

let server: PostgresServer
let url: string
let store: EmbeddingStore
let database: Database
let queue: ScanQueue
let scorer: Scorer
let blocks: readonly number[]

beforeAll(async () => {
  server = await startPostgres({ deadlock_timeout: '5ms' })
  url = await server.createDatabase()
  store = await openPostgresStore(url, { create: true, partitions: 1 })
  await store.createCollection(collection, epochOf(1))
  const content = Array.from({ length: 6 }, () => block(1))
  const records = content.flatMap((_, index) => placed(1, index))
  blocks = (await store.commit(NAME, { blocks: content, records })).blocks
  database = await connectPostgres(url)
  queue = scanQueue(database)
  scorer = await queueScorer({ url, pollMs: 50, partitions: 2 })
})
afterAll(async () => {
  for (const one of [scorer, store, database, server]) await one[Symbol.asyncDispose]()
})

const sql = (text: string) => database.use((on) => on.run(text))
beforeEach(() => sql('DELETE FROM keyrite.scan_jobs; DELETE FROM keyrite.scan_owners'))

const submit = (tasks: readonly (readonly number[])[] = [blocks], deadlineMs?: number) =>
  queue.submit({ collection: 1, queries, tasks, reply: 'nobody', deadlineMs })
const claim = (worker = 'a', graceMs = 0) => queue.claim(worker, LEASE, graceMs)
async function numberOf(name: string): Promise<{ number: number }> {
  const text = 'SELECT number FROM keyrite.collections WHERE name = $1'
  const [row] = await database.read((on) =>
    on.query<{ number: number }>({ name: 'number', text }, [name]),
  )
  return row!
}
const expireLeases = () => sql(`UPDATE keyrite.scan_tasks SET lease_until = now() - interval '1s'`)

describe('a lease', () => {
  it('is held by one worker at a time, and goes to another when it ends', async () => {
    const job = await submit()
    const first = await claim('a')
    expect(first).toMatchObject({ job, partition: 0, partitions: 1, lease: 1, name: NAME, blocks })
    expect(await claim('b')).toBeUndefined()
    expect(await queue.extend(first!, LEASE)).toBe(true)
    await expireLeases()
    const second = await claim('b')
    expect(second).toMatchObject({ job, lease: 2 })

    // Whatever the first one still says is refused.
    expect(await queue.extend(first!, LEASE)).toBe(false)
    expect(await queue.write(first!, [result(blocks[0]!)], LEASE, false)).toBe(false)
    expect(await queue.write(first!, [], LEASE, true)).toBe(false)
    await queue.release(first!, 'a', 0)
    expect(await queue.take(job)).toEqual([])
    expect(await queue.status(job)).toMatchObject({ tasks: 1, done: 0 })
    expect(await claim('c')).toBeUndefined()

    expect(await queue.write(second!, [result(blocks[1]!)], LEASE, false)).toBe(true)
    expect(await queue.write(second!, [], LEASE, true)).toBe(true)
    expect(await queue.status(job)).toMatchObject({ tasks: 1, done: 1, error: null })
    expect(await queue.take(job)).toEqual([result(blocks[1]!)])
    expect(await queue.take(job)).toEqual([])
    // And it is done: nobody gets it, nobody writes to it.
    await expireLeases()
    expect(await claim('c')).toBeUndefined()
    expect(await queue.write(second!, [result(blocks[2]!)], LEASE, false)).toBe(false)
  })

  it('given back is there again at once, or after a while', async () => {
    await submit()
    await queue.release((await claim('a'))!, 'a', 0)
    const again = await claim('b')
    expect(again).toMatchObject({ lease: 2 })
    await queue.release(again!, 'b', 60_000)
    expect(await claim('a')).toBeUndefined()
  })

  it('given back is given back, whatever is still on its way from its worker', async () => {
    const job = await submit()
    const task = (await claim('a'))!
    await queue.release(task, 'a', 0)
    // A sign of life from before.
    expect(await queue.extend(task, LEASE)).toBe(false)
    expect(await queue.write(task, [result(blocks[0]!)], LEASE, true)).toBe(false)
    expect(await queue.fail(task, '{}')).toBe(false)
    expect(await queue.take(job)).toEqual([])
    expect(await claim('b')).toMatchObject({ job, lease: 2 })
  })

  it(`is given ${MAX_LEASES} times; then the scan fails`, async () => {
    const job = await submit()
    for (let lease = 1; lease <= MAX_LEASES; lease += 1) {
      expect(await claim(`worker ${lease}`)).toMatchObject({ lease })
      expect(await queue.status(job)).toMatchObject({ given_up: 0 })
      await expireLeases()
    }
    expect(await claim('next')).toBeUndefined()
    expect(await queue.status(job)).toMatchObject({ given_up: 1 })
  })

  it('is claimed by many at once without a task given twice', async () => {
    await submit(Array.from({ length: 60 }, (_, n) => [n]))
    const workers = Array.from({ length: 8 }, async (_, n) => {
      const mine: number[] = []
      for (;;) {
        const task = await claim(`worker ${n}`)
        if (task === undefined) return mine
        mine.push(task.partition)
      }
    })
    const all = (await Promise.all(workers)).flat()
    expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, n) => n))
  })
})

describe('partitions', () => {
  it('go to whoever had them before, and to others after a grace', async () => {
    const two = [blocks.slice(0, 3), blocks.slice(3)]
    await submit(two)
    const [a, b] = [await claim('a'), await claim('b')]
    expect([a?.partition, b?.partition]).toEqual([0, 1])
    for (const task of [a, b]) await queue.write(task!, [], LEASE, true)
    await submit(two)
    expect(await claim('b', 60_000)).toMatchObject({ partition: 1 })
    // The other one is left to its owner.
    expect(await claim('b', 60_000)).toBeUndefined()
    expect(await claim('c', 60_000)).toBeUndefined()
    expect(await claim('a', 60_000)).toMatchObject({ partition: 0 })
    await submit(two)
    expect(await claim('c', 0)).toMatchObject({ partition: 0 })
    // And stays with the new owner.
    await submit(two)
    expect(await claim('a', 60_000)).toBeUndefined()
    expect(await claim('c', 60_000)).toMatchObject({ partition: 0 })
  })

  it('are by default more and larger in a larger collection, and stay the same for long', () => {
    expect([0, 1, 15, 16, 40, 63, 64, 391, 3907, 40_000].map(partitionsFor)).toEqual([
      ...[1, 1, 1, 2, 2, 2, 4, 8, 16, 64],
    ])
    expect(partitionsFor(2 ** 40)).toBe(8192)
  })

  it('without blocks make no task', async () => {
    const job = await submit([[], blocks, []])
    expect(await queue.status(job)).toMatchObject({ tasks: 1 })
    expect(await claim()).toMatchObject({ partition: 1, partitions: 3 })
  })
})

describe('a job', () => {
  it('carries its queries', async () => {
    const [one, two] = [
      randomCiphertexts(geometry, 'query', 3),
      randomCiphertexts(geometry, 'query', 4),
    ]
    const asked = [
      new Map([
        [1, one],
        [7, two],
      ]),
      new Map([[7, one]]),
    ]
    const job = await queue.submit({
      collection: 1,
      queries: asked,
      tasks: [blocks],
      reply: 'nobody',
    })
    const read = await queue.queries(job)
    const hex = (all: typeof read) =>
      all.map((query) => [...query].map(([epoch, bytes]) => [epoch, toHex(bytes)]).sort())
    expect(hex(read)).toEqual(hex(asked))
  })

  it('ends when its key holder is gone, or at its deadline; anyone cleans up', async () => {
    const dead = await submit()
    const task = await claim()
    await queue.write(task!, [result(blocks[0]!)], LEASE, false)
    const late = await submit([blocks], 0)
    const alive = await submit()
    await sql(`UPDATE keyrite.scan_jobs SET expires = now() - interval '1s' WHERE job = ${dead}`)
    // Over for workers even before it is removed.
    expect(await claim('b')).toMatchObject({ job: alive })
    expect(await claim('b')).toBeUndefined()
    expect(await queue.sweep()).toBe(2)
    for (const job of [dead, late]) expect(await queue.status(job)).toMatchObject({ tasks: 0 })
    expect(await queue.status(alive)).toMatchObject({ tasks: 1 })
    expect(await queue.take(dead)).toEqual([])
    // The worker that was at it learns so.
    expect(await queue.extend(task!, LEASE)).toBe(false)
    expect(await queue.write(task!, [result(blocks[0]!)], LEASE, false)).toBe(false)
  })

  it('is removed beside a worker that writes, without a deadlock', async () => {
    const results = blocks.map((block) => ({ ...result(block), bytes: bytes(100_000) }))
    for (let round = 0; round < 60; round += 1) {
      const job = await submit()
      const task = (await claim('a'))!
      await sql(`UPDATE keyrite.scan_jobs SET expires = now() - interval '1s'`)
      const writing = queue.write(task, results, LEASE, true)
      await sleep(round % 6)
      const ending = round % 2 === 0 ? queue.sweep() : queue.remove(job, true)
      await Promise.all([writing, ending, queue.extend(task, LEASE)])
      // What was passed by because a worker was at it.
      await queue.sweep()
      expect(await queue.status(job)).toMatchObject({ tasks: 0 })
    }
    const text = 'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'
    const [row] = await database.use((on) => on.query({ name: 'deadlocks', text }))
    expect(row).toEqual({ deadlocks: 0 })
  })

  it('is put off while somebody waits, but not beyond its deadline', async () => {
    const [open, bounded] = [await submit(), await submit([blocks], 0)]
    await sql(`UPDATE keyrite.scan_jobs SET expires = now() - interval '1s'`)
    for (const job of [open, bounded]) await queue.prolong(job)
    expect(await queue.sweep()).toBe(1)
    expect(await queue.status(open)).toMatchObject({ tasks: 1 })
  })
})

/** Runs a worker with a scorer of the test while `use` runs. */
async function withWorker<T>(
  scores: BlockScorer['scores'],
  use: () => Promise<T>,
  on: Database = database,
) {
  const stop = new AbortController()
  const events: WorkerEvent[] = []
  const ended = workOnQueue({
    database: on,
    scorerFor: () => ({ scores }),
    signal: stop.signal,
    leaseMs: 5000,
    pollMs: 50,
    graceMs: 10,
    onEvent: (event) => events.push(event),
  })
  try {
    return { result: await use(), events }
  } finally {
    stop.abort()
    await ended
  }
}
const scan = async (): Promise<BlockScores[]> =>
  collect((await scorer.scan(NAME, { queries })).blocks)
/** As a scorer, with bytes that name the block. */
// eslint-disable-next-line @typescript-eslint/require-await -- an AsyncIterable
async function* honest(_: string, __: unknown, wanted: readonly number[]) {
  for (const block of wanted) yield { block, epoch: 1, results: [bytes(64).fill(block)] }
}

describe('a worker', () => {
  it('with a fault of its own gives the task to others', async () => {
    let faults = 0
    const { result: found, events } = await withWorker(async function* (name, all, wanted) {
      yield* honest(name, all, wanted.slice(0, 1))
      if (faults++ === 0) throw new EmbeddingError('KERNEL_UNAVAILABLE', 'no kernel here')
      yield* honest(name, all, wanted.slice(1))
    }, scan)
    // The block that was computed twice comes once.
    expect(found.map((one) => one.block).sort()).toEqual([...blocks].sort())
    for (const one of found) expect(one.results).toEqual([bytes(64).fill(one.block)])
    expect(events.filter(({ what }) => what === 'released')).toMatchObject([
      { error: 'KERNEL_UNAVAILABLE: no kernel here' },
    ])
  })

  it('that cannot do it at all does not hold a search forever', async () => {
    await sql('ALTER TABLE keyrite.scan_tasks ALTER COLUMN lease SET DEFAULT 4')
    try {
      const failing = withWorker(() => {
        throw new Error('secret detail')
      }, scan)
      const error: unknown = await failing.catch((cause: unknown) => cause)
      expect(error).toMatchObject({ code: 'UNAVAILABLE' })
      expect(JSON.stringify(error)).not.toContain('secret')
    } finally {
      await sql('ALTER TABLE keyrite.scan_tasks ALTER COLUMN lease SET DEFAULT 0')
    }
  })

  it('that adds blocks or leaves some out is made up for', async () => {
    let jobs = 0
    const { result: found } = await withWorker(async function* (name, all, wanted) {
      jobs += 1
      yield* honest(name, all, [...wanted, 99_999])
    }, scan)
    expect(found.map((one) => one.block).sort()).toEqual([...blocks].sort())
    expect(jobs).toBe(2)
    const leaving = await withWorker(
      (name, all, wanted) => honest(name, all, wanted.slice(1)),
      () => scan().catch((error: unknown) => error),
    )
    expect(leaving.result).toMatchObject({ code: 'UNAVAILABLE' })
    expect(leaving.events.filter(({ what }) => what === 'finished').length).toBeGreaterThan(2)
  })

  it('that sends bytes of another number is refused', async () => {
    const two = [...queries, ...queries]
    const { result: error } = await withWorker(
      async function* (name, all, wanted) {
        for await (const one of honest(name, all, wanted)) yield { ...one, results: [bytes(7)] }
      },
      async () => {
        const { blocks } = await scorer.scan(NAME, { queries: two })
        return collect(blocks).catch((cause: unknown) => cause)
      },
    )
    expect(error).toMatchObject({ code: 'CIPHERTEXT_INVALID' })
  })
})

describe('a collection that is gone', () => {
  const made = async (name: string) => {
    await store.createCollection(info(name), epochOf(1))
    return store.commit(name, { blocks: [block(1), block(1)], records: placed(1) })
  }
  const scanned = async (name: string) =>
    collect((await scorer.scan(name, { queries })).blocks).catch((error: unknown) => error)

  it('ends its scan, and keeps nobody from the next one', async () => {
    await made('gone')
    const { number } = await numberOf('gone')
    await store.dropCollection('gone')
    const stale = await queue.submit({ collection: number, queries, tasks: [[1]], reply: 'x' })
    const { result: found, events } = await withWorker(honest, scan)
    expect(found).toHaveLength(blocks.length)
    expect(events.filter(({ what }) => what === 'failed')).toMatchObject([
      { job: stale, error: expect.stringContaining('COLLECTION_CHANGED') as string },
    ])
    expect(JSON.parse((await queue.status(stale)).error!)).toMatchObject({
      code: 'COLLECTION_CHANGED',
    })
  })

  it('and made anew under its name during a scan is noticed by the worker', async () => {
    await made('again')
    const { result: error } = await withWorker(
      async function* (name, all, wanted) {
        await store.dropCollection('again')
        await made('again')
        yield* honest(name, all, wanted)
      },
      () => scanned('again'),
    )
    expect(error).toMatchObject({ code: 'COLLECTION_CHANGED', hint: 'search again' })
  })
})

it('needs of its role no more than is said', async () => {
  await sql(`CREATE ROLE worker LOGIN PASSWORD '${server.password}';
    GRANT USAGE ON SCHEMA keyrite TO worker;
    GRANT SELECT ON ALL TABLES IN SCHEMA keyrite TO worker;
    GRANT ALL ON keyrite.scan_jobs, keyrite.scan_queries, keyrite.scan_tasks, keyrite.scan_results,
      keyrite.scan_owners TO worker`)
  const theirs = url.replace('keyrite:', 'worker:')
  await using own = await connectPostgres(theirs)
  await using asking = await queueScorer({ url: theirs, partitions: 2 })
  const search = async () => collect((await asking.scan(NAME, { queries })).blocks)
  const { result: found, events } = await withWorker(honest, search, own)
  expect(found).toHaveLength(blocks.length)
  expect(events.map(({ what }) => what).sort()).toEqual([
    ...['claimed', 'claimed', 'finished', 'finished'],
  ])
})

it('gives no number of a job twice, though a crash of the server empties the queue', async () => {
  const before = await submit()
  await server.stop('immediate')
  await server.start()
  const after = await database.read(() => submit())
  expect(await queue.status(before)).toMatchObject({ tasks: 0 })
  expect(after).toBeGreaterThan(before)
  // And not to two at the same moment.
  const many = await Promise.all(Array.from({ length: 40 }, () => submit()))
  expect(new Set(many).size).toBe(40)
})

it('does many searches at once', async () => {
  const { result: all } = await withWorker(honest, () =>
    Promise.all(Array.from({ length: 20 }, () => scan())),
  )
  for (const found of all) expect(found.map((one) => one.block).sort()).toEqual([...blocks].sort())
})

it('says that nothing is there, and that it is closed', async () => {
  await expect(queueScorer({ url, schema: 'nowhere' })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
  })
  await expect(queueScorer({ url, partitions: 0 })).rejects.toMatchObject({
    code: 'LIMIT_EXCEEDED',
  })
  const closed = await queueScorer({ url })
  await closed[Symbol.asyncDispose]()
  await expect(closed.scan(NAME, { queries })).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(closed.collection(NAME)).rejects.toMatchObject({ code: 'CLOSED' })
})
