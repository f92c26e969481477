/** The server of a scorer over a real Unix socket: calls, limits, deadlines, cancellation, drain. */
import { deepStrictEqual } from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type ClientHttp2Session, connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { concat } from '../../src/bytes.ts'
import { EmbeddingError } from '../../src/errors.ts'
import { connectScorer } from '../../src/he/scorer-client.ts'
import {
  type RequestEvent,
  type ScorerServerOptions,
  serveScorer,
} from '../../src/he/scorer-server.ts'
import type { BlockScores, Scan } from '../../src/he/types.ts'
import { encodeScanRequest } from '../../src/he/wire.ts'
import { STATE, bytesOf, randomScorer, recordOf, scoresOf } from './random-scorer.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-scorer-'))
})
afterEach(() => rmSync(directory, { recursive: true }))
const socket = () => join(directory, 'scorer.sock')

async function all(scan: Scan): Promise<BlockScores[]> {
  const blocks: BlockScores[] = []
  for await (const block of scan.blocks) blocks.push(block)
  return blocks
}
const query = (epoch = 1, length = 1000) => new Map([[epoch, bytesOf(`query ${epoch}`, length)]])
const REQUEST = { queries: [query()] }
const never = () => new Promise<void>(() => undefined)

/** Server with a scorer of its own, and a client. */
async function stage(options: Partial<ScorerServerOptions> = {}) {
  const own = randomScorer()
  const errors: unknown[] = []
  const events: RequestEvent[] = []
  const stack = new AsyncDisposableStack()
  const server = stack.use(
    await serveScorer({
      scorer: own,
      listen: { socket: socket() },
      onError: (error) => errors.push(error),
      onRequest: (event) => events.push(event),
      ...options,
    }),
  )
  const scorer = stack.use(await connectScorer(server.address))
  return { own, server, scorer, errors, events, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: Uint8Array
  readonly code: number | undefined
}
/** A request without the client library. */
function raw(session: ClientHttp2Session, headers: Record<string, string>, body?: Uint8Array) {
  return new Promise<Answer>((resolve) => {
    const stream = session.request(headers, { endStream: body === undefined })
    const parts: Uint8Array[] = []
    let found: Record<string, unknown> = {}
    stream.on('response', (h) => (found = h)).on('data', (part: Uint8Array) => parts.push(part))
    stream.on('error', () => undefined)
    stream.on('close', () =>
      resolve({
        status: Number(found[':status']),
        headers: found,
        body: concat(...parts),
        code: stream.rstCode,
      }),
    )
    if (body !== undefined) stream.end(body)
  })
}
const rawSession = (): ClientHttp2Session =>
  connect('http://localhost', { createConnection: () => connectSocket(socket()) })
const problemIn = ({ body }: Answer) => JSON.parse(Buffer.from(body).toString()) as object
const POST = { ':method': 'POST', 'content-type': 'application/vnd.keyrite.scorer' }
const SCAN = { ...POST, ':path': '/v1/collections/docs/scan' }

describe('a scorer behind a socket', () => {
  it('answers as the scorer itself', async () => {
    await using on = await stage()
    expect(await on.scorer.collection('docs')).toEqual(STATE)
    const request = {
      queries: [query(), query(1, 1_300_000)],
      filter: [{ field: 'colour', anyOf: [bytesOf('red', 16), bytesOf('blue', 16)] }],
      knownTail: 69,
    }
    const scan = await on.scorer.scan('docs', request)
    expect(scan.sequence).toBe(77)
    const records = [0, 1, 2].map((i) => recordOf(`tail ${i}`, i))
    expect(scan.tail).toEqual({ sequence: 70, records })
    expect(await all(scan)).toEqual([0, 1, 2, 3].map((block) => scoresOf(block, 2, 39_216)))
    expect(on.own.requests).toEqual([request])
    const places = [
      { block: 1, slot: 2 },
      { block: 7, slot: 13 },
      { block: 0, slot: 255 },
    ]
    expect(await on.scorer.records('docs', places)).toEqual(await on.own.records('docs', places))
    const known = await on.scorer.scan('docs', { ...REQUEST, knownTail: 70 })
    expect(known.tail).toEqual({ sequence: 70, records: undefined })
    await known.blocks[Symbol.asyncIterator]().return?.()
  })

  it('runs 50 scans at once, two of them at a time', async () => {
    await using on = await stage()
    on.own.pause = () => sleep(1)
    const scans = Array.from({ length: 50 }, async (_, i) =>
      all(await on.scorer.scan('docs', { queries: [query(1, 100 + i)] })),
    )
    const expected = [0, 1, 2, 3].map((block) => scoresOf(block, 1, 39_216))
    for (const blocks of await Promise.all(scans)) deepStrictEqual(blocks, expected)
    expect(on.own.mostRunning).toBe(2)
    const lengths = on.own.requests.map(({ queries }) => queries[0]!.get(1)!.length)
    expect(lengths.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => 100 + i))
  })

  it('refuses what comes beyond the queue, and says when to come again', async () => {
    await using on = await stage({
      limits: { maxScans: 1, maxQueuedScans: 1, drainTimeoutMs: 100 },
    })
    on.own.pause = never
    const first = await on.scorer.scan('docs', REQUEST)
    const second = on.scorer.scan('docs', REQUEST, { timeoutMs: 500 })
    second.catch(() => undefined)
    await vi.waitFor(async () => {
      await expect(on.scorer.scan('docs', REQUEST, { timeoutMs: 200 })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: 'too many scans at the same time',
      })
    })
    const session = rawSession()
    const refused = await raw(session, SCAN, concat(...encodeScanRequest(REQUEST)))
    session.destroy()
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect(refused.headers['content-type']).toBe('application/problem+json')
    // States are not held up by scans.
    expect((await on.scorer.collection('docs')).sequence).toBe(77)
    await expect(second).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    on.own.deaf = true
    await first.blocks[Symbol.asyncIterator]().return?.()
  })
})

describe('a scan ends', () => {
  const ended = (own: { running: number; ended: number }, count: number) =>
    vi.waitFor(() => expect(own).toMatchObject({ running: 0, ended: count }))

  it('when its caller cancels it', async () => {
    await using on = await stage()
    on.own.blocks = 1000
    on.own.pause = () => sleep(5)
    const stop = new AbortController()
    const scan = await on.scorer.scan('docs', REQUEST, { signal: stop.signal })
    const iterator = scan.blocks[Symbol.asyncIterator]()
    expect((await iterator.next()).done).toBe(false)
    stop.abort()
    await expect(iterator.next()).rejects.toMatchObject({ code: 'ABORTED' })
    await ended(on.own, 1)
  })

  it('when its caller has seen enough, or never looks', async () => {
    await using on = await stage()
    on.own.blocks = 1000
    on.own.pause = () => sleep(5)
    for await (const block of (await on.scorer.scan('docs', REQUEST)).blocks) {
      expect(block.block).toBe(0)
      break
    }
    await ended(on.own, 1)
    await (await on.scorer.scan('docs', REQUEST)).blocks[Symbol.asyncIterator]().return?.()
    await ended(on.own, 2)
    await on.scorer.scan('docs', REQUEST, { timeoutMs: 100 })
    await ended(on.own, 3)
  })

  it('when its caller is gone', async () => {
    await using on = await stage()
    on.own.blocks = 1000
    on.own.pause = () => sleep(5)
    const session = rawSession()
    const stream = session.request(SCAN)
    stream.on('error', () => undefined).resume()
    stream.end(concat(...encodeScanRequest(REQUEST)))
    await vi.waitFor(() => expect(on.own.running).toBe(1))
    session.destroy()
    await ended(on.own, 1)
    await vi.waitFor(() => expect(on.events.at(-1)).toMatchObject({ code: 'ABORTED' }))
  })

  it('when its time is over, as the client sees it', async () => {
    await using on = await stage()
    on.own.blocks = 1000
    on.own.pause = () => sleep(5)
    const started = performance.now()
    const scan = await on.scorer.scan('docs', REQUEST, { timeoutMs: 150 })
    await expect(all(scan)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(performance.now() - started).toBeLessThan(1000)
    await ended(on.own, 1)
  })

  it('when its time is over, as the server sees it, deaf or not', async () => {
    await using on = await stage({ limits: { maxTimeoutMs: 150 } })
    on.own.deaf = true
    let go: () => unknown = never
    on.own.pause = () => new Promise<void>((resolve) => (go = resolve))
    // The client would wait for a minute.
    const scan = await on.scorer.scan('docs', REQUEST)
    await expect(all(scan)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'the time given to the call is over',
    })
    expect(on.own.running).toBe(1)
    go()
    await ended(on.own, 1)
    expect(on.events.at(-1)).toMatchObject({ status: 200, code: 'DEADLINE_EXCEEDED', queries: 1 })
  })

  it('when the header says so', async () => {
    await using on = await stage()
    const wait = Promise.withResolvers<never>()
    on.own.records = () => wait.promise
    const session = rawSession()
    const path = { ...POST, ':path': '/v1/collections/docs/records' }
    const body = Buffer.from(
      '4b525357010300000100000017000000000000007b22706c61636573223a5b5b302c305d5d7d',
      'hex',
    )
    const fits = Buffer.concat([
      body.subarray(0, 12),
      Buffer.from([18, 0, 0, 0, 0, 0, 0, 0]),
      body.subarray(20),
    ])
    const late = await raw(session, { ...path, 'x-keyrite-timeout-ms': '100' }, fits)
    expect(late.status).toBe(504)
    expect(problemIn(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED', title: 'Gateway Timeout' })
    for (const bad of ['0', '-1', '1e3', 'soon', '99999999999']) {
      const wrong = await raw(session, { ...path, 'x-keyrite-timeout-ms': bad }, fits)
      expect([bad, wrong.status]).toEqual([bad, 400])
    }
    wait.reject(new EmbeddingError('ABORTED', 'test is over'))
    session.destroy()
  })
})

describe('limits', () => {
  it('are kept before anything is computed', async () => {
    const limits = { maxQueries: 2, maxRequestBytes: 50_000, maxPlaces: 3, maxFilterTokens: 4 }
    await using on = await stage({ limits })
    const many = { queries: [query(), query(), query()] }
    await expect(on.scorer.scan('docs', many)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      expected: 'at most 2',
      got: '3',
    })
    const large = { queries: [query(1, 5_000_000)] }
    await expect(on.scorer.scan('docs', large)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      expected: 'at most 50000 bytes',
    })
    const anyOf = Array.from({ length: 5 }, (_, i) => bytesOf(`${i}`, 16))
    const filtered = { ...REQUEST, filter: [{ field: 'colour', anyOf }] }
    await expect(on.scorer.scan('docs', filtered)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    const places = Array.from({ length: 4 }, (_, slot) => ({ block: 0, slot }))
    await expect(on.scorer.records('docs', places)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    })
    // A body without a length is cut off as it grows.
    const session = rawSession()
    const grown = await raw(session, SCAN, concat(...encodeScanRequest(large)))
    expect(grown.status).toBe(413)
    session.destroy()
    expect(on.own.requests).toEqual([])
    expect(await all(await on.scorer.scan('docs', REQUEST))).toHaveLength(4)
  })

  it('are whole numbers with known names', async () => {
    const wrong = (limits: object) =>
      serveScorer({ scorer: randomScorer(), listen: { socket: socket() }, limits })
    const config = { code: 'CONFIG' }
    await expect(wrong({ maxScans: 0 })).rejects.toMatchObject({
      ...config,
      where: 'limits.maxScans',
    })
    await expect(wrong({ maxQueries: 1.5 })).rejects.toMatchObject(config)
    await expect(wrong({ stallTimeoutMs: 2 ** 31 })).rejects.toMatchObject(config)
    await expect(wrong({ maxSpeed: 1 })).rejects.toMatchObject(config)
    expect(readdirSync(directory)).toEqual([])
  })

  it('end an upload that stalls, and an idle connection', async () => {
    await using on = await stage({ limits: { stallTimeoutMs: 100, idleTimeoutMs: 300 } })
    const session = rawSession()
    const stream = session.request(SCAN)
    stream.write(concat(...encodeScanRequest(REQUEST)).subarray(0, 50))
    const status = await new Promise((resolve) => {
      stream.on('response', (headers) => resolve(headers[':status'])).resume()
    })
    expect(status).toBe(504)
    await new Promise((resolve) => session.once('close', resolve))
    // The client connects again when it is asked something.
    await sleep(400)
    expect((await on.scorer.collection('docs')).sequence).toBe(77)
  })

  it('hold a slow reader: little is made for it, and at last it is cut off', async () => {
    await using on = await stage({ limits: { stallTimeoutMs: 300 } })
    on.own.blocks = 10_000
    const taken: number[] = []
    on.own.pause = () => Promise.resolve(void taken.push(1))
    const session = connect('http://localhost', {
      createConnection: () => connectSocket(socket()),
      settings: { initialWindowSize: 100_000 },
    })
    const stream = session.request(SCAN)
    stream.end(concat(...encodeScanRequest(REQUEST)))
    // Never read.
    const closed = new Promise((resolve) => stream.once('close', resolve))
    await vi.waitFor(() => expect(on.own.ended).toBe(1))
    expect(taken.length).toBeLessThan(10)
    expect(taken.length).toBeGreaterThan(1)
    stream.resume()
    await closed
    session.destroy()
    expect(on.own.running).toBe(0)
  })
})

describe('errors', () => {
  it('come back as what they were', async () => {
    await using on = await stage()
    await expect(on.scorer.collection('unknown')).rejects.toMatchObject({
      name: 'EmbeddingError',
      code: 'COLLECTION_NOT_FOUND',
      where: 'unknown',
    })
    await expect(on.scorer.scan('unknown', REQUEST)).rejects.toBeInstanceOf(EmbeddingError)
    await expect(on.scorer.records('../x', [])).rejects.toMatchObject({
      code: 'COLLECTION_NOT_FOUND',
    })
    const detail = { where: 'epoch 3', index: 2, expected: 'a', got: 'b', hint: 'c' }
    on.own.failAt = { block: 2, error: new EmbeddingError('EPOCH_UNKNOWN', 'no query', detail) }
    const scan = await on.scorer.scan('docs', REQUEST)
    await expect(all(scan)).rejects.toMatchObject({
      code: 'EPOCH_UNKNOWN',
      message: 'no query',
      ...detail,
    })
    expect(on.errors).toEqual([])
  })

  it('of the inside stay there', async () => {
    await using on = await stage()
    const inside = [
      new Error('secret of /var/lib'),
      new EmbeddingError('STORE_INVALID', 'secret segment', { where: '/secret/path' }),
    ]
    for (const error of inside) {
      on.own.failAt = { block: 1, error }
      const seen: unknown = await all(await on.scorer.scan('docs', REQUEST)).catch(
        (e: unknown) => e,
      )
      expect(seen).toBeInstanceOf(EmbeddingError)
      expect(`${JSON.stringify(seen)} ${String(seen)}`).not.toContain('secret')
      on.own.collection = () => Promise.reject(error)
      const state: unknown = await on.scorer.collection('docs').catch((e: unknown) => e)
      expect(`${JSON.stringify(state)} ${String(state)}`).not.toContain('secret')
      expect(state).toMatchObject({
        code: error instanceof EmbeddingError ? 'STORE_INVALID' : 'UNAVAILABLE',
      })
    }
    expect(on.errors).toEqual([inside[0], inside[0], inside[1], inside[1]])
  })

  it('of HTTP have their status', async () => {
    await using on = await stage()
    const session = rawSession()
    const body = concat(...encodeScanRequest(REQUEST))
    const status = async (headers: Record<string, string>, sent?: Uint8Array) =>
      (await raw(session, headers, sent)).status
    expect(await status({ ':path': '/' })).toBe(404)
    expect(await status({ ':path': '/v1/collections/docs/keys' })).toBe(404)
    expect(await status({ ':path': '/v1/collections/docs/state?x' })).toBe(404)
    expect(await status({ ':path': '/v1/collections/docs/scan' })).toBe(405)
    expect(await status({ ...SCAN, 'content-type': 'application/json' }, body)).toBe(415)
    expect(await status(SCAN, body.subarray(0, 30))).toBe(400)
    expect(await status(SCAN, concat(body, body))).toBe(400)
    const wrong = await raw(session, { ...SCAN, ':path': '/v1/collections/docs/records' }, body)
    expect(problemIn(wrong)).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: 'a message of another version or kind',
      code: 'FORMAT',
      where: 'records request',
      expected: 'version 1, kind 3',
      got: 'version 1, kind 1',
      hint: 'both sides must run the same major version of keyrite',
    })
    session.destroy()
    expect(on.events.filter(({ status: s }) => s === 404)).toHaveLength(3)
    expect(on.events.find(({ status: s }) => s === 404)).toMatchObject({ route: '_OTHER' })
  })

  it('of a hook harm nobody', async () => {
    const fail = () => {
      throw new Error('hook')
    }
    await using on = await stage({ onRequest: fail, onError: fail })
    on.own.failAt = { block: 0, error: new Error('inside') }
    await expect(all(await on.scorer.scan('docs', REQUEST))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    })
    expect((await on.scorer.collection('docs')).sequence).toBe(77)
  })
})

describe('the socket', () => {
  const serve = (path = socket()) =>
    serveScorer({ scorer: randomScorer(), listen: { socket: path } })

  it('is its owner\u2019s only, and goes with the server', async () => {
    {
      await using server = await serve()
      expect(server.address).toBe(`unix:${socket()}`)
      expect(statSync(socket()).mode & 0o777).toBe(0o600)
      await expect(serve()).rejects.toMatchObject({ code: 'LOCKED' })
      expect((await (await connectScorer(server.address)).collection('docs')).sequence).toBe(77)
    }
    expect(readdirSync(directory)).toEqual([])
  })

  it('is not made where others could replace it', async () => {
    const open = join(directory, 'open')
    mkdirSync(open)
    chmodSync(open, 0o777)
    await expect(serve(join(open, 's'))).rejects.toMatchObject({ code: 'CONFIG', where: open })
    chmodSync(open, 0o1777)
    await expect(serve(join(open, 's'))).rejects.toMatchObject({ code: 'CONFIG' })
    chmodSync(open, 0o775)
    await expect(serve(join(open, 's'))).rejects.toMatchObject({ code: 'CONFIG' })
    const below = join(open, 'below')
    mkdirSync(below, { mode: 0o700 })
    chmodSync(open, 0o777)
    await expect(serve(join(below, 's'))).rejects.toMatchObject({ code: 'CONFIG', where: open })
    chmodSync(open, 0o755)
    await (await serve(join(below, 's')))[Symbol.asyncDispose]()
    await expect(serve(join(directory, 'none', 's'))).rejects.toMatchObject({ code: 'CONFIG' })
    await expect(serve(join(directory, 'x'.repeat(100)))).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('takes the place of one nobody listens on, and of nothing else', async () => {
    const script = `require('net').createServer().listen(${JSON.stringify(socket())}, () => process.kill(process.pid, 'SIGKILL'))`
    await new Promise((resolve) => execFile(process.execPath, ['-e', script], resolve))
    expect(existsSync(socket())).toBe(true)
    await (await serve())[Symbol.asyncDispose]()
    writeFileSync(socket(), 'a file')
    await expect(serve()).rejects.toMatchObject({ code: 'CONFIG', where: socket() })
    expect(readdirSync(directory)).toEqual(['scorer.sock'])
  })
})

describe('closing', () => {
  it('lets what runs end, and takes nothing new', async () => {
    const on = await stage()
    let closed = false
    void on.server.closed.then(() => (closed = true))
    on.own.pause = () => sleep(30)
    const blocks = all(await on.scorer.scan('docs', REQUEST))
    const closing = on.server[Symbol.asyncDispose]()
    await expect(connectScorer(on.server.address)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(on.scorer.collection('docs')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(await blocks).toHaveLength(4)
    await closing
    expect(closed).toBe(true)
    expect(on.own).toMatchObject({ running: 0, ended: 0 })
    await on[Symbol.asyncDispose]()
  })

  it('ends what does not end in time, when its signal fires', async () => {
    const stop = new AbortController()
    await using on = await stage({ signal: stop.signal, limits: { drainTimeoutMs: 100 } })
    on.own.blocks = 1000
    on.own.pause = () => sleep(20)
    const blocks = all(await on.scorer.scan('docs', REQUEST))
    blocks.catch(() => undefined)
    const started = performance.now()
    stop.abort()
    await on.server.closed
    expect(performance.now() - started).toBeLessThan(1000)
    await expect(blocks).rejects.toMatchObject({ code: 'ABORTED' })
    expect(on.own.ended).toBe(1)
  })

  it('is survived by a client: it connects to the next server', async () => {
    const first = await serveScorer({ scorer: randomScorer(), listen: { socket: socket() } })
    await using scorer = await connectScorer(first.address)
    expect((await scorer.collection('docs')).sequence).toBe(77)
    await first[Symbol.asyncDispose]()
    // It comes back while the client tries again.
    const later = sleep(60).then(() =>
      serveScorer({ scorer: randomScorer(), listen: { socket: socket() } }),
    )
    expect((await scorer.collection('docs')).sequence).toBe(77)
    await (await later)[Symbol.asyncDispose]()
  })
})
