/** Health and metrics of a scorer's server, read with curl; trace context. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { connectScorer } from '../../src/he/scorer-client.ts'
import { createMetrics } from '../../src/he/scorer-metrics.ts'
import { type RequestEvent, serveScorer } from '../../src/he/scorer-server.ts'
import { bytesOf, randomScorer } from './random-scorer.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-operations-'))
})
afterEach(() => rmSync(directory, { recursive: true }))
const socket = (name = 'scorer') => join(directory, name)
const SHOW = ['-w', '\n%{http_code} %{http_version} %{content_type}']

/** Body, then status, version and media type. */
const curl = (...args: string[]) =>
  new Promise<{ body: string; told: string }>((resolve, reject) => {
    execFile('curl', ['-sS', '-m', '5', ...SHOW, ...args], (error, stdout) => {
      if (error !== null) reject(new Error('curl failed', { cause: error }))
      const at = stdout.lastIndexOf('\n')
      resolve({ body: stdout.slice(0, at), told: stdout.slice(at + 1) })
    })
  })
const H2 = ['--http2-prior-knowledge', '--unix-socket']

interface Family {
  type: string
  unit: string | undefined
  samples: Map<string, number>
}
/** Strict reading of OpenMetrics 1.0, as far as it is used: throws at anything else. */
function parseMetrics(text: string): Map<string, Family> {
  const lines = text.split('\n')
  expect(lines.slice(-2)).toEqual(['# EOF', ''])
  const families = new Map<string, Family>()
  let name = ''
  for (const line of lines.slice(0, -2)) {
    const [, kind, of = '', value = ''] = /^# (TYPE|UNIT|HELP) ([a-z_]+) (.+)$/.exec(line) ?? []
    if (kind === 'TYPE') {
      expect(families.has(of)).toBe(false)
      families.set((name = of), { type: value, unit: undefined, samples: new Map() })
      continue
    }
    const family = families.get(name)!
    if (kind !== undefined) {
      expect(of).toBe(name)
      if (kind === 'UNIT') expect(name.endsWith(`_${(family.unit = value)}`)).toBe(true)
      continue
    }
    const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/.exec(line)
    if (sample === null) throw new Error(`not OpenMetrics: ${line}`)
    const [, own = '', labels = '', number = ''] = sample
    const suffixes = { counter: ['_total'], gauge: [''], histogram: ['_bucket', '_count', '_sum'] }
    expect(suffixes[family.type as 'gauge'].map((suffix) => name + suffix)).toContain(own)
    expect(Number.isFinite(Number(number))).toBe(true)
    family.samples.set(own + labels, Number(number))
  }
  return families
}

describe('operations', () => {
  it('are on the scorer\u2019s own socket', async () => {
    await using server = await serveScorer({
      scorer: randomScorer(),
      listen: { socket: socket() },
      ready: () => false,
    })
    expect(server.operationsAddress).toBeUndefined()
    const ask = (path: string) => curl(...H2, socket(), `http://localhost${path}`)
    expect(await ask('/healthz')).toEqual({ body: 'ok\n', told: '200 2 text/plain; charset=utf-8' })
    expect(await ask('/readyz')).toMatchObject({ body: 'not ready\n' })
    expect((await ask('/metrics')).told).toBe(
      '200 2 application/openmetrics-text; version=1.0.0; charset=utf-8',
    )
    expect((await ask('/nothing')).told).toBe('404 2 application/problem+json')
  })

  it('are on a second one, in HTTP/1.1, when that is asked for', async () => {
    let ready = true
    const stop = new AbortController()
    const own = randomScorer()
    own.pause = () => sleep(200)
    const server = await serveScorer({
      scorer: own,
      listen: { socket: socket() },
      operations: { host: '127.0.0.1', port: 0 },
      ready: () => {
        if (!ready) throw new Error('store is away')
        return true
      },
      signal: stop.signal,
      limits: { drainTimeoutMs: 1000 },
    })
    const url = server.operationsAddress!
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(await curl(`${url}/readyz`)).toEqual({
      body: 'ok\n',
      told: '200 1.1 text/plain; charset=utf-8',
    })
    ready = false
    expect((await curl(`${url}/readyz`)).told).toMatch(/^503 /)
    expect((await curl(`${url}/healthz`)).told).toMatch(/^200 /)
    expect((await curl(`${url}/v1/collections/docs/state`)).told).toMatch(/^404 /)
    expect((await curl('-d', 'x', `${url}/metrics`)).told).toMatch(/^405 /)
    // While it drains, it is alive and not ready.
    await using scorer = await connectScorer(server.address)
    const scan = await scorer.scan('docs', { queries: [new Map([[1, bytesOf('q', 10)]])] })
    ready = true
    stop.abort()
    expect(await curl(`${url}/readyz`)).toMatchObject({ body: 'closing\n' })
    await scan.blocks[Symbol.asyncIterator]().return?.()
    await server.closed
    await expect(curl(`${url}/healthz`)).rejects.toThrow()
  })

  it('are on a socket of their own', async () => {
    await using server = await serveScorer({
      scorer: randomScorer(),
      listen: { socket: socket() },
      operations: { socket: socket('operations') },
    })
    expect(server.operationsAddress).toBe(`unix:${socket('operations')}`)
    const found = await curl('--unix-socket', socket('operations'), 'http://localhost/healthz')
    expect(found.told).toBe('200 1.1 text/plain; charset=utf-8')
  })

  it('without TLS are for this machine', async () => {
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost', '127.evil.test', '']) {
      const server = serveScorer({
        scorer: randomScorer(),
        listen: { socket: socket() },
        operations: { host, port: 0 },
      })
      await expect(server).rejects.toMatchObject({ code: 'CONFIG', where: 'operations.host' })
    }
    const taken = await serveScorer({
      scorer: randomScorer(),
      listen: { socket: socket('one') },
      operations: { host: '127.0.0.1', port: 0 },
    })
    const port = Number(new URL(taken.operationsAddress!).port)
    // A port that is taken leaves nothing behind.
    const operations = { host: '127.0.0.1', port }
    const second = serveScorer({ scorer: randomScorer(), listen: { socket: socket() }, operations })
    await expect(second).rejects.toMatchObject({ code: 'CONFIG', got: 'EADDRINUSE' })
    await taken[Symbol.asyncDispose]()
    await (
      await serveScorer({ scorer: randomScorer(), listen: { socket: socket() }, operations })
    )[Symbol.asyncDispose]()
  })
})

describe('metrics', () => {
  it('count what happened', async () => {
    const own = randomScorer()
    await using server = await serveScorer({ scorer: own, listen: { socket: socket() } })
    await using scorer = await connectScorer(server.address)
    const queries = [1, 2, 3].map(() => new Map([[1, bytesOf('q', 500)]]))
    for (let i = 0; i < 2; i++) {
      let blocks = 0
      for await (const _ of (await scorer.scan('docs', { queries })).blocks)
        blocks += _.results.length
      expect(blocks).toBe(12)
    }
    await scorer.collection('docs')
    await expect(scorer.collection('none')).rejects.toThrow()
    const { body } = await curl(...H2, socket(), 'http://localhost/metrics')
    const families = parseMetrics(body)
    const value = (sample: string) => {
      for (const { samples } of families.values()) {
        const found = samples.get(sample)
        if (found !== undefined) return found
      }
      throw new Error(`no ${sample}`)
    }
    expect([...families.keys()]).toEqual([
      'http_server_request_duration_seconds',
      'http_server_request_body_size_bytes',
      'http_server_response_body_size_bytes',
      'http_server_active_requests',
      'keyrite_scorer_scan_duration_seconds',
      'keyrite_scorer_queries',
      'keyrite_scorer_blocks',
      'keyrite_scorer_scans_running',
      'keyrite_scorer_scans_waiting',
      'keyrite_scorer_connections',
      'keyrite_scorer_resident_blocks_bytes',
    ])
    const scan = 'http_request_method="POST",http_route="/v1/collections/{name}/scan"'
    expect(
      value(`http_server_request_duration_seconds_count{${scan},http_response_status_code="200"}`),
    ).toBe(2)
    expect(value(`http_server_response_body_size_bytes_sum{${scan}}`)).toBeGreaterThan(
      2 * 4 * 3 * 39_216,
    )
    expect(value(`http_server_request_body_size_bytes_sum{${scan}}`)).toBeGreaterThan(3000)
    const state = 'http_request_method="GET",http_route="/v1/collections/{name}/state"'
    const missing = 'http_response_status_code="404",error_type="COLLECTION_NOT_FOUND"'
    expect(value(`http_server_request_duration_seconds_count{${state},${missing}}`)).toBe(1)
    expect(value('keyrite_scorer_scan_duration_seconds_count')).toBe(2)
    expect(value('keyrite_scorer_queries_total')).toBe(6)
    expect(value('keyrite_scorer_blocks_total')).toBe(8)
    expect(value('keyrite_scorer_resident_blocks_bytes')).toBe(123_456)
    expect(value('http_server_active_requests')).toBe(1)
    expect(value('keyrite_scorer_connections')).toBe(2)
    // No collection is named, neither one that is there nor one that was asked for.
    expect(body).not.toMatch(/docs|none/)
  })

  it('have buckets that add up', () => {
    const zero = () => 0
    const metrics = createMetrics({ active: zero, connections: zero, running: zero, waiting: zero })
    for (const seconds of [0.001, 0.005, 0.02, 3, 100])
      metrics.scan({ queries: 1, blocks: 0, seconds })
    const { samples } = parseMetrics(metrics.text()).get('keyrite_scorer_scan_duration_seconds')!
    const buckets = [...samples].filter(([name]) => name.includes('_bucket'))
    expect(buckets.map(([name]) => /le="(.*)"/.exec(name)![1])).toEqual(
      '0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 +Inf'.split(' '),
    )
    expect(buckets.map(([, count]) => count)).toEqual([2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 5])
    expect(samples.get('keyrite_scorer_scan_duration_seconds_sum')).toBeCloseTo(103.026)
  })
})

describe('trace context', () => {
  const good = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

  it('comes to the hook, when it is valid', async () => {
    const events: RequestEvent[] = []
    let traceparent: string | undefined
    await using server = await serveScorer({
      scorer: randomScorer(),
      listen: { socket: socket() },
      onRequest: (event) => events.push(event),
    })
    await using scorer = await connectScorer(server.address, { traceparent: () => traceparent })
    const seen = async (value: string | undefined) => {
      traceparent = value
      await scorer.collection('docs')
      return events.at(-1)?.traceparent
    }
    expect(await seen(good)).toBe(good)
    expect(await seen(undefined)).toBeUndefined()
    expect(await seen(good.replace('00-', 'cc-') + '-more')).toBe(
      good.replace('00-', 'cc-') + '-more',
    )
    for (const bad of [
      good + '-more',
      good.replace('00-', 'ff-'),
      good.toUpperCase(),
      good.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32)),
      good.replace('00f067aa0ba902b7', '0'.repeat(16)),
      'hello',
    ]) {
      expect([bad, await seen(bad)]).toEqual([bad, undefined])
    }
    expect(events.at(-1)).toMatchObject({
      method: 'GET',
      route: '/v1/collections/{name}/state',
      collection: 'docs',
      status: 200,
      code: undefined,
      requestBytes: 0,
    })
  })
})
