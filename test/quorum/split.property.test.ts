import fc from 'fast-check'
import { expect, test } from 'vitest'

import { equal, toHex } from '../../src/bytes.ts'
import { combineShares, splitSecret } from '../../src/quorum/index.ts'

import { interpolate } from './gf256.ts'
import { scope, thrown } from './people.ts'

const splits = fc
  .record({
    secret: fc.uint8Array({ minLength: 16, maxLength: 64 }),
    threshold: fc.integer({ min: 2, max: 6 }),
    more: fc.integer({ min: 0, max: 5 }),
    order: fc.infiniteStream(fc.nat()),
  })
  .map(({ secret, threshold, more, order }) => ({ secret, threshold, n: threshold + more, order }))

/** A random selection, in random order. */
function choose<T>(all: readonly T[], count: number, order: Iterator<number>): T[] {
  const left = [...all]
  return Array.from({ length: count }, () => {
    const at = Number(order.next().value) % left.length
    return left.splice(at, 1)[0]!
  })
}

test('any t of n shares give the secret; any t-1 are refused and do not determine it', async () => {
  await fc.assert(
    fc.asyncProperty(splits, async ({ secret, threshold, n, order }) => {
      const holders = Array.from({ length: n }, (_, at) => `holder ${at + 1}`)
      const { shares, commitments } = await splitSecret(secret, { ...scope, threshold }, holders)
      const chosen = choose(shares, threshold, order)
      expect(toHex(await combineShares(chosen, commitments))).toBe(toHex(secret))

      const few = choose(shares, threshold - 1, order)
      const error = await thrown(() => combineShares(few, commitments))
      expect(error).toMatchObject({ code: 'QUORUM_NOT_MET', have: threshold - 1, need: threshold })
      // By chance one wrong interpolation in 2^128 or fewer equals the secret.
      expect(equal(interpolate(few.map(({ value }) => value)), secret)).toBe(false)
    }),
    { numRuns: 60 },
  )
})

test('one changed byte anywhere in one share is refused and names that share', async () => {
  await fc.assert(
    fc.asyncProperty(
      splits,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      async (split, at, flip) => {
        const { secret, threshold, n, order } = split
        const holders = Array.from({ length: n }, (_, index) => `holder ${index + 1}`)
        const { shares, commitments } = await splitSecret(secret, { ...scope, threshold }, holders)
        const chosen = choose(shares, threshold, order)
        const bad = chosen[at % threshold]!
        bad.value[at % bad.value.length]! ^= flip
        const error = await thrown(() => combineShares(chosen, commitments))
        expect(error).toMatchObject({
          code: 'SHARE_INVALID',
          where: `share ${bad.index} of ${bad.holder}`,
        })
      },
    ),
    { numRuns: 60 },
  )
})
