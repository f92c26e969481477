import { createRequire } from 'node:module'

import { describe, expect, it } from 'vitest'

import { ATTRIBUTE_KINDS } from '../../src/pkcs11/attribute-kinds.ts'
import { attributeTypeName, CKA } from '../../src/pkcs11/constants-cka.ts'
import { CKM, CKM_VENDOR, mechanismName, mechanismNumber } from '../../src/pkcs11/constants-ckm.ts'
import { CKR } from '../../src/pkcs11/constants-ckr.ts'
import {
  CKC,
  CKD,
  CKF_INITIALIZE,
  CKF_MECHANISM,
  CKF_SESSION,
  CKF_SLOT,
  CKF_TOKEN,
  CKG,
  CKK,
  CKO,
  CKU,
  flagNames,
} from '../../src/pkcs11/constants.ts'

const require = createRequire(import.meta.url)
const pkcs11js = require('pkcs11js') as Record<string, unknown>
const graphene = require('graphene-pk11') as { MechanismEnum: Record<string, number | string> }

/** Constants of pkcs11js with a prefix. */
const theirs = (prefix: string): [string, number][] =>
  Object.entries(pkcs11js)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .filter(([name]) => name.startsWith(`${prefix}_`) && !name.endsWith('_VENDOR_DEFINED'))
    .map(([name, value]) => [name.slice(prefix.length + 1), value >>> 0])

/** `unknown`: names of pkcs11js that keyrite's table leaves out on purpose. */
const TABLES: Record<string, { ours: Readonly<Record<string, number>>; unknown: string[] }> = {
  CKA: { ours: CKA, unknown: [] },
  CKC: { ours: CKC, unknown: [] },
  CKD: { ours: CKD, unknown: [] },
  CKG: { ours: CKG, unknown: [] },
  CKK: { ours: CKK, unknown: [] },
  CKM: { ours: CKM, unknown: [] },
  CKO: { ours: CKO, unknown: [] },
  CKR: { ours: CKR, unknown: [] },
  CKU: { ours: CKU, unknown: [] },
  CKF: {
    ours: { ...CKF_SLOT, ...CKF_TOKEN, ...CKF_SESSION, ...CKF_MECHANISM, ...CKF_INITIALIZE },
    // A bit of attribute types, not a flag of any structure.
    unknown: ['ARRAY_ATTRIBUTE'],
  },
}

describe('constants', () => {
  it.each(Object.keys(TABLES))('%s agree with pkcs11js by name or alias', (prefix) => {
    const { ours, unknown } = TABLES[prefix]!
    const values = new Set(Object.values(ours))
    const pairs = theirs(prefix)
    const wrong = pairs.filter(([name, value]) =>
      Object.hasOwn(ours, name) ? ours[name] !== value : !values.has(value),
    )
    expect(wrong.map(([name]) => name).sort()).toEqual(unknown)
    const same = pairs.filter(([name, value]) => ours[name] === value)
    expect(same.length).toBeGreaterThan(pairs.length * 0.8)
  })

  it('mechanisms agree with graphene', () => {
    const wrong = Object.entries(graphene.MechanismEnum)
      .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
      .filter(([name]) => name !== 'VENDOR_DEFINED')
      .filter(([, value]) => mechanismName(value >>> 0).startsWith('CKM_0x'))
    // GOST numbers graphene took from TC 26; not in the OASIS standard.
    expect(wrong.filter(([name]) => !name.includes('GOST'))).toEqual([])
  })

  it('hold what both packages lack (row 12)', () => {
    expect(CKR.ACTION_PROHIBITED).toBe(0x1b)
    expect(CKR.AEAD_DECRYPT_FAILED).toBe(0x42)
    expect(CKR.CURVE_NOT_SUPPORTED).toBe(0x140)
    expect(CKR.TOKEN_RESOURCE_EXCEEDED).toBe(0x201)
    expect(CKR.OPERATION_CANCEL_FAILED).toBe(0x202)
    expect(CKM.AES_KEY_WRAP_KWP).toBe(0x210b)
    expect(CKM.EDDSA).toBe(0x1057)
    expect(CKA.UNIQUE_ID).toBe(4)
  })

  it('give one number one name within a table', () => {
    for (const { ours } of Object.values(TABLES)) {
      if (ours === TABLES['CKF']!.ours) continue
      expect(new Set(Object.values(ours)).size).toBe(Object.keys(ours).length)
    }
  })

  it('name mechanisms both ways', () => {
    expect(mechanismName(0x1087)).toBe('CKM_AES_GCM')
    expect(mechanismName(0x80000171)).toBe('CKM_THALES_AES_KWP')
    expect(mechanismName(0xdeadbeef)).toBe('CKM_0xdeadbeef')
    expect(mechanismNumber('CKM_AES_GCM')).toBe(0x1087)
    expect(mechanismNumber('AES_KEY_WRAP_KWP')).toBe(0x210b)
    expect(mechanismNumber('CKM_0x210b')).toBe(0x210b)
    expect(mechanismNumber('CKM_NO_SUCH')).toBeUndefined()
    expect(mechanismNumber('toString')).toBeUndefined()
    for (const [name, value] of [...Object.entries(CKM), ...Object.entries(CKM_VENDOR)]) {
      expect(mechanismNumber(mechanismName(value))).toBe(value)
      expect(mechanismNumber(`CKM_${name}`)).toBe(value)
    }
  })

  it('name attributes and flags', () => {
    expect(attributeTypeName(0x40000212)).toBe('CKA_UNWRAP_TEMPLATE')
    expect(attributeTypeName(0x80000001)).toBe('CKA_0x80000001')
    expect(flagNames(CKF_TOKEN, 0x40d)).toEqual([
      'RNG',
      'LOGIN_REQUIRED',
      'USER_PIN_INITIALIZED',
      'TOKEN_INITIALIZED',
    ])
    expect(flagNames(CKF_MECHANISM, 0x8000_0000)).toEqual(['EXTENSION'])
  })

  it('have a number for every attribute with a kind', () => {
    const missing = Object.keys(ATTRIBUTE_KINDS).filter((name) => !Object.hasOwn(CKA, name))
    expect(missing).toEqual([])
  })
})
