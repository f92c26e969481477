/** Packing against a negacyclic product written the long way. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { packBlock, packQuery, unpackBlock, unpackScores } from '../../src/he/packing.ts'
import { type Geometry, geometryOf } from '../../src/he/parameters.ts'
import { thrownCode } from '../error-code.ts'

const shape = (dimensions: number, chunk: number): Geometry =>
  geometryOf({ parameterSet: `bgv-n2048-q51-t16-b${chunk}`, metric: 'cosine', dimensions })
const dot = (a: Int32Array, b: Int32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

/** Sum over the chunks of a product modulo X^N + 1. */
function products(blocks: readonly Int32Array[], queries: readonly Int32Array[]): Int32Array {
  const N = 2048
  const sum = new Int32Array(N)
  blocks.forEach((block, c) => {
    queries[c]!.forEach((y, j) => {
      if (y === 0) return
      for (let i = 0; i < N; i++) {
        const at = i + j
        // X^N = -1
        if (at < N) sum[at]! += block[i]! * y
        else sum[at - N]! -= block[i]! * y
      }
    })
  })
  return sum
}

const rows = (g: Geometry, count: number, salt: number) =>
  Array.from({ length: count }, (_, j) =>
    Int32Array.from(
      { length: g.coordinates },
      (_, i) => (((i + 3) * (j + 7) * 2654435 + salt) % 201) - 100,
    ),
  )

describe('packing', () => {
  it('gives all dot products of a full block', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 4, 8, 16, 32, 64),
        fc.integer({ min: 1, max: 150 }),
        fc.nat(1e6),
        (chunk, dimensions, salt) => {
          const g = shape(dimensions, chunk)
          const all = rows(g, g.vectorsPerBlock, salt)
          const [query] = rows(g, 1, salt + 1)
          const product = products(packBlock(g, all), packQuery(g, query!))
          expect(unpackScores(g, product)).toEqual(Int32Array.from(all, (row) => dot(row, query!)))
        },
      ),
      { numRuns: 40 },
    )
  })

  it('leaves slots without a row zero, and is undone', () => {
    for (const [dimensions, chunk, count] of [
      [5, 8, 1],
      [17, 8, 255],
      [17, 8, 256],
      [64, 64, 31],
      [3, 1, 2048],
    ] as const) {
      const g = shape(dimensions, chunk)
      const some = rows(g, count, 1)
      const chunks = packBlock(g, some)
      expect(chunks).toHaveLength(g.chunks)
      const back = unpackBlock(g, chunks)
      expect(back.slice(0, count)).toEqual(some)
      expect(back.slice(count).every((row) => row.every((x) => x === 0))).toBe(true)
      expect(back).toHaveLength(g.vectorsPerBlock)
    }
  })

  it('puts a query into b coefficients', () => {
    const g = shape(10, 4)
    const query = Int32Array.from({ length: 10 }, (_, i) => i + 1)
    const chunks = packQuery(g, query).map((one) => [...one.subarray(0, 4)])
    expect(chunks).toEqual([
      [4, 3, 2, 1],
      [8, 7, 6, 5],
      [0, 0, 10, 9],
    ])
    expect(packQuery(g, query).every((one) => one.subarray(4).every((x) => x === 0))).toBe(true)
  })

  it('refuses rows of another length and one row too many', () => {
    const g = shape(10, 4)
    expect(thrownCode(() => packBlock(g, rows(g, 513, 1)))).toBe('LIMIT_EXCEEDED')
    expect(thrownCode(() => packBlock(g, rows(g, 512, 1)))).toBe('none')
    expect(thrownCode(() => packBlock(g, [new Int32Array(9)]))).toBe('VECTOR_INVALID')
    expect(thrownCode(() => packQuery(g, new Int32Array(11)))).toBe('VECTOR_INVALID')
  })
})
