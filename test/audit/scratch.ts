/** Throw-away directories and logs. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash } from 'node:crypto'

import { afterAll } from 'vitest'

import { type Log, type OpenLogOptions, openLog } from '../../src/audit/index.ts'
import type { NoteSigner } from '../../src/note.ts'
import { ORIGIN, fixedClock } from './software-keys.ts'

/** Makes directories that are gone after the test file. */
export function scratch() {
  const root = mkdtempSync(join(tmpdir(), 'keyrite-audit-'))
  let count = 0
  afterAll(() => {
    rmSync(root, { recursive: true, force: true })
  })
  const fresh = (): string => {
    const dir = join(root, String((count += 1)))
    mkdirSync(dir)
    return dir
  }
  return {
    root,
    fresh,
    copy: (from: string): string => {
      const dir = fresh()
      cpSync(from, dir, { recursive: true })
      return dir
    },
  }
}

/** Opens a log with test defaults. */
export const open = (dir: string, options: Partial<OpenLogOptions> = {}): Promise<Log> =>
  openLog({ dir, origin: ORIGIN, clock: fixedClock(), mode: 'append', ...options })

/** A log of `size` small entries with a checkpoint at each of the given sizes. */
export async function makeLog(
  dir: string,
  size: number,
  checkpoints: readonly number[],
  signer: NoteSigner,
): Promise<void> {
  await using log = await open(dir, { mode: 'create' })
  for (let n = 0; n <= size; n += 1) {
    if (checkpoints.includes(n)) await log.checkpoint([signer])
    if (n < size) await log.append({ type: 'test.note', n, text: `entry ${n}` })
  }
}

/** Path of the first segment. */
export const firstSegment = (dir: string): string => join(dir, 'seg', '000000000000.jsonl')

/** Lines of the first segment, without newlines. */
export const linesOf = (dir: string): string[] =>
  readFileSync(firstSegment(dir), 'utf8').split('\n').slice(0, -1)

/** Digest over all names and contents below a directory. */
export function fingerprint(dir: string): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort()) {
    hash.update(`${name}\n`)
    try {
      hash.update(readFileSync(join(dir, name)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EISDIR') throw error
    }
  }
  return hash.digest('hex')
}
