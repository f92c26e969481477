/** A search by scan workers over PostgreSQL: real keys, real ciphertexts, the hits of one scorer. */
import { randomBytes } from 'node:crypto'

import { expect, it } from 'vitest'

import { createKeyHolder } from '../../src/he/key-holder.ts'
import { openPostgresStore } from '../../src/he/postgres.ts'
import { queueScorer } from '../../src/he/queue-scorer.ts'
import { runScanWorker } from '../../src/he/scan-worker.ts'
import { createScorer } from '../../src/he/scorer.ts'
import { clustered } from './embeddings-data.ts'
import { startPostgres } from './postgres-server.ts'
import { collect } from './store-content.ts'

it('finds what one scorer finds, also while the collection is written and compacted', async () => {
  await using server = await startPostgres()
  const url = await server.createDatabase()
  await using store = await openPostgresStore(url, { create: true })
  await using holder = await createKeyHolder({ seeds: [{ epoch: 1, seed: randomBytes(32) }] })
  await holder.createCollection(store, { name: 'docs', dimensions: 48 })
  const rows = clustered(1500, 48, { seed: 7 })
  await using ingest = await holder.ingest(store, 'docs')
  await ingest.insert(rows.map((vector, at) => ({ id: `v${at}`, vector })))

  const stop = new AbortController()
  const workers = [0, 1].map(() => runScanWorker({ url, signal: stop.signal, threads: 1 }))
  {
    await using queue = await queueScorer({ url })
    await using local = createScorer({ store, threads: 1 })
    for (const at of [1, 50, 1499]) {
      const hits = await holder.search(queue, 'docs', rows[at]!, { k: 5 })
      expect(hits).toEqual(await holder.search(local, 'docs', rows[at]!, { k: 5 }))
      expect(hits[0]!.id).toBe(`v${at}`)
    }
    const stopWriting = new AbortController()
    const writing = (async () => {
      for (let round = 0; !stopWriting.signal.aborted; round += 1) {
        await holder.delete(store, 'docs', [`v${round % 40}`])
        await ingest.insert([{ id: `v${round % 40}`, vector: rows[round % 40]! }])
        if (round % 5 === 4) await holder.compact(store, 'docs', { minLive: 1 })
      }
    })()
    // Never deleted: a search must find it whatever is going on around it.
    for (let search = 0; search < 12; search += 1) {
      const at = 100 + search * 100
      const [best] = await holder.search(queue, 'docs', rows[at]!, { k: 1 })
      expect(best?.id).toBe(`v${at}`)
    }
    stopWriting.abort()
    await writing
    expect(await collect(holder.verify(store, 'docs'))).toEqual([])
  }
  stop.abort()
  await Promise.all(workers)
})
