/**
 * One test or more per known way in which pkcs11js or graphene crash, leak or mislead. The rows of
 * that list that are also tested elsewhere: 1, 12, 14 attribute/constants/return-value; 16, 17
 * mechanism; 4, 6, 10 addon.
 */
import { execFileSync } from 'node:child_process'
import { createCipheriv, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Pkcs11Error, TokenError } from '../../src/errors.ts'
import type { Template } from '../../src/pkcs11/attribute.ts'
import { CKK, CKO, CKS } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { aesGcm, mechanism } from '../../src/pkcs11/mechanism.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import { nssModule, scratch, softHsm } from '../tokens.ts'
import { faultyModule, logged } from './faulty-module.ts'
import { aes, knownAes, openSession, slotOf } from './open-session.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const SRC = join(import.meta.dirname, '..', '..', 'src', 'pkcs11')
const sources = readdirSync(SRC)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(join(SRC, name), 'utf8') }))

const hsm = softHsm()
const { vault } = hsm.tokens('vault')
const dir = scratch('guards')
let cryptoki: Cryptoki
let session: SessionHandle

beforeAll(() => {
  cryptoki = openCryptoki({ path: hsm.module })
  session = openSession(cryptoki, vault)
})
afterAll(() => {
  cryptoki.close()
  hsm.cleanup()
  rmSync(dir, { recursive: true, force: true })
})

const generate = (changes: Template = {}) =>
  cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), aes(changes))

type Thrown = Partial<Record<'code' | 'rv' | 'fn' | 'where' | 'got' | 'hint', string>> & {
  ckr?: number
}

/** The TokenError or Pkcs11Error a call throws. */
function thrownBy(call: () => unknown): Thrown {
  try {
    call()
  } catch (error) {
    expect(error).toSatisfy((e) => e instanceof TokenError || e instanceof Pkcs11Error)
    return error as Thrown
  }
  throw new Error('did not throw')
}

describe('templates', () => {
  it('row 1: a thousand templates with unsupported values neither crash nor reach the module', () => {
    const before = moduleCalls(cryptoki)
    const values = [new Date(), {}, 1n, new Uint16Array(4), new Float64Array(1), null, [], () => 1]
    for (let round = 0; round < 1000; round++) {
      const value = values[round % values.length]
      for (const template of [{ END_DATE: value }, { ID: value }, { LABEL: value }]) {
        const bad = { ...aes(), ...template } as never
        expect(thrownBy(() => generate(bad)).code).toBe('ARGUMENT_INVALID')
        expect(() => cryptoki.createObject(session, bad)).toThrow(TokenError)
        expect(() => cryptoki.findObjects(session, bad)).toThrow(TokenError)
      }
    }
    gc()
    expect(moduleCalls(cryptoki)).toEqual(before)
    expect(generate()).toBeTypeOf('bigint')
  })

  it('row 1: a date arrives as eight digits', () => {
    const key = generate({ PRIVATE: false, START_DATE: '2026-01-02', END_DATE: '2031-12-31' })
    const read = cryptoki.getAttributes(session, key, ['START_DATE', 'END_DATE'])
    expect(read.value('START_DATE')).toBe('2026-01-02')
    expect(read.value('END_DATE')).toBe('2031-12-31')
  })

  it('row 13: one unsupported or sensitive attribute hides no other', () => {
    const key = generate({ SENSITIVE: true, EXTRACTABLE: false, LABEL: 'row 13' })
    const read = cryptoki.getAttributes(session, key, ['LABEL', 'VALUE', 'UNIQUE_ID', 'VALUE_LEN'])
    expect([...read.entries()]).toEqual([
      ['LABEL', { status: 'value', value: 'row 13' }],
      ['VALUE', { status: 'sensitive' }],
      ['UNIQUE_ID', { status: 'absent' }],
      ['VALUE_LEN', { status: 'value', value: 32 }],
    ])
    expect(read.value('VALUE')).toBeUndefined()
    expect(read.get('ID')).toBeUndefined()
  })

  it('row 13: a module that stops at the first unknown attribute is asked singly', () => {
    const faulty = openCryptoki({ path: faultyModule(dir) })
    const other = faulty.openSession(1, { readWrite: true })
    const read = faulty.getAttributes(other, 3n as ObjectHandle, ['ID', 'LABEL', 'VALUE'])
    expect([...read.entries()]).toEqual([
      ['ID', { status: 'absent' }],
      ['LABEL', { status: 'value', value: 'abc' }],
      ['VALUE', { status: 'absent' }],
    ])
    expect(thrownBy(() => faulty.getAttributes(other, 99n as ObjectHandle, ['ID'])).ckr).toBe(-1)
    faulty.close()
  })

  it('row 14: empty dates are absent, also where the module fails on them', () => {
    for (const PRIVATE of [true, false]) {
      const key = generate({ PRIVATE })
      const read = cryptoki.getAttributes(session, key, ['START_DATE', 'END_DATE', 'LABEL'])
      expect(read.get('START_DATE')!.status).toBe('absent')
      expect(read.value('LABEL')).toBe('')
    }
    // SoftHSM 2.6 fails with CKR_GENERAL_ERROR on a date that is set on a private object.
    const key = generate({ PRIVATE: true, START_DATE: '2026-01-02', LABEL: 'dated' })
    const read = cryptoki.getAttributes(session, key, ['START_DATE', 'LABEL'])
    expect(read.value('LABEL')).toBe('dated')
    expect(read.get('START_DATE')).toEqual({ status: 'failed', ckr: 5, rv: 'CKR_GENERAL_ERROR' })
  })

  it('row 15: array attributes are set, read back and enforced', () => {
    const policy = { SENSITIVE: true, EXTRACTABLE: false }
    const kek = generate({
      UNWRAP_TEMPLATE: policy,
      WRAP_TEMPLATE: { KEY_TYPE: CKK.AES },
      ALLOWED_MECHANISMS: [CKM.AES_KEY_WRAP],
    })
    const read = cryptoki.getAttributes(session, kek, [
      'UNWRAP_TEMPLATE',
      'WRAP_TEMPLATE',
      'ALLOWED_MECHANISMS',
    ])
    expect(read.value('UNWRAP_TEMPLATE')).toEqual(policy)
    expect(read.value('WRAP_TEMPLATE')).toEqual({ KEY_TYPE: CKK.AES })
    expect(read.value('ALLOWED_MECHANISMS')).toEqual([CKM.AES_KEY_WRAP])
    const how = mechanism(CKM.AES_KEY_WRAP)
    const wrapped = cryptoki.wrapKey(session, how, kek, generate())
    const unwrap = (changes: Template) =>
      cryptoki.unwrapKey(session, how, kek, wrapped, knownAes(undefined, changes))
    expect(thrownBy(() => unwrap({})).rv).toBe('CKR_TEMPLATE_INCONSISTENT')
    expect(thrownBy(() => unwrap({ SENSITIVE: false })).rv).toBe('CKR_TEMPLATE_INCONSISTENT')
    const back = unwrap(policy)
    expect(cryptoki.getAttributes(session, back, ['EXTRACTABLE']).value('EXTRACTABLE')).toBe(false)
    const aesEcb = mechanism(CKM.AES_ECB)
    expect(thrownBy(() => cryptoki.encrypt(session, aesEcb, kek, new Uint8Array(16))).rv).toBe(
      'CKR_MECHANISM_INVALID',
    )
  })

  it('row 23: templates of the caller are neither changed nor extended', () => {
    const template = Object.freeze(aes({ PRIVATE: false, ID: Uint8Array.of(1, 2, 3) }))
    const copy = structuredClone(template)
    const key = cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), template)
    expect(template).toEqual(copy)
    expect(cryptoki.getAttributes(session, key, ['PRIVATE']).value('PRIVATE')).toBe(false)
  })
})

describe('asynchronous forms', () => {
  it('rows 2, 3: no source uses a callback or Async form of pkcs11js', () => {
    expect(sources.length).toBeGreaterThan(15)
    for (const { name, text } of sources) {
      expect(text.match(/\bC_\w+(?:Callback|Async)\b/g), name).toBeNull()
    }
  })

  it('row 2: data is right while the garbage collector runs', () => {
    const key = new Uint8Array(randomBytes(32))
    const handle = cryptoki.createObject(session, knownAes(key))
    const data = new Uint8Array(randomBytes(1 << 20))
    const expected = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(data)
    for (let round = 0; round < 8; round++) {
      const sealed = cryptoki.encrypt(session, mechanism(CKM.AES_ECB), handle, data.slice())
      gc()
      expect(Buffer.compare(sealed, expected)).toBe(0)
    }
  })

  it('row 3: key generation leaks neither mechanism nor template', () => {
    const ID = new Uint8Array(64 * 1024)
    const round = () => cryptoki.destroyObject(session, generate({ ID }))
    for (let at = 0; at < 100; at++) round()
    gc()
    const before = process.memoryUsage().rss
    for (let at = 0; at < 1000; at++) round()
    gc()
    // One leaked template per call would be 64 MiB.
    expect(process.memoryUsage().rss - before).toBeLessThan(32 << 20)
  })

  it('row 22: nothing waits for slot events', () => {
    for (const { name, text } of sources) expect(text, name).not.toContain('C_WaitForSlotEvent')
    expect(moduleCalls(cryptoki)).not.toHaveProperty('C_WaitForSlotEvent')
  })
})

describe('life of a module', () => {
  it('row 5: sessions and login survive garbage collection', () => {
    for (let round = 0; round < 5; round++) {
      openCryptoki({ path: hsm.module })
      gc()
    }
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
  })

  it('row 6: wrong files are refused with a reason', () => {
    const text = join(dir, 'text.so')
    writeFileSync(text, 'not a library')
    const truncated = join(dir, 'truncated.so')
    writeFileSync(truncated, Buffer.from('7f454c46020101', 'hex'))
    const elf32 = join(dir, 'elf32.so')
    const header = readFileSync(hsm.module).subarray(0, 64)
    header[4] = 1
    writeFileSync(elf32, header)
    const machine = join(dir, 'machine.so')
    const other = readFileSync(hsm.module).subarray(0, 64)
    other.writeUInt16LE(0x15, 18)
    writeFileSync(machine, other)
    const half = join(dir, 'half.so')
    writeFileSync(half, readFileSync(hsm.module).subarray(0, 4096))
    const loop = join(dir, 'loop.so')
    symlinkSync(loop, loop)
    mkdirSync(join(dir, 'folder.so'))
    const cases: [string, string, RegExp][] = [
      [join(dir, 'missing.so'), 'MODULE_NOT_FOUND', /ENOENT/],
      [loop, 'MODULE_NOT_FOUND', /ELOOP/],
      [join(dir, 'folder.so'), 'MODULE_INVALID', /directory/],
      [text, 'MODULE_INVALID', /another kind of file/],
      [truncated, 'MODULE_INVALID', /truncated/],
      [elf32, 'MODULE_INVALID', /word size/],
      [machine, 'MODULE_INVALID', /machine 21/],
      [half, 'MODULE_INVALID', /.+/],
      [faultyModule(dir, 'NO_ENTRY'), 'MODULE_INVALID', /C_GetFunctionList/],
      [faultyModule(dir, 'NO_LIST'), 'MODULE_INVALID', /0x6/],
      [faultyModule(dir, 'BAD_VERSION'), 'MODULE_INVALID', /version 99/],
      [process.execPath, 'MODULE_INVALID', /.+/],
    ]
    for (const [path, code, got] of cases) {
      const error = thrownBy(() => openCryptoki({ path }))
      expect(error.code, path).toBe(code)
      expect(error.got, path).toMatch(got)
      expect(error.hint, path).toBeTruthy()
      expect(error.where, path).toBe(path)
    }
    for (const path of ['', 'relative.so', '/etc/\0passwd', 7, undefined]) {
      expect(thrownBy(() => openCryptoki({ path: path as never })).code).toBe('ARGUMENT_INVALID')
    }
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
  })

  it('row 6: a NULL entry of the function list is an error, not a crash', () => {
    const faulty = openCryptoki({ path: faultyModule(dir) })
    expect(thrownBy(() => faulty.info()).rv).toBe('CKR_FUNCTION_NOT_SUPPORTED')
    expect(thrownBy(() => faulty.slots(true)).rv).toBe('CKR_FUNCTION_NOT_SUPPORTED')
    faulty.close()
  })

  it('rows 18, 19: C_Initialize gets CKF_OS_LOCKING_OK and the whole parameter string', () => {
    const log = join(dir, 'initialize.log')
    const libraryParameters = `log=${log}`
    const faulty = openCryptoki({ path: faultyModule(dir), libraryParameters })
    expect(logged(log)).toEqual([`C_Initialize flags=2 parameters=[${libraryParameters}]`])
    expect(
      thrownBy(() => openCryptoki({ path: faultyModule(dir), libraryParameters: 'other' })).code,
    ).toBe('ARGUMENT_INVALID')
    faulty.close()
    expect(logged(log).at(-1)).toBe('C_Finalize')
    for (const wrong of ['', 'a\0b', 5]) {
      const call = () =>
        openCryptoki({ path: faultyModule(dir), libraryParameters: wrong as never })
      expect(thrownBy(call).code).toBe('ARGUMENT_INVALID')
    }
  })

  it('row 19: NSS reads its parameters to the last character', () => {
    const nss = nssModule()
    const other = openCryptoki({
      path: nss.module,
      libraryParameters: nss.libraryParameters.trim(),
    })
    expect(slotOf(other, 'NSS Certificate DB')).toBe(2)
    other.close()
    nss.cleanup()
  })
})

describe('arguments', () => {
  it('row 7: searches are bounded, and take 1024 handles per call (row 23)', () => {
    for (const max of [0, -1, 1e9, 2 ** 32 - 1, NaN, 1.5, '10']) {
      expect(thrownBy(() => cryptoki.findObjects(session, {}, max as never)).code).toBe(
        'ARGUMENT_INVALID',
      )
    }
    const LABEL = 'many'
    for (let at = 0; at < 1100; at++) {
      cryptoki.createObject(session, { CLASS: CKO.DATA, TOKEN: false, PRIVATE: false, LABEL })
    }
    const before = moduleCalls(cryptoki)['C_FindObjects'] ?? 0
    expect(cryptoki.findObjects(session, { LABEL }).length).toBe(1100)
    expect(moduleCalls(cryptoki)['C_FindObjects']).toBe(before + 3)
    expect(cryptoki.findObjects(session, { LABEL }, 5).length).toBe(5)
    expect(cryptoki.findObjects(session, { LABEL: 'nothing' })).toEqual([])
  })

  it('rows 8, 9: a short label is padded with spaces, initToken returns normally', () => {
    const log = join(dir, 'label.log')
    const faulty = openCryptoki({ path: faultyModule(dir), libraryParameters: `log=${log}` })
    faulty.initToken(7, 'ab', Uint8Array.of(1, 2, 3, 4))
    faulty.initToken(7, 'Schlüssel', null)
    expect(logged(log).slice(1)).toEqual([
      `C_InitToken pin=bytes/4 label=[ab${' '.repeat(30)}]`,
      `C_InitToken pin=NULL/0 label=[Schlüssel${' '.repeat(22)}]`,
    ])
    faulty.close()
    for (const label of ['', 'x'.repeat(33), 'ü'.repeat(17), 'a\0b', 'a\nb', 5, undefined]) {
      expect(thrownBy(() => cryptoki.initToken(0, label as never, null)).code).toBe(
        'ARGUMENT_INVALID',
      )
    }
  })

  it('rows 8, 9: on SoftHSM the new token carries exactly the label', () => {
    const blank = cryptoki
      .slots(true)
      .find((slot) => (cryptoki.tokenInfo(slot).flags & 0x400) === 0)!
    cryptoki.initToken(blank, 'ab', new Uint8Array(Buffer.from('so-pin-1')))
    expect(cryptoki.tokenInfo(blank).label).toBe('ab')
    const raw = readdirSync(join(hsm.dir, 'tokens')).map((name) =>
      readFileSync(join(hsm.dir, 'tokens', name, 'token.object')).toString('latin1'),
    )
    expect(raw.some((bytes) => bytes.includes(`ab${' '.repeat(30)}`))).toBe(true)
  })

  it('row 10: PINs are bytes or null, never text, never empty', () => {
    const before = moduleCalls(cryptoki)
    const pins = ['1234', '', undefined, 1234, new Uint8Array(), new Uint8Array(256), [1, 2], {}]
    for (const pin of pins as never[]) {
      for (const call of [
        () => cryptoki.login(session, 'user', pin),
        () => cryptoki.initPin(session, pin),
        () => cryptoki.setPin(session, pin, new Uint8Array(4)),
        () => cryptoki.setPin(session, new Uint8Array(4), pin),
        () => cryptoki.initToken(0, 'label', pin),
      ]) {
        const error = thrownBy(call)
        expect(error.code).toBe('ARGUMENT_INVALID')
        expect(JSON.stringify(error)).not.toContain('1234')
      }
    }
    for (const user of ['root', 3, 2 ** 32, null, undefined]) {
      expect(() => cryptoki.login(session, user as never, null)).toThrow(TokenError)
    }
    expect(moduleCalls(cryptoki)).toEqual(before)
  })

  it('row 10: null reaches the module as NULL, for PIN pads', () => {
    const log = join(dir, 'pin.log')
    const faulty = openCryptoki({ path: faultyModule(dir), libraryParameters: `log=${log}` })
    const other = faulty.openSession(1, { readWrite: true })
    faulty.login(other, 'user', null)
    faulty.login(other, 'so', Uint8Array.of(1))
    faulty.login(other, 0x80000001, null)
    faulty.initPin(other, null)
    faulty.setPin(other, null, null)
    expect(logged(log).slice(1)).toEqual([
      'C_Login user=1 pin=NULL/0',
      'C_Login user=0 pin=bytes/1',
      'C_Login user=2147483649 pin=NULL/0',
      'C_InitPIN pin=NULL/0',
      'C_SetPIN old=NULL/0 new=NULL/0',
    ])
    faulty.close()
  })

  it('wrong handles, slots and data are refused before the module', () => {
    const before = moduleCalls(cryptoki)
    const how = mechanism(CKM.AES_ECB)
    const key = 1n as ObjectHandle
    for (const wrong of [1, '1', null, undefined, Buffer.alloc(8), -1n, 2n ** 64n] as never[]) {
      const calls: (() => unknown)[] = [
        () => cryptoki.closeSession(wrong),
        () => cryptoki.sessionInfo(wrong),
        () => cryptoki.login(wrong, 'user', new Uint8Array(4)),
        () => cryptoki.logout(wrong),
        () => cryptoki.findObjects(wrong, {}),
        () => cryptoki.getAttributes(session, wrong, ['LABEL']),
        () => cryptoki.setAttributes(session, wrong, {}),
        () => cryptoki.createObject(wrong, {}),
        () => cryptoki.copyObject(session, wrong, {}),
        () => cryptoki.destroyObject(session, wrong),
        () => cryptoki.generateKey(wrong, how, {}),
        () => cryptoki.generateKeyPair(wrong, how, {}, {}),
        () => cryptoki.wrapKey(session, how, key, wrong),
        () => cryptoki.unwrapKey(session, how, wrong, new Uint8Array(8), {}),
        () => cryptoki.deriveKey(session, how, wrong, {}),
        () => cryptoki.encrypt(session, how, wrong, new Uint8Array(16)),
        () => cryptoki.decrypt(wrong, how, key, new Uint8Array(16)),
        () => cryptoki.sign(session, how, wrong, new Uint8Array(16)),
        () => cryptoki.verify(wrong, how, key, new Uint8Array(1), new Uint8Array(1)),
        () => cryptoki.encryptUpdate(wrong, new Uint8Array(16)),
        () => cryptoki.encryptFinal(wrong),
        () => cryptoki.generateRandom(wrong, 16),
      ]
      for (const call of calls) expect(call, String(call)).toThrow(TokenError)
    }
    for (const wrong of [-1, 1.5, NaN, '0', 0n, null, 2 ** 60] as never[]) {
      for (const call of [
        () => cryptoki.slotInfo(wrong),
        () => cryptoki.tokenInfo(wrong),
        () => cryptoki.mechanismList(wrong),
        () => cryptoki.openSession(wrong, { readWrite: false }),
        () => cryptoki.initToken(wrong, 'label', null),
        () => cryptoki.generateRandom(session, wrong),
      ]) {
        expect(call, String(call)).toThrow(TokenError)
      }
    }
    for (const wrong of ['x', null, undefined, new Uint16Array(8), new ArrayBuffer(8)] as never[]) {
      expect(() => cryptoki.encrypt(session, how, key, wrong)).toThrow(TokenError)
      expect(() => cryptoki.sign(session, how, key, wrong)).toThrow(TokenError)
      expect(() => cryptoki.unwrapKey(session, how, key, wrong, {})).toThrow(TokenError)
    }
    expect(() => cryptoki.getAttributes(session, key, ['NO_SUCH' as never])).toThrow(TokenError)
    expect(moduleCalls(cryptoki)).toEqual(before)
  })
})

describe('errors', () => {
  it('row 11: every function throws the same class with the number', () => {
    const none = 999n as ObjectHandle
    const noSession = 999n as SessionHandle
    const cases: [() => unknown, string, string][] = [
      [
        () => cryptoki.findObjects(noSession, {}),
        'C_FindObjectsInit',
        'CKR_SESSION_HANDLE_INVALID',
      ],
      [() => cryptoki.createObject(session, {}), 'C_CreateObject', 'CKR_TEMPLATE_INCOMPLETE'],
      [
        () => cryptoki.setAttributes(session, none, { LABEL: 'x' }),
        'C_SetAttributeValue',
        'CKR_OBJECT_HANDLE_INVALID',
      ],
      [() => cryptoki.copyObject(session, none, {}), 'C_CopyObject', 'CKR_OBJECT_HANDLE_INVALID'],
      [() => cryptoki.destroyObject(session, none), 'C_DestroyObject', 'CKR_OBJECT_HANDLE_INVALID'],
      [
        () => cryptoki.getAttributes(session, none, ['LABEL']),
        'C_GetAttributeValue',
        'CKR_OBJECT_HANDLE_INVALID',
      ],
      [() => cryptoki.closeSession(noSession), 'C_CloseSession', 'CKR_SESSION_HANDLE_INVALID'],
      [
        () => cryptoki.encryptUpdate(session, new Uint8Array(16)),
        'C_EncryptUpdate',
        'CKR_OPERATION_NOT_INITIALIZED',
      ],
      [
        () => cryptoki.login(session, 'user', new Uint8Array(8)),
        'C_Login',
        'CKR_USER_ALREADY_LOGGED_IN',
      ],
      [() => cryptoki.tokenInfo(4711), 'C_GetTokenInfo', 'CKR_SLOT_ID_INVALID'],
      [() => generate({ VALUE_LEN: 7 }), 'C_GenerateKey', 'CKR_ATTRIBUTE_VALUE_INVALID'],
    ]
    for (const [call, fn, rv] of cases) {
      const error = thrownBy(call)
      expect(error, fn).toBeInstanceOf(Pkcs11Error)
      expect([error.fn, error.rv]).toEqual([fn, rv])
    }
  })

  it('row 12: CKR_ACTION_PROHIBITED has its name, a return value of all ones a reload', () => {
    const key = generate({ TOKEN: true, MODIFIABLE: false, LABEL: 'fixed' })
    const error = thrownBy(() => cryptoki.setAttributes(session, key, { LABEL: 'other' }))
    expect(error).toMatchObject({ rv: 'CKR_ACTION_PROHIBITED', ckr: 0x1b, category: 'policy' })
    cryptoki.destroyObject(session, key)
    const faulty = openCryptoki({ path: faultyModule(dir) })
    const other = faulty.openSession(1, { readWrite: true })
    expect(thrownBy(() => faulty.logout(other))).toMatchObject({ ckr: -1, retry: 'reload' })
    faulty.close()
  })

  it('row 21: a stuck operation is cleared by a new session', () => {
    const key = generate()
    const stuck = cryptoki.openSession(slotOf(cryptoki, 'vault'), { readWrite: true })
    cryptoki.encryptInit(stuck, mechanism(CKM.AES_ECB), key)
    const error = thrownBy(() => cryptoki.encryptInit(stuck, mechanism(CKM.AES_ECB), key))
    expect(error).toMatchObject({ rv: 'CKR_OPERATION_ACTIVE', retry: 'session' })
    cryptoki.closeSession(stuck)
    const fresh = cryptoki.openSession(slotOf(cryptoki, 'vault'), { readWrite: true })
    cryptoki.encryptInit(fresh, mechanism(CKM.AES_ECB), key)
    expect(cryptoki.encryptUpdate(fresh, new Uint8Array(32)).length).toBe(32)
    expect(cryptoki.encryptFinal(fresh).length).toBe(0)
    cryptoki.closeSession(fresh)
  })

  it('row 17: wrong GCM tags are an error, not a result', () => {
    const key = generate()
    const how = aesGcm({ iv: new Uint8Array(randomBytes(12)), aad: new Uint8Array() })
    const sealed = cryptoki.encrypt(session, how, key, new Uint8Array(20))
    sealed[3]! ^= 1
    const error = thrownBy(() => cryptoki.decrypt(session, how, key, sealed))
    expect(error).toMatchObject({ fn: 'C_Decrypt', retry: 'never' })
  })
})

describe('row 9, 23: graphene', () => {
  it('is imported by the adapter only', () => {
    const users = sources.filter(({ text }) => /from 'graphene-pk11'|require\('graphene/.test(text))
    expect(users.map(({ name }) => name)).toEqual([])
  })
})

describe('what the guards are for', () => {
  it('rows 1, 7: raw pkcs11js dies on such input (in a child)', () => {
    const pkcs11js = createRequire(import.meta.url).resolve('pkcs11js')
    const script = `
      const { PKCS11 } = require(${JSON.stringify(pkcs11js)})
      const lib = new PKCS11()
      lib.load(${JSON.stringify(hsm.module)})
      lib.C_Initialize({ flags: 2 })
      const session = lib.C_OpenSession(lib.C_GetSlotList(true)[0], 6)
      lib.C_FindObjectsInit(session, [])
      lib.C_FindObjects(session, 0xffffffff)`
    expect(() => execFileSync(process.execPath, ['-e', script], { stdio: 'pipe' })).toThrow(
      expect.objectContaining({ signal: 'SIGABRT' }),
    )
  })
})
