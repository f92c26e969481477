/**
 * The official vectors with their keys in a token: NIST, ACVP FF1 and FF3-1, Wycheproof FF1, on SoftHSM and on
 * NSS, one by one and in batches, by native rounds and by TypeScript waves.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { FpeError, Pkcs11Error } from '../../src/errors.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { radixAlphabet } from '../../src/fpe/alphabet.ts'
import { alphabet as alphabetOf, ff1, runRecords } from '../../src/fpe/index.ts'
import type { Direction } from '../../src/fpe/index.ts'
import { loadModule, REVERSED_KEY_SUFFIX } from '../../src/pkcs11/index.ts'
import type { Hsm, Token } from '../../src/pkcs11/index.ts'
import { keyImport } from '../pkcs11/imported-key.ts'
import type { KeyImport } from '../pkcs11/imported-key.ts'
import { eachModule } from '../tokens.ts'
import type { ModuleUnderTest } from '../tokens.ts'
import { invalidCases, vectorSets } from './vector-sets.ts'
import type { Vector } from './vector-sets.ts'

/** The same key without native rounds. */
const waves = ({ feistel: _feistel, ...cipher }: BlockCipher): BlockCipher => cipher

const DIRECTIONS: readonly Direction[] = ['encrypt', 'decrypt']

/** All vectors of one key, in one batch and one by one. */
async function check(cipher: BlockCipher, vectors: readonly Vector[], single: boolean) {
  const [first] = vectors
  const { method } = first!
  for (const direction of DIRECTIONS) {
    const from = direction === 'encrypt' ? 'plaintext' : 'ciphertext'
    const to = direction === 'encrypt' ? 'ciphertext' : 'plaintext'
    const records = vectors.map((vector) => ({ ...vector, numerals: vector[from] }))
    const batches = single ? records.map((record) => [record]) : [records]
    const results: Uint16Array[] = []
    for (const batch of batches) {
      results.push(...(await runRecords(cipher, method, direction, batch)))
    }
    expect(results).toEqual(vectors.map((vector) => vector[to]))
  }
}

eachModule((_name, start) => {
  let under: ModuleUnderTest
  let hsm: Hsm
  let token: Token
  let imports: KeyImport

  beforeAll(async () => {
    under = start()
    const { libraryParameters } = under
    hsm = await loadModule(
      under.module,
      libraryParameters === undefined ? {} : { libraryParameters },
    )
    token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    imports = keyImport(under, token)
  })
  afterAll(async () => {
    imports.close()
    await hsm[Symbol.asyncDispose]()
    under.cleanup()
  })

  describe.each(vectorSets())('$name', ({ vectors, byKey }) => {
    test(`${vectors} vectors`, { timeout: 300_000 }, async () => {
      let checked = 0
      for (const [value, list] of byKey()) {
        const reversed = list[0]!.method === 'FF3-1'
        const bytes = reversed ? value.toReversed() : value
        const key = await imports.key(bytes, reversed ? REVERSED_KEY_SUFFIX : '')
        const cipher = key.blockCipher()
        for (const way of [cipher, waves(cipher)]) {
          await check(way, list, false)
          await check(way, list, true)
        }
        checked += list.length
        await imports.drop(key)
      }
      expect(checked).toBe(vectors)
    })
  })

  test('every invalid case of Wycheproof is refused by a typed error, the token unasked', async () => {
    const key = await imports.key(new Uint8Array(16).fill(1))
    const cipher = key.blockCipher()
    const asked: number[] = []
    const watched: BlockCipher = {
      encryptBlocks(blocks) {
        asked.push(blocks.length)
        return cipher.encryptBlocks(blocks)
      },
    }
    const accepted: string[] = []
    const cases = invalidCases()
    // A key of a wrong length is refused when it is made (NSS) or when it is used (SoftHSM).
    const lengths = cases.filter((one) => ![16, 24, 32].includes(one.key.length))
    const others = cases.filter((one) => !lengths.includes(one))
    for (const { name, radix, alphabet, tweak, message } of others) {
      const set = alphabet === undefined ? radixAlphabet(radix) : alphabetOf(alphabet)
      const fpe = ff1({ key: watched, alphabet: set, minDomain: 100 })
      const work =
        typeof message === 'string'
          ? fpe.encrypt(message, { tweak })
          : fpe.encryptNumerals(message, { tweak })
      const error: unknown = await work.then(
        () => accepted.push(name),
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(FpeError)
    }
    expect(accepted).toEqual([])
    expect(asked).toEqual([])
    expect(others.length).toBeGreaterThan(300)
    const wrong = new Set(lengths.map((one) => one.key.length))
    expect(wrong.size).toBeGreaterThan(1)
    for (const length of wrong) {
      const use = async () => {
        const made = await imports.key(new Uint8Array(length).fill(2))
        return made.blockCipher().encryptBlocks(new Uint8Array(16))
      }
      await expect(use()).rejects.toBeInstanceOf(Pkcs11Error)
    }
  })

  test('FF3-1 under a key without the mark is refused', async () => {
    const key = await imports.key(new Uint8Array(32).fill(7))
    const record = { radix: 10, numerals: new Uint16Array(16), tweak: new Uint8Array(7) }
    const error: unknown = await runRecords(key.blockCipher(), 'FF3-1', 'encrypt', [record]).catch(
      (e: unknown) => e,
    )
    expect(error).toBeInstanceOf(FpeError)
    expect(error).toMatchObject({ code: 'KEY_NOT_REVERSED' })
  })
})
