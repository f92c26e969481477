/** Operations that stand open between jobs: they save calls, and end in time. */
import { execFileSync } from 'node:child_process'
import { createCipheriv, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import type { Cryptoki, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { LIFETIME_MS, StandingOperations } from '../../src/pkcs11/standing-operation.ts'
import { type Hsm, type Key, type Token, loadModule } from '../../src/pkcs11/index.ts'
import { softHsm } from '../tokens.ts'
import { knownAes } from './open-session.ts'
import { type KeyImport, keyImport } from './imported-key.ts'

const files = softHsm()
const { vault } = files.tokens('vault')
const value = new Uint8Array(randomBytes(32))
let hsm: Hsm
let token: Token
let imports: KeyImport
let port: Cryptoki

beforeAll(async () => {
  hsm = await loadModule(files.module)
  token = await hsm.login(vault.uri, { pin: vault.userPin() })
  imports = keyImport({ ...files, libraryParameters: undefined }, token)
  port = openCryptoki({ path: files.module })
})
afterAll(async () => {
  port.close()
  imports.close()
  await hsm[Symbol.asyncDispose]()
  files.cleanup()
})

const blocks = new Uint8Array(randomBytes(160))
const expected = () => {
  const cipher = createCipheriv('aes-256-ecb', value, null).setAutoPadding(false)
  return new Uint8Array(cipher.update(blocks))
}

/** C_EncryptInit, C_EncryptUpdate and C_EncryptFinal in `work`. */
async function calls(work: () => Promise<unknown>): Promise<number[]> {
  const before = moduleCalls(port)
  await work()
  const after = moduleCalls(port)
  return ['C_EncryptInit', 'C_EncryptUpdate', 'C_EncryptFinal'].map(
    (fn) => (after[fn] ?? 0) - (before[fn] ?? 0),
  )
}

describe('an operation', () => {
  let key: Key
  let job: () => Promise<void>
  beforeEach(async () => {
    await sleep(LIFETIME_MS + 200)
    key = await imports.key(value)
    const cipher = key.blockCipher()
    job = async () => expect(await cipher.encryptBlocks(blocks)).toEqual(expected())
    await job()
  })

  it('stands open from job to job', async () => {
    expect(await calls(job)).toEqual([1, 1, 0])
    expect(await calls(job)).toEqual([0, 1, 0])
    expect(await calls(job)).toEqual([0, 1, 0])
  })

  it('is not older than its lifetime, used or not', async () => {
    await job()
    expect(await calls(() => sleep(LIFETIME_MS + 200))).toEqual([0, 0, 1])
    await job()
    const end = performance.now() + 2.5 * LIFETIME_MS
    const [init = 0, , final = 0] = await calls(async () => {
      while (performance.now() < end) await job()
    })
    expect(init).toBeGreaterThanOrEqual(2)
    expect(final).toBeGreaterThanOrEqual(2)
    expect(init + final).toBeLessThan(10)
  })

  it('ends when something else needs its session, also another key', async () => {
    await job()
    const single = key.blockCipher({ operation: 'single-part' })
    expect(await single.encryptBlocks(blocks)).toEqual(expected())
    await key.attributes()
    await job()
    const other = (
      await token.generate({ role: 'fpe', label: 'other', id: randomBytes(16) })
    ).blockCipher()
    for (let n = 0; n < 4; n += 1) {
      expect(await other.encryptBlocks(blocks)).not.toEqual(expected())
      await job()
    }
  })

  it('is shared by nobody: concurrent jobs have one each', async () => {
    await Promise.all(Array.from({ length: 20 }, job))
    const [init = 0] = await calls(() => Promise.all(Array.from({ length: 20 }, job)))
    expect(init).toBeLessThanOrEqual(4)
  })
})

describe('a key that is destroyed', () => {
  const made = async (label: string) => {
    const key = await token.generate({ role: 'fpe', label, id: randomBytes(16) })
    const cipher = key.blockCipher()
    for (let n = 0; n < 3; n += 1) await cipher.encryptBlocks(blocks)
    return { key, cipher }
  }
  const gone = expect.objectContaining({ code: 'KEY_NOT_FOUND' }) as Error
  const approval = { by: ['alice', 'bob'], intentSha256: '0'.repeat(64) }

  it('here, by another of its names, encrypts nothing any more', async () => {
    const { key, cipher } = await made('doomed-here')
    await token.destroy(await token.key(key.uri), approval)
    await expect(cipher.encryptBlocks(blocks)).rejects.toThrow(gone)
  })

  it('here, while a job runs, encrypts nothing after it', async () => {
    const { key, cipher } = await made('doomed-meanwhile')
    const long = cipher.encryptBlocks(new Uint8Array(16 * 2_000_000))
    await token.destroy(key, approval)
    await Promise.allSettled([long])
    await expect(cipher.encryptBlocks(blocks)).rejects.toThrow(gone)
  })

  it('by somebody else, and is there again under its name, is used as if it were another one', async () => {
    const session = port.openSession(token.info.slotId, { readWrite: true })
    const template = knownAes(value, { LABEL: 'again', ID: new Uint8Array([1]) })
    const before = port.createObject(session, template)
    const [key] = await token.find({ label: 'again' })
    const cipher = key!.blockCipher()
    const jobs = (count: number) =>
      Promise.all(Array.from({ length: count }, () => cipher.encryptBlocks(blocks)))
    await jobs(1)
    await jobs(2)
    port.destroyObject(session, before)
    port.createObject(session, template)
    // One more than operations that stand open: it begins one, and meets the handle that is gone.
    for (const answer of await jobs(3)) expect(answer).toEqual(expected())
    port.closeSession(session)
  })

  it('by another process, encrypts for no longer than the lifetime', async () => {
    const { key, cipher } = await made('doomed-elsewhere')
    execFileSync('pkcs11-tool', [
      ...['--module', files.module, '--token-label', 'vault', '--login'],
      ...['--pin', Buffer.from(vault.userPin()).toString('ascii')],
      ...['--delete-object', '--type', 'secrkey', '--id', key.id],
    ])
    const destroyed = performance.now()
    let error: unknown
    while (error === undefined && performance.now() < destroyed + 5 * LIFETIME_MS) {
      await cipher.encryptBlocks(blocks).catch((refused: unknown) => {
        error = refused
      })
    }
    expect(error).toEqual(gone)
    expect(performance.now() - destroyed).toBeLessThan(LIFETIME_MS + 500)
  })
})

describe('a session number that names another session by now', () => {
  it('is not released by who had it before', () => {
    const session = 7n as SessionHandle
    const ended: SessionHandle[] = []
    const standing = new StandingOperations((one) => ended.push(one))
    const [before, after] = [{}, {}]
    standing.release(standing.take(session, before), true)
    const old = standing.take(session, before)
    expect(old.open).toBe(true)
    standing.clear()
    const lease = standing.take(session, after)
    expect(lease.open).toBe(false)
    standing.release(old, true)
    // In use: nobody ends its operation from outside.
    standing.endAll()
    expect(ended).toEqual([])
    standing.release(lease, true)
    expect(ended).toEqual([session])
  })
})
