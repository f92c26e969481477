/**
 * Work on other threads and a token that fails under it: nothing is lost, nothing is wrong, nobody waits for
 * ever. Faults are put in front of SoftHSM at a chosen call; a lost connection is p11-kit's, killed in mid-batch.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { loadModule } from '../../src/pkcs11/index.ts'
import type { BlockOperation, Hsm, Key, Token } from '../../src/pkcs11/index.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import { encryptPans, panGroup, pans } from '../fpe/pan-batch.ts'
import { remoteModule, softHsm } from '../tokens.ts'
import type { RemoteModule, SoftHsm, TestToken } from '../tokens.ts'
import { interposer } from './interposer.ts'
import type { Interposer } from './interposer.ts'

const RV = {
  CKR_DEVICE_ERROR: 0x30,
  CKR_SESSION_HANDLE_INVALID: 0xb3,
  CKR_USER_NOT_LOGGED_IN: 0x101,
} as const
const GENERAL_ERROR = 0x05
const APPROVAL = { by: ['a', 'b'], intentSha256: 'ab'.repeat(32) }
const spec = () => ({ role: 'fpe', label: 'pan', id: new Uint8Array(randomBytes(16)) }) as const

describe('a fault in mid-batch', () => {
  let softhsm: SoftHsm
  let faulty: Interposer
  let vault: TestToken
  let hsm: Hsm
  let token: Token
  let key: Key
  const input = pans(5_000)
  let expected: Uint8Array | Uint16Array

  const pinAgain = () => Promise.resolve(vault.userPin())

  beforeAll(async () => {
    softhsm = softHsm()
    vault = softhsm.tokens('vault').vault
    faulty = interposer(softhsm.dir, softhsm.module)
    hsm = await loadModule(faulty.module)
    token = await hsm.login(vault.uri, { pin: vault.userPin(), pinAgain })
    key = await token.generate(spec())
    expected = await encryptPans(key.blockCipher(), input)
  })
  afterEach(() => faulty.reset())
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    faulty.close()
    softhsm.cleanup()
  })

  const ways: [BlockOperation, ('C_EncryptInit' | 'C_Encrypt' | 'C_EncryptUpdate')[]][] = [
    ['single-part', ['C_EncryptInit', 'C_Encrypt']],
    ['multi-part', ['C_EncryptInit', 'C_EncryptUpdate']],
  ]
  for (const [operation, functions] of ways) {
    for (const fn of functions) {
      test.each(Object.entries(RV))(`${operation}: ${fn} fails with %s`, async (_name, rv) => {
        const cipher = key.blockCipher({ operation })
        for (const after of operation === 'multi-part' && fn === 'C_EncryptInit'
          ? [0]
          : [0, 7, 33]) {
          // Known to the connection, so that the fault hits the batch; no operation stands open.
          await cipher.encryptBlocks(new Uint8Array(16))
          await key.blockCipher({ operation: 'single-part' }).encryptBlocks(new Uint8Array(16))
          faulty.fail({ fn, rv, after })
          expect(await encryptPans(cipher, input)).toEqual(expected)
          expect(faulty.pending()).toBe(false)
        }
        await key.blockCipher({ operation: 'single-part' }).encryptBlocks(new Uint8Array(16))
        faulty.fail({ fn, rv, times: 2 })
        expect(await encryptPans(cipher, input)).toEqual(expected)
        expect(faulty.pending()).toBe(false)
      })
    }
  }

  test('blocks too', async () => {
    const cipher = key.blockCipher({ operation: 'single-part' })
    const blocks = new Uint8Array(randomBytes(16 * 5_000))
    const undisturbed = await cipher.encryptBlocks(blocks)
    for (const rv of Object.values(RV)) {
      faulty.fail({ fn: 'C_Encrypt', rv, after: 3 })
      expect(await cipher.encryptBlocks(blocks)).toEqual(undisturbed)
      expect(faulty.pending()).toBe(false)
    }
  })

  test.each(Object.entries(RV))(
    'many batches at once, one of which is hit by %s: recovery waits for the others',
    async (_name, rv) => {
      for (const operation of ['single-part', 'multi-part'] as const) {
        const cipher = key.blockCipher({ operation })
        await cipher.encryptBlocks(new Uint8Array(16))
        const fn = operation === 'single-part' ? 'C_Encrypt' : 'C_EncryptUpdate'
        faulty.fail({ fn, rv, after: 101, times: 2 })
        const all = await Promise.all(Array.from({ length: 16 }, () => encryptPans(cipher, input)))
        for (const output of all) expect(output).toEqual(expected)
        expect(faulty.pending()).toBe(false)
      }
    },
  )

  test('a long batch on a slow device is stopped for the recovery, and starts again', async () => {
    const cipher = key.blockCipher({ operation: 'single-part' })
    await cipher.encryptBlocks(new Uint8Array(16))
    const port = openCryptoki({ path: faulty.module })
    const before = moduleCalls(port)['C_Finalize'] ?? 0
    const { epoch } = token
    const long = await panGroup(cipher, pans(30_000))
    faulty.delay(1)
    const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [long] })
    await sleep(50)
    faulty.fail({ fn: 'C_EncryptInit', rv: RV.CKR_DEVICE_ERROR })
    const started = performance.now()
    // Whichever of the two is hit: both come through.
    await cipher.encryptBlocks(new Uint8Array(32))
    expect(performance.now() - started).toBeLessThan(2_000)
    faulty.delay(0)
    await work
    expect(token.epoch).toBe(epoch + 1)
    expect((moduleCalls(port)['C_Finalize'] ?? 0) - before).toBe(1)
    port.close()
    const same = await encryptPans(cipher, pans(30_000))
    expect(long.output).toEqual(same)
  })

  test('a call that does not return holds up recovery and closing for a limited time', async () => {
    await token[Symbol.asyncDispose]()
    const options = { pin: vault.userPin(), pinAgain, waitTimeoutMs: 100 }
    const other = await loadModule(faulty.module)
    const hasty = await other.login(vault.uri, options)
    const cipher = (await hasty.key('pkcs11:object=pan')).blockCipher({ operation: 'single-part' })
    await cipher.encryptBlocks(new Uint8Array(16))
    faulty.delay(1_000)
    const slow = cipher.encryptBlocks(new Uint8Array(16))
    await sleep(20)
    faulty.delay(0)
    faulty.fail({ fn: 'C_EncryptInit', rv: RV.CKR_DEVICE_ERROR })
    const busy = { code: 'MODULE_BUSY' }
    await expect(cipher.encryptBlocks(new Uint8Array(32))).rejects.toMatchObject(busy)
    await expect(hasty[Symbol.asyncDispose]()).rejects.toMatchObject(busy)
    await expect(other[Symbol.asyncDispose]()).rejects.toMatchObject(busy)
    // It came back after all: nothing was taken from under it.
    expect(await slow).toHaveLength(16)
    await other[Symbol.asyncDispose]()
    await expect(cipher.encryptBlocks(new Uint8Array(16))).rejects.toMatchObject({
      code: 'MODULE_CLOSED',
    })
    token = await hsm.login(vault.uri, { pin: vault.userPin(), pinAgain })
    key = await token.key('pkcs11:object=pan')
    expect(await encryptPans(key.blockCipher(), input)).toEqual(expected)
  })

  test('a device that keeps failing is an error after the attempts there are; no output is left', async () => {
    const cipher = key.blockCipher({ operation: 'single-part' })
    const group = await panGroup(cipher, input)
    faulty.fail({ fn: 'C_Encrypt', rv: RV.CKR_SESSION_HANDLE_INVALID, after: 12, times: 1_000_000 })
    const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] })
    await expect(work).rejects.toMatchObject({ rv: 'CKR_SESSION_HANDLE_INVALID', fn: 'C_Encrypt' })
    expect(group.output.every((byte) => byte === 0)).toBe(true)
    expect(group.input).toEqual(input)
    faulty.reset()
    expect(await encryptPans(cipher, input)).toEqual(expected)
  })

  test('an error that no other session mends is reported at once', async () => {
    const cipher = key.blockCipher({ operation: 'multi-part' })
    await cipher.encryptBlocks(new Uint8Array(16))
    const { epoch } = token
    faulty.fail({ fn: 'C_EncryptUpdate', rv: GENERAL_ERROR, after: 4 })
    await expect(encryptPans(cipher, input)).rejects.toMatchObject({ rv: 'CKR_GENERAL_ERROR' })
    expect(token.epoch).toBe(epoch)
    expect(await encryptPans(cipher, input)).toEqual(expected)
  })

  test('an abort during a recovery is an abort', async () => {
    const cipher = key.blockCipher({ operation: 'single-part' })
    const controller = new AbortController()
    const { signal } = controller
    const group = await panGroup(cipher, input)
    faulty.delay(1)
    faulty.fail({ fn: 'C_Encrypt', rv: RV.CKR_DEVICE_ERROR, after: 20 })
    const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group], signal })
    setTimeout(() => controller.abort(), 45)
    await expect(work).rejects.toMatchObject({ code: 'ABORTED' })
    faulty.reset()
    expect(await encryptPans(cipher, input)).toEqual(expected)
  })

  test('without pinAgain a lost device is an error, and nothing is left in the output', async () => {
    await token[Symbol.asyncDispose]()
    {
      await using plain = await hsm.login(vault.uri, { pin: vault.userPin() })
      const cipher = (await plain.key('pkcs11:object=pan')).blockCipher()
      const group = await panGroup(cipher, input)
      faulty.fail({ fn: 'C_EncryptUpdate', rv: RV.CKR_DEVICE_ERROR, after: 11 })
      const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] })
      await expect(work).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
      expect(group.output.every((byte) => byte === 0)).toBe(true)
    }
    token = await hsm.login(vault.uri, { pin: vault.userPin(), pinAgain })
    key = await token.key('pkcs11:object=pan')
    expect(await encryptPans(key.blockCipher(), input)).toEqual(expected)
  })

  test('a key destroyed meanwhile is KEY_NOT_FOUND, not a lost connection', async () => {
    const cipher = key.blockCipher()
    const { epoch } = token
    const [twin] = await token.find({ label: 'pan' })
    await token.destroy(twin!, APPROVAL)
    await expect(encryptPans(cipher, input)).rejects.toMatchObject({ code: 'KEY_NOT_FOUND' })
    expect(token.epoch).toBe(epoch)
  })
})

describe('p11-kit server, killed and restarted in mid-batch', () => {
  let remote: RemoteModule
  let vault: TestToken
  let hsm: Hsm
  let token: Token
  let key: Key

  beforeAll(async () => {
    remote = remoteModule()
    vault = remote.tokens('vault').vault
    remote.start()
    hsm = await loadModule(remote.module)
    const pinAgain = () => Promise.resolve(vault.userPin())
    // One session: p11-kit 0.24 may never return from calls of several threads when the server dies.
    token = await hsm.login(vault.uri, { pin: vault.userPin(), maxSessions: 1, pinAgain })
    key = await token.generate(spec())
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    remote.cleanup()
  })

  test.each(['single-part', 'multi-part'] as const)(
    '%s: every batch gives what it gives undisturbed',
    async (operation) => {
      const cipher = key.blockCipher({ operation })
      const input = pans(200_000)
      const expected = await encryptPans(cipher, input)
      const { epoch } = token
      const started = performance.now()
      const batches = Promise.all([1, 2, 3].map(() => encryptPans(cipher, input)))
      // While this thread waits for the server to come back, the work runs into its absence.
      await sleep(10)
      expect(performance.now() - started).toBeLessThan(100)
      remote.kill()
      remote.start()
      for (const output of await batches) expect(output).toEqual(expected)
      expect(token.epoch).toBeGreaterThan(epoch)
    },
  )

  test('a server that stays away is CONNECTION_LOST; the next call after its return works', async () => {
    const cipher = key.blockCipher()
    const input = pans(50_000)
    const expected = await encryptPans(cipher, input)
    const group = await panGroup(cipher, input)
    const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] })
    await sleep(2)
    remote.kill()
    await expect(work).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(group.output.every((byte) => byte === 0)).toBe(true)
    remote.start()
    expect(await encryptPans(cipher, input)).toEqual(expected)
  })
})
