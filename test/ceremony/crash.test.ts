/**
 * kill -9 at every write-ahead point of every kind of mutating call, then resume: the same objects on the
 * tokens as after an undisturbed run, no orphan, and a transcript that verifies.
 */
import { spawn } from 'node:child_process'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { parse, stringify } from 'yaml'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import {
  type Binding,
  type Rehearsed,
  type WriteAheadPoint,
  rehearse,
  verify,
} from '../../src/ceremony/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { scratch, softHsm } from '../tokens.ts'
import type { CrashOrder } from './crash-runner.ts'
import { clock, random } from './ports.ts'
import { copyTree, shipped } from './stage.ts'

const POINTS: readonly WriteAheadPoint[] = [
  'before-intent',
  'after-intent',
  'after-call',
  'after-result',
]

/** Every kind of mutating call, in the plan that makes it. */
const CASES: readonly [plan: string, op: string][] = [
  ['initialise-tokens', 'C_InitToken'],
  ['initialise-tokens', 'C_InitPIN'],
  ['initialise-tokens', 'C_GenerateKeyPair'],
  ['generate-fpe-key', 'C_GenerateKey'],
  ['generate-fpe-key', 'C_SetPIN'],
  ['wrap-for-distribution', 'key.wrap'],
  ['wrap-for-distribution', 'C_CopyObject'],
  ['generate-embedding-key', 'key.wrap'],
  ['zeroise-distributed-key', 'C_DestroyObject'],
]

const softhsm = softHsm()
const workDir = scratch('crash')
const people = join(workDir, 'people')
const tokens = join(softhsm.dir, 'tokens')
const saved = scratch('crash-saved')
const rehearsed = new Map<string, Rehearsed>()

interface Ended {
  readonly signal: string | null
  readonly outcome?: { outcome: string; error?: { code: string; message: string } }
  readonly stderr: string
}

function runner(order: CrashOrder): Promise<Ended> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-runner.ts')], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()))
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()))
  child.stdin.end(JSON.stringify(order))
  return new Promise((resolve) => {
    child.once('close', (_status, signal) => {
      const outcome =
        stdout === '' ? {} : { outcome: JSON.parse(stdout) as NonNullable<Ended['outcome']> }
      resolve({ signal, stderr, ...outcome })
    })
  })
}

/** The inventory roots a transcript recorded, by token: the last one of each. */
function recordedRoots(dir: string): Record<string, string> {
  const segments = join(dir, 'log', 'seg')
  const roots: Record<string, string> = {}
  for (const file of readdirSync(segments).sort()) {
    for (const line of readFileSync(join(segments, file), 'utf8').trimEnd().split('\n')) {
      const entry = JSON.parse(line) as {
        type: string
        name?: string
        data?: { token: string; root: string }
      }
      if (entry.type === 'record' && entry.name === 'token.inventory' && entry.data) {
        roots[entry.data.token] = entry.data.root
      }
    }
  }
  return roots
}

const names = [...new Set(CASES.map(([plan]) => plan))]

beforeAll(async () => {
  await using hsm = await loadModule(softhsm.module)
  let running = -1
  const order: string[] = []
  const done = await rehearse({
    plans: names.map(shipped),
    workDir,
    hsm,
    clock,
    random,
    filesOnly: true,
    room: {
      watch: {
        // The first step of a plan: nothing has been touched yet, so this is the state to set back to.
        stepStarted: ({ number }) => {
          if (number !== 1) return
          running += 1
          copyTree(tokens, join(saved, String(running), 'tokens'))
          copyTree(people, join(saved, String(running), 'people'))
        },
        stepFinished: (step, outcome) => {
          if (outcome === 'failed') order.push(step.id)
        },
      },
    },
  })
  for (const [index, item] of done.entries()) {
    const why = JSON.stringify(item.outcome.error)
    expect(
      item.outcome,
      `${item.plan.plan.ceremony} failed at ${order.join()}: ${why}`,
    ).toMatchObject({
      outcome: 'complete',
    })
    rehearsed.set(item.plan.plan.ceremony, item)
    copyTree(join(saved, String(index)), join(saved, item.plan.plan.ceremony))
  }
}, 120_000)

afterAll(() => {
  for (const dir of [workDir, saved]) rmSync(dir, { recursive: true, force: true })
  softhsm.cleanup()
})

/** Aborted instead of resumed: what the call did or may have done is carried to the next ceremony. */
const ABORTED: readonly [op: string, point: WriteAheadPoint][] = [
  ['C_GenerateKey', 'after-result'],
  ['C_SetPIN', 'before-intent'],
  ['C_SetPIN', 'after-intent'],
  ['C_SetPIN', 'after-call'],
  ['C_SetPIN', 'after-result'],
]

/** A step's last moment: everything is done, and only the transcript does not say so yet. */
const ENDS: readonly [plan: string, action: string][] = [
  ['generate-fpe-key', 'quorum.resplit'],
  ['wrap-for-distribution', 'key.lock'],
  ['generate-embedding-key', 'key.zeroise'],
  ['zeroise-distributed-key', 'key.zeroise'],
]

const all = [
  ...CASES.flatMap(([plan, op]) => POINTS.map((point) => ({ name: plan, op, point }))),
  ...ENDS.map(([name, op]) => ({ name, op, point: 'before-step-end' as const })),
]

describe('killed, then resumed to the same objects', () => {
  it.each(all)('$name, $op, $point', async ({ name, op, point }) => {
    const reference = rehearsed.get(name)
    if (reference === undefined) throw new Error(`${name} was not rehearsed`)
    copyTree(join(saved, name, 'tokens'), tokens)
    copyTree(join(saved, name, 'people'), people)
    const dir = join(workDir, `killed-${name}-${op}-${point}`)
    const order = { planFile: reference.planFile, bindingFile: reference.bindingFile, dir }

    const killed = await runner({ ...order, what: 'run', kill: { op, point, nth: 1 } })
    expect(killed.signal, killed.stderr).toBe('SIGKILL')

    const resumed = await runner({ ...order, what: 'resume' })
    expect(resumed.outcome, resumed.stderr).toMatchObject({ outcome: 'complete' })
    expect(recordedRoots(dir)).toEqual(recordedRoots(reference.outcome.dir))

    const verification = await verify(dir, { mode: 'rehearsal' })
    expect(verification.findings.filter(({ status }) => status === 'failed')).toEqual([])
  })
})

describe('killed, aborted, and followed by the next ceremony', () => {
  it.each(ABORTED)('%s %s', async (op, point) => {
    const first = rehearsed.get('generate-fpe-key')
    const next = rehearsed.get('generate-kek')
    if (first === undefined || next === undefined) throw new Error('plans were not rehearsed')
    copyTree(join(saved, 'generate-fpe-key', 'tokens'), tokens)
    copyTree(join(saved, 'generate-fpe-key', 'people'), people)
    const dir = join(workDir, `aborted-${op}-${point}`)
    const order = { planFile: first.planFile, bindingFile: first.bindingFile, dir }
    const killed = await runner({ ...order, what: 'run', kill: { op, point, nth: 1 } })
    expect(killed.signal, killed.stderr).toBe('SIGKILL')

    const aborted = await runner({ ...order, what: 'abort' })
    expect(aborted.outcome, aborted.stderr).toMatchObject({ outcome: 'aborted' })
    const abort = await verify(dir, { mode: 'rehearsal' })
    expect(abort.findings.filter(({ status }) => status === 'failed')).toEqual([])
    // A key with a result is known, so that the next inventory does not meet a stranger.
    expect(abort.ledger.keys['fpe-pan']).toMatchObject({ state: 'present' })

    const binding = parse(readFileSync(next.bindingFile, 'utf8')) as Binding
    const root = `sha256:${Buffer.from(abort.root).toString('hex')}`
    const bindingFile = `${dir}.binding.yaml`
    writeFileSync(bindingFile, stringify({ ...binding, previous: { bundle: dir, root } }))
    const followed = await runner({
      what: 'run',
      planFile: next.planFile,
      bindingFile,
      dir: `${dir}-next`,
    })
    expect(followed.outcome, followed.stderr).toMatchObject({ outcome: 'complete' })
    const verification = await verify(`${dir}-next`, { mode: 'rehearsal', previous: dir })
    expect(verification.findings.filter(({ status }) => status === 'failed')).toEqual([])
  })
})
