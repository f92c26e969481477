/** Blocks made with a public key, and that nothing secret is near. */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { describe, expect, it } from 'vitest'

import { packBlock, packQuery, unpackBlock, unpackScores } from '../../src/he/packing.ts'
import { geometryOf } from '../../src/he/parameters.ts'
import { createSealCipher } from '../../src/he/seal-cipher.ts'
import { createSealPublic } from '../../src/he/seal-public.ts'
import { rejectedCode } from '../error-code.ts'
import { sumOfProducts } from './seal-sum.ts'

const shape = (dimensions: number, chunk: number) =>
  geometryOf({ parameterSet: `bgv-n2048-q51-t14-b${chunk}`, metric: 'cosine', dimensions })
const dot = (a: Int32Array, b: Int32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

describe('public-key blocks', () => {
  it.each([
    [100, 8],
    [385, 8],
    [768, 8],
    [1536, 16],
  ])('give the integer dot products: d = %i, b = %i', async (dimensions, chunk) => {
    const g = shape(dimensions, chunk)
    const cipher = await createSealCipher(g, new Uint8Array(32).fill(1))
    const ingest = await createSealPublic(g, cipher.publicKey())
    const bound = Math.floor(g.scale / Math.sqrt(dimensions)) + 1
    const row = (j: number) =>
      Int32Array.from(
        { length: dimensions },
        (_, i) => ((i * 7 + j * 13) % (2 * bound)) - bound + 1,
      )
    const rows = Array.from({ length: g.vectorsPerBlock }, (_, j) => row(j))
    const block = await ingest.encrypt(packBlock(g, rows))
    expect(block[6]).toBe(2)
    const query = await cipher.encrypt(packQuery(g, row(3)), 'query')
    const scores = unpackScores(g, cipher.decryptResult(await sumOfProducts(g, block, query)))
    expect(scores).toEqual(Int32Array.from(rows, (one) => dot(one, row(3))))
    expect(unpackBlock(g, await cipher.decryptBlock(block))).toEqual(rows)
    ingest.dispose()
    cipher.dispose()
  })

  it('are not alike, nor are two public keys of one secret key', async () => {
    const g = shape(16, 8)
    const cipher = await createSealCipher(g, new Uint8Array(32).fill(2))
    const keys = [cipher.publicKey(), cipher.publicKey()]
    expect(keys[0]).toHaveLength(13_056 + 64)
    expect(keys[0]).not.toEqual(keys[1])
    const chunks = packBlock(g, [new Int32Array(16).fill(3)])
    const seen = new Set<bigint>()
    let words = 0
    for (const key of keys) {
      const ingest = await createSealPublic(g, key)
      for (let i = 0; i < 2; i++) {
        const bytes = (await ingest.encrypt(chunks)).slice(48)
        for (const word of new BigUint64Array(bytes.buffer)) seen.add(word)
        words += bytes.length / 8
      }
      ingest.dispose()
    }
    expect(seen.size).toBe(words)
    cipher.dispose()
  })

  it('are refused with a key of another length or with a residue beyond q', async () => {
    const g = shape(16, 8)
    for (const length of [0, 13_119, 13_121, 26_112]) {
      expect(await rejectedCode(() => createSealPublic(g, new Uint8Array(length)))).toBe(
        'KEY_INVALID',
      )
    }
    const beyond = new Uint8Array(13_120).fill(255)
    expect(await rejectedCode(() => createSealPublic(g, beyond))).toBe('CIPHERTEXT_INVALID')
  })

  it('are refused once the key is disposed of', async () => {
    const g = shape(16, 8)
    const cipher = await createSealCipher(g, new Uint8Array(32))
    const ingest = await createSealPublic(g, cipher.publicKey())
    cipher.dispose()
    ingest.dispose()
    ingest.dispose()
    expect(await rejectedCode(() => ingest.encrypt(packBlock(g, [])))).toBe('CLOSED')
  })
})

/** All files a file imports, by path. */
function reachable(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  const text = readFileSync(file, 'utf8')
  for (const [, path] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
    reachable(resolve(dirname(file), path!), seen)
  }
  return seen
}

describe('the imports of public-key encryption', () => {
  const HE = join(import.meta.dirname, '../../src/he')
  const secret = ['seal-cipher.ts', 'seal-secret.ts', 'keys.ts', 'keyring.ts', 'ingest-kit.ts']

  it.each(['seal-public.ts', 'ingest-kit-format.ts', 'ciphertext-format.ts'])(
    'of %s reach no secret key',
    (file) => {
      const names = [...reachable(join(HE, file))].map((path) => path.slice(HE.length + 1))
      expect(names).toContain(file)
      expect(names.filter((name) => secret.includes(name))).toEqual([])
    },
  )

  it('are read by a reader that would find one', () => {
    const names = [...reachable(join(HE, 'seal-cipher.ts'))].map((path) =>
      path.slice(HE.length + 1),
    )
    expect(names).toContain('seal-secret.ts')
    expect(names).toContain('seal-layout.ts')
  })
})
