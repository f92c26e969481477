/** The port on real modules: sharing, several modules in one process, PIN management, recovery. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Pkcs11Error, TokenError } from '../../src/errors.ts'
import { CKF_TOKEN, CKO, CKS, flagNames } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import { newPin, nssModule, softHsm } from '../tokens.ts'
import { aes, knownAes, openSession, slotOf } from './open-session.ts'

const hsm = softHsm()
const tokens = hsm.tokens('vault', 'other')
let cryptoki: Cryptoki
let session: SessionHandle

beforeAll(() => {
  cryptoki = openCryptoki({ path: hsm.module })
  session = openSession(cryptoki, tokens.vault)
})
afterAll(() => {
  cryptoki.close()
  hsm.cleanup()
})

const ecb = mechanism(CKM.AES_ECB)
const block = new Uint8Array(16)
const wrong = (rv: string) => expect.objectContaining({ name: 'Pkcs11Error', rv }) as Error

describe('queries', () => {
  it('describe module, slot, token, mechanisms and session', () => {
    expect(cryptoki.path).toMatch(/libsofthsm2\.so$/)
    expect(cryptoki.owner).toBe(true)
    expect(cryptoki.inFlight).toBe(0)
    expect(cryptoki.info()).toMatchObject({ cryptokiVersion: '2.40', manufacturerId: 'SoftHSM' })
    const slot = slotOf(cryptoki, 'vault')
    expect(cryptoki.slots(false)).toContain(slot)
    expect(cryptoki.slotInfo(slot).manufacturerId).toBe('SoftHSM project')
    const token = cryptoki.tokenInfo(slot)
    expect(token).toMatchObject({ label: 'vault', serial: tokens.vault.serial, minPinLength: 4 })
    expect(token.maxSessionCount).toBe(Infinity)
    expect(flagNames(CKF_TOKEN, token.flags)).toContain('TOKEN_INITIALIZED')
    expect(cryptoki.mechanismList(slot)).toContain(CKM.AES_GCM)
    expect(cryptoki.mechanismInfo(slot, CKM.AES_ECB)).toMatchObject({
      minKeySize: 16,
      maxKeySize: 32,
    })
    expect(() => cryptoki.mechanismInfo(slot, 0x7fff_ffff)).toThrow(wrong('CKR_MECHANISM_INVALID'))
    expect(cryptoki.sessionInfo(session)).toEqual({
      slotId: slot,
      state: CKS.RW_USER_FUNCTIONS,
      flags: 6,
      deviceError: 0,
    })
  })

  it('give random bytes of the asked length', () => {
    const bytes = cryptoki.generateRandom(session, 100)
    expect(bytes.length).toBe(100)
    expect(new Set(bytes).size).toBeGreaterThan(20)
  })
})

describe('objects', () => {
  it('are created, found, changed, copied and destroyed', () => {
    const key = cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), aes({ LABEL: 'one' }))
    expect(cryptoki.findObjects(session, { CLASS: CKO.SECRET_KEY, LABEL: 'one' })).toEqual([key])
    cryptoki.setAttributes(session, key, { LABEL: 'two', EXTRACTABLE: false })
    const copy = cryptoki.copyObject(session, key, { LABEL: 'three', SENSITIVE: true })
    const plain = cryptoki.copyObject(session, key, {})
    const read = cryptoki.getAttributes(session, copy, ['LABEL', 'SENSITIVE', 'EXTRACTABLE'])
    expect(read.value('LABEL')).toBe('three')
    expect(read.value('SENSITIVE')).toBe(true)
    expect(read.value('EXTRACTABLE')).toBe(false)
    expect(cryptoki.encrypt(session, ecb, copy, block)).toEqual(
      cryptoki.encrypt(session, ecb, key, block),
    )
    for (const handle of [key, copy, plain]) cryptoki.destroyObject(session, handle)
    expect(cryptoki.findObjects(session, { CLASS: CKO.SECRET_KEY })).toEqual([])
    expect(() => cryptoki.encrypt(session, ecb, key, block)).toThrow(Pkcs11Error)
  })

  it('take data longer than the first output buffer', () => {
    const key = cryptoki.createObject(session, knownAes(new Uint8Array(32)))
    const data = new Uint8Array(1 << 20).fill(7)
    const sealed = cryptoki.encrypt(session, ecb, key, data)
    expect(sealed.length).toBe(data.length)
    expect(cryptoki.decrypt(session, ecb, key, sealed)).toEqual(data)
    const tooLong = new Uint8Array((1 << 24) + 16)
    expect(() => cryptoki.encrypt(session, ecb, key, tooLong)).toThrow(TokenError)
  })

  it("return bytes that are nobody else's memory", () => {
    const key = cryptoki.createObject(session, knownAes(new Uint8Array(32)))
    const sealed = cryptoki.encrypt(session, ecb, key, block)
    expect(sealed.byteOffset).toBe(0)
    expect(sealed.buffer.byteLength).toBe(16)
    const value = cryptoki.getAttributes(session, key, ['VALUE']).value('VALUE')!
    expect(value.buffer.byteLength).toBe(32)
  })
})

describe('several users of one module', () => {
  it('share the instance; close ends only the own sessions', () => {
    const second = openCryptoki({ path: hsm.module })
    const theirs = second.openSession(slotOf(second, 'vault'), { readWrite: false })
    expect(second.sessionInfo(theirs).state).toBe(CKS.RO_USER_FUNCTIONS)
    second.close()
    expect(() => second.sessionInfo(theirs)).toThrow(
      expect.objectContaining({ code: 'MODULE_CLOSED' }),
    )
    second.close()
    expect(() => cryptoki.sessionInfo(theirs)).toThrow(wrong('CKR_SESSION_HANDLE_INVALID'))
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
  })

  it('SoftHSM and NSS in one process do not disturb each other', () => {
    const nss = nssModule()
    const other = openCryptoki({ path: nss.module, libraryParameters: nss.libraryParameters })
    expect(other.info().manufacturerId).toBe('Mozilla Foundation')
    expect(cryptoki.info().manufacturerId).toBe('SoftHSM')
    const theirs = openSession(other, nss.token)
    const value = new Uint8Array(32).fill(9)
    const ours = cryptoki.createObject(session, knownAes(value))
    const there = other.createObject(theirs, knownAes(value))
    for (let round = 0; round < 20; round++) {
      const data = cryptoki.generateRandom(session, 16)
      expect(other.encrypt(theirs, ecb, there, data)).toEqual(
        cryptoki.encrypt(session, ecb, ours, data),
      )
    }
    // A third load while both are open: each keeps its own function list.
    const again = openCryptoki({ path: hsm.module })
    expect(again.info().manufacturerId).toBe('SoftHSM')
    again.close()
    expect(moduleCalls(other)['C_Encrypt']).toBe(20)
    other.reload()
    expect(other.info().manufacturerId).toBe('Mozilla Foundation')
    expect(() => other.sessionInfo(theirs)).toThrow(wrong('CKR_SESSION_HANDLE_INVALID'))
    other.close()
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
    nss.cleanup()
  })
})

describe('PINs', () => {
  it('login, wrong PIN, change, reset by the SO', () => {
    const slot = slotOf(cryptoki, 'other')
    const own = cryptoki.openSession(slot, { readWrite: true })
    expect(() => cryptoki.login(own, 'user', newPin())).toThrow(
      expect.objectContaining({ rv: 'CKR_PIN_INCORRECT', category: 'auth', fn: 'C_Login' }),
    )
    const pin = tokens.other.userPin()
    const before = pin.slice()
    cryptoki.login(own, 'user', pin)
    expect(pin).toEqual(before)
    const fresh = newPin()
    cryptoki.setPin(own, pin, fresh)
    cryptoki.logout(own)
    expect(() => cryptoki.login(own, 'user', pin)).toThrow(wrong('CKR_PIN_INCORRECT'))
    cryptoki.login(own, 'user', fresh)
    cryptoki.logout(own)
    cryptoki.login(own, 'so', tokens.other.soPin())
    cryptoki.initPin(own, pin)
    cryptoki.logout(own)
    cryptoki.login(own, 'user', pin)
    expect(() => cryptoki.login(own, 'user', null)).toThrow(Pkcs11Error)
    cryptoki.closeSession(own)
  })

  it('a token initialised here opens with these PINs', () => {
    const blank = cryptoki
      .slots(true)
      .find((slot) => (cryptoki.tokenInfo(slot).flags & CKF_TOKEN.TOKEN_INITIALIZED) === 0)!
    const [soPin, userPin] = [newPin(), newPin()]
    cryptoki.initToken(blank, 'fresh', soPin)
    cryptoki.reinitialize()
    const slot = slotOf(cryptoki, 'fresh')
    const own = cryptoki.openSession(slot, { readWrite: true })
    cryptoki.login(own, 'so', soPin)
    cryptoki.initPin(own, userPin)
    cryptoki.logout(own)
    cryptoki.login(own, 'user', userPin)
    expect(cryptoki.sessionInfo(own).state).toBe(CKS.RW_USER_FUNCTIONS)
    cryptoki.closeSession(own)
    session = openSession(cryptoki, tokens.vault)
  })
})

describe('recovery', () => {
  it.each(['reinitialize', 'reload'] as const)('%s ends sessions; token objects stay', (step) => {
    cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), aes({ TOKEN: true, LABEL: step }))
    const old = session
    cryptoki[step]()
    expect(() => cryptoki.sessionInfo(old)).toThrow(wrong('CKR_SESSION_HANDLE_INVALID'))
    session = openSession(cryptoki, tokens.vault)
    expect(cryptoki.findObjects(session, { LABEL: step }).length).toBe(1)
    expect(cryptoki.owner).toBe(true)
  })

  it('after the last close the module is finalised and can be opened again', () => {
    cryptoki.close()
    expect(moduleCalls(cryptoki)).toEqual({})
    cryptoki = openCryptoki({ path: hsm.module })
    expect(moduleCalls(cryptoki)['C_Finalize']).toBe(4)
    session = openSession(cryptoki, tokens.vault)
    expect(cryptoki.findObjects(session, { LABEL: 'reload' }).length).toBe(1)
  })
})
