import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'

import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { KeyriteError } from '../../src/errors.ts'
import { type EmbeddedStoreOptions, openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { openStore } from '../../src/he/open-store.ts'
import type { EmbeddingStore, StoreFault } from '../../src/he/store.ts'
import {
  block,
  bytes,
  collect,
  contentOf,
  epochOf,
  info,
  placed,
  record,
  SMALL_SEGMENT_BYTES,
} from './store-content.ts'

const NAME = 'things'
const root = mkdtempSync(join(tmpdir(), 'keyrite-faults-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directory = ''
let count = 0
beforeEach(() => {
  directory = join(root, String((count += 1)))
})

const segment = (number: number) =>
  join(directory, 'segments', `${String(number).padStart(8, '0')}.seg`)
const segments = () => readdirSync(join(directory, 'segments')).sort()
const index = () => join(directory, 'index.sqlite')

/** Opens, does something, and closes. */
async function using<T>(
  action: (store: EmbeddingStore) => Promise<T>,
  options: EmbeddedStoreOptions = {},
): Promise<T> {
  await using store = await openEmbeddedStore(directory, options)
  return await action(store)
}

const records = [...placed(4, 0, { filters: { colour: bytes(16) } }), record()]
const content = block(5, { bytes: bytes(5000) })
/** A store with a block, four records in it and one in the tail. Returns the number of the block. */
const fill = () =>
  using(
    async (store) => {
      await store.createCollection(info(NAME), epochOf(1))
      const { blocks } = await store.commit(NAME, { blocks: [content], records })
      return blocks[0]!
    },
    { create: true },
  )

const flip = (path: string, at: number) => {
  const file = readFileSync(path)
  file[at]! ^= 0x10
  writeFileSync(path, file)
}
const offsetIn = (path: string, wanted: Uint8Array) => {
  const at = readFileSync(path).indexOf(wanted)
  expect(at).toBeGreaterThan(0)
  return at
}
const verify = () => using((store) => collect(store.verify(NAME)))
const says = (faults: readonly StoreFault[]) => faults.map((one) => `${one.where}: ${one.what}`)

describe('a directory', () => {
  it('that is not there is not made unless asked for', async () => {
    await expect(openEmbeddedStore(directory)).rejects.toMatchObject({
      name: 'EmbeddingError',
      code: 'STORE_UNAVAILABLE',
      hint: expect.stringContaining('create'),
    })
    await expect(openEmbeddedStore(directory, { create: true, readOnly: true })).rejects.toThrow(
      'there is no embedding store',
    )
    expect(() => statSync(directory)).toThrow('ENOENT')
  })

  it.each([{}, { create: true }])('with other files is refused and left alone (%o)', async (o) => {
    mkdirSync(directory)
    writeFileSync(join(directory, 'letter.txt'), 'dear')
    await expect(openEmbeddedStore(directory, o)).rejects.toMatchObject({
      code: 'CONFIG',
      got: '"letter.txt"',
    })
    expect(readdirSync(directory)).toEqual(['letter.txt'])
  })

  it('that is a file is refused', async () => {
    writeFileSync(directory, 'x')
    await expect(openEmbeddedStore(directory, { create: true })).rejects.toMatchObject({
      code: 'CONFIG',
      expected: 'a directory with a store',
    })
    expect(readFileSync(directory, 'utf8')).toBe('x')
  })

  it('that was left by a creation that was cut off becomes a store', async () => {
    mkdirSync(join(directory, 'segments'), { recursive: true })
    writeFileSync(join(directory, 'index.sqlite.new'), 'half a data')
    writeFileSync(join(directory, 'index.sqlite.new-journal'), '')
    await fill()
    expect(await verify()).toEqual([])
    expect(readdirSync(directory).sort()).toEqual(['index.sqlite', 'segments'])
  })

  it('is for the owner alone, while it is written and after', async () => {
    const old = process.umask(0)
    try {
      await fill()
      await using(async (store) => {
        await store.commit(NAME, { records: [record()] })
        for (const name of ['index.sqlite', 'index.sqlite-wal', 'index.sqlite-shm']) {
          expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600)
        }
      })
    } finally {
      process.umask(old)
    }
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(statSync(join(directory, 'segments')).mode & 0o777).toBe(0o700)
    expect(statSync(segment(1)).mode & 0o777).toBe(0o600)
  })

  it('of a newer version is refused', async () => {
    await fill()
    const database = new DatabaseSync(index())
    database.exec('PRAGMA user_version = 2')
    database.close()
    await expect(openEmbeddedStore(directory)).rejects.toMatchObject({
      code: 'STORE_INVALID',
      got: 'schema version 2',
      hint: expect.stringContaining('newer'),
    })
  })

  it.each(['delete', 'wal'])(
    'with the database of another program is refused and left alone (journal mode %s)',
    async (mode) => {
      mkdirSync(directory)
      const database = new DatabaseSync(index())
      database.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE letters (text)`)
      database.close()
      const before = readFileSync(index())
      for (const options of [{}, { readOnly: true }, { create: true }]) {
        await expect(openEmbeddedStore(directory, options)).rejects.toMatchObject({
          code: 'CONFIG',
          message: 'the directory is not an embedding store',
          where: index(),
          got: 'a database of another program',
          hint: expect.stringContaining('another directory'),
        })
      }
      expect(readFileSync(index())).toEqual(before)
      expect(readdirSync(directory)).toEqual(['index.sqlite'])
    },
  )

  it.each([
    ['an empty file', ''],
    ['no database', 'SQLite format 3\0 and a few more words, which are not a header at all'],
    ['no database', bytes(5000)],
  ])('with an index that is %s is a damaged store, or none', async (got, content) => {
    mkdirSync(directory)
    writeFileSync(index(), content)
    const foreign = { code: 'CONFIG', where: index(), got }
    await expect(openEmbeddedStore(directory, { create: true })).rejects.toMatchObject(foreign)
    mkdirSync(join(directory, 'segments'))
    const damaged = { code: 'STORE_INVALID', message: 'the index is damaged', where: index(), got }
    await expect(openEmbeddedStore(directory, { create: true })).rejects.toMatchObject(damaged)
    expect(readdirSync(directory).sort()).toEqual(['index.sqlite', 'segments'])
  })

  it('whose index is a directory is refused', async () => {
    mkdirSync(index(), { recursive: true })
    await expect(openEmbeddedStore(directory)).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('that lost its index keeps its segments', async () => {
    await fill()
    unlinkSync(index())
    const before = readFileSync(segment(1))
    for (const options of [{}, { readOnly: true }, { create: true }]) {
      await expect(openEmbeddedStore(directory, options)).rejects.toMatchObject({
        code: 'STORE_INVALID',
        message: 'the index of the store is not there',
        where: directory,
        got: 'segments/00000001.seg without it',
      })
    }
    expect(readFileSync(segment(1))).toEqual(before)
  })
})

describe('rights', () => {
  /** Whatever may be done as root is refused to somebody else. */
  async function withoutRights(action: () => Promise<void>): Promise<void> {
    const root = process.getuid?.() === 0
    if (root) process.seteuid?.(65_534)
    try {
      await action()
    } finally {
      if (root) process.seteuid?.(0)
    }
  }
  /** Only these are allowed to others, and to the owner. */
  const allow = (mode: number, file: number) => {
    for (const path of [index(), segment(1)]) chmodSync(path, file)
    for (const path of [join(directory, 'segments'), directory]) chmodSync(path, mode)
  }
  const refused = { name: 'StorageError', code: 'STORAGE', got: 'EACCES' }

  it('to look into the directory and the index are needed, and their lack is told', async () => {
    chmodSync(root, 0o755)
    await fill()
    allow(0o755, 0o000)
    await withoutRights(async () => {
      const error = { ...refused, message: 'the index cannot be read', where: index() }
      await expect(openEmbeddedStore(directory)).rejects.toMatchObject(error)
    })
    allow(0o000, 0o000)
    await withoutRights(async () => {
      const error = { ...refused, message: 'the directory cannot be read', where: directory }
      await expect(openEmbeddedStore(directory, { create: true })).rejects.toMatchObject(error)
    })
    allow(0o700, 0o600)
  })

  it('to write beside the index are needed by readers, too, and their lack is told', async () => {
    chmodSync(root, 0o755)
    await fill()
    allow(0o555, 0o444)
    await withoutRights(async () => {
      for (const readOnly of [true, false]) {
        const open = openEmbeddedStore(directory, { readOnly }).then((store) => store.collections())
        await expect(open).rejects.toMatchObject({
          ...{ name: 'StorageError', code: 'STORAGE', where: index() },
          hint: expect.stringContaining('for readers too') as string,
        })
      }
    })
    allow(0o700, 0o600)
    chmodSync(root, 0o555)
    await withoutRights(async () => {
      const none = openEmbeddedStore(join(root, 'theirs'), { create: true })
      const hint = expect.stringContaining('may not write here') as string
      await expect(none).rejects.toMatchObject({ ...refused, hint })
    })
    chmodSync(root, 0o755)
  })
})

describe('the location of a store', () => {
  it('is a path or a file URL', async () => {
    await fill()
    for (const location of [directory, `file://${directory}`]) {
      await using store = await openStore(location)
      expect(await store.collections()).toEqual([NAME])
    }
    const odd = join(root, 'a:b')
    await using store = await openStore(odd, { create: true })
    expect(await store.collections()).toEqual([])
    expect(statSync(odd).isDirectory()).toBe(true)
  })

  it.each(['mysql://u:hunter2@host/db', 'https://u@host/hunter2', 'file://host/hunter2', ''])(
    'is refused when it is "%s"',
    async (location) => {
      const error: unknown = await openStore(location, { create: true }).catch((e: unknown) => e)
      expect(error).toMatchObject({ name: 'ConfigError', code: 'CONFIG' })
      expect(JSON.stringify((error as KeyriteError).toJSON())).not.toContain('hunter2')
    },
  )
})

describe('a reader', () => {
  it('takes no lock and writes nothing', async () => {
    await fill()
    await using writer = await openEmbeddedStore(directory)
    await writer.commit(NAME, { records: [record()] })
    await using reader = await openEmbeddedStore(directory, { readOnly: true })
    expect((await reader.collection(NAME)).records).toBe(6)
    const refused = { code: 'STORE_UNAVAILABLE', hint: expect.stringContaining('readOnly') }
    await expect(reader.commit(NAME, { records: [record()] })).rejects.toMatchObject(refused)
    await expect(reader.createCollection(info('b'), epochOf(1))).rejects.toMatchObject(refused)
    await expect(reader.dropCollection(NAME)).rejects.toMatchObject(refused)
    expect((await writer.collection(NAME)).records).toBe(6)
  })

  it('is not disturbed when segments go away under it', async () => {
    const options = { segmentBytes: SMALL_SEGMENT_BYTES }
    await fill()
    await using writer = await openEmbeddedStore(directory, options)
    await using reader = await openEmbeddedStore(directory, { readOnly: true })
    const kept = Array.from({ length: 60 }, () => record({ sealed: bytes(2000) }))
    await writer.commit(NAME, { blocks: [block(1, { bytes: bytes(9000) })], records: kept })
    const before = segments()
    const progress = { done: false }
    const churn = (async () => {
      for (let round = 0; round < 25; round += 1) {
        const passing = Array.from({ length: 10 }, () => record({ sealed: bytes(3000) }))
        const { blocks } = await writer.commit(NAME, { blocks: [block(2)], records: passing })
        await writer.commit(NAME, {
          delete: passing.map(({ token }) => token),
          removeBlocks: blocks,
        })
        // Half of what is kept is written anew, so that its old segments die.
        await writer.commit(NAME, { records: kept.slice(0, 31) })
      }
    })().finally(() => (progress.done = true))
    let reads = 0
    const tokens = kept.map(({ token }) => token)
    while (!progress.done) {
      expect(await reader.find(NAME, tokens)).toMatchObject(kept.map(contentOf))
      expect((await collect(reader.all(NAME))).length).toBeGreaterThanOrEqual(60)
      const numbers = (await reader.blocks(NAME)).map((one) => one.block)
      expect((await collect(reader.readBlocks(NAME, numbers))).length).toBeGreaterThan(0)
      reads += 1
    }
    await churn
    expect(reads).toBeGreaterThan(3)
    // All segments but the first, which is as alive as it was, are others now.
    expect(before).toEqual(['00000001.seg', '00000002.seg'])
    expect(segments().filter((name) => before.includes(name))).toEqual(['00000001.seg'])
    expect(await collect(reader.verify(NAME))).toEqual([])
  })
})

describe('a commit', () => {
  it('writes the bytes, syncs them, and only then commits the rows', async () => {
    await fill()
    const steps: string[] = []
    const probe = await open(index(), 'r')
    const handle = Object.getPrototypeOf(probe) as Record<'write' | 'sync', () => Promise<unknown>>
    await probe.close()
    const exec = vi.spyOn(DatabaseSync.prototype, 'exec')
    const spies = (['write', 'sync'] as const).map((name) => {
      const original = handle[name]
      return vi.spyOn(handle, name).mockImplementation(async function (this: unknown, ...args) {
        const result = await Reflect.apply(original, this, args)
        steps.push(name)
        return result
      })
    })
    try {
      await using store = await openEmbeddedStore(directory)
      await store.commit(NAME, { records: [record()] })
      steps.length = 0
      exec.mockImplementation(function (this: DatabaseSync, sql) {
        steps.push(sql)
        this.prepare(sql).run()
      })
      await store.commit(NAME, { blocks: [block(1)], records: [record()] })
    } finally {
      for (const spy of [exec, ...spies]) spy.mockRestore()
    }
    const from = steps.indexOf('write')
    const upTo = steps.indexOf('COMMIT', from)
    expect(steps.slice(from, upTo + 1)).toEqual([
      'write',
      'write',
      'sync',
      'BEGIN IMMEDIATE',
      'COMMIT',
    ])
  })

  it('that is refused late takes its bytes back, also from new segments', async () => {
    const number = await fill()
    const before = statSync(segment(1)).size
    const options = { segmentBytes: SMALL_SEGMENT_BYTES }
    await using(async (store) => {
      const big = () => block(1, { bytes: bytes(30_000) })
      for (const blocks of [[], [big()], [big(), big(), big()]]) {
        // Only the index knows that this uid is taken.
        const change = { blocks: [...blocks, block(1, { uid: content.uid })], records: [record()] }
        await expect(store.commit(NAME, change)).rejects.toMatchObject({ code: 'STORE_INVALID' })
        expect(segments()).toEqual(['00000001.seg'])
        expect(statSync(segment(1)).size).toBe(before)
      }
      await store.commit(NAME, { blocks: [big()], records: [record()] })
      expect(await collect(store.readBlocks(NAME, [number]))).toHaveLength(1)
      expect(await collect(store.verify(NAME))).toEqual([])
    }, options)
  })

  it('whose end is not known leaves its bytes and goes on in a new segment', async () => {
    await fill()
    const before = statSync(segment(1)).size
    const doubtful = record()
    const later = record()
    await using(async (store) => {
      await store.commit(NAME, { delete: [bytes(16)] })
      const { exec } = Object.getOwnPropertyDescriptors(DatabaseSync.prototype)
      const spy = vi.spyOn(DatabaseSync.prototype, 'exec')
      let writing = false
      spy.mockImplementation(function (this: DatabaseSync, sql) {
        if (sql === 'BEGIN IMMEDIATE') writing = true
        if (!writing || sql !== 'COMMIT') {
          Reflect.apply(exec.value as (sql: string) => void, this, [sql])
          return
        }
        throw Object.assign(new Error('disk I/O error'), { errcode: 1034 })
      })
      try {
        await expect(store.commit(NAME, { records: [doubtful] })).rejects.toMatchObject({
          name: 'StorageError',
          got: 'SQLITE_IOERR',
        })
      } finally {
        spy.mockRestore()
      }
      expect(await store.find(NAME, [doubtful.token])).toEqual([undefined])
      await store.commit(NAME, { records: [later] })
      expect(statSync(segment(1)).size).toBe(before + 80 + doubtful.sealed.length)
      expect(statSync(segment(2)).size).toBe(80 + later.sealed.length)
      expect(await collect(store.verify(NAME))).toEqual([])
    })
    await using(async (store) => {
      await store.commit(NAME, { delete: [bytes(16)] })
      expect(statSync(segment(1)).size).toBe(before)
      expect(await store.find(NAME, [later.token])).toMatchObject([contentOf(later)])
    })
  })

  it('that is under way is done when the store is closed', async () => {
    await fill()
    const store = await openEmbeddedStore(directory)
    const many = Array.from({ length: 5 }, () => store.commit(NAME, { records: [record()] }))
    const dropping = store.dropCollection(NAME)
    await store[Symbol.asyncDispose]()
    expect(new Set((await Promise.all(many)).map(({ sequence }) => sequence)).size).toBe(5)
    await dropping
    expect(readdirSync(directory).sort()).toEqual(['index.sqlite', 'segments'])
    expect(await using((again) => again.collections())).toEqual([])
  })
})

describe('a read', () => {
  /** As a writer that empties a segment, between the rows of a read and the bytes. */
  const moveAway = () => {
    copyFileSync(segment(1), segment(9))
    const database = new DatabaseSync(index())
    for (const sql of [
      'UPDATE record SET segment = 9',
      'UPDATE block SET segment = 9',
      'UPDATE segment SET number = 9',
    ]) {
      database.prepare(sql).run()
    }
    database.close()
    unlinkSync(segment(1))
  }
  const reads: Record<string, (store: EmbeddingStore, number: number) => Promise<unknown>> = {
    find: (store) => store.find(NAME, [records[0]!.token]),
    tail: (store) => store.tail(NAME),
    all: (store) => collect(store.all(NAME)),
    inBlock: (store, number) => store.inBlock(NAME, number),
    records: (store, block) => store.records(NAME, [{ block, slot: 2 }]),
    readBlocks: (store, number) => collect(store.readBlocks(NAME, [number])),
    verify: (store) => collect(store.verify(NAME)),
  }
  it.each(Object.keys(reads))('looks again when its segment was emptied: %s', async (what) => {
    const number = await fill()
    await using store = await openEmbeddedStore(directory, { readOnly: true })
    const expected = await reads[what]!(store, number)
    const { value: exec } = Object.getOwnPropertyDescriptor(DatabaseSync.prototype, 'exec')!
    let moved = false
    const spy = vi.spyOn(DatabaseSync.prototype, 'exec')
    spy.mockImplementation(function (this: DatabaseSync, sql) {
      Reflect.apply(exec as (sql: string) => void, this, [sql])
      if (sql !== 'COMMIT' || moved) return
      moved = true
      moveAway()
    })
    try {
      expect(await reads[what]!(store, number)).toEqual(expected)
    } finally {
      spy.mockRestore()
    }
    expect(moved).toBe(true)
  })
})

describe('space', () => {
  it('comes back when blocks and records go', async () => {
    const options = { create: true, segmentBytes: SMALL_SEGMENT_BYTES }
    const size = () =>
      segments().reduce((sum, name) => sum + statSync(join(directory, 'segments', name)).size, 0)
    await using(async (store) => {
      await store.createCollection(info(NAME), epochOf(1))
      let last: readonly number[] = []
      for (let round = 0; round < 60; round += 1) {
        const { blocks } = await store.commit(NAME, {
          blocks: [block(1, { bytes: bytes(9000) })],
          records: [record({ token: records[0]!.token, sealed: bytes(1000) })],
          removeBlocks: last,
        })
        last = blocks
      }
      expect(size()).toBeLessThan(3 * SMALL_SEGMENT_BYTES)
      expect(await collect(store.readBlocks(NAME, last))).toHaveLength(1)
      await store.createCollection(info('second'), epochOf(1))
      await store.commit('second', { blocks: [block(1, { bytes: bytes(90_000) })] })
      await store.dropCollection('second')
      await store.dropCollection(NAME)
      expect(segments()).toEqual([])
    }, options)
  })
})

describe('space that is asked for', () => {
  const size = () =>
    segments().reduce((sum, name) => sum + statSync(join(directory, 'segments', name)).size, 0)
  /** Ten blocks in one segment, of which three stay, and a record that stays. */
  const holes = async (store: EmbeddingStore) => {
    await store.createCollection(info(NAME), epochOf(1))
    const kept = record({ sealed: bytes(1000) })
    const { blocks } = await store.commit(NAME, {
      blocks: Array.from({ length: 10 }, () => block(1, { bytes: bytes(9000) })),
      records: [kept],
    })
    await store.commit(NAME, { removeBlocks: blocks.slice(0, 7) })
    return { kept, blocks: blocks.slice(7) }
  }
  const sound = async (
    store: EmbeddingStore,
    { kept, blocks }: Awaited<ReturnType<typeof holes>>,
  ) => {
    expect(await collect(store.readBlocks(NAME, blocks))).toHaveLength(3)
    expect(await store.find(NAME, [kept.token])).toMatchObject([contentOf(kept)])
    expect(await collect(store.verify(NAME))).toEqual([])
  }

  it('comes back from the segment that is being written, too', async () => {
    await using(
      async (store) => {
        const what = await holes(store)
        expect(size()).toBeGreaterThan(90_000)
        const space = await store.reclaim!()
        expect(space.bytes).toBe(size())
        expect(space.live).toBe(3 * 9000 + 1000)
        expect(size()).toBeLessThan(29_000)
        expect(segments()).toEqual(['00000002.seg'])
        await sound(store, what)
        // Nothing is copied for nothing.
        expect(await store.reclaim!()).toEqual(space)
        expect(segments()).toEqual(['00000002.seg'])
      },
      { create: true },
    )
    expect(await verify()).toEqual([])
  })

  it('comes back to who opens the store later, in segments of any size; tiny frames end it as well', async () => {
    const options = { create: true, segmentBytes: SMALL_SEGMENT_BYTES }
    const what = await using(holes, options)
    await using(async (store) => {
      // Each frame is mostly its header: what is copied is as dead as before.
      const { blocks } = await store.commit(NAME, {
        blocks: Array.from({ length: 4 }, () => block(1, { bytes: bytes(20) })),
      })
      const { bytes: all, live } = await store.reclaim!()
      expect(all).toBe(size())
      expect(all).toBeLessThan(live / 0.75)
      expect(await collect(store.readBlocks(NAME, blocks))).toHaveLength(4)
      await sound(store, what)
    }, options)
    await using(async (store) => {
      await store.commit(NAME, { removeBlocks: what.blocks })
      await store.reclaim!()
      expect(size()).toBeLessThan(2500)
      await store.dropCollection(NAME)
      expect(await store.reclaim!()).toEqual({ bytes: 0, live: 0 })
      expect(segments()).toEqual([])
    }, options)
  })

  it('stays where a segment is damaged, and that is said', async () => {
    const what = await using(holes, { create: true })
    const kept = statSync(segment(1)).size
    // In the last block, which lives.
    flip(segment(1), 9 * 9080 + 4000)
    const notices: StoreFault[] = []
    await using(
      async (store) => {
        expect((await store.reclaim!()).bytes).toBe(kept)
        expect(await store.find(NAME, [what.kept.token])).toMatchObject([contentOf(what.kept)])
      },
      { onNotice: (notice) => notices.push(notice) },
    )
    expect(says(notices)).toEqual([expect.stringMatching(/could not be given back.*block \d+/)])
    expect(statSync(segment(1)).size).toBe(kept)
  })

  it('is not given back once a stop is asked for', async () => {
    await using(
      async (store) => {
        const what = await holes(store)
        const signal = AbortSignal.abort()
        await expect(store.reclaim!({ signal })).rejects.toMatchObject({ code: 'ABORTED' })
        expect(size()).toBeGreaterThan(90_000)
        await sound(store, what)
      },
      { create: true },
    )
  })
})

describe('a collection that was being dropped at a crash', () => {
  it('is gone, and its rows and bytes go with the next writes', async () => {
    const options = { segmentBytes: SMALL_SEGMENT_BYTES }
    await fill()
    await using(async (store) => {
      await store.createCollection(info('second'), epochOf(1))
      await store.commit('second', { blocks: [block(1, { bytes: bytes(39_000) })] })
    }, options)
    const database = new DatabaseSync(index())
    const { number } = database.prepare('SELECT number FROM collection WHERE name = ?').get(NAME)!
    database.exec(`INSERT INTO dropped (collection) VALUES (${Number(number)})`)
    database.exec(`DELETE FROM collection WHERE number = ${Number(number)}`)
    database.close()
    const notices: StoreFault[] = []
    await using(
      async (store) => {
        expect(await store.collections()).toEqual(['second'])
        expect(await collect(store.verify('second'))).toEqual([])
        await store.createCollection(info(NAME), epochOf(1))
        expect((await store.tail(NAME)).records).toEqual([])
        for (let round = 0; round < 3; round += 1) {
          await store.commit('second', { records: [record({ sealed: bytes(30_000) })] })
        }
        expect(await collect(store.verify('second'))).toEqual([])
      },
      { ...options, onNotice: (what) => notices.push(what) },
    )
    expect(notices).toEqual([])
    expect(segments()).not.toContain('00000001.seg')
    const after = new DatabaseSync(index(), { readOnly: true })
    for (const table of ['dropped', 'posting']) {
      expect(after.prepare(`SELECT count(*) AS n FROM ${table}`).get()).toEqual({ n: 0 })
    }
    expect(after.prepare('SELECT count(*) AS n FROM block').get()).toEqual({ n: 1 })
    after.close()
  })
})

describe('bytes behind the last commit', () => {
  it('are cut off and reported; a segment nobody knows is removed', async () => {
    await fill()
    const length = statSync(segment(1)).size
    // A frame that was torn in the middle, and a segment that no row names.
    appendFileSync(segment(1), readFileSync(segment(1)).subarray(0, 777))
    copyFileSync(segment(1), segment(2))
    writeFileSync(join(directory, 'segments', 'README'), 'not ours')
    const notices: StoreFault[] = []
    const later = record()
    await using(
      async (store) => {
        // Readers do not mind.
        expect(await collect(store.verify(NAME))).toEqual([])
        expect(notices).toEqual([])
        await store.commit(NAME, { records: [later] })
        expect(await store.find(NAME, [later.token])).toMatchObject([contentOf(later)])
      },
      { onNotice: (what) => notices.push(what) },
    )
    expect(notices).toEqual([
      {
        where: segment(1),
        what: '777 bytes of a change that was not committed were cut off',
      },
      { where: segment(2), what: 'a segment that nothing refers to was removed' },
    ])
    expect(segments()).toEqual(['00000001.seg', 'README'])
    expect(statSync(segment(1)).size).toBe(length + 80 + later.sealed.length)
    expect(await verify()).toEqual([])
  })
})

describe('bytes that are missing', () => {
  it.each([
    ['the end of a file', () => truncateSync(segment(1), 5300), /record of version 2 at offset/],
    ['half of a block', () => truncateSync(segment(1), 3000), /block \d+ at offset 0/],
    ['a file', () => unlinkSync(segment(1)), /block \d+ at offset 0/],
  ])('stop the writer and are named: %s', async (_what, damage, where) => {
    const number = await fill()
    damage()
    const before = segments()
    await using(async (store) => {
      const error: unknown = await store
        .commit(NAME, { records: [record()] })
        .catch((e: unknown) => e)
      expect(error).toMatchObject({ name: 'EmbeddingError', code: 'STORE_INVALID' })
      expect((error as KeyriteError).where).toContain(segment(1))
      expect((error as KeyriteError).where).toMatch(where)
      // Still so at the second try, and the lock was given back.
      await expect(store.commit(NAME, { records: [record()] })).rejects.toMatchObject({
        code: 'STORE_INVALID',
      })
      const wanted = records.map(({ token }) => token)
      await expect(store.find(NAME, wanted)).rejects.toMatchObject({ code: 'STORE_INVALID' })
      expect((await store.live(NAME)).blocks.has(number)).toBe(true)
    })
    expect(segments()).toEqual(before)
    expect(readdirSync(directory)).not.toContain('lock')
    expect(says(await verify()).join('\n')).toMatch(
      /segments\/00000001\.seg: .*lost is (?:block|the record)/,
    )
  })
})

describe('rot', () => {
  it('in a block is named, and its bytes are refused', async () => {
    const number = await fill()
    const other = await using((store) => store.commit(NAME, { blocks: [block(2)] }))
    flip(segment(1), offsetIn(segment(1), content.bytes) + 2345)
    await using(async (store) => {
      await expect(collect(store.readBlocks(NAME, [number]))).rejects.toMatchObject({
        code: 'STORE_INVALID',
        where: expect.stringContaining(`block ${number}`),
      })
      expect(await collect(store.readBlocks(NAME, other.blocks))).toHaveLength(1)
      expect(await store.find(NAME, [records[0]!.token])).toMatchObject([contentOf(records[0]!)])
    })
    expect(says(await verify())).toEqual([
      expect.stringMatching(new RegExp(`00000001\\.seg, block ${number} .*SHA-256`)),
    ])
  })

  it.each([0, 4, 5, 8, 16, 32, 48])('in byte %i of a frame is named', async (at) => {
    const number = await fill()
    flip(segment(1), at)
    expect(says(await verify()).join()).toContain(`block ${number}`)
    await using(async (store) => {
      await expect(collect(store.readBlocks(NAME, [number]))).rejects.toMatchObject({
        code: 'STORE_INVALID',
      })
    })
  })

  it('in a record is named, and the record is refused', async () => {
    await fill()
    const { version } = (await using((store) => store.find(NAME, [records[2]!.token])))[0]!
    flip(segment(1), offsetIn(segment(1), records[2]!.sealed) + 50)
    await using(async (store) => {
      await expect(store.find(NAME, [records[2]!.token])).rejects.toMatchObject({
        code: 'STORE_INVALID',
        where: expect.stringContaining(`record version ${version}`),
      })
      expect(await store.find(NAME, [records[1]!.token])).toMatchObject([contentOf(records[1]!)])
    })
    expect(says(await verify())).toEqual([expect.stringContaining(`record version ${version}`)])
  })

  it.each([
    ['a token', () => records[1]!.token],
    ['a filter', () => records[1]!.filters['colour']!],
    ['a MAC', () => content.mac],
    ['a uid', () => Buffer.from(content.uid)],
    ['a name of a field', () => Buffer.from('colour","size')],
  ])('in the index is named: %s', async (_what, pattern) => {
    await fill()
    let at = 0
    const file = readFileSync(index())
    let places = 0
    // Wherever it stands: in a row, in an index of rows, in a posting.
    while ((at = file.indexOf(pattern(), at + 1)) > 0) {
      places += 1
      flip(index(), at + 7)
      expect(await verify(), `at ${at}`).not.toEqual([])
      writeFileSync(index(), file)
      expect(await verify()).toEqual([])
    }
    expect(places).toBeGreaterThan(0)
  })

  it('in a bitmap or a count is named', async () => {
    const number = await fill()
    const changes = [
      "UPDATE block SET alive = x'07'",
      'UPDATE block SET alive_count = 3',
      'UPDATE record SET block = NULL, slot = NULL WHERE slot = 2',
      'UPDATE collection SET records = 7',
      'UPDATE block SET slots = 4',
      'UPDATE posting SET slots = zeroblob(1)',
      'DELETE FROM posting',
      'UPDATE record SET epoch = 2 WHERE slot = 1',
    ]
    const good = readFileSync(index())
    for (const sql of changes) {
      const database = new DatabaseSync(index())
      database.exec(sql)
      database.close()
      expect(says(await verify()).join(), sql).toMatch(/block|record|records/)
      writeFileSync(index(), good)
    }
    expect(await verify()).toEqual([])
    expect(number).toBeGreaterThan(0)
  })

  it('in a page of the index is named', async () => {
    await fill()
    const file = readFileSync(index())
    const at = file.indexOf(records[4]!.token)
    // The header of the page that has it.
    file[Math.floor(at / 4096) * 4096]! ^= 0xff
    writeFileSync(index(), file)
    expect(says(await verify()).join()).toContain('index.sqlite')
  })

  it('keeps a damaged segment from being emptied, and the store goes on', async () => {
    const notices: StoreFault[] = []
    await fill()
    flip(segment(1), offsetIn(segment(1), records[4]!.sealed) + 3)
    await using(
      async (store) => {
        const [{ block: number } = { block: 0 }] = await store.blocks(NAME)
        await store.commit(NAME, { blocks: [block(1, { bytes: bytes(SMALL_SEGMENT_BYTES) })] })
        await store.commit(NAME, { removeBlocks: [number] })
        await store.commit(NAME, { records: [record()] })
        expect(await store.find(NAME, [records[0]!.token])).toMatchObject([contentOf(records[0]!)])
      },
      { segmentBytes: SMALL_SEGMENT_BYTES, onNotice: (what) => notices.push(what) },
    )
    expect(notices).toEqual([
      {
        where: join(directory, 'segments'),
        what: expect.stringMatching(/00000001\.seg: .* is not as it was written/),
      },
    ])
    expect(segments()).toContain('00000001.seg')
  })
})

describe('a lock that nobody holds any more', () => {
  it('is taken; one that is held is respected', async () => {
    await fill()
    await using first = await openEmbeddedStore(directory)
    await first.commit(NAME, { records: [record()] })
    await using second = await openEmbeddedStore(directory)
    await expect(second.commit(NAME, { records: [record()] })).rejects.toMatchObject({
      name: 'StorageError',
      code: 'LOCKED',
      where: join(directory, 'lock'),
    })
    await first[Symbol.asyncDispose]()
    await second.commit(NAME, { records: [record()] })
    expect((await second.collection(NAME)).records).toBe(7)
    expect(toHex(records[0]!.token)).toHaveLength(32)
  })
})

it('says when the disk cannot be read', async () => {
  await fill()
  chmodSync(join(directory, 'segments'), 0o700)
  rmSync(segment(1))
  mkdirSync(segment(1))
  await using(async (store) => {
    await expect(store.find(NAME, [records[0]!.token])).rejects.toMatchObject({
      name: 'StorageError',
      code: 'STORAGE',
      got: 'EISDIR',
    })
  })
})
