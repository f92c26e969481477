/**
 * Fixed shares, computed by a separate program (shift-and-reduce arithmetic, coefficients from SHA-256), so that a
 * changed library, polynomial or share layout is noticed. The last byte of a share is its x coordinate.
 */
import { combine } from 'shamir-secret-sharing'
import { describe, expect, test } from 'vitest'

import { fromHex, toHex } from '../../src/bytes.ts'
import { splitSecret } from '../../src/quorum/index.ts'

import { interpolate, inverse, multiply } from './gf256.ts'
import { scope } from './people.ts'

const VECTORS = [
  {
    threshold: 2,
    secret: 'ded6c02a4bc1fb712f3b71efcb883ad5b31f4cef6a327b079573143ec9c71fb3',
    shares: [
      'e034559d36483686ac81cfeb2e3da87b94af19ea6017a87f177e744a930cc80601',
      'a209f15fb1c87a84325416e71af90592fd64e6e57e78c6f78a69d4d67d4aaac202',
      'e83be23fd8e2b6db50b9223eed78d3efaac1b4c136ced2ba15e479eb43be6743ff',
    ],
  },
  {
    threshold: 3,
    secret: '57bb17f3f5f52ee8b9737be34ae152fd977096ad23f2390bb80ba3084d7fa6e2',
    shares: [
      '827debdd11ecddf63009ed8ecdc15fb7692764850a510cd69764e762bbc5c76b07',
      '048df59638704cce0b99df1870fa23337e4b13b08a66c92a55aa039dc1dff11780',
      'f9c0cfd8f9a162721d9ff0e7d07d75eb2f39cd76e19e09eaa37adacfcf2e96a6fe',
      '705f2bad5c13d5a8345ba4d6264d3c557634a37bf6f3cdea054484e39cef6d0b03',
      '8b5407b82f73302ddd0b010b793490a3af1002b6b511461de74c0f2808a304f65b',
    ],
  },
]

const subsets = <T>(all: readonly T[], size: number): T[][] =>
  size === 0
    ? [[]]
    : all.flatMap((first, at) =>
        subsets(all.slice(at + 1), size - 1).map((rest) => [first, ...rest]),
      )

describe('fixed shares', () => {
  test.each(VECTORS)('$threshold of n: every subset gives the secret', async (vector) => {
    const shares = vector.shares.map((share) => fromHex(share))
    for (const subset of subsets(shares, vector.threshold)) {
      expect(toHex(await combine(subset))).toBe(vector.secret)
      expect(toHex(interpolate(subset))).toBe(vector.secret)
    }
    for (const few of subsets(shares, vector.threshold - 1)) {
      expect(toHex(interpolate(few))).not.toBe(vector.secret)
    }
  })

  test('the test arithmetic is that of AES (FIPS 197 §4.2: {57} x {83} = {c1})', () => {
    expect(multiply(0x57, 0x83)).toBe(0xc1)
    for (let a = 1; a < 256; a += 1) expect(multiply(a, inverse(a))).toBe(1)
  })

  test('fresh splits are undone by the test arithmetic, with non-zero distinct coordinates', async () => {
    const secret = fromHex(VECTORS[0]!.secret)
    for (const [threshold, n] of [
      [2, 2],
      [2, 3],
      [3, 5],
      [5, 9],
    ] as const) {
      const names = Array.from({ length: n }, (_, at) => `holder-${at}`)
      const { shares } = await splitSecret(secret, { ...scope, threshold }, names)
      const coordinates = new Set(shares.map(({ value }) => value.at(-1)))
      expect(coordinates.size).toBe(n)
      expect(coordinates.has(0)).toBe(false)
      const values = shares.map(({ value }) => value)
      expect(toHex(interpolate(values.slice(-threshold)))).toBe(toHex(secret))
      expect(toHex(interpolate(values.slice(1 - threshold)))).not.toBe(toHex(secret))
    }
  })
})
