/** A whole search through a socket: real SEAL, the real kernel, a real store, real TLS. */
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { connectScorer } from '../../src/he/scorer-client.ts'
import { serveScorer } from '../../src/he/scorer-server.ts'
import type { Scorer } from '../../src/he/types.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'
import { authority } from './tls-files.ts'

const rows = clustered(700, 96, { seed: 11, centres: 20 })
const queries = [0, 5, 255, 256, 511, 699].map((at) =>
  rows[at]!.map((x, i) => x + Math.sin(i) / 99),
)
const colour = (at: number) => (at % 3 === 0 ? 'red' : 'blue')

let one: Site
beforeAll(async () => {
  one = await site()
  await one.holder.createCollection(one.store, { name: 'docs', dimensions: 96, fields: ['colour'] })
  await fill(one, 'docs', rows, (at) => ({ colour: colour(at) }))
})
afterAll(() => one[Symbol.asyncDispose]())

describe('a search through a socket', () => {
  const options = { k: 5, withMetadata: true }
  const same = async (remote: Scorer) => {
    const { holder, scorer } = one
    expect(await remote.collection('docs')).toEqual(await scorer.collection('docs'))
    const near = await holder.searchMany(scorer, 'docs', queries, options)
    expect(near[0]![0]).toMatchObject({ id: 'v0', metadata: { colour: 'red' } })
    expect(await holder.searchMany(remote, 'docs', queries, options)).toEqual(near)
    const filtered = { ...options, filter: { colour: 'blue' } }
    const blue = await holder.searchMany(scorer, 'docs', queries, filtered)
    expect(blue).not.toEqual(near)
    expect(await holder.searchMany(remote, 'docs', queries, filtered)).toEqual(blue)
    const singles = queries.map((query) => holder.search(remote, 'docs', query, options))
    expect(await Promise.all(singles)).toEqual(near)
  }

  it('finds what a search in the process finds', async () => {
    const listen = { socket: join(one.directory, 's') }
    await using server = await serveScorer({ scorer: one.scorer, listen })
    await using remote = await connectScorer(server.address)
    await same(remote)
  })

  it('and over TLS', async () => {
    const own = authority(one.directory, 'ca')
    const identity = own.issue({ name: 's', alternative: 'IP:127.0.0.1', use: 'serverAuth' })
    const client = own.issue({ name: 'c', use: 'clientAuth' })
    await using server = await serveScorer({
      scorer: one.scorer,
      listen: { host: '127.0.0.1', port: 0, tls: { ...identity, ca: own.cert } },
    })
    await using remote = await connectScorer({
      url: server.address,
      tls: { ...client, ca: own.cert },
    })
    await same(remote)
  })

  it('is refused for what is wrong, with the scorer\u2019s own words', async () => {
    const listen = { socket: join(one.directory, 's') }
    await using server = await serveScorer({ scorer: one.scorer, listen })
    await using remote = await connectScorer(server.address)
    const errorOf = (scorer: Scorer, request: Parameters<Scorer['scan']>[1]) =>
      scorer.scan('docs', request).then(
        () => undefined,
        (error: unknown) => (error as { toJSON(): object }).toJSON(),
      )
    const short = { queries: [new Map([[1, new Uint8Array(1000)]])] }
    const own = await errorOf(one.scorer, short)
    expect(own).toMatchObject({ code: 'CIPHERTEXT_INVALID' })
    expect(await errorOf(remote, short)).toEqual(own)
    const search = one.holder.search(remote, 'none', queries[0]!, { k: 1 })
    await expect(search).rejects.toMatchObject({ code: 'COLLECTION_NOT_FOUND' })
  })
})
