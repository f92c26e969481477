import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { afterAll, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { collect, epochOf, info } from './store-content.ts'

const root = mkdtempSync(join(tmpdir(), 'keyrite-full-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const program = join(import.meta.dirname, 'store-full-process.ts')

interface Outcome {
  readonly acknowledged: readonly string[]
  readonly errors: readonly Record<string, string>[]
}

async function make(directory: string) {
  await using store = await openEmbeddedStore(directory, { create: true })
  await store.createCollection(info('things'), epochOf(1))
}

/** What is in the store is what was acknowledged, and nothing of what failed. */
async function check(directory: string, acknowledged: readonly string[]) {
  await using store = await openEmbeddedStore(directory)
  const tokens = (await collect(store.all('things'))).map(({ token }) => toHex(token))
  expect(tokens.sort()).toEqual([...acknowledged].sort())
  expect((await store.collection('things')).blocks).toBe(acknowledged.length / 8)
  expect(await collect(store.verify('things'))).toEqual([])
}

/** Runs the child; `meanwhile` is called when it has met the limit three times. */
async function run(command: string[], meanwhile: (first: Outcome) => Promise<void> | void) {
  const [file = '', ...args] = command
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value as string) as Outcome
  const first = await next()
  await meanwhile(first)
  child.stdin.write('\n')
  const second = await next()
  child.stdin.end()
  return { first, second }
}

function checkErrors({ acknowledged, errors }: Outcome): void {
  expect(acknowledged.length).toBeGreaterThan(8)
  expect(errors).toHaveLength(3)
  for (const error of errors) {
    expect(error).toMatchObject({ name: 'StorageError', code: 'STORAGE' })
    expect(error).toHaveProperty('hint')
  }
}

describe('a disk that takes no more', () => {
  // A long segment meets the limit itself; with short ones it is the write-ahead log that does.
  it.each([
    ['segments', 1 << 30],
    ['index', 100_000],
  ])('leaves a sound store (file size limit, %s)', async (what, segmentBytes) => {
    const directory = join(root, `limit-${what}`)
    await make(directory)
    const script = 'ulimit -f 600; trap "" XFSZ; exec "$@"'
    const command = [process.execPath, program, directory, String(segmentBytes)]
    const { second } = await run(['bash', '-c', script, '-', ...command], (first) =>
      checkErrors(first),
    )
    await check(directory, second.acknowledged)
  })

  it('leaves a sound store, which goes on when there is room (full file system)', async ({
    skip,
  }) => {
    const disk = mkdtempSync(join(root, 'disk-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk], { stdio: 'pipe' })
    } catch (error) {
      skip(`no right to mount a small tmpfs: ${(error as Error).message.split('\n')[0] ?? ''}`)
    }
    try {
      const directory = join(disk, 'store')
      await make(directory)
      const command = [process.execPath, program, directory, '200000']
      const { second } = await run(command, (first) => {
        checkErrors(first)
        expect(first.errors[0]).toMatchObject({ got: 'ENOSPC' })
        expect(first.errors[0]?.['hint']).toContain('free disk space')
        execFileSync('mount', ['-o', 'remount,size=8m', disk])
      })
      // The same handle wrote again.
      expect(second.errors).toHaveLength(3)
      await check(directory, second.acknowledged)
    } finally {
      execFileSync('umount', [disk])
    }
  })
})
