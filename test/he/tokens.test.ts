/** Keyed hashes of ids and values. */
import { createHmac } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { filterToken, idToken, requireId } from '../../src/he/tokens.ts'
import type { MetadataValue } from '../../src/he/types.ts'

const KEY = new Uint8Array(32).fill(5)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const refusal = (run: () => unknown): { code: string; index?: number } => {
  try {
    run()
  } catch (error) {
    return error as { code: string }
  }
  return { code: 'none' }
}

describe('ids', () => {
  it('of 1 to 512 bytes of UTF-8 are kept', () => {
    for (const id of [
      'a',
      'x'.repeat(512),
      '\u00e9'.repeat(256),
      '\u{1f600}'.repeat(128),
      '\0',
      ' ',
    ]) {
      expect(requireId(id)).toBe(id)
    }
    const others = [
      '',
      'x'.repeat(513),
      '\u00e9'.repeat(257),
      'a\ud800',
      '\udc00',
      1,
      null,
      undefined,
      ['a'],
    ]
    for (const id of others) {
      expect(refusal(() => requireId(id, 4))).toMatchObject({ code: 'ID_INVALID', index: 4 })
    }
    expect(refusal(() => idToken(KEY, 'c', '')).code).toBe('ID_INVALID')
  })
})

describe('tokens', () => {
  it('are HMAC-SHA-256 cut to 128 bits', () => {
    const text = '["keyrite-he/1 id","c","\u00e9"]'
    const mac = createHmac('sha256', KEY).update(Buffer.from(text, 'utf8')).digest('hex')
    expect(hex(idToken(KEY, 'c', '\u00e9'))).toBe(mac.slice(0, 32))
    const filter = '["keyrite-he/1 filter","c","f","number","0.1"]'
    const other = createHmac('sha256', KEY).update(filter).digest('hex')
    expect(hex(filterToken(KEY, 'c', 'f', 0.1))).toBe(other.slice(0, 32))
  })

  it('differ by type and value', () => {
    const values: MetadataValue[] = [
      '1',
      1,
      true,
      'true',
      'false',
      false,
      0,
      '0',
      '',
      'null',
      1e21,
      '1e+21',
      -1,
      1.5,
      2 ** 53,
      5e-324,
      'number',
    ]
    const all = values.map((value) => hex(filterToken(KEY, 'c', 'f', value)))
    expect(new Set(all).size).toBe(values.length)
    expect(filterToken(KEY, 'c', 'f', -0)).toEqual(filterToken(KEY, 'c', 'f', 0))
  })

  it('differ by key, collection, field and use, wherever the parts are cut', () => {
    const all = [
      idToken(KEY, 'c', 'x'),
      idToken(KEY, 'd', 'x'),
      idToken(new Uint8Array(32).fill(6), 'c', 'x'),
      idToken(KEY, 'c","x', 'x'),
      idToken(KEY, 'c', 'x","x'),
      filterToken(KEY, 'c', 'f', 'x'),
      filterToken(KEY, 'c', 'g', 'x'),
      filterToken(KEY, 'd', 'f', 'x'),
      filterToken(KEY, 'c', 'fx', ''),
      filterToken(KEY, 'c', '', 'fx'),
      filterToken(KEY, 'cf', '', 'x'),
      filterToken(new Uint8Array(32).fill(6), 'c', 'f', 'x'),
    ].map(hex)
    expect(new Set(all).size).toBe(all.length)
    expect(all.every((one) => one.length === 32)).toBe(true)
  })

  it('are refused for values that are none', () => {
    for (const value of [NaN, Infinity, 'a\ud800', null, undefined, 1n, {}, []]) {
      expect(refusal(() => filterToken(KEY, 'c', 'f', value as string)).code).toBe(
        'METADATA_INVALID',
      )
    }
    expect(refusal(() => filterToken(KEY, 'c', '\ud800', 'x')).code).toBe('METADATA_INVALID')
  })
})
