/** A seed file on SoftHSM2 and on NSS softoken: opened as often as a service starts, and not by another KEK. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import {
  type WrappedKey,
  deriveSeed,
  openSeed,
  parseWrappedKey,
  wrapKeyText,
} from '../../src/lifecycle/index.ts'
import { type Hsm, type Token, loadModule } from '../../src/pkcs11/index.ts'
import { type ModuleUnderTest, eachModule } from '../tokens.ts'

const plan = 'ab'.repeat(32)
const NAME = 'embeddings-epoch-3'
const id = () => new Uint8Array(randomBytes(16))
const approval = { by: ['alice', 'bob'], intentSha256: 'ab'.repeat(32) }

eachModule((_name, start) => {
  let under: ModuleUnderTest
  let hsm: Hsm
  let token: Token
  let text = ''
  let expected = ''

  beforeAll(async () => {
    under = start()
    const { libraryParameters, token: target } = under
    hsm = await loadModule(
      under.module,
      libraryParameters === undefined ? {} : { libraryParameters },
    )
    token = await hsm.login(target.uri, { pin: target.userPin() })
    const inner = { token, key: await token.generate({ role: 'kek', label: 'kek', id: id() }) }
    const born = { role: 'embedding-seed', label: NAME, id: id(), form: 'birth' } as const
    const key = await token.generate(born)
    expected = toHex(await deriveSeed(key, NAME))
    text = await wrapKeyText(key, 'embedding-seed', { inner }, plan)
    await token.destroy(key, approval)
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    under.cleanup()
  })

  it('opens to the seed of the key that is gone from the token, each time, and leaves no object', async () => {
    const before = await token.inventory()
    expect(before.map(({ label }) => label)).toEqual(['kek'])
    const kcv = parseWrappedKey(text, 'file').bound.key.kcv
    for (let n = 0; n < 3; n += 1) {
      const opened = await openSeed(text, 'file', { inner: token })
      expect({ ...opened, seed: toHex(opened.seed) }).toEqual({
        ...{ epoch: 3, name: NAME, kcv, seed: expected },
      })
    }
    expect(await token.inventory()).toEqual(before)
  })

  it('does not open with a KEK of the same name', async () => {
    const kek = await token.key('pkcs11:object=kek')
    await token.destroy(kek, approval)
    const missing = { name: 'TokenError', code: 'KEY_NOT_FOUND', where: 'file' }
    await expect(openSeed(text, 'file', { inner: token })).rejects.toMatchObject(missing)
    const other = await token.generate({ role: 'kek', label: 'kek', id: id() })
    const mismatch = { name: 'EmbeddingError', code: 'KEY_MISMATCH', where: 'file' }
    await expect(openSeed(text, 'file', { inner: token })).rejects.toMatchObject(mismatch)

    // Also when the file itself says that this KEK is the right one.
    const file = JSON.parse(text) as WrappedKey
    const lie = { label: other.label, id: other.id, tokenSerial: '', kcv: await other.kcv() }
    const lying = canonicalJson({ ...file, inner: { ...file.inner, kek: lie } } as never)
    await expect(openSeed(lying, 'file', { inner: token })).rejects.toMatchObject({
      name: 'Pkcs11Error',
      fn: 'C_UnwrapKey',
    })
    expect((await token.inventory()).map(({ label }) => label)).toEqual(['kek'])
  })
})
