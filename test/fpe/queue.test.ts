/** Single calls made at the same time share a batch; an error reaches its own caller only. */
import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { utf8 } from '../../src/bytes.ts'
import { alphabets, costOf, digits, ff1 } from '../../src/fpe/index.ts'
import { countingAes } from './counting-aes.ts'

const tweak = utf8('customers')

describe('single calls', () => {
  it('of one turn leave as one batch, whatever their alphabets, lengths and tweaks', async () => {
    const cipher = countingAes(randomBytes(16))
    const pan = ff1({ key: cipher, alphabet: digits })
    const name = ff1({ key: cipher, alphabet: alphabets['letters-lower'] })
    const list = ff1({ key: cipher, radix: 1000 })
    const calls = async () =>
      Promise.all([
        ...Array.from({ length: 100 }, (_, i) => pan.encrypt(String(4e15 + i), { tweak })),
        name.encrypt('abcdefgh', { tweak: utf8('people') }),
        pan.encrypt('123456789', { tweak: new Uint8Array() }),
        list.encryptNumerals([999, 0, 1], { tweak }),
      ])
    const first = await calls()
    const before = cipher.calls.length
    expect(await calls()).toEqual(first)
    expect(cipher.calls.length - before).toBe(costOf('FF1', 10, 16, tweak.length).callsPerBatch)
    const alone = ff1({ key: countingAes(randomBytes(16)), alphabet: digits })
    expect(await alone.encrypt('123456789', { tweak })).toHaveLength(9)
  })

  it('equal the same values in one call for many', async () => {
    const pan = ff1({ key: countingAes(randomBytes(16)), alphabet: digits })
    const values = Array.from({ length: 50 }, (_, i) => String(4e15 + i))
    const many = await pan.encryptMany(values, { tweak })
    expect(await Promise.all(values.map((value) => pan.encrypt(value, { tweak })))).toEqual(many)
    expect(await Promise.all(many.map((value) => pan.decrypt(value, { tweak })))).toEqual(values)
  })

  it('that arrive while a batch is on its way leave together after it', async () => {
    const cipher = countingAes(randomBytes(16))
    const pan = ff1({ key: cipher, alphabet: digits })
    const later: Promise<string>[] = []
    cipher.onCall = (call) => {
      // P is call 0, the rounds of the first batch are calls 1 to 10.
      if (call >= 2 && call < 7) later.push(pan.encrypt(String(5e15 + call), { tweak }))
    }
    await pan.encrypt('4000000000000000', { tweak })
    expect(await Promise.all(later)).toHaveLength(5)
    expect(cipher.calls).toEqual([1, ...Array<number>(10).fill(1), ...Array<number>(10).fill(5)])
  })

  it('of more than a batch leave in several', async () => {
    const cipher = countingAes(randomBytes(16), { chunkBlocks: 1 << 20 })
    const pan = ff1({ key: cipher, alphabet: digits })
    await Promise.all(
      Array.from({ length: 5000 }, (_, i) => pan.encrypt(String(4e15 + i), { tweak })),
    )
    expect(new Set(cipher.calls)).toEqual(new Set([1, 4096, 904]))
  })

  it('that are wrong fail alone and send nothing', async () => {
    const cipher = countingAes(randomBytes(16))
    const pan = ff1({ key: cipher, alphabet: digits })
    const outcomes = await Promise.allSettled([
      pan.encrypt('4111111111111111', { tweak }),
      pan.encrypt('4111-1111-1111-1111', { tweak }),
      pan.encrypt('12345', { tweak }),
      pan.encrypt('4111111111111112', { tweak }),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    ])
    expect(cipher.calls).toEqual([1, ...Array<number>(10).fill(2)])
  })

  it('all learn of a failure of the key, and the key serves the next', async () => {
    const cipher = countingAes(randomBytes(16))
    const pan = ff1({ key: cipher, alphabet: digits })
    const failure = new Error('device')
    cipher.onCall = (call) => {
      if (call === 5) throw failure
    }
    const values = ['4111111111111111', '4111111111111112']
    const outcomes = await Promise.allSettled(values.map((value) => pan.encrypt(value, { tweak })))
    expect(outcomes).toEqual(values.map(() => ({ status: 'rejected', reason: failure })))
    expect(await pan.encrypt(values[0]!, { tweak })).toHaveLength(16)
  })

  it('of both directions do not disturb each other', async () => {
    const pan = ff1({ key: countingAes(randomBytes(16)), alphabet: digits })
    const there = await pan.encrypt('4111111111111111', { tweak })
    expect(
      await Promise.all([
        pan.decrypt(there, { tweak }),
        pan.encrypt('4111111111111111', { tweak }),
      ]),
    ).toEqual(['4111111111111111', there])
  })

  it('one after another leave turns to others', async () => {
    const pan = ff1({ key: countingAes(randomBytes(16)), alphabet: digits })
    let turns = 0
    const running = new AbortController()
    const watch = (async () => {
      while (!running.signal.aborted) {
        await turn()
        turns++
      }
    })()
    for (let i = 0; i < 2000; i++) await pan.encrypt(String(4e15 + i), { tweak })
    expect(turns).toBeGreaterThan(2)
    running.abort()
    await watch
  })

  it('may change their tweak and numerals once the call is made', async () => {
    const list = ff1({ key: countingAes(randomBytes(16)), radix: 10 })
    const numerals = [1, 2, 3, 4, 5, 6]
    const own = Uint8Array.of(1, 2, 3)
    const expected = await list.encryptNumerals([...numerals], { tweak: own.slice() })
    const pending = list.encryptNumerals(numerals, { tweak: own })
    numerals.fill(0)
    own.fill(0)
    expect(await pending).toEqual(expected)
  })
})
