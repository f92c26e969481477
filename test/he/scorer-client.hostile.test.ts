/** A scorer's client against servers that lie, flood, stall or break: it ends in time with an error of ours. */
import { mkdtempSync, rmSync } from 'node:fs'
import { type Http2Server, type ServerHttp2Stream, createServer } from 'node:http2'
import { type Server, createServer as createPlainServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { concat, utf8 } from '../../src/bytes.ts'
import { EmbeddingError, FormatError } from '../../src/errors.ts'
import { type ScorerClientOptions, connectScorer } from '../../src/he/scorer-client.ts'
import type { BlockScores, Scan } from '../../src/he/types.ts'
import { frameStart, preamble } from '../../src/he/wire-frame.ts'
import { STATE, bytesOf } from './random-scorer.ts'

let directory = ''
const servers: (Http2Server | Server)[] = []
const streams = new Set<ServerHttp2Stream>()
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-evil-'))
})
afterEach(async () => {
  for (const stream of streams) stream.session?.destroy()
  streams.clear()
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
  rmSync(directory, { recursive: true })
})
const socket = () => join(directory, 's')
const MEDIA = 'application/vnd.keyrite.scorer'

/** A server that does with each request what it is told. */
async function evil(act: (stream: ServerHttp2Stream, count: number) => void): Promise<string> {
  let count = 0
  const server = createServer()
  server.on('session', (session) => session.on('error', () => undefined))
  server.on('stream', (stream) => {
    streams.add(stream)
    stream.on('error', () => undefined).resume()
    act(stream, ++count)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(socket(), resolve))
  return `unix:${socket()}`
}
/** A server that answers with these bytes. */
const saying = (...parts: Uint8Array[]) =>
  evil((stream) => {
    stream.respond({ ':status': 200, 'content-type': MEDIA })
    stream.end(concat(...parts))
  })

const QUERIES = { queries: [new Map([[1, bytesOf('q', 100)]])] }
async function all(scan: Scan): Promise<BlockScores[]> {
  const blocks: BlockScores[] = []
  for await (const block of scan.blocks) blocks.push(block)
  return blocks
}
async function scan(address: string, options: ScorerClientOptions = {}): Promise<BlockScores[]> {
  await using scorer = await connectScorer(address, { timeoutMs: 5000, ...options })
  return await all(await scorer.scan('docs', { ...QUERIES, knownTail: 5 }))
}

const START = [
  preamble('scan response'),
  frameStart('start', { sequence: 1, tail: { sequence: 5, records: null } }, 0),
]
const block = (head: object, ...parts: Uint8Array[]) =>
  concat(
    frameStart(
      'block',
      head,
      parts.reduce((sum, p) => sum + p.length, 0),
    ),
    ...parts,
  )
const GOOD = { block: 1, epoch: 1, live: 2, results: [10] }
const BODY = [new Uint8Array(2), new Uint8Array(10)]
const end = (count: number) => frameStart('end', { count }, 0)
/** The frame with the number at this offset changed. */
function patched(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(frame)
  new DataView(copy.buffer).setUint32(at, value, true)
  return copy
}

describe('an answer to a scan', () => {
  it('is taken when it is right', async () => {
    expect(await scan(await saying(...START, block(GOOD, ...BODY), end(1)))).toHaveLength(1)
  })

  const format = { code: 'FORMAT' }
  const scores = { code: 'SCORES_INVALID' }
  const limit = { code: 'LIMIT_EXCEEDED' }
  it.each<[string, () => Uint8Array[], object]>([
    ['that is another message', () => [preamble('records response')], format],
    ['of another version', () => [patched(preamble('scan response'), 4, 2)], format],
    ['that is text', () => [utf8('<html>not found</html>')], format],
    ['with an unknown frame', () => [START[0]!, patched(START[1]!, 0, 77)], format],
    ['with reserved bits', () => [START[0]!, patched(START[1]!, 0, 0x101)], format],
    ['with a head of 4 GiB', () => [START[0]!, patched(START[1]!, 4, 0xffff_ffff)], limit],
    ['with a body of 4 GiB', () => [START[0]!, patched(START[1]!, 8, 0xffff_ffff)], limit],
    ['with a block of 4 GiB', () => [...START, patched(block(GOOD), 8, 0xffff_ffff)], limit],
    [
      'whose head is no JSON',
      () => [START[0]!, patched(concat(START[1]!, utf8('x')), 4, 1)],
      format,
    ],
    [
      'with an unknown field',
      () => [
        START[0]!,
        frameStart('start', { sequence: 1, tail: { sequence: 5, records: null }, extra: 1 }, 0),
      ],
      format,
    ],
    [
      'with a sequence beyond 2^53',
      () => [
        START[0]!,
        frameStart('start', { sequence: 2 ** 60, tail: { sequence: 5, records: null } }, 0),
      ],
      format,
    ],
    [
      'with a negative count',
      () => [
        START[0]!,
        frameStart('start', { sequence: 1, tail: { sequence: 5, records: -1 } }, 0),
      ],
      format,
    ],
    [
      'with too long a tail',
      () => [
        START[0]!,
        frameStart('start', { sequence: 1, tail: { sequence: 5, records: 2 ** 40 } }, 0),
      ],
      limit,
    ],
    [
      'that leaves out a tail the caller does not have',
      () => [
        START[0]!,
        frameStart('start', { sequence: 1, tail: { sequence: 6, records: null } }, 0),
      ],
      scores,
    ],
    ['with too few results', () => [...START, block({ ...GOOD, results: [] }, BODY[0]!)], scores],
    [
      'with too many results',
      () => [...START, block({ ...GOOD, results: [10, 10] }, ...BODY, BODY[1]!)],
      scores,
    ],
    [
      'of an epoch that was not asked for',
      () => [...START, block({ ...GOOD, epoch: 2 }, ...BODY)],
      scores,
    ],
    [
      'with too many bits',
      () => [...START, block({ ...GOOD, live: 257 }, new Uint8Array(257), BODY[1]!)],
      scores,
    ],
    [
      'with parts that do not fill the frame',
      () => [...START, block({ ...GOOD, results: [9] }, ...BODY)],
      format,
    ],
    [
      'with parts that fill more',
      () => [...START, block({ ...GOOD, results: [11] }, ...BODY)],
      format,
    ],
    ['with one block twice', () => [...START, block(GOOD, ...BODY), block(GOOD, ...BODY)], scores],
    ['that lost a block', () => [...START, block(GOOD, ...BODY), end(2)], scores],
    [
      'that goes on after its end',
      () => [...START, block(GOOD, ...BODY), end(1), new Uint8Array(1)],
      format,
    ],
    ['that just ends', () => [...START, block(GOOD, ...BODY)], { code: 'UNAVAILABLE' }],
    ['that is empty', () => [], { code: 'UNAVAILABLE' }],
  ])('%s is refused', async (_, parts, expected) => {
    const address = await saying(...parts())
    const seen: unknown = await scan(address, { attempts: 1 }).catch((error: unknown) => error)
    expect(seen).toMatchObject(expected)
    expect(seen instanceof EmbeddingError || seen instanceof FormatError).toBe(true)
  })

  it('that never ends is ended: blocks without number', async () => {
    const address = await evil((stream) => {
      stream.respond({ ':status': 200, 'content-type': MEDIA })
      stream.write(concat(...START))
      let number = 0
      const more = () => {
        while (!stream.destroyed && stream.write(block({ ...GOOD, block: number++ }, ...BODY)));
      }
      stream.on('drain', more)
      more()
    })
    await expect(scan(address, { maxBlocks: 1000 })).rejects.toMatchObject({
      ...limit,
      message: 'a scorer sends too many blocks',
    })
  })

  it('that never ends is ended: a tail without bound', async () => {
    const record = {
      version: 1,
      epoch: 1,
      session: '',
      place: null,
      sealed: 1_000_000,
      filters: [],
    }
    const frame = concat(
      frameStart('records', { records: [record] }, 1_000_016),
      new Uint8Array(1_000_016),
    )
    const address = await evil((stream) => {
      stream.respond({ ':status': 200, 'content-type': MEDIA })
      stream.write(preamble('scan response'))
      stream.write(frameStart('start', { sequence: 1, tail: { sequence: 6, records: 1000 } }, 0))
      const more = () => {
        while (!stream.destroyed && stream.write(frame));
      }
      stream.on('drain', more)
      more()
    })
    await expect(scan(address, { maxRecordBytes: 5_000_000 })).rejects.toMatchObject(limit)
  })

  it('that falls silent is waited for until the deadline, and then given up', async () => {
    const closed = vi.fn()
    const address = await evil((stream) => {
      stream.once('close', closed)
      stream.respond({ ':status': 200, 'content-type': MEDIA })
      stream.write(concat(...START))
    })
    const started = performance.now()
    await expect(scan(address, { timeoutMs: 200 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    })
    expect(performance.now() - started).toBeLessThan(2000)
    await vi.waitFor(() => expect(closed).toHaveBeenCalledOnce())
  })

  it('is not waited for by a caller who stops', async () => {
    const address = await evil(() => undefined)
    await using scorer = await connectScorer(address)
    const signal = AbortSignal.timeout(50)
    const stop = new AbortController()
    signal.addEventListener('abort', () => stop.abort())
    await expect(scorer.scan('docs', QUERIES, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    stop.abort()
    await expect(scorer.collection('docs', { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
  })
})

describe('other answers', () => {
  const state = async (address: string, options: ScorerClientOptions = {}) => {
    await using scorer = await connectScorer(address, { timeoutMs: 5000, ...options })
    return await scorer.collection('docs')
  }
  const stateFrame = (head: object, body = 80) =>
    concat(preamble('state response'), frameStart('start', head, body), new Uint8Array(body))
  const HEAD = { ...STATE, sessions: [{ id: STATE.sessions[0]!.id, epoch: 1, sealedKey: 80 }] }

  it('states are checked field by field', async () => {
    expect((await state(await saying(stateFrame(HEAD)))).sequence).toBe(77)
  })
  it.each<[string, () => Uint8Array]>([
    [
      'of another collection',
      () => stateFrame({ ...HEAD, info: { ...STATE.info, name: 'other' } }),
    ],
    ['with another metric', () => stateFrame({ ...HEAD, info: { ...STATE.info, metric: 'x' } })],
    [
      'with an infinite norm',
      () => stateFrame({ ...HEAD, info: { ...STATE.info, maxNorm: null } }),
    ],
    ['without a field', () => stateFrame({ ...HEAD, tail: undefined })],
    ['with a key that is longer than the body', () => stateFrame(HEAD, 79)],
    ['with bytes after it', () => concat(stateFrame(HEAD), new Uint8Array(1))],
  ])('a state %s is refused', async (_, bytes) => {
    await expect(state(await saying(bytes()))).rejects.toMatchObject({ code: 'FORMAT' })
  })

  it('records of other places, or too many, are refused', async () => {
    const record = { version: 1, epoch: 1, session: '', place: [0, 1], sealed: 0, filters: [] }
    const answer = (count: number, ...records: (object | null)[]) =>
      concat(
        preamble('records response'),
        frameStart('start', { count }, 0),
        frameStart('records', { records }, 16 * records.filter((r) => r !== null).length),
        new Uint8Array(16 * records.filter((r) => r !== null).length),
      )
    const ask = async (bytes: Uint8Array) => {
      const address = await saying(bytes)
      await using scorer = await connectScorer(address)
      try {
        return await scorer.records('docs', [{ block: 0, slot: 1 }])
      } finally {
        for (const server of servers.splice(0)) server.close()
        rmSync(socket(), { force: true })
      }
    }
    expect(await ask(answer(1, record))).toHaveLength(1)
    expect(await ask(answer(1, null))).toEqual([undefined])
    const refused = { code: 'FORMAT' }
    await expect(ask(answer(1, { ...record, place: [0, 2] }))).rejects.toMatchObject(refused)
    await expect(ask(answer(1, { ...record, place: null }))).rejects.toMatchObject(refused)
    await expect(ask(answer(2, record, record))).rejects.toMatchObject(refused)
    await expect(ask(answer(1, record, record))).rejects.toMatchObject(refused)
    const twice = [
      ['a', 0],
      ['a', 0],
    ]
    await expect(ask(answer(1, { ...record, filters: twice }))).rejects.toMatchObject(refused)
  })

  it('of another media type are refused', async () => {
    const address = await evil((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' })
      stream.end('<html>')
    })
    await expect(state(address)).rejects.toMatchObject({ code: 'FORMAT' })
  })

  it('are problems whose text is made harmless', async () => {
    const refusing = (status: number, body: string | Uint8Array) =>
      evil((stream) => {
        stream.respond({ ':status': status, 'content-type': 'application/problem+json' })
        stream.end(body)
      })
    const of = async (status: number, body: string | Uint8Array) => {
      const address = await refusing(status, body)
      const seen: unknown = await state(address).catch((error: unknown) => error)
      for (const server of servers.splice(0)) server.close()
      rmSync(socket(), { force: true })
      expect(seen).toBeInstanceOf(EmbeddingError)
      return seen as EmbeddingError
    }
    const escaped = await of(
      400,
      JSON.stringify({ code: 'LIMIT_EXCEEDED', detail: '\u001b[2Jgone', hint: 'x'.repeat(4000) }),
    )
    expect(escaped).toMatchObject({ code: 'LIMIT_EXCEEDED', message: '<U+001B>[2Jgone' })
    expect(escaped.hint).toHaveLength(500)
    for (const body of [
      '',
      'null',
      '{"code":"__proto__"}',
      '{"code":"toString"}',
      '[1',
      '{"status":7}',
      new Uint8Array(100_000),
    ]) {
      expect(await of(500, body)).toMatchObject({ code: 'UNAVAILABLE' })
    }
    // A server cannot make a client believe that it stopped itself.
    expect(await of(302, '')).toMatchObject({ code: 'UNAVAILABLE', got: 'status 302' })
  })
})

describe('a connection', () => {
  it('that breaks is made again, so often and no more', async () => {
    let count = 0
    const breaking = (from: number) =>
      evil((stream, n) => {
        count = n
        if (n < from) stream.session!.destroy()
        else {
          stream.respond({ ':status': 200, 'content-type': MEDIA })
          stream.end(concat(...START, end(0)))
        }
      })
    expect(await scan(await breaking(3))).toEqual([])
    expect(count).toBe(3)
    for (const server of servers.splice(0)) server.close()
    rmSync(socket(), { force: true })
    await expect(scan(await breaking(10))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(count).toBe(3)
  })

  it('that ends with GOAWAY is replaced', async () => {
    const address = await evil((stream, count) => {
      stream.respond({ ':status': 200, 'content-type': MEDIA })
      stream.end(concat(...START, end(0)))
      if (count === 1) stream.session!.close()
    })
    await using scorer = await connectScorer(address)
    for (let i = 0; i < 3; i++) {
      expect(await all(await scorer.scan('docs', { ...QUERIES, knownTail: 5 }))).toEqual([])
    }
  })

  it('whose requests are reset is not taken for an answer', async () => {
    let count = 0
    const address = await evil((stream, n) => {
      count = n
      stream.close(n === 1 ? 7 : 2)
    })
    await expect(scan(address)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(count).toBe(3)
  })

  it('that breaks amid the blocks is told, not repeated', async () => {
    let count = 0
    const address = await evil((stream, n) => {
      count = n
      stream.respond({ ':status': 200, 'content-type': MEDIA })
      stream.write(concat(...START, block(GOOD, ...BODY)))
      void sleep(50).then(() => stream.session?.destroy())
    })
    await using scorer = await connectScorer(address)
    const found = await scorer.scan('docs', { ...QUERIES, knownTail: 5 })
    await expect(all(found)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(count).toBe(1)
  })

  it('to a server that says nothing, or not HTTP/2, is given up', async () => {
    const plain = async (greeting: string | undefined) => {
      const server = createPlainServer((peer) => {
        peer.on('error', () => undefined)
        if (greeting !== undefined) peer.write(greeting)
        void sleep(400).then(() => peer.destroy())
      })
      servers.push(server)
      await new Promise<void>((resolve) => server.listen(socket(), resolve))
    }
    const connecting = () => connectScorer({ socket: socket() }, { connectTimeoutMs: 100 })
    await expect(connecting()).rejects.toMatchObject({ code: 'UNAVAILABLE', got: 'ENOENT' })
    await plain(undefined)
    await expect(connecting()).rejects.toMatchObject({ code: 'UNAVAILABLE', got: 'ETIMEDOUT' })
    for (const server of servers.splice(0)) server.close()
    rmSync(socket(), { force: true })
    await plain('HTTP/1.1 400 Bad Request\r\n\r\n')
    await expect(connecting()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('is closed with its client', async () => {
    const address = await evil(() => undefined)
    const scorer = await connectScorer(address)
    const running = scorer.collection('docs')
    running.catch(() => undefined)
    await sleep(20)
    await scorer[Symbol.asyncDispose]()
    await expect(running).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(scorer.collection('docs')).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('goes to an address that is one', async () => {
    for (const address of [
      '',
      'scorer',
      'http://localhost:1',
      'https://a@b',
      'https://b/path',
      'https://b?q',
      'unix:',
    ]) {
      await expect(connectScorer(address)).rejects.toMatchObject({
        code: 'CONFIG',
        where: 'address',
      })
    }
    await expect(connectScorer(`unix:${socket()}`, { attempts: 0 })).rejects.toMatchObject({
      code: 'CONFIG',
    })
  })
})
