/** Exact scores end to end with SEAL's own multiplication. */
import { describe, expect, it } from 'vitest'

import { packBlock, packQuery, unpackBlock, unpackScores } from '../../src/he/packing.ts'
import { type Geometry, geometryOf } from '../../src/he/parameters.ts'
import { quantiseQuery, quantiseVector } from '../../src/he/quantise.ts'
import { createSealCipher } from '../../src/he/seal-cipher.ts'
import type { Metric } from '../../src/he/types.ts'
import { sumOfProducts } from './seal-sum.ts'

const geometry = (
  dimensions: number,
  parameterSet = 'bgv-n2048-q51-t16-b8',
  metric: Metric = 'cosine',
) => geometryOf({ parameterSet, metric, dimensions })
const SEED = new Uint8Array(32).fill(7)

/** Uniform coordinates from a small generator, the same in every run. */
function vectors(count: number, dimensions: number, seed = 1): Float32Array[] {
  let state = seed
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1
  return Array.from({ length: count }, () => Float32Array.from({ length: dimensions }, next))
}

const dot = (a: Int32Array, b: Int32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

/** Scores of all slots by encryption, SEAL's products and decryption; for each query. */
async function scores(g: Geometry, rows: readonly Int32Array[], ...queries: Int32Array[]) {
  const cipher = await createSealCipher(g, SEED)
  try {
    const block = await cipher.encrypt(packBlock(g, rows), 'block')
    const found: Int32Array[] = []
    for (const query of queries) {
      const sealed = await cipher.encrypt(packQuery(g, query), 'query')
      const result = cipher.decryptResult(await sumOfProducts(g, block, sealed))
      found.push(unpackScores(g, result))
    }
    return found
  } finally {
    cipher.dispose()
  }
}

function expected(g: Geometry, rows: readonly Int32Array[], query: Int32Array): Int32Array {
  const all = new Int32Array(g.vectorsPerBlock)
  rows.forEach((row, j) => (all[j] = dot(row, query)))
  return all
}

describe('scores are the integer dot products', () => {
  const cases: [number, string, Metric][] = [
    [1, 'bgv-n2048-q51-t16-b8', 'inner-product'],
    [5, 'bgv-n2048-q51-t12-b64', 'squared-l2'],
    [100, 'bgv-n2048-q51-t16-b8', 'cosine'],
    [384, 'bgv-n2048-q51-t16-b1', 'inner-product'],
    [385, 'bgv-n2048-q51-t17-b16', 'cosine'],
    [768, 'bgv-n2048-q51-t16-b8', 'squared-l2'],
    [1024, 'bgv-n2048-q51-t16-b16', 'inner-product'],
    [1536, 'bgv-n2048-q51-t14-b16', 'cosine'],
  ]
  it.each(cases)('of random vectors: d = %i, %s, %s', async (dimensions, set, metric) => {
    const g = geometry(dimensions, set, metric)
    const long = Math.sqrt(dimensions)
    const rows = vectors(g.vectorsPerBlock, dimensions).map((one) => quantiseVector(g, long, one))
    const integers = quantiseQuery(g, long, vectors(1, dimensions, 99)[0]!)
    const all = expected(g, rows, integers)
    expect(all.every((score) => score === 0)).toBe(false)
    expect(await scores(g, rows, integers)).toEqual([all])
  })

  it.each([
    [100, 1],
    [385, 8],
    [768, 8],
    [1536, 16],
  ])('of extremes and duplicates: d = %i, b = %i', async (dimensions, chunk) => {
    const g = geometry(dimensions, `bgv-n2048-q51-t16-b${chunk}`)
    const { scale } = g
    const one = (at: number, value: number) => new Int32Array(g.coordinates).fill(value, at, at + 1)
    const flat = new Float32Array(dimensions).fill(1)
    const [plus, minus] = [flat, flat.map((x) => -x)].map((x) => quantiseVector(g, 1, x))
    const zero = new Int32Array(g.coordinates)
    const kinds = [plus!, minus!, zero, one(0, scale), one(g.coordinates - 1, -scale), plus!, plus!]
    const rows = Array.from({ length: g.vectorsPerBlock }, (_, j) => kinds[j % kinds.length]!)
    const queries = [plus!, minus!, zero, one(0, -scale), one(g.coordinates - 1, scale)]
    const got = await scores(g, rows, ...queries)
    expect(got).toEqual(queries.map((query) => expected(g, rows, query)))
    expect(dot(plus!, plus!)).toBeGreaterThan(0.9 * scale * scale)
  })

  it.each([1, 255, 256])('with %i of 256 slots in use', async (count) => {
    const g = geometry(100)
    const rows = vectors(count, 100).map((x) => quantiseVector(g, 1, x))
    const query = quantiseQuery(g, 1, vectors(1, 100, 5)[0]!)
    expect(await scores(g, rows, query)).toEqual([expected(g, rows, query)])
  })
})

describe('a block', () => {
  it('decrypts to its rows', async () => {
    const g = geometry(70)
    await using stack = new AsyncDisposableStack()
    const cipher = await createSealCipher(g, SEED)
    stack.defer(() => cipher.dispose())
    const rows = vectors(200, 70).map((x) => quantiseVector(g, 1, x))
    const block = await cipher.encrypt(packBlock(g, rows), 'block')
    const back = unpackBlock(g, await cipher.decryptBlock(block))
    expect(back.slice(0, 200)).toEqual(rows)
    expect(
      back
        .slice(200)
        .flatMap((row) => [...row])
        .every((x) => x === 0),
    ).toBe(true)
  })

  it('shares no 8-byte word with another encryption of the same vectors', async () => {
    const g = geometry(64)
    const cipher = await createSealCipher(g, SEED)
    const chunks = packBlock(
      g,
      vectors(256, 64).map((x) => quantiseVector(g, 1, x)),
    )
    const words = async () => {
      const bytes = (await cipher.encrypt(chunks, 'block')).slice(48)
      return new BigUint64Array(bytes.buffer)
    }
    const [first, second] = [await words(), await words()]
    cipher.dispose()
    const seen = new Set(first)
    expect(seen.size).toBe(first.length)
    expect(second.filter((word) => seen.has(word))).toHaveLength(0)
  })

  it('leaves the event loop its turns while it is made', async () => {
    const g = geometry(1536)
    const cipher = await createSealCipher(g, SEED)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await cipher.encrypt(packBlock(g, []), 'block')
    clearInterval(timer)
    cipher.dispose()
    expect(turns).toBeGreaterThan(3)
  })
})

describe('a secret key', () => {
  it('is the same from the same seed: another process decrypts', async () => {
    const g = geometry(16)
    const rows = vectors(3, 16).map((x) => quantiseVector(g, 1, x))
    const first = await createSealCipher(g, SEED)
    const block = await first.encrypt(packBlock(g, rows), 'block')
    first.dispose()
    const second = await createSealCipher(g, SEED.slice())
    expect(unpackBlock(g, await second.decryptBlock(block)).slice(0, 3)).toEqual(rows)
    second.dispose()
  })

  it('of another seed gives noise', async () => {
    const g = geometry(16)
    const row = quantiseVector(g, 1, vectors(1, 16)[0]!)
    const [one, two] = [
      await createSealCipher(g, SEED),
      await createSealCipher(
        g,
        SEED.map((x) => x ^ 1),
      ),
    ]
    const block = await one.encrypt(packBlock(g, [row]), 'block')
    const noise = unpackBlock(g, await two.decryptBlock(block))
    expect(noise[0]).not.toEqual(row)
    const large = noise.flatMap((values) => [...values]).filter((x) => Math.abs(x) > g.scale)
    expect(large.length).toBeGreaterThan(0.9 * 256 * 16)
    for (const cipher of [one, two]) cipher.dispose()
  })
})
