/** Packed residues against the definition: bit i of residue j is bit (bits * j + i). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { packResidues, unpackResidues } from '../../src/he/residues.ts'
import { stream } from './random-ciphertexts.ts'

const wordsOf = (numbers: readonly bigint[]): Uint8Array =>
  new Uint8Array(new BigUint64Array(numbers).buffer)

/** The string as one number. */
function reference(numbers: readonly bigint[], bits: number): Uint8Array {
  let all = numbers.reduceRight((sum, one) => (sum << BigInt(bits)) | one, 0n)
  const out = new Uint8Array(Math.ceil((numbers.length * bits) / 8))
  for (let at = 0; at < out.length; at += 1, all >>= 8n) out[at] = Number(all & 255n)
  return out
}

const cases = fc.integer({ min: 1, max: 63 }).chain((bits) =>
  fc.record({
    bits: fc.constant(bits),
    numbers: fc.array(fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n }), { maxLength: 40 }),
  }),
)

describe('packing', () => {
  it('is the definition, and unpacking its inverse, for 1 to 63 bits', () => {
    fc.assert(
      fc.property(cases, ({ bits, numbers }) => {
        const packed = packResidues(wordsOf(numbers), bits)
        expect(packed).toEqual(reference(numbers, bits))
        const words = unpackResidues(packed, numbers.length, bits, 1n << BigInt(bits))
        expect(words).toEqual(wordsOf(numbers))
      }),
      { numRuns: 500 },
    )
  })

  it('is the definition for a polynomial', () => {
    const words = new BigUint64Array(stream(2048 * 8, 3).buffer).map((word) => word >> 13n)
    const packed = packResidues(new Uint8Array(words.buffer), 51)
    expect(packed).toEqual(reference([...words], 51))
    expect(unpackResidues(packed, 2048, 51, 2n ** 51n)).toEqual(new Uint8Array(words.buffer))
  })

  it('refuses a word with more bits, and half words', () => {
    expect(() => packResidues(wordsOf([7n, 8n]), 3)).toThrow(TypeError)
    expect(() => packResidues(new Uint8Array(12), 3)).toThrow(TypeError)
    for (const bits of [0, 64, 1.5]) {
      expect(() => packResidues(wordsOf([0n]), bits)).toThrow(TypeError)
    }
  })
})

describe('unpacking', () => {
  it.each([0, 3, 9])('refuses residue %i when it is the modulus', (at) => {
    const numbers = Array.from({ length: 10 }, (_, i) => (i === at ? 1000n : 999n))
    const packed = packResidues(wordsOf(numbers), 10)
    expect(() => unpackResidues(packed, 10, 10, 1000n)).toThrow(
      expect.objectContaining({
        code: 'CIPHERTEXT_INVALID',
        where: `residue ${at}`,
      }),
    )
    expect(unpackResidues(packed, 10, 10, 1001n)).toEqual(wordsOf(numbers))
  })

  it('refuses unused bits', () => {
    const packed = packResidues(wordsOf([1n, 2n, 3n]), 10)
    packed[3]! |= 0x80
    expect(() => unpackResidues(packed, 3, 10, 1000n)).toThrow(
      expect.objectContaining({
        code: 'CIPHERTEXT_INVALID',
        where: 'unused bits',
      }),
    )
  })

  it.each([-1, 1])('refuses a length that is off by %i', (by) => {
    expect(() => unpackResidues(new Uint8Array(16 + by), 2, 64 - 1, 5n)).toThrow(
      expect.objectContaining({
        code: 'CIPHERTEXT_INVALID',
      }),
    )
  })

  it('refuses a modulus that does not fit the bits', () => {
    expect(() => unpackResidues(new Uint8Array(4), 4, 8, 257n)).toThrow(TypeError)
    expect(() => unpackResidues(new Uint8Array(4), 4, 8, 0n)).toThrow(TypeError)
  })
})
