/**
 * Vectors into polynomials, so that one product gives N/b scores (Yasuda et al. 2013 for one vector in a
 * polynomial; here N/b vectors, and several polynomials when a vector has more than b coordinates).
 *
 * Chunk c of a block has coordinate c b + i of vector j at coefficient j b + i; chunk c of a query has
 * coordinate c b + i at coefficient b - 1 - i. In the product, coefficient j b + b - 1 collects exactly the
 * pairs with the same j and i: indices j' b + i + b - 1 - i' meet it only when i' - i is a multiple of b, and
 * it is below N, so that nothing wraps around X^N + 1 there. The other coefficients are of no use.
 */
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'

function checkRow(g: Geometry, row: Int32Array, index: number): void {
  if (row.length === g.coordinates) return
  throw new EmbeddingError('VECTOR_INVALID', 'a quantised vector has another length', {
    index,
    expected: `${g.coordinates} integers`,
    got: `${row.length} integers`,
  })
}

/**
 * Chunks of N coefficients. Row j is slot j; slots without a row are zero.
 * @throws EmbeddingError LIMIT_EXCEEDED for more rows than a block has slots; VECTOR_INVALID.
 */
export function packBlock(g: Geometry, rows: readonly Int32Array[]): Int32Array[] {
  if (rows.length > g.vectorsPerBlock) {
    throw new EmbeddingError('LIMIT_EXCEEDED', 'too many vectors for a block', {
      expected: `at most ${g.vectorsPerBlock}`,
      got: String(rows.length),
    })
  }
  const { chunk, degree } = g.set
  const chunks = Array.from({ length: g.chunks }, () => new Int32Array(degree))
  rows.forEach((row, j) => {
    checkRow(g, row, j)
    chunks.forEach((coefficients, c) =>
      // The last chunk takes what is left of the row.
      coefficients.set(row.subarray(c * chunk, (c + 1) * chunk), j * chunk),
    )
  })
  return chunks
}

/** Chunks of N coefficients, the first b of which are in use. @throws EmbeddingError VECTOR_INVALID. */
export function packQuery(g: Geometry, integers: Int32Array): Int32Array[] {
  checkRow(g, integers, 0)
  const { chunk, degree } = g.set
  return Array.from({ length: g.chunks }, (_, c) => {
    const coefficients = new Int32Array(degree)
    for (let i = 0; i < chunk; i++) coefficients[chunk - 1 - i] = integers[c * chunk + i] ?? 0
    return coefficients
  })
}

/** Score of each slot, from the coefficients of a decrypted result. */
export function unpackScores(g: Geometry, coefficients: Int32Array): Int32Array {
  const { chunk } = g.set
  return Int32Array.from(
    { length: g.vectorsPerBlock },
    (_, j) => coefficients[j * chunk + chunk - 1] ?? 0,
  )
}

/** The rows of a decrypted block, zero slots included: the inverse of {@link packBlock}. */
export function unpackBlock(g: Geometry, chunks: readonly Int32Array[]): Int32Array[] {
  const { chunk } = g.set
  return Array.from({ length: g.vectorsPerBlock }, (_, j) => {
    const row = new Int32Array(g.coordinates)
    chunks.forEach((coefficients, c) => {
      const size = Math.min(chunk, g.coordinates - c * chunk)
      row.set(coefficients.subarray(j * chunk, j * chunk + size), c * chunk)
    })
    return row
  })
}
