/**
 * VERIFY.md is executed: every command block of a generated guide succeeds as it stands, and after
 * tampering the right ones fail, without keyrite.
 */
import { appendFileSync, copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { verifyGuide } from '../../src/ceremony/verify-md.ts'
import { scratch } from '../tokens.ts'
import { type Block, blocksOf, failingTools, runBlock } from './verify-blocks.ts'
import { forge, makeTroupe, rosterLine, signAll } from './verify-forge.ts'

const root = scratch('verify-md')
const troupe = makeTroupe(join(root, 'keys'))
const base = join(root, 'base')
const SEGMENT = 'log/seg/000000000000.jsonl'
let blocks: Block[] = []
let copies = 0

beforeAll(async () => {
  await forge(base, troupe)
  blocks = blocksOf(base)
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

const copy = (): string => {
  const dir = join(root, `copy-${(copies += 1)}`)
  cpSync(base, dir, { recursive: true })
  return dir
}
/** Sums are not signed: whoever tampers makes them again. */
const sumAgain = (dir: string): void => {
  const names = readFileSync(join(dir, 'SHA256SUMS'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.slice(66))
  const text = `sha256sum ${names.join(' ')} > SHA256SUMS`
  expect(runBlock(dir, { tool: 'sha256sum', text })).toEqual({ ok: true, output: '' })
}
const lines = (dir: string): string[] =>
  readFileSync(join(dir, SEGMENT), 'utf8').trimEnd().split('\n')
const rewrite = (dir: string, all: readonly string[]): void =>
  writeFileSync(join(dir, SEGMENT), all.map((line) => `${line}\n`).join(''))

describe('the untouched bundle', () => {
  it('has a block for every tool and one per signature', () => {
    expect(blocks.map(({ tool }) => tool)).toEqual([
      'sha256sum',
      'find',
      'head',
      'openssl',
      'go',
      'ssh-keygen',
      'ssh-keygen',
      'ssh-keygen',
    ])
  })

  it('passes every block', () => {
    for (const block of blocks) expect(runBlock(base, block)).toMatchObject({ ok: true })
    const good = blocks
      .filter(({ tool }) => tool === 'ssh-keygen')
      .map((block) => runBlock(base, block).output)
    expect(good.join('')).toMatch(/Good "keyrite-checkpoint" signature for alice@.*bob@.*wendy@/s)
    expect(runBlock(base, blocks[3]!).output).toContain('Signature Verified Successfully')
    expect(runBlock(base, blocks[4]!).output).toMatch(/^OK keyrite\.example\/ceremony\/forged\//)
  })

  it('passes with the verifier’s own copies of the anchors', () => {
    const own = { ROSTER: join(root, 'own-roster'), VKEY: join(root, 'own-vkey') }
    writeFileSync(own.ROSTER, troupe.roster)
    copyFileSync(join(base, 'vkey'), own.VKEY)
    expect(failingTools(base, blocks, own)).toEqual([])
  })

  it('passes with a P-256 log key', async () => {
    const dir = join(root, 'p256')
    await forge(dir, troupe, { algorithm: 'ecdsa-p256-sha256' })
    expect(failingTools(dir, blocksOf(dir))).toEqual([])
  })
})

describe('tampering, with the sums made again', () => {
  it.each<[string, (dir: string) => void, string[]]>([
    [
      'one flipped byte in a log line',
      (dir) => {
        const bytes = readFileSync(join(dir, SEGMENT))
        bytes[9000] = bytes[9000]! ^ 0x01
        writeFileSync(join(dir, SEGMENT), bytes)
      },
      ['go'],
    ],
    ['a dropped line', (dir) => rewrite(dir, lines(dir).toSpliced(30, 1)), ['go']],
    ['the last line dropped', (dir) => rewrite(dir, lines(dir).slice(0, -1)), ['go']],
    [
      'two lines swapped',
      (dir) => rewrite(dir, lines(dir).with(30, lines(dir)[31]!).with(31, lines(dir)[30]!)),
      ['go'],
    ],
    [
      'an edited line',
      (dir) =>
        rewrite(
          dir,
          lines(dir).map((line) => line.replace('"outcome":"complete"', '"outcome":"aborted"')),
        ),
      ['go'],
    ],
    [
      'another root in the checkpoint',
      (dir) => {
        for (const name of ['checkpoint', 'log/checkpoint', 'checkpoint.txt']) {
          const text = readFileSync(join(dir, name), 'utf8')
          writeFileSync(join(dir, name), text.replace(/\n\d+\n/, '\n151\n'))
        }
      },
      ['go', 'openssl', 'ssh-keygen'],
    ],
    ['an edited plan', (dir) => appendFileSync(join(dir, 'plan.json'), ' '), ['head']],
    ['an edited roster', (dir) => appendFileSync(join(dir, 'allowed_signers'), '# x\n'), ['head']],
    [
      'the signature of another person',
      (dir) =>
        copyFileSync(join(dir, 'signatures/alice.sshsig'), join(dir, 'signatures/bob.sshsig')),
      ['ssh-keygen'],
    ],
  ])('%s', (_name, tamper, expected) => {
    const dir = copy()
    tamper(dir)
    sumAgain(dir)
    expect(failingTools(dir, blocks)).toEqual(expected)
  })

  it('without new sums, sha256sum says so first', () => {
    const dir = copy()
    appendFileSync(join(dir, 'report.html'), ' ')
    expect(failingTools(dir, blocks)).toEqual(['sha256sum'])
    rmSync(join(dir, 'script.pdf'), { force: true })
    writeFileSync(join(dir, 'notes'), 'added')
    expect(failingTools(dir, blocks)).toEqual(['find', 'sha256sum'])
  })

  it('a signature in another namespace', async () => {
    const dir = copy()
    await signAll(dir, troupe, ['bob'], 'keyrite-approval')
    expect(failingTools(dir, blocks)).toEqual(['ssh-keygen'])
  })

  it.each([
    ['an expired signer', ',valid-before="20261101Z"', 'bob'],
    ['another key', '', 'sol'],
  ])('%s on the verifier’s roster', (_name, options, keyOf) => {
    const roster = join(root, `roster-${keyOf}`)
    const line = rosterLine('bob', troupe.publicKeys.get(keyOf) ?? '', options)
    writeFileSync(roster, troupe.roster.replace(/^bob.*\n/m, line))
    expect(failingTools(base, blocks, { ROSTER: roster })).toEqual(['ssh-keygen'])
  })

  it('an unknown signer, another log key', async () => {
    const roster = join(root, 'roster-without')
    writeFileSync(roster, troupe.roster.replace(/^bob.*\n/m, ''))
    expect(failingTools(base, blocks, { ROSTER: roster })).toEqual(['ssh-keygen'])
    const other = await forge(join(root, 'other'), troupe)
    writeFileSync(join(root, 'other-vkey'), other.vkey)
    expect(failingTools(base, blocks, { VKEY: join(root, 'other-vkey') })).toEqual(['go'])
  })
})

describe('a transcript the HSM could not finish signing', () => {
  it('is checked up to where it signed, and by people beyond that', async () => {
    const dir = join(root, 'gone')
    await forge(dir, troupe, {
      abortAt: 'end-old',
      tokenGone: true,
      signAfter: 'kcv',
      sign: ['alice'],
    })
    const guide = readFileSync(join(dir, 'VERIFY.md'), 'utf8')
    expect(guide).toContain('The token was gone when this transcript ended')
    expect(blocksOf(dir).map(({ tool }) => tool)).toContain('openssl')
    expect(failingTools(dir, blocksOf(dir))).toEqual([])
  })

  it('has no HSM commands when there was no checkpoint', async () => {
    const dir = join(root, 'never')
    await forge(dir, troupe, { abortAt: 'make-log', tokenGone: true, sign: ['alice'] })
    expect(blocksOf(dir).map(({ tool }) => tool)).toEqual([
      'sha256sum',
      'find',
      'head',
      'ssh-keygen',
    ])
    expect(failingTools(dir, blocksOf(dir))).toEqual([])
  })
})

describe('hostile names', () => {
  it('reach neither the shell nor the Markdown', () => {
    const guide = verifyGuide({
      title: '`rm -rf /` <b>',
      origin: 'keyrite.example/ceremony/x/1',
      mode: 'production',
      size: 1,
      root: new Uint8Array(32),
      hsmSize: 0,
      algorithm: undefined,
      time: '2026-11-21T09:00:00.000Z',
      roster: '',
      keyFiles: [],
      signers: [{ id: 'eve', name: '~~~sh', principal: "$(touch${IFS}/tmp/x)';id" }],
    })
    expect(guide).toContain('Ceremony: ?rm -rf /? ?b?')
    expect(guide).toContain('Signature of ???sh')
    expect(guide).toContain(
      String.raw`-I '$(touch` + '${IFS}' + String.raw`/tmp/x)'\'';id' \ `.trimEnd(),
    )
  })
})
