/** Check values against NIST's CMAC examples, OpenSSL's CMAC, and software copies of what the token does. */
import { execFileSync } from 'node:child_process'
import { createCipheriv, randomBytes } from 'node:crypto'

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { fromHex, sha256, toHex } from '../../src/bytes.ts'
import { cmacOfZeroBlock, GCM_PROBE_IV, kcvMethod } from '../../src/pkcs11/kcv.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import type { Hsm, Token } from '../../src/pkcs11/index.ts'
import { wrapInSoftware } from '../../src/pkcs11/kwp.ts'
import { newPin, softHsm } from '../tokens.ts'
import type { SoftHsm } from '../tokens.ts'
import { attack, raw } from './raw.ts'

const ecb = (key: Uint8Array) => (block: Uint8Array) => {
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false)
  return new Uint8Array(Buffer.concat([cipher.update(block), cipher.final()]))
}

describe('AES-CMAC of a zero block', () => {
  // NIST SP 800-38B, examples D.1 to D.3: K1 of each key.
  test.each([
    ['2b7e151628aed2a6abf7158809cf4f3c', 'fbeed618357133667c85e08f7236a8de'],
    ['8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b', '448a5b1c93514b273ee6439dd4daa296'],
    [
      '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
      'cad1ed03299eedac2e9a99808621502f',
    ],
  ])('uses subkey K1 of %s', (key, k1) => {
    const seen: string[] = []
    const encrypt = ecb(fromHex(key))
    const mac = cmacOfZeroBlock((block) => {
      seen.push(toHex(block))
      return encrypt(block)
    })
    expect(seen).toEqual(['00'.repeat(16), k1])
    expect(mac).toEqual(encrypt(fromHex(k1)))
  })

  test('equals OpenSSL for any key', () => {
    for (let n = 0; n < 8; n += 1) {
      const key = new Uint8Array(randomBytes(32))
      const printed = execFileSync(
        'openssl',
        ['mac', '-cipher', 'AES-256-CBC', '-macopt', `hexkey:${toHex(key)}`, 'CMAC'],
        { input: new Uint8Array(16), encoding: 'latin1' },
      )
      expect(toHex(cmacOfZeroBlock(ecb(key)))).toBe(printed.trim().toLowerCase())
    }
  })

  test('doubling keeps every bit: both carries occur', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (l) => {
        let second = new Uint8Array()
        cmacOfZeroBlock((block) => {
          second = block.slice()
          return l
        })
        const value = BigInt(`0x${toHex(l)}`)
        const shifted = (value << 1n) & ((1n << 128n) - 1n)
        const expected = value >> 127n === 1n ? shifted ^ 0x87n : shifted
        expect(BigInt(`0x${toHex(second)}`)).toBe(expected)
      }),
    )
  })
})

describe('which method', () => {
  const kwp = { mechanism: 0x210a, name: 'CKM_AES_KEY_WRAP_PAD', exactFor: 'any' } as const
  test.each([
    [{ encrypt: true, wrap: false, mechanisms: undefined }, 'cmac'],
    [{ encrypt: true, wrap: true, mechanisms: [] }, 'cmac'],
    [{ encrypt: true, wrap: false, mechanisms: [0x1087] }, 'gcm-probe'],
    [{ encrypt: false, wrap: false, sign: true, mechanisms: [0x108a] }, 'cmac'],
    [{ encrypt: true, wrap: false, sign: true, mechanisms: [0x108a] }, 'cmac'],
    [{ encrypt: false, wrap: false, sign: true, mechanisms: [0x251] }, undefined],
    [{ encrypt: false, wrap: false, sign: false, mechanisms: [0x108a] }, undefined],
    [{ encrypt: false, wrap: true, mechanisms: [0x210a] }, 'kwp-probe'],
    [{ encrypt: false, wrap: true, mechanisms: [0x2109] }, undefined],
    [{ encrypt: false, wrap: false, mechanisms: undefined }, undefined],
  ] as const)('%j: %s', (uses, method) => {
    expect(kcvMethod(uses, kwp)).toBe(method)
  })
})

describe('in the token', () => {
  let softhsm: SoftHsm
  let hsm: Hsm
  let token: Token
  const key = new Uint8Array(randomBytes(32))
  const value = { hex: toHex(key) }

  beforeAll(async () => {
    softhsm = softHsm()
    const { vault } = softhsm.tokens('vault')
    const known = { CLASS: 4, KEY_TYPE: 0x1f, TOKEN: true, VALUE: value } as const
    const off = { ENCRYPT: false, DECRYPT: false, SIGN: false, VERIFY: false } as const
    const none = { ...off, WRAP: false, UNWRAP: false }
    expect(
      attack(vault, [
        { do: 'create', template: raw({ ...known, ...none, LABEL: 'ecb', ENCRYPT: true }) },
        {
          do: 'create',
          template: raw({
            ...known,
            ...none,
            ...{ LABEL: 'gcm', ENCRYPT: true, ALLOWED_MECHANISMS: { ulongs: [0x1087] } },
          }),
        },
        { do: 'create', template: raw({ ...known, ...none, LABEL: 'kwp', WRAP: true }) },
        { do: 'create', template: raw({ ...known, ...none, LABEL: 'mac', SIGN: true }) },
        { do: 'create', template: raw({ ...known, ...none, LABEL: 'nothing' }) },
      ]),
    ).toEqual([0, 0, 0, 0, 0])
    hsm = await loadModule(softhsm.module)
    token = await hsm.login(vault.uri, { pin: vault.userPin() })
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    softhsm.cleanup()
  })

  const kcv = async (label: string) => (await token.key(`pkcs11:object=${label}`)).kcv()
  const first8 = (bytes: Uint8Array) => toHex(bytes.subarray(0, 8))

  test('cmac', async () => {
    expect(await kcv('ecb')).toEqual({
      method: 'cmac',
      value: first8(cmacOfZeroBlock(ecb(key))),
    })
  })

  test('cmac of a key that only makes MACs is the same value', async () => {
    expect(await kcv('mac')).toEqual(await kcv('ecb'))
  })

  test('cmac of any message, as OpenSSL computes it; not with a key that may not', async () => {
    const made = await token.key('pkcs11:object=mac')
    for (const length of [0, 1, 15, 16, 17, 64, 200]) {
      const message = new Uint8Array(randomBytes(length))
      const printed = execFileSync(
        'openssl',
        ['mac', '-cipher', 'AES-256-CBC', '-macopt', `hexkey:${toHex(key)}`, 'CMAC'],
        { input: message, encoding: 'latin1' },
      )
      expect(toHex(await made.cmac(message))).toBe(printed.trim().toLowerCase())
    }
    const other = await token.key('pkcs11:object=ecb')
    await expect(other.cmac(new Uint8Array(16))).rejects.toMatchObject({
      rv: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
    })
  })

  test('gcm-probe', async () => {
    const cipher = createCipheriv('aes-256-gcm', key, GCM_PROBE_IV)
    cipher.final()
    const tag = new Uint8Array(cipher.getAuthTag())
    expect(await kcv('gcm')).toEqual({ method: 'gcm-probe', value: first8(sha256(tag)) })
  })

  test('kwp-probe', async () => {
    const wrapped = wrapInSoftware(key, new Uint8Array(32))
    expect(await kcv('kwp')).toEqual({ method: 'kwp-probe', value: first8(sha256(wrapped)) })
  })

  test('a key that may do nothing has none, and says so', async () => {
    await expect(kcv('nothing')).rejects.toMatchObject({ code: 'MECHANISM_UNAVAILABLE' })
  })

  test('the probe leaves nothing behind', async () => {
    expect((await token.inventory()).map(({ label }) => label)).toEqual([
      'ecb',
      'gcm',
      'kwp',
      'mac',
      'nothing',
    ])
    expect(await token.find({ id: newPin() })).toEqual([])
  })
})
