/** Two worker processes on a real server: the same bytes as one scorer, whatever happens to one of them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { geometryOf } from '../../src/he/parameters.ts'
import { connectPostgres, openPostgresStore } from '../../src/he/postgres.ts'
import type { Database } from '../../src/he/postgres-connection.ts'
import { queueScorer } from '../../src/he/queue-scorer.ts'
import { runScanWorker, workOnQueue } from '../../src/he/scan-worker.ts'
import { type LocalScorer, createScorer } from '../../src/he/scorer.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import type { BlockScores, EncryptedQuery, Scan, Scorer } from '../../src/he/types.ts'
import { type PostgresServer, startPostgres } from './postgres-server.ts'
import { randomCiphertexts } from './random-ciphertexts.ts'
import { block, collect, epochOf, info, placed, record, token } from './store-content.ts'

const NAME = 'things'
const BLOCKS = 40
const collection = info(NAME)
const geometry = geometryOf(collection)
const query = (number: number): EncryptedQuery =>
  new Map([
    [1, randomCiphertexts(geometry, 'query', number)],
    [2, randomCiphertexts(geometry, 'query', number + 1)],
  ])
const queries = [query(1000), query(2000)]

let server: PostgresServer
let url: string
let store: EmbeddingStore
let local: LocalScorer
let scorer: Scorer
let database: Database
const colour = token()

beforeAll(async () => {
  server = await startPostgres()
  url = await server.createDatabase()
  store = await openPostgresStore(url, { create: true, partitions: 4 })
  await store.createCollection(collection, epochOf(1))
  // Half of the blocks under an older key; of every fourth block one record has the colour.
  for (const epoch of [1, 2]) {
    const content = Array.from({ length: BLOCKS / 2 }, (_, n) =>
      block(4, { epoch, bytes: randomCiphertexts(geometry, 'block', n * 2 + epoch) }),
    )
    const records = content.flatMap((_, index) =>
      placed(3, index, { epoch }).map((one, slot) =>
        index % 4 === 0 && slot === 1 ? { ...one, filters: { colour } } : one,
      ),
    )
    await store.commit(NAME, {
      epochs: epoch === 1 ? [] : [epochOf(epoch)],
      blocks: content,
      records: [...records, record({ epoch })],
    })
  }
  local = createScorer({ store, threads: 1 })
  scorer = await queueScorer({ url, pollMs: 500, partitions: 8 })
  database = await connectPostgres(url)
})
afterAll(async () => {
  for (const one of [scorer, local, store, database, server]) await one[Symbol.asyncDispose]()
})

interface WorkerProcess {
  readonly child: ChildProcess
  readonly events: { what: string; job?: number; partition?: number; lease?: number }[]
  said(what: string): Promise<void>
}
const running = new Set<ChildProcess>()

/** Starts a worker process and waits until it is there. */
async function worker({ leaseMs = 2000, pauseMs = 0, schema = 'keyrite' } = {}) {
  const program = join(import.meta.dirname, 'scan-worker-process.ts')
  const child = spawn(process.execPath, [program, schema, String(leaseMs), String(pauseMs)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  running.add(child)
  child.stdin.end(url)
  const one: WorkerProcess = {
    child,
    events: [],
    async said(what) {
      while (!one.events.some((event) => event.what === what)) {
        expect(child.exitCode).toBeNull()
        await sleep(10)
      }
    },
  }
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    one.events.push(...lines.map((line) => JSON.parse(line) as WorkerProcess['events'][number]))
  })
  await one.said('ready')
  return one
}

async function end(child: ChildProcess, signal: NodeJS.Signals) {
  running.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
afterEach(async () => {
  for (const child of [...running]) await end(child, 'SIGKILL')
  for (const table of ['scan_jobs', 'scan_queries', 'scan_tasks', 'scan_results']) {
    expect(await count(table), table).toBe(0)
  }
})

async function count(table: string): Promise<number> {
  const text = `SELECT count(*) AS count FROM keyrite.${table}`
  const [row] = await database.read((on) => on.query<{ count: number }>({ name: table, text }))
  return row!.count
}

const plain = ({ block, epoch, live, results }: BlockScores) => ({
  block,
  epoch,
  live: toHex(live),
  results: results.map(toHex),
})
/** A scan read to its end, in the order of the blocks. */
async function whole({ sequence, tail, blocks }: Scan) {
  const all = (await collect(blocks)).map(plain).sort((a, b) => a.block - b.block)
  return { sequence, tail, blocks: all }
}

describe('two workers', () => {
  it('give the bytes that one scorer gives', async () => {
    const both = [await worker(), await worker()]
    const request = { queries }
    const expected = await whole(await local.scan(NAME, request))
    expect(expected.blocks).toHaveLength(BLOCKS)
    expect(await whole(await scorer.scan(NAME, request))).toEqual(expected)
    const filter = [{ field: 'colour', anyOf: [colour] }]
    const { sequence } = expected.tail
    const filtered = { queries: queries.slice(0, 1), filter, knownTail: sequence }
    const some = await whole(await local.scan(NAME, filtered))
    expect(some.blocks).toHaveLength(BLOCKS / 4)
    expect(some.tail.records).toBeUndefined()
    expect(await whole(await scorer.scan(NAME, filtered))).toEqual(some)
    // Both had their part, and keep to it: the blocks are in their memory.
    const share = (one: WorkerProcess) =>
      one.events.filter(({ what }) => what === 'finished').map(({ partition }) => partition)
    // A worker says so after its results are there, and the answer may be here before that line.
    await vi.waitFor(() => {
      expect([...share(both[0]!), ...share(both[1]!)]).toHaveLength(8 + 2)
    })
    for (const one of both) expect(share(one).length).toBeGreaterThan(0)
    const nothing = { queries, filter: [{ field: 'colour', anyOf: [token()] }] }
    expect((await whole(await scorer.scan(NAME, nothing))).blocks).toEqual([])
    expect(await scorer.collection(NAME)).toEqual(await local.collection(NAME))
    const places = expected.blocks.slice(0, 3).map((one) => ({ block: one.block, slot: 1 }))
    expect(await scorer.records(NAME, places)).toEqual(await local.records(NAME, places))
  })

  it('go on with their task when LISTEN comes late, or anew', async () => {
    const events: string[] = []
    const stop = new AbortController()
    await using own = await connectPostgres(url)
    const listening = Promise.withResolvers<undefined>()
    const late = {
      ...own,
      listen: async (...args: Parameters<typeof own.listen>) => {
        await listening.promise
        return own.listen(...args)
      },
    }
    const expected = await whole(await local.scan(NAME, { queries }))
    const slow = {
      async *scores(...args: Parameters<LocalScorer['scores']>) {
        listening.resolve(undefined)
        await sleep(300)
        yield* local.scores(...args)
      },
    }
    const working = workOnQueue({
      database: late,
      signal: stop.signal,
      scorerFor: () => slow,
      onEvent: ({ what }) => events.push(what),
    })
    const scan = await scorer.scan(NAME, { queries })
    expect(await whole(scan)).toEqual(expected)
    expect(events).not.toContain('stale')
    expect(events.filter((what) => what === 'claimed')).toHaveLength(8)
    stop.abort()
    await working
  })

  it('share a scan that one of them leaves by kill -9', async () => {
    const [victim, other] = [
      await worker({ leaseMs: 700, pauseMs: 60 }),
      await worker({ leaseMs: 700, pauseMs: 60 }),
    ]
    const expected = await whole(await local.scan(NAME, { queries }))
    const scan = await scorer.scan(NAME, { queries })
    await victim.said('claimed')
    const killed = end(victim.child, 'SIGKILL')
    expect(await whole(scan)).toEqual(expected)
    await killed
    const lost = victim.events.filter(({ what }) => what === 'claimed').at(-1)!
    const taken = other.events.filter(({ partition, job }) => {
      return partition === lost.partition && job === lost.job
    })
    expect(taken.map(({ what, lease }) => [what, lease])).toEqual([
      ['claimed', 2],
      ['finished', 2],
    ])
  })

  it('are four, two of which are killed, and do several scans at once', async () => {
    const four = await Promise.all(
      Array.from({ length: 4 }, () => worker({ leaseMs: 700, pauseMs: 30 })),
    )
    const expected = await whole(await local.scan(NAME, { queries }))
    const scans = [0, 1, 2].map(async () => whole(await scorer.scan(NAME, { queries })))
    const victims = four.slice(0, 2)
    await Promise.all(victims.map((victim) => victim.said('claimed')))
    await Promise.all(victims.map(({ child }) => end(child, 'SIGKILL')))
    for (const found of await Promise.all(scans)) expect(found).toEqual(expected)
    const done = (one: WorkerProcess) => one.events.filter(({ what }) => what === 'finished').length
    // What the victims had begun was done by the others.
    const claimed = victims.flatMap(({ events }) => events.filter(({ what }) => what === 'claimed'))
    expect(claimed.length).toBeGreaterThan(victims.map(done).reduce((a, b) => a + b))
    // One who was killed may not have said so of its last task.
    expect(four.map(done).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(3 * 8 - 2)
    for (const one of four.slice(2)) expect(done(one)).toBeGreaterThan(0)
  })

  it('give a task back when they are told to end', async () => {
    const leaver = await worker({ leaseMs: 60_000, pauseMs: 100 })
    const scan = await scorer.scan(NAME, { queries: queries.slice(0, 1) })
    await leaver.said('claimed')
    await end(leaver.child, 'SIGTERM')
    expect(leaver.events.at(-1)).toMatchObject({ what: 'released' })
    await worker()
    expect((await collect(scan.blocks)).length).toBe(BLOCKS)
  })

  it('stop when the search is stopped, and when its time is over', async () => {
    const one = await worker({ pauseMs: 200 })
    const stop = new AbortController()
    const scan = await scorer.scan(NAME, { queries }, { signal: stop.signal })
    await one.said('claimed')
    setTimeout(() => stop.abort(), 100)
    const started = performance.now()
    await expect(collect(scan.blocks)).rejects.toMatchObject({ code: 'ABORTED' })
    await one.said('stale')
    expect(performance.now() - started).toBeLessThan(1500)
    expect(await count('scan_jobs')).toBe(0)

    const late = await scorer.scan(NAME, { queries }, { timeoutMs: 300 })
    await expect(collect(late.blocks)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    // Left in the middle by the consumer.
    const left = await scorer.scan(NAME, { queries })
    for await (const { block } of left.blocks) {
      expect(block).toBeGreaterThan(0)
      break
    }
    expect(await count('scan_jobs')).toBe(0)
    expect(one.child.exitCode).toBeNull()
  })

  it('work while the collection is written, and say when a block is removed', async () => {
    const one = await worker({ pauseMs: 20 })
    const before = await whole(await local.scan(NAME, { queries }))
    const scan = await scorer.scan(NAME, { queries })
    await one.said('claimed')
    const [first] = await store.inBlock(NAME, before.blocks[0]!.block)
    const added = record({ epoch: 2 })
    await store.commit(NAME, { records: [added], delete: [first!.token] })
    // Still the state that was read.
    expect(await whole(scan)).toEqual(before)
    await store.commit(NAME, {
      delete: [added.token],
      records: [{ ...record({ epoch: 2 }), token: first!.token }],
    })

    const again = await scorer.scan(NAME, { queries })
    const extra = await store.commit(NAME, {
      blocks: [block(1, { epoch: 2, bytes: randomCiphertexts(geometry, 'block', 999) })],
      records: placed(1, 0, { epoch: 2 }),
    })
    expect((await collect(again.blocks)).length).toBe(BLOCKS)
    const gone = extra.blocks[0]!
    // A worker that does not know the block yet meets a queue that names it.
    await end(one.child, 'SIGKILL')
    const stale = await scorer.scan(NAME, { queries })
    await store.commit(NAME, { removeBlocks: [gone] })
    await worker()
    await expect(collect(stale.blocks)).rejects.toMatchObject({ code: 'COLLECTION_CHANGED' })
  })

  it('outlast a crash of the server, and the scan goes on', async () => {
    await worker({ pauseMs: 40 })
    const expected = await whole(await local.scan(NAME, { queries }))
    const scan = await scorer.scan(NAME, { queries })
    const blocks: BlockScores[] = []
    for await (const one of scan.blocks) {
      blocks.push(one)
      if (blocks.length !== 3) continue
      await server.stop('immediate')
      await server.start()
    }
    expect(blocks.map(plain).sort((a, b) => a.block - b.block)).toEqual(expected.blocks)
  })
})

it('runs in this process as well, until its signal fires', async () => {
  const stop = new AbortController()
  const ended = runScanWorker({ url, signal: stop.signal, threads: 1 })
  const expected = await whole(await local.scan(NAME, { queries }))
  expect(await whole(await scorer.scan(NAME, { queries }))).toEqual(expected)
  stop.abort()
  await ended
})

it('refuses what no worker could scan', async () => {
  await expect(scorer.scan(NAME, { queries: [] })).rejects.toMatchObject({
    code: 'CIPHERTEXT_INVALID',
  })
  const short = new Map([[1, new Uint8Array(100)]])
  await expect(scorer.scan(NAME, { queries: [short] })).rejects.toMatchObject({
    code: 'CIPHERTEXT_INVALID',
  })
  await expect(scorer.scan('nothing', { queries })).rejects.toMatchObject({
    code: 'COLLECTION_NOT_FOUND',
  })
  // Told by a worker: only one of the two epochs has a query.
  await worker()
  const half = new Map([[1, randomCiphertexts(geometry, 'query', 5)]])
  const scan = await scorer.scan(NAME, { queries: [half] })
  await expect(collect(scan.blocks)).rejects.toMatchObject({ code: 'EPOCH_UNKNOWN' })
})
