/** Strictness and matching of PKCS#11 URIs. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import {
  formatUri,
  keyClassOf,
  matchesObject,
  matchesToken,
  parseUri,
} from '../../src/pkcs11/uri.ts'

const BAD: readonly (readonly [string, string])[] = [
  ['pkcs12:token=a', 'scheme'],
  ['token=a', 'scheme'],
  ['pkcs11:token', 'attribute without "="'],
  ['pkcs11:token=a;', 'attribute without "="'],
  ['pkcs11:=a', 'attribute name'],
  ['pkcs11:to%6ben=a', 'attribute name'],
  ['pkcs11:token=a;token=b', 'token'],
  ['pkcs11:x-vendor=a;x-vendor=a', 'x-vendor'],
  ['pkcs11:token=100%', 'token'],
  ['pkcs11:token=%4', 'token'],
  ['pkcs11:token=%zz', 'token'],
  ['pkcs11:token=%C3', 'token'],
  ['pkcs11:token=a b', 'token'],
  ['pkcs11:token=á', 'token'],
  ['pkcs11:token=a/b', 'token'],
  ['pkcs11:token=a#b', 'token'],
  ['pkcs11:type=secret', 'type'],
  ['pkcs11:slot-id=-1', 'slot-id'],
  ['pkcs11:slot-id=0x1', 'slot-id'],
  ['pkcs11:slot-id=', 'slot-id'],
  ['pkcs11:slot-id=99999999999999999999', 'slot-id'],
  ['pkcs11:library-version=1.', 'library-version'],
  ['pkcs11:?pin-source=a&pin-source=b', 'pin-source'],
  ['pkcs11:?pin-value=', 'pin-value'],
  ['pkcs11:?module-path=a;b', 'module-path'],
]

describe('parseUri', () => {
  test.each(BAD)('refuses %s', (text, where) => {
    expect(() => parseUri(text)).toThrow(TokenError)
    expect(() => parseUri(text)).toThrow(
      expect.objectContaining({ code: 'ARGUMENT_INVALID', where: `pkcs11 URI: ${where}` }),
    )
  })

  test('the scheme is case-insensitive, names and values are not', () => {
    expect(parseUri('PKCS11:token=A')).toEqual({ token: 'A' })
    expect(parseUri('pkcs11:Token=A')).toEqual({ vendorPath: { Token: 'A' } })
  })

  test('attribute names of Object.prototype are only names', () => {
    expect(parseUri('pkcs11:constructor=a').vendorPath).toEqual({ constructor: 'a' })
    expect(Object.getPrototypeOf(parseUri('pkcs11:__proto__=a'))).toBe(Object.prototype)
  })

  test('what formatUri writes, parseUri reads', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(
        fc.record(
          {
            token: text,
            serial: text,
            object: text,
            id: fc.uint8Array({ maxLength: 32 }),
            type: fc.constantFrom('public', 'private', 'secret-key'),
            slotId: fc.nat(),
            pinSource: text,
            modulePath: text,
          } as const,
          { requiredKeys: [] },
        ),
        (uri) => {
          expect(parseUri(formatUri(uri))).toEqual(uri)
        },
      ),
    )
  })
})

describe('matching', () => {
  const target = {
    slotId: 7,
    label: 'vault',
    manufacturerId: 'SoftHSM project',
    model: 'SoftHSM v2',
    serial: '00ab',
    slot: { description: 'slot seven', manufacturerId: 'SoftHSM project' },
    library: {
      libraryDescription: 'Implementation of PKCS11',
      manufacturerId: 'SoftHSM',
      libraryVersion: '2.6',
    },
  }

  test.each([
    ['pkcs11:', true],
    ['pkcs11:token=vault;serial=00ab;model=SoftHSM%20v2', true],
    ['pkcs11:token=Vault', false],
    ['pkcs11:serial=', false],
    ['pkcs11:slot-id=7', true],
    ['pkcs11:slot-id=8', false],
    ['pkcs11:slot-description=slot%20seven', true],
    ['pkcs11:library-version=2.6;library-manufacturer=SoftHSM', true],
    ['pkcs11:library-version=2', false],
  ])('%s: %s', (text, matches) => {
    expect(matchesToken(parseUri(text), target)).toBe(matches)
  })

  test('an attribute without meaning here never widens a match', () => {
    expect(() => matchesToken(parseUri('pkcs11:token=vault;x-zone=1'), target)).toThrow(
      expect.objectContaining({ code: 'ARGUMENT_INVALID', where: 'pkcs11 URI: x-zone' }),
    )
  })

  test('objects are compared by label, id and class', () => {
    const key = { label: 'pan', id: Uint8Array.of(1, 2), class: 'secret-key' } as const
    expect(matchesObject(parseUri('pkcs11:object=pan;type=secret-key;id=%01%02'), key)).toBe(true)
    expect(matchesObject(parseUri('pkcs11:object=pan;type=private'), key)).toBe(false)
    expect(matchesObject(parseUri('pkcs11:id=%01'), key)).toBe(false)
    expect(keyClassOf(parseUri('pkcs11:object=pan'))).toBeUndefined()
    expect(() => keyClassOf(parseUri('pkcs11:token=vault'))).toThrow(TokenError)
    expect(() => keyClassOf(parseUri('pkcs11:object=pan;type=cert'))).toThrow(TokenError)
  })
})
