/** Cycle walking: permutations of sets that are no power, in few passes, and never without end. */
import { describe, expect, it } from 'vitest'

import { walkRecords } from '../../src/fpe/cycle-walk.ts'
import { runRecords } from '../../src/fpe/engine.ts'
import { domainFor, fromNumerals, toNumerals } from '../../src/fpe/mixed-radix.ts'
import type { RunRecords } from '../../src/fpe/types.ts'
import { countingAes } from './counting-aes.ts'

const key = new Uint8Array(16).fill(3)
const tweak = new Uint8Array([1, 2, 3])

describe.each([101, 111, 365, 1000, 1299])('a set of %d', (size) => {
  const domain = domainFor(BigInt(size))
  const all = Array.from({ length: size }, (_, i) => ({
    domain,
    radix: domain.radix,
    tweak,
    numerals: toNumerals(BigInt(i), domain),
  }))

  it('is permuted, and walked back', async () => {
    const cipher = countingAes(key)
    const out = await walkRecords(runRecords, cipher, 'FF1', 'encrypt', all)
    const images = out.map((numerals) => Number(fromNumerals(numerals, domain.radix)))
    expect(images.toSorted((a, b) => a - b)).toEqual(all.map((_, i) => i))
    const back = await walkRecords(
      runRecords,
      cipher,
      'FF1',
      'decrypt',
      out.map((numerals) => ({ domain, radix: domain.radix, tweak, numerals })),
    )
    expect(back.map((n) => Number(fromNumerals(n, domain.radix)))).toEqual(all.map((_, i) => i))
  })

  it('takes one pass for those that come back at once, and shares the next', async () => {
    let [passes, records] = [0, 0]
    const run: RunRecords = (cipher, method, direction, list, options) => {
      passes++
      records += list.length
      return runRecords(cipher, method, direction, list, options)
    }
    await walkRecords(run, countingAes(key), 'FF1', 'encrypt', all)
    expect(passes).toBeLessThan(15)
    // Each element outside the set is passed through at most once, for this is a permutation.
    expect(records).toBeLessThanOrEqual(domain.radix ** domain.length)
  })
})

describe('a walk', () => {
  const domain = domainFor(101n)

  it('does not start outside the set', async () => {
    const outside = { domain, radix: domain.radix, tweak, numerals: toNumerals(101n, domain) }
    const inside = { domain, radix: domain.radix, tweak, numerals: toNumerals(100n, domain) }
    await expect(
      walkRecords(runRecords, countingAes(key), 'FF1', 'encrypt', [inside, outside]),
    ).rejects.toMatchObject({ name: 'FpeError', code: 'FORMAT_MISMATCH', index: 1 })
  })

  it('ends when a cipher that is none never comes back', async () => {
    let passes = 0
    const stuck: RunRecords = (_cipher, _method, _direction, records) => {
      passes++
      return Promise.resolve(records.map(() => toNumerals(120n, domain)))
    }
    const record = { domain, radix: domain.radix, tweak, numerals: toNumerals(5n, domain) }
    await expect(
      walkRecords(stuck, countingAes(key), 'FF1', 'encrypt', [record]),
    ).rejects.toMatchObject({ code: 'FORMAT_MISMATCH', where: 'cycle walking' })
    expect(passes).toBe(200)
  })
})
