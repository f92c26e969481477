/** The evidence of real rehearsals on SoftHSM2: verified by keyrite and by the stock tools of VERIFY.md. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { proveEntry } from '../../src/audit/index.ts'
import { type Rehearsed, actionSpec, rehearse, verify } from '../../src/ceremony/index.ts'
import { parseVerifierKey } from '../../src/note.ts'
import { type Stage, openStage, shipped } from './stage.ts'
import { blocksOf, failingTools, runBlock } from './verify-blocks.ts'

let stage: Stage
let done: Rehearsed[] = []
let copies = 0

beforeAll(async () => {
  stage = await openStage('evidence')
  done = await rehearse({
    plans: [shipped('generate-fpe-key')],
    workDir: stage.workDir,
    ...stage.ports,
  })
})
afterAll(() => stage.cleanup())

const bundle = (at: number): string => done[at]!.outcome.dir
const copy = (of: string): string => {
  const dir = join(stage.workDir, `copy-${(copies += 1)}`)
  cpSync(of, dir, { recursive: true })
  return dir
}
const text = (dir: string, name: string): string => readFileSync(join(dir, name), 'utf8')

describe('a rehearsed line of ceremonies', () => {
  it('verifies, each continuing the one before', async () => {
    expect(done.map(({ outcome }) => outcome.outcome)).toEqual(['complete', 'complete'])
    const own = { roster: text(bundle(1), 'allowed_signers'), vkey: text(bundle(0), 'vkey') }
    const verification = await verify(bundle(1), { mode: 'rehearsal', previous: bundle(0), ...own })
    expect(verification.errors).toEqual([])
    expect(verification).toMatchObject({ ok: true, outcome: 'complete', warnings: [] })
    const previous = verification.findings.find(({ id }) => id === 'CER-PREVIOUS-1')
    expect(previous).toMatchObject({ status: 'ok', evidence: 'crypto-verified' })
  })

  it('leaves entries of the evidence classes that the action table announces', async () => {
    for (const at of [0, 1]) {
      const { transcript } = await verify(bundle(at), { mode: 'rehearsal' })
      const entries = transcript!.entries.filter(({ type }) =>
        ['check', 'record', 'result'].includes(type),
      )
      const stepOf = (id: string) => transcript!.plan.steps.find((step) => step.id === id)
      const unannounced = entries.flatMap((entry) => {
        if (!('step' in entry)) return []
        const step = stepOf(entry.step)
        if (step === undefined || !('action' in step)) return []
        const announced = actionSpec(step.kind, step.action)?.evidence ?? []
        return entry.evidence
          .filter((each) => !announced.includes(each))
          .map((each) => [step, each])
      })
      expect(entries.length).toBeGreaterThan(10)
      expect(unannounced).toEqual([])
    }
  })

  it('warns when the ceremony before was not given, fails when it is another', async () => {
    const alone = await verify(bundle(1), { mode: 'rehearsal' })
    expect(alone.ok).toBe(true)
    expect(alone.warnings.join()).toContain('transcript before this one was not given')
    const wrong = await verify(bundle(1), { mode: 'rehearsal', previous: bundle(1) })
    expect(wrong.errors.map(({ requirement, code }) => [requirement, code])).toEqual([
      ['CER-PREVIOUS-1', 'LOG_FORKED'],
    ])
  })

  it('is refused as production', async () => {
    const { errors } = await verify(bundle(1))
    expect(errors).toEqual([
      expect.objectContaining({ code: 'REHEARSAL_AS_PRODUCTION', requirement: 'CER-MODE-1' }),
    ])
  })

  it('passes every command of VERIFY.md', () => {
    for (const at of [0, 1]) {
      const blocks = blocksOf(bundle(at))
      expect(blocks.filter(({ tool }) => tool === 'ssh-keygen').length).toBeGreaterThanOrEqual(3)
      for (const block of blocks) expect(runBlock(bundle(at), block)).toMatchObject({ ok: true })
    }
  })

  it('fails them after one flipped byte in a line', () => {
    const dir = copy(bundle(1))
    const path = join(dir, 'log/seg/000000000000.jsonl')
    const bytes = readFileSync(path)
    const at = bytes.length >> 1
    bytes[at] = bytes[at]! ^ 0x01
    writeFileSync(path, bytes)
    expect(failingTools(dir, blocksOf(dir))).toEqual(['go', 'sha256sum'])
  })

  it('proves one entry to the Go program', async () => {
    const dir = bundle(1)
    const vkey = text(dir, 'vkey').trim()
    const proof = join(stage.workDir, 'entry.tlog-proof')
    const made = await proveEntry(join(dir, 'log'), 11, { verifiers: [parseVerifierKey(vkey)] })
    writeFileSync(proof, made)
    const go = blocksOf(dir).find(({ tool }) => tool === 'go')!
    const block = { ...go, text: go.text.replace(/\n$/, ` "${proof}"\n`) }
    expect(runBlock(dir, block)).toMatchObject({ ok: true })
    writeFileSync(proof, made.replace('index 11', 'index 12'))
    expect(runBlock(dir, block)).toMatchObject({ ok: false })
  })

  it('names on page one who acted, what exists, and the level of dual control', () => {
    const report = text(bundle(1), 'report.html')
    for (const part of ['fpe-pan', 'hsm-enforced', 'split PIN', 'Alice', 'Rehearsal', 'SoftHSM']) {
      expect(report).toContain(part)
    }
  })
})
