import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, describe, expect, it } from 'vitest'

import { sha256, toHex } from '../../src/bytes.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import type { StoreFault } from '../../src/he/store.ts'
import { collect, contentOf, epochOf, info, record, SMALL_SEGMENT_BYTES } from './store-content.ts'

const NAME = 'things'
const root = mkdtempSync(join(tmpdir(), 'keyrite-crash-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let count = 0
const fresh = async () => {
  const directory = join(root, String((count += 1)))
  await using store = await openEmbeddedStore(directory, { create: true })
  await store.createCollection(info(NAME), epochOf(1))
  return directory
}

/** Digest of the sealed bytes by token. */
type Content = Map<string, string>
interface Step {
  readonly put: readonly [token: string, digest: string][]
  readonly gone: readonly string[]
}
const after = (content: Content, { put, gone }: Step): Content => {
  const next = new Map(content)
  for (const token of gone) next.delete(token)
  for (const [token, digest] of put) next.set(token, digest)
  return next
}
const sorted = (content: Content) => [...content].sort(([a], [b]) => (a < b ? -1 : 1))

/** Runs the child until it is dead and reads what it said. */
async function run(directory: string, args: readonly string[], kill?: () => Promise<void>) {
  const program = join(import.meta.dirname, 'store-crash-process.ts')
  const child = spawn(process.execPath, [program, directory, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const closed = once(child, 'close')
  if (kill !== undefined) {
    while (!output.includes('ack')) {
      expect(child.exitCode).toBeNull()
      await sleep(5)
    }
    await kill()
    child.kill('SIGKILL')
  }
  await closed
  expect(child.signalCode).toBe('SIGKILL')
  const lines = output.split('\n')
  // A line that the kill cut off was not said.
  lines.pop()
  return lines
}

/** What was acknowledged, and what may or may not have been done beyond. */
function outcomes(before: Content, lines: readonly string[]) {
  let acknowledged = before
  let tried: Step | undefined
  let acks = 0
  for (const line of lines) {
    if (line.startsWith('try ')) tried = JSON.parse(line.slice(4)) as Step
    if (line === 'ack' && tried !== undefined) {
      acknowledged = after(acknowledged, tried)
      tried = undefined
      acks += 1
    }
  }
  return { acknowledged, acks, possible: tried && after(acknowledged, tried) }
}

/** Opens the store after a crash, checks all of it, and writes. Returns what is in it. */
async function reopened(directory: string, notices: StoreFault[]): Promise<Content> {
  await using store = await openEmbeddedStore(directory, {
    segmentBytes: SMALL_SEGMENT_BYTES,
    onNotice: (what) => notices.push(what),
  })
  const content = new Map(
    (await collect(store.all(NAME))).map(({ token, sealed }) => [
      toHex(token),
      toHex(sha256(sealed)),
    ]),
  )
  expect(await collect(store.verify(NAME))).toEqual([])
  const one = record()
  await store.commit(NAME, { records: [one] })
  expect(await store.find(NAME, [one.token])).toMatchObject([contentOf(one)])
  await store.commit(NAME, { delete: [one.token] })
  const numbers = (await store.blocks(NAME)).map(({ block }) => block)
  expect(await collect(store.readBlocks(NAME, numbers))).toHaveLength(numbers.length)
  expect(await collect(store.verify(NAME))).toEqual([])
  return content
}

describe('kill -9 of a process that writes', () => {
  const KILLS = 12
  it(`loses nothing acknowledged and does nothing by half in ${KILLS} runs`, async () => {
    const directory = await fresh()
    const notices: StoreFault[] = []
    let content: Content = new Map()
    let acks = 0
    for (let turn = 0; turn < KILLS; turn += 1) {
      const lines = await run(directory, [String(turn)], () => sleep(Math.random() * 150))
      const seen = outcomes(content, lines)
      const found = await reopened(directory, notices)
      const wanted = [seen.acknowledged, seen.possible ?? seen.acknowledged].map(sorted)
      expect(wanted).toContainEqual(sorted(found))
      content = found
      acks += seen.acks
    }
    expect(acks).toBeGreaterThan(KILLS)
    expect(content.size).toBeGreaterThan(5)
  })

  it.each(['begin', 'commit', 'committed'])('is sound when it comes at "%s"', async (point) => {
    const directory = await fresh()
    const notices: StoreFault[] = []
    let content: Content = new Map()
    let done = 0
    let undone = 0
    // Odd and even ones, so that it is the change or the emptying of a segment that is cut off.
    for (const nth of [1, 2, 7, 12, 19]) {
      const lines = await run(directory, [String(nth), point, String(nth)])
      const { acknowledged, possible } = outcomes(content, lines)
      content = await reopened(directory, notices)
      if (JSON.stringify(sorted(content)) === JSON.stringify(sorted(acknowledged))) undone += 1
      else {
        expect(sorted(content)).toEqual(sorted(possible ?? acknowledged))
        done += 1
      }
    }
    if (point === 'committed') {
      // The rows are there before anybody was told.
      expect(done).toBeGreaterThan(0)
    } else {
      // The bytes were there and no row: they are cut off, and that is said.
      expect(undone).toBeGreaterThan(0)
      expect(notices.map(({ what }) => what).join()).toMatch(/not committed were cut off|removed/)
    }
    expect(readFileSync(join(directory, 'index.sqlite')).length).toBeGreaterThan(0)
  })
})
