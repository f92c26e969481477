/**
 * Against other implementations: `@noble/ciphers` FF1 and npm `ff3` FF3-1 where they are right, 100,000 values and more;
 * where they, or others, are known to be wrong, keyrite is right.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { createRequire } from 'node:module'

import { FF1 as NobleFf1 } from '@noble/ciphers/ff1.js'
import { describe, expect, it } from 'vitest'

import { toHex, utf8 } from '../../src/bytes.ts'
import { alphabets, digits, ff1, ff3_1, runRecords, softwareAes } from '../../src/fpe/index.ts'
import type { FpeRecord } from '../../src/fpe/index.ts'
import { minLength } from '../../src/fpe/parameters.ts'
import { countingAes } from './counting-aes.ts'
import { vectorSets } from './vector-sets.ts'

interface Ff3 {
  encrypt(text: string): string
  decrypt(text: string): string
}
const Ff3Cipher = createRequire(import.meta.url)('ff3') as new (
  key: string,
  tweak: string,
  radix: number,
) => Ff3

/** Bytes that look random and are the same in every run. */
function* seeded(seed: string): Generator<number, never> {
  for (let i = 0; ; i++) yield* createHash('sha256').update(`${seed}/${i}`).digest()
}

/** Numbers below a limit from {@link seeded}. */
class Draw {
  readonly #bytes: Generator<number, never>
  constructor(seed: string) {
    this.#bytes = seeded(seed)
  }
  below(limit: number): number {
    const { value: a } = this.#bytes.next()
    const { value: b } = this.#bytes.next()
    const { value: c } = this.#bytes.next()
    return (a * 65_536 + b * 256 + c) % limit
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256))
  }
  numerals(radix: number, length: number): Uint16Array {
    return Uint16Array.from({ length }, () => this.below(radix))
  }
}

const key = new Draw('key').bytes(32)

describe('@noble/ciphers FF1', () => {
  /** Radixes and how many symbols more than a domain of 100 needs, at most. */
  const shapes: readonly [number, number][] = [
    ...[2, 3, 7, 8, 10, 16, 26, 32, 36, 62, 64, 85, 100, 255, 256].map((r): [number, number] => [
      r,
      14,
    ]),
    ...[257, 1000, 4096, 65_535].map((r): [number, number] => [r, 6]),
    [10, 60],
    [2, 120],
  ]
  const ROUNDS = 72
  const PER_TWEAK = 64

  it('agrees on more than 80,000 values', { timeout: 120_000 }, async () => {
    const native = softwareAes(key)
    const typescript = countingAes(key)
    const draw = new Draw('noble')
    let checked = 0
    for (let round = 0; round < ROUNDS; round++) {
      const records: FpeRecord[] = []
      const expected: Uint16Array[] = []
      for (const [radix, more] of shapes) {
        const length = minLength(radix, 100) + draw.below(more)
        const tweak = draw.bytes(draw.below(20))
        const noble = NobleFf1(radix, key, tweak)
        const few = length > 30 ? 8 : PER_TWEAK
        for (let i = 0; i < few; i++) {
          const numerals = draw.numerals(radix, length)
          records.push({ radix, numerals, tweak })
          expected.push(Uint16Array.from(noble.encrypt(Array.from(numerals))))
        }
      }
      const there = await runRecords(native, 'FF1', 'encrypt', records)
      expect(there).toEqual(expected)
      if (round % 12 === 0) {
        expect(await runRecords(typescript, 'FF1', 'encrypt', records)).toEqual(expected)
      }
      checked += records.length
    }
    expect(checked).toBeGreaterThan(80_000)
  })

  it('refuses radix 65,536, which the standard has; keyrite agrees with a plain reading of it', async () => {
    expect(() => NobleFf1(65_536, key).encrypt([1, 2, 3, 4])).toThrow()
    const draw = new Draw('65536')
    const wide = ff1({ key: softwareAes(key), radix: 65_536 })
    for (let length = 2; length < 40; length++) {
      const numerals = draw.numerals(65_536, length)
      const tweak = draw.bytes(length % 18)
      const expected = plainFf1(65_536, numerals, tweak)
      expect(await wide.encryptNumerals(numerals, { tweak })).toEqual(expected)
      expect(await wide.decryptNumerals(expected, { tweak })).toEqual(numerals)
    }
    // The plain reading itself, where the peer can follow.
    const ten = draw.numerals(10, 19)
    const [peer, tweak] = [NobleFf1(10, key, utf8('abc')), utf8('abc')]
    expect(Array.from(plainFf1(10, ten, tweak))).toEqual(peer.encrypt(Array.from(ten)))
  })
})

/** SP 800-38G Algorithm 7 with nothing but BigInt and one block at a time. */
function plainFf1(radix: number, X: Uint16Array, T: Uint8Array): Uint16Array {
  const ciph = (block: Uint8Array): Uint8Array =>
    createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(block)
  const numOf = (x: readonly number[], base: number): bigint =>
    x.reduce((sum, digit) => sum * BigInt(base) + BigInt(digit), 0n)
  const str = (x: bigint, base: number, m: number): number[] =>
    Array.from({ length: m }, (_, i) =>
      Number((x / BigInt(base) ** BigInt(m - 1 - i)) % BigInt(base)),
    )
  const bytes = (x: number | bigint, length: number): number[] => str(BigInt(x), 256, length)
  const [n, t] = [X.length, T.length]
  const u = Math.floor(n / 2)
  const v = n - u
  let [A, B] = [Array.from(X.subarray(0, u)), Array.from(X.subarray(u))]
  let b = 0
  while (256n ** BigInt(b) < BigInt(radix) ** BigInt(v)) b++
  const d = 4 * Math.ceil(b / 4) + 4
  const P = [1, 2, 1, ...bytes(radix, 3), 10, u % 256, ...bytes(n, 4), ...bytes(t, 4)]
  for (let i = 0; i < 10; i++) {
    const zeros = Array<number>((((-t - b - 1) % 16) + 16) % 16).fill(0)
    const Q = [...T, ...zeros, i, ...bytes(numOf(B, radix), b)]
    let R: Uint8Array = new Uint8Array(16)
    for (let at = 0; at < P.length + Q.length; at += 16) {
      R = ciph(R.map((byte, j) => byte ^ [...P, ...Q][at + j]!))
    }
    const S = [...R]
    for (let j = 1; S.length < d; j++) S.push(...ciph(R.map((byte, k) => byte ^ bytes(j, 16)[k]!)))
    const m = i % 2 === 0 ? u : v
    const c = (numOf(A, radix) + numOf(S.slice(0, d), 256)) % BigInt(radix) ** BigInt(m)
    ;[A, B] = [B, str(c, radix, m)]
  }
  return Uint16Array.from([...A, ...B])
}

describe('npm ff3', () => {
  const reversed = softwareAes(key, { reversed: true })
  const both = { allowNonApproved: true, allowEncrypt: true } as const
  const tweak = new Draw('tweak').bytes(7)
  const symbols = '0123456789abcdefghijklmnopqrstuvwxyz'

  it(
    'agrees on more than 23,000 values, where it gives as many symbols as it got',
    { timeout: 120_000 },
    async () => {
      const draw = new Draw('ff3')
      const typescript = countingAes(key, { reversed: true })
      let checked = 0
      for (let round = 0; round < 60; round++) {
        const records: FpeRecord[] = []
        const expected: Uint16Array[] = []
        for (const radix of [10, 16, 26, 36]) {
          const length = minLength(radix, 1_000_000) + draw.below(12)
          const own = draw.bytes(7)
          const peer = new Ff3Cipher(toHex(key), toHex(own), radix)
          for (let i = 0; i < 100; i++) {
            const numerals = draw.numerals(radix, length)
            const there = peer.encrypt(Array.from(numerals, (one) => symbols[one]).join(''))
            if (there.length !== length) continue
            records.push({ radix, numerals, tweak: own })
            expected.push(Uint16Array.from(there, (one) => symbols.indexOf(one)))
          }
        }
        expect(await runRecords(reversed, 'FF3-1', 'encrypt', records)).toEqual(expected)
        if (round % 12 === 0) {
          expect(await runRecords(typescript, 'FF3-1', 'encrypt', records)).toEqual(expected)
        }
        checked += records.length
      }
      expect(checked).toBeGreaterThan(23_000)
    },
  )

  it('gives short values back for 100 bits, which cannot be decrypted; keyrite never does', async () => {
    const draw = new Draw('short')
    const peer = new Ff3Cipher(toHex(key), toHex(tweak), 2)
    const bits = ff3_1({ key: reversed, alphabet: alphabets.binary, ...both })
    const values = Array.from({ length: 5000 }, () => draw.numerals(2, 100).join(''))
    const short = values.filter((value) => peer.encrypt(value).length !== 100)
    expect(short.length).toBeGreaterThan(0)
    const there = await bits.encryptMany(values, { tweak })
    expect(there.every((value) => /^[01]{100}$/.test(value))).toBe(true)
    expect(await bits.decryptMany(there, { tweak })).toEqual(values)
    // So does FF1.
    const plain = ff1({ key: softwareAes(key), alphabet: alphabets.binary })
    const other = await plain.encryptMany(values, { tweak })
    expect(other.every((value) => /^[01]{100}$/.test(value))).toBe(true)
    expect(await plain.decryptMany(other, { tweak })).toEqual(values)
  })

  it('reads separators and letters as digits and loses the rest; keyrite refuses them', async () => {
    const peer = new Ff3Cipher(toHex(key), toHex(tweak), 10)
    const ciphers = [
      ff3_1({ key: reversed, alphabet: digits, ...both }),
      ff1({ key: softwareAes(key), alphabet: digits }),
      ff1({ key: countingAes(key), alphabet: digits }),
    ]
    for (const value of ['4111-1111-1111', '12345x7890']) {
      expect(peer.decrypt(peer.encrypt(value))).not.toBe(value)
      for (const cipher of ciphers) {
        const refusal = { name: 'FpeError', code: 'SYMBOL_INVALID' }
        await expect(cipher.encrypt(value, { tweak })).rejects.toMatchObject(refusal)
        await expect(cipher.decrypt(value, { tweak })).rejects.toMatchObject(refusal)
        await expect(cipher.encryptMany([value], { tweak })).rejects.toMatchObject(refusal)
      }
    }
  })

  it('folds upper case into lower case; keyrite keeps them apart', async () => {
    const peer = new Ff3Cipher(toHex(key), toHex(tweak), 36)
    expect(peer.encrypt('ABCDEF1234')).toBe(peer.encrypt('abcdef1234'))
    const lower = ff1({ key: softwareAes(key), alphabet: alphabets['alphanumeric-lower'] })
    await expect(lower.encrypt('ABCDEF1234', { tweak })).rejects.toMatchObject({
      code: 'SYMBOL_INVALID',
    })
    const cased = ff1({ key: softwareAes(key), alphabet: alphabets.base62 })
    const [a, b] = await cased.encryptMany(['ABCDEF1234', 'abcdef1234'], { tweak })
    expect(a).not.toBe(b)
    expect(await cased.decryptMany([a!, b!], { tweak })).toEqual(['ABCDEF1234', 'abcdef1234'])
  })
})

describe('radix 256, 57 symbols, which others get wrong by a logarithm in floating point', () => {
  // 29 symbols make the longer half: exactly 29 bytes.
  it('matches the Wycheproof vectors', async () => {
    const set = vectorSets().find(({ name }) => name.endsWith('radix256'))!
    let checked = 0
    for (const [bytes, list] of set.byKey()) {
      const cipher = softwareAes(bytes)
      for (const { radix, tweak, plaintext, ciphertext } of list) {
        if (plaintext.length !== 57) continue
        expect(Math.ceil(Math.ceil((29 * Math.log(256)) / Math.log(2)) / 8)).toBe(30)
        const record = { radix, tweak, numerals: plaintext }
        expect(await runRecords(cipher, 'FF1', 'encrypt', [record])).toEqual([ciphertext])
        checked++
      }
    }
    expect(checked).toBeGreaterThan(0)
  })
})
