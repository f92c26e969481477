/** Jobs of the addon: cancelling, closing the key, running beside each other and beside the event loop. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { describe, expect, it } from 'vitest'

import { loadAddon } from '../../src/addon.ts'
import type { FeistelAddon, NativeBatch } from '../../src/feistel-addon.ts'

const addon = loadAddon() as FeistelAddon
const ALL_WELL = { rv: 0, fn: '', invalid: -1, aborted: false, open: false }
const newCancel = () => new Int32Array(new SharedArrayBuffer(4))

/** `count` records of 16 digits. */
function decimals(count: number): NativeBatch & { output: Uint8Array } {
  const input = new Uint8Array(16 * count).map((_, at) => (at * 7 + (at >> 4)) % 10)
  const output = new Uint8Array(16 * count)
  const group = {
    ...{ radix: 10, length: 16, count, input, output },
    ...{ tweakLength: 8, tweaks: new Uint8Array(8), prefix: new Uint8Array(16).fill(3) },
  }
  return { ff3_1: false, decrypt: false, groups: [group], output }
}

describe('a job', () => {
  it('that is cancelled ends early and writes nothing', async () => {
    const key = addon.aesOpen(new Uint8Array(32))!
    const cancel = newCancel()
    const batch = decimals(1_000_000)
    const begun = performance.now()
    const running = addon.feistelOnAes(key, 64, batch, cancel)
    setTimeout(() => Atomics.store(cancel, 0, 1), 5)
    expect(await running).toEqual({ ...ALL_WELL, aborted: true })
    const cancelled = performance.now() - begun
    expect(batch.output.every((digit) => digit === 0)).toBe(true)
    Atomics.store(cancel, 0, 0)
    const again = performance.now()
    expect(await addon.feistelOnAes(key, 64, batch, cancel)).toEqual(ALL_WELL)
    expect(cancelled).toBeLessThan((performance.now() - again) / 2)
    addon.aesClose(key)
  })

  it('may write its results where its input stood, and does so when all is well only', async () => {
    const key = addon.aesOpen(new Uint8Array(32))!
    const apart = decimals(5_000)
    expect(addon.feistelOnAesSync(key, 1024, apart)).toEqual(ALL_WELL)
    const inPlace = () => {
      const batch = decimals(5_000)
      const [group] = batch.groups
      const memory = group!.input
      return { memory, batch: { ...batch, groups: [{ ...group!, output: memory }] } }
    }
    const atOnce = inPlace()
    expect(addon.feistelOnAesSync(key, 1024, atOnce.batch)).toEqual(ALL_WELL)
    expect(atOnce.memory).toEqual(apart.output)
    const job = inPlace()
    const stopped = await addon.feistelOnAes(key, 1024, job.batch, newCancel().fill(1))
    expect(stopped).toEqual({ ...ALL_WELL, aborted: true })
    expect(job.memory).toEqual(apart.groups[0]!.input)
    expect(await addon.feistelOnAes(key, 1024, job.batch, newCancel())).toEqual(ALL_WELL)
    expect(job.memory).toEqual(apart.output)
    addon.aesClose(key)
  })

  it('that was cancelled before it begins does nothing', async () => {
    const key = addon.aesOpen(new Uint8Array(32))!
    const cancel = newCancel().fill(1)
    const batch = decimals(10)
    expect(await addon.feistelOnAes(key, 1024, batch, cancel)).toEqual({
      ...ALL_WELL,
      aborted: true,
    })
    expect(batch.output.every((digit) => digit === 0)).toBe(true)
    addon.aesClose(key)
  })

  it('is finished when its key is closed meanwhile; later ones throw', async () => {
    const key = addon.aesOpen(new Uint8Array(32))!
    const [calm, batch] = [decimals(200_000), decimals(200_000)]
    expect(addon.feistelOnAesSync(key, 1024, calm)).toEqual(ALL_WELL)
    const running = addon.feistelOnAes(key, 1024, batch, newCancel())
    addon.aesClose(key)
    expect(() => addon.feistelOnAes(key, 1024, decimals(1), newCancel())).toThrow(TypeError)
    expect(() => addon.feistelOnAesSync(key, 1024, decimals(1))).toThrow(TypeError)
    addon.aesClose(key)
    expect(await running).toEqual(ALL_WELL)
    expect(batch.output).toEqual(calm.output)
  })

  it('runs beside others under the same key', async () => {
    const key = addon.aesOpen(new Uint8Array(16))!
    const calm = decimals(20_000)
    expect(addon.feistelOnAesSync(key, 100, calm)).toEqual(ALL_WELL)
    const batches = Array.from({ length: 12 }, () => decimals(20_000))
    const outcomes = await Promise.all(
      batches.map((batch, at) => addon.feistelOnAes(key, 50 + at, batch, newCancel())),
    )
    for (const [at, outcome] of outcomes.entries()) {
      expect(outcome).toEqual(ALL_WELL)
      expect(Buffer.compare(batches[at]!.output, calm.output)).toBe(0)
    }
    addon.aesClose(key)
  })

  it('of a million values holds the event loop for less than 20 ms', async () => {
    const key = addon.aesOpen(new Uint8Array(32))!
    const batch = decimals(1_000_000)
    // The best of some runs: other processes share this machine's cores.
    const delays: number[] = []
    for (let run = 0; run < 5; run++) {
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      expect(await addon.feistelOnAes(key, 1024, batch, newCancel())).toEqual(ALL_WELL)
      await new Promise((resolve) => setTimeout(resolve, 5))
      delay.disable()
      delays.push(delay.max / 1e6)
    }
    expect(Math.min(...delays)).toBeLessThan(20)
    addon.aesClose(key)
  })
})
