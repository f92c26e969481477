/** The template table itself: nothing implicit, nothing loose, a reason for everything. */
import { describe, expect, test } from 'vitest'

import { describeTemplate, pairTemplates, secretTemplate } from '../../src/pkcs11/index.ts'
import type { TemplateAttribute } from '../../src/pkcs11/index.ts'
import { toTemplate, UNWRAP_TEMPLATE } from '../../src/pkcs11/template.ts'

const LOCKED = { form: 'locked', onToken: true, kwpMechanism: 0x210b } as const
const BIRTH = { ...LOCKED, form: 'birth' } as const
const SECRET = ['fpe', 'kek', 'kek-outer', 'embedding-seed'] as const
const PAIR = ['log-signer', 'approval'] as const

const value = (attributes: readonly TemplateAttribute[], name: string) =>
  attributes.find((attribute) => attribute.name === name)?.value

describe.each(SECRET)('%s', (role) => {
  test('locked: protected, and every usage flag is said', () => {
    const locked = secretTemplate(role, LOCKED)
    const template = toTemplate(locked)
    expect(template).toMatchObject({
      TOKEN: true,
      PRIVATE: true,
      SENSITIVE: true,
      EXTRACTABLE: false,
      MODIFIABLE: false,
      COPYABLE: false,
      DESTROYABLE: true,
      DERIVE: false,
      SIGN: role === 'embedding-seed',
      VERIFY: false,
    })
    for (const usage of ['ENCRYPT', 'DECRYPT', 'WRAP', 'UNWRAP']) {
      expect(typeof value(locked, usage)).toBe('boolean')
    }
    // WRAP with DECRYPT would let the host undo its own wraps.
    expect(value(locked, 'WRAP') === true && value(locked, 'DECRYPT') === true).toBe(false)
    expect(value(locked, 'ALLOWED_MECHANISMS')).toHaveLength(1)
  })

  test('birth: differs from locked in what lets it leave and be locked, and in nothing else', () => {
    const locked = toTemplate(secretTemplate(role, LOCKED))
    const birth = toTemplate(secretTemplate(role, BIRTH))
    expect(birth).toEqual({ ...locked, EXTRACTABLE: true, MODIFIABLE: true, COPYABLE: true })
  })

  test('what protects the key is never waived', () => {
    const waivable = secretTemplate(role, LOCKED).filter((attribute) => attribute.waivable)
    const names = waivable.map(({ name }) => name)
    const may = ['ALLOWED_MECHANISMS', 'UNWRAP_TEMPLATE', 'COPYABLE', 'DESTROYABLE']
    for (const name of names) expect(may).toContain(name)
  })
})

test('kek: wraps and unwraps by the probed mechanism, into protected keys only', () => {
  const kek = secretTemplate('kek', LOCKED)
  expect(value(kek, 'ALLOWED_MECHANISMS')).toEqual([0x210b])
  expect(value(kek, 'UNWRAP_TEMPLATE')).toEqual(UNWRAP_TEMPLATE)
  expect(UNWRAP_TEMPLATE).toEqual({
    PRIVATE: true,
    SENSITIVE: true,
    EXTRACTABLE: false,
    COPYABLE: false,
    MODIFIABLE: false,
  })
  expect(() => secretTemplate('kek', { form: 'locked', onToken: true })).toThrow(
    expect.objectContaining({ code: 'MECHANISM_UNAVAILABLE' }),
  )
})

test('every key that is unwrapped restates what a kek demands', () => {
  for (const role of SECRET) {
    expect(toTemplate(secretTemplate(role, LOCKED))).toMatchObject(UNWRAP_TEMPLATE)
  }
})

describe.each(PAIR)('%s', (role) => {
  test.each([
    ['ed25519', 0x1057],
    ['ecdsa-p256-sha256', 0x1041],
  ] as const)('%s: the private key signs and does nothing else', (signature, mechanism) => {
    const { privateKey, publicKey } = pairTemplates(role, { ...LOCKED, signature })
    expect(toTemplate(privateKey)).toEqual({
      TOKEN: true,
      PRIVATE: true,
      SENSITIVE: true,
      EXTRACTABLE: false,
      SIGN: true,
      DECRYPT: false,
      SIGN_RECOVER: false,
      UNWRAP: false,
      DERIVE: false,
      ALLOWED_MECHANISMS: [mechanism],
      COPYABLE: false,
      DESTROYABLE: true,
      MODIFIABLE: false,
    })
    expect(toTemplate(publicKey)).toMatchObject({ PRIVATE: false, VERIFY: true, MODIFIABLE: false })
  })
})

test('MODIFIABLE comes last: SoftHSM refuses what follows MODIFIABLE=false in an unwrap', () => {
  const all = [
    ...SECRET.flatMap((role) => [secretTemplate(role, LOCKED), secretTemplate(role, BIRTH)]),
    ...PAIR.map((role) => pairTemplates(role, LOCKED).privateKey),
  ]
  for (const attributes of all)
    expect(Object.keys(toTemplate(attributes)).at(-1)).toBe('MODIFIABLE')
})

test('as printed: names with CKA_, values in words, a reason on every line', () => {
  const lines = describeTemplate(secretTemplate('kek', LOCKED))
  for (const { attribute, reason } of lines) {
    expect(attribute).toMatch(/^CKA_[A-Z_]+$/)
    expect(reason.length).toBeGreaterThan(10)
  }
  expect(lines.find(({ attribute }) => attribute === 'CKA_ALLOWED_MECHANISMS')).toMatchObject({
    value: 'CKM_AES_KEY_WRAP_KWP',
    waivable: true,
  })
  expect(lines.find(({ attribute }) => attribute === 'CKA_UNWRAP_TEMPLATE')?.value).toBe(
    '{ CKA_PRIVATE=true, CKA_SENSITIVE=true, CKA_EXTRACTABLE=false, CKA_COPYABLE=false, CKA_MODIFIABLE=false }',
  )
})
