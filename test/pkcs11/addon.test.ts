/** The addon by itself: one instance for two bindings, several modules, faults of modules. */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

import type * as Pkcs11js from 'pkcs11js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { Addon } from '../../src/pkcs11/addon.ts'
import { CKF_INITIALIZE, CKS } from '../../src/pkcs11/constants.ts'
import { CKR } from '../../src/pkcs11/constants-ckr.ts'
import { scratch, softHsm } from '../tokens.ts'
import { faultyModule, logged } from './faulty-module.ts'

const FILE = join(import.meta.dirname, '..', '..', 'bindings', 'build', 'Release', 'keyrite.node')
const require = createRequire(import.meta.url)
const addon = require(FILE) as Addon
const pkcs11js = require('pkcs11js') as typeof Pkcs11js

const dir = scratch('addon')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function loaded(path: string): { id: number; lib: Pkcs11js.PKCS11 } {
  const { code, id, detail } = addon.open(path)
  expect(code, detail).toBe('OK')
  expect(addon.arm(id)).toBe(true)
  const lib = new pkcs11js.PKCS11()
  lib.load(FILE)
  return { id, lib }
}

describe('opening', () => {
  it('gives a function list once per arming, on request only', () => {
    const unarmed = new pkcs11js.PKCS11()
    expect(() => unarmed.load(FILE)).toThrow(/CKR_FUNCTION_FAILED/)
    const { id } = loaded(faultyModule(dir))
    expect(() => new pkcs11js.PKCS11().load(FILE)).toThrow(/CKR_FUNCTION_FAILED/)
    expect(addon.open(faultyModule(dir)).id).toBe(id)
    expect(addon.arm(999)).toBe(false)
  })

  it('row 6: says what is wrong with a library that is no module, and opens the next one', () => {
    expect(addon.open(faultyModule(dir, 'NO_ENTRY')).code).toBe('NO_ENTRY_POINT')
    expect(addon.open(faultyModule(dir, 'NO_LIST'))).toMatchObject({ code: 'BAD_FUNCTION_LIST' })
    expect(addon.open(faultyModule(dir, 'BAD_VERSION')).detail).toContain('list version 99')
    expect(addon.open(join(dir, 'missing.so')).code).toBe('CANNOT_LOAD')
    expect(addon.open(import.meta.filename).code).toBe('CANNOT_LOAD')
    expect(addon.open(FILE).code).toBe('IS_KEYRITE_ADDON')
    expect(addon.open(faultyModule(dir)).code).toBe('OK')
  })

  it('refuses arguments of the wrong type with a TypeError', () => {
    const anything = addon as unknown as Record<string, (...args: unknown[]) => unknown>
    const { id } = addon.open(faultyModule(dir))
    const wrong: [string, ...unknown[]][] = [
      ['open'],
      ['open', 1],
      ['arm', 'x'],
      ['state', 77],
      ['login', id, 1, 1, null],
      ['login', id, 1n, 1, 'pin'],
      ['login', id, 1n, 1, undefined],
      ['login', id, -1n, 1, null],
      ['login', id, 2n ** 64n, 1, null],
      ['login', id, 1n, 1],
      ['login', id, 1n, 1, new Uint16Array(4)],
      ['login', id, 1n, 1, new Uint8Array(5000)],
      ['initToken', id, 7n, null, new Uint8Array(31)],
      ['createObject', id, 1n, {}],
      ['createObject', id, 1n, [1]],
      ['createObject', id, 1n, [[1, 'x']]],
      ['createObject', id, 1n, [['1', new Uint8Array()]]],
      ['createObject', id, 1n, [[1.5, new Uint8Array()]]],
      ['createObject', id, 1n, [[1, new Date()]]],
      ['createObject', id, 1n, Array(257).fill([1, new Uint8Array()])],
      ['createObject', id, 1n, [[1, [[1, [[1, [[1, [[1, [[1, []]]]]]]]]]]]]],
      ['generateKey', id, 1n, null, []],
      ['generateKey', id, 1n, { type: 1 }, []],
      ['generateKey', id, 1n, { type: 1, parameter: ['x'] }, []],
      ['generateKey', id, 1n, { type: 1, parameter: [{ inline: new Uint8Array(3) }, 1] }, []],
      ['generateKey', id, 1n, { type: 1, parameter: Array(17).fill(1) }, []],
      ['getAttributes', id, 1n, 1n, [null]],
      ['getAttributes', id, 1n, 1n, 3],
    ]
    for (const [name, ...args] of wrong) {
      expect(() => anything[name]!(...args), `${name} ${args.length}`).toThrow(TypeError)
    }
  })
})

describe('a module with faults', () => {
  const log = join(dir, 'log')
  let id: number
  let lib: Pkcs11js.PKCS11

  beforeAll(() => {
    ;({ id, lib } = loaded(faultyModule(dir)))
    lib.C_Initialize({ flags: CKF_INITIALIZE.OS_LOCKING_OK, libraryParameters: `log=${log} ` })
  })

  it('row 6: NULL entries of the function list answer CKR_FUNCTION_NOT_SUPPORTED', () => {
    expect(() => lib.C_GetInfo()).toThrow(/CKR_FUNCTION_NOT_SUPPORTED/)
    expect(() => lib.C_GetSlotList(true)).toThrow(/CKR_FUNCTION_NOT_SUPPORTED/)
    expect(addon.createObject(id, 1n, []).rv).toBe(CKR.FUNCTION_NOT_SUPPORTED)
    expect(addon.findObjectsInit(id, 1n, [])).toBe(CKR.FUNCTION_NOT_SUPPORTED)
  })

  it('row 12: a return value of all ones is -1', () => {
    expect(addon.getAttributes(id, 1n, 99n, [3])).toEqual({ rv: -1, values: [] })
  })

  it('lengths that make no sense are not believed', () => {
    expect(addon.getAttributes(id, 1n, 1n, [3, 0x11])).toEqual({ rv: 0, values: [null, null] })
    expect(addon.getAttributes(id, 1n, 2n, [3])).toEqual({ rv: 0, values: [null] })
    expect(addon.getAttributes(id, 1n, 4n, [0x40000212])).toEqual({
      rv: 0,
      values: [[[0x162, null]]],
    })
    expect(addon.getAttributes(id, 1n, 5n, [0x40000212])).toEqual({ rv: 0, values: [[]] })
  })

  it('row 10: null is a NULL pointer, an empty PIN is not', () => {
    expect(addon.login(id, 1n, 1, null)).toBe(0)
    expect(addon.login(id, 1n, 0x80000001, new Uint8Array([1, 2, 3]))).toBe(0)
    expect(addon.login(id, 1n, 1, new Uint8Array())).toBe(0)
    expect(addon.initPin(id, 1n, null)).toBe(0)
    expect(addon.setPin(id, 1n, null, new Uint8Array(4))).toBe(0)
    expect(addon.initToken(id, 7n, null, new Uint8Array(32).fill(0x41))).toBe(0)
    expect(logged(log).slice(-6)).toEqual([
      'C_Login user=1 pin=NULL/0',
      'C_Login user=2147483649 pin=bytes/3',
      'C_Login user=1 pin=bytes/0',
      'C_InitPIN pin=NULL/0',
      'C_SetPIN old=NULL/0 new=bytes/4',
      `C_InitToken pin=NULL/0 label=[${'A'.repeat(32)}]`,
    ])
  })

  it('row 4: finalise and unload are refused while a call is inside the module', async () => {
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads')
       const addon = require(workerData.file)
       const { PKCS11 } = require(workerData.pkcs11js)
       addon.arm(workerData.id)
       const lib = new PKCS11()
       lib.load(workerData.file)
       lib.C_GenerateRandom(Buffer.alloc(8), Buffer.alloc(13)) // takes a second`,
      { eval: true, workerData: { file: FILE, id, pkcs11js: require.resolve('pkcs11js') } },
    )
    const running = once(worker, 'exit')
    while (addon.state(id).inFlight === 0) await setTimeout(5)
    expect(() => lib.C_Finalize()).toThrow(/CKR_OPERATION_ACTIVE/)
    expect(addon.unload(id)).toBe(false)
    expect(addon.state(id)).toEqual({ initialized: true, inFlight: 1 })
    lib.C_GenerateRandom(Buffer.alloc(8), Buffer.alloc(4))
    expect(await running).toEqual([0])
    expect(logged(log)).not.toContain('C_Finalize')
    expect(addon.state(id)).toEqual({ initialized: true, inFlight: 0 })
    lib.C_Finalize()
    expect(logged(log).at(-1)).toBe('C_Finalize')
  })

  it('after unload every function answers CKR_CRYPTOKI_NOT_INITIALIZED, until it is opened again', () => {
    expect(addon.unload(id)).toBe(true)
    expect(() => lib.C_GenerateRandom(Buffer.alloc(8), Buffer.alloc(4))).toThrow(
      /CKR_CRYPTOKI_NOT_INITIALIZED/,
    )
    expect(() => lib.C_Initialize({ flags: 2 })).toThrow(/CKR_CRYPTOKI_NOT_INITIALIZED/)
    expect(addon.login(id, 1n, 1, null)).toBe(CKR.CRYPTOKI_NOT_INITIALIZED)
    expect(addon.arm(id)).toBe(false)
    expect(addon.open(faultyModule(dir)).id).toBe(id)
    lib.C_Initialize({ flags: 2 })
    lib.C_GenerateRandom(Buffer.alloc(8), Buffer.alloc(4))
    expect(addon.login(id, 1n, 1, null)).toBe(0)
  })
})

describe('two bindings', () => {
  it('share one SoftHSM instance: login, sessions, objects; calls of both are counted', () => {
    const hsm = softHsm()
    const { vault } = hsm.tokens('vault')
    const { id, lib } = loaded(hsm.module)
    lib.C_Initialize({ flags: CKF_INITIALIZE.OS_LOCKING_OK })
    const slot = lib
      .C_GetSlotList(true)
      .find((at) => lib.C_GetTokenInfo(at).label.trim() === 'vault')!
    const session = lib.C_OpenSession(slot, 6)
    expect(lib.C_GetSessionInfo(session).state).toBe(CKS.RW_PUBLIC_SESSION)
    expect(addon.login(id, session.readBigUInt64LE(), 1, vault.userPin())).toBe(0)
    expect(lib.C_GetSessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
    expect(addon.login(id, session.readBigUInt64LE(), 1, vault.userPin())).toBe(
      CKR.USER_ALREADY_LOGGED_IN,
    )
    const before = addon.calls(id)
    expect(before).toMatchObject({ C_Login: 2, C_OpenSession: 1, C_GetSessionInfo: 2 })
    lib.C_GenerateRandom(session, Buffer.alloc(8))
    expect(addon.calls(id)).toEqual({ ...before, C_GenerateRandom: 1 })
    lib.C_Finalize()
    hsm.cleanup()
  })
})
