/** AES-KWP: RFC 5649's examples, the software reference, and which mechanism each module's probe chooses. */
import { execFileSync } from 'node:child_process'
import { createDecipheriv, randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { fromHex, toHex } from '../../src/bytes.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { wrapInSoftware, wrappedLength } from '../../src/pkcs11/kwp.ts'
import { eachModule } from '../tokens.ts'
import type { ModuleUnderTest } from '../tokens.ts'

describe('the software reference', () => {
  // RFC 5649 §6.
  const kek = fromHex('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8')
  test.each([
    [
      'c37b7e6492584340bed12207808941155068f738',
      '138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a',
    ],
    ['466f7250617369', 'afbeb0f07dfbf5419200f2ccb50bb24f'],
  ])('wraps %s as RFC 5649 §6 says', (secret, wrapped) => {
    expect(toHex(wrapInSoftware(kek, fromHex(secret)))).toBe(wrapped)
    expect(wrappedLength(secret.length / 2)).toBe(wrapped.length / 2)
  })

  test('equals the openssl command for AES-256', () => {
    const key = new Uint8Array(randomBytes(32))
    const secret = new Uint8Array(randomBytes(32))
    const printed = execFileSync(
      'openssl',
      ['enc', '-e', '-id-aes256-wrap-pad', '-K', toHex(key), '-iv', 'a65959a6'],
      { input: secret },
    )
    expect(wrapInSoftware(key, secret)).toEqual(new Uint8Array(printed))
  })
})

eachModule((name, start) => {
  let under: ModuleUnderTest
  beforeAll(() => void (under = start()))
  afterAll(() => under.cleanup())

  const options = () =>
    under.libraryParameters === undefined ? {} : { libraryParameters: under.libraryParameters }

  test('the probe finds the mechanism that is RFC 5649, whatever its number', async () => {
    await using hsm = await loadModule(under.module, options())
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    const id = new Uint8Array(randomBytes(16))
    const kek = await token.generate({ role: 'kek', label: 'kek', id })
    const { ALLOWED_MECHANISMS } = await kek.attributes()
    const found = {
      SoftHSM2: ['CKM_AES_KEY_WRAP_PAD'],
      // NSS keeps no ALLOWED_MECHANISMS; the waiver names the mechanism that was found.
      NSS: undefined,
    }
    expect(ALLOWED_MECHANISMS).toEqual(found[name])
    const waived = kek.waivers.find(({ attribute }) => attribute === 'CKA_ALLOWED_MECHANISMS')
    expect(waived?.wanted).toBe(name === 'NSS' ? 'CKM_AES_KEY_WRAP_KWP' : undefined)
  })

  test('a wrapped key comes back as the same key; a damaged wrap does not', async () => {
    await using hsm = await loadModule(under.module, options())
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    const fresh = () => new Uint8Array(randomBytes(16))
    const kek = await token.key('pkcs11:object=kek')
    const birth = await token.generate({ role: 'fpe', label: 'pan', id: fresh(), form: 'birth' })
    const wrapped = await token.wrapKwp(kek, birth)
    expect(wrapped).toHaveLength(40)
    const again = { role: 'fpe', label: 'again', id: fresh(), onToken: false } as const
    const back = await token.unwrapKwp(kek, wrapped, again)
    expect(await back.kcv()).toEqual(await birth.kcv())

    for (const at of [0, 8, 39]) {
      const damaged = wrapped.map((byte, n) => (n === at ? byte ^ 1 : byte))
      const spec = { role: 'fpe', label: 'damaged', id: fresh(), onToken: false } as const
      await expect(token.unwrapKwp(kek, damaged, spec)).rejects.toMatchObject({
        code: 'PKCS11',
        fn: 'C_UnwrapKey',
      })
    }
    expect(await token.find({ label: 'damaged' })).toEqual([])
    const short = wrapped.subarray(0, 32)
    await expect(token.unwrapKwp(kek, short, again)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    })
    if (name === 'SoftHSM2') {
      // The UNWRAP_TEMPLATE of the kek: nothing extractable comes out of a blob.
      const born = { ...again, id: fresh(), form: 'birth' } as const
      await expect(token.unwrapKwp(kek, wrapped, born)).rejects.toMatchObject({
        rv: 'CKR_TEMPLATE_INCONSISTENT',
      })
      expect(await token.find({ id: born.id })).toEqual([])
    }
    const signer = { role: 'log-signer', label: 'damaged', id: fresh() } as const
    await expect(token.unwrapKwp(kek, wrapped, signer)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    })
  })
})

test('OpenSSL unwraps what the reference wraps', () => {
  const key = new Uint8Array(randomBytes(32))
  const secret = new Uint8Array(randomBytes(20))
  const open = createDecipheriv('id-aes256-wrap-pad', key, fromHex('a65959a6'))
  const opened = Buffer.concat([open.update(wrapInSoftware(key, secret)), open.final()])
  expect(new Uint8Array(opened)).toEqual(secret)
})
