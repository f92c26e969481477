/** SEAL's serialised objects: what SEAL writes is read, anything else is refused without SEAL. */
import { describe, expect, it } from 'vitest'

import { geometryOf } from '../../src/he/parameters.ts'
import { seal } from '../../src/he/seal.ts'
import {
  checkSecretKey,
  readCiphertext,
  readPlaintext,
  readSeeded,
  writeCiphertext,
  writePlaintext,
  writeSeeded,
} from '../../src/he/seal-layout.ts'
import { thrownCode } from '../error-code.ts'

const g = geometryOf({ parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 8 })
const library = await seal(g.set)
const { lib, context, layout } = library
const { none, zlib, zstd } = lib.ComprModeType

/** Everything SEAL serialises, by SEAL's own hand. */
function made() {
  const generator = new lib.KeyGenerator(context)
  const secret = generator.secretKey()
  const encryptor = new lib.Encryptor(context, generator.createPublicKey(), secret)
  const plain = new lib.Plaintext()
  const coefficients = Int32Array.from({ length: 2048 }, (_, i) => (i % 331) - 165)
  plain.loadFromArray(context, writePlaintext(layout, coefficients))
  const seeded = encryptor.encryptSymmetricSerializable(plain)
  const full = new lib.Ciphertext()
  encryptor.encryptSymmetric(plain, full)
  const three = new lib.Ciphertext()
  new lib.Evaluator(context).multiply(full, full, three)
  return { generator, secret, encryptor, plain, coefficients, seeded, full, three }
}
const { generator, secret, plain, coefficients, seeded, full, three } = made()
const bytes = (one: { saveToArray(mode: typeof none): unknown }) =>
  one.saveToArray(none) as Uint8Array

describe('what SEAL writes', () => {
  it('is read and written back to the byte', () => {
    const pair = readSeeded(layout, bytes(seeded))
    expect([pair.c0.length, pair.seed.length]).toEqual([2048 * 8, 64])
    expect(writeSeeded(layout, pair.c0, pair.seed)).toEqual(bytes(seeded))
    expect(writeCiphertext(layout, readCiphertext(layout, 2, bytes(full)))).toEqual(bytes(full))
    expect(writeCiphertext(layout, readCiphertext(layout, 3, bytes(three)))).toEqual(bytes(three))
    const publicKey = bytes(generator.createPublicKeySerializable())
    const key = readSeeded(layout, publicKey)
    expect(writeSeeded(layout, key.c0, key.seed)).toEqual(publicKey)
    checkSecretKey(layout, bytes(secret))
  })

  it('has the parameters\u2019 hash of SEAL', () => {
    const words = context.firstParmsId().values() as BigUint64Array
    expect(layout.parmsId).toEqual(new Uint8Array(words.slice().buffer))
  })

  it('keeps coefficients, also when it leaves out zeros at the end', () => {
    expect(readPlaintext(layout, bytes(plain))).toEqual(coefficients)
    const short = new lib.Plaintext(3)
    short.setZero()
    expect(readPlaintext(layout, bytes(short))).toEqual(new Int32Array(2048))
  })
})

const readers = {
  seeded: [() => bytes(seeded), (blob: Uint8Array) => void readSeeded(layout, blob), 113],
  full: [() => bytes(full), (blob: Uint8Array) => void readCiphertext(layout, 2, blob), 113],
  three: [() => bytes(three), (blob: Uint8Array) => void readCiphertext(layout, 3, blob), 113],
  plain: [() => bytes(plain), (blob: Uint8Array) => void readPlaintext(layout, blob), 88],
  secret: [() => bytes(secret), (blob: Uint8Array) => checkSecretKey(layout, blob), 88],
} as const

describe.each(Object.entries(readers))('a changed %s', (name, [make, read, prefix]) => {
  it('is refused for each bit of its prefix', () => {
    expect(thrownCode(() => read(make()))).toBe('none')
    for (let at = 0; at < prefix; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const blob = make()
        blob[at]! ^= 1 << bit
        expect(thrownCode(() => read(blob))).toBe('CIPHERTEXT_INVALID')
      }
    }
  })

  it('is refused at every other length', () => {
    const sound = make()
    for (const length of [0, 1, 15, 16, prefix - 1, prefix, sound.length - 1, sound.length + 1]) {
      const blob = new Uint8Array(length)
      blob.set(sound.subarray(0, length))
      expect(thrownCode(() => read(blob))).toBe('CIPHERTEXT_INVALID')
    }
  })

  it('is refused compressed, also when its length is that of an uncompressed one', () => {
    const source = { seeded, full, three, plain, secret }[name as keyof typeof readers]
    for (const mode of [zlib, zstd]) {
      const compressed = source.saveToArray(mode) as Uint8Array
      expect(compressed[5]).not.toBe(0)
      expect(thrownCode(() => read(compressed))).toBe('CIPHERTEXT_INVALID')
      const padded = make()
      padded.set(compressed.subarray(0, padded.length))
      expect(thrownCode(() => read(padded))).toBe('CIPHERTEXT_INVALID')
    }
  })

  it('is refused with sizes of 2^63 in any of its fields', () => {
    const fields = [8, 48, 49, 57, 65, 81, 89, 97, 105, prefix - 8, prefix - 16]
    for (const at of fields.filter((one) => one <= prefix - 8)) {
      const blob = make()
      new DataView(blob.buffer, blob.byteOffset).setBigUint64(at, 2n ** 63n, true)
      expect(thrownCode(() => read(blob))).toBe('CIPHERTEXT_INVALID')
    }
  })
})

describe('the end of a seeded ciphertext', () => {
  it('has the one generator and the one length', () => {
    const at = 113 + 2048 * 8
    for (let offset = at; offset < at + 17; offset++) {
      const blob = bytes(seeded)
      blob[offset]! ^= 1
      expect(thrownCode(() => readSeeded(layout, blob))).toBe('CIPHERTEXT_INVALID')
    }
  })
})

describe('plaintexts', () => {
  it('are refused when a coefficient does not fit', () => {
    for (const value of [32768, -32769, 2 ** 31 - 1, -(2 ** 31)]) {
      const other = new Int32Array(2048)
      other[2047] = value
      expect(thrownCode(() => writePlaintext(layout, other))).toBe('VECTOR_INVALID')
    }
    expect(thrownCode(() => writePlaintext(layout, new Int32Array(2047)))).toBe('VECTOR_INVALID')
    const ends = new Int32Array(2048)
    ends.set([32767, -32768, -1])
    expect(readPlaintext(layout, writePlaintext(layout, ends))).toEqual(ends)
  })

  it('are refused with a word beyond t', () => {
    for (const [offset, value] of [
      [2, 1],
      [4, 1],
      [7, 0x80],
    ] as const) {
      const blob = writePlaintext(layout, new Int32Array(2048))
      blob[88 + 8 * 100 + offset] = value
      expect(thrownCode(() => readPlaintext(layout, blob))).toBe('CIPHERTEXT_INVALID')
    }
  })
})
