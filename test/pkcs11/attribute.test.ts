import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import { ATTRIBUTE_KINDS } from '../../src/pkcs11/attribute-kinds.ts'
import {
  attributeName,
  attributeType,
  decodeAttribute,
  encodeTemplate,
} from '../../src/pkcs11/attribute.ts'
import type { AttributeName, Template } from '../../src/pkcs11/attribute.ts'
import { CKK, CKO } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'

const encode = (template: object) => encodeTemplate(template as Template)
const bytes = (...values: number[]) => Uint8Array.from(values)
const ulong = (value: number) => bytes(value & 255, value >> 8, 0, 0, 0, 0, 0, 0)

describe('encoding', () => {
  it('gives every kind its bytes', () => {
    expect(
      encode({
        CLASS: CKO.SECRET_KEY,
        KEY_TYPE: CKK.AES,
        TOKEN: true,
        PRIVATE: false,
        LABEL: 'schlüssel',
        ID: bytes(1, 2),
        VALUE_LEN: 32,
        START_DATE: '2026-02-28',
        END_DATE: '',
        ALLOWED_MECHANISMS: [CKM.AES_ECB, CKM.AES_CBC],
        UNWRAP_TEMPLATE: { SENSITIVE: true, EXTRACTABLE: false, LABEL: 'x' },
        '0x80000104': bytes(9),
        SUBJECT: undefined,
      }),
    ).toEqual([
      [0x00, ulong(4)],
      [0x100, ulong(0x1f)],
      [0x01, bytes(1)],
      [0x02, bytes(0)],
      [0x03, new TextEncoder().encode('schlüssel')],
      [0x102, bytes(1, 2)],
      [0x161, ulong(32)],
      [0x110, new TextEncoder().encode('20260228')],
      [0x111, bytes()],
      [0x40000600, Uint8Array.from([...ulong(0x1081), ...ulong(0x1082)])],
      [
        0x40000212,
        [
          [0x103, bytes(1)],
          [0x162, bytes(0)],
          [0x03, bytes(0x78)],
        ],
      ],
      [0x80000104, bytes(9)],
    ])
  })

  /** A wrong value of every type for every kind. */
  const WRONG: Record<string, unknown[]> = {
    bool: [1, 0, 'true', null, Buffer.from([1]), {}, [], 1n],
    ulong: [-1, 1.5, NaN, Infinity, 2 ** 32, '1', 1n, true, null, Buffer.alloc(8), [1]],
    text: [1, null, Buffer.from('x'), {}, true, '\ud800', new String('x')],
    bytes: [
      '00',
      1,
      null,
      [1, 2],
      {},
      new Uint16Array(1),
      new DataView(new ArrayBuffer(1)),
      new ArrayBuffer(1),
      true,
      new Uint8Array(0x10_0001),
    ],
    date: [new Date(), '2026-02-30', '20260228', '2026-13-01', '2026-1-1', 0, null, 'x', {}],
    mechanisms: [CKM.AES_ECB, [1.5], ['AES_ECB'], [-1], null, {}, Buffer.alloc(8), [1n]],
    template: [null, 1, 'x', [], [[1, true]], Buffer.alloc(24), { NO_SUCH: true }, { LABEL: 1 }],
  }

  it.each(Object.entries(ATTRIBUTE_KINDS))(
    'row 1: CKA_%s (%s) refuses every value of another type before the native layer',
    (name, kind) => {
      for (const value of [...WRONG[kind]!, () => 1, Symbol('x'), new Proxy({ a: 1 }, {})]) {
        let thrown: unknown
        try {
          encode({ [name]: value })
        } catch (error) {
          thrown = error
        }
        expect(thrown, `${kind} ${typeof value}`).toBeInstanceOf(TokenError)
        expect((thrown as TokenError).code).toBe('ARGUMENT_INVALID')
      }
    },
  )

  it('row 1: refuses what is not a template', () => {
    for (const value of [null, undefined, 1, 'x', [], [{ type: 1, value: true }]]) {
      expect(() => encodeTemplate(value as never)).toThrow(TokenError)
    }
  })

  it('refuses unknown names, names of prototypes, and numbers that have a name', () => {
    for (const name of [
      'NO_SUCH',
      'CKA_LABEL',
      'label',
      'toString',
      '__proto__',
      '0x3',
      '0xZZ',
      '',
    ]) {
      expect(() => attributeType(name), name).toThrow(TokenError)
    }
    expect(attributeType('0x80000104')).toBe(0x80000104)
    expect(attributeName('LABEL')).toBe('CKA_LABEL')
    expect(attributeName('0x80000104')).toBe('CKA_0x80000104')
  })

  it('refuses templates nested deeper than three', () => {
    let nested: Template = { TOKEN: true }
    nested = { UNWRAP_TEMPLATE: { UNWRAP_TEMPLATE: nested } }
    expect(() => encodeTemplate(nested)).not.toThrow()
    expect(() => encodeTemplate({ UNWRAP_TEMPLATE: nested })).toThrow(/wrong attribute value/)
    const loop: Record<string, unknown> = {}
    loop['UNWRAP_TEMPLATE'] = loop
    expect(() => encode(loop)).toThrow(TokenError)
  })

  it('never puts a value into an error', () => {
    try {
      encode({ VALUE: 'secret-value-as-text' })
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain('secret-value')
    }
  })
})

describe('decoding', () => {
  const BY_KIND: Partial<Record<AttributeName, fc.Arbitrary<unknown>>> = {
    TOKEN: fc.boolean(),
    VALUE_LEN: fc.nat(0xffff_ffff),
    LABEL: fc.string({ unit: 'grapheme' }),
    ID: fc.uint8Array({ maxLength: 100 }),
    START_DATE: fc
      .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
      .map((date) => date.toISOString().slice(0, 10)),
    ALLOWED_MECHANISMS: fc.array(fc.nat(0xffff_ffff)),
    UNWRAP_TEMPLATE: fc.record({ TOKEN: fc.boolean(), LABEL: fc.string({ unit: 'grapheme' }) }),
  }

  it.each(Object.keys(BY_KIND) as AttributeName[])('returns what was encoded: %s', (name) => {
    fc.assert(
      fc.property(BY_KIND[name]!, (value) => {
        const [[, raw]] = encode({ [name]: value }) as [[number, never]]
        expect(decodeAttribute(name, raw)).toEqual({ status: 'value', value })
      }),
      { numRuns: 50 },
    )
  })

  it('row 14: an empty date is absent', () => {
    expect(decodeAttribute('START_DATE', bytes())).toEqual({ status: 'absent' })
    expect(decodeAttribute('END_DATE', bytes())).toEqual({ status: 'absent' })
  })

  it('marks bytes that are not of the kind', () => {
    const cases: [AttributeName, Uint8Array][] = [
      ['TOKEN', bytes()],
      ['TOKEN', bytes(1, 0)],
      ['VALUE_LEN', bytes(1, 2, 3, 4)],
      ['VALUE_LEN', bytes(0, 0, 0, 0, 0, 0, 0xff, 0)],
      ['LABEL', bytes(0xff, 0xfe)],
      ['START_DATE', bytes(1, 2, 3, 4, 5, 6, 7, 8)],
      ['START_DATE', bytes(0x32)],
      ['ALLOWED_MECHANISMS', bytes(1)],
      ['WRAP_TEMPLATE', bytes(1)],
    ]
    for (const [name, raw] of cases) {
      expect(decodeAttribute(name, raw), name).toEqual({ status: 'malformed', bytes: raw })
    }
  })

  it('reads CK_UNAVAILABLE_INFORMATION as -1 and any non-zero CK_BBOOL as true', () => {
    const ones = new Uint8Array(8).fill(0xff)
    expect(decodeAttribute('KEY_GEN_MECHANISM', ones)).toEqual({ status: 'value', value: -1 })
    expect(decodeAttribute('TOKEN', bytes(0xff))).toEqual({ status: 'value', value: true })
  })

  it('keeps elements of templates it has no name for', () => {
    const read = decodeAttribute('UNWRAP_TEMPLATE', [
      [0x103, bytes(1)],
      [0x80000104, bytes(7)],
      [0x162, bytes(1, 2)],
      [0x40000212, null],
    ])
    expect(read).toEqual({
      status: 'value',
      value: {
        SENSITIVE: true,
        '0x80000104': bytes(7),
        '0x162': bytes(1, 2),
        '0x40000212': bytes(),
      },
    })
  })
})
