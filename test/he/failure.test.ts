/** The bound of the failure probability, against noise that SEAL makes. */
import { describe, expect, it } from 'vitest'

import { type IngestMode, failureProbabilityLog2, requireSafe } from '../../src/he/failure.ts'
import { type Geometry, PUBLIC_KEY_PARAMETER_SET, geometryOf } from '../../src/he/parameters.ts'
import { packBlock, packQuery } from '../../src/he/packing.ts'
import { inSeal, seal } from '../../src/he/seal.ts'
import { writePlaintext } from '../../src/he/seal-layout.ts'
import { secretKeyOf } from '../../src/he/seal-secret.ts'

const shape = (dimensions: number, bits: number, chunk: number): Geometry =>
  geometryOf({ parameterSet: `bgv-n2048-q51-t${bits}-b${chunk}`, metric: 'cosine', dimensions })

/**
 * Bits of noise that SEAL finds in a product of a full block and a query: those of |P|, as SEAL's budget is
 * the bits of q / |P|, less one.
 */
async function noiseBits(g: Geometry, mode: IngestMode): Promise<number> {
  const library = await seal(g.set)
  const { lib, context, layout } = library
  const key = secretKeyOf(library, new Uint8Array(32).fill(9))
  const generator = new lib.KeyGenerator(context, key)
  const encryptor = new lib.Encryptor(context, generator.createPublicKey(), key)
  const [decryptor, evaluator] = [new lib.Decryptor(context, key), new lib.Evaluator(context)]
  const row = new Int32Array(g.coordinates).fill(Math.floor(g.scale / Math.sqrt(g.coordinates)))
  const rows = Array.from({ length: g.vectorsPerBlock }, () => row)
  const [blocks, queries] = [packBlock(g, rows), packQuery(g, row)]
  const plain = new lib.Plaintext()
  const sum = new lib.Ciphertext()
  for (let c = 0; c < g.chunks; c++) {
    const [x, y] = [new lib.Ciphertext(), new lib.Ciphertext()]
    plain.loadFromArray(context, writePlaintext(layout, blocks[c]!))
    if (mode === 'symmetric') encryptor.encryptSymmetric(plain, x)
    else encryptor.encrypt(plain, x)
    plain.loadFromArray(context, writePlaintext(layout, queries[c]!))
    encryptor.encryptSymmetric(plain, y)
    evaluator.multiplyInplace(x, y)
    if (c === 0) sum.assign(x)
    else evaluator.addInplace(sum, x)
    for (const one of [x, y]) one.delete()
  }
  const budget = inSeal('budget', () => decryptor.invariantNoiseBudget(sum))
  for (const one of [key, generator, encryptor, decryptor, evaluator, plain, sum]) one.delete()
  return 51 - budget - 1
}

const refusal = (g: Geometry, mode: IngestMode) => {
  try {
    requireSafe(g, mode)
  } catch (error) {
    return error as { code: string; hint: string }
  }
  return { code: 'none', hint: '' }
}

describe('the failure probability', () => {
  it('is out of reach for the default sets at the usual dimensions', () => {
    for (const dimensions of [100, 384, 768, 1024, 1536, 3072, 4096]) {
      expect(failureProbabilityLog2(shape(dimensions, 16, 8), 'symmetric')).toBeLessThan(-128)
    }
    for (const dimensions of [100, 384, 768, 1024]) {
      expect(failureProbabilityLog2(shape(dimensions, 14, 8), 'public-key')).toBeLessThan(-64)
    }
  })

  it('grows with t, with the dimensions, with a smaller chunk, and with a public key', () => {
    const p = failureProbabilityLog2
    const at = p(shape(768, 17, 4), 'symmetric')
    expect(at).toBeGreaterThan(p(shape(768, 16, 4), 'symmetric'))
    expect(at).toBeLessThan(p(shape(1536, 17, 4), 'symmetric'))
    expect(at).toBeLessThan(p(shape(768, 17, 2), 'symmetric'))
    expect(at).toBeLessThan(p(shape(768, 17, 4), 'public-key'))
  })

  it('is a probability', () => {
    for (const mode of ['symmetric', 'public-key'] as const) {
      for (const [dimensions, bits, chunk] of [
        [8192, 17, 1],
        [1, 12, 64],
        [4096, 16, 1],
      ] as const) {
        const log2 = failureProbabilityLog2(shape(dimensions, bits, chunk), mode)
        expect(log2).toBeLessThanOrEqual(0)
        expect(log2).toBeGreaterThan(-300)
      }
    }
  })

  it('lies above what the standard deviation alone says, and not far', () => {
    // std = t^2 21/2 sqrt(N d / b): 14.07 of them fit at t = 2^17, b = 8, d = 768.
    const g = shape(768, 17, 8)
    const sigmas = Number(g.set.modulus) / 2 / (2 ** 34 * 10.5 * Math.sqrt(2048 * 96))
    const gaussian = Math.log2(2 * 2048) - (sigmas * sigmas) / 2 / Math.LN2
    const bound = failureProbabilityLog2(g, 'symmetric')
    expect(bound).toBeGreaterThan(gaussian)
    expect(bound).toBeLessThan(gaussian * 0.9)
  })

  it('is refused above 2^-64, with a set to take instead that is safe', () => {
    for (const [g, mode] of [
      [shape(768, 17, 1), 'symmetric'],
      [shape(1536, 17, 8), 'symmetric'],
      [shape(768, 16, 8), 'public-key'],
      [shape(1536, 14, 8), 'public-key'],
    ] as const) {
      const { code, hint } = refusal(g, mode)
      expect(code).toBe('PARAMETERS_UNSAFE')
      const parameterSet = /bgv-[a-z0-9-]+/.exec(hint)![0]
      expect(hint).toMatch(
        mode === 'symmetric' ? /^take \S+$/ : /make a new one .* import into it$/,
      )
      const other = geometryOf({ parameterSet, metric: g.metric, dimensions: g.dimensions })
      expect(refusal(other, mode).code).toBe('none')
      expect(other.set.chunk).toBeGreaterThanOrEqual(g.set.chunk)
    }
    // With few dimensions larger moduli are safe as well; one set is recommended everywhere.
    expect(refusal(shape(3, 16, 8), 'public-key').hint).toContain(PUBLIC_KEY_PARAMETER_SET)
    expect(refusal(shape(768, 16, 8), 'symmetric').code).toBe('none')
    expect(refusal(shape(768, 14, 8), 'public-key').code).toBe('none')
  })
})

describe('the noise that SEAL makes', () => {
  const cases: [number, number, number, IngestMode][] = [
    [384, 16, 8, 'symmetric'],
    [768, 16, 8, 'symmetric'],
    [768, 17, 8, 'symmetric'],
    [768, 14, 8, 'public-key'],
    [384, 13, 1, 'public-key'],
  ]
  it.each(cases)('is the one the bound is about: d = %i, t = 2^%i, b = %i, %s', async (...of) => {
    const [dimensions, bits, chunk, mode] = of
    const g = shape(dimensions, bits, chunk)
    const N = g.set.degree
    const stored = mode === 'symmetric' ? 10.5 : 10.5 * ((4 * N) / 3 + 1)
    const std = 2 ** (2 * bits) * Math.sqrt(10.5 * stored * N * g.chunks)
    // The largest of 2048 Gaussians is between 3 and 5.5 standard deviations, all but surely. SEAL counts whole bits.
    const measured = await noiseBits(g, mode)
    expect(measured).toBeGreaterThanOrEqual(Math.floor(Math.log2(3 * std)) - 1)
    expect(measured).toBeLessThanOrEqual(Math.ceil(Math.log2(5.5 * std)) + 1)
  })
})
