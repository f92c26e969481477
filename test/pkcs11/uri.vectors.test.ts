/** The examples of RFC 7512 §3, in its order, and what they mean. */
import { describe, expect, test } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import { formatUri, parseUri } from '../../src/pkcs11/uri.ts'
import type { Pkcs11Uri } from '../../src/pkcs11/uri.ts'

const EXAMPLES: readonly (readonly [string, Pkcs11Uri])[] = [
  ['pkcs11:', {}],
  ['pkcs11:object=my-pubkey;type=public', { object: 'my-pubkey', type: 'public' }],
  [
    'pkcs11:object=my-key;type=private?pin-source=file:/etc/token',
    { object: 'my-key', type: 'private', pinSource: 'file:/etc/token' },
  ],
  [
    'pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin',
    {
      token: 'The Software PKCS#11 Softtoken',
      manufacturer: 'Snake Oil, Inc.',
      model: '1.0',
      object: 'my-certificate',
      type: 'cert',
      id: Uint8Array.of(0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91),
      serial: '',
      pinSource: 'file:/etc/token_pin',
    },
  ],
  [
    'pkcs11:object=my-sign-key;type=private?module-name=mypkcs11',
    { object: 'my-sign-key', type: 'private', moduleName: 'mypkcs11' },
  ],
  [
    'pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1',
    { object: 'my-sign-key', type: 'private', modulePath: '/mnt/libmypkcs11.so.1' },
  ],
  ['pkcs11:slot-description=Sun%20Metaslot', { slotDescription: 'Sun Metaslot' }],
  [
    'pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23',
    {
      libraryManufacturer: 'Snake Oil, Inc.',
      libraryDescription: 'Soft Token Library',
      libraryVersion: '1.23',
    },
  ],
  [
    'pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06',
    {
      token: 'My token% created by Joe',
      libraryVersion: '3',
      id: Uint8Array.of(1, 2, 3, 0xba, 0xdd, 0xca, 0xfe, 4, 5, 6),
    },
  ],
  [
    'pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert',
    { token: 'A name with a substring %;', object: 'my-certificate', type: 'cert' },
  ],
  [
    'pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;object=my-certificate;type=cert',
    { token: 'Name with a small A with acute: á', object: 'my-certificate', type: 'cert' },
  ],
  [
    'pkcs11:token=my-token;object=my-certificate;type=cert;vendor-aaa=value-a?pin-source=file:/etc/token_pin&vendor-bbb=value-b',
    {
      token: 'my-token',
      object: 'my-certificate',
      type: 'cert',
      vendorPath: { 'vendor-aaa': 'value-a' },
      pinSource: 'file:/etc/token_pin',
      vendorQuery: { 'vendor-bbb': ['value-b'] },
    },
  ],
]

describe('RFC 7512 §3 examples', () => {
  test.each(EXAMPLES)('%s', (text, meaning) => {
    expect(parseUri(text)).toEqual(meaning)
    expect(parseUri(formatUri(meaning))).toEqual(meaning)
  })

  test('the example with pin-value is refused, and its PIN is not repeated', () => {
    const text =
      'pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin'
    let thrown: unknown
    try {
      parseUri(text)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(TokenError)
    expect(thrown).toMatchObject({ code: 'ARGUMENT_INVALID', where: 'pkcs11 URI: pin-value' })
    expect(JSON.stringify(thrown) + String(thrown)).not.toContain('the-pin')
  })
})
