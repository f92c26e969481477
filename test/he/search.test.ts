/** Search as a caller sees it: real SEAL, the real kernel, a real store. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createKeyHolder } from '../../src/he/key-holder.ts'
import type { Metric } from '../../src/he/types.ts'
import { clustered, generator, nearest, normal } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const scaled = (vectors: readonly Float32Array[]): Float32Array[] =>
  vectors.map((vector, at) => vector.map((x) => x * (0.2 + (at % 17) / 4)))

/** Row numbers by the metric in float64, best first. */
function ranked(rows: readonly Float32Array[], query: Float32Array, metric: Metric): number[] {
  const length = (v: Float32Array) => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0))
  const score = (row: Float32Array): number => {
    const dot = row.reduce((sum, x, i) => sum + x * query[i]!, 0)
    if (metric === 'inner-product') return -dot
    if (metric === 'cosine') return -dot / length(row) / length(query)
    return row.reduce((sum, x, i) => sum + (x - query[i]!) ** 2, 0)
  }
  return rows
    .map((row, at) => ({ at, score: score(row) }))
    .sort((a, b) => a.score - b.score || a.at - b.at)
    .map(({ at }) => at)
}

describe.each(['cosine', 'inner-product', 'squared-l2'] as const)('metric %s', (metric) => {
  it('finds what a plaintext search finds, with its scores', async () => {
    const rows = scaled(clustered(700, 96, { seed: 7, centres: 20 }))
    const name = `metric-${metric}`
    await one.holder.createCollection(one.store, {
      name,
      dimensions: 96,
      metric,
      ...(metric === 'cosine' ? {} : { maxNorm: 5 }),
    })
    await fill(one, name, rows)
    const queries = [3, 77, 300, 699].map((at) => rows[at]!.map((x, i) => x + 0.02 * Math.sin(i)))
    const all = await one.holder.searchMany(one.scorer, name, queries, { k: 5 })
    for (const [at, query] of queries.entries()) {
      const expected = ranked(rows, query, metric).slice(0, 5)
      expect(all[at]!.map(({ id }) => id)).toEqual(expected.map((row) => `v${row}`))
      const best = rows[expected[0]!]!
      const dot = best.reduce((sum, x, i) => sum + x * query[i]!, 0)
      const distance = best.reduce((sum, x, i) => sum + (x - query[i]!) ** 2, 0)
      const cosine = dot / Math.hypot(...best) / Math.hypot(...query)
      const score = { cosine, 'inner-product': dot, 'squared-l2': distance }[metric]
      expect(all[at]![0]!.score).toBeCloseTo(score, 3)
      expect(Object.keys(all[at]![0]!)).toEqual(['id', 'score'])
    }
  })
})

describe('a collection', () => {
  const rows = clustered(600, 48, { seed: 3, centres: 12 })

  it('finds vectors in blocks and in the tail; upserts and deletes count at once', async () => {
    const name = 'changes'
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name, dimensions: 48 })
    await fill(one, name, rows)
    const state = await store.collection(name)
    expect(state).toMatchObject({ records: 600, blocks: 2, tail: 88 })
    const search = async (at: number) =>
      (await holder.search(scorer, name, rows[at]!, { k: 1 })).map(({ id }) => id)
    expect(await search(10)).toEqual(['v10'])
    expect(await search(599)).toEqual(['v599'])

    await using ingest = await holder.ingest(store, name)
    expect(await ingest.insert([{ id: 'v10', vector: rows[11]!.map((x) => -x) }])).toEqual({
      items: 1,
      replaced: 1,
    })
    expect(await search(10)).not.toEqual(['v10'])
    expect(
      await holder.search(
        scorer,
        name,
        rows[11]!.map((x) => -x),
        { k: 1 },
      ),
    ).toEqual([{ id: 'v10', score: 1 }])
    expect(await holder.delete(store, name, ['v10', 'v599', 'nobody'])).toBe(2)
    expect(await search(599)).not.toEqual(['v599'])
    expect(await holder.get(store, name, ['v599', 'v598'])).toMatchObject([
      undefined,
      { id: 'v598', vector: rows[598] },
    ])
    expect((await store.collection(name)).records).toBe(598)
  })

  it('is compacted without a change of what is found', async () => {
    const name = 'compacted'
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name, dimensions: 48 })
    await fill(one, name, rows)
    const gone = Array.from({ length: 300 }, (_, at) => `v${at * 2}`)
    await holder.delete(store, name, gone)
    const before = await holder.search(scorer, name, rows[1]!, { k: 20 })
    expect(before.some(({ id }) => gone.includes(id))).toBe(false)
    const done: number[] = []
    const report = await holder.compact(store, name, { onProgress: (n) => done.push(n) })
    expect(report.blocks).toBe(2)
    expect(done.at(-1)).toBe(report.records)
    expect(await store.collection(name)).toMatchObject({ records: 300, blocks: 1, tail: 44 })
    expect(await holder.search(scorer, name, rows[1]!, { k: 20 })).toEqual(before)
    const faults = []
    for await (const fault of holder.verify(store, name)) faults.push(fault)
    expect(faults).toEqual([])
  })

  it('is filtered by its fields, in blocks and tail alike', async () => {
    const name = 'filtered'
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name, dimensions: 48, fields: ['language', 'year'] })
    const languages = ['de', 'en', 'fr']
    await fill(one, name, rows, (at) => ({
      language: languages[at % 3]!,
      year: 2020 + (at % 5),
      draft: at % 2 === 0,
    }))
    const within = (test: (at: number) => boolean, at: number) =>
      nearest(
        rows.filter((_, row) => test(row)),
        rows[at]!,
        7,
      ).map((found) => `v${rows.map((_, row) => row).filter(test)[found]!}`)
    const found = async (
      filter: Record<string, string | number | (string | number)[]>,
      at: number,
    ) => (await holder.search(scorer, name, rows[at]!, { k: 7, filter })).map(({ id }) => id)
    expect(await found({ language: 'fr' }, 4)).toEqual(within((at) => at % 3 === 2, 4))
    expect(await found({ language: ['de', 'fr'], year: 2024 }, 590)).toEqual(
      within((at) => at % 3 !== 1 && at % 5 === 4, 590),
    )
    // A number and its text are different values.
    expect(await found({ year: '2024' }, 1)).toEqual([])
    await expect(found({ draft: 1 }, 1)).rejects.toMatchObject({
      code: 'FILTER_INVALID',
      where: 'draft',
    })
    await expect(found({ language: [] }, 1)).rejects.toMatchObject({ code: 'FILTER_INVALID' })
    const [hit] = await holder.search(scorer, name, rows[7]!, { k: 1, withMetadata: true })
    expect(hit).toEqual({
      id: 'v7',
      score: 1,
      metadata: { language: 'en', year: 2022, draft: false },
    })
  })

  it('takes a last item of an id, and items in any kind of sequence', async () => {
    const name = 'doubles'
    const { holder, store } = one
    await holder.createCollection(store, { name, dimensions: 2 })
    await using ingest = await holder.ingest(store, name)
    async function* items() {
      yield { id: 'a', vector: [1, 0] }
      yield await Promise.resolve({ id: 'b', vector: [0, 1] })
      yield { id: 'a', vector: [-1, 0] }
    }
    expect(await ingest.insert(items())).toEqual({ items: 3, replaced: 1 })
    expect(await holder.get(store, name, ['a'])).toMatchObject([{ vector: Float32Array.of(-1, 0) }])
    expect((await store.collection(name)).records).toBe(2)
  })

  it('of nothing answers with nothing', async () => {
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name: 'empty', dimensions: 3 })
    expect(await holder.search(scorer, 'empty', [1, 2, 3], { k: 5 })).toEqual([])
    expect(await holder.searchMany(scorer, 'empty', [], { k: 5 })).toEqual([])
  })
})

describe('scores', () => {
  /** Integer scores of all vectors as the key holder decrypts them: ranking verifies each against its record. */
  it.each([100, 384, 385, 768, 1024, 1536])(
    'are exact for %i dimensions: every one of them is compared with its record',
    async (dimensions) => {
      const name = `exact-${dimensions}`
      const { holder, store, scorer } = one
      const random = normal(generator(dimensions))
      const row = () => Float32Array.from({ length: dimensions }, random)
      const flat = new Float32Array(dimensions).fill(1)
      const only = new Float32Array(dimensions)
      only[0] = 1
      const rows = [flat, flat.map(() => -1), only, only, ...Array.from({ length: 253 }, row)]
      await holder.createCollection(store, { name, dimensions })
      await fill(one, name, rows)
      expect(await store.collection(name)).toMatchObject({ blocks: 1, tail: 1 })
      const queries = [flat, flat.map(() => -1), only, row()]
      // Over-fetching all of them makes the key holder check all of them.
      const hits = await holder.searchMany(scorer, name, queries, { k: 3, overFetch: 300 })
      expect(hits[0]![0]).toEqual({ id: 'v0', score: 1 })
      expect(hits[1]![0]).toEqual({ id: 'v1', score: 1 })
      expect(hits[2]!.slice(0, 2).map(({ id }) => id)).toEqual(['v2', 'v3'])
    },
  )

  it.each([255, 256, 257])(
    'are exact for %i vectors: around the border of a block',
    async (count) => {
      const name = `border-${count}`
      const { holder, store, scorer } = one
      const rows = clustered(count, 24, { seed: count })
      await holder.createCollection(store, { name, dimensions: 24 })
      await fill(one, name, rows)
      expect((await store.collection(name)).blocks).toBe(count < 256 ? 0 : 1)
      const hits = await holder.search(scorer, name, rows[count - 1]!, {
        k: count,
        overFetch: count,
      })
      expect(hits).toHaveLength(count)
      expect(hits.slice(0, 9).map(({ id }) => id)).toEqual(
        nearest(rows, rows[count - 1]!, 9).map((at) => `v${at}`),
      )
    },
  )
})

describe('wrong input', () => {
  it('is refused with what and where, and nothing is done', async () => {
    const { holder, store, scorer } = one
    const code = (value: string): unknown => expect.objectContaining({ code: value })
    const create = (options: object) =>
      holder.createCollection(store, { name: 'wrong', dimensions: 4, ...options })
    await expect(create({ name: 'Not A Name' })).rejects.toEqual(code('COLLECTION_INVALID'))
    await expect(create({ metric: 'manhattan' })).rejects.toEqual(code('COLLECTION_INVALID'))
    await expect(create({ metric: 'squared-l2' })).rejects.toMatchObject({ where: 'maxNorm' })
    await expect(create({ maxNorm: 2 })).rejects.toMatchObject({ where: 'maxNorm' })
    await expect(create({ dimensions: 0 })).rejects.toEqual(code('COLLECTION_INVALID'))
    await expect(create({ parameterSet: 'ckks-8192' })).rejects.toEqual(code('PARAMETERS_UNKNOWN'))
    await expect(create({ fields: ['a', 'a'] })).rejects.toMatchObject({ where: 'fields' })
    expect(await store.collections()).not.toContain('wrong')

    await create({ name: 'small' })
    await expect(create({ name: 'small' })).rejects.toEqual(code('COLLECTION_EXISTS'))
    await using ingest = await holder.ingest(store, 'small')
    const insert = (item: object) => ingest.insert([{ id: 'x', vector: [1, 2, 3, 4], ...item }])
    await expect(insert({ vector: [1, 2, 3] })).rejects.toMatchObject({
      code: 'VECTOR_INVALID',
      index: 0,
    })
    await expect(insert({ vector: [1, 2, 3, Number.NaN] })).rejects.toEqual(code('VECTOR_INVALID'))
    await expect(insert({ vector: [0, 0, 0, 0] })).rejects.toEqual(code('VECTOR_INVALID'))
    await expect(insert({ id: '' })).rejects.toEqual(code('ID_INVALID'))
    await expect(insert({ metadata: { nested: {} } })).rejects.toEqual(code('METADATA_INVALID'))
    expect((await store.collection('small')).records).toBe(0)
    const search = (query: number[], options: object) =>
      holder.search(scorer, 'small', query, { k: 1, ...options })
    await expect(search([1, 2, 3], {})).rejects.toEqual(code('VECTOR_INVALID'))
    await expect(search([1, 2, 3, 4], { k: 0 })).rejects.toEqual(code('LIMIT_EXCEEDED'))
    await expect(search([1, 2, 3, 4], { signal: AbortSignal.abort() })).rejects.toEqual(
      code('ABORTED'),
    )
    await expect(holder.search(scorer, 'nowhere', [1], { k: 1 })).rejects.toEqual(
      code('COLLECTION_NOT_FOUND'),
    )
  })

  it('another seed is told before anything is encrypted or decrypted', async () => {
    const { holder, store, scorer } = one
    await holder.createCollection(store, { name: 'mine', dimensions: 4 })
    await using other = await createKeyHolder({
      seeds: [{ epoch: 1, seed: new Uint8Array(32).fill(7) }],
    })
    await expect(other.search(scorer, 'mine', [1, 2, 3, 4], { k: 1 })).rejects.toMatchObject({
      code: 'KEY_MISMATCH',
    })
    await expect(other.ingest(store, 'mine')).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    await using later = await createKeyHolder({
      seeds: [{ epoch: 2, seed: new Uint8Array(32).fill(7) }],
    })
    await expect(later.search(scorer, 'mine', [1, 2, 3, 4], { k: 1 })).rejects.toMatchObject({
      code: 'EPOCH_UNKNOWN',
    })
  })
})
