/** The forms of a cipher: what they take, what they refuse, and that all give the same results. */
import { randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { utf8 } from '../../src/bytes.ts'
import { alphabet, alphabets, digits, ff1, ff3_1, softwareAes } from '../../src/fpe/index.ts'
import type { Alphabet, Ff1Options, Ff3_1Options, FpeCipher } from '../../src/fpe/index.ts'
import { countingAes } from './counting-aes.ts'

const key = randomBytes(32)
const tweak = utf8('customers')
const pan = ff1({ key: countingAes(key), alphabet: digits })
/** The same, where rounds run natively. */
const nativePan = ff1({ key: softwareAes(key), alphabet: digits })
const ways = [
  ['in TypeScript', pan],
  ['natively', nativePan],
] as const

describe('limits', () => {
  it('of FF1 come from the alphabet and the domain', () => {
    expect(pan).toMatchObject({ method: 'FF1', approved: true, minLength: 6, maxLength: 4096 })
    const old = ff1({ key: countingAes(key), alphabet: digits, minDomain: 100 })
    expect(old.minLength).toBe(2)
    expect(ff1({ key: countingAes(key), alphabet: alphabets.base62 }).minLength).toBe(4)
  })

  it('are a million values unless said otherwise', async () => {
    await expect(pan.encrypt('12345', { tweak })).rejects.toMatchObject({
      code: 'DOMAIN_TOO_SMALL',
      got: '10^5 = 100000 possible values',
      expected: 'at least 1000000 possible values: 6 symbols of radix 10',
    })
    const old = ff1({ key: countingAes(key), alphabet: digits, minDomain: 100 })
    expect(await old.decrypt(await old.encrypt('12345', { tweak }), { tweak })).toBe('12345')
    await expect(old.encrypt('1', { tweak })).rejects.toMatchObject({ code: 'LENGTH_INVALID' })
    await expect(pan.encrypt('', { tweak })).rejects.toMatchObject({ code: 'LENGTH_INVALID' })
  })

  it('cannot be lowered below the standard, or raised beyond reach', () => {
    for (const minDomain of [99, 0, -1, 100.5, NaN, Infinity]) {
      expect(() => ff1({ key: countingAes(key), alphabet: digits, minDomain })).toThrow(
        expect.objectContaining({ code: 'DOMAIN_TOO_SMALL', where: 'minDomain' }),
      )
    }
  })

  it('end at 4,096 symbols and bytes of tweak', async () => {
    const longest = '7'.repeat(4096)
    const long = await pan.encrypt(longest, { tweak: new Uint8Array(4096) })
    expect(await pan.decrypt(long, { tweak: new Uint8Array(4096) })).toBe(longest)
    await expect(pan.encrypt(`${longest}7`, { tweak })).rejects.toMatchObject({
      code: 'LENGTH_INVALID',
    })
    await expect(
      pan.encrypt('4111111111111111', { tweak: new Uint8Array(4097) }),
    ).rejects.toMatchObject({ code: 'TWEAK_INVALID' })
  })
})

describe('FF3-1', () => {
  const reversed = () => countingAes(key, { reversed: true })
  const seven = Uint8Array.of(1, 2, 3, 4, 5, 6, 7)

  it('wants to be allowed, and a key that is reversed', () => {
    const options = { key: reversed(), alphabet: digits } as unknown as Ff3_1Options
    expect(() => ff3_1(options)).toThrow(expect.objectContaining({ code: 'NOT_APPROVED' }))
    const allowed = { alphabet: digits, allowNonApproved: true } as const
    expect(() => ff3_1({ key: countingAes(key), ...allowed })).toThrow(
      expect.objectContaining({ code: 'KEY_NOT_REVERSED' }),
    )
    expect(() => ff1({ key: reversed(), alphabet: digits })).toThrow(
      expect.objectContaining({ code: 'KEY_INVALID' }),
    )
    expect(ff3_1({ key: reversed(), ...allowed })).toMatchObject({
      ...{ method: 'FF3-1', approved: false, minLength: 6, maxLength: 56 },
    })
  })

  it('decrypts, and encrypts only when told so twice', async () => {
    const reading = ff3_1({ key: reversed(), alphabet: digits, allowNonApproved: true })
    const both = ff3_1({
      key: reversed(),
      ...{ alphabet: digits, allowNonApproved: true, allowEncrypt: true },
    })
    const there = await both.encrypt('4111111111111111', { tweak: seven })
    expect(await reading.decrypt(there, { tweak: seven })).toBe('4111111111111111')
    const refusal = { code: 'NOT_APPROVED' }
    const one = { tweak: seven }
    await expect(reading.encrypt('4111111111111111', one)).rejects.toMatchObject(refusal)
    await expect(reading.encryptMany(['4111111111111111'], one)).rejects.toMatchObject(refusal)
    await expect(reading.encryptNumerals([1, 1, 1, 1, 1, 1], one)).rejects.toMatchObject(refusal)
    await expect(
      reading.encryptPacked(utf8('411111'), { length: 6, tweak: seven }),
    ).rejects.toMatchObject(refusal)
  })

  it('takes tweaks of 7 bytes only', async () => {
    const reading = ff3_1({ key: reversed(), alphabet: digits, allowNonApproved: true })
    for (const bytes of [0, 6, 8]) {
      await expect(
        reading.decrypt('4111111111111111', { tweak: new Uint8Array(bytes) }),
      ).rejects.toMatchObject({ code: 'TWEAK_INVALID', expected: '7 bytes' })
    }
  })
})

/** The same values through every form, and back. */
async function allForms(cipher: FpeCipher, values: readonly string[]): Promise<string[]> {
  const many = await cipher.encryptMany(values, { tweak })
  const { alphabet: symbols } = cipher
  for (const [i, value] of values.entries()) {
    expect(await cipher.encrypt(value, { tweak })).toBe(many[i])
    const numerals = await cipher.encryptNumerals(symbols.encode(value), { tweak })
    expect(symbols.decode(numerals)).toBe(many[i])
    expect(symbols.decode(await cipher.decryptNumerals(numerals, { tweak }))).toBe(value)
    expect(await cipher.decrypt(many[i]!, { tweak })).toBe(value)
  }
  expect(await cipher.decryptMany(many, { tweak })).toEqual(values)
  return many
}

describe('forms', () => {
  const shapes: readonly [string, Alphabet, number][] = [
    ['digits', digits, 16],
    ['wide digits', digits, 64],
    ['base62', alphabets.base62, 32],
    ['bits', alphabets.binary, 100],
    [
      'graphemes',
      alphabet(['ä', 'ö', '\u{1F468}', '\u{1F468}\u200D\u{1F469}', '\u{1F1E9}\u{1F1EA}']),
      20,
    ],
    ['Greek', alphabet('αβγδεζηθικλμνξοπρστυφχψω'), 12],
  ]
  it.each(shapes)('agree: %s', async (_name, symbols, length) => {
    const cipher = ff1({ key: countingAes(key), alphabet: symbols })
    const values = Array.from({ length: 30 }, (_, i) =>
      symbols.decode(
        Array.from({ length: length + (i % 3) }, (__, at) => (i * 31 + at * 7) % symbols.radix),
      ),
    )
    const results = await allForms(cipher, values)
    for (const [i, result] of results.entries()) {
      expect(symbols.encode(result)).toHaveLength(symbols.encode(values[i]!).length)
    }
    if (symbols.asciiRuns !== undefined) {
      const same = values.filter((_, i) => i % 3 === 0)
      const records = utf8(same.join(''))
      const packed = await cipher.encryptPacked(records, { length, tweak })
      expect(Buffer.from(packed).toString()).toBe(results.filter((_, i) => i % 3 === 0).join(''))
      expect(await cipher.decryptPacked(packed, { length, tweak })).toEqual(records)
    }
  })

  it('for many take one tweak each', async () => {
    const values = Array.from({ length: 60 }, (_, i) => String(4e15 + (i % 5)).slice(i % 2))
    const tweaks = values.map((_, i) => new Uint8Array(i % 30).fill(i))
    const many = await pan.encryptMany(values, { tweaks })
    for (const [i, value] of values.entries()) {
      expect(await pan.encrypt(value, { tweak: tweaks[i]! })).toBe(many[i])
    }
    expect(await pan.decryptMany(many, { tweaks })).toEqual(values)
    await expect(pan.encryptMany(values, { tweaks: tweaks.slice(1) })).rejects.toMatchObject({
      code: 'TWEAK_INVALID',
    })
  })

  it('take the tweak of the cipher where a call brings none, and never two', async () => {
    const own = ff1({ key: countingAes(key), alphabet: [...digits.symbols], tweak })
    const value = '4111111111111111'
    expect(own.alphabet).toBe(digits)
    const there = await pan.encrypt(value, { tweak })
    expect(await own.encrypt(value)).toBe(there)
    expect(await own.encryptMany([value])).toEqual([there])
    expect(await own.encryptPacked(utf8(value), { length: 16 })).toEqual(utf8(there))
    expect(await own.decrypt(there)).toBe(value)
    const other = await own.encrypt(value, { tweak: new Uint8Array() })
    expect(other).toBe(await pan.encrypt(value, { tweak: new Uint8Array() }))
    expect(other).not.toBe(there)
    await expect(own.encryptMany([value], { tweak, tweaks: [tweak] })).rejects.toMatchObject({
      code: 'TWEAK_INVALID',
    })
  })

  it('share the calls of one key, however often it is named', async () => {
    const cipher = countingAes(key)
    let taken = 0
    const named = {
      blockCipher: () => {
        taken += 1
        return cipher
      },
    }
    const [a, b] = [digits, alphabets.base62].map((alphabet) =>
      ff1({ key: named, alphabet, tweak }),
    )
    await Promise.all([a!.encrypt('4111111111111111'), b!.encrypt('4111111111111111')])
    const before = cipher.calls.length
    await Promise.all([a!.encrypt('4111111111111111'), b!.encrypt('4111111111111111')])
    expect(taken).toBe(1)
    expect(cipher.calls.length - before).toBe(10)
  })

  it('want a key', () => {
    for (const none of [undefined, null, {}, key]) {
      const options = { key: none, alphabet: digits } as unknown as Ff1Options
      expect(() => ff1(options)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }))
    }
  })

  it('want an alphabet or a radix', () => {
    const both = { key: countingAes(key), alphabet: digits, radix: 10 } as unknown as Ff1Options
    const neither = { key: countingAes(key) } as unknown as Ff1Options
    const given = { key: countingAes(key) }
    // The name of an alphabet, which would also do as symbols; no list at all.
    const wrong = ['base62', null, 10].map((one) => ({ ...given, alphabet: one }) as never)
    for (const options of [both, neither, ...wrong]) {
      expect(() => ff1(options)).toThrow(expect.objectContaining({ code: 'ALPHABET_INVALID' }))
    }
    expect(() => ff1({ key: countingAes(key), radix: 1 })).toThrow(
      expect.objectContaining({ code: 'RADIX_INVALID' }),
    )
  })

  it('for many take more than a batch, in order, and nothing', async () => {
    const values = Array.from({ length: 10_000 }, (_, i) => String(4e15 + i).slice(i % 4))
    const many = await pan.encryptMany(values, { tweak })
    expect(new Set(many).size).toBe(values.length)
    expect(many.every((value, i) => value.length === values[i]!.length)).toBe(true)
    expect(await pan.decryptMany(many, { tweak })).toEqual(values)
    const progress: number[] = []
    const onProgress = (done: number, total: number) => void progress.push(done, total)
    expect(await pan.encryptMany([], { tweak, onProgress })).toEqual([])
    expect(progress).toEqual([0, 0])
    expect(await pan.encryptPacked(new Uint8Array(), { length: 16, tweak })).toEqual(
      new Uint8Array(),
    )
  })

  it('depend on key and tweak', async () => {
    const value = '4111111111111111'
    const one = await pan.encrypt(value, { tweak })
    expect(await pan.encrypt(value, { tweak: utf8('customerz') })).not.toBe(one)
    expect(await pan.encrypt(value, { tweak: new Uint8Array() })).not.toBe(one)
    expect(await pan.encrypt(value, { tweak: new Uint8Array(1) })).not.toBe(
      await pan.encrypt(value, { tweak: new Uint8Array() }),
    )
    const other = ff1({ key: countingAes(randomBytes(32)), alphabet: digits })
    expect(await other.encrypt(value, { tweak })).not.toBe(one)
  })
})

describe.each(ways)('the packed form, %s', (_way, pan) => {
  it('takes a copy: the caller may change the buffer at once', async () => {
    const records = utf8('41111111111111114111111111111112')
    const expected = await pan.encryptPacked(records, { length: 16, tweak })
    const own = records.slice()
    const pending = pan.encryptPacked(own, { length: 16, tweak })
    own.fill(0)
    expect(await pending).toEqual(expected)
    // The slice of a Buffer is a view, not a copy.
    const buffer = Buffer.from(records)
    const bufferTweak = Buffer.from(tweak)
    const later = pan.encryptPacked(buffer, { length: 16, tweak: bufferTweak })
    buffer.fill(0)
    bufferTweak.fill(0)
    expect(await later).toEqual(expected)
    const detached = pan.encryptPacked(records, { length: 16, tweak })
    structuredClone(records, { transfer: [records.buffer as ArrayBuffer] })
    expect(records.length).toBe(0)
    expect(await detached).toEqual(expected)
  })

  it('refuses what is not whole records of the alphabet', async () => {
    const options = { length: 16, tweak }
    await expect(pan.encryptPacked(utf8('4111'), options)).rejects.toMatchObject({
      code: 'LENGTH_INVALID',
    })
    await expect(
      pan.encryptPacked(utf8('41111111111111114111-11111111112'), options),
    ).rejects.toMatchObject({ code: 'SYMBOL_INVALID', index: 1, where: 'symbol 5' })
    await expect(pan.encryptPacked(new Uint8Array(12), { length: 4, tweak })).rejects.toMatchObject(
      { code: 'DOMAIN_TOO_SMALL' },
    )
    for (const length of [0, -16, 1.5, NaN]) {
      await expect(pan.encryptPacked(new Uint8Array(16), { length, tweak })).rejects.toMatchObject({
        name: 'FpeError',
        code: 'LENGTH_INVALID',
      })
    }
    const greek = ff1({ key: countingAes(key), alphabet: alphabet('αβγδεζηθ') })
    await expect(greek.encryptPacked(utf8('αβγδεζηθ'), options)).rejects.toMatchObject({
      code: 'ALPHABET_INVALID',
    })
  })
})

describe('numerals', () => {
  it('are integers below the radix', async () => {
    const list = ff1({ key: countingAes(key), radix: 256 })
    for (const bad of [256, -1, 1.5, NaN, 65_536, 2 ** 32]) {
      await expect(list.encryptNumerals([1, 2, 3, bad], { tweak })).rejects.toMatchObject({
        ...{ code: 'SYMBOL_INVALID', where: 'symbol 4' },
      })
    }
    await expect(list.encryptNumerals({ length: 1e9 }, { tweak })).rejects.toMatchObject({
      code: 'LENGTH_INVALID',
    })
    expect(await list.encryptNumerals(Uint8Array.of(255, 0, 1), { tweak })).toHaveLength(3)
  })
})

describe.each(ways)('a bad value among many, %s', (_way, pan) => {
  const good = Array.from({ length: 9000 }, (_, i) => String(4e15 + i))
  const cases: readonly [string, string, string][] = [
    ['a separator', '4111-1111-1111-1', 'SYMBOL_INVALID'],
    ['a letter', '411111111111111x', 'SYMBOL_INVALID'],
    // Its low byte is that of '1': a conversion that drops bits would take it.
    ['U+0131', '411111111111111\u0131', 'SYMBOL_INVALID'],
    ['a full-width digit', '411111111111111\uFF11', 'SYMBOL_INVALID'],
    ['a lone surrogate', '411111111111111\uD83D', 'SYMBOL_INVALID'],
    ['a NUL', '411111111111111\0', 'SYMBOL_INVALID'],
    ['too short', '41111', 'DOMAIN_TOO_SMALL'],
    ['empty', '', 'LENGTH_INVALID'],
    ['a number', 4111111111111111 as unknown as string, 'SYMBOL_INVALID'],
    ['undefined', undefined as unknown as string, 'SYMBOL_INVALID'],
  ]
  it.each(cases)('is named by its index: %s', async (_name, value, code) => {
    for (const index of [0, 5000]) {
      const error: unknown = await pan
        .encryptMany(good.with(index, value), { tweak })
        .catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ name: 'FpeError', code, index })
      if (typeof value === 'string' && value.length > 3) {
        expect(JSON.stringify(error)).not.toContain(value.slice(0, 8))
      }
    }
  })

  it('is found although the lengths of others make up for it', async () => {
    const values = ['411111111111111\u0131', '41111111111111', '4111111111111111']
    await expect(pan.encryptMany(values, { tweak })).rejects.toMatchObject({
      ...{ code: 'SYMBOL_INVALID', index: 0, where: 'symbol 16' },
    })
  })

  it('gives nothing back, and the next call works', async () => {
    const signal = AbortSignal.abort()
    await expect(pan.encryptMany(good, { tweak, signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    const control = new AbortController()
    const onProgress = () => control.abort()
    await expect(
      pan.encryptMany(good, { tweak, signal: control.signal, onProgress }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await pan.encryptMany(good.slice(0, 3), { tweak })).toHaveLength(3)
  })

  it('stands in something that is no list, of which nothing would be seen', async () => {
    for (const values of [new Set(['4111111111111111']), '4111111111111111', 5, null]) {
      await expect(pan.encryptMany(values as unknown as string[], { tweak })).rejects.toMatchObject(
        { code: 'SYMBOL_INVALID', message: 'the values are no list' },
      )
    }
  })

  it('is not text, or its tweak is missing', async () => {
    const none = {} as unknown as { tweak: Uint8Array }
    await expect(pan.encrypt('4111111111111111', none)).rejects.toMatchObject({
      code: 'TWEAK_INVALID',
    })
    await expect(pan.encryptMany(['4111111111111111'], none)).rejects.toMatchObject({
      code: 'TWEAK_INVALID',
    })
    await expect(
      pan.encryptPacked(utf8('4111111111111111'), { ...none, length: 16 }),
    ).rejects.toMatchObject({ code: 'TWEAK_INVALID' })
    await expect(
      pan.encryptMany(['4111111111111111'], { tweaks: [undefined as unknown as Uint8Array] }),
    ).rejects.toMatchObject({ code: 'TWEAK_INVALID', index: 0 })
    await expect(pan.encrypt(7 as unknown as string, { tweak })).rejects.toMatchObject({
      code: 'SYMBOL_INVALID',
    })
  })
})
