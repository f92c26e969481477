/** A store and a scorer that lie: what they change or exchange never becomes a hit. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import * as he from '../../src/he/index.ts'
import type { BlockScores, Scan, Scorer, StoredRecord } from '../../src/he/types.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
const rows = clustered(520, 32, { seed: 5, centres: 9 })
beforeAll(async () => {
  one = await site()
  for (const name of ['kept', 'other']) {
    await one.holder.createCollection(one.store, { name, dimensions: 32, fields: ['odd'] })
    await fill(one, name, rows, (at) => ({ odd: at % 2 === 1 }))
  }
})
afterAll(() => one[Symbol.asyncDispose]())

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item)
}

/** The scorer with some answers replaced. */
function lying(lies: {
  blocks?: (blocks: BlockScores[]) => BlockScores[]
  scan?: (scan: Scan) => Scan
  records?: (records: (StoredRecord | undefined)[]) => (StoredRecord | undefined)[]
  collection?: Scorer['collection']
}): Scorer {
  const { scorer } = one
  return {
    collection: lies.collection ?? ((name, options) => scorer.collection(name, options)),
    async scan(name, request, options) {
      const honest = await scorer.scan(name, request, options)
      const blocks = await Array.fromAsync(honest.blocks)
      const told = lies.blocks?.(blocks) ?? blocks
      const scan = {
        ...honest,
        blocks: each(told),
      }
      return lies.scan?.(scan) ?? scan
    },
    async records(name, places, options) {
      const honest = [...(await scorer.records(name, places, options))]
      return lies.records?.(honest) ?? honest
    },
    async [Symbol.asyncDispose]() {},
  }
}

const search = (scorer: Scorer, filter?: Record<string, boolean>) =>
  one.holder.search(scorer, 'kept', rows[3]!, { k: 5, filter })

describe('a lying scorer', () => {
  it('is not needed to lie: the honest one is believed', async () => {
    expect((await search(lying({})))[0]).toEqual({ id: 'v3', score: 1 })
  })

  it('that exchanges the scores of two blocks is caught', async () => {
    const exchange = ([a, b]: BlockScores[]) => [
      { ...a!, results: b!.results },
      { ...b!, results: a!.results },
    ]
    await expect(search(lying({ blocks: exchange }))).rejects.toMatchObject({
      code: 'SCORES_INVALID',
    })
  })

  it('that exchanges records is caught', async () => {
    const turn = (records: (StoredRecord | undefined)[]) => [...records.slice(1), records[0]]
    await expect(search(lying({ records: turn }))).rejects.toMatchObject({ code: 'SCORES_INVALID' })
  })

  it('that changes one bit of a record or of its context is caught', async () => {
    const change = (alter: (record: StoredRecord) => StoredRecord) =>
      search(lying({ records: ([first, ...rest]) => [alter(first!), ...rest] }))
    const flip = (bytes: Uint8Array) => bytes.with(bytes.length - 1, bytes.at(-1)! ^ 1)
    for (const alter of [
      (record: StoredRecord) => ({ ...record, sealed: flip(record.sealed) }),
      (record: StoredRecord) => ({ ...record, token: flip(record.token) }),
      (record: StoredRecord) => ({ ...record, sealed: record.sealed.subarray(0, 11) }),
    ]) {
      await expect(change(alter)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
    }
    await expect(change((record) => ({ ...record, epoch: 2 }))).rejects.toMatchObject({
      code: 'EPOCH_UNKNOWN',
    })
  })

  it('that answers with records of another collection is caught', async () => {
    const foreign = await Array.fromAsync(one.store.all('other'))
    const lie = lying({ records: (records) => records.map((_, at) => foreign[at]) })
    await expect(search(lie)).rejects.toMatchObject({ code: 'RECORD_INVALID' })
  })

  it('that ignores the filter is caught', async () => {
    const { scorer } = one
    const lie: Scorer = {
      ...lying({}),
      scan: (name, request, options) => scorer.scan(name, { ...request, filter: [] }, options),
    }
    await expect(search(lie, { odd: true })).rejects.toMatchObject({ code: 'SCORES_INVALID' })
  })

  it.each([
    ['truncated', (bytes: Uint8Array) => bytes.subarray(0, -1)],
    ['longer', (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.of(0)])],
    ['of another kind', (bytes: Uint8Array) => bytes.with(5, 1)],
    ['of another layout', (bytes: Uint8Array) => bytes.with(20, bytes[20]! ^ 1)],
    ['with residues beyond q', (bytes: Uint8Array) => bytes.fill(0xff, 48)],
  ])('whose results are %s is refused before SEAL sees them', async (_, alter) => {
    const lie = lying({
      blocks: (blocks) =>
        blocks.map((block) => ({ ...block, results: block.results.map((r) => alter(r.slice())) })),
    })
    await expect(search(lie)).rejects.toMatchObject({ code: 'CIPHERTEXT_INVALID' })
  })

  it('whose results decrypt to anything else is caught', async () => {
    const lie = lying({
      blocks: (blocks) =>
        blocks.map((block) => ({
          ...block,
          results: block.results.map((r) => r.slice().with(48 + 100, r[148]! ^ 1)),
        })),
    })
    await expect(search(lie)).rejects.toMatchObject({ code: 'SCORES_INVALID' })
  })

  it('that describes the collection otherwise is caught before a query is encrypted', async () => {
    for (const change of [
      { parameterSet: 'bgv-n2048-q51-t12-b64' },
      { metric: 'inner-product' as const },
      { maxNorm: 9 },
      { id: '00'.repeat(16) },
      { fields: ['odd', 'even'] },
      { dimensions: 31 },
    ]) {
      const collection: Scorer['collection'] = async (name) => {
        const state = await one.scorer.collection(name)
        return { ...state, info: { ...state.info, ...change } }
      }
      await expect(search(lying({ collection }))).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    }
  })

  it('that answers with other numbers of results, or keeps back a tail it never sent', async () => {
    const fewer = lying({ blocks: (blocks) => blocks.map((block) => ({ ...block, results: [] })) })
    await expect(search(fewer)).rejects.toMatchObject({ code: 'SCORES_INVALID' })
    await using fresh = await he.createKeyHolder({ seeds: [{ epoch: 1, seed: one.seed }] })
    const noTail = lying({
      scan: (scan) => ({ ...scan, tail: { ...scan.tail, records: undefined } }),
    })
    await expect(fresh.search(noTail, 'kept', rows[3]!, { k: 1 })).rejects.toMatchObject({
      code: 'SCORES_INVALID',
    })
  })
})

describe('what is not enforced', () => {
  it('that a deleted vector stays away: its record and slot, both put back, are a hit', async () => {
    const { holder, store, scorer } = one
    const name = 'deleted'
    await holder.createCollection(store, { name, dimensions: 32 })
    await fill(one, name, rows.slice(0, 300))
    const { block } = (await store.blocks(name))[0]!
    const place = { block, slot: 3 }
    const [old] = await store.records(name, [place])
    await holder.delete(store, name, ['v3'])
    const honest = await holder.search(scorer, name, rows[3]!, { k: 1 })
    expect(honest[0]?.id).not.toBe('v3')
    const lie: Scorer = {
      ...lying({
        blocks: (all) => all.map((b) => ({ ...b, live: b.live.with(0, b.live[0]! | (1 << 3)) })),
      }),
      records: async (_, places) => {
        const kept = await scorer.records(name, places)
        return places.map((p, at) => (p.block === block && p.slot === 3 ? old : kept[at]))
      },
    }
    expect(await holder.search(lie, name, rows[3]!, { k: 1 })).toEqual([{ id: 'v3', score: 1 }])
  })
})

describe('what is stored', () => {
  it('shares no 8-byte word when one vector is stored twice', async () => {
    const { holder, store } = one
    await holder.createCollection(store, { name: 'twice', dimensions: 32 })
    await fill(
      one,
      'twice',
      Array.from({ length: 512 }, () => rows[0]!),
    )
    const words: string[][] = []
    for await (const { bytes } of store.readBlocks(
      'twice',
      (await store.blocks('twice')).map((b) => b.block),
    )) {
      const body = Buffer.from(bytes.subarray(48))
      words.push(
        Array.from({ length: body.length >> 3 }, (_, at) =>
          body.toString('hex', at * 8, at * 8 + 8),
        ),
      )
    }
    expect(words).toHaveLength(2)
    expect(new Set(words[0]).size).toBe(words[0]!.length)
    const first = new Set(words[0])
    expect(words[1]!.filter((word) => first.has(word))).toEqual([])
    const sealed = (await Array.fromAsync(store.all('twice'))).map((r) =>
      Buffer.from(r.sealed).toString('hex', 0, 8),
    )
    expect(new Set(sealed).size).toBe(512)
  })
})

describe('the public surface', () => {
  it('has no way to a noise budget, a raw decryption or a key', () => {
    const names = Object.keys(he)
    expect(names).toContain('createKeyHolder')
    expect(
      names.filter((name) => /noise|budget|decrypt|cipher|secret|derive|seal/i.test(name)),
    ).toEqual([])
    const methods = Object.keys(one.holder)
    expect(methods.sort()).toEqual(
      'compact createCollection delete epochs get ingest ingestKit items purge rotate search searchMany verify'.split(
        ' ',
      ),
    )
  })
})
