/**
 * Transcripts by a forger who holds every key, signed and summed up without a fault: only what the entries
 * mean can give them away. Each lie fails exactly the requirement that forbids it.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { canonicalDigest } from '../../src/canonical.ts'
import { failureOf, verify } from '../../src/ceremony/verify.ts'
import type { Intent } from '../../src/quorum/index.ts'
import type { Json } from '../../src/types.ts'
import { scratch } from '../tokens.ts'
import { type Forgery, type Line, forge, makeTroupe, rosterLine } from './verify-forge.ts'

const root = scratch('verify-hostile')
const troupe = makeTroupe()
let number = 0
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

async function failures(forgery: Forgery, options = {}): Promise<string[]> {
  const dir = join(root, `bundle-${(number += 1)}`)
  await forge(dir, troupe, forgery)
  const { findings, ok } = await verify(dir, options)
  const failed = findings.filter(({ status }) => status === 'failed').map(({ id }) => id)
  expect(ok).toBe(failed.length === 0)
  return failed
}

/** Changes lines of one type, in one step when given. */
const edit =
  (type: string, change: (line: Line) => Line | undefined | Line[], step?: string) =>
  (line: Line): Line | undefined | Line[] =>
    line.type === type && (step === undefined || line.step === step) ? change(line) : line

/** Applies a change to the first line that fits only. */
function once(inner: (line: Line) => Line | undefined | Line[]): Forgery['line'] {
  let used = false
  return (line) => {
    if (used) return line
    const changed = inner(line)
    used = changed !== line
    return changed
  }
}

const drop = (): undefined => undefined
const fields = (value: Json | undefined): Record<string, Json> => value as Record<string, Json>

/** Sets a field of the intent somebody is asked to sign in one step. */
const asked =
  (step: string, change: (intent: Intent) => Partial<Intent>): Forgery['intent'] =>
  (intent, about) =>
    about.step === step && about.role !== 'receipt'
      ? ({ ...intent, ...change(intent) } as Intent)
      : intent

const keyLedger =
  (name: string, change: Record<string, Json>) =>
  (line: Line): Line => {
    const ledger = fields(line['ledger'])
    const keys = fields(ledger['keys'])
    if (keys[name] === undefined) return line
    return {
      ...line,
      ledger: { ...ledger, keys: { ...keys, [name]: { ...fields(keys[name]), ...change } } },
    }
  }

describe('approvals', () => {
  const firstOf = (line: Line): boolean => line.type === 'approval' && line.step === 'make-kek'

  it('a call approved by one person', async () => {
    let seen = 0
    const line = (one: Line): Line | undefined => {
      if (firstOf(one) && (seen += 1) === 2) return undefined
      if (one.type !== 'intent' || one.step !== 'make-kek') return one
      return {
        ...one,
        approvals: [(one['approvals'] as string[])[0] ?? ''],
        approvedBy: ['alice@keyrite.example'],
      }
    }
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })

  it('a call approved by one person twice', async () => {
    expect(
      await failures({
        intent: asked('make-kek', () => ({ signer: 'alice@keyrite.example' })),
      }),
    ).toEqual(['CER-QUORUM-1'])
  })

  it('an approval named twice in one call', async () => {
    const line = edit(
      'intent',
      (one) => {
        const [first = ''] = one['approvals'] as string[]
        return { ...one, approvals: [first, first], approvedBy: ['alice@keyrite.example'] }
      },
      'make-kek',
    )
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })

  it('a call that names somebody who did not sign', async () => {
    const line = edit(
      'intent',
      (one) => ({ ...one, approvedBy: ['carol@keyrite.example'] }),
      'make-kek',
    )
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })

  it('a call that rests on the approvals of another step', async () => {
    let earlier: Json = []
    const line = (one: Line): Line => {
      if (one.type === 'intent' && one.step === 'make-log') earlier = one['approvals'] ?? []
      return one.type === 'intent' && one.step === 'make-kek' ? { ...one, approvals: earlier } : one
    }
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })

  it('the same signature logged again', async () => {
    const line = once(edit('approval', (one) => [one, one], 'make-kek'))
    expect(await failures({ line })).toEqual(['CER-REPLAY-1'])
  })

  it('a nonce used again', async () => {
    expect(
      await failures({ intent: asked('make-kek', () => ({ nonce: '00'.repeat(16) })) }),
    ).toEqual(['CER-REPLAY-1'])
  })

  it.each<[string, Partial<Intent>]>([
    ['another ceremony', { ceremony: '11'.repeat(32) }],
    ['another plan', { planSha256: '11'.repeat(32) }],
    ['another binding', { bindingSha256: '11'.repeat(32) }],
    ['another step', { step: 'make-log' }],
    ['another log', { logOrigin: 'keyrite.example/ceremony/other' }],
    ['another log root', { logRoot: '11'.repeat(32) }],
    ['an old log', { logSize: 3 }],
    ['a log of the future', { logSize: 4000 }],
    ['no time left', { expires: '2026-11-21T08:00:00.000Z' }],
    ['too much time', { expires: '2027-11-21T09:00:00.000Z' }],
  ])('signed over %s', async (_name, change) => {
    const failed = await failures({ intent: asked('make-kek', () => change) })
    expect(failed).toContain('CER-APPROVAL-1')
    expect(failed.filter((id) => !['CER-APPROVAL-1', 'CER-QUORUM-1'].includes(id))).toEqual([])
  })

  it.each<[string, Partial<Intent>]>([
    ['another action', { action: 'key.zeroise' }],
    ['other arguments', { argsSha256: '11'.repeat(32) }],
  ])('signed over %s', async (_name, change) => {
    const failed = await failures({ intent: asked('make-kek', () => change) })
    expect(failed).toEqual(['CER-QUORUM-1', 'CER-APPROVAL-1'])
  })

  it('a signature that was changed', async () => {
    const line = once(
      edit(
        'approval',
        (one) => ({ ...one, intent: { ...fields(one['intent']), nonce: '22'.repeat(16) } }),
        'make-kek',
      ),
    )
    expect(await failures({ line })).toEqual(['CER-QUORUM-1', 'CER-APPROVAL-1'])
  })

  it('an approval by somebody without the role', async () => {
    const failed = await failures({
      intent: (intent, { step, role }) =>
        step === 'make-kek' && role === 'custodian' && intent.signer.startsWith('bob')
          ? { ...intent, signer: 'wendy@keyrite.example' }
          : intent,
    })
    expect(failed).toEqual(['CER-APPROVAL-1'])
  })

  it('an approval by a key that had expired', async () => {
    const roster = troupe.roster.replace(
      /^bob.*\n/m,
      rosterLine('bob', troupe.publicKeys.get('bob') ?? '', ',valid-before="20260101Z"'),
    )
    const failed = await failures({ roster })
    expect(failed).toEqual(expect.arrayContaining(['CER-APPROVAL-1', 'SIG-CUSTODIAN-1']))
  })

  it('a plan accepted by one custodian', async () => {
    let seen = 0
    const line = edit('approval', (one) => ((seen += 1) === 2 ? undefined : one), 'accept')
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })
})

describe('calls and steps', () => {
  it('a call without a result', async () => {
    const line = edit('result', drop, 'make-kek')
    const failed = await failures({ line })
    expect(failed).toContain('CER-WAL-1')
  })

  it('a result without an intent', async () => {
    const line = edit('result', (one) => [one, { ...one, intent: 2 }], 'make-kek')
    expect(await failures({ line })).toContain('CER-WAL-1')
  })

  it('two results of one call', async () => {
    const line = edit('result', (one) => [one, one], 'make-kek')
    expect(await failures({ line })).toEqual(['CER-WAL-1'])
  })

  it('arguments that are not those of their digest', async () => {
    const line = edit('intent', (one) => ({ ...one, args: { label: 'another' } }), 'make-kek')
    expect(await failures({ line })).toEqual(['CER-WAL-1'])
  })

  it('a result called adopted without a new approval', async () => {
    const line = edit('result', (one) => ({ ...one, outcome: 'adopted' }), 'make-kek')
    expect(await failures({ line })).toEqual(['CER-QUORUM-1'])
  })

  it('steps in another order', async () => {
    const swap: Record<string, string> = { clock: 'look', look: 'clock' }
    const line = (one: Line): Line => ({ ...one, step: swap[one.step] ?? one.step })
    expect(await failures({ line })).toEqual(['CER-ORDER-1'])
  })

  it('a step left out', async () => {
    const line = (one: Line): Line | undefined => (one.step === 'clock' ? undefined : one)
    expect(await failures({ line })).toEqual(['CER-ORDER-1'])
  })

  it('a check that was not made', async () => {
    const line = edit('check', drop, 'look')
    expect(await failures({ line })).toEqual(['CER-ORDER-1'])
  })

  it('an entry outside the step it names', async () => {
    const line = edit('statement', (one) => ({ ...one, step: 'kcv' }))
    expect(await failures({ line })).toEqual(['CER-ORDER-1'])
  })

  it('something after the last entry', async () => {
    const line = edit('ceremony.close', (one) => [
      one,
      { ...one, type: 'statement', actor: 'ada', question: 'really?', value: 'yes' },
    ])
    // The line repeats fields of another type, so it is not even an entry.
    expect(await failures({ line })).toEqual(['CER-ENTRY-1'])
    expect(await failures({ line: edit('ceremony.close', (one) => [one, one]) })).toContain(
      'CER-CLOSE-1',
    )
  })

  it('a transcript without an end', async () => {
    const failed = await failures({ line: edit('ceremony.close', drop) })
    expect(failed).toContain('CER-CLOSE-1')
  })

  it('an abort closed as complete', async () => {
    const line = edit('ceremony.close', (one) => ({ ...one, outcome: 'complete' }))
    const failed = await failures({ abortAt: 'split-vault', line })
    expect(failed).toEqual(expect.arrayContaining(['CER-ORDER-1', 'CER-CLOSE-1']))
  })

  it('a stronger dual-control level than the entries show', async () => {
    const line = edit('ceremony.close', (one) => ({
      ...one,
      dualControl: { ...fields(one['dualControl']), level: 'HSM-enforced quorum' },
    }))
    expect(await failures({ line })).toEqual(['CER-DUAL-1'])
  })

  it('a clock that runs backwards', async () => {
    const line = edit('statement', (one) => ({ ...one, monoMs: 0 }))
    expect(await failures({ line })).toEqual(['CER-TIME-1'])
  })

  it('an unknown entry, an unknown field', async () => {
    const extra = edit('statement', (one) => ({ ...one, pin: '1234' }))
    expect(await failures({ line: extra })).toEqual(['CER-ENTRY-1'])
    expect(
      await failures({ line: edit('statement', (one) => ({ ...one, type: 'note' })) }),
    ).toEqual(['CER-ENTRY-1'])
  })
})

describe('mode and identity', () => {
  it('a rehearsal presented as production', async () => {
    const dir = join(root, 'rehearsal')
    await forge(dir, troupe, { mode: 'rehearsal' })
    expect((await verify(dir, { mode: 'rehearsal' })).ok).toBe(true)
    const verification = await verify(dir)
    expect(failureOf(verification, 'CER-MODE-1')).toBe('REHEARSAL_AS_PRODUCTION')
    expect(verification.errors.map(({ requirement }) => requirement)).toEqual(['CER-MODE-1'])
  })

  it('one entry of a rehearsal in a production transcript', async () => {
    const line = edit('statement', (one) => ({ ...one, mode: 'rehearsal' }))
    expect(await failures({ line })).toEqual(['CER-MODE-1'])
  })

  it('an approval given in a rehearsal', async () => {
    const failed = await failures({ intent: asked('make-kek', () => ({ mode: 'rehearsal' })) })
    expect(failed).toEqual(['CER-MODE-1'])
  })

  it('a rehearsal binding under a production transcript', async () => {
    const failed = await failures({ binding: (binding) => ({ ...binding, mode: 'rehearsal' }) })
    expect(failed).toEqual(['CER-MODE-1'])
  })

  it('a production transcript presented as rehearsal', async () => {
    expect(await failures({}, { mode: 'rehearsal' })).toEqual(['CER-MODE-1'])
  })

  it('an entry of another ceremony', async () => {
    const line = edit('statement', (one) => ({ ...one, ceremony: '11'.repeat(32) }))
    expect(await failures({ line })).toEqual(['CER-ID-1'])
  })

  it.each([
    ['planSha256', 'CER-PLAN-1'],
    ['policySha256', 'CER-PLAN-1'],
    ['bindingSha256', 'CER-BINDING-1'],
    ['rosterSha256', 'CER-PEOPLE-1'],
  ])('documents that are not those of the first entry: %s', async (field, id) => {
    const line = edit('ceremony.open', (one) => ({ ...one, [field]: '11'.repeat(32) }))
    expect(await failures({ line })).toContain(id)
  })

  it('another module file', async () => {
    const line = edit('ceremony.open', (one) => ({
      ...one,
      module: { ...fields(one['module']), sha256: '11'.repeat(32) },
    }))
    expect(await failures({ line })).toEqual(['CER-BINDING-1'])
  })

  it('a predecessor the plan does not have', async () => {
    const line = edit('ceremony.open', (one) => ({ ...one, previous: '11'.repeat(32) }))
    expect(await failures({ line })).toEqual(['CER-ID-1', 'CER-PREVIOUS-1'])
  })

  it('people other than the bound ones', async () => {
    const line = edit('ceremony.open', (one) => ({
      ...one,
      people: (one['people'] as Json[]).map((person) => ({
        ...fields(person),
        roles: ['custodian', 'administrator'],
      })),
    }))
    expect(await failures({ line })).toContain('CER-PEOPLE-1')
  })

  it('an administrator who is also custodian', async () => {
    const roles = ['administrator', 'custodian'] as const
    const line = edit('ceremony.open', (one) => ({
      ...one,
      people: (one['people'] as Json[]).map((person) =>
        fields(person)['id'] === 'ada' ? { ...fields(person), roles } : person,
      ),
    }))
    const failed = await failures({
      line,
      binding: (binding) => ({
        ...binding,
        people: { ...binding.people, ada: { ...binding.people['ada']!, roles } },
      }),
    })
    expect(failed).toEqual(['CER-PEOPLE-1'])
  })

  it('two people with one key', async () => {
    const roster = troupe.roster.replace(
      /^carol.*\n/m,
      rosterLine('carol', troupe.publicKeys.get('sol') ?? ''),
    )
    expect(await failures({ roster })).toContain('CER-PEOPLE-1')
  })

  it('one person chosen where two must act', async () => {
    const line = once(
      edit('people.chosen', (one) =>
        one['role'] === 'custodian' ? { ...one, acting: ['alice'] } : one,
      ),
    )
    expect(await failures({ line })).toContain('CER-PEOPLE-1')
  })
})

describe('shares', () => {
  it('a login with one share', async () => {
    let seen = 0
    const line = edit('share.opened', (one) => ((seen += 1) === 2 ? undefined : one), 'login-vault')
    expect(await failures({ line })).toEqual(['CER-SHARES-1'])
  })

  it('a login with one person’s share twice', async () => {
    const line = edit(
      'share.opened',
      (one) => ({ ...one, holder: 'alice', index: 1 }),
      'login-vault',
    )
    expect(await failures({ line })).toEqual(['CER-SHARES-1'])
  })

  it('a share opened by somebody it was not issued to', async () => {
    const line = edit('share.opened', (one) => ({ ...one, holder: 'wendy' }), 'login-vault')
    expect(await failures({ line })).toEqual(['CER-SHARES-1'])
  })

  it('a missing receipt', async () => {
    const line = once(edit('receipt', drop, 'split-vault'))
    expect(await failures({ line })).toEqual(['CER-RECEIPT-1'])
  })

  it('a receipt for another file', async () => {
    const line = once(
      edit('receipt', (one) => ({ ...one, fileSha256: '11'.repeat(32) }), 'split-vault'),
    )
    expect(await failures({ line })).toEqual(['CER-RECEIPT-1'])
  })

  it('a PIN that was not changed', async () => {
    const line = (one: Line): Line | undefined =>
      one.step === 'split-vault' && ['intent', 'result'].includes(one.type) ? undefined : one
    expect(await failures({ line })).toContain('CER-RESPLIT-1')
  })

  it('a PIN changed before anybody held shares of the new one', async () => {
    const line = edit('shares.committed', drop, 'split-vault')
    expect(await failures({ line })).toContain('CER-RESPLIT-1')
  })
})

describe('keys', () => {
  it('a key under another id than the computed one', async () => {
    const line = edit('intent', (one) => ({ ...one, ckaId: '11'.repeat(16) }), 'make-kek')
    expect(await failures({ line })).toEqual(['KEY-STATE-1', 'KEY-ID-1'])
  })

  it('a key nobody made', async () => {
    const line = edit('ledger', (one) => keyLedger('kek', { id: '11'.repeat(16) })(one))
    expect(await failures({ line })).toEqual(['KEY-STATE-1'])
  })

  it('a key that is still extractable', async () => {
    const line = edit('ledger', keyLedger('fpe-pan', { state: 'birth' }))
    expect(await failures({ line })).toEqual(['KEY-STATE-1'])
  })

  it('a key called destroyed that nobody destroyed', async () => {
    const line = edit('ledger', keyLedger('kek', { state: 'destroyed' }))
    expect(await failures({ line })).toEqual(['KEY-STATE-1'])
  })

  it('a check value that is not that of the public key', async () => {
    const line = edit(
      'ledger',
      keyLedger('log-signer', { kcv: { method: 'spki-sha256', value: '1122334455667788' } }),
    )
    expect(await failures({ line })).toEqual(['KEY-STATE-1'])
  })

  it('a log signed by another key than the log signer', async () => {
    const publicKey = 'MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE='
    const value = toHex(canonicalDigest('x'))
    const line = edit(
      'ledger',
      keyLedger('log-signer', { publicKey, kcv: { method: 'cmac', value } }),
    )
    expect(await failures({ line })).toEqual(['LOG-COVER-1'])
  })

  it('a wrapped copy with another digest', async () => {
    const line = edit('ledger', (one) => {
      const ledger = fields(one['ledger'])
      const copies = (ledger['copies'] as Json[]).map((copy) => ({
        ...fields(copy),
        sha256: '11'.repeat(32),
      }))
      return { ...one, ledger: { ...ledger, copies } }
    })
    expect(await failures({ line })).toEqual(['KEY-COPIES-1'])
  })

  it('a wrapped copy that one token can open', async () => {
    const line = edit('ledger', (one) => {
      const ledger = fields(one['ledger'])
      const copies = (ledger['copies'] as Json[]).map((copy) => ({ ...fields(copy), outer: 'kek' }))
      return { ...one, ledger: { ...ledger, copies } }
    })
    expect(await failures({ line })).toEqual(['KEY-COPIES-1'])
  })

  it('a wrapped copy of a key, no embedding seed, under one KEK', async () => {
    const line = edit('ledger', (one) => {
      const ledger = fields(one['ledger'])
      const copies = (ledger['copies'] as Json[]).map((copy) =>
        Object.fromEntries(Object.entries(fields(copy)).filter(([name]) => name !== 'outer')),
      )
      return { ...one, ledger: { ...ledger, copies } }
    })
    expect(await failures({ line })).toEqual(['KEY-COPIES-1'])
  })

  it('a wrapped copy that is not mentioned', async () => {
    const line = edit('ledger', (one) => ({
      ...one,
      ledger: { ...fields(one['ledger']), copies: [] },
    }))
    expect(await failures({ line })).toEqual(['KEY-COPIES-1'])
  })
})

describe('signatures', () => {
  it('nobody signed', async () => {
    expect(await failures({ sign: [] })).toEqual(['SIG-CUSTODIAN-1', 'SIG-WITNESS-1'])
  })

  it('one custodian signed', async () => {
    expect(await failures({ sign: ['alice', 'wendy'] })).toEqual(['SIG-CUSTODIAN-1'])
  })

  it('a custodian signed who did not act', async () => {
    expect(await failures({ sign: ['alice', 'carol', 'wendy'] })).toEqual(['SIG-CUSTODIAN-1'])
  })

  it('no witness signed', async () => {
    expect(await failures({ sign: ['alice', 'bob'] })).toEqual(['SIG-WITNESS-1'])
  })

  it('the HSM did not sign the end of a complete ceremony', async () => {
    expect(await failures({ tokenGone: true, signAfter: 'kcv' })).toEqual(['LOG-COVER-1'])
  })
})
