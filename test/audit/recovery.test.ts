import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { beforeAll, describe, expect, it } from 'vitest'

import { verifyLog } from '../../src/audit/index.ts'
import { sha256, toHex } from '../../src/bytes.ts'
import { VerificationError } from '../../src/errors.ts'
import { fingerprint, firstSegment, linesOf, makeLog, open, scratch } from './scratch.ts'
import { freshKey } from './software-keys.ts'

const { fresh, copy } = scratch()
const key = freshKey()
const verifiers = [key.verifier]

/** Six entries, of which four are signed. */
let base: string
/** Length of the segment up to and including each line. */
let ends: number[]
beforeAll(async () => {
  base = fresh()
  await makeLog(base, 6, [2, 4], key.noteSigner)
  ends = []
  for (const line of linesOf(base)) ends.push((ends.at(-1) ?? 0) + line.length + 1)
})

/** Opens, expects a `log.recovered` entry about `tail`, checkpoints, verifies. */
async function expectRecovered(dir: string, kept: number, tail: Uint8Array): Promise<void> {
  {
    await using log = await open(dir, { verifiers })
    expect(log.entries().at(-1)).toMatchObject({ type: 'log.recovered', bytes: tail.length })
    expect(log.size).toBe(kept + 1)
    const name = log.entries().at(-1)?.['quarantined'] as string
    expect(name).toMatch(new RegExp(`-${toHex(sha256(tail))}\\.torn$`))
    const stored = readFileSync(join(dir, 'quarantine', name))
    expect(toHex(new Uint8Array(stored))).toBe(toHex(tail))
    await log.checkpoint([key.noteSigner])
  }
  await expect(verifyLog(dir, { verifiers })).resolves.toMatchObject({ size: kept + 1 })
  // Recovered once, not at every opening.
  await using again = await open(dir, { verifiers })
  expect(again.size).toBe(kept + 1)
}

async function expectRefused(dir: string, expected: object): Promise<void> {
  const before = fingerprint(dir)
  await expect(open(dir, { verifiers })).rejects.toMatchObject(expected)
  await expect(open(dir)).rejects.toThrow(VerificationError)
  expect(fingerprint(dir)).toBe(before)
}

describe('a torn last line', () => {
  it('LOG-RECOVER-1: is set aside wherever it was cut', async () => {
    const start = ends[4]!
    for (let at = start + 1; at < ends[5]!; at += 29) {
      const dir = copy(base)
      truncateSync(firstSegment(dir), at)
      const tail = new Uint8Array(readFileSync(firstSegment(dir)).subarray(start))
      await expectRecovered(dir, 5, tail)
    }
  })

  it.each([
    ['text that is not JSON', '{"half":\n'],
    ['zeros, as a file system leaves after a power cut', '\0'.repeat(4096)],
    ['bytes that are not UTF-8', Buffer.from('{"a":"\xff"}\n', 'latin1')],
    ['an empty line', '\n'],
    ['a line that lacks nothing but its newline', '{}'],
    ['more than a line can hold', 'x'.repeat(3_000_000)],
  ])('may be %s', async (_name, tail) => {
    const dir = copy(base)
    appendFileSync(firstSegment(dir), tail)
    await expectRecovered(dir, 6, new Uint8Array(Buffer.from(tail)))
  })

  it('may be all there is, when nothing was signed', async () => {
    const dir = fresh()
    await makeLog(dir, 1, [], key.noteSigner)
    truncateSync(firstSegment(dir), 20)
    const tail = new Uint8Array(readFileSync(firstSegment(dir)))
    await expectRecovered(dir, 0, tail)
  })

  it('is never set aside below the signed size', async () => {
    for (let at = ends[2]! + 1; at < ends[3]!; at += 31) {
      const dir = copy(base)
      truncateSync(firstSegment(dir), at)
      await expectRefused(dir, { code: 'LOG_TRUNCATED', requirement: 'LOG-SIZE-1', entry: 3 })
    }
  })

  it('is refused by verification, which never writes', async () => {
    const dir = copy(base)
    truncateSync(firstSegment(dir), ends[5]! - 1)
    const before = fingerprint(dir)
    await expect(verifyLog(dir, { verifiers })).rejects.toMatchObject({
      code: 'CHAIN_BROKEN',
      requirement: 'LOG-LINE-1',
      entry: 5,
    })
    expect(fingerprint(dir)).toBe(before)
  })
})

describe('what no crash leaves', () => {
  const line = (n: number) => linesOf(base)[n]!
  it.each([
    ['a bad line that is not the last', () => [...linesOf(base).with(4, '{"half":')], 4],
    ['a complete last line out of place', () => [...linesOf(base), line(5)], 6],
    ['a last line that is JSON but not an entry', () => [...linesOf(base), '{}'], 6],
    ['a last line that is not canonical', () => linesOf(base).with(5, ` ${line(5)}`), 5],
    ['an empty line in between', () => linesOf(base).toSpliced(5, 0, ''), 5],
    [
      'a last line that does not continue the chain',
      () => linesOf(base).with(5, line(5).replace(/"prev":"./, '"prev":"x')),
      5,
    ],
  ])('refused: %s', async (_name, lines, entry) => {
    const dir = copy(base)
    writeFileSync(
      firstSegment(dir),
      lines()
        .map((text) => `${text}\n`)
        .join(''),
    )
    await expectRefused(dir, { code: 'CHAIN_BROKEN', entry })
  })

  it('refused: a torn line followed by another segment', async () => {
    const dir = copy(base)
    truncateSync(firstSegment(dir), ends[5]! - 3)
    writeFileSync(join(dir, 'seg', '000000065536.jsonl'), '')
    await expectRefused(dir, { code: 'CHAIN_BROKEN' })
  })
})

describe('a crash during recovery', () => {
  it('before the log was cut: the same tail is set aside again', async () => {
    const dir = copy(base)
    const tail = new Uint8Array(Buffer.from('torn'))
    appendFileSync(firstSegment(dir), tail)
    mkdirSync(join(dir, 'quarantine'))
    const name = `000000000006-${toHex(sha256(tail))}.torn`
    writeFileSync(join(dir, 'quarantine', name), tail)
    await expectRecovered(dir, 6, tail)
  })

  it('after the log was cut: the tail is still reported', async () => {
    const dir = copy(base)
    const tail = new Uint8Array(Buffer.from('torn'))
    mkdirSync(join(dir, 'quarantine'))
    writeFileSync(join(dir, 'quarantine', `000000000006-${toHex(sha256(tail))}.torn`), tail)
    writeFileSync(join(dir, 'quarantine', 'unfinished.torn.tmp'), 'to')
    await expectRecovered(dir, 6, tail)
  })
})

describe('a crash during a checkpoint', () => {
  it('before the checkpoint file was replaced: it is brought up to the history', async () => {
    const dir = copy(base)
    const history = readFileSync(join(dir, 'checkpoints.log'), 'utf8')
    const older = history.slice(0, history.indexOf('\n\n', history.indexOf('\n\n') + 2) + 1)
    const newest = readFileSync(join(dir, 'checkpoint'), 'utf8')
    for (const leave of [
      () => writeFileSync(join(dir, 'checkpoint'), older),
      () => rmSync(join(dir, 'checkpoint')),
    ]) {
      leave()
      await expect(verifyLog(dir, { verifiers })).resolves.toMatchObject({ size: 4 })
      await using log = await open(dir, { verifiers })
      expect(log.size).toBe(6)
      expect(readFileSync(join(dir, 'checkpoint'), 'utf8')).toBe(newest)
    }
  })

  it('in the middle of a history record: the record is set aside', async () => {
    const record = readFileSync(join(base, 'checkpoint'))
    for (let length = 1; length <= record.length; length += 31) {
      const dir = copy(base)
      const tail = new Uint8Array(record.subarray(0, length))
      appendFileSync(join(dir, 'checkpoints.log'), tail)
      await expectRecovered(dir, 6, tail)
    }
  })
})

describe('checkpoints that were tampered with', () => {
  it('refused: a checkpoint that the history does not have', async () => {
    const dir = copy(base)
    rmSync(join(dir, 'checkpoints.log'))
    await expectRefused(dir, { code: 'LOG_FORKED', requirement: 'LOG-APPEND-1' })
  })

  it('refused: a history out of order', async () => {
    const dir = copy(base)
    const parts = readFileSync(join(dir, 'checkpoints.log'), 'utf8').split('\n\n')
    const [a, b, c, d] = parts
    writeFileSync(join(dir, 'checkpoints.log'), [c, d, a, b, ''].join('\n\n'))
    await expectRefused(dir, { code: 'LOG_FORKED', requirement: 'LOG-APPEND-1' })
  })

  it('refused: a checkpoint by a key that is not trusted', async () => {
    const other = freshKey()
    await expect(open(copy(base), { verifiers: [other.verifier] })).rejects.toMatchObject({
      code: 'SIGNER_NOT_TRUSTED',
      requirement: 'LOG-SIG-2',
    })
  })

  it('refused: an older copy of the whole directory, when a later size is known', async () => {
    const dir = copy(base)
    const older = copy(dir)
    let anchor
    {
      await using log = await open(dir)
      await log.append({ type: 'later' })
      await log.checkpoint([key.noteSigner])
      anchor = { size: log.size, root: log.root() }
    }
    await expect(verifyLog(older, { verifiers })).resolves.toMatchObject({ size: 4 })
    const refused = { code: 'LOG_TRUNCATED', requirement: 'LOG-ANCHOR-1' }
    await expect(open(older, { verifiers, anchor })).rejects.toMatchObject(refused)
    await expect(verifyLog(older, { verifiers, anchor })).rejects.toMatchObject(refused)
    await expect(verifyLog(dir, { verifiers, anchor })).resolves.toMatchObject({ size: 7 })
  })

  it('refused: a fork that continues differently from the known size', async () => {
    const [dir, fork] = [copy(base), copy(base)]
    let anchor
    {
      await using log = await open(dir)
      await log.append({ type: 'one' })
      anchor = { size: log.size, root: log.root() }
    }
    {
      await using log = await open(fork)
      await log.append({ type: 'other' })
      await log.append({ type: 'more' })
      await log.checkpoint([key.noteSigner])
    }
    await expect(verifyLog(fork, { verifiers, anchor })).rejects.toMatchObject({
      code: 'ROOT_MISMATCH',
      requirement: 'LOG-ANCHOR-1',
    })
  })
})
