/** What reaches the key, and when: calls and blocks per batch, kept states, chunks, aborts, failures, turns of the event loop. */
import { randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { FpeError } from '../../src/errors.ts'
import { costOf, digits, ff1, runRecords, softwareAes } from '../../src/fpe/index.ts'
import type { FpeRecord, Method } from '../../src/fpe/index.ts'
import type { BlockCipher, FeistelBatch } from '../../src/ports.ts'
import { workBetweenTurns } from '../event-loop.ts'
import { type CountingAes, countingAes } from './counting-aes.ts'

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

function records(radix: number, length: number, tweakLength: number, count: number): FpeRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    radix,
    numerals: Uint16Array.from({ length }, (__, at) => (i * 7919 + at * 104_729) % radix),
    tweak: new Uint8Array(tweakLength).fill(i),
  }))
}

/** Calls and blocks that a batch costs on a key that has seen nothing else. */
async function spent(
  cipher: CountingAes,
  method: Method,
  batch: readonly FpeRecord[],
): Promise<{ calls: number; blocks: number }> {
  const before = cipher.calls.length
  await runRecords(cipher, method, 'encrypt', batch)
  const calls = cipher.calls.slice(before)
  return { calls: calls.length, blocks: sum(calls) }
}

const SHAPES: readonly [number, number, number][] = [
  [10, 16, 0],
  [10, 16, 8],
  [10, 16, 12],
  [10, 16, 32],
  [10, 9, 100],
  [36, 32, 8],
  [62, 32, 3],
  [10, 58, 0],
  [10, 100, 7],
  [2, 400, 16],
  [64, 40, 8],
  [65_536, 14, 0],
  [65_536, 2, 40],
]

describe('a batch', () => {
  it.each(SHAPES)(
    'of radix %i, %i symbols, tweaks of %i bytes costs the formula',
    async (r, n, t) => {
      const cipher = countingAes(randomBytes(32), { chunkBlocks: 1 << 20 })
      const { callsPerBatch, blocksPerValue, tweakCalls } = costOf('FF1', r, n, t)
      const own = records(r, n, t, 40)
      // Once per key and shape: P. Nothing for it later.
      const first = { calls: callsPerBatch + 1, blocks: blocksPerValue * 40 + 1 }
      const later = { calls: callsPerBatch, blocks: blocksPerValue * 40 }
      const tweaksDiffer = t > 0
      if (tweaksDiffer) {
        expect(await spent(cipher, 'FF1', own)).toEqual(first)
        expect(await spent(cipher, 'FF1', own)).toEqual(later)
      }
      // A tweak that all share: its blocks once, and nothing for it later.
      const shared = own.map((record) => ({ ...record, tweak: new Uint8Array(t).fill(0xee) }))
      const rounds = {
        calls: callsPerBatch - tweakCalls,
        blocks: (blocksPerValue - tweakCalls) * 40,
      }
      const once = tweakCalls + (tweaksDiffer ? 0 : 1)
      expect(await spent(cipher, 'FF1', shared)).toEqual({
        calls: rounds.calls + once,
        blocks: rounds.blocks + once,
      })
      expect(await spent(cipher, 'FF1', shared)).toEqual(rounds)
    },
  )

  it('of FF3-1 costs eight calls', async () => {
    const cipher = countingAes(randomBytes(16), { reversed: true, chunkBlocks: 1 << 20 })
    expect(await spent(cipher, 'FF3-1', records(10, 16, 7, 50))).toEqual({ calls: 8, blocks: 400 })
  })

  it('of mixed shapes and tweaks costs as many calls as its most expensive shape', async () => {
    const cipher = countingAes(randomBytes(16), { chunkBlocks: 1 << 20 })
    const mixed = SHAPES.flatMap(([r, n, t]) => records(r, n, t, 3))
    await runRecords(cipher, 'FF1', 'encrypt', mixed)
    const costs = SHAPES.map(([r, n, t]) => costOf('FF1', r, n, t))
    expect(await spent(cipher, 'FF1', mixed)).toEqual({
      calls: Math.max(...costs.map(({ callsPerBatch }) => callsPerBatch)),
      blocks: sum(
        costs.map(({ blocksPerValue, tweakCalls }, i) =>
          // Without a tweak all records share it.
          SHAPES[i]?.[2] === 0 ? 3 * (blocksPerValue - tweakCalls) : 3 * blocksPerValue,
        ),
      ),
    })
  })

  it('is sent in chunks the key can take, 1,024 blocks by default', async () => {
    const cipher = countingAes(randomBytes(16))
    await runRecords(cipher, 'FF1', 'encrypt', records(10, 16, 8, 2500))
    expect(cipher.calls).toEqual([1, ...Array.from({ length: 10 }, () => [1024, 1024, 452]).flat()])
    const small = countingAes(randomBytes(16), { chunkBlocks: 7 })
    await runRecords(small, 'FF1', 'encrypt', records(10, 16, 8, 20))
    expect(Math.max(...small.calls)).toBe(7)
  })

  it('gives the same results whatever the chunk', async () => {
    const key = randomBytes(16)
    const mixed = SHAPES.flatMap(([r, n, t]) => records(r, n, t, 5))
    const one = await runRecords(countingAes(key), 'FF1', 'encrypt', mixed)
    const other = await runRecords(countingAes(key, { chunkBlocks: 1 }), 'FF1', 'encrypt', mixed)
    expect(other).toEqual(one)
  })

  it('computes P once for batches that start together', async () => {
    const cipher = countingAes(randomBytes(16), { chunkBlocks: 1 << 20 })
    await runRecords(cipher, 'FF1', 'encrypt', records(10, 16, 8, 3 * 4096))
    expect(cipher.calls.filter((blocks) => blocks === 1)).toHaveLength(1)
    expect(cipher.calls).toHaveLength(1 + 3 * 10)
  })

  it('of nothing costs nothing', async () => {
    const cipher = countingAes(randomBytes(16))
    expect(await runRecords(cipher, 'FF1', 'encrypt', [])).toEqual([])
    expect(cipher.calls).toEqual([])
  })
})

describe('a record that is wrong', () => {
  const bad = (change: Partial<FpeRecord>): FpeRecord[] => {
    const list = records(10, 16, 8, 10)
    return list.with(7, { ...list[7]!, ...change })
  }
  const cases: readonly [string, string, FpeRecord[]][] = [
    ['a numeral too large', 'SYMBOL_INVALID', bad({ numerals: new Uint16Array(16).fill(10) })],
    ['a length of 1', 'LENGTH_INVALID', bad({ numerals: new Uint16Array(1) })],
    ['too long', 'LENGTH_INVALID', bad({ numerals: new Uint16Array(4097) })],
    ['a domain of 64', 'DOMAIN_TOO_SMALL', bad({ radix: 8, numerals: new Uint16Array(2) })],
    ['radix 1', 'RADIX_INVALID', bad({ radix: 1 })],
    ['radix 65,537', 'RADIX_INVALID', bad({ radix: 65_537 })],
    ['a tweak too long', 'TWEAK_INVALID', bad({ tweak: new Uint8Array(4097) })],
  ]
  it.each(cases)('%s is named by its index before anything is sent', async (_what, code, list) => {
    const cipher = countingAes(randomBytes(16))
    await expect(runRecords(cipher, 'FF1', 'encrypt', list)).rejects.toMatchObject({
      ...{ name: 'FpeError', code, index: 7 },
    })
    expect(cipher.calls).toEqual([])
  })

  it('is named by its index among all, in later batches too', async () => {
    const list = records(10, 16, 8, 9000)
    list[8500] = { ...list[8500]!, numerals: new Uint16Array(16).fill(99) }
    await expect(
      runRecords(countingAes(randomBytes(16)), 'FF1', 'encrypt', list),
    ).rejects.toMatchObject({ code: 'SYMBOL_INVALID', index: 8500 })
  })
})

describe('a key', () => {
  it('for FF3-1 must be marked as reversed, one for FF1 must not', async () => {
    const batch = records(10, 16, 7, 1)
    await expect(
      runRecords(countingAes(randomBytes(16)), 'FF3-1', 'decrypt', batch),
    ).rejects.toMatchObject({ code: 'KEY_NOT_REVERSED' })
    await expect(
      runRecords(countingAes(randomBytes(16), { reversed: true }), 'FF1', 'decrypt', batch),
    ).rejects.toMatchObject({ code: 'KEY_INVALID' })
  })

  it('that fails in mid-batch loses nothing: the records are as they were, the next run succeeds', async () => {
    const key = randomBytes(16)
    const batch = records(10, 16, 20, 50)
    const before = structuredClone(batch)
    const expected = await runRecords(countingAes(key), 'FF1', 'encrypt', batch)
    // At P, in the blocks of the tweak, in a round.
    for (const at of [0, 1, 2, 7]) {
      const cipher = countingAes(key)
      const failure = new Error('device')
      cipher.onCall = (call) => {
        if (call === at) throw failure
      }
      await expect(runRecords(cipher, 'FF1', 'encrypt', batch)).rejects.toBe(failure)
      expect(batch).toEqual(before)
      expect(await runRecords(cipher, 'FF1', 'encrypt', batch)).toEqual(expected)
    }
  })

  it('that answers with another number of bytes is not believed', async () => {
    const cipher = { encryptBlocks: () => Promise.resolve(new Uint8Array(15)) }
    await expect(runRecords(cipher, 'FF1', 'encrypt', records(10, 16, 0, 1))).rejects.toMatchObject(
      { code: 'KEY_INVALID' },
    )
  })
})

describe('an abort', () => {
  it('before the start sends nothing', async () => {
    const cipher = countingAes(randomBytes(16))
    const signal = AbortSignal.abort()
    await expect(
      runRecords(cipher, 'FF1', 'encrypt', records(10, 16, 0, 1), { signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    expect(cipher.calls).toEqual([])
  })

  it('ends a batch between two calls, and the key serves the next', async () => {
    const cipher = countingAes(randomBytes(16))
    const control = new AbortController()
    cipher.onCall = (call) => {
      if (call === 3) control.abort()
    }
    const { signal } = control
    const batch = records(10, 16, 0, 10)
    await expect(runRecords(cipher, 'FF1', 'encrypt', batch, { signal })).rejects.toBeInstanceOf(
      FpeError,
    )
    expect(cipher.calls).toHaveLength(4)
    await expect(runRecords(cipher, 'FF1', 'encrypt', batch)).resolves.toHaveLength(10)
  })
})

describe('native rounds', () => {
  const key = randomBytes(32)

  it('get one batch of groups, and share it between shapes and tweaks', async () => {
    const native = softwareAes(key)
    const batches: FeistelBatch[] = []
    const cipher: BlockCipher = {
      encryptBlocks: (blocks) => native.encryptBlocks(blocks),
      feistel: async (batch) => {
        batches.push(batch)
        await native.feistel?.(batch)
      },
    }
    const mixed = [...records(10, 16, 8, 3), ...records(256, 20, 0, 4), ...records(1000, 4, 30, 5)]
    const results = await runRecords(cipher, 'FF1', 'encrypt', mixed)
    expect(results).toEqual(await runRecords(countingAes(key), 'FF1', 'encrypt', mixed))
    expect(batches).toHaveLength(1)
    expect(batches[0]?.groups.map(({ radix, count }) => [radix, count])).toEqual([
      ...[
        [10, 3],
        [256, 4],
        [1000, 5],
      ],
    ])
    // What was numerals is wiped.
    for (const { input, output } of batches[0]?.groups ?? []) {
      expect(input.every((numeral) => numeral === 0)).toBe(true)
      expect(output.every((numeral) => numeral === 0)).toBe(true)
    }
  })

  it('that fail leave the records as they were, and the next run succeeds', async () => {
    const native = softwareAes(key)
    const failure = new Error('device')
    let failing = true
    const cipher: BlockCipher = {
      encryptBlocks: (blocks) => native.encryptBlocks(blocks),
      feistel: async (batch) => {
        await native.feistel?.(batch)
        if (failing) throw failure
      },
    }
    const batch = records(10, 16, 20, 50)
    const before = structuredClone(batch)
    await expect(runRecords(cipher, 'FF1', 'encrypt', batch)).rejects.toBe(failure)
    expect(batch).toEqual(before)
    failing = false
    const there = await runRecords(cipher, 'FF1', 'encrypt', batch)
    expect(there).toEqual(await runRecords(countingAes(key), 'FF1', 'encrypt', batch))
  })

  it('end when the signal says so', async () => {
    const control = new AbortController()
    const values = Array.from({ length: 200_000 }, (_, i) => String(4e15 + i))
    const pan = ff1({ key: softwareAes(key), alphabet: digits })
    const done: number[] = []
    const run = pan.encryptMany(values, {
      tweak: new Uint8Array(),
      signal: control.signal,
      onProgress: (count) => {
        done.push(count)
        if (done.length === 3) control.abort()
      },
    })
    await expect(run).rejects.toMatchObject({ name: 'FpeError', code: 'ABORTED' })
    expect(done.length).toBeLessThan(6)
  })
})

describe('a million values', () => {
  // TypeScript rounds take as long for a tenth of them.
  const ways: readonly [string, number, () => BlockCipher][] = [
    ['natively', 1_000_000, () => softwareAes(randomBytes(32))],
    ['in TypeScript', 100_000, () => countingAes(randomBytes(32))],
  ]
  it.each(ways)('give other work its turn all the time, %s', async (_way, count, open) => {
    const pan = ff1({ key: open(), alphabet: digits })
    const values = Array.from({ length: count }, (_, i) => String(4_000_000_000_000_000 + i))
    const done: number[] = []
    const gaps = await workBetweenTurns(() =>
      pan.encryptMany(values, {
        tweak: new Uint8Array(),
        onProgress: (many, total) => {
          expect(total).toBe(values.length)
          done.push(many)
        },
      }),
    )
    expect(done).toEqual(done.toSorted((a, b) => a - b))
    expect(done.at(-1)).toBe(values.length)
    expect(gaps.length).toBeGreaterThan(100)
    // The collector of a million strings has its pauses: nearly all, not all.
    const slow = gaps.filter((gap) => gap > 20)
    expect(slow.length).toBeLessThan(gaps.length / 100)
  })
})
