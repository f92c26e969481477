/** Names, shapes and limits of parameter sets. */
import { createHash } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import {
  DEFAULT_PARAMETER_SET,
  MAX_DIMENSIONS,
  PUBLIC_KEY_PARAMETER_SET,
  geometryOf,
  parseParameterSet,
} from '../../src/he/parameters.ts'
import type { Metric } from '../../src/he/types.ts'
import { thrownCode } from '../error-code.ts'

describe('a parameter set', () => {
  it('is spelled by its name', () => {
    expect(parseParameterSet('bgv-n2048-q51-t17-b64')).toEqual({
      name: 'bgv-n2048-q51-t17-b64',
      degree: 2048,
      modulus: 2251799813640193n,
      modulusBits: 51,
      plainBits: 17,
      chunk: 64,
    })
    expect(parseParameterSet(DEFAULT_PARAMETER_SET)).toMatchObject({ plainBits: 16, chunk: 8 })
    expect(parseParameterSet(PUBLIC_KEY_PARAMETER_SET)).toMatchObject({ plainBits: 14, chunk: 8 })
  })

  it('has the largest prime of 51 bits for the transform', () => {
    const { modulus } = parseParameterSet(DEFAULT_PARAMETER_SET)
    expect(modulus % 4096n).toBe(1n)
    expect(modulus.toString(2)).toHaveLength(51)
    // Fermat to two bases; SEAL itself refuses a modulus that is not prime.
    const power = (base: bigint, exponent: bigint): bigint =>
      exponent === 0n
        ? 1n
        : (power((base * base) % modulus, exponent / 2n) * (exponent % 2n ? base : 1n)) % modulus
    expect([power(2n, modulus - 1n), power(3n, modulus - 1n)]).toEqual([1n, 1n])
  })

  it.each([
    '',
    'bgv-n2048-q51-t16-b8 ',
    ' bgv-n2048-q51-t16-b8',
    'BGV-n2048-q51-t16-b8',
    'bgv-n4096-q51-t16-b8',
    'bgv-n2048-q54-t16-b8',
    'bgv-n2048-q51-t11-b8',
    'bgv-n2048-q51-t18-b8',
    'bgv-n2048-q51-t16-b3',
    'bgv-n2048-q51-t16-b128',
    'bgv-n2048-q51-t16-b08',
    'ckks-n2048-q51-t16-b8',
    `bgv-n2048-q51-t16-b8\n`,
    'x'.repeat(10_000),
  ])('named %j does not exist', (name) => {
    expect(thrownCode(() => parseParameterSet(name))).toBe('PARAMETERS_UNKNOWN')
  })
})

describe('the shape of a collection', () => {
  const shape = (
    dimensions: number,
    metric: Metric = 'cosine',
    parameterSet = DEFAULT_PARAMETER_SET,
  ) => geometryOf({ parameterSet, metric, dimensions })

  it('is chunks of b coordinates of N/b vectors', () => {
    expect(shape(768)).toMatchObject({ coordinates: 768, chunks: 96, vectorsPerBlock: 256 })
    expect(shape(769)).toMatchObject({ coordinates: 769, chunks: 97 })
    expect(shape(768, 'squared-l2')).toMatchObject({
      dimensions: 768,
      coordinates: 769,
      chunks: 97,
    })
    expect(shape(1)).toMatchObject({ chunks: 1 })
    expect(shape(64, 'cosine', 'bgv-n2048-q51-t16-b64')).toMatchObject({
      chunks: 1,
      vectorsPerBlock: 32,
    })
  })

  it('has the scale that was measured for 768 dimensions', () => {
    expect(shape(768).scale).toBe(167)
    expect(shape(768, 'cosine', 'bgv-n2048-q51-t17-b8').scale).toBe(242)
    expect(shape(768, 'cosine', 'bgv-n2048-q51-t14-b8').scale).toBe(76)
  })

  it('has room for every score', () => {
    for (let plainBits = 12; plainBits <= 17; plainBits++) {
      for (const dimensions of [1, 2, 100, 384, 768, 1536, 3072, 4096]) {
        const g = shape(dimensions, 'cosine', `bgv-n2048-q51-t${plainBits}-b8`)
        const longest = g.scale + Math.sqrt(g.coordinates) / 2
        expect(2 * longest * longest).toBeLessThan(2 ** plainBits)
      }
    }
  })

  it('is named by its digest', () => {
    const text = 'keyrite-he/1 bgv-n2048-q51-t16-b8 cosine 768'
    const digest = createHash('sha256').update(text).digest()
    expect(Buffer.from(shape(768).layoutDigest)).toEqual(digest)
    expect(shape(768, 'inner-product').layoutDigest).not.toEqual(shape(768).layoutDigest)
    expect(shape(767).layoutDigest).not.toEqual(shape(768).layoutDigest)
  })

  it('is refused for dimensions and metrics that do not exist', () => {
    for (const dimensions of [0, -1, 1.5, NaN, Infinity, MAX_DIMENSIONS + 1, '768' as never]) {
      expect(thrownCode(() => shape(dimensions))).toBe('COLLECTION_INVALID')
    }
    expect(thrownCode(() => shape(8, 'manhattan' as Metric))).toBe('COLLECTION_INVALID')
  })

  it('is refused when rounding would leave too little of a vector', () => {
    expect(thrownCode(() => shape(MAX_DIMENSIONS, 'cosine', 'bgv-n2048-q51-t12-b8'))).toBe(
      'PARAMETERS_UNSAFE',
    )
    expect(shape(MAX_DIMENSIONS).scale).toBeGreaterThan(100)
  })
})
