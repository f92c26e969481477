/** Attestation: a person signs what was verified, with their own key, once. */
import { appendFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { attest } from '../../src/ceremony/attest.ts'
import { finishBundle } from '../../src/ceremony/finish.ts'
import { verify } from '../../src/ceremony/verify.ts'
import { QuorumError, StorageError, VerificationError } from '../../src/errors.ts'
import { tokenSigner } from '../../src/quorum/index.ts'
import { scratch } from '../tokens.ts'
import { forge, makeTroupe, principal, rosterLine, softwareSigner } from './verify-forge.ts'

const root = scratch('attest')
const troupe = makeTroupe(join(root, 'keys'))
const base = join(root, 'base')
const at = new Date('2026-11-21T10:00:00Z')
let copies = 0

beforeAll(async () => {
  await forge(base, troupe, { sign: [] })
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

const copy = (): string => {
  const dir = join(root, `copy-${(copies += 1)}`)
  cpSync(base, dir, { recursive: true })
  return dir
}
const sign = (dir: string, person: string, as = person): Promise<void> =>
  attest({ dir, person, signer: troupe.signers.get(as)!, at })

describe('attest', () => {
  it('completes a bundle, signature by signature', async () => {
    const dir = copy()
    for (const person of ['alice', 'bob']) await sign(dir, person)
    expect((await verify(dir)).errors.map(({ requirement }) => requirement)).toEqual([
      'SIG-WITNESS-1',
    ])
    await sign(dir, 'wendy')
    const verification = await verify(dir)
    expect(verification.errors).toEqual([])
    expect(verification.signedBy).toEqual(['alice', 'bob', 'wendy'])
    expect(readFileSync(join(dir, 'VERIFY.md'), 'utf8')).toContain('signatures/wendy.sshsig')
    expect(readFileSync(join(dir, 'SHA256SUMS'), 'utf8')).toContain('signatures/wendy.sshsig')
  })

  it('does not sign twice', async () => {
    const dir = copy()
    await sign(dir, 'alice')
    await expect(sign(dir, 'alice')).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
  })

  it('replaces a signature that does not verify', async () => {
    const dir = copy()
    writeFileSync(join(dir, 'signatures', 'alice.sshsig'), 'torn')
    await sign(dir, 'alice')
    expect((await verify(dir)).signedBy).toEqual(['alice'])
  })

  it('refuses somebody the ceremony does not know', async () => {
    const dir = copy()
    await expect(sign(dir, 'eve', 'bob')).rejects.toMatchObject({ code: 'STATE_MISMATCH' })
    expect(existsSync(join(dir, 'signatures', 'eve.sshsig'))).toBe(false)
  })

  it('refuses a key that is not theirs', async () => {
    const dir = copy()
    await expect(sign(dir, 'alice', 'bob')).rejects.toMatchObject({ code: 'SIGNER_WRONG_KEY' })
    const stranger = tokenSigner(principal('alice'), softwareSigner())
    await expect(attest({ dir, person: 'alice', signer: stranger, at })).rejects.toThrow(
      QuorumError,
    )
    expect(existsSync(join(dir, 'signatures', 'alice.sshsig'))).toBe(false)
  })

  it('refuses a key that has expired by the time of signing', async () => {
    const dir = join(root, 'expiring')
    const roster = troupe.roster.replace(
      /^wendy.*\n/m,
      rosterLine('wendy', troupe.publicKeys.get('wendy')!, ',valid-before="20261201Z"'),
    )
    await forge(dir, troupe, { roster, sign: [] })
    const late = attest({
      dir,
      person: 'wendy',
      signer: troupe.signers.get('wendy')!,
      at: new Date('2027-01-01T00:00:00Z'),
    })
    await expect(late).rejects.toMatchObject({ code: 'SIGNER_EXPIRED' })
    await sign(dir, 'wendy')
  })

  it('asks nobody to sign what does not verify', async () => {
    const dir = copy()
    appendFileSync(join(dir, 'plan.json'), ' ')
    let asked = false
    const signer = {
      principal: principal('alice'),
      sign: () => {
        asked = true
        return Promise.resolve('')
      },
    }
    const attempt = attest({ dir, person: 'alice', signer, at })
    await expect(attempt).rejects.toThrow(VerificationError)
    await expect(attempt).rejects.toMatchObject({ requirement: 'CER-PLAN-1' })
    expect(asked).toBe(false)
  })

  it('works on a rehearsal', async () => {
    const dir = join(root, 'rehearsal')
    await forge(dir, troupe, { mode: 'rehearsal', sign: [] })
    await sign(dir, 'alice')
    expect((await verify(dir, { mode: 'rehearsal' })).signedBy).toEqual(['alice'])
  })
})

describe('finishBundle', () => {
  it('waits for the log to be closed', async () => {
    const dir = copy()
    writeFileSync(join(dir, 'log', 'lock'), '{}')
    await expect(finishBundle({ dir })).rejects.toThrow(StorageError)
  })

  it('leaves a report even when a reviewed file was edited under it', async () => {
    const dir = copy()
    writeFileSync(join(dir, 'plan.json'), 'not a plan')
    await finishBundle({ dir })
    expect(readFileSync(join(dir, 'report.html'), 'utf8')).toContain(
      'This transcript cannot be read',
    )
    expect(readFileSync(join(dir, 'VERIFY.md'), 'utf8')).toContain('the plan is not readable')
    const failed = (await verify(dir)).errors.map(({ requirement }) => requirement)
    expect(failed).toEqual(['CER-PLAN-1'])
  })
})
