/**
 * Read-back, tighten, or destroy. SoftHSM honours templates, so the faults of modules that do not
 * (opencryptoki's unwrap, NSS's flags) are put in front of a real SoftHSM: the port is real, one call lies.
 */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { AttributeName, Template } from '../../src/pkcs11/attribute.ts'
import type { Place } from '../../src/pkcs11/connection.ts'
import { create } from '../../src/pkcs11/create.ts'
import type { Cryptoki, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { secretAttributes } from '../../src/pkcs11/generate.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { contradiction } from '../../src/pkcs11/read-back.ts'
import { pkcs11Error } from '../../src/pkcs11/return-value.ts'
import { secretIdentity } from '../../src/pkcs11/template.ts'
import { softHsm } from '../tokens.ts'
import type { SoftHsm } from '../tokens.ts'

const AES_KEY_GEN = 0x1080
const ATTRIBUTE_TYPE_INVALID = 0x12
const DEVICE_ERROR = 0x30

let softhsm: SoftHsm
let real: Cryptoki
let session: SessionHandle
let slotId: number

beforeAll(() => {
  softhsm = softHsm()
  const { vault } = softhsm.tokens('vault')
  real = openCryptoki({ path: softhsm.module })
  slotId = real.slots(true).find((slot) => real.tokenInfo(slot).label === 'vault')!
  session = real.openSession(slotId, { readWrite: true })
  real.login(session, 'user', vault.userPin())
})
afterAll(() => {
  real.close()
  softhsm.cleanup()
})
beforeEach(() => {
  for (const object of real.findObjects(session, {})) real.destroyObject(session, object)
})

const place = (cryptoki: Cryptoki): Place => ({
  cryptoki,
  session,
  slotId,
  epoch: 1,
  change: (call) => call(),
})

/** A member of the real object, with its own `this`. */
function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name)
  return typeof value === 'function' ? (value.bind(target) as unknown) : value
}

/** The real port with some calls replaced. */
const lying = (lies: Partial<Cryptoki>): Cryptoki =>
  new Proxy(real, {
    get(target, name) {
      const lie: unknown = Reflect.get(lies, name)
      if (lie !== undefined) return lie
      return bound(target, name)
    },
  })

const spec = () => ({ role: 'fpe', label: 'pan', id: new Uint8Array(randomBytes(16)) }) as const

/** Generates an fpe key on a module that makes of templates what `mangle` says. */
function generate(cryptoki: Cryptoki, allowWaivers = true) {
  const wanted = { ...spec(), allowWaivers }
  const where = place(cryptoki)
  return create(where, new Map(), {
    way: 'generate fpe token',
    spec: wanted,
    identity: { ...secretIdentity(wanted), VALUE_LEN: 32 },
    attributes: secretAttributes(where, wanted, undefined),
    make: (template) => [cryptoki.generateKey(session, mechanism(AES_KEY_GEN), template)],
  })
}

const mangled = (change: Template): Cryptoki =>
  lying({
    generateKey: (at, how, template) => real.generateKey(at, how, { ...template, ...change }),
  })

const left = () => real.findObjects(session, {}).length

describe('a module that ignores part of the template', () => {
  test.each([
    ['CKA_EXTRACTABLE', { EXTRACTABLE: true }, 'false', 'true'],
    ['CKA_SENSITIVE', { SENSITIVE: false }, 'true', 'false'],
    ['CKA_MODIFIABLE', { MODIFIABLE: true }, 'false', 'true'],
    ['CKA_DECRYPT', { DECRYPT: true }, 'false', 'true'],
    ['CKA_PRIVATE', { PRIVATE: false }, 'true', 'false'],
    ['CKA_TOKEN', { TOKEN: false }, 'true', 'false'],
  ])('%s that cannot be tightened destroys the key', (name, change, expected, got) => {
    expect(() => generate(mangled(change))).toThrow(
      expect.objectContaining({
        code: 'TEMPLATE_NOT_HONOURED',
        where: `key pan: ${name}`,
        expected,
        got,
      }),
    )
    expect(left()).toBe(0)
  })

  test('an identity that is not the one asked for destroys the key', () => {
    expect(() => generate(mangled({ LABEL: 'other' }))).toThrow(
      expect.objectContaining({ code: 'TEMPLATE_NOT_HONOURED', where: 'key pan: CKA_LABEL' }),
    )
    expect(left()).toBe(0)
  })

  test('what can be tightened is tightened: SENSITIVE, EXTRACTABLE, usage', () => {
    // As opencryptoki unwraps: readable and extractable at first, and willing to be tightened. SoftHSM
    // takes MODIFIABLE=false only at birth, so the port reports the state after it without enforcing it.
    const loose = lying({
      generateKey: (at, how, template) =>
        real.generateKey(at, how, {
          ...template,
          ...{ SENSITIVE: false, EXTRACTABLE: true, DECRYPT: true, MODIFIABLE: true },
        }),
      getAttributes: (at, object, names) => {
        const reads = real.getAttributes(at, object, names)
        const hidden = { status: 'value', value: false } as const
        return new Proxy(reads, {
          get(target, name) {
            if (name === 'get') {
              return (attribute: AttributeName) =>
                attribute === 'MODIFIABLE' ? hidden : target.get(attribute)
            }
            return bound(target, name)
          },
        })
      },
    })
    const { handle, waivers } = generate(loose)
    expect(waivers).toEqual([])
    const after = real.getAttributes(session, handle, ['SENSITIVE', 'EXTRACTABLE', 'DECRYPT'])
    expect(after.value('SENSITIVE')).toBe(true)
    expect(after.value('EXTRACTABLE')).toBe(false)
    expect(after.value('DECRYPT')).toBe(false)
  })

  test('what may be waived is waived on record, or destroys the key when no waiver is allowed', () => {
    const loose = mangled({ COPYABLE: true, ALLOWED_MECHANISMS: [0x1081, 0x1082] })
    expect(generate(loose).waivers).toEqual([
      {
        attribute: 'CKA_ALLOWED_MECHANISMS',
        wanted: 'CKM_AES_ECB',
        got: 'CKM_AES_ECB CKM_AES_CBC',
      },
      { attribute: 'CKA_COPYABLE', wanted: 'false', got: 'true' },
    ])
    expect(left()).toBe(1)
    expect(() => generate(loose, false)).toThrow(
      expect.objectContaining({
        code: 'TEMPLATE_NOT_HONOURED',
        where: 'key pan: CKA_ALLOWED_MECHANISMS',
      }),
    )
    expect(left()).toBe(1)
  })

  test('a key that cannot be destroyed is named', () => {
    const stuck = lying({
      generateKey: (at, how, template) => real.generateKey(at, how, { ...template, DECRYPT: true }),
      destroyObject: () => {
        throw pkcs11Error('C_DestroyObject', 0x1b)
      },
    })
    expect(() => generate(stuck)).toThrow(
      expect.objectContaining({ hint: 'the key is still on the token: remove it by hand' }),
    )
  })

  test('a connection lost in the read-back does not pass for a wrong template', () => {
    const dying = lying({
      getAttributes: () => {
        throw pkcs11Error('C_GetAttributeValue', DEVICE_ERROR)
      },
    })
    expect(() => generate(dying)).toThrow(expect.objectContaining({ rv: 'CKR_DEVICE_ERROR' }))
  })
})

describe('a module that refuses attributes it does not know', () => {
  const unknown = (...names: readonly (keyof Template)[]): Cryptoki =>
    lying({
      generateKey: (at, how, template) => {
        if (names.some((name) => template[name] !== undefined)) {
          throw pkcs11Error('C_GenerateKey', ATTRIBUTE_TYPE_INVALID)
        }
        return real.generateKey(at, how, template)
      },
    })

  test('is asked one attribute at a time, and leaves one key behind', () => {
    expect(generate(unknown('COPYABLE', 'ALLOWED_MECHANISMS')).waivers).toEqual([
      { attribute: 'CKA_ALLOWED_MECHANISMS', wanted: 'CKM_AES_ECB', got: '' },
      { attribute: 'CKA_COPYABLE', wanted: 'false', got: 'true' },
    ])
    expect(left()).toBe(1)
  })

  test('an attribute that was refused but holds by default is no waiver', () => {
    expect(generate(unknown('DESTROYABLE')).waivers).toEqual([])
  })

  test('an attribute that may not be missing is the end of it', () => {
    expect(() => generate(unknown('SENSITIVE'))).toThrow(
      expect.objectContaining({ rv: 'CKR_ATTRIBUTE_TYPE_INVALID' }),
    )
    expect(left()).toBe(0)
  })
})

describe('contradictions', () => {
  const reads = (values: Record<string, unknown>) => ({
    value: (name: string) => values[name] as never,
  })
  test.each([
    [
      { SENSITIVE: false, ALWAYS_SENSITIVE: true },
      'CKA_SENSITIVE=false with CKA_ALWAYS_SENSITIVE=true',
    ],
    [
      { EXTRACTABLE: true, NEVER_EXTRACTABLE: true },
      'CKA_EXTRACTABLE=true with CKA_NEVER_EXTRACTABLE=true',
    ],
    [{ LOCAL: false, KEY_GEN_MECHANISM: 0x1080 }, 'CKA_LOCAL=false with a CKA_KEY_GEN_MECHANISM'],
    [{ LOCAL: false, KEY_GEN_MECHANISM: -1 }, undefined],
    [{ LOCAL: false }, undefined],
    [{ SENSITIVE: true, ALWAYS_SENSITIVE: true, EXTRACTABLE: false, LOCAL: true }, undefined],
  ])('%j: %s', (values, found) => {
    expect(contradiction(reads(values))).toBe(found)
  })
})
