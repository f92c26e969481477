/**
 * Planted secrets: every error path is forced, and no error, in any rendering, may hold a share, salt, PIN, passphrase
 * or identity, whole or in part.
 */
import { inspect } from 'node:util'

import { Encrypter } from 'age-encryption'
import { beforeAll, expect, test } from 'vitest'

import { fromUtf8, toBase64, toHex, utf8 } from '../../src/bytes.ts'
import {
  combineShares,
  encodeShareText,
  newShareIdentity,
  openShare,
  parseShareText,
  pinDigits,
  readBack,
  sealShare,
  type Share,
  splitSecret,
} from '../../src/quorum/index.ts'

import { holders, random, scope, thrown } from './people.ts'

const PASSPHRASE = 'planted-passphrase-4711'
const errors: Error[] = []
const planted: string[] = []

/** Hexadecimal, base64, decimal lists and Latin-1 of a secret, and 8-byte pieces of it. */
function renderings(secret: Uint8Array): string[] {
  const pieces = [secret]
  for (let at = 0; at + 8 <= secret.length; at += 8) pieces.push(secret.subarray(at, at + 8))
  return pieces.flatMap((piece) => [
    toHex(piece),
    toBase64(piece).replace(/=+$/, '').slice(0, -1),
    piece.join(','),
    piece.join(', '),
    Buffer.from(piece).toString('latin1'),
  ])
}

const collect = async (call: () => unknown): Promise<void> => {
  errors.push(await thrown(call))
}

beforeAll(async () => {
  const secret = await random.bytes(32)
  const { shares, commitments } = await splitSecret(secret, scope, holders)
  const [one, two] = shares as [Share, Share]
  const { identity, recipient } = await newShareIdentity()
  const line = fromUtf8(identity).trim().split('\n').at(-1)!
  planted.push(PASSPHRASE, line, line.slice(16, 40), fromUtf8(pinDigits(secret)))
  for (const bytes of [secret, ...shares.flatMap(({ value, salt }) => [value, salt])]) {
    planted.push(...renderings(bytes))
  }
  const passphrase = utf8(PASSPHRASE)
  const changed = (share: Share, part: 'value' | 'salt'): Share => {
    const bytes = share[part].slice()
    bytes[0]! ^= 1
    return { ...share, [part]: bytes }
  }

  // Splitting and combining.
  await collect(() => splitSecret(secret, { ...scope, threshold: 1 }, holders))
  await collect(() => splitSecret(secret.subarray(0, 8), scope, holders))
  await collect(() => pinDigits(secret.subarray(1)))
  const sets: Share[][] = [
    [one],
    [one, one],
    [one, { ...two, holder: 'alice' }],
    [one, changed(two, 'value')],
    [one, changed(two, 'salt')],
    [one, { ...two, epoch: 9 }],
    [one, { ...two, holder: 'mallory' }],
    [one, { ...two, value: two.value.subarray(1) }],
    [one, { ...two, salt: two.salt.subarray(1) }],
  ]
  for (const set of sets) await collect(() => combineShares(set, commitments))
  await collect(() => combineShares([one, two], { ...commitments, of: 9 }))

  // Files.
  const locked = await sealShare(one, { passphrase, workFactor: 10 })
  const sealed = await sealShare(one, { recipient })
  const damaged = sealed.slice()
  damaged[200]! ^= 1
  await collect(() => openShare(locked, { passphrase: utf8(`${PASSPHRASE}x`) }))
  await collect(() => openShare(locked, { identity }))
  await collect(() => openShare(sealed, { passphrase }))
  await collect(() => openShare(damaged, { identity }))
  await collect(() => openShare(sealed.subarray(0, 300), { identity }))
  await collect(() => openShare(encodeShareText(one), { identity }))
  // An identity mistyped in one place: the age package quotes it in its own error.
  await collect(() => openShare(sealed, { identity: utf8(line.slice(0, -1)) }))
  await collect(() => openShare(sealed, { identity: utf8(`${line}Q`) }))
  await collect(() => openShare(sealed, { identity: utf8(line.toLowerCase()) }))
  await collect(() => openShare(sealed, { identity: utf8(`AGE-PLUGIN-${PASSPHRASE}`) }))
  await collect(() => sealShare(one, { recipient: line }))
  await collect(() => sealShare(one, { passphrase, workFactor: 40 }))
  await collect(() => readBack(sealed, { identity }, 'bob', commitments))
  await collect(() => readBack(sealed, { identity }, 'alice', { ...commitments, epoch: 4 }))

  // Texts with one line damaged at a time, alone and inside a good age file.
  const lines = fromUtf8(encodeShareText(one)).split('\n')
  for (const at of lines.keys()) {
    if (lines[at] === '') continue
    const text = utf8(lines.map((each, index) => (index === at ? `${each}0` : each)).join('\n'))
    await collect(() => parseShareText(text))
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    const file = await encrypter.encrypt(text)
    await collect(() => openShare(file, { identity }))
  }
})

test('no rendering of any error holds a planted secret', () => {
  expect(errors.length).toBeGreaterThan(50)
  for (const error of errors) {
    const shown = [
      error.message,
      error.stack ?? '',
      String(error),
      JSON.stringify(error),
      inspect(error, { depth: 10, showHidden: true }),
    ].join('\n')
    for (const secret of planted) {
      expect(secret.length).toBeGreaterThan(7)
      expect(shown.toLowerCase()).not.toContain(secret.toLowerCase())
    }
  }
})

test('every error has a code of ours', () => {
  const codes = new Set(errors.map((error) => (error as Error & { code: string }).code))
  expect(codes).toEqual(
    new Set([
      'SPLIT_INVALID',
      'FORMAT',
      'CONFIG',
      'QUORUM_NOT_MET',
      'SAME_SHARE_TWICE',
      'SAME_PERSON_TWICE',
      'SHARE_INVALID',
      'SHARE_WRONG_EPOCH',
      'SHARE_UNREADABLE',
    ]),
  )
})
