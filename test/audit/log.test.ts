import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { open as openFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  leafHash,
  parseCheckpoint,
  verifyConsistency,
  verifyInclusion,
  verifyLog,
} from '../../src/audit/index.ts'
import { sha256, toHex, utf8 } from '../../src/bytes.ts'
import { ConfigError, FormatError, StorageError } from '../../src/errors.ts'
import { parseNote, verifyNote } from '../../src/note.ts'
import { fingerprint, firstSegment, linesOf, makeLog, open, scratch } from './scratch.ts'
import { ORIGIN, fixedClock, freshKey } from './software-keys.ts'

const { fresh } = scratch()
const key = freshKey()

/** The class of file handles, so that its methods can be watched or made to fail. */
async function fileHandleMethods(): Promise<{ datasync: () => Promise<void> }> {
  await using file = await openFile('/dev/null')
  return Object.getPrototypeOf(file) as { datasync: () => Promise<void> }
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('append', () => {
  it('writes canonical lines that are chained from the origin on', async () => {
    const dir = fresh()
    const clock = fixedClock(Date.UTC(2026, 1, 3, 4, 5, 6, 7))
    await using log = await open(dir, { mode: 'create', clock })
    const first = await log.append({ type: 'a', z: 1, b: { d: 'ü\n"', c: null } })
    const second = await log.append({ type: 'b' })
    const prev = toHex(sha256(utf8(ORIGIN)))
    const lines = linesOf(dir)
    expect(lines).toEqual([
      `{"b":{"c":null,"d":"ü\\n\\""},"prev":"${prev}","seq":0,"time":"2026-02-03T04:05:06.007Z","type":"a","v":1,"z":1}`,
      `{"prev":"${toHex(first.leafHash)}","seq":1,"time":"2026-02-03T04:05:06.007Z","type":"b","v":1}`,
    ])
    expect([first.index, second.index]).toEqual([0, 1])
    expect(toHex(first.leafHash)).toBe(toHex(leafHash(utf8(lines[0]!))))
    expect(log.entries().map((entry) => entry.type)).toEqual(['a', 'b'])
    expect(log.entries()[0]).toEqual(JSON.parse(lines[0]!))
  })

  it('gives concurrent calls their places in the order of the calls', async () => {
    const dir = fresh()
    await using log = await open(dir, { mode: 'create' })
    const places = await Promise.all(
      Array.from({ length: 500 }, (_, n) => log.append({ type: 'n', n })),
    )
    expect(places.map(({ index }) => index)).toEqual(Array.from({ length: 500 }, (_, n) => n))
    expect(log.entries().map((entry) => entry['n'])).toEqual(places.map(({ index }) => index))
    expect(log.size).toBe(500)
  })

  it('acknowledges after fdatasync, and lets concurrent calls share one', async () => {
    const methods = await fileHandleMethods()
    const real = methods.datasync
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    const datasync = vi.spyOn(methods, 'datasync').mockImplementation(async function (
      this: unknown,
    ) {
      await gate
      await real.call(this)
    })
    const dir = fresh()
    await using log = await open(dir, { mode: 'create' })
    let acknowledged = 0
    const all = Promise.all(
      Array.from({ length: 64 }, async (_, n) => {
        await log.append({ type: 'n', n })
        acknowledged += 1
      }),
    )
    await vi.waitFor(() => {
      expect(datasync).toHaveBeenCalled()
    })
    expect(linesOf(dir)).toHaveLength(64)
    expect([acknowledged, log.size, log.entries().length]).toEqual([0, 0, 0])
    release()
    await all
    expect([acknowledged, log.size, log.entries().length]).toEqual([64, 64, 64])
    expect(datasync).toHaveBeenCalledTimes(1)
  })

  it.each(['v', 'seq', 'time', 'prev'])('refuses a caller who sets %s', async (field) => {
    await using log = await open(fresh(), { mode: 'create' })
    await expect(log.append({ type: 'x', [field]: 1 })).rejects.toThrow(ConfigError)
    expect(await log.append({ type: 'x' })).toMatchObject({ index: 0 })
  })

  it('refuses what has no canonical form, no type, or is too long, and goes on', async () => {
    const dir = fresh()
    await using log = await open(dir, { mode: 'create' })
    await expect(log.append({ type: 'x', n: 0.5 })).rejects.toThrow(FormatError)
    await expect(log.append({ type: 'x', text: '\ud800' })).rejects.toThrow(FormatError)
    await expect(log.append({ type: '' })).rejects.toThrow(ConfigError)
    await expect(log.append({ type: 'x', text: 'ü'.repeat(32_768) })).rejects.toThrow(ConfigError)
    const empty = JSON.stringify({ prev: 'f'.repeat(64), seq: 0, text: '', v: 1 }).length
    const room = 65_535 - empty - ',"time":"2026-01-02T03:04:05.006Z","type":"x"'.length
    await expect(log.append({ type: 'x', text: 'a'.repeat(room + 1) })).rejects.toThrow(ConfigError)
    await log.append({ type: 'x', text: 'a'.repeat(room) })
    expect(linesOf(dir).map((line) => line.length)).toEqual([65_535])
  })

  it('does not follow later changes of the object it was given', async () => {
    await using log = await open(fresh(), { mode: 'create' })
    const fields = { type: 'x', list: [1] }
    const done = log.append(fields)
    fields.list.push(2)
    await done
    expect(log.entries()[0]).toMatchObject({ list: [1] })
  })

  it('refuses a clock outside of what RFC 3339 can write', async () => {
    const clock = fixedClock()
    await using log = await open(fresh(), { mode: 'create', clock })
    for (clock.nowMs of [Number.NaN, -1, 253_402_300_800_000]) {
      await expect(log.append({ type: 'x' })).rejects.toThrow(ConfigError)
    }
  })

  it('stops for good after an error of fdatasync', async () => {
    const dir = fresh()
    const log = await open(dir, { mode: 'create' })
    await log.append({ type: 'before' })
    vi.spyOn(await fileHandleMethods(), 'datasync').mockRejectedValueOnce(
      Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }),
    )
    const [one, two] = await Promise.allSettled([
      log.append({ type: 'lost' }),
      log.append({ type: 'lost too' }),
    ])
    expect([one, two]).toMatchObject([
      { status: 'rejected', reason: { code: 'STORAGE', got: 'EIO' } },
      { status: 'rejected', reason: { code: 'STORAGE', got: 'EIO' } },
    ])
    await expect(log.append({ type: 'after' })).rejects.toThrow(StorageError)
    await expect(log.checkpoint([key.noteSigner])).rejects.toThrow(StorageError)
    expect(log.size).toBe(1)
    await log[Symbol.asyncDispose]()
    // The lines may have reached the disk or not; what was acknowledged is there.
    await using again = await open(dir)
    expect(again.entries()[0]).toMatchObject({ type: 'before' })
  })

  it('takes nothing after it was closed', async () => {
    const log = await open(fresh(), { mode: 'create' })
    const last = log.append({ type: 'last' })
    await log[Symbol.asyncDispose]()
    await expect(last).resolves.toMatchObject({ index: 0 })
    await expect(log.append({ type: 'x' })).rejects.toThrow(StorageError)
    await expect(log.checkpoint([key.noteSigner])).rejects.toThrow(StorageError)
    await log[Symbol.asyncDispose]()
  })
})

describe('open', () => {
  it('continues a log where it ended', async () => {
    const dir = fresh()
    await makeLog(dir, 5, [3], key.noteSigner)
    await using log = await open(dir, { verifiers: [key.verifier] })
    expect(log.size).toBe(5)
    await log.append({ type: 'sixth' })
    expect(log.entries().map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5])
    await log.checkpoint([key.noteSigner])
    await expect(verifyLog(dir, { verifiers: [key.verifier] })).resolves.toMatchObject({ size: 6 })
  })

  it('never creates over anything that belongs to a log', async () => {
    const dir = fresh()
    await makeLog(dir, 2, [], key.noteSigner)
    const before = fingerprint(dir)
    const refused = { code: 'OUTPUT_EXISTS', requirement: 'LOG-CREATE-1' }
    await expect(open(dir, { mode: 'create' })).rejects.toMatchObject(refused)
    expect(fingerprint(dir)).toBe(before)
    for (const name of ['checkpoint', 'checkpoints.log', 'seg/000000000000.jsonl']) {
      const other = fresh()
      mkdirSync(join(other, 'seg'))
      writeFileSync(join(other, name), '')
      await expect(open(other, { mode: 'create' })).rejects.toMatchObject(refused)
    }
  })

  it('creates where an earlier creation was cut short', async () => {
    const dir = fresh()
    mkdirSync(join(dir, 'seg'))
    writeFileSync(join(dir, 'origin.tmp'), 'keyr')
    await using log = await open(dir, { mode: 'create' })
    expect(log.size).toBe(0)
  })

  it('does not append to nothing, or to another log', async () => {
    await expect(open(join(fresh(), 'none'))).rejects.toThrow(ConfigError)
    const empty = fresh()
    await expect(open(empty)).rejects.toThrow(ConfigError)
    expect(readdirSync(empty)).toEqual([])
    const dir = fresh()
    await makeLog(dir, 1, [], key.noteSigner)
    await expect(open(dir, { origin: 'keyrite.example/other' })).rejects.toMatchObject({
      code: 'ORIGIN_MISMATCH',
      requirement: 'LOG-ORIGIN-1',
    })
    await expect(open(dir, { origin: 'not a key name' })).rejects.toThrow(FormatError)
  })

  it('gives the lock back when it refuses', async () => {
    const dir = fresh()
    await makeLog(dir, 1, [], key.noteSigner)
    await expect(open(dir, { origin: 'keyrite.example/other' })).rejects.toThrow()
    await using log = await open(dir)
    expect(log.size).toBe(1)
  })
})

describe('checkpoint', () => {
  it('signs size and root, replaces the file and keeps the history', async () => {
    const dir = fresh()
    const second = freshKey('cosigner.example')
    await using log = await open(dir, { mode: 'create' })
    const notes = [await log.checkpoint([key.noteSigner])]
    await log.append({ type: 'x' })
    notes.push(await log.checkpoint([key.noteSigner, second.noteSigner]))
    const parsed = parseNote(utf8(notes[1]!))
    expect(parseCheckpoint(parsed.text)).toEqual({ origin: ORIGIN, size: 1, root: log.root() })
    expect(verifyNote(parsed, [key.verifier, second.verifier])).toEqual([ORIGIN, second.name])
    expect(readFileSync(join(dir, 'checkpoint'), 'utf8')).toBe(notes[1])
    expect(readFileSync(join(dir, 'checkpoints.log'), 'utf8')).toBe(
      notes.map((note) => `${note}\n`).join(''),
    )
  })

  it('covers every append that was called before it, and concurrent ones stay in order', async () => {
    const dir = fresh()
    await using log = await open(dir, { mode: 'create' })
    const appends = [log.append({ type: 'a' }), log.append({ type: 'b' })]
    const one = log.checkpoint([key.noteSigner])
    appends.push(log.append({ type: 'c' }))
    const two = log.checkpoint([key.noteSigner])
    const sizes = (await Promise.all([one, two])).map(
      (note) => parseCheckpoint(parseNote(utf8(note)).text).size,
    )
    await Promise.all(appends)
    expect(sizes[0]).toBeGreaterThanOrEqual(2)
    expect(sizes[1]).toBe(3)
    await expect(verifyLog(dir, { verifiers: [key.verifier] })).resolves.toMatchObject({ size: 3 })
  })

  it('survives a signer that fails or signs something else', async () => {
    const dir = fresh()
    await using log = await open(dir, { mode: 'create' })
    await log.append({ type: 'x' })
    const { publicKey } = key.signer
    const algorithm = 'ed25519' as const
    const gone = { algorithm, publicKey, sign: () => Promise.reject(new Error('token gone')) }
    await expect(log.checkpoint([{ name: ORIGIN, signer: gone }])).rejects.toThrow('token gone')
    const wrong = { algorithm, publicKey, sign: () => key.signer.sign(utf8('something else\n')) }
    await expect(log.checkpoint([{ name: ORIGIN, signer: wrong }])).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
    await expect(log.checkpoint([])).rejects.toThrow(FormatError)
    expect(readdirSync(dir)).not.toContain('checkpoint')
    await log.append({ type: 'y' })
    await log.checkpoint([key.noteSigner])
    await expect(verifyLog(dir, { verifiers: [key.verifier] })).resolves.toMatchObject({ size: 2 })
  })
})

describe('proofs', () => {
  it('verify against the root, for any size', async () => {
    await using log = await open(fresh(), { mode: 'create' })
    const roots = [log.root()]
    const leaves: Uint8Array[] = []
    for (let n = 0; n < 9; n += 1) {
      leaves.push((await log.append({ type: 'x', n })).leafHash)
      roots.push(log.root())
    }
    for (let size = 1; size <= 9; size += 1) {
      for (const [index, leaf] of leaves.slice(0, size).entries()) {
        const proof = log.inclusionProof(index, size)
        verifyInclusion({ leafHash: leaf, index, size, root: roots[size]!, proof })
      }
      const [firstRoot, secondRoot] = [roots[size]!, log.root()]
      const proof = log.consistencyProof(size)
      verifyConsistency({ first: size, firstRoot, second: 9, secondRoot, proof })
    }
    for (const [index, size] of [[9], [-1], [0, 10], [0.5], [3, 3]]) {
      expect(() => log.inclusionProof(index!, size)).toThrow(ConfigError)
    }
    for (const [from, to] of [[10], [-1], [5, 4], [0, 10]]) {
      expect(() => log.consistencyProof(from!, to)).toThrow(ConfigError)
    }
  })
})

describe('more than one segment', () => {
  it('continues in a new file, and still proves and lists the old entries', async () => {
    const dir = fresh()
    const SIZE = 65_536 + 40
    const leaves: Uint8Array[] = []
    {
      await using log = await open(dir, { mode: 'create' })
      const all = Array.from({ length: SIZE }, (_, n) => log.append({ type: 'n', n }))
      for (const { leafHash: leaf } of await Promise.all(all)) leaves.push(leaf)
      await log.checkpoint([key.noteSigner])
    }
    expect(readdirSync(join(dir, 'seg'))).toEqual(['000000000000.jsonl', '000000065536.jsonl'])
    expect(linesOf(dir)).toHaveLength(65_536)
    await using log = await open(dir, { verifiers: [key.verifier] })
    await log.append({ type: 'n', n: SIZE })
    for (const index of [0, 40_000, 65_535, 65_536, SIZE - 1]) {
      const proof = log.inclusionProof(index)
      const claim = { leafHash: leaves[index]!, index, size: log.size, root: log.root(), proof }
      expect(() => verifyInclusion(claim)).not.toThrow()
    }
    expect(log.consistencyProof(40_000)).not.toHaveLength(0)
    const entries = log.entries()
    expect(entries).toHaveLength(SIZE + 1)
    expect(entries.every((entry, n) => entry.seq === n && entry['n'] === n)).toBe(true)

    // A closed segment that changes under the writer is noticed when it is read again.
    const text = readFileSync(firstSegment(dir), 'utf8')
    writeFileSync(firstSegment(dir), text.replace('"n":7,', '"n":8,'))
    expect(() => log.entries()).toThrow('segment has changed')
    await expect(verifyLog(dir, { verifiers: [key.verifier] })).rejects.toMatchObject({
      code: 'CHAIN_BROKEN',
      entry: 7,
    })
  })
})
