/** What is refused, what is told, and what is noticed: damage, wrong servers, wrong rights, lost connections. */
import { execFileSync } from 'node:child_process'
import { chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { openStore } from '../../src/he/open-store.ts'
import { connectPostgres, openPostgresStore } from '../../src/he/postgres.ts'
import type { Database } from '../../src/he/postgres-connection.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import { type PostgresServer, startPostgres } from './postgres-server.ts'
import { block, bytes, collect, epochOf, info, placed, record } from './store-content.ts'
import { authority } from './tls-files.ts'

const NAME = 'things'
let server: PostgresServer
let url: string
let admin: Database
beforeAll(async () => {
  server = await startPostgres()
  url = await server.createDatabase()
  admin = await connectPostgres(url)
})
afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})
const sql = (text: string) => admin.use((on) => on.run(text))
const unavailable = { name: 'EmbeddingError', code: 'STORE_UNAVAILABLE' }
const invalid = { name: 'EmbeddingError', code: 'STORE_INVALID' }

let schemas = 0
async function filled(): Promise<{
  schema: string
  store: EmbeddingStore
  blocks: readonly number[]
}> {
  const schema = `faults_${++schemas}`
  const store = await openPostgresStore(url, { create: true, schema, partitions: 2 })
  await store.createCollection(info(NAME), epochOf(1))
  const content = [block(4, { bytes: bytes(100_000) }), block(4)]
  const records = [...placed(3, 0), ...placed(2, 1), record({ filters: { colour: bytes(16) } })]
  const { blocks } = await store.commit(NAME, { blocks: content, records })
  return { schema, store, blocks }
}

describe('connections', () => {
  it('that are all in use are told from a server that cannot be reached', async () => {
    await using two = await connectPostgres(url, { poolSize: 2 })
    const done = Promise.withResolvers<undefined>()
    let running = 0
    const hold = () => {
      running++
      return done.promise
    }
    const busy = [two.use(hold), two.use(hold)]
    await vi.waitFor(() => {
      expect(running).toBe(2)
    })
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    try {
      const third = expect(two.use(() => Promise.resolve())).rejects.toMatchObject({
        ...unavailable,
        message: 'all connections to PostgreSQL are in use',
        expected: 'a free one within 10 s',
        got: '2 in use',
        hint: expect.stringContaining('poolSize') as string,
      })
      vi.advanceTimersByTime(10_000)
      await third
    } finally {
      vi.useRealTimers()
      done.resolve(undefined)
    }
    await Promise.all(busy)
    expect(await two.use(() => Promise.resolve('free again'))).toBe('free again')
  })
})

describe('opening', () => {
  it('needs a store, or leave to make one', async () => {
    const missing = openPostgresStore(url, { schema: 'nothing_here' })
    await expect(missing).rejects.toMatchObject({
      ...unavailable,
      hint: expect.stringContaining('create') as string,
    })
    await expect(
      openPostgresStore(url, { schema: 'nothing_here', create: true, readOnly: true }),
    ).rejects.toMatchObject(unavailable)
  })

  it('makes it once when two try at the same time', async () => {
    const open = () => openPostgresStore(url, { schema: 'both', create: true, partitions: 2 })
    const [a, b] = await Promise.all([open(), open()])
    await a.createCollection(info(NAME), epochOf(1))
    expect(await b.collections()).toEqual([NAME])
    for (const store of [a, b]) await store[Symbol.asyncDispose]()
  })

  it('goes by the location too', async () => {
    await using store = await openStore(url, { create: true })
    expect(await store.collections()).toEqual([])
  })

  it.each(['', 'Upper', 'a"b', 'a; DROP SCHEMA public', 'pg_catalog', 'x'.repeat(64), 'a-b', '1a'])(
    'refuses the schema %j',
    async (schema) => {
      await expect(openPostgresStore(url, { schema, create: true })).rejects.toMatchObject(invalid)
    },
  )

  it.each([0, -1, 1.5, 257, Number.NaN])('refuses %d partitions', async (partitions) => {
    const open = openPostgresStore(url, { schema: 'parts', create: true, partitions })
    await expect(open).rejects.toMatchObject(invalid)
  })

  it('refuses a store of another version', async () => {
    const { schema, store } = await filled()
    await store[Symbol.asyncDispose]()
    await sql(`UPDATE ${schema}.store SET version = version + 1`)
    const open = openPostgresStore(url, { schema })
    await expect(open).rejects.toMatchObject({ ...invalid, hint: 'use a newer keyrite' })
    await sql(`UPDATE ${schema}.store SET version = 0`)
    await expect(openPostgresStore(url, { schema })).rejects.toMatchObject({ ...invalid, got: '0' })
  })

  it('makes as many hash partitions as it is told, and keeps ciphertexts uncompressed', async () => {
    const { schema, store } = await filled()
    await store[Symbol.asyncDispose]()
    const [row] = await admin.use((on) =>
      on.query<{ parts: number; kept: string; strategy: string }>(
        {
          name: 'parts',
          text: `SELECT count(*) AS parts, string_agg(DISTINCT a.attstorage::text, '') AS kept,
                   min(p.partstrat) AS strategy
                 FROM pg_inherits i JOIN pg_partitioned_table p ON p.partrelid = i.inhparent
                 JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attname IN ('bytes', 'sealed')
                 WHERE i.inhparent IN (to_regclass($1), to_regclass($2))`,
        },
        [`${schema}.blocks`, `${schema}.records`],
      ),
    )
    expect(row).toEqual({ parts: 4, kept: 'e', strategy: 'h' })
  })

  it('refuses a server that does not make commits durable, unless it only reads', async () => {
    await using lax = await startPostgres({ fsync: 'off' })
    const elsewhere = await lax.createDatabase()
    await expect(openPostgresStore(elsewhere, { create: true })).rejects.toMatchObject({
      ...invalid,
      where: 'fsync',
    })
    await expect(openPostgresStore(elsewhere, { readOnly: true })).rejects.toMatchObject(
      unavailable,
    )
  })
})

describe('a password', () => {
  const hidden = (error: unknown) => {
    const shown = inspect(error, { depth: 20, showHidden: true, getters: true })
    expect(shown + JSON.stringify(error)).not.toContain(server.password)
  }
  const failure = (location: string) => openStore(location).catch((error: unknown) => error)

  it('is in no error', async () => {
    const stopped = url.replace(/host=.*/, 'host=%2Fnowhere')
    const errors = {
      stopped: await failure(stopped),
      port: await failure(`postgresql://keyrite:${server.password}@127.0.0.1:1/x`),
      broken: await failure(`postgresql://keyrite:${server.password}@[::1/x`),
      scheme: await connectPostgres(`mysql://keyrite:${server.password}@host/x`).catch(
        (e: unknown) => e,
      ),
      user: await failure(url.replace('keyrite:', 'nobody:')),
      database: await failure(server.url('missing')),
    }
    for (const error of Object.values(errors)) hidden(error)
    expect(errors.stopped).toMatchObject({ ...unavailable, hint: expect.any(String) as string })
    expect(errors.port).toMatchObject(unavailable)
    expect(errors.broken).toMatchObject({ code: 'CONFIG' })
    expect(errors.scheme).toMatchObject({ code: 'CONFIG' })
    expect(errors.user).toMatchObject(unavailable)
    expect(errors.database).toMatchObject(unavailable)
    const wrong = await failure(url.replace(server.password, `${server.password}x`))
    expect(wrong).toMatchObject({
      ...unavailable,
      hint: expect.stringContaining('password') as string,
    })
    hidden(wrong)
  })
})

describe('a server that gives no connection', () => {
  const failure = (location: string, options = {}) =>
    openStore(location, options).catch((error: unknown) => error)
  const here = () => `${server.directory}/.s.PGSQL.5432`

  it.each([
    ['127.0.0.1:1', '127.0.0.1:1', 'ECONNREFUSED: nobody listens there'],
    ['localhost:1', 'localhost:1', 'ECONNREFUSED: nobody listens there'],
    ['[::1]:1', '[::1]:1', expect.stringMatching(/^E(?:CONNREFUSED|ADDRNOTAVAIL)/)],
    ['no-such-host.invalid:5', 'no-such-host.invalid:5', expect.stringMatching(/host/)],
  ])('says that %s cannot be reached, and why', async (address, where, got) => {
    const error = await failure(`postgresql://u:hunter2@${address}/x`, { create: true })
    const message = 'PostgreSQL cannot be reached'
    expect(error).toMatchObject({ ...unavailable, message, where, got })
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('hunter2')
  })

  it('is named by its socket', async () => {
    expect(await failure('postgresql://u@h/x?host=/nowhere&port=7')).toMatchObject({
      ...unavailable,
      message: 'PostgreSQL cannot be reached',
      where: '/nowhere/.s.PGSQL.7',
      got: 'ENOENT: there is no such socket',
    })
  })

  it('is not named where a part of the password would be', async () => {
    const error = await failure('postgresql://u:1/2secret@127.0.0.1:1/x?host=127.0.0.1')
    expect(error).toMatchObject({ ...unavailable, where: 'the host of the URL' })
  })

  it('is named when it refuses user or database', async () => {
    const message = 'PostgreSQL refuses the connection'
    const database = await failure(server.url('missing'))
    const got = '3D000: database "missing" does not exist'
    expect(database).toMatchObject({ ...unavailable, message, where: here(), got })
    const password = await failure(url.replace(server.password, 'wrong'))
    const theirs = expect.stringMatching(/^28P01: /) as string
    expect(password).toMatchObject({ ...unavailable, message, where: here(), got: theirs })
  })

  it('says that a password is missing', async () => {
    expect(await failure(url.replace(`:${server.password}`, ''))).toMatchObject({
      ...unavailable,
      message: 'PostgreSQL asks for a password',
      where: here(),
      got: 'none',
      hint: expect.stringContaining('PGPASSFILE') as string,
    })
  })

  it.each(['/nowhere/ca.pem', tmpdir()])('names a certificate it cannot read: %s', async (file) => {
    expect(await failure(`${url}&sslmode=verify-full&sslrootcert=${file}`)).toMatchObject({
      ...unavailable,
      message: 'a file for the connection to PostgreSQL cannot be read',
      got: expect.stringMatching(/^(?:ENOENT|EISDIR)$/) as string,
      hint: expect.stringContaining('sslrootcert') as string,
    })
  })
})

it('says how to install the libraries when they are missing', () => {
  const postgres = pathToFileURL(join(import.meta.dirname, '../../src/he/postgres.ts')).href
  const script = `
    import { registerHooks } from 'node:module'
    registerHooks({
      resolve(name, context, next) {
        if (name !== 'pg-copy-streams') return next(name, context)
        throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
      },
    })
    const { openPostgresStore } = await import(process.argv[1])
    const error = await openPostgresStore('postgresql://u@h/d').catch((e) => e)
    process.stdout.write(JSON.stringify(error))`
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script, postgres])
  expect(JSON.parse(printed.toString())).toMatchObject({
    code: 'CONFIG',
    hint: 'npm i pg pg-copy-streams',
  })
})

describe('rights', () => {
  it('to read are enough to read', async () => {
    const { schema, store } = await filled()
    await sql(`CREATE ROLE reader LOGIN PASSWORD '${server.password}'; GRANT USAGE ON SCHEMA ${schema} TO reader;
      GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO reader`)
    const theirs = url.replace('keyrite:', 'reader:')
    await using reader = await openPostgresStore(theirs, { schema, readOnly: true })
    expect(await reader.collection(NAME)).toEqual(await store.collection(NAME))
    expect(await collect(reader.verify(NAME))).toEqual([])
    await expect(reader.commit(NAME, { records: [record()] })).rejects.toMatchObject(unavailable)
    await expect(reader.createCollection(info('more'), epochOf(1))).rejects.toMatchObject(
      unavailable,
    )
    await expect(reader.dropCollection(NAME)).rejects.toMatchObject(unavailable)
    await using writer = await openPostgresStore(theirs, { schema })
    await expect(writer.commit(NAME, { records: [record()] })).rejects.toMatchObject({
      ...unavailable,
      got: expect.stringContaining('42501') as string,
    })
    await store[Symbol.asyncDispose]()
  })
})

describe('damage', () => {
  it('of a block is found when it is read, and by a verification', async () => {
    const { schema, store, blocks } = await filled()
    await sql(`UPDATE ${schema}.blocks SET bytes = set_byte(bytes, 77777, get_byte(bytes, 77777) # 1)
      WHERE block = ${blocks[0]!}`)
    await expect(collect(store.readBlocks(NAME, blocks))).rejects.toMatchObject({
      ...invalid,
      where: `collection ${NAME}, block ${blocks[0]!}`,
    })
    expect(await collect(store.readBlocks(NAME, [blocks[1]!]))).toHaveLength(1)
    expect(await collect(store.verify(NAME))).toEqual([
      { where: `block ${blocks[0]!}`, what: 'not as it was stored (checksum)' },
    ])
    await store[Symbol.asyncDispose]()
  })

  it.each([
    [
      'a record',
      'records SET sealed = set_byte(sealed, 0, 255 - get_byte(sealed, 0)) WHERE version = 2',
      'record 2',
    ],
    ['a record\u2019s epoch', 'records SET epoch = 2 WHERE version = 2', 'record 2'],
    ['a filter', "records SET filters = '{}' WHERE version = 6", 'record 6'],
    ['a place', 'records SET slot = 3 WHERE version = 3', 'block 1'],
    ['a shared slot', 'records SET slot = 1 WHERE version = 3', 'block 1'],
    ['a bitmap', "blocks SET occupied = '\\x0f' WHERE block = 2", 'block 2'],
    ['a count of slots', 'blocks SET live = 1 WHERE block = 2', 'block 2'],
    ['a count of records', 'collections SET records = 7', 'collections'],
    ['a count of the tail', 'collections SET tail = 0', 'collections'],
    ['a count of blocks', 'collections SET blocks = 3', 'collections'],
    ['a record in no block', 'records SET block = 9 WHERE version = 6', 'collections'],
  ])('of %s is found by a verification', async (_, update, where) => {
    const { schema, store } = await filled()
    expect(await collect(store.verify(NAME))).toEqual([])
    await sql(`UPDATE ${schema}.${update}`)
    const faults = await collect(store.verify(NAME))
    expect(faults.map((fault) => fault.where)).toContain(where)
    await store[Symbol.asyncDispose]()
  })

  it('of the tables is told', async () => {
    const { schema, store } = await filled()
    await sql(`ALTER TABLE ${schema}.records DROP COLUMN filters`)
    await expect(store.tail(NAME)).rejects.toMatchObject(invalid)
    await expect(store.commit(NAME, { records: [record()] })).rejects.toMatchObject(invalid)
    await store[Symbol.asyncDispose]()
  })
})

describe('lost connections', () => {
  it('do not end the process, and are made again', async () => {
    const { store, blocks } = await filled()
    const before = await store.collection(NAME)
    const cut = () =>
      sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND application_name = 'keyrite'`)
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([store.tail(NAME), store.live(NAME), store.blocks(NAME)])
      await cut()
      expect(await store.collection(NAME)).toEqual(before)
    }
    // In the middle of a walk.
    let seen = 0
    for await (const { version } of store.all(NAME)) {
      expect(version).toBeGreaterThan(0)
      seen += 1
      if (seen === 2) await cut()
    }
    expect(seen).toBe(6)
    await cut()
    expect(await collect(store.readBlocks(NAME, blocks))).toHaveLength(2)
    await store[Symbol.asyncDispose]()
  })

  it('are told when the server stays away', async () => {
    await using other = await startPostgres()
    const store = await openPostgresStore(await other.createDatabase(), {
      create: true,
      reconnectMs: 100,
    })
    await store.createCollection(info(NAME), epochOf(1))
    await other.stop()
    await expect(store.collection(NAME)).rejects.toMatchObject({
      ...unavailable,
      hint: expect.any(String) as string,
    })
    await expect(collect(store.all(NAME))).rejects.toMatchObject(unavailable)
    await expect(store.commit(NAME, { records: [record()] })).rejects.toMatchObject(unavailable)
    await other.start()
    await store.commit(NAME, { records: [record()] })
    expect(await store.collection(NAME)).toMatchObject({ sequence: 2, records: 1 })
    await store[Symbol.asyncDispose]()
  })
})

describe('what is not keyrite\u2019s', () => {
  it('a timeout of the role is told as one', async () => {
    const { schema, store } = await filled()
    await store[Symbol.asyncDispose]()
    await using hurried = await connectPostgres(`${url}&options=-c%20statement_timeout%3D50`, {
      schema,
    })
    await expect(hurried.read((on) => on.run('SELECT pg_sleep(5)'))).rejects.toMatchObject({
      ...unavailable,
      got: expect.stringContaining('57014') as string,
      hint: expect.stringContaining('statement_timeout') as string,
    })
  })

  it('a pooler that exchanges connections is told as one', async () => {
    const statement = { name: 'kept', text: 'SELECT 1' }
    // What pgbouncer with pool_mode = transaction does to a prepared statement.
    const failing = admin.use(async (on) => {
      await on.query(statement)
      await on.run('DEALLOCATE ALL')
      await on.query(statement)
    })
    await expect(failing).rejects.toMatchObject({
      ...unavailable,
      got: expect.stringContaining('26000') as string,
      hint: expect.stringContaining('session') as string,
    })
  })
})

it('verifies the server over TLS', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'keyrite-pgtls-'))
  try {
    const [good, other] = [authority(directory, 'good'), authority(directory, 'other')]
    const { key, cert } = good.issue({
      name: 'localhost',
      alternative: 'DNS:localhost',
      use: 'serverAuth',
    })
    const [keyFile, certFile, goodFile, otherFile] = ['key', 'cert', 'ca', 'other'].map((name) =>
      join(directory, `${name}.pem`),
    )
    writeFileSync(keyFile!, key, { mode: 0o600 })
    writeFileSync(certFile!, cert)
    writeFileSync(goodFile!, good.cert)
    writeFileSync(otherFile!, other.cert)
    const owner = statSync(join(server.directory, 'data'))
    chownSync(keyFile!, owner.uid, owner.gid)
    chownSync(directory, owner.uid, owner.gid)
    const port = 20_000 + (process.pid % 20_000)
    await using tls = await startPostgres({
      listen_addresses: '127.0.0.1',
      port: String(port),
      ssl: 'on',
      ssl_cert_file: certFile!,
      ssl_key_file: keyFile!,
    })
    const at = (host: string, options: string) =>
      `postgresql://keyrite:${tls.password}@${host}:${port}/postgres?${options}`
    const trusted = `sslmode=verify-full&sslrootcert=${goodFile!}`
    {
      await using store = await openPostgresStore(at('localhost', trusted), { create: true })
      expect(await store.collections()).toEqual([])
      await using db = await connectPostgres(at('localhost', trusted))
      const text = 'SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
      const [row] = await db.use((on) => on.query({ name: 'ssl', text }))
      expect(row).toEqual({ ssl: true, version: 'TLSv1.3' })
    }
    const foreign = `sslmode=verify-full&sslrootcert=${otherFile!}`
    await expect(openPostgresStore(at('localhost', foreign))).rejects.toMatchObject(unavailable)
    // The right authority, but another name.
    await expect(openPostgresStore(at('127.0.0.1', trusted))).rejects.toMatchObject(unavailable)
    expect(readFileSync(goodFile!, 'utf8')).toContain('BEGIN CERTIFICATE')
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
