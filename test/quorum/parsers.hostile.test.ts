/** Every parser on mutated input: it accepts, or it throws one of keyrite's own errors. Nothing else, and never a hang. */
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { equal, utf8 } from '../../src/bytes.ts'
import { KeyriteError } from '../../src/errors.ts'
import {
  checkSshsig,
  decodeSshsig,
  encodeIntent,
  encodeShareText,
  encodeSshsig,
  makeIntent,
  newShareIdentity,
  openShare,
  parseAllowedSigners,
  parseIntent,
  parseKeyBlob,
  parsePublicKey,
  parseShareText,
  sealShare,
  splitSecret,
  verifySshsig,
} from '../../src/quorum/index.ts'
import { matchesPatternList } from '../../src/quorum/pattern-list.ts'

import { holders, person, rosterText, scope, thrown, topic } from './people.ts'

const people = [person('alice'), person('bob', 'ecdsa-p256-sha256')]
const message = utf8('message')
const armored = await Promise.all(
  people.map(({ signer }) => signer.sign('keyrite-approval', message)),
)
const share = (await splitSecret(new Uint8Array(32).fill(9, 2), scope, holders)).shares[0]!
const shareText = encodeShareText(share)
const key = await newShareIdentity()
const file = await sealShare(share, { recipient: key.recipient })
const roster = `# c\na@x namespaces="n",valid-after="20260101Z" ${people[0]!.publicKey}\n${rosterText(people)}`

/** 1 to 4 edits of a byte string: flip, delete, insert, duplicate a slice, cut. */
const mutated = (start: Uint8Array) =>
  fc
    .array(
      fc.record({
        kind: fc.constantFrom('flip', 'delete', 'insert', 'repeat', 'cut'),
        at: fc.nat({ max: start.length }),
        byte: fc.nat({ max: 255 }),
        length: fc.nat({ max: 40 }),
      }),
      { minLength: 1, maxLength: 4 },
    )
    .map((edits) =>
      edits.reduce<number[]>((bytes, { kind, at, byte, length }) => {
        const head = bytes.slice(0, at)
        const tail = bytes.slice(at)
        if (kind === 'flip') return [...head, (tail[0] ?? 0) ^ byte, ...tail.slice(1)]
        if (kind === 'delete') return [...head, ...tail.slice(length)]
        if (kind === 'insert') return [...head, byte, ...tail]
        if (kind === 'repeat') return [...head, ...tail.slice(0, length), ...tail]
        return head
      }, Array.from(start)),
    )
    .map((bytes) => Uint8Array.from(bytes))

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

async function onlyOwnErrors(call: () => unknown): Promise<boolean> {
  try {
    await call()
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(KeyriteError)
    return false
  }
}

const runs = { numRuns: 2500 }

test('SSHSIG armor and blob: what is accepted is the one form, and verifies only if it is the original', async () => {
  for (const original of armored) {
    const blob = new Uint8Array(Buffer.from(original.split('\n').slice(1, -2).join(''), 'base64'))
    const wrap = (bytes: Uint8Array) =>
      `-----BEGIN SSH SIGNATURE-----\n${Buffer.from(bytes)
        .toString('base64')
        .replace(/(.{70})(?=.)/g, '$1\n')}\n-----END SSH SIGNATURE-----\n`
    expect(wrap(blob)).toBe(original)
    const inputs = fc.oneof(mutated(utf8(original)).map(latin1), mutated(blob).map(wrap))
    await fc.assert(
      fc.asyncProperty(inputs, async (text) => {
        await onlyOwnErrors(() => {
          const sig = decodeSshsig(text)
          checkSshsig(sig, 'keyrite-approval', message)
          // Only other wrapping of the same bytes may still verify.
          expect(encodeSshsig(sig)).toBe(original)
        })
      }),
      runs,
    )
  }
})

test('public keys', async () => {
  for (const { publicKey } of people) {
    const blob = new Uint8Array(Buffer.from(publicKey.split(' ')[1]!, 'base64'))
    await fc.assert(
      fc.asyncProperty(mutated(blob), async (bytes) => {
        await onlyOwnErrors(() => parseKeyBlob(bytes))
        await onlyOwnErrors(() => parsePublicKey(latin1(bytes)))
      }),
      runs,
    )
    await fc.assert(
      fc.asyncProperty(mutated(utf8(publicKey)), async (bytes) => {
        await onlyOwnErrors(() => parsePublicKey(latin1(bytes)))
      }),
      runs,
    )
  }
})

test('roster', async () => {
  const at = new Date('2026-06-01')
  await fc.assert(
    fc.asyncProperty(mutated(utf8(roster)), async (bytes) => {
      await onlyOwnErrors(() =>
        verifySshsig({
          signature: armored[0]!,
          message,
          namespace: 'keyrite-approval',
          principal: people[0]!.principal,
          roster: parseAllowedSigners(latin1(bytes)),
          at,
        }),
      )
    }),
    runs,
  )
})

test('share text: only the original parses', async () => {
  await fc.assert(
    fc.asyncProperty(mutated(shareText), async (bytes) => {
      // Anything else would need a matching check line: 32 bits, not met by chance in these runs.
      const accepted = await onlyOwnErrors(() => parseShareText(bytes))
      expect(accepted).toBe(equal(bytes, shareText))
    }),
    runs,
  )
})

test('share files', async () => {
  await fc.assert(
    fc.asyncProperty(mutated(file), async (bytes) => {
      const accepted = await onlyOwnErrors(() => openShare(bytes, key))
      if (accepted) expect(latin1(bytes).trim().replaceAll('\r', '')).toBe(latin1(file).trim())
    }),
    { numRuns: 500 },
  )
})

test('intents from a log', async () => {
  const intent = makeIntent({
    ...topic,
    expires: '2026-06-01T12:00:00Z',
    signer: 'alice@keyrite.example',
    nonce: '0'.repeat(32),
  })
  const values = fc.oneof(fc.jsonValue(), fc.constant(undefined), fc.double(), fc.bigInt())
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...Object.keys(intent)), values, async (field, value) => {
      const accepted = await onlyOwnErrors(() =>
        encodeIntent(parseIntent({ ...intent, [field]: value })),
      )
      if (accepted) expect(['string', 'number']).toContain(typeof value)
    }),
    runs,
  )
  const odd = Object.create({ v: 1 }) as object
  expect(await thrown(() => parseIntent(odd))).toMatchObject({ code: 'FORMAT' })
})

test('patterns made to backtrack are linear enough', () => {
  const pattern = `${'*a'.repeat(2000)}b`
  const started = performance.now()
  expect(matchesPatternList('a'.repeat(4000), pattern)).toBe(false)
  expect(performance.now() - started).toBeLessThan(1000)
})
