/** Integers of vectors and queries: room, order, determinism, refusals. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { type Geometry, geometryOf } from '../../src/he/parameters.ts'
import {
  type Coordinates,
  exactScore,
  quantiseQuery,
  quantiseVector,
} from '../../src/he/quantise.ts'
import type { Metric } from '../../src/he/types.ts'

const METRICS: readonly Metric[] = ['cosine', 'inner-product', 'squared-l2']
const shape = (dimensions: number, metric: Metric = 'cosine', bits = 16) =>
  geometryOf({ parameterSet: `bgv-n2048-q51-t${bits}-b8`, metric, dimensions })
const dot = (a: Int32Array, b: Int32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)
const length = (vector: ArrayLike<number>) =>
  Math.sqrt(Array.from(vector).reduce((sum, x) => sum + x * x, 0))

const refusal = (run: () => unknown): { code: string; index?: number; message: string } => {
  try {
    run()
  } catch (error) {
    return error as { code: string; message: string }
  }
  return { code: 'none', message: '' }
}

/** Float32 vectors that are not zero, of very different sizes. */
const vector = (dimensions: number) =>
  fc
    .tuple(
      fc.array(fc.float({ min: -1, max: 1, noNaN: true }), {
        minLength: dimensions,
        maxLength: dimensions,
      }),
      fc.constantFrom(1e-30, 1e-3, 1, 1e3, 1e30),
    )
    .map(([values, size]) => Float32Array.from(values, (x) => x * size))
    .filter((one) => length(one) > 1e-35)

describe('quantised vectors', () => {
  it('never give a score outside the plain modulus', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...METRICS),
        fc.integer({ min: 12, max: 17 }),
        fc.integer({ min: 1, max: 40 }).chain((d) => fc.tuple(vector(d), vector(d))),
        (metric, bits, [x, q]) => {
          const g = shape(x.length, metric, bits)
          const maxNorm = length(x)
          const [a, b] = [quantiseVector(g, maxNorm, x), quantiseQuery(g, maxNorm, q)]
          expect(a).toHaveLength(g.coordinates)
          expect(b).toHaveLength(g.coordinates)
          for (const one of [dot(a, a), dot(b, b), Math.abs(dot(a, b))]) {
            expect(one).toBeLessThan(2 ** bits / 2)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('have room in the worst case: every coordinate just above a half', () => {
    for (const bits of [12, 14, 16, 17]) {
      for (const dimensions of [1, 4, 16, 100, 384, 768, 1536, 4096]) {
        const g = shape(dimensions, 'inner-product', bits)
        // The largest k + 1/2 in every coordinate that is not longer than the scale: all round up.
        const k = Math.floor(g.scale / Math.sqrt(dimensions) - 0.5)
        const size = (k + 0.5 + 1e-4) / g.scale
        const x = new Float32Array(dimensions).fill(size)
        const a = quantiseVector(g, Math.max(1, length(x)), x)
        expect(dot(a, a)).toBeLessThan(2 ** bits / 2)
        const longest = quantiseVector(g, length(x), x)
        expect(dot(longest, longest)).toBeLessThan(2 ** bits / 2)
      }
    }
  })

  it('are the same from an array of numbers, from float32, and from the record', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...METRICS),
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 12, maxLength: 12 }),
        (metric, values) => {
          fc.pre(length(values) > 1e-3)
          const g = shape(12, metric)
          const float32 = Float32Array.from(values)
          const bytes = new Uint8Array(float32.buffer).slice()
          const stored = new Float32Array(bytes.buffer)
          const expected = quantiseVector(g, 10, values)
          expect(quantiseVector(g, 10, float32)).toEqual(expected)
          expect(quantiseVector(g, 10, stored)).toEqual(expected)
          expect(quantiseVector(g, 10, Float64Array.from(values))).toEqual(expected)
        },
      ),
    )
  })

  it('use the whole scale', () => {
    const g = shape(4)
    expect(quantiseVector(g, 1, [3, 0, 0, 0])).toEqual(Int32Array.of(g.scale, 0, 0, 0))
    expect(quantiseVector(g, 1, [0, -1e-20, 0, 0])).toEqual(Int32Array.of(0, -g.scale, 0, 0))
    const l2 = shape(2, 'squared-l2')
    expect(quantiseVector(l2, 2, [2, 0])).toEqual(Int32Array.of(l2.scale, 0, 0))
    expect(quantiseVector(l2, 2, [0, 0])).toEqual(Int32Array.of(0, 0, l2.scale))
    const half = Math.round(l2.scale / 2)
    expect(quantiseVector(l2, 2, [1, 0])).toEqual(
      Int32Array.of(half, 0, Math.round(l2.scale * 0.75)),
    )
  })
})

/** What an integer score stands for, by the text at the head of `quantise.ts`; inexact by the rounding. */
function scoreOf(g: Geometry, maxNorm: number, query: Float64Array, score: number): number {
  const product = score / (g.scale * g.scale)
  if (g.metric === 'cosine') return product
  if (g.metric === 'inner-product') return product * maxNorm * length(query)
  // M^2 (1 + |p|^2 - 2 <x', q'>), where norm = M |(p, 1/2)|.
  const norm = Math.hypot(length(query), maxNorm / 2)
  return 0.75 * maxNorm * maxNorm + norm * norm - 2 * product * maxNorm * norm
}

describe('integer scores', () => {
  it.each(METRICS)('stand for scores of %s', (metric) => {
    fc.assert(
      fc.property(vector(16), vector(16), (x, q) => {
        const g = shape(16, metric, 17)
        const maxNorm = metric === 'cosine' ? 1 : length(x) * 1.25
        // For distances, a query about as long as the vectors.
        const scaled = Float64Array.from(q, (value) => (value / length(q)) * maxNorm)
        const query = quantiseQuery(g, maxNorm, scaled)
        const score = dot(quantiseVector(g, maxNorm, x), query)
        const unit = { cosine: 1, 'inner-product': maxNorm ** 2, 'squared-l2': 4 * maxNorm ** 2 }[
          metric
        ]
        const difference = scoreOf(g, maxNorm, scaled, score) - exactScore(metric, scaled, x)
        // Rounding moves each side by at most sqrt(17)/2 of about 254.
        expect(Math.abs(difference) / unit).toBeLessThan(0.02)
      }),
      { numRuns: 300 },
    )
  })

  it('order distances: the larger the score, the nearer the vector', () => {
    const g = shape(8, 'squared-l2', 17)
    let state = 5
    const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1
    const random = (size: number) => Float32Array.from({ length: 8 }, () => next() * size)
    for (const size of [0.1, 1, 2]) {
      const q = Float64Array.from(random(size))
      const query = quantiseQuery(g, 3, q)
      const rows = Array.from({ length: 400 }, () => random(1)).map((x) => ({
        distance: exactScore('squared-l2', q, x),
        score: dot(quantiseVector(g, 3, x), query),
      }))
      const near = [...rows].sort((a, b) => a.distance - b.distance).slice(0, 10)
      const best = [...rows].sort((a, b) => b.score - a.score).slice(0, 40)
      expect(near.filter((one) => best.includes(one)).length).toBeGreaterThanOrEqual(9)
    }
  })

  it('are exact in float64 after opening', () => {
    const [q, x] = [Float64Array.of(1, 2, 3), Float32Array.of(-1, 0.5, 2)]
    expect(exactScore('inner-product', q, x)).toBe(6)
    expect(exactScore('squared-l2', q, x)).toBe(4 + 2.25 + 1)
    expect(exactScore('cosine', q, x)).toBe(6 / (Math.sqrt(14) * Math.sqrt(5.25)))
  })
})

describe('vectors that are refused', () => {
  const g = shape(3)
  const cases: [string, unknown][] = [
    ['too short', [1, 2]],
    ['too long', [1, 2, 3, 4]],
    ['empty', []],
    ['NaN', [1, NaN, 3]],
    ['Infinity', [1, Infinity, 3]],
    ['beyond float32', [1, 3.5e38, 3]],
    ['a text in it', [1, '2', 3]],
    ['a big integer in it', [1, 2n, 3]],
    ['a hole in it', [1, , 3]],
    ['null in it', [1, null, 3]],
    ['a text', '123'],
    ['an integer array', Int32Array.of(1, 2, 3)],
    ['an object like an array', { length: 3, 0: 1, 1: 2, 2: 3 }],
    ['nothing', undefined],
    ['null', null],
    ['zero', [0, 0, 0]],
    ['zero in float32', [1e-50, 0, 0]],
    ['shorter than a normal float32', [1e-40, 0, 0]],
  ]
  it.each(cases)('%s', (_, value) => {
    const vector = value as Coordinates
    expect(refusal(() => quantiseVector(g, 1, vector, 7))).toMatchObject({
      code: 'VECTOR_INVALID',
      index: 7,
    })
    expect(refusal(() => quantiseQuery(g, 1, vector, 3))).toMatchObject({
      code: 'VECTOR_INVALID',
      index: 3,
    })
  })

  it('longer than maxNorm, without saying how long', () => {
    for (const metric of ['inner-product', 'squared-l2'] as const) {
      const longer = [0, 2.7182818, 0]
      const { code, ...rest } = refusal(() => quantiseVector(shape(3, metric), 2.5, longer))
      expect(code).toBe('VECTOR_INVALID')
      expect(JSON.stringify(rest)).not.toContain('2.718')
      // What float32 adds to a vector of length 1 is let pass, and still has room.
      const a = quantiseVector(shape(3, metric), 1, [0, 1 + 2 ** -23, 0])
      expect(dot(a, a)).toBeLessThan(2 ** 15)
      expect(refusal(() => quantiseVector(shape(3, metric), 1, [0, 1 + 2 ** -19, 0])).code).toBe(
        'VECTOR_INVALID',
      )
    }
  })

  it('not: zero vectors where they have a meaning', () => {
    expect(quantiseVector(shape(3, 'inner-product'), 1, [0, 0, 0])).toEqual(new Int32Array(3))
    const l2 = shape(3, 'squared-l2')
    expect(quantiseQuery(l2, 1, [0, 0, 0])).toEqual(Int32Array.of(0, 0, 0, l2.scale))
    expect(refusal(() => quantiseQuery(shape(3, 'inner-product'), 1, [0, 0, 0])).code).toBe(
      'VECTOR_INVALID',
    )
  })
})
