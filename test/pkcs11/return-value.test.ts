import { describe, expect, it } from 'vitest'

import { Pkcs11Error } from '../../src/errors.ts'
import { CKR } from '../../src/pkcs11/constants-ckr.ts'
import {
  assertOk,
  classify,
  isReturnValue,
  pkcs11Error,
  returnValueName,
  returnValueOf,
} from '../../src/pkcs11/return-value.ts'

describe('return values', () => {
  it('are all classified, and only the recovery triggers lead to recovery', () => {
    const unknown = { category: 'device', retry: 'operator' }
    const unclassified = Object.entries(CKR)
      .filter(([name]) => !['OK', 'FIPS_SELF_TEST_FAILED', 'SEED_RANDOM_REQUIRED'].includes(name))
      .filter(([, ckr]) => JSON.stringify(classify(ckr)) === JSON.stringify(unknown))
    expect(unclassified).toEqual([])
    const ladder = Object.entries(CKR)
      .filter(([, ckr]) => ['relogin', 'reinit', 'reload'].includes(classify(ckr).retry))
      .map(([name]) => name)
    expect(ladder.sort()).toEqual([
      'CRYPTOKI_NOT_INITIALIZED',
      'DEVICE_ERROR',
      'DEVICE_REMOVED',
      'LIBRARY_LOAD_FAILED',
      'TOKEN_NOT_PRESENT',
      'USER_NOT_LOGGED_IN',
    ])
  })

  it('are named by number, also where pkcs11js says CKR_VENDOR_DEFINED (row 12)', () => {
    expect(returnValueName(0x1b)).toBe('CKR_ACTION_PROHIBITED')
    expect(returnValueName(0x201)).toBe('CKR_TOKEN_RESOURCE_EXCEEDED')
    expect(returnValueName(0x80000001)).toBe('CKR_0x80000001')
    expect(classify(0x80000001)).toEqual({ category: 'device', retry: 'operator' })
    expect(classify(0x1b)).toEqual({ category: 'policy', retry: 'never' })
  })

  it('name all bits set and call for a reload (row 12)', () => {
    for (const error of [
      new Error('CKR_VENDOR_DEFINED:18446744073709551615'),
      Object.assign(new Error('CKR_VENDOR_DEFINED'), { code: 18446744073709552000 }),
    ]) {
      const ckr = returnValueOf(error)
      expect(ckr).toBe(-1)
      expect(returnValueName(ckr!)).toBe('CKR_0xffffffffffffffff')
      expect(classify(ckr!)).toEqual({ category: 'device', retry: 'reload' })
    }
  })

  it('are found in every exception shape of pkcs11js (row 11)', () => {
    expect(returnValueOf(new Error('CKR_SESSION_HANDLE_INVALID:179'))).toBe(0xb3)
    expect(
      returnValueOf(Object.assign(new Error('CKR_PIN_INCORRECT'), { code: 160, method: '' })),
    ).toBe(0xa0)
    expect(returnValueOf(Object.assign(new Error('something else'), { code: 0 }))).toBeUndefined()
    expect(returnValueOf(Object.assign(new Error('ENOENT'), { code: 'ENOENT' }))).toBeUndefined()
    expect(returnValueOf(new TypeError('Argument 1 has wrong type'))).toBeUndefined()
    expect(returnValueOf('CKR_PIN_INCORRECT:160')).toBeUndefined()
    expect(returnValueOf(undefined)).toBeUndefined()
  })

  it('become one error class', () => {
    const error = pkcs11Error('C_Login', CKR.PIN_LOCKED)
    expect(error).toBeInstanceOf(Pkcs11Error)
    expect(error.toJSON()).toEqual({
      name: 'Pkcs11Error',
      code: 'PKCS11',
      message: 'C_Login failed: CKR_PIN_LOCKED',
    })
    expect(error).toMatchObject({ ckr: 0xa4, rv: 'CKR_PIN_LOCKED', fn: 'C_Login' })
    expect(error).toMatchObject({ category: 'auth-locked', retry: 'operator' })
    expect(isReturnValue(error, 'PIN_INCORRECT', 'PIN_LOCKED')).toBe(true)
    expect(isReturnValue(error, 'PIN_INCORRECT')).toBe(false)
    expect(isReturnValue(new Error('CKR_PIN_LOCKED'), 'PIN_LOCKED')).toBe(false)
    expect(() => assertOk('C_Login', CKR.OK)).not.toThrow()
    expect(() => assertOk('C_Login', CKR.PIN_LOCKED)).toThrow(Pkcs11Error)
  })
})
