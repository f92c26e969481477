import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { sha256, toHex } from '../../src/bytes.ts'
import { takeLock } from '../../src/lock.ts'
import { StorageError } from '../../src/errors.ts'
import { makeLog, open, scratch } from './scratch.ts'
import { freshKey } from './software-keys.ts'

const { root, fresh } = scratch()
const key = freshKey()

const holder = (dir: string): Record<string, string> =>
  JSON.parse(readFileSync(join(dir, 'lock'), 'utf8')) as Record<string, string>
const forge = (dir: string, change: Record<string, string>, from: Record<string, string>) =>
  writeFileSync(join(dir, 'lock'), JSON.stringify({ ...from, ...change }))

/** A log in `dir` and what its lock looks like while this process holds it. */
async function lockedOnce(): Promise<{ dir: string; mine: Record<string, string> }> {
  const dir = fresh()
  await makeLog(dir, 1, [], key.noteSigner)
  await using log = await open(dir)
  expect(log.size).toBe(1)
  return { dir, mine: holder(dir) }
}

const locksIn = (dir: string): string[] =>
  readdirSync(dir).filter((name) => name.startsWith('lock'))
/** What who removes the lock `name` holds meanwhile. */
const breaking = (dir: string, name: string): string =>
  `lock.break-${toHex(sha256(readFileSync(join(dir, name)))).slice(0, 16)}`

describe('one writer per directory', () => {
  it('refuses a second log in the same process, and gives the lock back', async () => {
    const dir = fresh()
    const log = await open(dir, { mode: 'create' })
    for (const mode of ['append', 'create'] as const) {
      await expect(open(dir, { mode })).rejects.toMatchObject({
        name: 'StorageError',
        code: 'LOCKED',
        got: `process ${process.pid}: this one`,
      })
    }
    await log.append({ type: 'x' })
    await log[Symbol.asyncDispose]()
    expect(existsSync(join(dir, 'lock'))).toBe(false)
    await using again = await open(dir)
    expect(again.size).toBe(1)
  })

  it('LOG-WRITER-1: refuses while another process lives, and takes over when it is dead', async () => {
    const dir = join(fresh(), 'log')
    const pem = join(root, 'key.pem')
    writeFileSync(pem, key.privatePem)
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'appending-process.ts'), dir, 'create', pem],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    while (!output.includes('ack')) await sleep(5)
    await expect(open(dir)).rejects.toMatchObject({
      code: 'LOCKED',
      got: `process ${child.pid}: appending-process.ts`,
      hint: expect.stringMatching(/^wait until it has ended/),
    })
    const already = output.length
    while (output.length === already) await sleep(5)
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(existsSync(join(dir, 'lock'))).toBe(true)
    await using log = await open(dir)
    expect(log.size).toBeGreaterThan(0)
  })

  it('lets exactly one of many take over a stale lock', async () => {
    const { dir, mine } = await lockedOnce()
    for (let round = 0; round < 10; round += 1) {
      forge(dir, { pid: '4194303', started: '1' }, mine)
      const all = await Promise.allSettled(
        Array.from({ length: 8 }, () => takeLock(join(dir, 'lock'))),
      )
      const taken = all.filter((one) => one.status === 'fulfilled')
      expect(taken.length).toBeLessThanOrEqual(1)
      for (const one of all) {
        if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(StorageError)
      }
      await taken[0]?.value()
      expect(locksIn(dir)).toEqual([])
    }
    await using log = await open(dir)
    expect(log.size).toBe(1)
  })

  it('takes over when those who did before were killed meanwhile, and waits for one who lives', async () => {
    const { dir, mine } = await lockedOnce()
    forge(dir, { pid: '4194303', started: '1' }, mine)
    const first = breaking(dir, 'lock')
    const dead = (pid: string) => JSON.stringify({ ...mine, pid, started: '2' })
    writeFileSync(join(dir, first), dead('4194302'))
    const second = breaking(dir, first)
    writeFileSync(join(dir, second), dead('4194301'))
    for (const name of ['lock.new-7-0-1', `${first}.new-7-0-2`, 'lock.break-0123456789abcdef']) {
      writeFileSync(join(dir, name), '')
    }
    writeFileSync(join(dir, 'lock.new'), 'of somebody else')
    const release = await takeLock(join(dir, 'lock'))
    expect(locksIn(dir).sort()).toEqual(['lock', 'lock.new'])
    await release()

    forge(dir, { pid: '4194303', started: '1' }, mine)
    writeFileSync(join(dir, first), JSON.stringify(mine))
    await expect(takeLock(join(dir, 'lock'))).rejects.toMatchObject({
      code: 'LOCKED',
      where: join(dir, first),
      got: `process ${process.pid}: this one`,
    })
    expect(holder(dir)).toMatchObject({ pid: '4194303' })
  })

  it.each([
    ['a process that is gone', { pid: '4194303', started: '1' }],
    ['a process whose id another one has now', { pid: String(process.pid), started: '1' }],
    ['a machine that was started again', { boot: '00000000-0000-0000-0000-000000000000' }],
  ])('takes over from %s', async (_name, change) => {
    const { dir, mine } = await lockedOnce()
    forge(dir, change, mine)
    await using log = await open(dir)
    expect(log.size).toBe(1)
  })

  it.each([
    ['a process of another container', { pidNamespace: 'pid:[1]', pid: '4194303' }],
    ['a lock that names nobody', { pid: '' }],
  ])('does not take over from %s, and says what to do', async (_name, change) => {
    const { dir, mine } = await lockedOnce()
    forge(dir, change, mine)
    const error: unknown = await open(dir).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'LOCKED', where: join(dir, 'lock') })
    expect((error as StorageError).hint).toContain('remove')
    writeFileSync(join(dir, 'lock'), '')
    await expect(open(dir)).rejects.toMatchObject({ code: 'LOCKED' })
  })
})
