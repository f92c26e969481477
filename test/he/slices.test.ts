import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { slices } from '../../src/he/slices.ts'
import type { BlockScores, Scorer } from '../../src/he/types.ts'
import { workBetweenTurns } from '../event-loop.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const rows = clustered(600, 32, { seed: 9, centres: 5 })

describe('long work gives other work its turn', () => {
  it('after some milliseconds, not after each step', async () => {
    const slice = slices()
    let turns = 0
    const other = new AbortController()
    const watch = (async () => {
      for (; !other.signal.aborted; turns++) await turn()
    })()
    const end = performance.now() + 100
    let steps = 0
    for (; performance.now() < end; steps++) await slice()
    other.abort()
    await watch
    expect(turns).toBeGreaterThan(4)
    expect(turns).toBeLessThan(30)
    expect(steps).toBeGreaterThan(10 * turns)
  })

  it('while the scores of hundreds of blocks come at once and are decrypted', async () => {
    const name = 'many'
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name, dimensions: 32 })
    await fill(one, name, rows)
    let blocks = 0
    /** Has each block 200 times; in the copies nothing is alive. */
    const large: Scorer = {
      ...scorer,
      async scan(...of) {
        const scan = await scorer.scan(...of)
        const all: BlockScores[] = []
        for await (const block of scan.blocks) {
          const copy = { ...block, live: new Uint8Array(block.live.length) }
          all.push(block, ...Array.from({ length: 199 }, () => copy))
        }
        blocks = all.length
        return { ...scan, blocks: Readable.from(all) }
      },
    }
    const search = () => holder.search(large, name, rows[7]!, { k: 1 })
    expect(await search()).toMatchObject([{ id: 'v7' }])
    expect(Math.max(...(await workBetweenTurns(search)))).toBeLessThan(25)
    expect(blocks).toBe(400)
  })
})
