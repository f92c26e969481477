/** AES in this process as a block cipher: blocks, native rounds, signals, disposal, and life without the addon. */
import { randomBytes } from 'node:crypto'

import { afterEach, describe, expect, it, vi } from 'vitest'

import { loadAddon } from '../../src/addon.ts'
import type { FeistelAddon } from '../../src/feistel-addon.ts'
import { softwareAes } from '../../src/fpe/software-aes.ts'
import type { BlockCipher, FeistelBatch } from '../../src/ports.ts'
import { type Shape, aesOf, expected, recordsOf, toBatch } from './feistel-oracle.ts'

const bytes = (length: number) => new Uint8Array(randomBytes(length))
const failed = (code: string, index?: number) =>
  expect.objectContaining(index === undefined ? { code } : { code, index }) as Error

/** A batch for the port; `count` records of 16 digits of each kind of tweak. */
function portBatch(
  key: Uint8Array,
  count: number,
  { method = 'FF1', signal }: Partial<FeistelBatch> = {},
) {
  const records = Array.from({ length: count }, (_, at) =>
    Array.from({ length: 16 }, (_, symbol) => (at * 31 + symbol * 7) % 10),
  )
  const shapes: Shape[] = [
    { radix: 10, records, tweaks: [bytes(7)], alphabet: '0123456789' },
    { radix: 10, records, tweaks: records.map(() => bytes(7)) },
  ]
  const aes = aesOf(key)
  const { groups } = toBatch(aes, method === 'FF3-1', false, shapes)
  const batch: FeistelBatch = { method, direction: 'encrypt', groups, signal }
  const outputs = () => groups.map((group, at) => recordsOf(group, shapes[at]!.alphabet))
  const wanted = () => shapes.map((shape) => expected(aes, method === 'FF3-1', false, shape))
  return { batch, outputs, wanted }
}

describe.each([16, 24, 32])('a key of %d bytes', (length) => {
  it('encrypts blocks and leaves the caller’s arrays alone', async () => {
    const key = bytes(length)
    const own = key.slice()
    using aes = softwareAes(key)
    const one = aesOf(own)
    for (const count of [1, 2, 1000, 5000]) {
      const blocks = bytes(16 * count)
      const before = blocks.slice()
      const results = await Promise.all([aes.encryptBlocks(blocks), aes.encryptBlocks(blocks)])
      const first = one(blocks.subarray(0, 16))
      const last = one(blocks.subarray(-16))
      for (const result of results) {
        expect(result.length).toBe(blocks.length)
        expect(result.subarray(0, 16)).toEqual(first)
        expect(result.subarray(-16)).toEqual(last)
      }
      expect(blocks).toEqual(before)
    }
    expect(key).toEqual(own)
    key.fill(0)
    expect(await aes.encryptBlocks(new Uint8Array(16))).toEqual(one(new Uint8Array(16)))
  })

  it.each([3, 400])('runs FF1 natively, %d values', async (count) => {
    const key = bytes(length)
    using aes = softwareAes(key, { chunkBlocks: 100 })
    const { batch, outputs, wanted } = portBatch(key, count)
    await aes.feistel!(batch)
    expect(outputs()).toEqual(wanted())
    expect([aes.chunkBlocks, aes.reversedKey]).toEqual([100, false])
  })

  it('reversed: runs FF3-1 under REVB(K)', async () => {
    const key = bytes(length)
    const own = key.slice()
    using aes = softwareAes(key, { reversed: true })
    expect(aes.reversedKey).toBe(true)
    expect(key).toEqual(own)
    const block = bytes(16)
    expect(await aes.encryptBlocks(block)).toEqual(aesOf(key.toReversed())(block))
    const { batch, outputs, wanted } = portBatch(key.toReversed(), 5, { method: 'FF3-1' })
    await aes.feistel!(batch)
    expect(outputs()).toEqual(wanted())
  })
})

describe('small and large batches', () => {
  afterEach(() => vi.restoreAllMocks())

  it('run at once and on a thread', async () => {
    const addon = loadAddon() as FeistelAddon
    const atOnce = vi.spyOn(addon, 'feistelOnAesSync')
    const onThread = vi.spyOn(addon, 'feistelOnAes')
    const key = bytes(32)
    using aes = softwareAes(key)
    await aes.feistel!(portBatch(key, 100).batch)
    expect([atOnce.mock.calls.length, onThread.mock.calls.length]).toEqual([1, 0])
    await aes.feistel!(portBatch(key, 1000).batch)
    expect([atOnce.mock.calls.length, onThread.mock.calls.length]).toEqual([1, 1])
    // Few records, but long tweaks of their own.
    const records = Array<number[]>(20).fill(Array<number>(16).fill(1))
    const long = { radix: 10, records, tweaks: records.map(() => bytes(4096)) }
    const { groups } = toBatch(aesOf(key), false, false, [long])
    await aes.feistel!({ method: 'FF1', direction: 'encrypt', groups })
    expect(onThread.mock.calls.length).toBe(2)
    expect(recordsOf(groups[0]!)).toEqual(expected(aesOf(key), false, false, long))
  })
})

describe('failures', () => {
  it.each([0, 1, 15, 17, 33, 64])('a key of %d bytes is none', (length) => {
    expect(() => softwareAes(bytes(length))).toThrow(failed('KEY_INVALID'))
  })

  it('text is no key, whatever its length', () => {
    const text: unknown = 'sixteen letters!'
    expect(() => softwareAes(text as Uint8Array)).toThrow(failed('KEY_INVALID'))
  })

  it.each([0, -1, 1.5, NaN, 65_537])('chunkBlocks %d is refused', (chunkBlocks) => {
    expect(() => softwareAes(bytes(16), { chunkBlocks })).toThrow(failed('CONFIG'))
  })

  it.each([0, 15, 17])('%d bytes are not whole blocks', async (length) => {
    using aes = softwareAes(bytes(16))
    await expect(aes.encryptBlocks(bytes(length))).rejects.toThrow(failed('LENGTH_INVALID'))
  })

  it.each([10, 1000])(
    'a symbol outside the alphabet is reported by record, %d values',
    async (count) => {
      const key = bytes(16)
      using aes = softwareAes(key)
      const { batch } = portBatch(key, count)
      batch.groups[1]!.input[16 * 7 + 3] = 10
      await expect(aes.feistel!(batch)).rejects.toThrow(failed('SYMBOL_INVALID', count + 7))
      expect(batch.groups[0]!.output.length).toBe(16 * count)
    },
  )

  it('a signal ends it, before and during', async () => {
    const key = bytes(16)
    using aes = softwareAes(key, { chunkBlocks: 1 })
    const early = portBatch(key, 1, { signal: AbortSignal.abort() })
    await expect(aes.feistel!(early.batch)).rejects.toThrow(failed('ABORTED'))
    const control = new AbortController()
    const { batch } = portBatch(key, 20_000, { signal: control.signal })
    const running = aes.feistel!(batch)
    // With a reason: making the default one takes longer than the job, the first time.
    control.abort('enough')
    await expect(running).rejects.toThrow(failed('ABORTED'))
    for (const { output } of batch.groups)
      expect(output.every((symbol) => symbol === 0 || symbol === 48)).toBe(true)
    await aes.feistel!({ ...batch, signal: undefined })
    expect(batch.groups[0]!.output.some((symbol) => symbol > 48)).toBe(true)
  })

  it('after disposal nothing works; a batch that runs is finished', async () => {
    const key = bytes(16)
    const aes = softwareAes(key)
    const { batch, outputs, wanted } = portBatch(key, 500)
    const running = aes.feistel!(batch)
    aes[Symbol.dispose]()
    aes[Symbol.dispose]()
    await running
    expect(outputs()).toEqual(wanted())
    await expect(aes.encryptBlocks(bytes(16))).rejects.toThrow(failed('CLOSED'))
    await expect(aes.feistel!(batch)).rejects.toThrow(failed('CLOSED'))
  })
})

describe('without native code', () => {
  afterEach(() => vi.doUnmock('../../src/addon.ts'))

  const load = async (addon: () => unknown): Promise<BlockCipher> => {
    vi.resetModules()
    vi.doMock('../../src/addon.ts', () => ({ loadAddon: addon }))
    const fresh = await import('../../src/fpe/software-aes.ts')
    return fresh.softwareAes(new Uint8Array(16))
  }

  it.each<[string, () => unknown]>([
    [
      'the addon is not compiled',
      () => {
        throw new Error('not compiled')
      },
    ],
    ['the process exports no OpenSSL', () => ({ aesOpen: () => undefined })],
  ])('%s: blocks work, rounds are left to TypeScript', async (_, addon) => {
    const aes = await load(addon)
    expect('feistel' in aes).toBe(false)
    expect(await aes.encryptBlocks(new Uint8Array(16))).toEqual(
      aesOf(new Uint8Array(16))(new Uint8Array(16)),
    )
  })
})
