/** Columns of a configuration with keys in a token: found by URI, the same results as in software, rewrapped. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openColumns, parseFpeConfig } from '../../src/fpe/index.ts'
import { type Hsm, type Token, loadModule } from '../../src/pkcs11/index.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { keyImport } from '../pkcs11/imported-key.ts'
import { type SoftHsm, type TestToken, softHsm } from '../tokens.ts'
import { countingAes } from './counting-aes.ts'
import { texts } from './format-column.ts'

let softhsm: SoftHsm
let vault: TestToken
let hsm: Hsm
let token: Token

beforeAll(async () => {
  softhsm = softHsm()
  vault = softhsm.tokens('vault').vault
  hsm = await loadModule(softhsm.module)
  token = await hsm.login(vault.uri, { pin: vault.userPin() })
})
afterAll(async () => {
  await hsm[Symbol.asyncDispose]()
  softhsm.cleanup()
})

describe('columns with keys in a token', () => {
  it('of the example find the key that the ceremony makes', async () => {
    const id = new Uint8Array(randomBytes(16))
    await token.generate({ role: 'fpe', label: 'fpe-pan', id })
    const text = await readFile(
      new URL('../../ceremonies/fpe-columns.json', import.meta.url),
      'utf8',
    )
    const columns = await openColumns(parseFpeConfig(text, 'fpe-columns.json'), async (uri) =>
      (await token.key(uri)).blockCipher(),
    )
    const pan = columns.get('pan')!
    const cards = Array.from({ length: 5000 }, (_, i) => `411111${String(i).padStart(6, '0')}1111`)
    const encrypted = texts(await pan.encryptEach(cards))
    expect(new Set(encrypted).size).toBe(cards.length)
    for (const card of encrypted) expect(card).toMatch(/^411111\d{6}1111$/)
    expect(await pan.decryptEach(encrypted)).toEqual(cards)
    // Card numbers pass for anything of 12 to 19 digits; a social security number is walked to.
    const ssn = columns.get('ssn')!
    const numbers = Array.from({ length: 3000 }, (_, i) => `${100 + (i % 500)}-45-${1000 + i}`)
    expect(await ssn.decryptEach(texts(await ssn.encryptEach(numbers)))).toEqual(numbers)
  })

  it('are those of software with the same key, version by version', async () => {
    const values = [1, 2].map(() => new Uint8Array(randomBytes(32)))
    const imports = keyImport({ module: softhsm.module, libraryParameters: undefined }, token)
    try {
      const keys = await Promise.all(values.map((value) => imports.key(value)))
      const config = parseFpeConfig(
        JSON.stringify({
          keyrite: 'fpe/1',
          keys: {
            k: {
              current: 2,
              versions: { 1: { uri: 'pkcs11:object=1' }, 2: { uri: 'pkcs11:object=2' } },
            },
          },
          columns: {
            iban: { key: 'k', format: { type: 'iban' } },
            mail: { key: 'k', format: { type: 'email' } },
          },
        }),
        'columns.json',
      )
      const which = (uri: string): number => Number(uri.at(-1)) - 1
      const ciphers = (of: (at: number) => BlockCipher) => (uri: string) =>
        Promise.resolve(of(which(uri)))
      const inToken = await openColumns(
        config,
        ciphers((at) => keys[at]!.blockCipher()),
      )
      const inSoftware = await openColumns(
        config,
        ciphers((at) => countingAes(values[at]!)),
      )
      for (const [field, examples] of Object.entries({
        iban: ['DE89370400440532013000', 'GB29 NWBK 6016 1331 9268 19', 'NO9386011117947'],
        mail: ['john.doe@example.com', 'a1b2c3+x@example.org', 'joe@example.com'],
      })) {
        const [there, here] = [inToken.get(field)!, inSoftware.get(field)!]
        const plain = (results: readonly unknown[]): unknown[] =>
          results.map((one) => (one instanceof Error ? one.message : one))
        const results = plain(await there.encryptEach(examples))
        expect(results).toEqual(plain(await here.encryptEach(examples)))
        const versions = [1, 2, 1]
        const stored = texts(await there.encryptEach(examples.slice(0, 2)))
        expect(plain(await there.decryptEach(stored, { versions: [1, 2] }))).toEqual(
          plain(await here.decryptEach(stored, { versions: [1, 2] })),
        )
        expect(plain(await there.rewrapEach(examples, { versions }))).toEqual(
          plain(await here.rewrapEach(examples, { versions })),
        )
      }
    } finally {
      imports.close()
    }
  })
})
