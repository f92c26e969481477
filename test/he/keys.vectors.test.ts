/** Derived keys against RFC 5869 written out with HMAC. */
import { createHmac, hkdfSync, randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { deriveKeys } from '../../src/he/keys.ts'
import { thrownCode } from '../error-code.ts'

/** RFC 5869 §2.2 and §2.3 for one block of output. */
function hkdf(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array | string): Buffer {
  const prk = createHmac('sha256', salt).update(ikm).digest()
  return createHmac('sha256', prk).update(info).update(Uint8Array.of(1)).digest()
}

const FIELDS = [
  ['sealSecretKey', 'seal secret key'],
  ['record', 'record key'],
  ['blockMac', 'block mac'],
  ['idToken', 'id token'],
  ['filterToken', 'filter token'],
  ['ingestHpke', 'ingest hpke'],
] as const

describe('HKDF', () => {
  it('gives the vectors of RFC 5869, appendix A.1 and A.3, by both ways of computing it', () => {
    const ikm = Buffer.alloc(22, 0x0b)
    const okm =
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'
    const [salt, info] = [
      Buffer.from('000102030405060708090a0b0c', 'hex'),
      Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'),
    ]
    expect(Buffer.from(hkdfSync('sha256', ikm, salt, info, 42)).toString('hex')).toBe(okm)
    expect(hkdf(ikm, salt, info).toString('hex')).toBe(okm.slice(0, 64))
    const empty = new Uint8Array(0)
    const second = '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d'
    expect(hkdf(ikm, empty, empty).toString('hex')).toBe(second)
  })
})

describe('derived keys', () => {
  it('are HKDF-SHA-256 of the seed with their label, without salt', () => {
    const seed = randomBytes(32)
    const keys = deriveKeys(seed, 3)
    for (const [field, label] of FIELDS) {
      const expected = hkdf(seed, new Uint8Array(32), `keyrite-he/1 ${label}`)
      expect(Buffer.from(keys[field])).toEqual(expected)
    }
    const check = hkdf(seed, new Uint8Array(32), 'keyrite-he/1 check')
    expect(keys.keyCheck).toBe(check.toString('hex').slice(0, 32))
    expect(keys.epoch).toBe(3)
  })

  it('differ from each other and from seed to seed', () => {
    const [one, two] = [
      deriveKeys(new Uint8Array(32), 1),
      deriveKeys(new Uint8Array(32).fill(1), 1),
    ]
    const all = [one, two].flatMap((keys) => [
      keys.keyCheck,
      ...FIELDS.map(([field]) => Buffer.from(keys[field]).toString('hex')),
    ])
    expect(new Set(all).size).toBe(14)
    expect(all.some((key) => key.startsWith(one.keyCheck) && key !== one.keyCheck)).toBe(false)
  })

  it('leave the seed as it is, and are zero once wiped', () => {
    const seed = randomBytes(32)
    const before = Buffer.from(seed)
    const keys = deriveKeys(seed, 1)
    expect(seed).toEqual(before)
    keys.wipe()
    for (const [field] of FIELDS) expect(keys[field]).toEqual(new Uint8Array(32))
    expect(seed).toEqual(before)
  })

  it('are refused for other seeds and epochs, without saying the seed', () => {
    for (const seed of [
      new Uint8Array(31),
      new Uint8Array(33),
      new Uint8Array(0),
      'ab'.repeat(16),
    ]) {
      expect(thrownCode(() => deriveKeys(seed as Uint8Array, 1))).toBe('KEY_INVALID')
    }
    for (const epoch of [0, -1, 1.5, NaN, 2 ** 31, '1' as never]) {
      expect(thrownCode(() => deriveKeys(new Uint8Array(32), epoch))).toBe('KEY_INVALID')
    }
    try {
      deriveKeys('secretsecret' as never, 1)
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify(error)).not.toContain('secretsecret')
    }
  })
})
