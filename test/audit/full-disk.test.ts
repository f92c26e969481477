import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { beforeAll, describe, expect, it } from 'vitest'

import { verifyLog } from '../../src/audit/index.ts'
import { fingerprint, firstSegment, open, scratch } from './scratch.ts'
import { freshKey } from './software-keys.ts'

const { root, fresh } = scratch()
const key = freshKey()
const verifiers = [key.verifier]
const pem = join(root, 'key.pem')
beforeAll(() => writeFileSync(pem, key.privatePem))

interface Outcome {
  acknowledged: number
  size: number
  errors: Record<string, string>[]
}

function checkOutcome({ acknowledged, size, errors }: Outcome, errno: string): void {
  expect(acknowledged).toBeGreaterThan(10)
  expect(size).toBe(acknowledged)
  expect(errors).toHaveLength(3)
  for (const error of errors) {
    expect(error).toMatchObject({ name: 'StorageError', code: 'STORAGE', got: errno })
  }
}

describe('a disk that takes no more', () => {
  it('LOG-DURABLE-1: stops the writer and leaves a log that recovers (file size limit)', async () => {
    const dir = join(fresh(), 'log')
    // SIGXFSZ ignored, so that the limit shows as EFBIG after a short write, as a full disk does.
    const script = 'ulimit -f 24; trap "" XFSZ; exec "$@"'
    const program = join(import.meta.dirname, 'until-full.ts')
    const output = execFileSync('bash', ['-c', script, '-', process.execPath, program, dir, pem], {
      encoding: 'utf8',
    })
    const outcome = JSON.parse(output) as Outcome
    checkOutcome(outcome, 'EFBIG')
    expect(readFileSync(firstSegment(dir))).toHaveLength(24 * 1024)
    {
      await using log = await open(dir, { verifiers })
      expect(log.entries().at(-1)).toMatchObject({ type: 'log.recovered' })
      expect(log.size).toBe(outcome.acknowledged + 1)
      await log.checkpoint([key.noteSigner])
    }
    const found = await verifyLog(dir, { verifiers })
    expect(found.entries.filter(({ type }) => type === 'test.fill')).toHaveLength(
      outcome.acknowledged,
    )
  })

  it('stops the writer and leaves a log that recovers (full file system)', async ({ skip }) => {
    const disk = fresh()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'pipe' })
    } catch (error) {
      skip(`no right to mount a small tmpfs: ${(error as Error).message.split('\n')[0] ?? ''}`)
    }
    try {
      const dir = join(disk, 'log')
      const program = join(import.meta.dirname, 'until-full.ts')
      const output = execFileSync(process.execPath, [program, dir, pem], { encoding: 'utf8' })
      const outcome = JSON.parse(output) as Outcome
      checkOutcome(outcome, 'ENOSPC')
      expect(outcome.errors[0]?.['hint']).toContain('free disk space')

      // Still full: opening fails as well, and changes nothing that was acknowledged.
      const before = fingerprint(join(dir, 'seg'))
      await expect(open(dir, { verifiers })).rejects.toMatchObject({
        code: 'STORAGE',
        got: 'ENOSPC',
      })
      expect(fingerprint(join(dir, 'seg'))).toBe(before)

      // Not even room for a lock: it is not left behind empty, which would lock the log for good.
      writeFileSync(join(disk, 'filler'), '')
      const fill = () => appendFileSync(join(disk, 'filler'), Buffer.alloc(4096))
      expect(() => {
        for (;;) fill()
      }).toThrow('ENOSPC')
      await expect(open(dir, { verifiers })).rejects.toMatchObject({
        code: 'STORAGE',
        got: 'ENOSPC',
      })
      expect(existsSync(join(dir, 'lock'))).toBe(false)

      execFileSync('mount', ['-o', 'remount,size=1m', disk])
      {
        await using log = await open(dir, { verifiers })
        expect(log.entries().at(-1)).toMatchObject({ type: 'log.recovered' })
        expect(log.size).toBe(outcome.acknowledged + 1)
        await log.checkpoint([key.noteSigner])
      }
      const found = await verifyLog(dir, { verifiers })
      expect(found.size).toBe(outcome.acknowledged + 1)
    } finally {
      execFileSync('umount', [disk])
    }
  })
})
