/** Aborting a ceremony that was killed in the middle of a call: only a resumed run can settle it. */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import {
  type Room,
  abort,
  loadBinding,
  rehearse,
  resume,
  verify,
} from '../../src/ceremony/index.ts'
import { PolicyError } from '../../src/errors.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { keyFileSigner } from '../../src/quorum/index.ts'
import { scratch, softHsm } from '../tokens.ts'
import type { CrashOrder } from './crash-runner.ts'
import { clock, random } from './ports.ts'
import { copyTree, shipped } from './stage.ts'

const softhsm = softHsm()
const tokens = join(softhsm.dir, 'tokens')
const workDir = scratch('abort-open')
const people = join(workDir, 'people')
const saved = scratch('abort-open-saved')
const dir = join(workDir, 'killed')
let bindingFile = ''

beforeAll(async () => {
  await using hsm = await loadModule(softhsm.module)
  const done = await rehearse({
    plans: [shipped('generate-fpe-key')],
    workDir,
    hsm,
    clock,
    random,
    filesOnly: true,
    room: {
      watch: {
        stepStarted: ({ number }) => {
          if (number !== 1) return
          copyTree(tokens, join(saved, 'tokens'))
          copyTree(people, join(saved, 'people'))
        },
      },
    },
  })
  const last = done.at(-1)
  if (last?.outcome.outcome !== 'complete') throw new Error('the rehearsal failed')
  copyTree(join(saved, 'tokens'), tokens)
  copyTree(join(saved, 'people'), people)
  bindingFile = last.bindingFile
  const order: CrashOrder = {
    what: 'run',
    planFile: last.planFile,
    bindingFile,
    dir,
    kill: { op: 'C_SetPIN', point: 'after-call', nth: 1 },
  }
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash-runner.ts')], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.stdin.end(JSON.stringify(order))
  const signal = await new Promise((end) => child.once('close', (_code, name) => end(name)))
  expect(signal).toBe('SIGKILL')
}, 120_000)

afterAll(() => {
  for (const each of [workDir, saved]) rmSync(each, { recursive: true, force: true })
  softhsm.cleanup()
})

describe('a PIN change without a result', () => {
  it('is not left behind without asking; a resumed run settles it', async () => {
    await using hsm = await loadModule(softhsm.module)
    const binding = loadBinding(readFileSync(bindingFile, 'utf8'), bindingFile)
    const shown: string[] = []
    const phrases: string[] = []
    let refuse = true
    const room: Room = {
      signal: new AbortController().signal,
      show: (lines) => shown.push(...lines),
      stepStarted: () => undefined,
      stepFinished: () => undefined,
      progress: () => undefined,
      choose: (_role, need, candidates) => Promise.resolve(candidates.slice(0, need)),
      confirm: (_who, _question, phrase) => {
        phrases.push(phrase)
        const no = new PolicyError('CONFIRMATION_REFUSED', 'CER-CONFIRM-1', 'no')
        return refuse ? Promise.reject(no) : Promise.resolve()
      },
      reading: () => Promise.resolve('on the wall'),
      passphrase: () => Promise.reject(new Error('this cast has no passphrases')),
      signer: ({ id, principal }) =>
        Promise.resolve(keyFileSigner({ principal, keyFile: join(people, id, 'id_ed25519') })),
    }
    const ports = { dir, binding, room, hsm, clock, random }
    const before = readFileSync(join(dir, 'log/seg/000000000000.jsonl'))
    await expect(abort({ ...ports, reason: 'power cut' })).rejects.toMatchObject({
      code: 'CONFIRMATION_REFUSED',
    })
    expect(phrases).toEqual(['leave it open'])
    expect(shown.join()).toContain('C_SetPIN may or may not have happened')
    expect(readFileSync(join(dir, 'log/seg/000000000000.jsonl'))).toEqual(before)
    refuse = false
    expect(await resume(ports)).toMatchObject({ outcome: 'complete' })
    expect((await verify(dir, { mode: 'rehearsal' })).errors).toEqual([])
  })
})
