import { describe, expect, test } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { QuorumError } from '../../src/errors.ts'
import {
  checkShare,
  combineShares,
  pinDigits,
  randomPin,
  type Share,
  splitSecret,
} from '../../src/quorum/index.ts'

import { holders, random, scope, thrown } from './people.ts'

const made = async () => {
  const secret = await randomPin(random)
  return { secret, ...(await splitSecret(secret, scope, holders)) }
}
const pick = (shares: readonly Share[], ...at: number[]) => at.map((index) => shares[index]!)

describe('PIN', () => {
  test('digits are the lower-case hexadecimal of 32 random bytes', async () => {
    const secret = await randomPin(random)
    expect(secret).toHaveLength(32)
    expect(Buffer.from(pinDigits(secret)).toString('ascii')).toBe(toHex(secret))
    expect(toHex(await randomPin(random))).not.toBe(toHex(secret))
  })

  test('a dead or short random source is refused', async () => {
    const dead = { bytes: (length: number) => Promise.resolve(new Uint8Array(length)) }
    const short = { bytes: () => Promise.resolve(new Uint8Array(16).fill(1, 3)) }
    expect(await thrown(() => randomPin(dead))).toMatchObject({ code: 'FORMAT' })
    expect(await thrown(() => randomPin(short))).toMatchObject({ got: '16 bytes' })
    expect(await thrown(() => pinDigits(new Uint8Array(31)))).toMatchObject({ code: 'FORMAT' })
  })
})

describe('split and combine', () => {
  test('every pair and all three give the secret back; inputs are left alone', async () => {
    const { secret, shares, commitments } = await made()
    const before = toHex(secret)
    for (const at of [
      [0, 1],
      [1, 0],
      [0, 2],
      [1, 2],
      [0, 1, 2],
    ]) {
      expect(toHex(await combineShares(pick(shares, ...at), commitments))).toBe(before)
    }
    expect(toHex(secret)).toBe(before)
    expect(shares.map(({ index, holder }) => [index, holder])).toEqual([
      [1, 'alice'],
      [2, 'bob'],
      [3, 'carol'],
    ])
    for (const share of shares) checkShare(share, commitments)
  })

  test('commitments are public: they hold no secret and differ for equal secrets', async () => {
    const { secret, shares, commitments } = await made()
    const text = JSON.stringify(commitments)
    for (const share of shares) {
      expect(text).not.toContain(toHex(share.value))
      expect(text).not.toContain(toHex(share.salt))
    }
    const again = await splitSecret(secret, scope, holders)
    expect(again.commitments.shares[0]!.commitment).not.toBe(commitments.shares[0]!.commitment)
  })

  test.each([
    ['threshold 1', { threshold: 1 }, holders],
    ['threshold above n', { threshold: 4 }, holders],
    ['fraction', { threshold: 2.5 }, holders],
    ['epoch 0', { epoch: 0 }, holders],
    ['other PIN', { pin: 'admin' as 'user' }, holders],
    ['a holder twice', {}, ['alice', 'bob', 'alice']],
    ['a holder with a line feed', {}, ['alice', 'bob\nepoch: 9', 'carol']],
    ['a padded token label', { tokenLabel: 'vault   ' }, holders],
    ['too many', {}, Array.from({ length: 256 }, (_, at) => `h${at}`)],
  ])('%s is refused with SPLIT_INVALID', async (_, change, names) => {
    const secret = await randomPin(random)
    const error = await thrown(() => splitSecret(secret, { ...scope, ...change }, names))
    expect(error).toBeInstanceOf(QuorumError)
    expect(error).toMatchObject({ code: 'SPLIT_INVALID' })
  })

  test('a short secret is refused', async () => {
    expect(await thrown(() => splitSecret(new Uint8Array(8), scope, holders))).toMatchObject({
      code: 'SPLIT_INVALID',
      got: '8 bytes',
    })
  })
})

describe('bad shares are refused and named', () => {
  test('one custodian alone', async () => {
    const { shares, commitments } = await made()
    const error = await thrown(() => combineShares(pick(shares, 1), commitments))
    expect(error).toMatchObject({ code: 'QUORUM_NOT_MET', have: 1, need: 2 })
    expect(error['got']).toContain('bob')
  })

  test('the same share twice', async () => {
    const { shares, commitments } = await made()
    const error = await thrown(() => combineShares(pick(shares, 1, 1), commitments))
    expect(error).toMatchObject({ code: 'SAME_SHARE_TWICE', where: 'share 2 of bob' })
    const relabelled = { ...shares[1]!, holder: 'alice', index: 1 }
    expect(await thrown(() => combineShares([shares[1]!, relabelled], commitments))).toMatchObject({
      code: 'SAME_SHARE_TWICE',
      where: 'share 1 of alice',
    })
  })

  test('one person twice', async () => {
    const { shares, commitments } = await made()
    const second = { ...shares[2]!, holder: 'bob' }
    expect(await thrown(() => combineShares([shares[1]!, second], commitments))).toMatchObject({
      code: 'SAME_PERSON_TWICE',
      got: 'share 2 of bob and share 3 of bob',
    })
  })

  test.each(['value', 'salt'] as const)('any flipped bit of the %s', async (part) => {
    const { shares, commitments } = await made()
    for (let at = 0; at < shares[0]![part].length; at += 1) {
      const bytes = shares[0]![part].slice()
      bytes[at]! ^= 1 << (at % 8)
      const bad = { ...shares[0]!, [part]: bytes }
      const error = await thrown(() => combineShares([shares[1]!, bad], commitments))
      expect(error).toMatchObject({ code: 'SHARE_INVALID', where: 'share 1 of alice' })
    }
  })

  test('a share of another epoch, token or PIN', async () => {
    const { secret, shares, commitments } = await made()
    for (const change of [
      { epoch: 2 },
      { tokenLabel: 'other' },
      { tokenSerial: '00' },
      { pin: 'so' as const },
    ]) {
      const foreign = await splitSecret(secret, { ...scope, ...change }, holders)
      const error = await thrown(() => combineShares([shares[0]!, foreign.shares[1]!], commitments))
      expect(error).toMatchObject({ code: 'SHARE_WRONG_EPOCH', where: 'share 2 of bob' })
      expect(error['got']).not.toBe(error['expected'])
    }
  })

  test('a share of another split of the same epoch, or one never issued', async () => {
    const { secret, shares, commitments } = await made()
    const other = await splitSecret(secret, scope, holders)
    expect(await thrown(() => checkShare(other.shares[0]!, commitments))).toMatchObject({
      code: 'SHARE_INVALID',
    })
    expect(
      await thrown(() => checkShare({ ...shares[0]!, holder: 'mallory' }, commitments)),
    ).toMatchObject({ code: 'SHARE_INVALID', got: 'share 1 of mallory' })
    expect(await thrown(() => checkShare({ ...shares[0]!, index: 9 }, commitments))).toMatchObject({
      code: 'SHARE_INVALID',
      expected: 'index 1 to 3',
    })
  })

  test('commitments nobody could have made', async () => {
    const { shares, commitments } = await made()
    const [one, two] = commitments.shares
    for (const bad of [
      { ...commitments, threshold: 1 },
      { ...commitments, of: 2 },
      { ...commitments, shares: [one!, one!, two!] },
      {
        ...commitments,
        shares: [one!, two!, { ...two!, index: 3, holder: 'x', commitment: 'zz' }],
      },
    ]) {
      expect(await thrown(() => combineShares(shares, bad))).toMatchObject({
        code: 'SPLIT_INVALID',
      })
    }
  })
})
