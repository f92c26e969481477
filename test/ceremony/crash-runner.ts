/**
 * Runs or resumes a ceremony in a process of its own and, if told to, dies by SIGKILL at a write-ahead
 * point. Standard input: one JSON object. Prints the outcome as JSON.
 */
import { readFileSync } from 'node:fs'

import {
  type Room,
  type WriteAheadPoint,
  loadBinding,
  loadPlan,
  abort,
  resume,
  run,
} from '../../src/ceremony/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { keyFileSigner } from '../../src/quorum/index.ts'
import { clock, random } from './ports.ts'

/** What the parent asks for. */
export interface CrashOrder {
  readonly what: 'run' | 'resume' | 'abort'
  readonly planFile: string
  readonly bindingFile: string
  readonly dir: string
  readonly kill?: { readonly op: string; readonly point: WriteAheadPoint; readonly nth: number }
}

const order = JSON.parse(readFileSync(0, 'utf8')) as CrashOrder
const binding = loadBinding(readFileSync(order.bindingFile, 'utf8'), order.bindingFile)
await using hsm = await loadModule(binding.resolved.module.path)

let seen = 0
const observe = (point: WriteAheadPoint, op: string): void => {
  if (order.kill?.op !== op || order.kill.point !== point) return
  seen += 1
  if (seen === order.kill.nth) process.kill(process.pid, 'SIGKILL')
}

const nothing = (): void => undefined
const room: Room = {
  signal: new AbortController().signal,
  show: nothing,
  stepStarted: nothing,
  stepFinished: nothing,
  progress: nothing,
  choose: (_role, need, candidates) => Promise.resolve(candidates.slice(0, need)),
  confirm: () => Promise.resolve(),
  reading: () => Promise.resolve('on the wall'),
  passphrase: () => Promise.reject(new Error('this cast has no passphrases')),
  signer: ({ id, principal }) => {
    const signer = binding.resolved.people[id]?.signer
    if (signer === undefined || !('file' in signer)) throw new Error(`${id} has no key file`)
    return Promise.resolve(keyFileSigner({ principal, keyFile: signer.file }))
  },
}

const ports = { room, hsm, clock, random, observe }
const outcome =
  order.what === 'abort'
    ? await abort({ dir: order.dir, binding, reason: 'a test', ...ports })
    : order.what === 'resume'
      ? await resume({ dir: order.dir, binding, ...ports })
      : await run({
          plan: loadPlan(readFileSync(order.planFile, 'utf8'), order.planFile),
          binding,
          dir: order.dir,
          ...ports,
        })
process.stdout.write(JSON.stringify({ ...outcome, error: outcome.error?.toJSON() }))
