/** The header of ciphertexts against what a store or a stranger may hand over. */
import { describe, expect, it } from 'vitest'

import {
  type Form,
  type Kind,
  checkCiphertexts,
  ciphertextLength,
  writeHeader,
} from '../../src/he/ciphertext-format.ts'
import { geometryOf } from '../../src/he/parameters.ts'

const g = geometryOf({ parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 20 })

function sound(kind: Kind, form: Form): Uint8Array {
  const bytes = new Uint8Array(ciphertextLength(g, kind, form))
  writeHeader(g, kind, form, bytes)
  return bytes
}

function refusal(kind: Kind, bytes: Uint8Array): { code: string; where: string } {
  try {
    checkCiphertexts(g, kind, bytes)
  } catch (error) {
    return error as { code: string; where: string }
  }
  return { code: 'none', where: 'nowhere' }
}

describe('the ciphertext format', () => {
  it('has one length for each kind and form', () => {
    expect(ciphertextLength(g, 'block', 1)).toBe(48 + 3 * (13_056 + 64))
    expect(ciphertextLength(g, 'block', 2)).toBe(48 + 3 * 2 * 13_056)
    expect(ciphertextLength(g, 'query', 1)).toBe(48 + 3 * (13_056 + 64))
    expect(ciphertextLength(g, 'result', 3)).toBe(48 + 3 * 13_056)
  })

  it('is written as documented', () => {
    const bytes = sound('result', 3)
    expect(Buffer.from(bytes.subarray(0, 16)).toString('hex')).toBe(
      '4b5248450103033300080000' + '01000000',
    )
    expect(bytes.subarray(16, 48)).toEqual(g.layoutDigest)
    expect(Buffer.from(sound('block', 2).subarray(4, 16)).toString('hex')).toBe(
      '010102330008000003000000',
    )
  })

  it('reads back what it wrote, as a view', () => {
    for (const [kind, form] of [
      ['block', 1],
      ['block', 2],
      ['query', 1],
      ['result', 3],
    ] as const) {
      // In the middle of a larger array, as it comes from a socket or a segment.
      const bytes = sound(kind, form)
      const around = new Uint8Array(bytes.length + 20)
      around.set(bytes, 7)
      const read = checkCiphertexts(g, kind, around.subarray(7, 7 + bytes.length))
      expect(read.form).toBe(form)
      expect(read.body.buffer).toBe(around.buffer)
      expect(read.body.byteOffset).toBe(7 + 48)
      expect(read.body.length).toBe(bytes.length - 48)
    }
  })

  it('refuses every other header: each bit of each byte matters', () => {
    for (const [kind, form] of [
      ['block', 1],
      ['block', 2],
      ['query', 1],
      ['result', 3],
    ] as const) {
      for (let at = 0; at < 48; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const bytes = sound(kind, form)
          bytes[at]! ^= 1 << bit
          expect(refusal(kind, bytes).code).toBe('CIPHERTEXT_INVALID')
        }
      }
    }
  })

  it('says which field is wrong', () => {
    const fields: [number, number, string][] = [
      [0, 0x4c, 'byte 0 of the magic number'],
      [4, 2, 'version'],
      [5, 2, 'kind'],
      [6, 3, 'form'],
      [7, 52, 'bits of a residue'],
      [8, 1, 'degree'],
      [12, 4, 'number of chunks'],
      [15, 0x80, 'number of chunks'],
      [16, g.layoutDigest[0]! ^ 1, 'layout digest'],
    ]
    for (const [at, value, where] of fields) {
      const bytes = sound('block', 1)
      bytes[at] = value
      expect(refusal('block', bytes)).toMatchObject({ code: 'CIPHERTEXT_INVALID', where })
    }
  })

  it('refuses every other length', () => {
    for (const [kind, form] of [
      ['block', 1],
      ['block', 2],
      ['query', 1],
      ['result', 3],
    ] as const) {
      const bytes = sound(kind, form)
      for (const length of [
        0,
        1,
        47,
        48,
        49,
        bytes.length - 1,
        bytes.length + 1,
        2 * bytes.length,
      ]) {
        const other = new Uint8Array(length)
        other.set(bytes.subarray(0, length))
        expect(refusal(kind, other).code).toBe('CIPHERTEXT_INVALID')
      }
    }
  })

  it('refuses another kind, and forms a kind cannot have', () => {
    for (const [kind, form] of [
      ['block', 1],
      ['query', 1],
      ['result', 3],
    ] as const) {
      for (const other of ['block', 'query', 'result'] as const) {
        expect(refusal(other, sound(kind, form)).code).toBe(
          other === kind ? 'none' : 'CIPHERTEXT_INVALID',
        )
      }
    }
    expect(refusal('query', sound('query', 2)).where).toBe('form')
    expect(refusal('result', sound('result', 1)).where).toBe('form')
    expect(refusal('block', sound('block', 3)).where).toBe('form')
  })

  it('refuses ciphertexts of another layout of the same length', () => {
    for (const other of [
      { parameterSet: 'bgv-n2048-q51-t15-b8', metric: 'cosine', dimensions: 20 },
      { parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'inner-product', dimensions: 20 },
      { parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 19 },
    ] as const) {
      const bytes = sound('block', 1)
      writeHeader(geometryOf(other), 'block', 1, bytes)
      expect(refusal('block', bytes).where).toBe('layout digest')
    }
  })

  it('refuses what is no byte array', () => {
    for (const value of [undefined, null, 'KRHE', [75, 82, 72, 69], new ArrayBuffer(64)]) {
      expect(refusal('block', value as never).code).toBe('CIPHERTEXT_INVALID')
    }
  })
})
