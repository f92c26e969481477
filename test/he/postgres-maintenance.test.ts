/** Two that rewrite one collection at the same time, in both stores: nothing is lost, and who lost says why. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createKeyHolder } from '../../src/he/key-holder.ts'
import { openStore } from '../../src/he/open-store.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import { clustered } from './embeddings-data.ts'
import { type PostgresServer, startPostgres } from './postgres-server.ts'
import { collect } from './store-content.ts'

const NAME = 'docs'
const rows = clustered(1100, 16, { seed: 3 })
const seeds = [{ epoch: 1, seed: randomBytes(32) }]
const next = { epoch: 2, seed: randomBytes(32) }

let directory: string
let server: PostgresServer
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-two-'))
  server = await startPostgres()
})
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true })
  await server[Symbol.asyncDispose]()
})

/** Both have seen the blocks, or the tail, before one of them rewrites any. */
function together(store: EmbeddingStore): () => EmbeddingStore {
  const both = Promise.withResolvers<undefined>()
  let waiting = 0
  return () => {
    let first = true
    const seen = async <T>(read: T): Promise<T> => {
      if (first && ++waiting === 2) both.resolve(undefined)
      first = false
      await both.promise
      return read
    }
    return {
      ...store,
      inBlock: async (name, block) => seen(await store.inBlock(name, block)),
      tail: async (name) => seen(await store.tail(name)),
    }
  }
}

describe.each(['an embedded store', 'PostgreSQL'])('in %s', (kind) => {
  const open = async () =>
    openStore(
      kind === 'PostgreSQL' ? await server.createDatabase() : mkdtempSync(`${directory}/`),
      {
        create: true,
      },
    )

  it.each(['compactions', 'rewritings: a compaction and a rotation'])('two %s', async (two) => {
    await using store = await open()
    await using holder = await createKeyHolder({ seeds })
    await using both = await createKeyHolder({ seeds: [...seeds, next] })
    await holder.createCollection(store, { name: NAME, dimensions: 16 })
    {
      await using ingest = await holder.ingest(store, NAME)
      await ingest.insert(rows.map((vector, at) => ({ id: `v${at}`, vector })))
    }
    const kept = rows.flatMap((_, at) => (at % 2 === 0 ? [`v${at}`] : []))
    await holder.delete(
      store,
      NAME,
      rows.flatMap((_, at) => (at % 2 === 1 ? [`v${at}`] : [])),
    )

    const one = together(store)
    const outcomes = await Promise.allSettled([
      both.compact(one(), NAME),
      two === 'compactions' ? both.compact(one(), NAME) : both.rotate(one(), NAME),
    ])
    const failures = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    )
    // A compaction that meets a new epoch begins anew, and may come through beside the rotation.
    if (two === 'compactions') expect(failures).toHaveLength(1)
    for (const failure of failures) {
      expect(failure).toMatchObject({
        message: expect.stringContaining('at the same time') as string,
        code: 'COLLECTION_CHANGED',
        where: expect.stringContaining(`${NAME}, block `) as string,
        hint: expect.stringContaining('run this one again') as string,
      })
    }

    expect(await collect(both.verify(store, NAME))).toEqual([])
    // As the hint says.
    await both.rotate(store, NAME)
    await both.compact(store, NAME)
    const left = (await collect(both.items(store, NAME))).map(({ id }) => id)
    expect(left.sort()).toEqual(kept.sort())
    expect(await collect(both.verify(store, NAME))).toEqual([])
  })

  it('two ingests that seal the same tail leave one block', async () => {
    await using store = await open()
    await using holder = await createKeyHolder({ seeds })
    await holder.createCollection(store, { name: NAME, dimensions: 16 })
    const items = rows.slice(0, 300).map((vector, at) => ({ id: `v${at}`, vector }))
    await using first = await holder.ingest(store, NAME)
    await first.insert(items.slice(0, 220))
    const one = together(store)
    await using left = await holder.ingest(one(), NAME)
    await using right = await holder.ingest(one(), NAME)
    await Promise.all([left.insert(items.slice(220, 260)), right.insert(items.slice(260))])
    const { blocks, records, tail } = await store.collection(NAME)
    expect({ blocks, records, tail }).toEqual({ blocks: 1, records: 300, tail: 44 })
    expect(await collect(holder.verify(store, NAME))).toEqual([])
  })
})
