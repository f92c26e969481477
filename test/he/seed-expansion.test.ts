/** A seed's polynomial is the one SEAL makes of it when it loads a seeded ciphertext. */
import { beforeAll, describe, expect, it } from 'vitest'

import { DEFAULT_PARAMETER_SET, parseParameterSet } from '../../src/he/parameters.ts'
import { expandSeed } from '../../src/he/residues.ts'
import { kernelPaths } from '../../src/he/scan-kernel.ts'
import { readCiphertext, writeSeeded } from '../../src/he/seal-layout.ts'
import { type Seal, seal } from '../../src/he/seal.ts'
import { stream } from './random-ciphertexts.ts'

const set = parseParameterSet(DEFAULT_PARAMETER_SET)
let library: Seal
beforeAll(async () => {
  library = await seal(set)
})

/** c1 as SEAL has it after loading. */
function expandedBySeal(seed: Uint8Array): Uint8Array {
  const { lib, context, layout } = library
  const ciphertext = new lib.Ciphertext()
  try {
    ciphertext.loadFromArray(context, writeSeeded(layout, new Uint8Array(8 * set.degree), seed))
    const saved = ciphertext.saveToArray(lib.ComprModeType.none) as Uint8Array
    return readCiphertext(layout, 2, saved)[1]!.slice()
  } finally {
    ciphertext.delete()
  }
}

describe('c1 of a seed is that of SEAL', () => {
  // One polynomial in four has a word that is rejected, so that 200 seeds meet the rejection too.
  it.each(kernelPaths())('for 200 seeds, with what the CPU has for %s', (path) => {
    for (let number = 0; number < 200; number += 1) {
      const seed = stream(64, number)
      expect(expandSeed(seed, set, path)).toEqual(expandedBySeal(seed))
    }
  })

  it('for a seed of zeros and one of ones', () => {
    for (const byte of [0, 255]) {
      const seed = new Uint8Array(64).fill(byte)
      expect(expandSeed(seed, set)).toEqual(expandedBySeal(seed))
    }
  })

  it('and for the seed of a ciphertext that SEAL has made', () => {
    const { lib, context, layout } = library
    const generator = new lib.KeyGenerator(context)
    const secret = generator.secretKey()
    const publicKey = generator.createPublicKey()
    const encryptor = new lib.Encryptor(context, publicKey, secret)
    const plain = new lib.Plaintext()
    plain.setZero()
    const made = encryptor.encryptSymmetricSerializable(plain)
    const blob = made.saveToArray(lib.ComprModeType.none) as Uint8Array
    const seed = blob.slice(-64)
    const loaded = new lib.Ciphertext()
    loaded.loadFromArray(context, blob)
    const saved = loaded.saveToArray(lib.ComprModeType.none) as Uint8Array
    expect(expandSeed(seed, set)).toEqual(readCiphertext(layout, 2, saved)[1]!.slice())
    for (const one of [generator, secret, publicKey, encryptor, plain, made, loaded]) one.delete()
  })
})

it('a seed of another length is refused', () => {
  for (const length of [0, 63, 65]) {
    expect(() => expandSeed(new Uint8Array(length), set)).toThrow(TypeError)
  }
})
