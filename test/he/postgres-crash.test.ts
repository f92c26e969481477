/** What is acknowledged stays, and happens once: whoever dies, and whatever answer gets lost. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Server, type Socket, connect, createServer } from 'node:net'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { fromHex } from '../../src/bytes.ts'
import { openPostgresStore } from '../../src/he/postgres.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import { type PostgresServer, startPostgres } from './postgres-server.ts'
import { block, collect, epochOf, info, placed, record } from './store-content.ts'

const NAME = 'things'
let server: PostgresServer
let url: string
let schemas = 0
beforeAll(async () => {
  server = await startPostgres()
  url = await server.createDatabase()
})
afterAll(() => server[Symbol.asyncDispose]())

async function fresh() {
  const schema = `crash_${++schemas}`
  const store = await openPostgresStore(url, { create: true, schema, partitions: 2 })
  await store.createCollection(info(NAME), epochOf(1))
  return { schema, store }
}

describe('a writer that is killed', () => {
  it.each([1, 2, 3, 4])('loses nothing that it acknowledged (seed %i)', async (seed) => {
    const { schema, store } = await fresh()
    await using open = store
    const program = join(import.meta.dirname, 'postgres-crash-process.ts')
    const child = spawn(process.execPath, [program, schema, String(seed)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    child.stdin.end(url)
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    const closed = once(child, 'close')
    while (output.split('ack').length < 4 + seed) {
      expect(child.exitCode).toBeNull()
      await sleep(2)
    }
    await sleep(seed * 3)
    child.kill('SIGKILL')
    await closed
    const lines = output.split('\n').slice(0, -1)
    const acks = lines.filter((line) => line === 'ack').length
    const tries = lines
      .filter((line) => line.startsWith('try '))
      .map((line) => line.slice(4).split(' '))
    const state = await open.collection(NAME)
    // All that was acknowledged, and the last one wholly or not at all. The dead one may not be over yet.
    const sequences = [1 + acks, 1 + tries.length]
    await store.commit(NAME, {})
    const { sequence, records } = await store.collection(NAME)
    expect(sequences).toContain(sequence - 1)
    expect(state.sequence).toBeLessThanOrEqual(sequence)
    const done = tries.slice(0, sequence - 2).flat()
    const found = await store.find(
      NAME,
      done.map((hex) => fromHex(hex)),
    )
    expect(found.filter((one) => one === undefined)).toEqual([])
    expect(records).toBe(done.length)
    expect(await collect(store.verify(NAME))).toEqual([])
  })
})

describe('a server that crashes', () => {
  it.each(['immediate', 'kill'] as const)(
    'loses nothing (%s), and writing goes on',
    async (mode) => {
      const fixture = await fresh()
      await using store = fixture.store
      const written: Uint8Array[] = []
      let commits = 0
      const stop = new AbortController()
      const writer = (async () => {
        while (!stop.signal.aborted) {
          const records = [...placed(2), record()]
          await store.commit(NAME, { blocks: [block(2)], records })
          written.push(...records.map(({ token }) => token))
          commits += 1
        }
      })()
      for (let crash = 0; crash < 2; crash += 1) {
        const before = commits
        while (commits < before + 5) await sleep(2)
        await server.stop(mode)
        await server.start()
      }
      const before = commits
      while (commits < before + 5) await sleep(2)
      stop.abort()
      await writer
      const state = await store.collection(NAME)
      // Each change once.
      expect(state).toMatchObject({ sequence: 1 + commits, records: 3 * commits, blocks: commits })
      const found = await store.find(NAME, written)
      expect(found).toHaveLength(3 * commits)
      expect(found.filter((one) => one === undefined)).toEqual([])
      expect(await collect(store.verify(NAME))).toEqual([])
    },
  )
})

/** What a proxy does with the next COMMIT: to lose it, or its answer. */
type Fault = 'none' | 'lose commit' | 'lose answer' | 'lose answer and vanish'

/** A socket before the server that can cut connections at a COMMIT. */
async function proxy() {
  const directory = mkdtempSync(join(tmpdir(), 'keyrite-pgproxy-'))
  const state = { fault: 'none' as Fault, cuts: 0 }
  const sockets = new Set<Socket>()
  const listening: Server = createServer((client) => {
    const upstream = connect(join(server.directory, '.s.PGSQL.5432'))
    let deaf = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (data) => {
      if (state.fault !== 'none' && data.includes('COMMIT\0')) {
        const { fault } = state
        state.fault = 'none'
        state.cuts += 1
        if (fault === 'lose commit') {
          client.destroy()
          return
        }
        deaf = true
        // Time to do it, then the answer is thrown away.
        upstream.once('data', () => client.destroy())
        if (fault === 'lose answer and vanish') listening.close()
      }
      upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (!deaf) client.write(data)
    })
  })
  listening.listen(join(directory, '.s.PGSQL.5432'))
  await once(listening, 'listening')
  return {
    state,
    url: url.replace(/host=.*/, `host=${encodeURIComponent(directory)}`),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      listening.close()
      rmSync(directory, { recursive: true, force: true })
      return Promise.resolve()
    },
  }
}

describe('a commit whose answer is lost', () => {
  const through = async (reconnectMs = 20_000) => {
    const { schema, store: direct } = await fresh()
    const between = await proxy()
    const store = await openPostgresStore(between.url, { schema, reconnectMs })
    return { direct, between, store }
  }
  const close = async (...all: AsyncDisposable[]) => {
    for (const one of all) await one[Symbol.asyncDispose]()
  }
  const change = () => ({
    blocks: [block(2)],
    records: [...placed(2), record()],
    delete: [record().token],
  })
  const check = async (store: EmbeddingStore, commits: number) => {
    expect(await store.collection(NAME)).toMatchObject({
      sequence: 1 + commits,
      records: 3 * commits,
      blocks: commits,
    })
    expect(await collect(store.verify(NAME))).toEqual([])
  }

  it.each(['lose commit', 'lose answer'] as const)('happens once (%s)', async (fault) => {
    const { direct, between, store } = await through()
    await store.commit(NAME, change())
    between.state.fault = fault
    const committed = await store.commit(NAME, change())
    expect(between.state.cuts).toBe(1)
    expect(committed).toMatchObject({ sequence: 3, deleted: 0, skipped: 0 })
    const infos = await direct.blocks(NAME)
    expect(infos.map((one) => one.block)).toContain(committed.blocks[0])
    await check(direct, 2)
    await close(store, between, direct)
  })

  it('is said to be unknown when nobody can be asked', async () => {
    const { direct, between, store } = await through(500)
    between.state.fault = 'lose answer and vanish'
    await expect(store.commit(NAME, change())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('nobody answers whether it was done') as string,
    })
    await check(direct, 1)
    await expect(store.commit(NAME, change())).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining('was not written') as string,
    })
    await check(direct, 1)
    await close(store, between, direct)
  })
})
