/**
 * The seed of encrypted embeddings on real tokens: what a file opens to, that it is what SP 800-108 says,
 * and that nothing but the right file with the right tokens opens it.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

import { cmac } from '@noble/ciphers/aes.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { fromBase64, toBase64, toHex, utf8 } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import {
  type WrappedKey,
  deriveSeed,
  describeSeedFile,
  epochOf,
  openSeed,
  wrapKeyText,
} from '../../src/lifecycle/index.ts'
import { type Hsm, type Key, type Token, loadModule } from '../../src/pkcs11/index.ts'
import { attack, raw } from '../pkcs11/raw.ts'
import { type TestToken, softHsm } from '../tokens.ts'

const plan = 'ab'.repeat(32)
const NAME = 'embeddings-epoch-3'
const id = () => new Uint8Array(randomBytes(16))
const approval = { by: ['alice', 'bob'], intentSha256: 'ab'.repeat(32) }

/** OpenSSL's KBKDF: SP 800-108 counter mode, r = 32, salt = label, info = context. */
function kbkdf(key: Uint8Array, context: string): string {
  const options = [
    ['mac', 'CMAC'],
    ['cipher', 'AES-256-CBC'],
    ['hexkey', toHex(key)],
    ['hexsalt', toHex(utf8('keyrite-he/1 seed'))],
    ['hexinfo', toHex(utf8(context))],
  ].flatMap(([name = '', value = '']) => ['-kdfopt', `${name}:${value}`])
  const printed = execFileSync('openssl', ['kdf', '-keylen', '32', ...options, 'KBKDF'], {
    encoding: 'latin1',
  })
  return printed.trim().replaceAll(':', '').toLowerCase()
}

describe('the derivation', () => {
  it('is the KDF in counter mode as OpenSSL computes it, for any key and name', async () => {
    for (let n = 0; n < 8; n += 1) {
      const key = new Uint8Array(randomBytes(32))
      const name = `${toHex(randomBytes(n + 1))}-epoch-${n + 1}`
      const soft = { cmac: (message: Uint8Array) => Promise.resolve(cmac(message, key)) }
      expect(toHex(await deriveSeed(soft, name))).toBe(kbkdf(key, name))
    }
  })

  it('takes no input that a check value or the MAC of a file takes', async () => {
    const seen: Uint8Array[] = []
    const spy = { cmac: (message: Uint8Array) => (seen.push(message), Promise.resolve(id())) }
    await deriveSeed(spy, NAME)
    expect(seen.map((message) => toHex(message.subarray(0, 4)))).toEqual(['00000001', '00000002'])
  })

  it('leaves no half of a seed when the token fails', async () => {
    const blocks: Uint8Array[] = []
    const failing = {
      cmac: () => {
        if (blocks.length === 1) return Promise.reject(new Error('gone'))
        const block = new Uint8Array(16).fill(7)
        blocks.push(block)
        return Promise.resolve(block)
      },
    }
    await expect(deriveSeed(failing, NAME)).rejects.toThrow('gone')
    expect(blocks).toEqual([new Uint8Array(16)])
  })
})

it.each([
  ['embeddings-epoch-1', 1],
  ['fiori-docs-epoch-120', 120],
  ['embeddings-epoch-0', undefined],
  ['embeddings-epoch-01', undefined],
  ['embeddings-epoch-', undefined],
  ['epoch-1', undefined],
  ['embeddings-epoch-1-copy', undefined],
  ['embeddings-epoch-1234567890', undefined],
  ['embeddings_epoch-1', undefined],
])('the epoch of %s is %s', (name, epoch) => {
  expect(epochOf(name)).toBe(epoch)
})

describe('on two tokens', () => {
  const softhsm = softHsm()
  const value = new Uint8Array(randomBytes(32))
  let vault: TestToken
  let hsm: Hsm
  let a: Token
  let b: Token
  let key: Key
  let single = ''
  let nested = ''

  beforeAll(async () => {
    const tokens = softhsm.tokens('vault', 'custody')
    ;({ vault } = tokens)
    // A key whose value is known, so that the seed can be computed outside the token.
    const secret = {
      CLASS: 4,
      KEY_TYPE: 0x1f,
      TOKEN: true,
      PRIVATE: true,
      SENSITIVE: true,
    } as const
    const usage = { ENCRYPT: false, DECRYPT: false, VERIFY: false, WRAP: false, UNWRAP: false }
    const known = { LABEL: NAME, SIGN: true, EXTRACTABLE: true, VALUE: { hex: toHex(value) } }
    const template = raw({ ...secret, ...usage, ...known, ID: { hex: '5e'.repeat(16) } })
    expect(attack(vault, [{ do: 'create', template }])).toEqual([0])
    hsm = await loadModule(softhsm.module)
    a = await hsm.login(vault.uri, { pin: vault.userPin() })
    b = await hsm.login(tokens.custody.uri, { pin: tokens.custody.userPin() })
    const inner = { token: a, key: await a.generate({ role: 'kek', label: 'kek', id: id() }) }
    const sealing = { role: 'kek-outer', label: 'kek-outer', id: id() } as const
    const outer = { token: b, key: await b.generate(sealing) }
    key = await a.key(`pkcs11:object=${NAME}`)
    single = await wrapKeyText(key, 'embedding-seed', { inner }, plan)
    nested = await wrapKeyText(key, 'embedding-seed', { inner, outer }, plan)
    await a.destroy(key, approval)
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    softhsm.cleanup()
  })

  const opening = (text: string, expect?: { epoch: number }, tokens = { inner: a, outer: b }) =>
    openSeed(text, 'file', tokens, expect)

  it('both forms open to the same seed, which OpenSSL computes from the value of the key', async () => {
    for (const text of [single, nested]) {
      const { epoch, seed } = await opening(text, { epoch: 3 })
      expect([epoch, toHex(seed)]).toEqual([3, kbkdf(value, NAME)])
    }
  })

  it('neither form holds the key, the seed or their digits', async () => {
    const { seed } = await opening(single)
    for (const text of [single, nested]) {
      for (const secret of [value, seed]) {
        for (const form of [toHex(secret), toBase64(secret), toBase64(secret.subarray(1, 31))]) {
          expect(text).not.toContain(form.replace(/=+$/, ''))
        }
      }
    }
  })

  it('says what it is without a token', () => {
    const serials = { innerSerial: a.info.serial, outerSerial: b.info.serial }
    expect(describeSeedFile(nested, 'file')).toEqual({ name: NAME, epoch: 3, ...serials })
    const { innerSerial } = serials
    expect(describeSeedFile(single, 'file')).toEqual({ name: NAME, epoch: 3, innerSerial })
  })

  it('another epoch than the expected one is refused', async () => {
    await expect(opening(single, { epoch: 2 })).rejects.toMatchObject({
      name: 'EmbeddingError',
      code: 'KEY_MISMATCH',
      expected: 'epoch 2',
    })
  })

  it('the nested form does not open on one token, nor with the tokens exchanged', async () => {
    await expect(openSeed(nested, 'file', { inner: a })).rejects.toMatchObject({
      name: 'TokenError',
      code: 'ARGUMENT_INVALID',
    })
    await expect(opening(nested, undefined, { inner: b, outer: a })).rejects.toMatchObject({
      name: 'TokenError',
      code: 'KEY_NOT_FOUND',
    })
  })

  const flip = (text: string, at = 0): string => {
    const bytes = fromBase64(text)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    return toBase64(bytes)
  }
  type Change = (file: WrappedKey) => object
  const inKey =
    (changes: object): Change =>
    (file) => ({ ...file, bound: { ...file.bound, key: { ...file.bound.key, ...changes } } })
  const CHANGES: readonly [string, Change][] = [
    ['another name', inKey({ label: 'others-epoch-3' })],
    ['another epoch', inKey({ label: 'embeddings-epoch-4' })],
    ['another id', inKey({ id: '00'.repeat(16) })],
    ['another check value', inKey({ kcv: { method: 'cmac', value: '00'.repeat(8) } })],
    [
      'another plan',
      (file) => ({ ...file, bound: { ...file.bound, planSha256: 'cd'.repeat(32) } }),
    ],
    ['the first byte', (file) => ({ ...file, ciphertext: flip(file.ciphertext) })],
    ['a later byte', (file) => ({ ...file, ciphertext: flip(file.ciphertext, 39) })],
    [
      'fewer bytes',
      (file) => ({ ...file, ciphertext: toBase64(fromBase64(file.ciphertext).subarray(0, 32)) }),
    ],
  ]
  const onlySingle: readonly [string, Change][] = [
    ['another MAC', (file) => ({ ...file, mac: flip('mac' in file ? file.mac : '') })],
    ['an empty MAC', (file) => ({ ...file, mac: '' })],
    [
      'another serial',
      (file) => ({
        ...file,
        inner: { ...file.inner, kek: { ...file.inner.kek, tokenSerial: 'other' } },
      }),
    ],
  ]

  it.each([
    ...CHANGES.map(([what, change]) => ({ form: 'nested', what, change })),
    ...[...CHANGES, ...onlySingle].map(([what, change]) => ({ form: 'single', what, change })),
  ])('$form, changed: $what', async ({ form, change }) => {
    const before = await a.inventory()
    const file = JSON.parse(form === 'nested' ? nested : single) as WrappedKey
    const refused = await opening(canonicalJson(change(file) as never)).catch(
      (error: unknown) => error,
    )
    expect(refused).toMatchObject({
      name: expect.stringMatching(/^(?:Pkcs11|Token)Error$/) as string,
    })
    if ((refused as Error).name === 'TokenError') {
      const { code } = refused as { code: string }
      expect(['KEY_CHANGED', 'ARGUMENT_INVALID']).toContain(code)
    }
    // A session object that was unwrapped before the change was noticed is gone too.
    expect(await a.inventory()).toEqual(before)
  })

  it.each([
    ['not JSON', () => 'seed'],
    ['null', () => 'null'],
    ['no file of ours', () => '{}'],
    ['an unknown field', () => single.replace('{', '{"seed":"",')],
    ['another role', () => single.replace('"role":"embedding-seed"', '"role":"fpe"')],
    ['another role, nested', () => nested.replace('"role":"embedding-seed"', '"role":"fpe"')],
    ['a name without an epoch', () => nested.replaceAll(NAME, 'embeddings')],
    ['no MAC', () => single.replace(/,"mac":"[^"]*"/, '')],
    ['a MAC that is no base64', () => single.replace(/"mac":"/, '"mac":"*')],
  ])('is refused as a file: %s', async (_what, text) => {
    expect(text()).not.toBe(single)
    await expect(opening(text())).rejects.toMatchObject({ name: 'FormatError', code: 'FORMAT' })
  })

  it('a key of another role leaves only under two KEKs', async () => {
    const fpe = await a.generate({ role: 'fpe', label: 'fpe', id: id(), form: 'birth' })
    const inner = { token: a, key: await a.key('pkcs11:object=kek') }
    await expect(wrapKeyText(fpe, 'fpe', { inner }, plan)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    })
    // Nor by calling it a seed: it makes no MAC.
    await expect(wrapKeyText(fpe, 'embedding-seed', { inner }, plan)).rejects.toMatchObject({
      name: 'Pkcs11Error',
      rv: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
    })
    await a.destroy(fpe, approval)
  })

  it('the KEK unwraps it into nothing that can be read', () => {
    const { ciphertext } = JSON.parse(single) as WrappedKey
    const on = raw({ CLASS: 4, LABEL: 'kek' })
    const blob = toHex(fromBase64(ciphertext))
    const open = raw({
      CLASS: 4,
      KEY_TYPE: 0x1f,
      TOKEN: false,
      SENSITIVE: false,
      EXTRACTABLE: true,
    })
    const TEMPLATE_INCONSISTENT = 0xd1
    expect(attack(vault, [{ do: 'unwrap', on, mechanism: 0x210a, blob, template: open }])).toEqual([
      TEMPLATE_INCONSISTENT,
    ])
  })
})
