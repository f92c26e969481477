/** The rules for worker_threads: workers share the module, and can neither finalise nor disturb it. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { CKS } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import { softHsm } from '../tokens.ts'
import { aes, openSession } from './open-session.ts'
import type { Job, Report } from './thread-worker.ts'

const hsm = softHsm()
const { vault } = hsm.tokens('vault')
const ecb = mechanism(CKM.AES_ECB)
const block = new Uint8Array(16)
let cryptoki: Cryptoki
let session: SessionHandle
let key: ObjectHandle

beforeAll(() => {
  cryptoki = openCryptoki({ path: hsm.module })
  session = openSession(cryptoki, vault)
  const template = aes({ TOKEN: true, LABEL: 'shared' })
  key = cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), template)
})
afterAll(() => {
  cryptoki.close()
  hsm.cleanup()
})

const start = (job: Job['job']) =>
  new Worker(join(import.meta.dirname, 'thread-worker.ts'), {
    workerData: { module: hsm.module, label: 'vault', job } satisfies Job,
  })

async function run(job: Job['job']): Promise<Report> {
  const worker = start(job)
  const exit = once(worker, 'exit')
  let [report] = (await once(worker, 'message')) as [Report | 'started']
  if (report === 'started') [report] = (await once(worker, 'message')) as [Report]
  expect(await exit).toEqual([0])
  return report
}

describe('worker threads', () => {
  it('use the login and keys of the main thread and leave no trace', async () => {
    const expected = cryptoki.encrypt(session, ecb, key, block)
    const reports = await Promise.all([run('use'), run('use'), run('use')])
    for (const report of reports) {
      expect(report).toEqual({
        owner: false,
        state: CKS.RW_USER_FUNCTIONS,
        sealed: expected,
        refusals: ['MODULE_NOT_OWNED', 'MODULE_NOT_OWNED'],
      })
    }
    expect(cryptoki.encrypt(session, ecb, key, block)).toEqual(expected)
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
    const calls = moduleCalls(cryptoki)
    expect(calls).not.toHaveProperty('C_Finalize')
    expect(calls).not.toHaveProperty('C_CloseAllSessions')
    expect(calls['C_CloseSession']).toBe(3)
    expect(calls['C_Initialize']).toBe(4)
  })

  it('row 4: the owner does not finalise under a running call, and can afterwards', async () => {
    const worker = start('keygen')
    const exit = once(worker, 'exit')
    await once(worker, 'message')
    while (cryptoki.inFlight === 0) await setTimeout(1)
    const busy = expect.objectContaining({ code: 'MODULE_BUSY' }) as Error
    expect(() => cryptoki.reinitialize()).toThrow(busy)
    expect(() => cryptoki.reload()).toThrow(busy)
    expect(() => cryptoki.close()).toThrow(busy)
    expect(await exit).toEqual([0])
    expect(cryptoki.inFlight).toBe(0)
    cryptoki.reinitialize()
    session = openSession(cryptoki, vault)
    key = cryptoki.findObjects(session, { LABEL: 'shared' })[0]!
    expect(cryptoki.encrypt(session, ecb, key, block).length).toBe(16)
  })

  it('a worker that is terminated inside a call does no harm', async () => {
    const worker = start('keygen')
    await once(worker, 'message')
    await setTimeout(20)
    await worker.terminate()
    expect(cryptoki.encrypt(session, ecb, key, block).length).toBe(16)
    while (cryptoki.inFlight !== 0) await setTimeout(5)
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
  })

  it('rows 5, 18: several workers may come first; the module is initialised once and stays', () => {
    const race = join(import.meta.dirname, 'thread-race.ts')
    const args = [race, hsm.module, 'vault']
    expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('12')
  })
})
