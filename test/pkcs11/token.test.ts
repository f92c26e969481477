/** Tokens and their keys, on SoftHSM2 and on NSS: what is made, what is refused, what is left. */
import { createPublicKey, randomBytes, verify } from 'node:crypto'

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { fromHex, sha256, toHex, utf8 } from '../../src/bytes.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import type { Hsm, Key, KeySpec, Token } from '../../src/pkcs11/index.ts'
import { eachModule, newPin, softHsm } from '../tokens.ts'
import type { ModuleUnderTest, SoftHsm, TestToken } from '../tokens.ts'

const APPROVAL = {
  by: ['alice@keyrite.example', 'bob@keyrite.example'],
  intentSha256: 'ab'.repeat(32),
}
const id = () => new Uint8Array(randomBytes(16))

eachModule((name, start) => {
  const nss = name === 'NSS'
  let under: ModuleUnderTest
  let hsm: Hsm
  let token: Token

  beforeAll(async () => {
    under = start()
    const { libraryParameters } = under
    hsm = await loadModule(
      under.module,
      libraryParameters === undefined ? {} : { libraryParameters },
    )
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    under.cleanup()
  })
  beforeEach(async () => {
    token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
  })
  afterEach(async () => {
    for (const key of await token.find({})) {
      if (key.class !== 'public-key') await token.destroy(key, APPROVAL)
    }
    expect(await token.inventory()).toEqual([])
    await token[Symbol.asyncDispose]()
  })

  /** What NSS stores no attribute for. */
  const waived = (key: Key) => key.waivers.map(({ attribute }) => attribute)

  describe('generate', () => {
    test.each([
      ['fpe', 'cmac', { ENCRYPT: true, DECRYPT: false, WRAP: false, UNWRAP: false }],
      ['kek', 'kwp-probe', { ENCRYPT: false, DECRYPT: false, WRAP: true, UNWRAP: true }],
      ['embedding-seed', 'cmac', { ENCRYPT: false, SIGN: true, VERIFY: false, UNWRAP: false }],
      [
        'kek-outer',
        nss ? 'cmac' : 'gcm-probe',
        { ENCRYPT: true, DECRYPT: true, WRAP: false, UNWRAP: false },
      ],
    ] as const)('%s: locked, with the usage of its role', async (role, method, usage) => {
      const spec = { role, label: role, id: id() }
      const key = await token.generate(spec)
      expect(key).toMatchObject({
        label: role,
        id: toHex(spec.id),
        class: 'secret-key',
        keyType: 'AES',
      })
      expect(await key.attributes()).toMatchObject({
        TOKEN: true,
        PRIVATE: true,
        SENSITIVE: true,
        ALWAYS_SENSITIVE: true,
        EXTRACTABLE: false,
        MODIFIABLE: false,
        DERIVE: false,
        SIGN: false,
        VERIFY: false,
        VALUE_LEN: 32,
        ...usage,
      })
      expect((await key.kcv()).method).toBe(method)
      const missing = nss
        ? [
            'CKA_ALLOWED_MECHANISMS',
            ...(role === 'kek' ? ['CKA_UNWRAP_TEMPLATE'] : []),
            'CKA_COPYABLE',
            'CKA_DESTROYABLE',
          ]
        : []
      expect(waived(key)).toEqual(missing)
    })

    test('log-signer: Ed25519 where the token has it, P-256 elsewhere; signatures verify here', async () => {
      const key = await token.generate({ role: 'log-signer', label: 'log', id: id() })
      const signer = await key.signer()
      expect(signer.algorithm).toBe(nss ? 'ecdsa-p256-sha256' : 'ed25519')
      const publicKey = createPublicKey({
        key: Buffer.from(signer.publicKey),
        format: 'der',
        type: 'spki',
      })
      for (let n = 0; n < 20; n += 1) {
        const message = utf8(`entry ${n}`)
        const signature = await signer.sign(message)
        const hash = nss ? 'sha256' : null
        expect(verify(hash, message, publicKey, signature)).toBe(true)
        expect(verify(hash, utf8('another'), publicKey, signature)).toBe(false)
      }
      expect(await key.kcv()).toEqual({
        method: 'spki-sha256',
        value: toHex(sha256(signer.publicKey)),
      })
      expect(await key.attributes()).toMatchObject({
        SIGN: true,
        DECRYPT: false,
        EXTRACTABLE: false,
        SENSITIVE: true,
        MODIFIABLE: false,
      })
    })

    test('a name that is taken, by id or by label, is KEY_EXISTS', async () => {
      const spec: KeySpec = { role: 'fpe', label: 'pan', id: id() }
      await token.generate(spec)
      const taken = { code: 'KEY_EXISTS' }
      await expect(token.generate({ ...spec, label: 'other' })).rejects.toMatchObject(taken)
      await expect(token.generate({ ...spec, id: id() })).rejects.toMatchObject(taken)
      expect(await token.inventory()).toHaveLength(1)
    })

    test.each([
      ['role', { role: 'master' as 'fpe', label: 'a', id: id() }],
      ['label', { role: 'fpe', label: '', id: id() }],
      ['id', { role: 'fpe', label: 'a', id: new Uint8Array() }],
      ['form', { role: 'log-signer', label: 'a', id: id(), form: 'birth' }],
    ] as const)('an invalid %s is refused before the token is asked', async (where, spec) => {
      await expect(token.generate(spec)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID', where })
    })

    test('allowWaivers: false destroys what the token would not honour', async () => {
      const spec = { role: 'fpe', label: 'strict', id: id(), allowWaivers: false } as const
      if (nss) {
        await expect(token.generate(spec)).rejects.toMatchObject({
          code: 'TEMPLATE_NOT_HONOURED',
          where: 'key strict: CKA_ALLOWED_MECHANISMS',
          got: 'absent',
        })
        expect(await token.inventory()).toEqual([])
      } else {
        expect((await token.generate(spec)).waivers).toEqual([])
      }
    })

    test('a session object dies with the login', async () => {
      const spec = { role: 'fpe', label: 'brief', id: id(), onToken: false } as const
      const brief = await token.generate(spec)
      await brief.blockCipher().encryptBlocks(new Uint8Array(16))
      expect((await token.inventory()).map(({ label }) => label)).toEqual(['brief'])
      await token[Symbol.asyncDispose]()
      token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
      expect(await token.inventory()).toEqual([])
    })
  })

  describe('use', () => {
    test('block cipher: ECB of each block, in any length, and nothing but whole blocks', async () => {
      const key = await token.generate({ role: 'fpe', label: 'pan', id: id() })
      const cipher = key.blockCipher()
      const blocks = new Uint8Array(randomBytes(16 * 10_000))
      const all = await cipher.encryptBlocks(blocks)
      expect(all).toHaveLength(blocks.length)
      for (const at of [0, 4_095, 4_096, 9_999]) {
        const one = await cipher.encryptBlocks(blocks.subarray(at * 16, at * 16 + 16))
        expect(all.subarray(at * 16, at * 16 + 16)).toEqual(one)
      }
      for (const bytes of [0, 15, 17]) {
        await expect(async () => cipher.encryptBlocks(new Uint8Array(bytes))).rejects.toMatchObject(
          {
            code: 'ARGUMENT_INVALID',
          },
        )
      }
    })

    test('concurrent operations get the right answers', async () => {
      const key = await token.generate({ role: 'fpe', label: 'pan', id: id() })
      const cipher = key.blockCipher()
      const inputs = Array.from({ length: 50 }, () => new Uint8Array(randomBytes(16)))
      const one: Uint8Array[] = []
      for (const input of inputs) one.push(await cipher.encryptBlocks(input))
      expect(await Promise.all(inputs.map((input) => cipher.encryptBlocks(input)))).toEqual(one)
    })

    test('seal and open; every changed bit is refused; the KCV IV is refused', async () => {
      const key = await token.generate({ role: 'kek-outer', label: 'outer', id: id() })
      const plaintext = new Uint8Array(randomBytes(40))
      const aad = utf8('{"plan":"p"}')
      const box = await token.sealGcm(key, plaintext, aad)
      expect(box.ciphertext).toHaveLength(56)
      expect(await token.openGcm(key, box, aad)).toEqual(plaintext)
      const flip = (bytes: Uint8Array, at: number) =>
        bytes.map((byte, n) => (n === at ? byte ^ 0x80 : byte))
      const bad = [
        [{ ...box, ciphertext: flip(box.ciphertext, 0) }, aad],
        [{ ...box, ciphertext: flip(box.ciphertext, 55) }, aad],
        [{ ...box, iv: flip(box.iv, 3) }, aad],
        [box, flip(aad, 1)],
      ] as const
      for (const [wrong, with_] of bad) {
        await expect(token.openGcm(key, wrong, with_)).rejects.toMatchObject({
          rv: nss ? 'CKR_ENCRYPTED_DATA_INVALID' : 'CKR_GENERAL_ERROR',
        })
      }
      const reserved = { ...box, iv: new Uint8Array(12).fill(0xff) }
      await expect(token.openGcm(key, reserved, aad)).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
        where: 'AES-GCM IV',
      })
      const again = await token.sealGcm(key, plaintext, aad)
      expect(again.iv).not.toEqual(box.iv)
    })

    test('random bytes come in the length asked for', async () => {
      for (const length of [1, 32, 2_000_000]) {
        expect(await token.random.bytes(length)).toHaveLength(length)
      }
      expect(await token.random.bytes(32)).not.toEqual(await token.random.bytes(32))
      for (const length of [0, -1, 1.5]) {
        await expect(token.random.bytes(length)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
      }
    })
  })

  describe('birth and lock', () => {
    const born: KeySpec = { role: 'fpe', label: 'pan', id: id(), form: 'birth' }

    test('a birth key may leave; locked, it may not, and is the same key', async () => {
      const kek = await token.generate({ role: 'kek', label: 'kek', id: id() })
      const birth = await token.generate(born)
      expect(await birth.attributes()).toMatchObject({ EXTRACTABLE: true, SENSITIVE: true })
      await token.wrapKwp(kek, birth)
      const kcv = await birth.kcv()
      const locked = await token.lock(birth, { ...born, id: id(), form: 'locked' })
      expect(await locked.kcv()).toEqual(kcv)
      expect(await locked.attributes()).toMatchObject({
        EXTRACTABLE: false,
        NEVER_EXTRACTABLE: false,
        MODIFIABLE: false,
        SENSITIVE: true,
        ENCRYPT: true,
        DECRYPT: false,
        ...(nss ? {} : { ALLOWED_MECHANISMS: ['CKM_AES_ECB'], COPYABLE: true, LOCAL: true }),
      })
      expect(waived(locked)).toContain('CKA_COPYABLE')
      expect((await token.inventory()).map(({ label }) => label)).toEqual(['kek', 'pan'])
      await expect(birth.attributes()).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' })
      // NSS wraps keys that are not extractable: the doctor's table says so.
      if (!nss) {
        await expect(token.wrapKwp(kek, locked)).rejects.toMatchObject({
          rv: 'CKR_KEY_UNEXTRACTABLE',
        })
      }
    })

    test('lock keeps the name when it is given the same one', async () => {
      const birth = await token.generate(born)
      const locked = await token.lock(birth, { ...born, form: 'locked' })
      expect(locked.id).toBe(birth.id)
      expect(await token.find({ label: 'pan' })).toHaveLength(1)
      expect((await locked.attributes())['EXTRACTABLE']).toBe(false)
    })

    test('only a birth key is locked', async () => {
      const key = await token.generate({ ...born, form: 'locked' })
      await expect(token.lock(key, { ...born, id: id() })).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
        got: 'CKA_EXTRACTABLE=false',
      })
      expect(await token.inventory()).toHaveLength(1)
    })
  })

  describe('names', () => {
    test('URIs find exactly one key or say why not', async () => {
      const spec: KeySpec = { role: 'log-signer', label: 'log', id: id() }
      const pair = await token.generate(spec)
      expect(pair.uri).toContain('type=private')
      expect((await token.key(pair.uri)).id).toBe(pair.id)
      const both = token.key('pkcs11:object=log')
      await expect(both).rejects.toMatchObject({ code: 'KEY_AMBIGUOUS' })
      expect((await token.key('pkcs11:object=log;type=public')).class).toBe('public-key')
      const nothing = { code: 'KEY_NOT_FOUND' }
      await expect(token.key('pkcs11:object=pan')).rejects.toMatchObject(nothing)
      await expect(token.key('pkcs11:token=other;object=log')).rejects.toMatchObject(nothing)
      await expect(token.key('pkcs11:token=other')).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
      })
      const found = await token.find({ id: fromHex(pair.id) })
      expect(found.map((key) => key.class)).toEqual(['private-key', 'public-key'])
      expect(await token.find({ label: 'log', class: 'private-key' })).toHaveLength(1)
      expect(await token.find({ label: 'nobody' })).toEqual([])
    })

    test('a key is used through its class only', async () => {
      const pair = await token.generate({ role: 'log-signer', label: 'log', id: id() })
      const aes = await token.generate({ role: 'fpe', label: 'pan', id: id() })
      expect(() => pair.blockCipher()).toThrow(
        expect.objectContaining({ code: 'ARGUMENT_INVALID' }),
      )
      await expect(aes.signer()).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
      const kek = await token.generate({ role: 'kek', label: 'kek', id: id() })
      await expect(token.wrapKwp(kek, pair)).rejects.toMatchObject({
        code: 'MECHANISM_UNAVAILABLE',
        where: expect.stringContaining(nss ? 'any length' : 'multiples of 8 bytes'),
      })
    })
  })

  describe('destroy', () => {
    test('the key is gone by id, by label, by handle; its pair goes with it', async () => {
      const aes = await token.generate({ role: 'fpe', label: 'pan', id: id() })
      const pair = await token.generate({ role: 'log-signer', label: 'log', id: id() })
      await token.destroy(aes, APPROVAL)
      await token.destroy(pair, APPROVAL)
      expect(await token.inventory()).toEqual([])
      await expect(aes.kcv()).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' })
      await expect(token.destroy(aes, APPROVAL)).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' })
    })

    test.each([
      { by: [], intentSha256: 'ab'.repeat(32) },
      { by: ['alice', 'alice'], intentSha256: 'ab'.repeat(32) },
      { by: ['alice', 'bob'], intentSha256: '' },
    ])('an approval like %j is none', async (approval) => {
      const key = await token.generate({ role: 'fpe', label: 'pan', id: id() })
      await expect(token.destroy(key, approval)).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
        where: 'approval',
      })
      expect(await token.inventory()).toHaveLength(1)
    })
  })

  test('a second login is refused, whatever its PIN: it would not be checked', async () => {
    for (const pin of [under.token.userPin(), newPin()]) {
      await expect(hsm.login(under.token.uri, { pin })).rejects.toMatchObject({
        code: 'ALREADY_LOGGED_IN',
      })
    }
    expect(await token.random.bytes(4)).toHaveLength(4)
  })
})

describe('two tokens of one module (SoftHSM2)', () => {
  let softhsm: SoftHsm
  let a: TestToken
  let b: TestToken
  let hsm: Hsm

  beforeAll(async () => {
    softhsm = softHsm()
    const made = softhsm.tokens('a', 'b')
    a = made.a
    b = made.b
    hsm = await loadModule(softhsm.module)
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    softhsm.cleanup()
  })

  test('a key of one token is refused by the other, and by a later login of its own', async () => {
    const spec = { role: 'kek', label: 'kek', id: id() } as const
    await using onB = await hsm.login(b.uri, { pin: b.userPin() })
    let foreign: Key
    {
      await using onA = await hsm.login(a.uri, { pin: a.userPin() })
      foreign = await onA.generate(spec)
      const mine = await onB.generate(spec)
      const wrong = { code: 'ARGUMENT_INVALID', message: 'the key belongs to another token' }
      await expect(onB.wrapKwp(foreign, mine)).rejects.toMatchObject(wrong)
      await expect(onB.wrapKwp(mine, foreign)).rejects.toMatchObject(wrong)
      await expect(onB.destroy(foreign, APPROVAL)).rejects.toMatchObject(wrong)
      await expect(onB.sealGcm(foreign, utf8('x'), utf8(''))).rejects.toMatchObject(wrong)
      const fake: Key = { ...foreign }
      await expect(onA.destroy(fake, APPROVAL)).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
        message: 'not a key of a token',
      })
    }
    await expect(foreign.kcv()).rejects.toMatchObject({ code: 'MODULE_CLOSED' })
    await using again = await hsm.login(a.uri, { pin: a.userPin() })
    await expect(again.destroy(foreign, APPROVAL)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    })
    expect(await again.inventory()).toHaveLength(1)
  })

  test('a key travels from one token to the other only while it is in its birth form', async () => {
    await using onA = await hsm.login(a.uri, { pin: a.userPin() })
    await using onB = await hsm.login(b.uri, { pin: b.userPin() })
    const kek = await onA.key('pkcs11:object=kek')
    const outer = await onB.generate({ role: 'kek-outer', label: 'outer', id: id() })
    const spec = { role: 'fpe', label: 'travels', id: id() } as const
    const birth = await onA.generate({ ...spec, form: 'birth' })
    const aad = utf8('{"key":"travels"}')
    const box = await onB.sealGcm(outer, await onA.wrapKwp(kek, birth), aad)
    const locked = await onA.lock(birth, spec)
    const kcv = await locked.kcv()
    await onA.destroy(locked, APPROVAL)
    const back = await onA.unwrapKwp(kek, await onB.openGcm(outer, box, aad), spec)
    expect(await back.kcv()).toEqual(kcv)
    expect(await back.attributes()).toMatchObject({
      EXTRACTABLE: false,
      MODIFIABLE: false,
      COPYABLE: false,
      LOCAL: false,
    })
    expect(back.waivers).toEqual([])
  })

  test('wrong PIN, wrong token, ambiguous token', async () => {
    await expect(hsm.login(a.uri, { pin: newPin() })).rejects.toMatchObject({
      rv: 'CKR_PIN_INCORRECT',
      fn: 'C_Login',
    })
    await expect(hsm.login('pkcs11:token=c', { pin: newPin() })).rejects.toMatchObject({
      code: 'TOKEN_NOT_FOUND',
      got: expect.stringContaining('a (serial'),
    })
    await expect(hsm.login('pkcs11:', { pin: newPin() })).rejects.toMatchObject({
      code: 'TOKEN_AMBIGUOUS',
    })
    await using after = await hsm.login(a.uri, { pin: a.userPin() })
    expect(after.info).toMatchObject({ label: 'a', serial: a.serial })
  })

  test('the PIN of the caller is neither kept nor changed', async () => {
    const pin = a.userPin()
    await using token = await hsm.login(a.uri, { pin })
    expect(pin).toEqual(a.userPin())
    pin.fill(0)
    expect(await token.random.bytes(4)).toHaveLength(4)
  })

  test('a public connection sees no private key; a login in the same process opens its eyes', async () => {
    await using open = await hsm.open(a.uri)
    expect(await open.inventory()).toEqual([])
    await using token = await hsm.login(a.uri, { pin: a.userPin() })
    expect(await open.inventory()).toEqual(await token.inventory())
  })

  test('initialise, set the user PIN as SO, change it as user', async () => {
    const [slotId] = await hsm.blankSlots()
    const soPin = newPin()
    const first = newPin()
    const second = newPin()
    const made = await hsm.initToken({ slotId: slotId! }, 'fresh', soPin)
    expect(made).toMatchObject({ label: 'fresh' })
    expect(made.flags).not.toContain('CKF_USER_PIN_INITIALIZED')
    const uri = `pkcs11:token=fresh;serial=${made.serial}`
    {
      await using so = await hsm.login(uri, { pin: soPin.slice(), user: 'so' })
      await so.initPin(first.slice())
      const spec = { role: 'fpe', label: 'pan', id: id() } as const
      const noUser = { rv: 'CKR_USER_NOT_LOGGED_IN' }
      await expect(so.generate(spec)).rejects.toMatchObject(noUser)
    }
    {
      await using user = await hsm.login(uri, { pin: first.slice() })
      await expect(user.setPin(newPin(), second.slice())).rejects.toMatchObject({
        rv: 'CKR_PIN_INCORRECT',
      })
      await user.setPin(first.slice(), second.slice())
      await expect(user.initPin(newPin())).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
    }
    await expect(hsm.login(uri, { pin: first.slice() })).rejects.toMatchObject({
      rv: 'CKR_PIN_INCORRECT',
    })
    await using user = await hsm.login(uri, { pin: second.slice() })
    expect(user.info.flags).toContain('CKF_USER_PIN_INITIALIZED')
    expect((await hsm.tokens()).map(({ label }) => label).sort()).toEqual(['a', 'b', 'fresh'])
    expect(await hsm.blankSlots()).toHaveLength(1)
    await expect(
      hsm.initToken({ slotId: user.info.slotId }, 'again', soPin.slice()),
    ).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
      message: 'the slot holds an initialised token',
    })
  })

  test('maxSessions bounds the sessions, and is at least 1', async () => {
    await using token = await hsm.login(a.uri, { pin: a.userPin(), maxSessions: 1 })
    const many = Array.from({ length: 20 }, () => token.random.bytes(1))
    await expect(Promise.all(many)).resolves.toHaveLength(20)
    const none = { pin: b.userPin(), maxSessions: 0 }
    await expect(hsm.login(b.uri, none)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
      where: 'max',
    })
  })

  test('mechanisms by name', async () => {
    expect(await hsm.mechanisms(a.uri)).toEqual(
      expect.arrayContaining(['CKM_AES_ECB', 'CKM_AES_GCM', 'CKM_AES_KEY_WRAP_PAD', 'CKM_EDDSA']),
    )
  })
})
