/** Ways to a key on modules that lack one: no AES-ECB, no multi-part operations, or operations that hold blocks back. */
import { createCipheriv, randomBytes } from 'node:crypto'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { loadModule, runDoctor } from '../../src/pkcs11/index.ts'
import type { Hsm, Key, Token } from '../../src/pkcs11/index.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import type { Cryptoki } from '../../src/pkcs11/cryptoki.ts'
import { encryptPans, pans } from '../fpe/pan-batch.ts'
import { softHsm } from '../tokens.ts'
import type { SoftHsm, TestToken } from '../tokens.ts'
import { keyImport } from './imported-key.ts'
import type { KeyImport } from './imported-key.ts'
import { interposer } from './interposer.ts'
import type { Interposer } from './interposer.ts'

const VALUE = new Uint8Array(randomBytes(32))
const BLOCKS = new Uint8Array(randomBytes(16 * 5))

function ecb(blocks: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-256-ecb', VALUE, null).setAutoPadding(false)
  return new Uint8Array(Buffer.concat([cipher.update(blocks), cipher.final()]))
}

let softhsm: SoftHsm
let faulty: Interposer
let vault: TestToken
let hsm: Hsm
let port: Cryptoki
let token: Token
let imports: KeyImport

beforeAll(async () => {
  softhsm = softHsm()
  vault = softhsm.tokens('vault').vault
  faulty = interposer(softhsm.dir, softhsm.module)
  hsm = await loadModule(faulty.module)
  port = openCryptoki({ path: faulty.module })
})
afterAll(async () => {
  port.close()
  await hsm[Symbol.asyncDispose]()
  faulty.close()
  softhsm.cleanup()
})
beforeEach(async () => {
  token = await hsm.login(vault.uri, { pin: vault.userPin() })
  imports = keyImport({ module: faulty.module, libraryParameters: undefined }, token)
})
afterEach(async () => {
  faulty.reset()
  imports.close()
  await token[Symbol.asyncDispose]()
})

const counts = () => {
  const all = moduleCalls(port)
  return ['C_EncryptInit', 'C_Encrypt', 'C_EncryptUpdate', 'C_EncryptFinal'].map(
    (fn) => all[fn] ?? 0,
  )
}

async function calls(work: () => Promise<unknown>): Promise<number[]> {
  const before = counts()
  await work()
  return counts().map((count, at) => count - before[at]!)
}

describe('without AES-ECB', () => {
  let key: Key
  beforeEach(async () => {
    faulty.withoutEcb(true)
    key = await imports.key(VALUE)
  })

  test('every block goes alone through CBC under a zero IV, and is the same', async () => {
    const cipher = key.blockCipher()
    await cipher.encryptBlocks(new Uint8Array(16))
    const made = await calls(async () => {
      expect(await cipher.encryptBlocks(BLOCKS)).toEqual(ecb(BLOCKS))
    })
    expect(made).toEqual([5, 5, 0, 0])
  })

  test('rounds give what they give with ECB', async () => {
    const input = pans(20)
    const output = await encryptPans(key.blockCipher(), input)
    faulty.withoutEcb(false)
    const withEcb = await imports.key(VALUE, '-again')
    expect(await encryptPans(withEcb.blockCipher(), input)).toEqual(output)
  })

  test('multi-part is refused, not silently left out', async () => {
    const blocks = key.blockCipher({ operation: 'multi-part' }).encryptBlocks(BLOCKS)
    await expect(blocks).rejects.toMatchObject({ code: 'MECHANISM_UNAVAILABLE' })
  })

  test('keys made here are restricted to CBC, work, and have the same kind of check value', async () => {
    const spec = { role: 'fpe', label: 'pan', id: new Uint8Array(randomBytes(16)) } as const
    const made = await token.generate(spec)
    expect((await made.attributes())['ALLOWED_MECHANISMS']).toEqual(['CKM_AES_CBC'])
    expect(await token.conform(made, spec)).toEqual([])
    expect((await made.kcv()).method).toBe('cmac')
    const output = await made.blockCipher().encryptBlocks(BLOCKS)
    expect(output).toHaveLength(BLOCKS.length)
    // ECB came back: the key still knows CBC only.
    faulty.withoutEcb(false)
    const [again] = await token.find({ label: 'pan' })
    expect(await again!.blockCipher().encryptBlocks(BLOCKS)).toEqual(output)
    expect(await again!.kcv()).toEqual(await made.kcv())
    await token.destroy(made, { by: ['a', 'b'], intentSha256: 'ab'.repeat(32) })
  })

  test('the doctor says so', async () => {
    const { profile } = await runDoctor(faulty.module, {
      tokenUri: vault.uri,
      pin: vault.userPin(),
    })
    expect(profile?.blockCipher).toMatchObject({ mechanism: 'CKM_AES_CBC', basis: 'probed' })
    expect(profile?.rounds).toEqual({ operation: 'single-part', why: 'one block in each call' })
  })
})

describe.each(['is missing', 'holds back'] as const)('C_EncryptUpdate %s', (how) => {
  beforeEach(() => faulty.update(how))

  test('auto sends every call by itself; the trial costs no session and is made once', async () => {
    const cipher = (await imports.key(VALUE)).blockCipher()
    expect(await cipher.encryptBlocks(BLOCKS)).toEqual(ecb(BLOCKS))
    const made = await calls(async () => {
      expect(await cipher.encryptBlocks(BLOCKS)).toEqual(ecb(BLOCKS))
    })
    expect(made).toEqual([1, 1, 0, 0])
  })

  test('multi-part is refused', async () => {
    const key = await imports.key(VALUE)
    const blocks = key.blockCipher({ operation: 'multi-part' }).encryptBlocks(BLOCKS)
    await expect(blocks).rejects.toMatchObject({
      code: 'MECHANISM_UNAVAILABLE',
      where: 'blockCipher: operation',
    })
    expect(await key.blockCipher().encryptBlocks(BLOCKS)).toEqual(ecb(BLOCKS))
  })

  test('the doctor says so, and does not call it a wrong result', async () => {
    const { profile, knownAnswers } = await runDoctor(faulty.module, {
      tokenUri: vault.uri,
      pin: vault.userPin(),
    })
    expect(knownAnswers.find(({ id }) => id === 'aes-ecb-multipart')?.result).toBe('unavailable')
    expect(profile?.rounds).toMatchObject({
      operation: 'single-part',
      why: expect.stringContaining('the trial of multi-part failed: C_EncryptUpdate'),
    })
    expect(profile?.protectsKeys).toBe(true)
  })
})

test('a key that may not encrypt is refused as what it is', async () => {
  const spec = { role: 'kek', label: 'kek', id: new Uint8Array(randomBytes(16)) } as const
  const kek = await token.generate(spec)
  await expect(kek.blockCipher().encryptBlocks(BLOCKS)).rejects.toMatchObject({
    name: 'Pkcs11Error',
    category: 'policy',
  })
  await token.destroy(kek, { by: ['a', 'b'], intentSha256: 'ab'.repeat(32) })
})
