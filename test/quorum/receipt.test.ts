import { describe, expect, test } from 'vitest'

import {
  checkReceipt,
  checkReceipts,
  type Commitments,
  intentNonce,
  type IntentTopic,
  makeIntent,
  newShareIdentity,
  readBack,
  randomPin,
  RECEIPT_ACTION,
  type ReceiptsCheck,
  sealShare,
  type Share,
  type ShareReceipt,
  signIntent,
  splitSecret,
} from '../../src/quorum/index.ts'

import {
  holders,
  person,
  random,
  rosterOf,
  scope,
  type TestPerson,
  thrown,
  topic,
} from './people.ts'

const people = holders.map((name) => person(name))
const roster = rosterOf(...people)
const principals = Object.fromEntries(holders.map((name, at) => [name, people[at]!.principal]))
const at = new Date('2026-06-01T12:00:00Z')
const key = await newShareIdentity()

async function sign(who: TestPerson, argsSha256: string, change: Partial<IntentTopic> = {}) {
  const intent = makeIntent({
    ...topic,
    action: RECEIPT_ACTION,
    argsSha256,
    ...change,
    expires: '2026-06-01T12:05:00Z',
    signer: who.principal,
    nonce: await intentNonce(random),
  })
  return signIntent(intent, who.signer)
}

async function issue(): Promise<{
  shares: Share[]
  commitments: Commitments
  files: Uint8Array[]
  receipts: ShareReceipt[]
}> {
  const { shares, commitments } = await splitSecret(await randomPin(random), scope, holders)
  const files: Uint8Array[] = []
  const receipts: ShareReceipt[] = []
  for (const [index, holder] of holders.entries()) {
    const file = await sealShare(shares[index]!, { recipient: key.recipient })
    const { fileSha256, argsSha256 } = await readBack(file, key, holder, commitments)
    files.push(file)
    receipts.push({ holder, fileSha256, signed: await sign(people[index]!, argsSha256) })
  }
  return { shares, commitments, files, receipts }
}

const check: ReceiptsCheck = { roster, principals, topic: () => topic, at: () => at }

describe('reading a share back', () => {
  test("another holder's file and a file of another split are refused", async () => {
    const { commitments, files } = await issue()
    expect(await thrown(() => readBack(files[1]!, key, 'alice', commitments))).toMatchObject({
      code: 'SHARE_INVALID',
      got: 'share 2 of bob',
    })
    const later = await splitSecret(new Uint8Array(32).fill(7, 1), { ...scope, epoch: 4 }, holders)
    expect(await thrown(() => readBack(files[0]!, key, 'alice', later.commitments))).toMatchObject({
      code: 'SHARE_WRONG_EPOCH',
    })
  })
})

describe('all n receipts before the split counts', () => {
  test('three of three', async () => {
    const { commitments, receipts } = await issue()
    checkReceipts(commitments, receipts, check)
    checkReceipts(commitments, receipts.toReversed(), check)
  })

  test('a threshold of receipts is not enough, and who is missing is named', async () => {
    const { commitments, receipts } = await issue()
    expect(
      await thrown(() => checkReceipts(commitments, receipts.slice(0, 2), check)),
    ).toMatchObject({
      code: 'RECEIPT_MISSING',
      have: 2,
      need: 3,
      got: 'none of carol',
    })
    expect(await thrown(() => checkReceipts(commitments, [], check))).toMatchObject({
      got: 'none of alice, bob, carol',
    })
  })

  test('one receipt presented for two holders', async () => {
    const { commitments, receipts } = await issue()
    const copied = [receipts[0]!, { ...receipts[0]!, holder: 'bob' }, receipts[2]!]
    const error = await thrown(() => checkReceipts(commitments, copied, check))
    expect(error).toMatchObject({ code: 'RECEIPT_INVALID' })
    expect(error.message).toContain(people[1]!.principal)
  })

  test('a receipt for another file, split, step, or by another person', async () => {
    const { commitments, receipts } = await issue()
    const other = await issue()
    const wrong: ShareReceipt[] = [
      { ...receipts[2]!, fileSha256: 'e'.repeat(64) },
      { ...other.receipts[2]!, holder: 'carol' },
      {
        ...receipts[2]!,
        signed: await sign(people[2]!, receipts[2]!.signed.intent.argsSha256, { step: '9' }),
      },
      {
        ...receipts[2]!,
        signed: await sign(people[2]!, receipts[2]!.signed.intent.argsSha256, { action: 'plan' }),
      },
      { ...receipts[2]!, signed: await sign(people[0]!, receipts[2]!.signed.intent.argsSha256) },
    ]
    for (const bad of wrong) {
      const all = [receipts[0]!, receipts[1]!, bad]
      const error = await thrown(() => checkReceipts(commitments, all, check))
      expect(error).toMatchObject({ code: 'RECEIPT_INVALID' })
      expect(error.message).toContain(people[2]!.principal)
    }
  })

  test('one key that signs for two holders', async () => {
    const { commitments, receipts } = await issue()
    const both = { ...people[0]!, principal: people[1]!.principal }
    const signer = { ...both.signer, principal: both.principal }
    const signed = await sign({ ...both, signer }, receipts[1]!.signed.intent.argsSha256)
    const shared = rosterOf(...people, { ...both, publicKey: people[0]!.publicKey })
    const all = [receipts[0]!, { ...receipts[1]!, signed }, receipts[2]!]
    expect(
      await thrown(() => checkReceipts(commitments, all, { ...check, roster: shared })),
    ).toMatchObject({ code: 'SAME_PERSON_TWICE' })
  })

  test('a single receipt, late', async () => {
    const { receipts } = await issue()
    const { signed } = receipts[0]!
    const expected = { ...topic, argsSha256: signed.intent.argsSha256 }
    const one = { roster, expected, person: people[0]!.principal, at }
    expect(checkReceipt(signed, one)).toMatch(/^SHA256:/)
    const late = { ...one, at: new Date('2026-06-01T12:06:00Z') }
    const error = await thrown(() => checkReceipt(signed, late))
    expect(error).toMatchObject({ code: 'RECEIPT_INVALID' })
    expect(error.message).toContain('expired')
  })
})
