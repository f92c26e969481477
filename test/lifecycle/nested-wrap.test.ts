/** The nested wrap on two real tokens: both together restore the key, neither alone does. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { fromBase64, toBase64, utf8 } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import {
  type KekOnToken,
  type NestedBlob,
  formatNestedBlob,
  parseNestedBlob,
  unwrapNested,
  wrapNested,
} from '../../src/lifecycle/index.ts'
import { type Hsm, type Key, type KeySpec, type Token, loadModule } from '../../src/pkcs11/index.ts'
import { softHsm } from '../tokens.ts'

const softhsm = softHsm()
const plan = 'ab'.repeat(32)
let hsm: Hsm
let a: Token
let b: Token
let inner: KekOnToken
let outer: KekOnToken
let key: Key
let blob: NestedBlob

const id = () => new Uint8Array(randomBytes(16))
const session = (label: string): KeySpec => ({ role: 'fpe', label, id: id(), onToken: false })

beforeAll(async () => {
  const { vault, custody } = softhsm.tokens('vault', 'custody')
  hsm = await loadModule(softhsm.module)
  a = await hsm.login(vault.uri, { pin: vault.userPin() })
  b = await hsm.login(custody.uri, { pin: custody.userPin() })
  inner = { token: a, key: await a.generate({ role: 'kek', label: 'kek', id: id() }) }
  outer = { token: b, key: await b.generate({ role: 'kek-outer', label: 'kek-outer', id: id() }) }
  key = await a.generate({ role: 'fpe', label: 'sent', id: id(), form: 'birth' })
  blob = await wrapNested(key, 'fpe', inner, outer, plan)
})

afterAll(async () => {
  await hsm[Symbol.asyncDispose]()
  softhsm.cleanup()
})

it('both tokens together restore the key; the restored key cannot be read or wrapped again', async () => {
  const restored = await unwrapNested(blob, inner, outer, session('restored'))
  expect(await restored.kcv()).toEqual(await key.kcv())
  expect(await restored.attributes()).toMatchObject({ SENSITIVE: true, EXTRACTABLE: false })
  await expect(a.wrapKwp(inner.key, restored)).rejects.toMatchObject({
    rv: 'CKR_KEY_UNEXTRACTABLE',
  })
  const block = new Uint8Array(16).fill(7)
  expect(await restored.blockCipher().encryptBlocks(block)).toEqual(
    await key.blockCipher().encryptBlocks(block),
  )
  await a.discard(restored)
})

it('the file form is read back strictly', () => {
  const text = formatNestedBlob(blob)
  expect(parseNestedBlob(text, 'blob')).toEqual(blob)
  for (const [what, wrong] of [
    ['not JSON', 'x'],
    ['an unknown field', text.replace('{', '{"extra":1,')],
    ['another format', text.replace('nested-wrap/1', 'nested-wrap/2')],
  ] as const) {
    expect(() => parseNestedBlob(wrong, 'blob'), what).toThrow(
      expect.objectContaining({ code: 'FORMAT' }),
    )
  }
})

describe('neither token alone', () => {
  it('token A: its KEK does not open what token B sealed', async () => {
    // All that A's quorum has: the blob and its own KEK.
    await expect(
      a.unwrapKwp(inner.key, fromBase64(blob.ciphertext).subarray(0, 40), session('alone')),
    ).rejects.toMatchObject({ name: 'Pkcs11Error' })
    const own = await a.generate({ role: 'kek-outer', label: 'own outer', id: id() })
    await expect(
      unwrapNested(blob, inner, { token: a, key: own }, session('alone')),
    ).rejects.toMatchObject({ name: 'Pkcs11Error' })
  })

  it('token B: what its KEK opens is still wrapped under the KEK of token A', async () => {
    const opened = await b.openGcm(
      outer.key,
      { iv: fromBase64(blob.iv), ciphertext: fromBase64(blob.ciphertext) },
      utf8(canonicalJson(blob.bound)),
    )
    const own = await b.generate({ role: 'kek', label: 'own kek', id: id() })
    await expect(b.unwrapKwp(own, opened, session('alone'))).rejects.toMatchObject({
      name: 'Pkcs11Error',
    })
    // RFC 5649: 32 bytes of key are 40 bytes of ciphertext, none of them the key itself.
    expect(opened).toHaveLength(40)
  })
})

describe('a changed blob does not open', () => {
  const flip = (text: string): string => {
    const bytes = fromBase64(text)
    bytes[0] = (bytes[0] ?? 0) ^ 1
    return toBase64(bytes)
  }
  const cases: readonly [string, (blob: NestedBlob) => NestedBlob][] = [
    ['ciphertext', (whole) => ({ ...whole, ciphertext: flip(whole.ciphertext) })],
    ['iv', (whole) => ({ ...whole, iv: flip(whole.iv) })],
    [
      'plan it is bound to',
      (whole) => ({ ...whole, bound: { ...whole.bound, planSha256: 'cd'.repeat(32) } }),
    ],
    [
      'key it says it holds',
      (whole) => ({
        ...whole,
        bound: { ...whole.bound, key: { ...whole.bound.key, label: 'other' } },
      }),
    ],
  ]
  it.each(cases)('%s', async (_what, change) => {
    await expect(
      unwrapNested(change(blob), inner, outer, session('changed')),
    ).rejects.toMatchObject({ name: 'Pkcs11Error', fn: 'C_Decrypt' })
  })
})

it('a locked key does not leave its token', async () => {
  const locked = await a.generate({ role: 'fpe', label: 'locked', id: id() })
  await expect(wrapNested(locked, 'fpe', inner, outer, plan)).rejects.toMatchObject({
    rv: 'CKR_KEY_UNEXTRACTABLE',
  })
})
