/** What the scorer in this process keeps in memory when collections change under it. */
import { afterAll, beforeAll, expect, it } from 'vitest'

import { createScorer } from '../../src/he/scorer.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const rows = clustered(600, 32, { seed: 9, centres: 5 })

/** The store; something happens once when the bytes of blocks have been read. */
const interrupted = (store: EmbeddingStore, event: () => Promise<unknown>): EmbeddingStore => {
  let pending: (() => Promise<unknown>) | undefined = event
  return {
    ...store,
    async *readBlocks(...args) {
      yield* store.readBlocks(...args)
      const now = pending
      pending = undefined
      await now?.()
    },
  }
}

it('keeps nothing of a collection that was made anew while its blocks were read', async () => {
  const { holder, store } = one
  const name = 'anew'
  const make = async () => {
    await holder.createCollection(store, { name, dimensions: 32 })
    await fill(one, name, rows)
  }
  await make()
  let other: Promise<unknown> | undefined
  const remade = interrupted(store, async () => {
    await store.dropCollection(name)
    await make()
    // Opens the new one under the name while the old one is still being read.
    other = scorer.collection(name)
    await other
  })
  await using scorer = createScorer({ store: remade })
  await expect(scorer.warm(name)).rejects.toMatchObject({ code: 'COLLECTION_CHANGED' })
  expect(scorer.residentBytes).toBe(0)
  expect(await holder.search(scorer, name, rows[3]!, { k: 1 })).toMatchObject([{ id: 'v3' }])
})

it('keeps nothing after its end, whatever was under way', async () => {
  const { holder, store } = one
  const name = 'ended'
  await holder.createCollection(store, { name, dimensions: 32 })
  await fill(one, name, rows)
  const scorer = createScorer({
    store: interrupted(store, async () => scorer[Symbol.asyncDispose]()),
  })
  await expect(scorer.warm(name)).rejects.toMatchObject({ name: 'EmbeddingError' })
  expect(scorer.residentBytes).toBe(0)
})
