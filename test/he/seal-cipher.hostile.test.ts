/** What the ciphers refuse, and that SEAL does not see it. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { ciphertextLength, writeHeader } from '../../src/he/ciphertext-format.ts'
import { packBlock, packQuery } from '../../src/he/packing.ts'
import { geometryOf } from '../../src/he/parameters.ts'
import { packResidues } from '../../src/he/residues.ts'
import { seal } from '../../src/he/seal.ts'
import { createSealCipher } from '../../src/he/seal-cipher.ts'
import { sumOfProducts } from './seal-sum.ts'

const g = geometryOf({ parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 20 })
const { lib, context } = await seal(g.set)
const cipher = await createSealCipher(g, randomBytes(32))
const row = Int32Array.from({ length: 20 }, (_, i) => i - 10)
const block = await cipher.encrypt(packBlock(g, [row]), 'block')
const query = await cipher.encrypt(packQuery(g, row), 'query')
const result = await sumOfProducts(g, block, query)
afterAll(() => cipher.dispose())

const parsed = vi.spyOn(lib.Ciphertext.prototype as { loadFromArray(): void }, 'loadFromArray')
beforeEach(() => {
  parsed.mockClear()
})

async function refusal(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    return (error as { code: string }).code
  }
  return 'none'
}

/** Both ways in, with the same bytes. */
async function refused(bytes: Uint8Array): Promise<void> {
  expect(await refusal(() => cipher.decryptResult(bytes))).toBe('CIPHERTEXT_INVALID')
  expect(await refusal(() => cipher.decryptBlock(bytes))).toBe('CIPHERTEXT_INVALID')
  expect(parsed).not.toHaveBeenCalled()
}

describe('before SEAL parses', () => {
  it('sound bytes do reach it', async () => {
    expect(cipher.decryptResult(result)[7]).toBe(row.reduce((sum, x) => sum + x * x, 0))
    expect(parsed).toHaveBeenCalledTimes(1)
    await cipher.decryptBlock(block)
    expect(parsed).toHaveBeenCalledTimes(1 + g.chunks)
  })

  it('SEAL\u2019s own serialised objects are refused: plain, compressed, with sizes of 2^63', async () => {
    const generator = new lib.KeyGenerator(context)
    const encryptor = new lib.Encryptor(context, generator.createPublicKey(), generator.secretKey())
    const ciphertext = new lib.Ciphertext()
    encryptor.encryptZero(ciphertext)
    const seeded = encryptor.encryptSymmetricSerializable(new lib.Plaintext(1))
    const { none, zlib, zstd } = lib.ComprModeType
    for (const source of [ciphertext, seeded, generator.secretKey()]) {
      for (const mode of [none, zlib, zstd]) {
        const blob = source.saveToArray(mode) as Uint8Array
        await refused(blob)
        for (const at of [8, 49, 57, 65, 97, 105]) {
          const huge = blob.slice()
          new DataView(huge.buffer).setBigUint64(at, 2n ** 63n, true)
          await refused(huge)
        }
      }
    }
  })

  it('truncated, longer and empty bytes are refused', async () => {
    for (const sound of [result, block, query]) {
      for (const length of [0, 1, 48, sound.length - 1]) await refused(sound.slice(0, length))
      await refused(Uint8Array.of(...sound, 0))
    }
  })

  it('another kind is refused: a query or block is no result, a result is no block', async () => {
    expect(await refusal(() => cipher.decryptResult(block))).toBe('CIPHERTEXT_INVALID')
    expect(await refusal(() => cipher.decryptResult(query))).toBe('CIPHERTEXT_INVALID')
    expect(await refusal(() => cipher.decryptBlock(query))).toBe('CIPHERTEXT_INVALID')
    expect(await refusal(() => cipher.decryptBlock(result))).toBe('CIPHERTEXT_INVALID')
    expect(parsed).not.toHaveBeenCalled()
  })

  it('a residue of q or more is refused, wherever it is', async () => {
    for (const value of [g.set.modulus, g.set.modulus + 1n, 2n ** 51n - 1n]) {
      for (const at of [0, 2047, 2048, 3 * 2048 - 1]) {
        const words = new BigUint64Array(3 * 2048)
        words[at] = value
        const bytes = new Uint8Array(ciphertextLength(g, 'result', 3))
        writeHeader(g, 'result', 3, bytes)
        bytes.set(packResidues(new Uint8Array(words.buffer), 51), 48)
        expect(await refusal(() => cipher.decryptResult(bytes))).toBe('CIPHERTEXT_INVALID')
      }
    }
    expect(parsed).not.toHaveBeenCalled()
  })

  it('a residue of q - 1 is none of these', () => {
    const words = new BigUint64Array(3 * 2048).fill(g.set.modulus - 1n)
    const bytes = new Uint8Array(ciphertextLength(g, 'result', 3))
    writeHeader(g, 'result', 3, bytes)
    bytes.set(packResidues(new Uint8Array(words.buffer), 51), 48)
    expect(cipher.decryptResult(bytes)).toHaveLength(2048)
    expect(parsed).toHaveBeenCalledTimes(1)
  })

  it('a ciphertext of another layout is refused', async () => {
    const other = geometryOf({
      parameterSet: 'bgv-n2048-q51-t15-b8',
      metric: 'cosine',
      dimensions: 20,
    })
    const foreign = result.slice()
    writeHeader(other, 'result', 3, foreign)
    expect(await refusal(() => cipher.decryptResult(foreign))).toBe('CIPHERTEXT_INVALID')
    expect(parsed).not.toHaveBeenCalled()
  })
})

describe('the cipher', () => {
  it('refuses secrets of another length', async () => {
    for (const secret of [new Uint8Array(31), new Uint8Array(33), 'x'.repeat(32)]) {
      expect(await refusal(() => createSealCipher(g, secret as Uint8Array))).toBe('KEY_INVALID')
    }
  })

  it('refuses other chunks and coefficients beyond t', async () => {
    const chunks = packBlock(g, [row])
    expect(await refusal(() => cipher.encrypt(chunks.slice(1), 'block'))).toBe('VECTOR_INVALID')
    expect(await refusal(() => cipher.encrypt([...chunks, chunks[0]!], 'query'))).toBe(
      'VECTOR_INVALID',
    )
    chunks[2]![2047] = 32768
    expect(await refusal(() => cipher.encrypt(chunks, 'block'))).toBe('VECTOR_INVALID')
  })

  it('has no way to noise, to polynomials or to the key', () => {
    expect(Object.keys(cipher).sort()).toEqual(
      ['decryptBlock', 'decryptResult', 'dispose', 'encrypt', 'publicKey'].sort(),
    )
  })

  it('is closed once disposed of, also in the middle of a block', async () => {
    const long = geometryOf({ parameterSet: g.set.name, metric: 'cosine', dimensions: 2048 })
    const other = await createSealCipher(long, randomBytes(32))
    const running = refusal(() => other.encrypt(packBlock(long, []), 'block'))
    setImmediate(() => other.dispose())
    expect(await running).toBe('CLOSED')
    other.dispose()
    expect(await refusal(() => other.encrypt(packBlock(long, []), 'block'))).toBe('CLOSED')
    expect(await refusal(() => other.decryptResult(result))).toBe('CLOSED')
    expect(await refusal(() => other.decryptBlock(block))).toBe('CLOSED')
    expect(await refusal(() => other.publicKey())).toBe('CLOSED')
  })

  it('takes its seed as a copy and leaves none behind in what it was given', async () => {
    const secret = randomBytes(32)
    const before = Buffer.from(secret)
    const other = await createSealCipher(g, secret)
    expect(secret).toEqual(before)
    other.dispose()
  })
})
