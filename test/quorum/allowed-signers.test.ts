/** The roster, judged by keyrite and by `ssh-keygen -Y verify -O verify-time=` on the same cases. */
import { afterAll, describe, expect, test } from 'vitest'

import { utf8 } from '../../src/bytes.ts'
import { parseAllowedSigners, verifySshsig } from '../../src/quorum/index.ts'

import { keygen, keygenSign, keygenVerify, thrown, workDirectory } from './people.ts'

const work = workDirectory()
afterAll(work.remove)
const message = utf8('message')
const namespace = 'keyrite-approval'
const alice = keygen(work.path('alice'), 'ed25519')
const bob = keygen(work.path('bob'), 'ecdsa')
const signature = keygenSign(work.path('alice'), namespace, message)
const bare = alice.split(' ').slice(0, 2).join(' ')

interface Case {
  readonly roster: string
  /** `good`, or the code of the refusal. */
  readonly answer: string
  readonly principal?: string
  /** Seconds after the reference time. */
  readonly time?: string
}

const CASES: Record<string, Case> = {
  'plain line': { roster: `a@x ${alice}`, answer: 'good' },
  'no comment': { roster: `a@x ${bare}`, answer: 'good' },
  'comment lines, blank lines, leading blanks': {
    roster: `# people\n\n  \t# indented\n \ta@x\t${alice}`,
    answer: 'good',
  },
  'principal list': { roster: `c@x,a@x,b@x ${alice}`, answer: 'good' },
  'principal glob': { roster: `*@x ${alice}`, answer: 'good' },
  'principal glob ?': { roster: `?@x ${alice}`, answer: 'good' },
  'glob that needs backing up': { roster: `*a*@*x ${alice}`, answer: 'good' },
  'glob that does not match': { roster: `*@y ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'negated principal': { roster: `*@x,!a@x ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'negated first': { roster: `!a@x,*@x ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'only negated': { roster: `!b@x ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'case of the principal counts': { roster: `A@X ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'another principal': { roster: `b@x ${alice}`, answer: 'SIGNER_UNKNOWN' },
  'another key': { roster: `a@x ${bob}`, answer: 'SIGNER_WRONG_KEY' },
  'second line has the key': { roster: `a@x ${bob}\na@x ${alice}`, answer: 'good' },
  'namespace given': { roster: `a@x namespaces="keyrite-approval" ${alice}`, answer: 'good' },
  'namespace list': { roster: `a@x namespaces="git,keyrite-*" ${alice}`, answer: 'good' },
  'namespace negated': {
    roster: `a@x namespaces="keyrite-*,!keyrite-approval" ${alice}`,
    answer: 'SIGNATURE_WRONG_NAMESPACE',
  },
  'namespace of something else': {
    roster: `a@x namespaces="git" ${alice}`,
    answer: 'SIGNATURE_WRONG_NAMESPACE',
  },
  'keyword in capitals': {
    roster: `a@x NAMESPACES="git" ${alice}`,
    answer: 'SIGNATURE_WRONG_NAMESPACE',
  },
  'first line has the wrong namespace, second is right': {
    roster: `a@x namespaces="git" ${alice}\na@x namespaces="keyrite-approval" ${alice}`,
    answer: 'good',
  },
  'valid-after passed': { roster: `a@x valid-after="20260101Z" ${alice}`, answer: 'good' },
  'valid-after now': { roster: `a@x valid-after="20260601120000Z" ${alice}`, answer: 'good' },
  'valid-after in a second': {
    roster: `a@x valid-after="20260601120001Z" ${alice}`,
    answer: 'SIGNER_EXPIRED',
  },
  'valid-before now': { roster: `a@x valid-before="20260601120000Z" ${alice}`, answer: 'good' },
  'valid-before a second ago': {
    roster: `a@x valid-before="20260601115959Z" ${alice}`,
    answer: 'SIGNER_EXPIRED',
  },
  'valid-before by the minute': {
    roster: `a@x valid-before="202606011200Z" ${alice}`,
    answer: 'good',
  },
  'valid-before by the day': {
    roster: `a@x valid-before="20260601Z" ${alice}`,
    answer: 'SIGNER_EXPIRED',
  },
  'UTC spelled out': {
    roster: `a@x valid-before="20260601115959utc" ${alice}`,
    answer: 'SIGNER_EXPIRED',
  },
  'all options': {
    roster: `a@x namespaces="keyrite-approval",valid-after="20250101Z",valid-before="20270101Z" ${alice}`,
    answer: 'good',
  },
  'options, then wide blanks': { roster: `a@x namespaces="*" \t ${alice}`, answer: 'good' },
  'time span passed': {
    roster: `a@x valid-after="20250101Z",valid-before="20260101Z" ${alice}`,
    answer: 'SIGNER_EXPIRED',
  },
  'unknown option': { roster: `a@x expires="20300101Z" ${alice}`, answer: 'FORMAT' },
  'namespaces twice': { roster: `a@x namespaces="*",namespaces="*" ${alice}`, answer: 'FORMAT' },
  'unquoted value': { roster: `a@x namespaces=git ${alice}`, answer: 'FORMAT' },
  'unclosed quote': { roster: `a@x namespaces="git ${alice}`, answer: 'FORMAT' },
  'comma at the end': { roster: `a@x namespaces="*", ${alice}`, answer: 'FORMAT' },
  'a month that is not': { roster: `a@x valid-after="20261301Z" ${alice}`, answer: 'FORMAT' },
  'span turned round': {
    roster: `a@x valid-after="20260101Z",valid-before="20250101Z" ${alice}`,
    answer: 'FORMAT',
  },
  'certificate authority': { roster: `*@x cert-authority ${alice}`, answer: 'FORMAT' },
  'key type that lies': { roster: `a@x ssh-rsa ${alice.split(' ')[1]!}`, answer: 'FORMAT' },
  'key cut short': { roster: `a@x ${bare.slice(0, -8)}`, answer: 'FORMAT' },
  'no key': { roster: 'a@x', answer: 'FORMAT' },
}

const judge = (given: Case): string => {
  try {
    verifySshsig({
      signature,
      message,
      namespace,
      principal: given.principal ?? 'a@x',
      roster: parseAllowedSigners(`${given.roster}\n`),
      at: new Date('2026-06-01T12:00:00.900Z'),
    })
    return 'good'
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('same answer as ssh-keygen', () => {
  test.each(Object.entries(CASES))('%s', (_, given) => {
    expect(judge(given)).toBe(given.answer)
    const theirs = keygenVerify({
      dir: work.dir,
      roster: `${given.roster}\n`,
      principal: 'a@x',
      namespace,
      signature,
      message,
      verifyTime: '20260601120000Z',
    })
    expect(theirs).toBe(given.answer === 'good')
  })
})

describe('stricter than ssh-keygen, and why', () => {
  test.each([
    ['local time: the answer would depend on the machine', `a@x valid-after="20260101" ${alice}`],
    ['a day that is not on the calendar', `a@x valid-after="20260231Z" ${alice}`],
    ['a bad line after a good one', `a@x ${alice}\nb@x nonsense`],
    ['an unknown key type on another line', `a@x ${alice}\nb@x ssh-dss AAAAB3NzaC1kc3MAAACB`],
    ['a carriage return', `a@x ${alice}\r`],
    ['a byte order mark counts as text', `\ufeff# people\na@x ${alice}`],
    ['a quoted principal', `"a@x" ${alice}`],
  ])('%s', async (_, roster) => {
    const error = await thrown(() => parseAllowedSigners(`${roster}\n`, 'roster'))
    expect(error).toMatchObject({ code: 'FORMAT' })
    expect(error['where']).toMatch(/^roster:[12]$/)
  })

  test('a time that is none is refused, not waved through', async () => {
    const roster = parseAllowedSigners(`a@x valid-before="20200101Z" ${alice}\n`)
    const at = new Date(Number.NaN)
    const check = { signature, message, namespace, principal: 'a@x', roster, at }
    expect(await thrown(() => verifySshsig(check))).toMatchObject({ code: 'FORMAT' })
  })
})

test('refusals say who, expected and got', async () => {
  const roster = parseAllowedSigners(`a@x ${bob}\n`)
  const at = new Date()
  const check = { signature, message, namespace, principal: 'a@x', roster, at }
  const error = await thrown(() => verifySshsig(check))
  expect(error).toMatchObject({ code: 'SIGNER_WRONG_KEY', where: 'roster line 1' })
  expect(error['expected']).toBe(roster[0]!.key.fingerprint)
  expect(error['got']).toMatch(/^SHA256:/)
})
