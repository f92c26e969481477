/** Verification of whole bundles: complete, aborted, tampered with, presented as what they are not. */
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { ConfigError, FormatError, VerificationError } from '../../src/errors.ts'
import { finishBundle } from '../../src/ceremony/finish.ts'
import { REQUIREMENT_IDS } from '../../src/ceremony/requirements.ts'
import { type Verification, failureOf, requireVerified, verify } from '../../src/ceremony/verify.ts'
import { scratch } from '../tokens.ts'
import { forge, makeTroupe, rosterLine, signAll } from './verify-forge.ts'

const root = scratch('verify')
const troupe = makeTroupe()
const base = join(root, 'base')
const SEGMENT = 'log/seg/000000000000.jsonl'
let vkey = ''
let copies = 0

beforeAll(async () => {
  ;({ vkey } = await forge(base, troupe))
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

const copy = (of = base): string => {
  const dir = join(root, `copy-${(copies += 1)}`)
  cpSync(of, dir, { recursive: true })
  return dir
}
const failed = ({ findings }: Verification): string[] =>
  findings.filter(({ status }) => status === 'failed').map(({ id }) => id)
const statusOf = ({ findings }: Verification, id: string): string | undefined =>
  findings.find((finding) => finding.id === id)?.status
const lines = (dir: string): string[] =>
  readFileSync(join(dir, SEGMENT), 'utf8').trimEnd().split('\n')
const rewrite = (dir: string, all: readonly string[]): void =>
  writeFileSync(join(dir, SEGMENT), all.map((line) => `${line}\n`).join(''))

describe('a complete ceremony', () => {
  it('answers every requirement, in order, and holds', async () => {
    const verification = await verify(base, { roster: troupe.roster, vkey })
    expect(verification.findings.map(({ id }) => id)).toEqual(REQUIREMENT_IDS)
    expect(failed(verification)).toEqual([])
    expect(verification).toMatchObject({
      ok: true,
      outcome: 'complete',
      mode: 'production',
      signedBy: ['alice', 'bob', 'wendy'],
      warnings: [],
    })
    expect(verification.findings.filter(({ status }) => status === 'not-applicable')).toEqual([])
    expect(() => requireVerified(verification)).not.toThrow()
  })

  it('says so when people and log key come only from the bundle', async () => {
    const verification = await verify(base)
    const anchor = verification.findings.find(({ id }) => id === 'TRUST-ANCHOR-1')
    expect(anchor).toMatchObject({ status: 'ok', evidence: 'human-asserted' })
    expect(verification.warnings.join()).toMatch(/allowed_signers.*vkey/)
    const half = await verify(base, { vkey })
    expect(half.warnings.join()).toContain('allowed_signers')
    expect(half.warnings.join()).not.toContain('vkey')
  })

  it('verifies with a P-256 log key', async () => {
    const dir = join(root, 'p256')
    const made = await forge(dir, troupe, { algorithm: 'ecdsa-p256-sha256' })
    expect(failed(await verify(dir, { vkey: made.vkey }))).toEqual([])
  })

  it('finished again, gives the same bytes', async () => {
    const dir = copy()
    const before = readFileSync(join(dir, 'SHA256SUMS'), 'utf8')
    await finishBundle({ dir, vkey })
    expect(readFileSync(join(dir, 'SHA256SUMS'), 'utf8')).toBe(before)
  })
})

describe('trust given by the verifier', () => {
  it('another log key: refused', async () => {
    const other = await forge(join(root, 'other'), troupe)
    const verification = await verify(base, { vkey: other.vkey })
    expect(failed(verification)).toEqual(['LOG-SIG-2'])
    expect(failureOf(verification, 'LOG-SIG-2')).toBe('SIGNER_NOT_TRUSTED')
    expect(statusOf(verification, 'SIG-CUSTODIAN-1')).toBe('not-applicable')
  })

  it.each([
    ['an unknown custodian', () => troupe.roster.replace(/^bob.*\n/m, '')],
    [
      'another key of a custodian',
      () =>
        troupe.roster.replace(/^bob.*\n/m, rosterLine('bob', troupe.publicKeys.get('sol') ?? '')),
    ],
    [
      'an expired custodian',
      () =>
        troupe.roster.replace(
          /^bob.*\n/m,
          rosterLine('bob', troupe.publicKeys.get('bob') ?? '', ',valid-before="20261101Z"'),
        ),
    ],
    [
      'a custodian who may not sign checkpoints',
      () => troupe.roster.replace(/^(bob.*)namespaces="[^"]*"/m, '$1namespaces="keyrite-approval"'),
    ],
  ])('%s: refused', async (_name, roster) => {
    const verification = await verify(base, { roster: roster(), vkey })
    expect(failed(verification)).toContain('SIG-CUSTODIAN-1')
    expect(['SIGNER_NOT_TRUSTED', 'SIGNATURE_INVALID']).toContain(
      failureOf(verification, 'SIG-CUSTODIAN-1'),
    )
  })

  it('judges keys at the time of the ceremony, or when it is told to', async () => {
    const roster = troupe.roster.replace(
      /^bob.*\n/m,
      rosterLine('bob', troupe.publicKeys.get('bob') ?? '', ',valid-before="20270101Z"'),
    )
    expect((await verify(base, { roster, vkey })).ok).toBe(true)
    const later = await verify(base, { roster, vkey, at: new Date('2027-06-01T00:00:00Z') })
    expect(failed(later)).toEqual(['SIG-CUSTODIAN-1'])
  })

  it('options that are no roster, no key: thrown', async () => {
    await expect(verify(base, { vkey: 'nonsense' })).rejects.toThrow(FormatError)
    await expect(verify(base, { roster: 'nonsense' })).rejects.toThrow(FormatError)
  })
})

describe('tampering with the log', () => {
  it.each<[string, (all: string[]) => string[]]>([
    ['an edited line', (all) => all.with(20, all[20]!.replace('"step":"', '"step":"x'))],
    ['a dropped line', (all) => all.toSpliced(20, 1)],
    ['two lines swapped', (all) => all.with(20, all[21]!).with(21, all[20]!)],
    ['a line twice', (all) => all.toSpliced(20, 0, all[20]!)],
  ])('%s breaks the chain', async (_name, change) => {
    const dir = copy()
    rewrite(dir, change(lines(dir)))
    const verification = await verify(dir, { vkey })
    expect(failed(verification)).toEqual(['BUNDLE-SUMS-1', 'BUNDLE-DOCS-1', 'LOG-CHAIN-1'])
    expect(verification).toMatchObject({ ok: false, outcome: 'unreadable' })
    const entry = verification.findings.find(({ id }) => id === 'LOG-CHAIN-1')?.entry
    expect(entry).toBeGreaterThanOrEqual(20)
    expect(entry).toBeLessThanOrEqual(21)
  })

  it('one flipped byte anywhere in the log is noticed', async () => {
    const dir = copy()
    const path = join(dir, SEGMENT)
    const whole = readFileSync(path)
    for (let at = 5; at < whole.length; at += 3671) {
      const bytes = Buffer.from(whole)
      bytes[at] = bytes[at]! ^ 0x01
      writeFileSync(path, bytes)
      const verification = await verify(dir, { vkey })
      expect(failed(verification).filter((id) => id.startsWith('LOG-'))).toHaveLength(1)
    }
  })

  it('a log cut short is noticed', async () => {
    const dir = copy()
    rewrite(dir, lines(dir).slice(0, -1))
    expect(failed(await verify(dir, { vkey }))).toContain('LOG-SIZE-1')
  })

  it('lines after the signed ones are not taken for signed', async () => {
    const dir = copy()
    const all = lines(dir)
    appendFileSync(join(dir, SEGMENT), `${all[3]!}\n`)
    expect(failed(await verify(dir, { vkey })).filter((id) => id.startsWith('LOG-'))).toHaveLength(
      1,
    )
  })
})

describe('tampering with the files around it', () => {
  const cases: [string, (dir: string) => void, string][] = [
    ['plan.json', (dir) => appendFileSync(join(dir, 'plan.json'), ' '), 'CER-PLAN-1'],
    ['policy.json', (dir) => replace(dir, 'policy.json', '240', '241'), 'CER-PLAN-1'],
    [
      'binding.json',
      (dir) => replace(dir, 'binding.json', 'forged-site', 'another-site'),
      'CER-BINDING-1',
    ],
    [
      'allowed_signers',
      (dir) => appendFileSync(join(dir, 'allowed_signers'), '# hello\n'),
      'CER-PEOPLE-1',
    ],
    ['report.html', (dir) => replace(dir, 'report.html', 'Complete', 'Perfect'), 'BUNDLE-DOCS-1'],
    ['VERIFY.md', (dir) => replace(dir, 'VERIFY.md', '--strict', '--quiet'), 'BUNDLE-DOCS-1'],
    ['verify.go', (dir) => appendFileSync(join(dir, 'verify.go'), '\n'), 'BUNDLE-DOCS-1'],
    ['checkpoint.txt', (dir) => appendFileSync(join(dir, 'checkpoint.txt'), '\n'), 'BUNDLE-DOCS-1'],
    ['checkpoint', (dir) => appendFileSync(join(dir, 'checkpoint'), '\n'), 'BUNDLE-DOCS-1'],
    ['hsm.pub', (dir) => replace(dir, 'hsm.pub', 'BEGIN', 'BEGUN'), 'BUNDLE-DOCS-1'],
    ['script.pdf', (dir) => writeFileSync(join(dir, 'script.pdf'), 'x'), 'BUNDLE-SUMS-1'],
    [
      'an output',
      (dir) => appendFileSync(join(dir, 'artefacts/fpe-pan.keyrite'), ' '),
      'KEY-COPIES-1',
    ],
    ['a foreign output', (dir) => writeFileSync(join(dir, 'artefacts/more'), ' '), 'KEY-COPIES-1'],
    [
      'a signature by another person',
      (dir) =>
        copyFileSync(join(dir, 'signatures/alice.sshsig'), join(dir, 'signatures/bob.sshsig')),
      'SIG-CUSTODIAN-1',
    ],
    [
      'a signature of a stranger',
      (dir) =>
        copyFileSync(join(dir, 'signatures/alice.sshsig'), join(dir, 'signatures/eve.sshsig')),
      'SIG-CUSTODIAN-1',
    ],
  ]
  const replace = (dir: string, name: string, from: string, to: string): void => {
    const text = readFileSync(join(dir, name), 'utf8')
    expect(text).toContain(from)
    writeFileSync(join(dir, name), text.replace(from, to))
  }

  it.each(cases)('%s is noticed', async (_name, tamper, id) => {
    const dir = copy()
    tamper(dir)
    const verification = await verify(dir, { vkey })
    expect(failed(verification)).toContain('BUNDLE-SUMS-1')
    expect(failed(verification)).toContain(id)
  })

  it('a signature in another namespace is refused', async () => {
    const dir = copy()
    await signAll(dir, troupe, ['bob'], 'keyrite-approval')
    const verification = await verify(dir, { vkey })
    expect(failed(verification)).toEqual(['SIG-CUSTODIAN-1'])
    expect(failureOf(verification, 'SIG-CUSTODIAN-1')).toBe('SIGNATURE_INVALID')
  })

  it('what was signed before the end is refused', async () => {
    const dir = copy()
    const body = readFileSync(join(dir, 'checkpoint.txt'), 'utf8')
    writeFileSync(join(dir, 'checkpoint.txt'), body.replace(/\n\d+\n/, '\n7\n'))
    await signAll(dir, troupe, ['bob'])
    expect(failed(await verify(dir, { vkey }))).toEqual(['SIG-CUSTODIAN-1'])
  })

  it('links, unknown names and missing files are refused', async () => {
    const linked = copy()
    renameSync(join(linked, 'plan.json'), join(linked, 'elsewhere'))
    symlinkSync('elsewhere', join(linked, 'plan.json'))
    expect(failed(await verify(linked))).toEqual(['BUNDLE-SUMS-1'])
    const more = copy()
    writeFileSync(join(more, 'notes.txt'), 'hello')
    expect(failed(await verify(more))).toEqual(['BUNDLE-SUMS-1'])
    const less = copy()
    rmSync(join(less, 'policy.json'))
    expect(failed(await verify(less))).toEqual(
      expect.arrayContaining(['BUNDLE-SUMS-1', 'CER-PLAN-1']),
    )
  })

  it('no bundle at all is an error, not a finding', async () => {
    await expect(verify(join(root, 'nowhere'))).rejects.toThrow(ConfigError)
    await expect(verify(join(base, 'plan.json'))).rejects.toThrow(ConfigError)
  })

  it('never writes', async () => {
    const dir = copy()
    rmSync(join(dir, 'report.html'))
    const verification = await verify(dir)
    expect(failed(verification)).toEqual(['BUNDLE-SUMS-1', 'BUNDLE-DOCS-1'])
    expect(() => readFileSync(join(dir, 'report.html'))).toThrow()
    expect(() => requireVerified(verification)).toThrow(VerificationError)
  })
})

describe('an aborted ceremony', () => {
  it('verifies as an abort, never as complete', async () => {
    const dir = join(root, 'aborted')
    await forge(dir, troupe, { abortAt: 'end-old', sign: [] })
    const verification = await verify(dir)
    expect(verification).toMatchObject({ ok: true, outcome: 'aborted' })
    expect(statusOf(verification, 'SIG-CUSTODIAN-1')).toBe('not-applicable')
    expect(verification.warnings.join()).toContain('PIN of vault')
  })

  it('without the token’s signature stands on the people who signed, and says on whom', async () => {
    const dir = join(root, 'gone')
    await forge(dir, troupe, { abortAt: 'end-old', tokenGone: true, signAfter: 'kcv', sign: [] })
    expect(failed(await verify(dir))).toEqual(['LOG-COVER-1'])
    await signAll(dir, troupe, ['alice', 'bob'])
    const verification = await verify(dir)
    expect(verification).toMatchObject({ ok: true, outcome: 'aborted' })
    expect(verification.warnings.join()).toMatch(
      /HSM did not sign the last .* Only alice, bob can vouch/,
    )
  })

  it('can stand on the custodians alone when there never was a checkpoint', async () => {
    const dir = join(root, 'never')
    await forge(dir, troupe, { abortAt: 'make-log', tokenGone: true, sign: ['alice', 'bob'] })
    const verification = await verify(dir)
    expect(verification).toMatchObject({ ok: true, outcome: 'aborted' })
    expect(statusOf(verification, 'LOG-SIG-2')).toBe('not-applicable')
    rewrite(dir, lines(dir).toSpliced(4, 1))
    expect(failed(await verify(dir))).toContain('LOG-CHAIN-1')
  })
})
