/** `keyrite embeddings serve` and `work` as processes: who may ask, what they load, and how they end. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { clustered } from '../he/embeddings-data.ts'
import { type PostgresServer, startPostgres } from '../he/postgres-server.ts'
import { authority } from '../he/tls-files.ts'
import { type EmbeddingsSite, type StartOptions, embeddingsSite } from './embeddings-site.ts'

const DIMENSIONS = 32
const SEED = ['--seed', 'seed-1.json']
const rows = clustered(700, DIMENSIONS, { centres: 10 })
const HITS = ['--query', 'query.json', '-k', '5', '--json']

let site: EmbeddingsSite
beforeAll(async () => {
  site = await embeddingsSite()
  const items = rows.map((row, i) => JSON.stringify({ id: `v${i}`, vector: Array.from(row) }))
  site.put('items.jsonl', items.join('\n'))
  site.put('query.json', JSON.stringify(Array.from(rows[11]!)))
  mkdirSync(site.at('run'), { mode: 0o700 })
  // Writes down every file of ours that a process loads.
  site.put(
    'loads.mjs',
    `import { appendFileSync } from 'node:fs'
    import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) {
      appendFileSync(process.env.LOADS, url + '\\n')
      return next(url, context)
    } })`,
  )
})
afterAll(() => site.stop())

async function good(args: readonly string[], options: StartOptions = {}): Promise<unknown> {
  const { code, stdout, stderr } = await site.run(args, options)
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}
const fill = async (store: readonly string[], env: Record<string, string> = {}): Promise<void> => {
  await good(['create', 'docs', '--dimensions', String(DIMENSIONS), ...store, ...SEED, '--json'], {
    env,
  })
  await good(['import', 'docs', '--in', 'items.jsonl', ...store, ...SEED, '--json'], { env })
}

/** A process that stays: what it says, and its end. */
interface Staying {
  readonly child: ChildProcess
  said(pattern: RegExp): Promise<string>
  readonly ended: Promise<number>
}

function stay(args: readonly string[], env: Record<string, string> = {}): Staying {
  const child = site.start(args, { login: false, env })
  let text = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more
      for (const listener of listeners) listener()
    })
  }
  const ended = once(child, 'close').then(([code]) => {
    for (const listener of listeners) listener()
    return (code as number | null) ?? -1
  })
  return {
    child,
    ended,
    async said(pattern) {
      while (!pattern.test(text)) {
        if (child.exitCode !== null) throw new Error(`it ended: ${text}`)
        const { promise, resolve } = Promise.withResolvers<undefined>()
        const listener = (): void => resolve(undefined)
        listeners.add(listener)
        await promise
        listeners.delete(listener)
      }
      return text
    },
  }
}

describe('serve', () => {
  const STORE = ['--store', 'vectors']
  let expected: unknown
  beforeAll(async () => {
    await fill(STORE)
    expected = await good(['search', 'docs', ...HITS, ...STORE, ...SEED])
    expect(expected).toMatchObject({
      results: [{ hits: [{ id: 'v11', score: 1 }, {}, {}, {}, {}] }],
    })
  })

  it('answers over a Unix socket without loading key code, and ends when it is told to', async () => {
    const socket = `unix:${site.at('run/s')}`
    const serving = stay(
      ['serve', '--listen', socket, '--warm', 'docs', '--log-requests', ...STORE],
      { NODE_OPTIONS: `--import ${site.at('loads.mjs')}`, LOADS: site.at('loads') },
    )
    await serving.said(/holds no key; it listens on/)
    const found = await good(['search', 'docs', '--scorer', socket, ...HITS, ...SEED])
    expect(found).toEqual(expected)
    const log = await serving.said(/"route":"\/v1\/collections\/\{name\}\/records","status":200/)
    expect(log).toContain('docs is in memory')

    const loaded = readFileSync(site.at('loads'), 'utf8')
    expect(loaded).toMatch(/src\/he\/scorer-side\.ts\n[\s\S]*src\/he\/scorer\.ts\n/)
    const keyCode =
      /src\/(?:pkcs11|lifecycle|quorum|ceremony|fpe)\/|src\/he\/(?:index|keys|keyring|key-holder|seal|seal-secret|seal-cipher|record|search|ingest-kit|langchain)\.ts|node-seal|pkcs11js|hpke/
    expect(loaded.split('\n').filter((url) => keyCode.test(url))).toEqual([])

    const second = await site.run(['serve', '--listen', socket, ...STORE, '--json'], {
      login: false,
    })
    expect([second.code, second.stdout]).toEqual([1, expect.stringContaining('LOCKED')])
    serving.child.kill('SIGTERM')
    expect(await serving.ended).toBe(0)
    expect(readdirSync(site.at('run'))).toEqual([])
    const gone = await site.run(['search', 'docs', '--scorer', socket, ...HITS, ...SEED])
    expect([gone.code, gone.stdout]).toEqual([1, expect.stringContaining('UNAVAILABLE')])
  })

  it('answers over TLS to clients with a certificate, and to those it knows only', async () => {
    mkdirSync(site.at('tls'))
    const servers = authority(site.at('tls'), 'servers')
    const clients = authority(site.at('tls'), 'clients')
    const put = (name: string, { key, cert }: { key: string; cert: string }): string[] => [
      ...['--tls-cert', site.put(`${name}.pem`, cert)],
      ...['--tls-key', site.put(`${name}.key`, key)],
    ]
    const alternative = 'IP:127.0.0.1'
    const own = put('scorer', servers.issue({ name: 'scorer', alternative, use: 'serverAuth' }))
    const known = put(
      'known',
      clients.issue({ name: 'known.test', alternative: 'DNS:known.test', use: 'clientAuth' }),
    )
    const other = put(
      'other',
      clients.issue({ name: 'other.test', alternative: 'DNS:other.test', use: 'clientAuth' }),
    )
    site.put('clients.pem', clients.cert)
    site.put('servers.pem', servers.cert)
    const serving = stay([
      ...['serve', '--listen', 'https://127.0.0.1:0', ...own, '--client-ca', 'clients.pem'],
      ...['--allow', 'known.test', ...STORE],
    ])
    const [address = ''] =
      /https:\/\/127\.0\.0\.1:\d+/.exec(await serving.said(/https:\S+\n/)) ?? []
    const ask = (certificate: readonly string[]) => [
      ...['search', 'docs', '--scorer', address, '--server-ca', 'servers.pem'],
      ...[...certificate, ...HITS, ...SEED],
    ]
    expect(await good(ask(known))).toEqual(expected)
    const refused = await site.run(ask(other))
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('"error"')])
    const bare = await site.run(ask([]))
    expect(bare.code).toBe(2)
    serving.child.kill('SIGINT')
    expect(await serving.ended).toBe(0)
  })

  it.each([
    ['--listen', 'http://127.0.0.1:80'],
    ['--listen', '127.0.0.1:80'],
    ['--listen', 'https://127.0.0.1'],
    ['--listen', 'https://127.0.0.1:80/path'],
    ['--listen', 'https://127.0.0.1:8443'],
    ['--listen', 'unix:'],
    ['--listen', 'unix:s', '--tls-cert', 'x'],
    ['--listen', 'unix:s', '--operations', 'https://127.0.0.1:1'],
    ['--listen', 'unix:s', '--seed', 'seed-1.json'],
    ['--listen', 'unix:s', '--max-memory', '1X'],
  ])('does not take %s %s %s %s', async (...options) => {
    const ran = await site.run(['serve', ...STORE, ...options], { login: false })
    expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining('error:')])
  })
})

describe('over PostgreSQL', () => {
  let server: PostgresServer
  let env: Record<string, string>
  let store: string[]
  beforeAll(async () => {
    server = await startPostgres()
    const url = new URL(await server.createDatabase())
    site.put('url', `${url.href}\n`)
    site.put('pgpass', `*:*:*:*:${server.password}\n`)
    env = { PGPASSFILE: site.at('pgpass') }
    url.password = ''
    store = ['--store', url.href]
    await fill(['--store-url-file', 'url'])
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  it('two workers share the scans of a search, and one that is killed is not missed', async () => {
    const expected = await good(['search', 'docs', ...HITS, '--store-url-file', 'url', ...SEED])
    expect(expected).toMatchObject({
      results: [{ hits: [{ id: 'v11', score: 1 }, {}, {}, {}, {}] }],
    })
    // The password comes from PGPASSFILE; nothing on the command line has it.
    const work = () => stay(['work', '--lease-ms', '1000', '--log-tasks', ...store], env)
    const workers = [work(), work()]
    for (const worker of workers) await worker.said(/waiting for scans/)
    const queue = [
      'search',
      'docs',
      ...HITS,
      '--scorer',
      'queue',
      '--store-url-file',
      'url',
      ...SEED,
    ]
    expect(await good(queue)).toEqual(expected)
    workers[0]!.child.kill('SIGKILL')
    await workers[0]!.ended
    expect(await good(queue)).toEqual(expected)
    await workers[1]!.said(/"what":"finished"/)
    workers[1]!.child.kill('SIGTERM')
    expect(await workers[1]!.ended).toBe(0)
    const said = await workers[1]!.said(/tasks done/)
    expect(said).not.toContain(server.password)
    expect(said).not.toMatch(/warning/i)
  })

  it('without a worker a search ends at its deadline', async () => {
    const queue = [
      'search',
      'docs',
      ...HITS,
      '--scorer',
      'queue',
      '--store-url-file',
      'url',
      ...SEED,
    ]
    const late = await site.run([...queue, '--timeout-ms', '1500'])
    expect([late.code, late.stdout]).toEqual([1, expect.stringContaining('DEADLINE_EXCEEDED')])
  })

  it('a password is refused on the command line and never repeated', async () => {
    const url = readFileSync(site.at('url'), 'utf8').trim()
    for (const args of [['state'], ['work'], ['serve', '--listen', 'unix:s']]) {
      const ran = await site.run([...args, '--store', url], { login: false })
      expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining('a password')])
      expect(ran.stdout + ran.stderr).not.toContain(server.password)
    }
    const wrong = new URL(url)
    wrong.password = 'not-this-one'
    site.put('wrong-url', wrong.href)
    const refused = await site.run(['state', '--store-url-file', 'wrong-url'], { login: false })
    expect(refused.code).toBe(3)
    expect(refused.stdout + refused.stderr).not.toMatch(/not-this-one/)
  })

  it('workers want a database', async () => {
    const directory = await site.run(['work', '--store', 'vectors'], { login: false })
    expect([directory.code, directory.stderr]).toEqual([
      3,
      expect.stringContaining('workers share'),
    ])
    const queue = await site.run([
      'search',
      'docs',
      ...HITS,
      '--scorer',
      'queue',
      '--store',
      'vectors',
      ...SEED,
    ])
    expect(queue.code).toBe(3)
    expect(existsSync(site.at('s'))).toBe(false)
  })
})
