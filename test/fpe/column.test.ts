/** Columns: errors in place, versions, bound tweaks, shared calls, and the way from FF3-1 to FF1. */
import { describe, expect, it } from 'vitest'

import { ConfigError, FpeError } from '../../src/errors.ts'
import { alphabets } from '../../src/fpe/alphabet.ts'
import { ff1, ff3_1 } from '../../src/fpe/cipher.ts'
import { type ColumnOptions, column } from '../../src/fpe/column.ts'
import { date } from '../../src/fpe/date.ts'
import { type KeyVersion, KeyVersions } from '../../src/fpe/key-versions.ts'
import { costOf } from '../../src/fpe/parameters.ts'
import { pan } from '../../src/fpe/pan.ts'
import { text } from '../../src/fpe/text.ts'
import { tweakHead, tweakOf } from '../../src/fpe/tweak.ts'
import type { Column } from '../../src/fpe/types.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { type CountingAes, countingAes } from './counting-aes.ts'
import { texts } from './format-column.ts'

const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const { digits } = alphabets
const cards = pan({ keepFirst: 6, keepLast: 4 })

function open(
  versions: Record<number, KeyVersion>,
  current: number,
  options: Partial<ColumnOptions> = {},
): Column {
  const keys = new KeyVersions({ name: 'k', current, versions })
  return column({ name: 'pan', format: cards, keys, ...options })
}
const one = (cipher: CountingAes, options?: Partial<ColumnOptions>): Column =>
  open({ 1: { cipher } }, 1, options)

describe('a column', () => {
  it('says what it is', () => {
    const field = open(
      { 1: { cipher: countingAes(key(1)) }, 4: { cipher: countingAes(key(4)) } },
      4,
      {
        format: pan({ keepFirst: 6, keepLast: 4, digits: 16 }),
      },
    )
    expect(field).toMatchObject({ name: 'pan', currentVersion: 4, domain: 1_000_000n })
    expect(field.describe).toBe(
      'card number of 16 digits, first 6 kept, last 4 kept; FF1, key k version 4',
    )
  })

  it('is FF1 over the encrypted digits, with the tweak as documented', async () => {
    const field = one(countingAes(key(1)), { tenant: 'acme' })
    const [encrypted] = texts(await field.encryptEach(['4111-1122-2222-1234']))
    const tweak = tweakOf(
      tweakHead({ tenant: 'acme', field: 'pan' }, 1),
      ['411111', '1234'],
      undefined,
    )
    const expected = await ff1({ key: countingAes(key(1)), alphabet: digits }).encrypt('222222', {
      tweak,
    })
    expect(encrypted).toBe(`4111-11${expected.slice(0, 2)}-${expected.slice(2)}-1234`)
  })

  it('leaves bad values in place as errors, and encrypts the others', async () => {
    const field = one(countingAes(key(1)))
    const good = ['4111111111111111', '5500000000000004']
    const values = [good[0]!, 'x', good[1]!, '', '378282246310005', 7 as unknown as string]
    const results = await field.encryptEach(values)
    const alone = await field.encryptEach(good)
    expect([results[0], results[2]]).toEqual(alone)
    const errors = [1, 3, 4, 5].map((i) => results[i])
    expect(errors).toMatchObject([
      { code: 'LENGTH_INVALID', index: 1 },
      { code: 'LENGTH_INVALID', index: 3 },
      { code: 'DOMAIN_TOO_SMALL', index: 4 },
      { code: 'FORMAT_MISMATCH', index: 5 },
    ])
    for (const error of errors) {
      expect(error).toBeInstanceOf(FpeError)
      expect((error as FpeError).where).toMatch(/^column pan/)
    }
  })

  it('of no values calls no key', async () => {
    const cipher = countingAes(key(1))
    expect(await one(cipher).encryptEach([])).toEqual([])
    expect(await one(cipher).encryptEach(['bad'])).toMatchObject([{ code: 'LENGTH_INVALID' }])
    expect(cipher.calls).toEqual([])
  })

  it('shares calls among values of different lengths and versions under one key', async () => {
    const cipher = countingAes(key(1))
    const field = open({ 1: { cipher }, 2: { cipher } }, 2, { format: text({ alphabet: digits }) })
    const values = Array.from({ length: 600 }, (_, i) => '31415926535897'.slice(0, 6 + (i % 9)))
    const versions = values.map((_, i) => 1 + (i % 2))
    await field.decryptEach(values, { versions })
    const once = costOf('FF1', 10, 14, tweakHead({ tenant: '', field: 'pan' }, 1).length + 2)
    // Of P there are as many as lengths, but they go in one call.
    expect(cipher.calls.length).toBeLessThanOrEqual(once.callsPerBatch + once.callsOnce + 1)
  })

  it('stops when the signal says so', async () => {
    const field = one(countingAes(key(1)))
    const signal = AbortSignal.abort()
    await expect(field.encryptEach(['4111111111111111'], { signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
  })

  it('fails as a whole when the key does', async () => {
    const gone: BlockCipher = { encryptBlocks: () => Promise.reject(new Error('token gone')) }
    const field = open({ 1: { cipher: gone } }, 1)
    await expect(field.encryptEach(['4111111111111111', 'bad'])).rejects.toThrow('token gone')
  })
})

describe('what a value is bound to', () => {
  const values = ['4111111111111111']
  const encrypt = async (
    options: Partial<ColumnOptions>,
    each: { rowTweaks?: string[] } = {},
    version = 1,
  ): Promise<string> => {
    const field = open({ [version]: { cipher: countingAes(key(1)) } }, version, options)
    const [encrypted] = texts(await field.encryptEach(values, each))
    return encrypted!
  }

  it('field, tenant, version and row tweak each change the result', async () => {
    const results = await Promise.all([
      encrypt({}),
      encrypt({ name: 'pan2' }),
      encrypt({ tenant: 'acme' }),
      encrypt({ name: 'anacme', tenant: 'p' }),
      encrypt({ name: 'acme', tenant: 'pan' }),
      encrypt({}, {}, 2),
      encrypt({ rowTweak: true }, { rowTweaks: [''] }),
      encrypt({ rowTweak: true }, { rowTweaks: ['customer 1'] }),
      encrypt({ rowTweak: true }, { rowTweaks: ['customer 2'] }),
      encrypt({ tweak: new Uint8Array() }),
      encrypt({ tweak: new Uint8Array([1]) }),
    ])
    expect(new Set(results).size).toBe(results.length)
    expect(await encrypt({})).toBe(results[0])
  })

  it('an explicit tweak is all there is', async () => {
    const tweak = Uint8Array.from([1, 2, 3])
    const expected = await ff1({ key: countingAes(key(1)), alphabet: digits }).encrypt('111111', {
      tweak,
    })
    expect(await encrypt({ tweak, tenant: 'acme' })).toBe(`411111${expected}1111`)
  })

  it('row tweaks come for all values, to columns that have one', async () => {
    const cipher = countingAes(key(1))
    const bound = one(cipher, { rowTweak: true })
    for (const each of [{}, { rowTweaks: [] }, { rowTweaks: ['a', 'b'] }]) {
      await expect(bound.encryptEach(values, each)).rejects.toMatchObject({ code: 'TWEAK_INVALID' })
    }
    const free = one(cipher)
    await expect(free.encryptEach(values, { rowTweaks: ['a'] })).rejects.toMatchObject({
      code: 'TWEAK_INVALID',
    })
    expect(() => one(cipher, { rowTweak: true, tweak: new Uint8Array() })).toThrow(ConfigError)
    expect(cipher.calls).toEqual([])
  })

  it('a row tweak that cannot be bound spoils its own row only', async () => {
    const field = one(countingAes(key(1)), { rowTweak: true })
    const rowTweaks = ['a', 'x'.repeat(5000), '\ud800']
    const results = await field.encryptEach([...values, ...values, ...values], { rowTweaks })
    expect(results[0]).toMatch(/^411111/)
    expect(results.slice(1)).toMatchObject([
      { code: 'TWEAK_INVALID', index: 1 },
      { code: 'TWEAK_INVALID', index: 2 },
    ])
  })
})

describe('key versions', () => {
  const versions = { 1: { cipher: countingAes(key(1)) }, 2: { cipher: countingAes(key(2)) } }
  const [old, current] = [open(versions, 1), open(versions, 2)]
  const values = ['4111111111111111', '5500-0000-0000-0004', '340000000000009000']

  it('decrypt under the version stored beside each value', async () => {
    const [a, b] = [texts(await old.encryptEach(values)), texts(await current.encryptEach(values))]
    expect(a).not.toEqual(b)
    const mixed = [a[0]!, b[1]!, a[2]!]
    expect(await current.decryptEach(mixed, { versions: [1, 2, 1] })).toEqual(values)
    expect(await current.decryptEach(a, { versions: 1 })).toEqual(values)
    expect(await current.decryptEach(b)).toEqual(values)
  })

  it('that are unknown spoil their own row only', async () => {
    const encrypted = texts(await current.encryptEach(values))
    const results = await current.decryptEach(encrypted, { versions: [2, 9, 2] })
    expect(results[0]).toBe(values[0])
    expect(results[1]).toMatchObject({
      code: 'KEY_VERSION_UNKNOWN',
      expected: 'one of 1, 2',
      index: 1,
    })
  })

  it('are one for each value, and none when encrypting', async () => {
    await expect(current.decryptEach(values, { versions: [1] })).rejects.toMatchObject({
      code: 'LENGTH_INVALID',
    })
    await expect(current.encryptEach(values, { versions: 1 })).rejects.toMatchObject({
      code: 'KEY_VERSION_UNKNOWN',
    })
  })

  it('are brought up to date by rewrapping', async () => {
    const before = [
      texts(await old.encryptEach(values))[0]!,
      'not a card',
      texts(await current.encryptEach(values))[1]!,
      texts(await old.encryptEach(values))[2]!,
    ]
    const after = await current.rewrapEach(before, { versions: [1, 1, 2, 3] })
    const [first, , second] = texts(await current.encryptEach([values[0]!, values[1]!, values[1]!]))
    expect(after[0]).toBe(first)
    expect(after[1]).toMatchObject({ code: 'LENGTH_INVALID', index: 1 })
    expect(after[2]).toBe(second)
    expect(after[3]).toMatchObject({ code: 'KEY_VERSION_UNKNOWN', index: 3 })
  })

  it('are rewrapped with the row tweaks of their rows', async () => {
    const rows = ['a', 'b', 'c']
    const bound = (number: number): Column => open(versions, number, { rowTweak: true })
    const before = texts(await bound(1).encryptEach(values, { rowTweaks: rows }))
    const after = await bound(2).rewrapEach(['bad', ...before], {
      versions: 1,
      rowTweaks: ['z', ...rows],
    })
    expect(after.slice(1)).toEqual(await bound(2).encryptEach(values, { rowTweaks: rows }))
  })
})

describe('data under FF3-1', () => {
  const tweak = Uint8Array.from([0xd8, 0xe7, 0x92, 0x0a, 0xfa, 0x33, 0x0a])
  const legacy = (): KeyVersion => ({
    cipher: countingAes(key(9), { reversed: true }),
    method: 'FF3-1',
    allowNonApproved: true,
    tweak,
  })
  const format = text({ alphabet: digits })
  const values = ['890121234567890000', '0123456789', '31415926535']

  it('is read, and rewrapped to FF1', async () => {
    const theirs = ff3_1({
      key: countingAes(key(9), { reversed: true }),
      alphabet: digits,
      allowNonApproved: true,
      allowEncrypt: true,
    })
    const stored = await theirs.encryptMany(values, { tweak })
    const field = open({ 1: legacy(), 2: { cipher: countingAes(key(2)) } }, 2, { format })
    expect(await field.decryptEach(stored, { versions: 1 })).toEqual(values)
    const rewrapped = texts(await field.rewrapEach(stored, { versions: 1 }))
    expect(rewrapped).not.toEqual(stored)
    expect(await field.decryptEach(rewrapped)).toEqual(values)
    expect(rewrapped).toEqual(await field.encryptEach(values))
  })

  it('of which a row cannot be encrypted anew: the error says which row', async () => {
    const field = open({ 1: legacy(), 2: { cipher: countingAes(key(2)) } }, 2, {
      format,
      rowTweak: true,
    })
    const results = await field.rewrapEach(['bad', '890121234567890000', '0123456789'], {
      versions: 1,
      rowTweaks: ['a', 'b', 'x'.repeat(5000)],
    })
    expect(results).toMatchObject([
      { code: 'SYMBOL_INVALID', index: 0 },
      expect.stringMatching(/^\d{18}$/),
      { code: 'TWEAK_INVALID', index: 2, where: 'column pan' },
    ])
  })

  it('is not made anew unless that is said, too', async () => {
    const reading = open({ 1: legacy() }, 1, { format })
    await expect(reading.encryptEach(values)).rejects.toMatchObject({ code: 'NOT_APPROVED' })
    await expect(reading.rewrapEach(values, { versions: 1 })).rejects.toMatchObject({
      code: 'NOT_APPROVED',
    })
    const writing = open({ 1: { ...legacy(), allowEncrypt: true } }, 1, { format })
    const encrypted = texts(await writing.encryptEach(values))
    expect(await writing.decryptEach(encrypted)).toEqual(values)
  })

  it('ends at 56 digits: a longer value is an error in place', async () => {
    const field = open({ 1: legacy() }, 1, { format })
    const results = await field.decryptEach(['1'.repeat(56), '1'.repeat(57)])
    expect(results[0]).toMatch(/^\d{56}$/)
    expect(results[1]).toMatchObject({ code: 'LENGTH_INVALID', index: 1 })
  })

  it('needs its tweak', () => {
    const { cipher, method = 'FF3-1', allowNonApproved = true } = legacy()
    const bare = { cipher, method, allowNonApproved }
    expect(() => open({ 1: bare }, 1, { format })).toThrow(ConfigError)
    const seven = { format, tweak }
    expect(open({ 1: bare }, 1, seven).currentVersion).toBe(1)
    expect(() => open({ 1: bare }, 1, { format, tweak: new Uint8Array(8) })).toThrow(ConfigError)
  })
})

describe('the floor', () => {
  const dates = date({ pattern: 'YYYY-MM-DD', min: '1926-01-01', max: '2025-12-31' })
  const cipher = countingAes(key(1))

  it.each([99, 0, -1, 100.5, Number.NaN])('is not %d', (minDomain) => {
    expect(() => one(cipher, { format: dates, minDomain })).toThrow(ConfigError)
  })

  it('holds for every form of value, with the number and the way out', () => {
    expect(() => one(cipher, { format: dates })).toThrow(
      expect.objectContaining({
        code: 'DOMAIN_TOO_SMALL',
        where: 'column pan',
        expected: 'at least 1000000 possible values at the encrypted positions',
        got: '36525 possible values',
        hint: expect.stringContaining('minDomain'),
      }),
    )
    expect(one(cipher, { format: dates, minDomain: 36_525 }).domain).toBe(36_525n)
    expect(() => one(cipher, { format: dates, minDomain: 36_526 })).toThrow(FpeError)
  })
})
