import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { sha256, toHex, utf8 } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import { parseIngestKit } from '../../src/he/ingest-kit.ts'
import { createIngest } from '../../src/he/public-ingest.ts'
import { type KeyHolder, createKeyHolder } from '../../src/he/key-holder.ts'
import { PUBLIC_KEY_PARAMETER_SET } from '../../src/he/parameters.ts'
import { clustered, nearest } from './embeddings-data.ts'
import type { Change, EmbeddingStore } from '../../src/he/store.ts'
import { idToken } from '../../src/he/tokens.ts'
import type { Scorer } from '../../src/he/types.ts'
import type { Json } from '../../src/types.ts'
import { type Site, fill, silent, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const rows = clustered(700, 32, { seed: 5, centres: 9 })
const ids = (at: number, k: number) => nearest(rows, rows[at]!, k).map((row) => `v${row}`)

async function faults(holder: Site['holder'], name: string): Promise<string[]> {
  const found = []
  for await (const { where, what } of holder.verify(one.store, name))
    found.push(`${where}: ${what}`)
  return found
}

describe('rotation', () => {
  it('encrypts everything again; both seeds are searched meanwhile, the old one is not needed after', async () => {
    const name = 'rotated'
    const { store, scorer, seed } = one
    await one.holder.createCollection(store, { name, dimensions: 32, fields: ['odd'] })
    await fill(one, name, rows, (at) => ({ odd: at % 2 === 1 }))
    const next = { epoch: 2, seed: randomBytes(32) }
    await using both = await createKeyHolder({ seeds: [{ epoch: 1, seed }, next] })
    await using only = await createKeyHolder({ seeds: [next] })

    // Stopped after the first step: both epochs have blocks then.
    const stop = new AbortController()
    await expect(
      both.rotate(store, name, { signal: stop.signal, onProgress: () => stop.abort() }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    const epochs = new Set((await store.blocks(name)).map(({ epoch }) => epoch))
    expect([...epochs].sort()).toEqual([1, 2])
    const search = async (holder: Site['holder'], at: number, filter?: Record<string, boolean>) =>
      (await holder.search(scorer, name, rows[at]!, { k: 10, filter })).map(({ id }) => id)
    for (const at of [0, 300, 699]) expect(await search(both, at)).toEqual(ids(at, 10))
    expect(
      (await search(both, 8, { odd: true })).every((id) => Number(id.slice(1)) % 2 === 1),
    ).toBe(true)
    await expect(search(only, 0)).rejects.toMatchObject({ code: 'EPOCH_UNKNOWN' })
    await expect(search(one.holder, 0)).rejects.toMatchObject({ code: 'EPOCH_UNKNOWN' })
    // An upsert meanwhile replaces the record of the old epoch; a deletion finds either.
    await using ingest = await both.ingest(store, name)
    await ingest.insert([{ id: 'v600', vector: rows[600]!, metadata: { odd: false } }])
    expect(await both.delete(store, name, ['v1', 'v601'])).toBe(2)
    expect((await store.collection(name)).records).toBe(698)
    await ingest.insert([1, 601].map((at) => ({ id: `v${at}`, vector: rows[at]! })))

    const report = await both.rotate(store, name)
    expect(report).toMatchObject({ epoch: 2, retired: [1] })
    const state = await store.collection(name)
    expect(state).toMatchObject({ records: 700, epochs: [{ epoch: 2 }] })
    expect((await store.blocks(name)).every(({ epoch }) => epoch === 2)).toBe(true)
    for (const at of [0, 300, 600, 699]) expect(await search(only, at)).toEqual(ids(at, 10))
    expect(await faults(only, name)).toEqual([])
    await expect(search(one.holder, 0)).rejects.toMatchObject({ code: 'EPOCH_UNKNOWN' })
    // Again: nothing left to do.
    expect(await both.rotate(store, name)).toMatchObject({ blocks: 0, records: 0, retired: [] })
  })
})

describe('writers beside a rotation', () => {
  /** 700 vectors, of which one block is still under the old key. */
  async function halfway(name: string) {
    const { store, seed } = one
    const parameterSet = PUBLIC_KEY_PARAMETER_SET
    await one.holder.createCollection(store, {
      name,
      dimensions: 32,
      parameterSet,
      fields: ['odd'],
    })
    await fill(one, name, rows, (at) => ({ odd: at % 2 === 1 }))
    const both = await createKeyHolder({
      seeds: [
        { epoch: 1, seed },
        { epoch: 2, seed: randomBytes(32) },
      ],
    })
    const before = await both.ingest(store, name)
    const stop = new AbortController()
    const options = { signal: stop.signal, onProgress: () => stop.abort() }
    await expect(both.rotate(store, name, options)).rejects.toMatchObject({ code: 'ABORTED' })
    return { both, before, store }
  }
  const tokensOf = async (holder: Site['holder'], name: string, id: string) => {
    const kit = parseIngestKit(await holder.ingestKit(one.store, name))
    return [...kit.earlier, kit].map(({ idToken: key }) => idToken(key, kit.info.id, id))
  }
  const vectorOf = async (holder: Site['holder'], name: string, id: string) =>
    Array.from((await holder.get(one.store, name, [id]))[0]!.vector)

  it('a kit that was made meanwhile replaces vectors under the old key at once', async () => {
    const name = 'kit-meanwhile'
    const { both, before, store } = await halfway(name)
    const old = await store.find(name, await tokensOf(both, name, 'v500'))
    expect(old.filter((one) => one !== undefined)).toMatchObject([{ epoch: 1 }])
    await using ingest = await createIngest(await both.ingestKit(store, name), store)
    const vector = Float32Array.from(rows[500]!, (value) => -value)
    expect(await ingest.insert([{ id: 'v500', vector }])).toEqual({ items: 1, replaced: 1 })
    expect((await store.collection(name)).records).toBe(700)
    const hits = await both.search(one.scorer, name, rows[500]!, { k: 5 })
    expect(hits.map(({ id }) => id)).not.toContain('v500')
    expect(await both.search(one.scorer, name, vector, { k: 1 })).toMatchObject([{ id: 'v500' }])
    // Once the rotation is over, it goes on as it is.
    await both.rotate(store, name)
    expect(await ingest.insert([{ id: 'v501', vector }])).toEqual({ items: 1, replaced: 1 })
    expect((await store.collection(name)).records).toBe(700)
    expect(await faults(both, name)).toEqual([])
    await before[Symbol.asyncDispose]()
    await both[Symbol.asyncDispose]()
  })

  it('a kit from before is refused, open or not, and has written nothing', async () => {
    const name = 'kit-before'
    const { holder, store, seed } = one
    const create = { name, dimensions: 32, parameterSet: PUBLIC_KEY_PARAMETER_SET }
    await holder.createCollection(store, create)
    const kit = await holder.ingestKit(store, name)
    await using ingest = await createIngest(kit, store)
    await ingest.insert([{ id: 'a', vector: rows[0]! }])
    const next = { epoch: 2, seed: randomBytes(32) }
    await using both = await createKeyHolder({ seeds: [{ epoch: 1, seed }, next] })
    await both.rotate(store, name)
    const { sequence } = await store.collection(name)
    const outdated = { code: 'EPOCH_OUTDATED', hint: expect.stringContaining('new kit') as unknown }
    await expect(ingest.insert([{ id: 'a', vector: rows[1]! }])).rejects.toMatchObject(outdated)
    await expect(createIngest(kit, store)).rejects.toMatchObject(outdated)
    expect((await store.collection(name)).sequence).toBe(sequence)
    // One that could not name the old record of an id is refused, too.
    await using all = await createKeyHolder({ seeds: [next, { epoch: 3, seed }] })
    const stop = new AbortController()
    stop.abort()
    await expect(all.rotate(store, name, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    const kitFields = JSON.parse(
      Buffer.from(await all.ingestKit(store, name)).toString(),
    ) as Record<string, Json>
    expect(kitFields['earlier']).toHaveLength(1)
    delete kitFields['sha256']
    const forged = { ...kitFields, earlier: [] }
    const digest = toHex(sha256(utf8(canonicalJson(forged))))
    const bytes = utf8(canonicalJson({ ...forged, sha256: digest }))
    await expect(createIngest(bytes, store)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })

  it('a rotation that begins while a key holder writes: it writes again under the new key', async () => {
    const name = 'crossing'
    const { holder, store, seed } = one
    await holder.createCollection(store, { name, dimensions: 32 })
    await fill(one, name, rows.slice(0, 300))
    const next = { epoch: 2, seed: randomBytes(32) }
    await using both = await createKeyHolder({ seeds: [{ epoch: 1, seed }, next] })
    const stop = new AbortController()
    stop.abort()
    /** The store; just before the first change is written to it, `rotator` begins a rotation. */
    const crossedBy = (rotator: KeyHolder) => {
      const commits: Change[] = []
      const crossed: EmbeddingStore = {
        ...store,
        async commit(to, change) {
          if (commits.push(change) === 1) {
            await rotator.rotate(store, name, { signal: stop.signal }).catch(() => undefined)
          }
          return store.commit(to, change)
        },
      }
      return { crossed, commits }
    }
    const first = crossedBy(both)
    await using ingest = await both.ingest(first.crossed, name)
    await ingest.insert([{ id: 'v1', vector: rows[2]! }])
    expect(first.commits.length).toBe(2)
    const state = await store.collection(name)
    expect(state).toMatchObject({ records: 300, epochs: [{ epoch: 1 }, { epoch: 2 }] })
    expect(await vectorOf(both, name, 'v1')).toEqual(Array.from(rows[2]!))
    const third = { epoch: 3, seed: randomBytes(32) }
    await using all = await createKeyHolder({ seeds: [{ epoch: 1, seed }, next, third] })
    const second = crossedBy(all)
    await all.compact(second.crossed, name, { minLive: 1 })
    expect(second.commits.length).toBeGreaterThan(1)
    expect(new Set((await store.blocks(name)).map(({ epoch }) => epoch))).toContain(3)
    await all.rotate(store, name)
    expect(await store.collection(name)).toMatchObject({ records: 300, epochs: [{ epoch: 3 }] })
    expect(await faults(all, name)).toEqual([])
  })

  it('a newer vector under the new key is kept, whatever its writer said that it replaces', async () => {
    const name = 'newer'
    const { both, before, store } = await halfway(name)
    await using ingest = await createIngest(await both.ingestKit(store, name), silent(store))
    await ingest.insert([{ id: 'v500', vector: rows[3]! }])
    expect((await store.collection(name)).records).toBe(701)
    expect(await vectorOf(both, name, 'v500')).toEqual(Array.from(rows[3]!))
    await both.rotate(store, name)
    expect((await store.collection(name)).records).toBe(700)
    expect(await vectorOf(both, name, 'v500')).toEqual(Array.from(rows[3]!))
    expect(await faults(both, name)).toEqual([])
    await before[Symbol.asyncDispose]()
    await both[Symbol.asyncDispose]()
  })

  it('an ingest that began before it goes on under the new key', async () => {
    const name = 'goes-on'
    const { both, before, store } = await halfway(name)
    const old = (await store.blocks(name)).filter(({ epoch }) => epoch === 1).length
    const items = rows.slice(0, 600).map((vector, at) => ({ id: `w${at}`, vector }))
    await before.insert([
      ...items,
      { id: 'v1', vector: rows[2]! },
      { id: 'v500', vector: rows[3]! },
    ])
    const state = await store.collection(name)
    expect(state.records).toBe(1300)
    expect((await store.blocks(name)).filter(({ epoch }) => epoch === 1)).toHaveLength(old)
    for (const [id, at] of [
      ['v1', 2],
      ['v500', 3],
    ] as const) {
      expect(await vectorOf(both, name, id)).toEqual(Array.from(rows[at]!))
    }
    await before[Symbol.asyncDispose]()
    await both[Symbol.asyncDispose]()
  })

  it('a search in which a rotation or an ingest with a kit begins finds everything', async () => {
    const name = 'meanwhile'
    const { holder, store, scorer, seed } = one
    const parameterSet = PUBLIC_KEY_PARAMETER_SET
    await holder.createCollection(store, { name, dimensions: 32, parameterSet, fields: ['odd'] })
    await fill(one, name, rows.slice(0, 300), (at) => ({ odd: at % 2 === 1 }))
    const next = { epoch: 2, seed: randomBytes(32) }
    await using both = await createKeyHolder({ seeds: [{ epoch: 1, seed }, next] })
    /** Something happens once between the reading of the state and the scan. */
    const after = (event: () => Promise<unknown>): Scorer => {
      let done: Promise<unknown> | undefined
      return {
        collection: (...args) => scorer.collection(...args),
        records: (...args) => scorer.records(...args),
        async scan(...args) {
          await (done ??= event())
          return scorer.scan(...args)
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }
    }
    await using ingest = await createIngest(await holder.ingestKit(store, name), store)
    const items = holder.items(store, name)[Symbol.asyncIterator]()
    await items.next()
    const begun = after(() => ingest.insert([{ id: 'new', vector: rows[500]! }]))
    expect(await holder.search(begun, name, rows[500]!, { k: 1 })).toMatchObject([{ id: 'new' }])
    let read = 1
    while ((await items.next()).done !== true) read++
    expect(read).toBe(301)
    // All of it is under the new key when the scan begins; tokens of the old one match nothing.
    const rotated = after(() => both.rotate(store, name))
    const filter = { odd: true }
    expect(await both.search(rotated, name, rows[1]!, { k: 1, filter })).toMatchObject([
      { id: 'v1' },
    ])
    const third = { epoch: 3, seed: randomBytes(32) }
    await using all = await createKeyHolder({ seeds: [next, third] })
    const again = after(() => all.rotate(store, name))
    expect(await all.search(again, name, rows[2]!, { k: 1 })).toMatchObject([{ id: 'v2' }])
  })
})

describe('a collection that was dropped and made again', () => {
  it('takes nothing from an ingest of the one before', async () => {
    const name = 'again'
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name, dimensions: 32 })
    await using ingest = await holder.ingest(store, name)
    await ingest.insert([{ id: 'a', vector: rows[0]! }])
    await store.dropCollection(name)
    await holder.createCollection(store, { name, dimensions: 32 })
    await expect(ingest.insert([{ id: 'a', vector: rows[0]! }])).rejects.toMatchObject({
      code: 'COLLECTION_NOT_FOUND',
    })
    expect(await holder.search(scorer, name, rows[0]!, { k: 1 })).toEqual([])
  })
})

describe('public-key ingest', () => {
  it('adds what only the key holder can search, and compaction makes it the key holder\u2019s own', async () => {
    const name = 'public'
    const { holder, store, scorer } = one
    await holder.createCollection(store, {
      name,
      dimensions: 32,
      parameterSet: PUBLIC_KEY_PARAMETER_SET,
      fields: ['odd'],
    })
    const kit = await holder.ingestKit(store, name)
    await using ingest = await createIngest(kit, store)
    const items = rows.map((vector, at) => ({
      id: `v${at}`,
      vector,
      metadata: { odd: at % 2 === 1 },
    }))
    expect(await ingest.insert(items)).toEqual({ items: 700, replaced: 0 })
    const state = await store.collection(name)
    expect(state).toMatchObject({ records: 700, blocks: 2, tail: 188 })
    expect(state.sessions).toHaveLength(1)
    const search = async (at: number) =>
      (await holder.search(scorer, name, rows[at]!, { k: 10 })).map(({ id }) => id)
    for (const at of [0, 300, 699]) expect(await search(at)).toEqual(ids(at, 10))
    expect(await faults(holder, name)).toEqual([])
    const long = (await store.blocks(name))[0]!.length

    await holder.compact(store, name)
    const blocks = await store.blocks(name)
    expect(blocks.map(({ session }) => session)).toEqual(['', ''])
    expect(blocks[0]!.length).toBeLessThan(0.51 * long)
    for (const at of [0, 300, 699]) expect(await search(at)).toEqual(ids(at, 10))
    expect(await faults(holder, name)).toEqual([])
  })

  it('is refused where its noise would not leave room, and for a foreign collection', async () => {
    const { holder, store } = one
    await holder.createCollection(store, { name: 'symmetric', dimensions: 768 })
    await expect(holder.ingestKit(store, 'symmetric')).rejects.toMatchObject({
      code: 'PARAMETERS_UNSAFE',
    })
    const set = { dimensions: 4, parameterSet: PUBLIC_KEY_PARAMETER_SET }
    await holder.createCollection(store, { name: 'first', ...set })
    const kit = await holder.ingestKit(store, 'first')
    await store.dropCollection('first')
    await holder.createCollection(store, { name: 'first', ...set })
    await expect(createIngest(kit, store)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })
})
