/**
 * The recovery ladder: its order with scripted steps, and a real fault: SoftHSM behind `p11-kit server`,
 * whose whole process group is killed with SIGKILL and started again while a service uses a key.
 * p11-kit 0.24 forwards AES-ECB, so that is what the service does.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import type { Hsm, Key, Token } from '../../src/pkcs11/index.ts'
import type { Cryptoki } from '../../src/pkcs11/cryptoki.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { climb } from '../../src/pkcs11/recovery.ts'
import type { RecoveryStep } from '../../src/pkcs11/recovery.ts'
import { pkcs11Error } from '../../src/pkcs11/return-value.ts'
import { newPin, remoteModule, softHsm } from '../tokens.ts'
import type { RemoteModule, SoftHsm, TestToken } from '../tokens.ts'
import { attack, raw } from './raw.ts'

const DEVICE_ERROR = 0x30
const PIN_INCORRECT = 0xa0
const BLOCK = new Uint8Array(16).fill(0x5a)

describe('the ladder', () => {
  const steps = (fail: Partial<Record<RecoveryStep, Error>>) => {
    const taken: RecoveryStep[] = []
    return {
      taken,
      step: (name: RecoveryStep) => {
        taken.push(name)
        const error = fail[name]
        return error === undefined ? Promise.resolve() : Promise.reject(error)
      },
    }
  }
  const lost = pkcs11Error('C_OpenSession', DEVICE_ERROR)

  test.each([
    ['relogin', {}, ['relogin']],
    ['relogin', { relogin: lost }, ['relogin', 'reinit']],
    ['reinit', { reinit: lost }, ['reinit', 'reload']],
    [
      'reinit',
      { reinit: new TokenError('TOKEN_NOT_FOUND', 'not there yet') },
      ['reinit', 'reload'],
    ],
    ['reload', {}, ['reload']],
  ] as const)('from %s, failing %j: %j', async (first, fail, expected) => {
    const { taken, step } = steps(fail)
    await climb('token', first, step)
    expect(taken).toEqual(expected)
  })

  test('at its end a person has to act, and the last cause is on record', async () => {
    const { step } = steps({ relogin: lost, reinit: lost, reload: lost })
    await expect(climb('token', 'relogin', step)).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      got: 'C_OpenSession failed: CKR_DEVICE_ERROR',
      cause: lost,
    })
  })

  test('a wrong PIN ends it at once: one more try could lock the token', async () => {
    const wrong = pkcs11Error('C_Login', PIN_INCORRECT)
    const { taken, step } = steps({ relogin: wrong })
    await expect(climb('token', 'relogin', step)).rejects.toBe(wrong)
    expect(taken).toEqual(['relogin'])
  })
})

describe('a login that ended behind the connection', () => {
  let softhsm: SoftHsm
  let vault: TestToken
  let hsm: Hsm
  let behind: Cryptoki

  beforeAll(async () => {
    softhsm = softHsm()
    vault = softhsm.tokens('vault').vault
    hsm = await loadModule(softhsm.module)
    // The same instance: what it does to the login, it does to everybody in the process.
    behind = openCryptoki({ path: softhsm.module })
  })
  afterAll(async () => {
    behind.close()
    await hsm[Symbol.asyncDispose]()
    softhsm.cleanup()
  })

  const logout = (token: Token) => {
    const session = behind.openSession(token.info.slotId, { readWrite: true })
    behind.logout(session)
    behind.closeSession(session)
  }
  const pinAgain = () => Promise.resolve(vault.userPin())

  test('is made again: nothing found is never the answer of a logged-out session', async () => {
    await using token = await hsm.login(vault.uri, { pin: vault.userPin(), pinAgain })
    const id = newPin().slice(0, 16)
    const key = await token.generate({ role: 'fpe', label: 'fpe', id })
    const kcv = await key.kcv()
    const operations = {
      kcv: async () => expect(await key.kcv()).toEqual(kcv),
      inventory: async () => expect(await token.inventory()).toHaveLength(1),
      find: async () => expect(await token.find({ id })).toHaveLength(1),
      key: async () => expect((await token.key('pkcs11:object=fpe')).id).toBe(key.id),
      generate: async () => {
        const again = token.generate({ role: 'fpe', label: 'fpe', id })
        await expect(again).rejects.toMatchObject({ code: 'KEY_EXISTS' })
      },
    }
    for (const run of Object.values(operations)) {
      const { epoch } = token
      logout(token)
      await run()
      expect(token.epoch).toBe(epoch + 1)
    }
  })

  test('without pinAgain it is an error, not an empty token', async () => {
    await using token = await hsm.login(vault.uri, { pin: vault.userPin() })
    logout(token)
    const lost = { code: 'CONNECTION_LOST' }
    await expect(token.inventory()).rejects.toMatchObject(lost)
    await expect(token.find({})).rejects.toMatchObject(lost)
  })
})

describe('p11-kit server, killed and restarted', () => {
  let remote: RemoteModule
  let vault: TestToken
  let hsm: Hsm
  let token: Token
  let key: Key
  let expected: Uint8Array
  let asked = 0
  const id = newPin().slice(0, 16)
  const on = raw({ CLASS: 4, LABEL: 'fpe' })

  const login = (module: Hsm) =>
    module.login(vault.uri, {
      pin: vault.userPin(),
      pinAgain: () => {
        asked += 1
        return Promise.resolve(vault.userPin())
      },
    })

  beforeAll(async () => {
    remote = remoteModule()
    vault = remote.tokens('vault').vault
    remote.start()
    hsm = await loadModule(remote.module)
    token = await login(hsm)
    key = await token.generate({ role: 'fpe', label: 'fpe', id })
    expected = await key.blockCipher().encryptBlocks(BLOCK)
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    remote.cleanup()
  })

  test('a service loop goes on with the same key object, in the same process', async () => {
    const cipher = key.blockCipher()
    const epoch = token.epoch
    const outcomes: string[] = []
    let running = true
    const service = async () => {
      while (running) {
        try {
          expect(await cipher.encryptBlocks(BLOCK)).toEqual(expected)
          outcomes.push('ok')
        } catch (error) {
          if (!(error instanceof TokenError)) throw error
          outcomes.push(error.code)
        }
        await sleep(2)
      }
    }
    const loops = [service(), service(), service()]
    await sleep(40)
    remote.kill()
    await sleep(60)
    const dead = outcomes.length
    expect(outcomes.at(-1)).toBe('CONNECTION_LOST')
    remote.start()
    await expect.poll(() => outcomes.slice(dead).includes('ok'), { timeout: 10_000 }).toBe(true)
    await sleep(20)
    running = false
    await Promise.all(loops)

    expect(new Set(outcomes)).toEqual(new Set(['ok', 'CONNECTION_LOST']))
    expect(outcomes[0]).toBe('ok')
    expect(outcomes.at(-1)).toBe('ok')
    expect(token.epoch).toBeGreaterThan(epoch)
    expect(asked).toBeGreaterThan(0)
    await expect(token.inventory()).resolves.toHaveLength(1)
  })

  test('a restart between two calls is not even noticed', async () => {
    const epoch = token.epoch
    remote.kill()
    remote.start()
    await expect(key.blockCipher().encryptBlocks(BLOCK)).resolves.toEqual(expected)
    expect(token.epoch).toBeGreaterThan(epoch)
    remote.kill()
    remote.start()
    await expect(token.random.bytes(8)).resolves.toHaveLength(8)
    remote.kill()
    remote.start()
    const spec = { role: 'fpe', label: 'second', id: newPin().slice(0, 16) } as const
    const second = await token.generate(spec)
    await token.destroy(second, { by: ['a', 'b'], intentSha256: 'ab'.repeat(32) })
  })

  test('an open public connection recovers without any PIN', async () => {
    await using open = await hsm.open(vault.uri)
    remote.kill()
    remote.start()
    const before = asked
    await expect(open.random.bytes(8)).resolves.toHaveLength(8)
    expect(asked).toBe(before)
    await expect(key.blockCipher().encryptBlocks(BLOCK)).resolves.toEqual(expected)
  })

  test('a key replaced meanwhile under the same id and label is KEY_CHANGED', async () => {
    const cipher = key.blockCipher()
    remote.kill()
    const planted = raw({
      ...{ CLASS: 4, KEY_TYPE: 0x1f, VALUE_LEN: 32, TOKEN: true, PRIVATE: true, SENSITIVE: true },
      ...{ LABEL: 'fpe', ID: { hex: Buffer.from(id).toString('hex') }, ENCRYPT: true },
    })
    const done = attack(vault, [
      { do: 'destroy', on },
      { do: 'generate', template: planted },
      { do: 'count', on },
    ])
    expect(done).toEqual([0, 0, 1])
    remote.start()
    await expect(cipher.encryptBlocks(BLOCK)).rejects.toMatchObject({ code: 'KEY_CHANGED' })
    await expect(key.attributes()).rejects.toMatchObject({ code: 'KEY_CHANGED' })
  })

  test('a key destroyed meanwhile is KEY_NOT_FOUND', async () => {
    remote.kill()
    expect(attack(vault, [{ do: 'destroy', on }])).toEqual([0])
    remote.start()
    await expect(key.blockCipher().encryptBlocks(BLOCK)).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    })
  })

  test('a key destroyed behind a living connection is KEY_NOT_FOUND too', async () => {
    const spec = { role: 'fpe', label: 'third', id: newPin().slice(0, 16) } as const
    const third = await token.generate(spec)
    const epoch = token.epoch
    expect(attack(vault, [{ do: 'destroy', on: raw({ CLASS: 4, LABEL: 'third' }) }])).toEqual([0])
    await expect(third.blockCipher().encryptBlocks(BLOCK)).rejects.toMatchObject({
      code: 'KEY_NOT_FOUND',
    })
    expect(token.epoch).toBe(epoch)
  })

  test('a wrong PIN from pinAgain is reported, not tried again', async () => {
    await token[Symbol.asyncDispose]()
    let wrong = 0
    await using other = await hsm.login(vault.uri, {
      pin: vault.userPin(),
      pinAgain: () => {
        wrong += 1
        return Promise.resolve(newPin())
      },
    })
    remote.kill()
    remote.start()
    await expect(other.random.bytes(8)).rejects.toMatchObject({ rv: 'CKR_PIN_INCORRECT' })
    expect(wrong).toBe(1)
  })

  test('without pinAgain the loss is an error, and a new login mends it', async () => {
    {
      await using plain = await hsm.login(vault.uri, { pin: vault.userPin() })
      remote.kill()
      remote.start()
      await expect(plain.random.bytes(8)).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        hint: 'log in again, or give login() a pinAgain callback',
      })
    }
    await using again = await hsm.login(vault.uri, { pin: vault.userPin() })
    await expect(again.random.bytes(8)).resolves.toHaveLength(8)
  })
})
