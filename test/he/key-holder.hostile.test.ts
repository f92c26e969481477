/** What reaches the key holder from strangers, and what its callers do at the wrong moment. */
import { Readable } from 'node:stream'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createKeyHolder } from '../../src/he/key-holder.ts'
import { openStore } from '../../src/he/open-store.ts'
import { createKeyring } from '../../src/he/keyring.ts'
import { deriveKeys } from '../../src/he/keys.ts'
import { ingestKit, parseIngestKit } from '../../src/he/ingest-kit.ts'
import { createIngest } from '../../src/he/public-ingest.ts'
import { sealRecord } from '../../src/he/record.ts'
import { createScorer } from '../../src/he/scorer.ts'
import { idToken } from '../../src/he/tokens.ts'
import type { CollectionState, Item, Metadata, Place, Scorer } from '../../src/he/types.ts'
import { byteSource, frameStart } from '../../src/he/wire-frame.ts'
import { decodeRecords } from '../../src/he/wire-record.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, silent, site } from './site.ts'

let one: Site
const rows = clustered(600, 16, { seed: 11, centres: 9 })
beforeAll(async () => {
  one = await site()
  await one.holder.createCollection(one.store, { name: 'kept', dimensions: 16 })
  await fill(one, 'kept', rows)
})
afterAll(() => one[Symbol.asyncDispose]())

const described = (change: (state: CollectionState) => CollectionState): Scorer => ({
  ...one.scorer,
  collection: async (name) => change(await one.scorer.collection(name)),
})

describe('a scorer', () => {
  it('is asked for records in the order of their places, not of their scores', async () => {
    const asked: (readonly Place[])[] = []
    const { scorer } = one
    const listening: Scorer = {
      ...scorer,
      records: (name, places, options) => {
        asked.push(places)
        return scorer.records(name, places, options)
      },
    }
    const hits = await one.holder.search(listening, 'kept', rows[300]!, { k: 5 })
    expect(hits[0]).toEqual({ id: 'v300', score: 1 })
    const [places = []] = asked
    expect(places).toHaveLength(25)
    expect(places).toEqual([...places].sort((a, b) => a.block - b.block || a.slot - b.slot))
  })

  it('that names no epoch, so that nothing vouches for its description, is refused', async () => {
    const lie = described((state) => ({
      ...state,
      epochs: [],
      info: { ...state.info, metric: 'squared-l2', maxNorm: 3 },
    }))
    const search = one.holder.search(lie, 'kept', rows[0]!, { k: 1 })
    await expect(search).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })

  it('that names an epoch again and again is refused, before a query is encrypted for each', async () => {
    const lie = described((state) => ({ ...state, epochs: [...state.epochs, ...state.epochs] }))
    const search = one.holder.search(lie, 'kept', rows[0]!, { k: 1 })
    await expect(search).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })

  it('is not answered for with the tail of another one, though both count alike', async () => {
    await using other = await site()
    await using holder = await createKeyHolder({ seeds: [{ epoch: 1, seed: one.seed }] })
    const info = await one.holder.createCollection(one.store, { name: 'copied', dimensions: 16 })
    const { epochs } = await one.store.collection('copied')
    await other.store.createCollection(info, epochs[0]!)
    for (const [at, { store }] of [one, other].entries()) {
      await using ingest = await holder.ingest(store, 'copied')
      await ingest.insert([{ id: `of ${at}`, vector: rows[at]! }])
    }
    const ids = async (scorer: Scorer) =>
      (await holder.search(scorer, 'copied', rows[0]!, { k: 9 })).map(({ id }) => id)
    expect(await ids(one.scorer)).toEqual(['of 0'])
    expect(await ids(other.scorer)).toEqual(['of 1'])
    expect(await ids(one.scorer)).toEqual(['of 0'])
  })
})

describe('a tail', () => {
  it('counts with the heads of its records: fields without bytes take memory, too', async () => {
    const fields = Array.from({ length: 900 }, (_, at) => [`${at}`.padEnd(190, 'x'), 0])
    const head = { version: 1, epoch: 1, session: '', place: null, sealed: 0, filters: fields }
    const frame = frameStart('records', { records: [head] }, 16)
    const frames = Array.from({ length: 100 }, () => [frame, new Uint8Array(16)]).flat()
    const chunks = Readable.from(frames)[Symbol.asyncIterator]()
    const source = byteSource(chunks, { what: 'tail', maxBytes: Infinity })
    const fail = () => {
      throw new Error('no problem was sent')
    }
    const decoded = decodeRecords(source, 'scan response', 100, fail, 1e6)
    await expect(decoded).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })
})

describe('a message', () => {
  it('may come byte by byte', async () => {
    const sent = new Uint8Array(300_000).map((_, at) => at * 7)
    const pieces = Array.from(sent, (_, at) => sent.subarray(at, at + 1))
    const source = byteSource(Readable.from(pieces)[Symbol.asyncIterator](), {
      what: 'tail',
      maxBytes: Infinity,
    })
    expect(Buffer.compare(await source.read(7), sent.subarray(0, 7))).toBe(0)
    expect(Buffer.compare(await source.read(299_993), sent.subarray(7))).toBe(0)
  })
})

describe('callers without types', () => {
  it.each([
    ['null', null, 'ID_INVALID'],
    ['a number', 5, 'ID_INVALID'],
    ['no vector', { id: 'a' }, 'VECTOR_INVALID'],
    ['a text for a vector', { id: 'a', vector: 'abcd' }, 'VECTOR_INVALID'],
    ['an integer of BigInt', { id: 'a', vector: [1, 2, 3, 4n] }, 'VECTOR_INVALID'],
  ])('are told what is wrong with %s', async (what, item, code) => {
    const name = what.replaceAll(' ', '-').toLowerCase()
    await one.holder.createCollection(one.store, { name, dimensions: 4 })
    await using ingest = await one.holder.ingest(one.store, name)
    const sound = { id: 'b', vector: [1, 0, 0, 0] }
    const wrong = ingest.insert([sound, item as unknown as Item])
    await expect(wrong).rejects.toMatchObject({ name: 'EmbeddingError', code, index: 1 })
  })

  it.each([
    ['a function', () => false],
    ['a Map', new Map([['lang', 'en']])],
    ['a list', []],
    ['a text', 'lang=en'],
  ])('have no filter that filters nothing out: %s', async (_, filter) => {
    const options = { k: 1, filter: filter as never }
    const search = one.holder.search(one.scorer, 'kept', rows[0]!, options)
    await expect(search).rejects.toMatchObject({ code: 'FILTER_INVALID', where: 'filter' })
  })

  it('are told what they left out, or gave alone where a list is wanted', async () => {
    const { holder, store, scorer } = one
    await using ingest = await holder.ingest(store, 'kept')
    const none = undefined as never
    const calls: [() => Promise<unknown>, object][] = [
      [() => holder.search(scorer, 'kept', rows[0]!, none), { code: 'LIMIT_EXCEEDED', where: 'k' }],
      [() => holder.search(scorer, none, rows[0]!, { k: 1 }), { code: 'COLLECTION_NOT_FOUND' }],
      [() => holder.ingest(store, none), { code: 'COLLECTION_NOT_FOUND' }],
      [() => holder.get(store, 'kept', 'v1' as never), { code: 'ID_INVALID', got: 'string' }],
      [() => holder.get(store, 'kept', none), { code: 'ID_INVALID', got: 'undefined' }],
      [() => holder.delete(store, 'kept', 'v1' as never), { code: 'ID_INVALID', where: 'ids' }],
      [() => ingest.insert(none), { code: 'VECTOR_INVALID', got: 'undefined' }],
      [() => ingest.insert(null as never), { code: 'VECTOR_INVALID', got: 'null' }],
      [() => ingest.insert({ id: 'a', vector: [1] } as never), { code: 'VECTOR_INVALID' }],
      [() => createKeyHolder({} as never), { code: 'KEY_INVALID', where: 'seeds' }],
      [() => openStore(none), { code: 'CONFIG' }],
    ]
    for (const [call, error] of calls) await expect(call()).rejects.toMatchObject(error)
    expect((await store.collection('kept')).records).toBe(rows.length)
  })

  it.each([
    [{ fields: 'lang' }, 'fields', 'lang'],
    [{ fields: ['a', 'b', 'a'] }, 'fields', 'a, twice'],
    [{ metric: 'squared-l2' }, 'maxNorm', 'nothing'],
  ])('are told what a collection cannot have: %o', async (options, where, got) => {
    const create = { name: 'none', dimensions: 4, ...options } as never
    const making = one.holder.createCollection(one.store, create)
    await expect(making).rejects.toMatchObject({ code: 'COLLECTION_INVALID', where, got })
  })
})

describe('a record that opens', () => {
  /** Search in a collection with one record in its tail that a holder of a session key made. */
  async function found(id: string, vector: readonly number[], named = id) {
    const name = `r${Math.abs(vector.length)}-${id.length}-${named.length}`
    const info = await one.holder.createCollection(one.store, { name, dimensions: 4 })
    const keys = deriveKeys(one.seed, 1)
    const token = idToken(keys.idToken, info.id, named)
    const context = { collectionId: info.id, epoch: 1, session: '', token }
    const item = { id, vector: Float32Array.from(vector) }
    const sealed = sealRecord(keys.record, context, item)
    await one.store.commit(name, { records: [{ ...context, sealed, filters: {} }] })
    return one.holder.search(one.scorer, name, [1, 0, 0, 0], { k: 3 })
  }

  it('becomes a hit', async () => {
    expect(await found('a', [1, 0, 0, 0])).toEqual([{ id: 'a', score: 1 }])
  })

  it.each([
    ['is too long', [1, 0, 0, 0, 1]],
    ['is too short', [1, 0, 0]],
    ['has no direction', [0, 0, 0, 0]],
  ])('but whose vector %s is refused: no score is NaN', async (why, vector) => {
    await expect(found(why, vector)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
  })

  it('but is kept under the name of another id is refused', async () => {
    await expect(found('one', [1, 0, 0, 0], 'two')).rejects.toMatchObject({
      code: 'RECORD_INVALID',
    })
  })
})

describe('keys that are given back while they are in use', () => {
  it('an ingest that is closed amid an insertion writes nothing under a wiped key', async () => {
    const name = 'closing'
    await one.holder.createCollection(one.store, {
      name,
      dimensions: 16,
      parameterSet: 'bgv-n2048-q51-t14-b8',
    })
    const ingest = await createIngest(await one.holder.ingestKit(one.store, name), one.store)
    async function* items(): AsyncGenerator<Item> {
      yield { id: 'before', vector: rows[0]! }
      await ingest[Symbol.asyncDispose]()
      yield { id: 'after', vector: rows[1]! }
    }
    await expect(ingest.insert(items())).rejects.toMatchObject({ code: 'CLOSED' })
    expect((await one.store.collection(name)).records).toBe(0)
  })

  it('a kit that is made while the key holder closes has no key of zeros', async () => {
    const { info } = await one.store.collection('kept')
    const before = deriveKeys(one.seed, 1)
    const keys = deriveKeys(one.seed, 7)
    const made = ingestKit(info, keys, [before], new Uint8Array(13_120))
    keys.wipe()
    before.wipe()
    const kit = parseIngestKit(await made)
    const again = deriveKeys(one.seed, 1)
    expect(kit.idToken).toEqual(again.idToken)
    expect(kit.filterToken).toEqual(again.filterToken)
    expect(kit.earlier).toEqual([{ epoch: 1, idToken: again.idToken }])
  })

  it('a session that does not open while the key holder closes is no unhandled rejection', async () => {
    const state = await one.store.collection('kept')
    const session = { id: 'ab'.repeat(16), epoch: 1, sealedKey: new Uint8Array(80) }
    const ring = createKeyring([{ epoch: 1, seed: one.seed }])
    const keys = ring.collection({ ...state, sessions: [session] })
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => void unhandled.push(reason)
    const before = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', listen)
    try {
      const [record] = await Array.fromAsync(one.store.all('kept'))
      const opening = keys.open({ ...record!, session: session.id })
      ring[Symbol.dispose]()
      await expect(opening).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
      await new Promise((resolve) => setTimeout(resolve, 20))
    } finally {
      process.off('unhandledRejection', listen)
      for (const other of before) process.on('unhandledRejection', other)
    }
    expect(unhandled).toEqual([])
  })
})

describe('metadata', () => {
  it('is what it was when the item came, though its object is used again', async () => {
    await one.holder.createCollection(one.store, {
      name: 'pages',
      dimensions: 16,
      fields: ['page'],
    })
    const shared: Record<string, number> = {}
    function* items(): Generator<Item> {
      for (let page = 0; page < 3; page++) {
        shared['page'] = page
        yield { id: `p${page}`, vector: rows[page]!, metadata: shared }
      }
    }
    await using ingest = await one.holder.ingest(one.store, 'pages')
    await ingest.insert(items())
    const kept = await one.holder.get(one.store, 'pages', ['p0', 'p1', 'p2'])
    expect(kept.map((item) => item?.metadata)).toEqual([{ page: 0 }, { page: 1 }, { page: 2 }])
  })

  it('that JSON would lose or spoil is refused, not kept as nothing', async () => {
    await using ingest = await one.holder.ingest(one.store, 'pages')
    for (const metadata of [new Map([['page', 1]]), new Date(0), new Set([1])]) {
      const item = { id: 'x', vector: rows[0]!, metadata: metadata as unknown as Metadata }
      await expect(ingest.insert([item])).rejects.toMatchObject({ code: 'METADATA_INVALID' })
    }
  })

  it('with fields named as what every object has is kept, filtered and found', async () => {
    const fields = ['__proto__', 'constructor', 'toString']
    const name = 'names'
    await one.holder.createCollection(one.store, { name, dimensions: 16, fields })
    const metadata = JSON.parse('{"__proto__":"a","constructor":1}') as Metadata
    await using ingest = await one.holder.ingest(one.store, name)
    await ingest.insert([
      { id: 'all', vector: rows[0]!, metadata },
      { id: 'none', vector: rows[1]! },
    ])
    const search = async (filter: Record<string, string | number>) =>
      (await one.holder.search(one.scorer, name, rows[0]!, { k: 9, filter })).map(({ id }) => id)
    for (const seal of [false, true]) {
      if (seal) await fillUp(name)
      expect(await search(JSON.parse('{"__proto__":"a"}') as Record<string, string>)).toEqual([
        'all',
      ])
      expect(await search({ constructor: 1 })).toEqual(['all'])
      expect(await search({ toString: 'x' })).toEqual([])
    }
    const [hit] = await one.holder.search(one.scorer, name, rows[0]!, { k: 1, withMetadata: true })
    expect(JSON.stringify(hit?.metadata)).toBe(JSON.stringify(metadata))
  })
})

/** So many more that a block is full. */
async function fillUp(name: string): Promise<void> {
  await using ingest = await one.holder.ingest(one.store, name)
  await ingest.insert(rows.slice(2, 300).map((vector, at) => ({ id: `more ${at}`, vector })))
}

describe('an id under the keys of two epochs, by a writer that did not say what it replaces', () => {
  it('is the one that was written last, for search and get as for rotation', async () => {
    await using two = await site()
    const newer = { epoch: 2, seed: new Uint8Array(32).fill(2) }
    await using both = await createKeyHolder({ seeds: [{ epoch: 1, seed: two.seed }, newer] })
    await using scorer = createScorer({ store: two.store })
    const name = 'raced'
    await two.holder.createCollection(two.store, {
      name,
      dimensions: 16,
      parameterSet: 'bgv-n2048-q51-t14-b8',
    })
    await using first = await two.holder.ingest(two.store, name)
    await first.insert([{ id: 'x', vector: rows[0]! }])
    // The new epoch is announced while the old one still has a record.
    using ring = createKeyring([{ epoch: 1, seed: two.seed }, newer])
    const { info } = await two.store.collection(name)
    await two.store.commit(name, { epochs: [ring.check(info, 2)] })
    await using late = await createIngest(await both.ingestKit(two.store, name), silent(two.store))
    await late.insert([{ id: 'x', vector: rows[1]! }])
    expect((await two.store.collection(name)).records).toBe(2)
    const [item] = await both.get(two.store, name, ['x'])
    expect(item?.vector).toEqual(rows[1])
    const search = () => both.search(scorer, name, rows[1]!, { k: 3 })
    expect(await search()).toEqual([{ id: 'x', score: 1 }])
    await both.rotate(two.store, name)
    expect(await search()).toEqual([{ id: 'x', score: 1 }])
  })
})

describe('maxNorm', () => {
  it.each(['inner-product', 'squared-l2'] as const)(
    'of %s is a length float32 has',
    async (metric) => {
      for (const [at, maxNorm] of [5e-324, 1e-40, 1e40, 1e200].entries()) {
        const create = one.holder.createCollection(one.store, {
          name: `n${at}-${metric}`,
          dimensions: 16,
          metric,
          maxNorm,
        })
        await expect(create).rejects.toMatchObject({ code: 'COLLECTION_INVALID' })
      }
    },
  )

  it.each([
    ['inner-product', 1e-30],
    ['inner-product', 1e30],
    ['squared-l2', 1e-30],
    ['squared-l2', 1e30],
  ] as const)('of %s may be %d', async (metric, maxNorm) => {
    const name = `norm-${metric}-${maxNorm < 1 ? 'small' : 'large'}`
    await one.holder.createCollection(one.store, { name, dimensions: 16, metric, maxNorm })
    const scaled = rows.slice(0, 300).map((row) => {
      const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0))
      return row.map((x) => (x / length) * maxNorm * 0.999)
    })
    await fill(one, name, scaled)
    const [hit] = await one.holder.search(one.scorer, name, scaled[299]!, { k: 1 })
    expect(hit?.id).toBe('v299')
  })
})
