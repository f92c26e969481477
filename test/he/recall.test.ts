/** Recall of the two-stage search against an exact search in clear; the encrypted scan's own recall beside it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { geometryOf } from '../../src/he/parameters.ts'
import { quantiseQuery, quantiseVector } from '../../src/he/quantise.ts'
import { clustered, documentationPages, generator, normal } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const K = 10

/** Inner products of unit vectors, in float64. */
const scoresOf = (rows: readonly Float32Array[], query: Float32Array): Float64Array =>
  Float64Array.from(rows, (row) => {
    let sum = 0
    for (let i = 0; i < row.length; i++) sum += row[i]! * query[i]!
    return sum
  })

/** Part of the k best scores that the found rows reach; rows with equal scores are equally good. */
function recall(scores: Float64Array, found: readonly number[]): number {
  const kth = scores.toSorted().at(-K)!
  return found.filter((row) => scores[row]! >= kth - 1e-7).length / K
}

async function measure(
  name: string,
  rows: readonly Float32Array[],
  queries: readonly Float32Array[],
): Promise<{ reranked: number; raw: number }> {
  const { holder, store, scorer } = one
  const dimensions = rows[0]!.length
  const info = await holder.createCollection(store, { name, dimensions })
  await fill(one, name, rows)
  const geometry = geometryOf(info)
  const integers = rows.map((row) => Float32Array.from(quantiseVector(geometry, 1, row)))
  let reranked = 0
  let raw = 0
  for (let at = 0; at < queries.length; at += 16) {
    const some = queries.slice(at, at + 16)
    const all = await holder.searchMany(scorer, name, some, { k: K })
    for (const [index, query] of some.entries()) {
      const scores = scoresOf(rows, query)
      reranked += recall(
        scores,
        all[index]!.map(({ id }) => Number(id.slice(1))),
      )
      // The integer scores are exact (search.test.ts), so they can be computed in clear.
      const whole = scoresOf(integers, Float32Array.from(quantiseQuery(geometry, 1, query)))
      const order = [...whole.keys()].sort((a, b) => whole[b]! - whole[a]! || a - b)
      raw += recall(scores, order.slice(0, K))
    }
  }
  const report = { reranked: reranked / queries.length, raw: raw / queries.length }
  process.stdout.write(
    `recall@${K} of ${name}: ${report.reranked.toFixed(4)} (integer scores alone ${report.raw.toFixed(4)})\n`,
  )
  return report
}

describe('recall@10', () => {
  it('on 778 real pages, every one of them as the query', async () => {
    const rows = documentationPages().map(({ vector }) => vector)
    expect(rows).toHaveLength(778)
    const { reranked, raw } = await measure('pages', rows, rows)
    expect(reranked).toBeGreaterThanOrEqual(0.999)
    expect(raw).toBeGreaterThan(0.9)
    expect(raw).toBeLessThan(1)
  }, 240_000)

  it('on 20,000 clustered vectors of 768 dimensions', async () => {
    const rows = clustered(20_000, 768)
    const draw = normal(generator(2))
    const queries = Array.from({ length: 64 }, (_, at) => {
      const near = rows[at * 311]!.map((x) => x + 0.01 * draw())
      const length = Math.hypot(...near)
      return near.map((x) => x / length)
    })
    const { reranked, raw } = await measure('clustered', rows, queries)
    expect(reranked).toBeGreaterThanOrEqual(0.999)
    expect(raw).toBeGreaterThan(0.9)
    expect(raw).toBeLessThan(1)
  }, 240_000)
})
