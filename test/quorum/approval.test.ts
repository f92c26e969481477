import { afterAll, describe, expect, test } from 'vitest'

import { utf8 } from '../../src/bytes.ts'
import { QuorumError } from '../../src/errors.ts'
import {
  approvalGate,
  type ApprovalRequest,
  argsDigest,
  encodeIntent,
  intentDigest,
  type IntentFields,
  intentNonce,
  type IntentTopic,
  makeIntent,
  parseAllowedSigners,
  parseIntent,
  type SignedIntent,
  signIntent,
  topicDigest,
} from '../../src/quorum/index.ts'

import {
  keygenVerify,
  person,
  random,
  rosterOf,
  rosterText,
  type TestPerson,
  thrown,
  topic,
  workDirectory,
} from './people.ts'

const work = workDirectory()
afterAll(work.remove)
const alice = person('alice')
const bob = person('bob', 'ecdsa-p256-sha256')
const carol = person('carol')
const mallory = person('mallory')
const roster = rosterOf(alice, bob, carol)
const now = new Date('2026-06-01T12:00:00Z')
const allowed = [alice.principal, bob.principal]

const request = (change: Partial<ApprovalRequest> = {}): ApprovalRequest => ({
  expected: topic,
  allowed,
  need: 2,
  at: now,
  ...change,
})

async function signed(who: TestPerson, change: Partial<IntentFields> = {}): Promise<SignedIntent> {
  const intent = makeIntent({
    ...topic,
    expires: '2026-06-01T12:10:00Z',
    signer: who.principal,
    nonce: await intentNonce(random),
    ...change,
  })
  return signIntent(intent, who.signer)
}

/** The same change must come back as the same refusal, alone and beside a good approval. */
async function refused(bad: SignedIntent, change: Partial<ApprovalRequest> = {}) {
  const gate = approvalGate({ roster })
  const error = await thrown(() => gate.checkOne(bad, request(change)))
  expect(error).toBeInstanceOf(QuorumError)
  const good = await signed(bob)
  const together = await thrown(() => gate.check([good, bad], request(change)))
  expect(together['code']).toBe(error['code'])
  return error
}

describe('intent', () => {
  test('is signed over its canonical bytes, which ssh-keygen verifies', async () => {
    const { intent, signature } = await signed(alice)
    const message = encodeIntent(intent)
    expect(JSON.parse(Buffer.from(message).toString())).toEqual(intent)
    const about = { principal: alice.principal, namespace: 'keyrite-approval', signature, message }
    expect(keygenVerify({ dir: work.dir, roster: rosterText([alice]), ...about })).toBe(true)
    const edited = utf8(Buffer.from(message).toString().replace('key.generate', 'key.zeroise!'))
    expect(
      keygenVerify({ dir: work.dir, roster: rosterText([alice]), ...about, message: edited }),
    ).toBe(false)
  })

  test('the order of fields does not matter, their values do', async () => {
    const { intent } = await signed(alice)
    const turned = Object.fromEntries(Object.entries(intent).reverse())
    expect(intentDigest(parseIntent(turned))).toBe(intentDigest(intent))
    expect(argsDigest({ a: 1, b: 2 })).toBe(argsDigest({ b: 2, a: 1 }))
    expect(argsDigest({ a: 1 })).not.toBe(argsDigest({ a: 2 }))
  })

  test.each([
    ['ceremony', 'XYZ'],
    ['mode', 'test'],
    ['planSha256', 'a'.repeat(63)],
    ['bindingSha256', ''],
    ['step', ''],
    ['step', 'a\nb'],
    ['action', 7],
    ['argsSha256', 'A'.repeat(64)],
    ['logSize', -1],
    ['logSize', 1.5],
    ['logRoot', ''],
    ['expires', '2026-06-01'],
    ['expires', '2026-06-01T12:00:00+02:00'],
    ['expires', '2026-13-01T12:00:00Z'],
    ['nonce', '00'],
    ['v', 2],
    ['type', 'other'],
  ])('a bad %s (%j) is refused by name', async (field, value) => {
    const { intent } = await signed(alice)
    const error = await thrown(() => parseIntent({ ...intent, [field]: value }))
    expect(error).toMatchObject({ code: 'FORMAT', got: `a bad field "${field}"` })
    const missing = Object.fromEntries(Object.entries(intent).filter(([name]) => name !== field))
    expect(await thrown(() => parseIntent(missing))).toMatchObject({ code: 'FORMAT' })
  })

  test('unknown fields and other values are refused', async () => {
    const { intent } = await signed(alice)
    expect(await thrown(() => parseIntent({ ...intent, note: '' }))).toMatchObject({
      got: 'the unknown field "note"',
    })
    for (const value of [null, [], 'x', 1]) {
      expect(await thrown(() => parseIntent(value))).toMatchObject({ code: 'FORMAT' })
    }
  })

  test('nobody signs for another, and a wrong signature is noticed when it is made', async () => {
    const { intent, signature } = await signed(alice)
    expect(await thrown(() => signIntent(intent, bob.signer))).toMatchObject({
      code: 'SIGNING_FAILED',
    })
    const stale = { principal: alice.principal, sign: () => Promise.resolve(signature) }
    const other = makeIntent({ ...(intent as unknown as IntentFields), step: '6' })
    expect(await thrown(() => signIntent(other, stale))).toMatchObject({ code: 'SIGNING_FAILED' })
    expect(await signIntent(intent, stale)).toEqual({ intent, signature })
  })
})

describe('gate', () => {
  test('two people of the role approve', async () => {
    const both = [await signed(alice), await signed(bob)]
    const granted = approvalGate({ roster }).check(both, request())
    expect(granted.approval).toEqual({ by: allowed, intentSha256: topicDigest(topic) })
    expect(granted.intentSha256).toEqual(both.map(({ intent }) => intentDigest(intent)))
    expect(new Set(granted.keyFingerprints).size).toBe(2)
  })

  test('one custodian alone, and nobody', async () => {
    const gate = approvalGate({ roster })
    const one = await signed(alice)
    expect(await thrown(() => gate.check([one], request()))).toMatchObject({
      code: 'QUORUM_NOT_MET',
      have: 1,
      need: 2,
    })
    expect(await thrown(() => gate.check([], request({ need: 1 })))).toMatchObject({ have: 0 })
    for (const need of [0, -1, Number.NaN]) {
      expect(await thrown(() => gate.check([one], request({ need })))).toMatchObject({
        code: 'QUORUM_NOT_MET',
      })
    }
    // The refusal used nothing up.
    expect(gate.check([one, await signed(bob)], request()).approval.by).toHaveLength(2)
  })

  test('one person twice, and one key under two names', async () => {
    const gate = approvalGate({ roster })
    const twice = [await signed(alice), await signed(alice)]
    expect(await thrown(() => gate.check(twice, request()))).toMatchObject({
      code: 'SAME_PERSON_TWICE',
      got: `${alice.principal} twice`,
    })
    const alias = { ...alice.signer, principal: bob.principal }
    const lines = `${alice.principal},${bob.principal} ${alice.publicKey}\n`
    const shared = approvalGate({ roster: parseAllowedSigners(lines) })
    const two = [await signed(alice), await signed({ ...bob, signer: alias })]
    const error = await thrown(() => shared.check(two, request()))
    expect(error).toMatchObject({ code: 'SAME_PERSON_TWICE' })
    expect(error['got']).toContain(`${alice.principal} and ${bob.principal}`)
  })

  test('an approval counts once: in the same gate, and after the log was read again', async () => {
    const gate = approvalGate({ roster })
    const both = [await signed(alice), await signed(bob)]
    gate.check(both, request())
    expect(await thrown(() => gate.check(both, request()))).toMatchObject({
      code: 'APPROVAL_REPLAYED',
    })
    const later = approvalGate({ roster, used: both })
    expect(await thrown(() => later.checkOne(both[0]!, request()))).toMatchObject({
      code: 'APPROVAL_REPLAYED',
    })
    // The same nonce in an intent that differs otherwise.
    const { nonce } = both[0]!.intent
    const renewed = await signed(alice, { nonce, expires: '2026-06-01T12:20:00Z' })
    expect(await thrown(() => later.checkOne(renewed, request()))).toMatchObject({
      code: 'APPROVAL_REPLAYED',
      got: `nonce ${nonce}`,
    })
  })

  const places: Partial<IntentTopic>[] = [
    { ceremony: 'deadbeefdeadbeef' },
    { mode: 'rehearsal' },
    { step: '4' },
    { logOrigin: 'example.com/ceremony/2' },
    { logSize: 6 },
    { logRoot: 'e'.repeat(64) },
  ]
  test.each(places)('an approval given at another point is replayed: %j', async (change) => {
    const error = await refused(await signed(alice, change))
    const [[field, value]] = Object.entries(change) as [[keyof IntentTopic, string | number]]
    expect(error).toMatchObject({
      code: 'APPROVAL_REPLAYED',
      expected: `${field} ${topic[field]}`,
      got: `${field} ${value}`,
    })
  })

  const contents: Partial<IntentTopic>[] = [
    { planSha256: 'e'.repeat(64) },
    { bindingSha256: 'e'.repeat(64) },
    { action: 'key.zeroise' },
    { argsSha256: 'e'.repeat(64) },
  ]
  test.each(contents)('an approval of something else is invalid: %j', async (change) => {
    const error = await refused(await signed(alice, change))
    expect(error['code']).toBe('APPROVAL_INVALID')
    expect(error['expected']).not.toBe(error['got'])
  })

  test('expiry: past, at the second, and too far ahead', async () => {
    const gate = approvalGate({ roster, maxTtlMs: 600_000 })
    const good = await signed(alice, { expires: '2026-06-01T12:00:00Z' })
    expect(gate.checkOne(good, request())).toMatch(/^SHA256:/)
    const past = await signed(alice, { expires: '2026-06-01T11:59:59Z' })
    expect(await thrown(() => gate.checkOne(past, request()))).toMatchObject({
      code: 'APPROVAL_EXPIRED',
    })
    const long = await signed(alice, { expires: '2026-06-01T12:10:01Z' })
    expect(await thrown(() => gate.checkOne(long, request()))).toMatchObject({
      code: 'APPROVAL_EXPIRED',
      message: expect.stringContaining('too long') as string,
    })
    const never = request({ at: new Date(Number.NaN) })
    expect(await thrown(() => gate.checkOne(good, never))).toMatchObject({
      code: 'APPROVAL_INVALID',
    })
  })

  test('signers: unknown, other key, other role, expired key', async () => {
    expect(await refused(await signed(mallory))).toMatchObject({ code: 'SIGNER_UNKNOWN' })
    const forged = { ...alice, signer: { ...mallory.signer, principal: alice.principal } }
    expect(await refused(await signed(forged))).toMatchObject({ code: 'SIGNER_WRONG_KEY' })
    expect(await refused(await signed(carol))).toMatchObject({ code: 'SIGNER_NOT_ALLOWED' })
    const old = parseAllowedSigners(
      `${alice.principal} valid-before="20260101Z" ${alice.publicKey}\n`,
    )
    const one = await signed(alice)
    expect(
      await thrown(() => approvalGate({ roster: old }).checkOne(one, request())),
    ).toMatchObject({ code: 'SIGNER_EXPIRED' })
  })

  test('signature: edited intent, other namespace, other text', async () => {
    const one = await signed(alice)
    const edited = { ...one, intent: { ...one.intent, argsSha256: 'e'.repeat(64) } }
    expect(await refused(edited)).toMatchObject({ code: 'APPROVAL_INVALID' })
    const signature = await alice.signer.sign('keyrite-checkpoint', encodeIntent(one.intent))
    expect(await refused({ ...one, signature })).toMatchObject({ code: 'APPROVAL_INVALID' })
    expect(await refused({ ...one, signature: 'yes' })).toMatchObject({ code: 'APPROVAL_INVALID' })
    // Signed by alice, claimed for bob.
    const claimed = { ...one, intent: { ...one.intent, signer: bob.principal } }
    expect(await refused(claimed)).toMatchObject({ code: 'SIGNER_WRONG_KEY' })
  })
})
