import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { allowedAfter, type Allowed, checkLoss } from './power-loss-check.ts'
import { createDisk, type State, writeState } from './power-loss-disk.ts'
import { type Call, compileShim, readState, record, type Trouble } from './power-loss-record.ts'
import { dice } from './store-model.ts'

const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'keyrite-loss-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const program = join(import.meta.dirname, 'power-loss-process.ts')

let shim = ''
let reason: string | undefined
beforeAll(() => {
  if (process.platform !== 'linux')
    reason = 'LD_PRELOAD and the calls that are recorded are of Linux'
  try {
    execFileSync('g++', ['--version'], { stdio: 'pipe' })
  } catch {
    reason = 'there is no g++ to compile the recorder'
  }
  if (reason === undefined) shim = compileShim(root)
})
beforeEach(({ skip }) => {
  if (reason !== undefined) skip(reason)
})

let count = 0
const fresh = (): string => {
  const directory = join(root, String((count += 1)))
  mkdirSync(directory)
  return directory
}
const run = (files: string, args: readonly string[], trouble?: Trouble): readonly Call[] =>
  record(shim, files, [program, join(files, 'store'), ...args], trouble)

/** Shared memory of SQLite is no file that lasts. */
const lasting = (state: State): State =>
  new Map([...state].filter(([path]) => !path.endsWith('-shm')))

/** The record says all that was done when it gives the files that are there. */
function expectComplete(files: string, calls: readonly Call[], initial?: State): void {
  const disk = createDisk(initial)
  for (const call of calls) disk.tell(call)
  const hex = (state: State) =>
    [...lasting(state)].map(([path, bytes]) => `${path} ${Buffer.from(bytes).toString('hex')}`)
  expect(hex(disk.now()).sort()).toEqual(hex(readState(files)).sort())
}

async function checkState(state: State, allowed: Allowed): Promise<void> {
  const directory = fresh()
  writeState(directory, state)
  try {
    await checkLoss(join(directory, 'store'), allowed)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** What the process said, with the number of calls before. */
const linesOf = (calls: readonly Call[]) =>
  calls.flatMap(({ is, data }, at) => {
    if (is !== 'say') return []
    const [word = '', , print = ''] = Buffer.from(data).toString('utf8').trim().split(' ')
    return [{ at, word, print }]
  })

interface Cuts {
  readonly seed: number
  /** One of so many calls is followed by a power loss. */
  readonly every: number
  readonly from?: number
  readonly initial?: State
}

/** States that losses after calls may leave; throws what is wrong with one. Returns how many there were. */
async function lose(
  calls: readonly Call[],
  { seed, every, from = 0, initial }: Cuts,
): Promise<number> {
  const allowed = allowedAfter(calls, initial !== undefined)
  const disk = createDisk(initial)
  const roll = dice(seed)
  let sound = 0
  for (const [at, call] of calls.entries()) {
    disk.tell(call)
    if (at < from || roll(every) !== 0) continue
    const state = new Map(lasting(disk.lose(roll)))
    // What the kernel had of it means nothing after a loss, and SQLite must know that.
    const log = 'store/index.sqlite-wal'
    if (roll(4) === 0 && state.has(log)) {
      state.set('store/index.sqlite-shm', new Uint8Array(32_768).fill(roll(256)))
    }
    try {
      await checkState(state, allowed[at]!)
      sound += 1
    } catch (cause) {
      const files = [...state].map(([path, { length }]) => `${path} ${length}`)
      const where = `seed ${seed}, after call ${at} (${call.is} ${call.path}), with ${files.join()}`
      throw new Error(`a power loss breaks the store: ${where}`, { cause })
    }
  }
  return sound
}

describe('a power loss', () => {
  it.each([1, 2])('loses nothing acknowledged and leaves a sound store (%i)', async (seed) => {
    const files = fresh()
    const calls = run(files, [String(seed), '30'])
    expectComplete(files, calls)
    const kinds = new Set(calls.map(({ is }) => is))
    for (const kind of ['truncate', 'unlink', 'rename', 'sync'] as const) {
      expect(kinds).toContain(kind)
    }
    expect(await lose(calls, { seed, every: 18 })).toBeGreaterThan(40)
  })

  it('keeps a store in a directory that was there and in no parent yet', async () => {
    const files = fresh()
    const made: Call = { is: 'mkdir', fd: 0, at: 0, path: 'store', other: '', data: Buffer.of() }
    mkdirSync(join(files, 'store'))
    const calls = [made, ...run(files, ['4', 'replace'])]
    expectComplete(files, calls)
    expect(await lose(calls, { seed: 4, every: 4 })).toBeGreaterThan(20)
  })

  it('is sound when it comes again, while the store is put in order after the first', async () => {
    const files = fresh()
    const calls = run(files, ['5', '25'])
    const disk = createDisk()
    const roll = dice(5)
    let sound = 0
    for (const call of calls) {
      disk.tell(call)
      if (call.is !== 'sync' || roll(30) !== 0) continue
      const initial = lasting(disk.lose(roll))
      if (!initial.has('store/index.sqlite')) continue
      const again = fresh()
      writeState(again, initial)
      const more = run(again, ['6', '3'])
      expectComplete(again, more, initial)
      sound += await lose(more, { seed: 6, every: 14, initial })
    }
    expect(sound).toBeGreaterThan(20)
  })

  it('is sound after a kill within a commit: what that removed is removed for good', async () => {
    let sound = 0
    for (const nth of [2, 3, 4]) {
      const files = fresh()
      const killed = run(files, ['7', 'replace'], { fault: `sync -wal ${nth} kill` })
      const calls = [...killed, ...run(files, ['8', '2'])]
      expectComplete(files, calls)
      sound += await lose(calls, { seed: 7, every: 3, from: killed.length })
    }
    expect(sound).toBeGreaterThan(20)
  })
})

describe('a disk that fails once', () => {
  // The errno is that of Linux: 4 EINTR, 5 EIO, 28 ENOSPC.
  it.each([
    ['sync .seg 6 5', 1],
    ['sync segments 3 5', 1],
    ['sync -wal 2 5', 1],
    ['sync -wal 8 5', 1],
    ['write .seg 4 5', 1],
    ['write -wal 50 28', 1],
    // A log that cannot be put into the database now is put there later.
    ['sync index.sqlite 1 5', 0],
    ['write .seg 6 short', 0],
    ['write .seg 8 4', 0],
    ['write -wal 60 short', 0],
  ])('acknowledges nothing that it lost: %s', async (fault, failures) => {
    const files = fresh()
    const calls = run(files, ['3', '16'], { fault })
    expectComplete(files, calls)
    const lines = linesOf(calls)
    const failed = lines.filter(({ word }) => word === 'failed')
    expect(failed).toHaveLength(failures)
    for (const { at, print } of failed) {
      const before = lines.filter((line) => line.at < at && line.word === 'done').at(-1)
      expect(print).toBe(before?.print)
      expect(lines.filter((line) => line.at > at && line.word === 'done').length).toBeGreaterThan(3)
    }
    const syncFailed = calls.findIndex(({ is }) => is === 'sync failed')
    const from = Math.max(syncFailed, failed[0]?.at ?? 0, 0)
    expect(await lose(calls, { seed: 9, every: 28, from })).toBeGreaterThan(3)
  })

  it('keeps no descriptor of a segment that it could not name', () => {
    const calls = run(fresh(), ['3', '16'], { fault: 'sync segments 3 5' })
    const failed = calls.findIndex(({ is }) => is === 'sync failed')
    const named = (call: Call) => call.is === 'open' && call.path.endsWith('.seg')
    const segment = calls.slice(0, failed).findLast(named)
    const next = calls.slice(failed)
    const until = next.slice(
      0,
      next.findIndex(({ is }) => is === 'say'),
    )
    expect(segment).toBeDefined()
    expect(until.some(({ is, fd }) => is === 'close' && fd === segment?.fd)).toBe(true)
  })
})
