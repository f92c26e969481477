/** `kill -9` during import, compaction and rotation: nothing acknowledged is lost, and the work goes on. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { createKeyHolder } from '../../src/he/key-holder.ts'
import { createScorer } from '../../src/he/scorer.ts'
import { clustered, generator } from './embeddings-data.ts'
import { scratch } from './site.ts'

const COUNT = 2600
const KILLS = 4
const rows = clustered(COUNT, 16, { seed: 11 })
const seeds = [randomBytes(32), randomBytes(32)]
const random = generator(99)
let base: string
let directory: string
beforeAll(async () => {
  base = scratch()
  directory = join(base, 'store')
  await using store = await openEmbeddedStore(directory, { create: true })
  await using holder = await createKeyHolder({ seeds: [{ epoch: 1, seed: seeds[0]! }] })
  await holder.createCollection(store, { name: 'crash', dimensions: 16 })
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

interface Run {
  readonly acknowledged: number
  readonly complete: boolean
}

/** Runs the child; kills it so many milliseconds after it has begun to work. */
async function run(action: string, epochs: number, killAfterMs?: number): Promise<Run> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'crash-child.ts'), action, directory, String(COUNT)],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  child.stdin.end(Buffer.concat(seeds.slice(0, epochs)))
  let errors = ''
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()))
  let printed = ''
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', (text: Buffer) => {
      printed += text.toString()
      if (printed.startsWith('ready')) resolve()
    })
    child.once('close', () => resolve())
  })
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  await ready
  if (killAfterMs !== undefined) {
    await sleep(killAfterMs)
    child.kill('SIGKILL')
  }
  const status = await closed
  if (status !== null && status !== 0) throw new Error(`the child failed: ${errors}`)
  const lines = printed.trimEnd().split('\n')
  const numbers = lines.map(Number).filter((n) => Number.isSafeInteger(n))
  return { acknowledged: Math.max(0, ...numbers), complete: lines.includes('complete') }
}

/** Opens what the child left: sound, and with these ids exactly. */
async function inspect(epochs: number, ids: readonly number[]): Promise<void> {
  await using store = await openEmbeddedStore(directory)
  await using holder = await createKeyHolder({
    seeds: seeds.slice(0, epochs).map((seed, at) => ({ epoch: at + 1, seed })),
  })
  const faults = []
  for await (const fault of holder.verify(store, 'crash')) faults.push(fault)
  expect(faults).toEqual([])
  const names = ids.map((id) => `v${id}`)
  const items = await holder.get(store, 'crash', names)
  const wrong = items.filter(
    (item, at) => item === undefined || !rows[ids[at]!]!.every((x, i) => x === item.vector[i]),
  )
  expect(wrong).toEqual([])
  await using scorer = createScorer({ store })
  const probe = ids[Math.floor(random() * ids.length)]
  if (probe === undefined) return
  const hits = await holder.search(scorer, 'crash', rows[probe]!, { k: 1 })
  expect(hits[0]).toEqual({ id: `v${probe}`, score: 1 })
}

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)

describe('kill -9', () => {
  it('during import: what was reported is there; importing again completes it', async () => {
    let kills = 0
    for (let attempt = 0; attempt < KILLS; attempt++) {
      const { acknowledged, complete } = await run('import', 1, random() * 500)
      if (!complete) kills++
      await inspect(1, upTo(acknowledged))
    }
    expect(kills).toBeGreaterThan(KILLS / 2)
    expect(await run('import', 1)).toEqual({ acknowledged: COUNT, complete: true })
    await inspect(1, upTo(COUNT))
    await using store = await openEmbeddedStore(directory, { readOnly: true })
    expect((await store.collection('crash')).records).toBe(COUNT)
  })

  it.each(['compact', 'rotate'])(
    'during %s: all vectors stay, and the next run completes it',
    async (action) => {
      const epochs = action === 'rotate' ? 2 : 1
      let left = upTo(COUNT)
      {
        await using store = await openEmbeddedStore(directory)
        await using holder = await createKeyHolder({ seeds: [{ epoch: 1, seed: seeds[0]! }] })
        const gone = left.filter((id) => id % 3 === 0)
        await holder.delete(
          store,
          'crash',
          gone.map((id) => `v${id}`),
        )
        left = left.filter((id) => id % 3 !== 0)
        if (action === 'rotate') {
          await using ingest = await holder.ingest(store, 'crash')
          await ingest.insert(gone.map((id) => ({ id: `v${id}`, vector: rows[id]! })))
          left = upTo(COUNT)
        }
      }
      for (let attempt = 0; attempt < KILLS; attempt++) {
        await run(action, epochs, random() * 120)
        await inspect(epochs, left)
      }
      expect((await run(action, epochs)).complete).toBe(true)
      await inspect(epochs, left)
      await using store = await openEmbeddedStore(directory, { readOnly: true })
      const state = await store.collection('crash')
      expect(state.records).toBe(left.length)
      expect(state.epochs.map(({ epoch }) => epoch)).toEqual([epochs])
    },
  )
})
