/**
 * Vectors to integers and back. The encrypted scan computes exact products of these integers; how well they
 * stand for the vectors decides what is over-fetched, not what is returned.
 *
 * Everything is a function of the float32 values that are stored, in float64 and in a fixed order, so that the
 * key holder gets the same integers from an opened record as the ingest got from the vector.
 *
 * squared-l2: with y = x / maxNorm (length at most 1) and p = q / maxNorm, the vector is stored as
 * (y, 1 - |y|^2) and the query is (p, 1/2). Their product is (1 + |p|^2 - |y - p|^2) / 2: the nearest vector
 * has the largest product. The stored vector is at most 1 long, whatever |y|: u + (1 - u)^2 is at most 1 for u
 * in [0, 1]. So the whole scale is used, and a query as long as maxNorm loses a factor sqrt(5)/2 of precision.
 */
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import type { Metric } from './types.ts'

/** Coordinates of a vector or query. */
export type Coordinates = Float32Array | Float64Array | readonly number[]

/** Vectors that were normalised in float32 are up to this much longer than 1; they count as maxNorm long. */
const LENGTH_TOLERANCE = 2 ** -20
/** Smallest normal float32: what is shorter has lost its direction to rounding. */
const MIN_LENGTH = 2 ** -126

function refuse(message: string, index: number | undefined, expected: string, got?: string): never {
  throw new EmbeddingError('VECTOR_INVALID', message, { where: 'vector', index, expected, got })
}

/** Copies the coordinates after checking each: float32 for stored vectors, as they are for queries. */
function read(
  g: Geometry,
  vector: unknown,
  round: (value: number) => number,
  index: number | undefined,
): Float64Array {
  const kind = 'an array of numbers, Float32Array or Float64Array'
  const isList =
    Array.isArray(vector) || vector instanceof Float32Array || vector instanceof Float64Array
  if (!isList) refuse('a vector is no list of numbers', index, kind, typeof vector)
  const list = vector as ArrayLike<unknown>
  if (list.length !== g.dimensions) {
    refuse(
      'a vector has another length',
      index,
      `${g.dimensions} numbers`,
      `${list.length} numbers`,
    )
  }
  const values = new Float64Array(list.length)
  for (let i = 0; i < values.length; i++) {
    const value = list[i]
    // Beyond float32, a square could leave float64 too.
    if (typeof value !== 'number' || !Number.isFinite(Math.fround(value))) {
      const got = typeof value === 'number' ? 'NaN, Infinity or too large' : typeof value
      refuse(`coordinate ${i} is no finite float32 number`, index, 'finite numbers', got)
    }
    values[i] = round(value)
  }
  return values
}

/** Euclidean length; not Math.hypot, whose rounding may differ between engines. */
function lengthOf(values: Float64Array): number {
  let sum = 0
  for (const value of values) sum += value * value
  return Math.sqrt(sum)
}

/** Rounds `factor * values`; the coordinates above `values.length` are given in `rest`. */
function round(g: Geometry, values: Float64Array, factor: number, ...rest: readonly number[]) {
  const integers = new Int32Array(g.coordinates)
  for (let i = 0; i < values.length; i++) integers[i] = Math.round((values[i] ?? 0) * factor)
  rest.forEach((value, i) => (integers[values.length + i] = Math.round(value)))
  let squared = 0
  for (const x of integers) squared += x * x
  // parameters.ts chose the scale so that this holds; then |<x, y>| <= |x| |y| < t/2 for all of them.
  if (2 * squared >= 2 ** g.set.plainBits) {
    refuse('a quantised vector is too long', undefined, `at most ${g.scale} before rounding`)
  }
  return integers
}

/**
 * The integers of a vector to be stored.
 * @param maxNorm - Of the collection; not read for `cosine`.
 * @param index - Of the vector in the caller's list, for the error.
 * @throws EmbeddingError VECTOR_INVALID: not finite, another length, longer than maxNorm, or, for `cosine`,
 * without a direction.
 */
export function quantiseVector(
  g: Geometry,
  maxNorm: number,
  vector: Coordinates,
  index?: number,
): Int32Array {
  const values = read(g, vector, Math.fround, index)
  const norm = lengthOf(values)
  if (g.metric === 'cosine') {
    if (norm < MIN_LENGTH) refuse('a vector has no direction', index, 'a vector that is not zero')
    return round(g, values, g.scale / norm)
  }
  if (norm > maxNorm * (1 + LENGTH_TOLERANCE)) {
    refuse('a vector is longer than maxNorm', index, `a length of at most ${maxNorm}`)
  }
  const longest = Math.max(norm, maxNorm)
  if (g.metric === 'inner-product') return round(g, values, g.scale / longest)
  const share = norm / longest
  return round(g, values, g.scale / longest, g.scale * (1 - share * share))
}

/**
 * The integers of a query.
 * @throws EmbeddingError VECTOR_INVALID: not finite, another length, or zero (but for `squared-l2`).
 */
export function quantiseQuery(
  g: Geometry,
  maxNorm: number,
  vector: Coordinates,
  index?: number,
): Int32Array {
  const values = read(g, vector, (value) => value, index)
  const norm = lengthOf(values)
  if (g.metric === 'squared-l2') {
    const half = maxNorm / 2
    const factor = g.scale / Math.sqrt(norm * norm + half * half)
    return round(g, values, factor, factor * half)
  }
  if (norm < MIN_LENGTH) refuse('a query has no direction', index, 'a vector that is not zero')
  return round(g, values, g.scale / norm)
}

/** The score by which hits are ranked, in float64 and units of the metric. Lengths must agree. */
export function exactScore(
  metric: Metric,
  query: Float64Array | Float32Array,
  vector: Float32Array,
): number {
  let [dot, queryLength, vectorLength, distance] = [0, 0, 0, 0]
  for (let i = 0; i < vector.length; i++) {
    const [q, x] = [query[i] ?? NaN, vector[i] ?? NaN]
    dot += q * x
    queryLength += q * q
    vectorLength += x * x
    distance += (q - x) * (q - x)
  }
  if (metric === 'squared-l2') return distance
  if (metric === 'inner-product') return dot
  return dot / (Math.sqrt(queryLength) * Math.sqrt(vectorLength))
}
