/** The scorer as a process, looked at from outside: no coordinate, id, metadata or key in its memory and files. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { deriveKeys } from '../../src/he/keys.ts'
import { geometryOf } from '../../src/he/parameters.ts'
import { quantiseVector } from '../../src/he/quantise.ts'
import { connectScorer } from '../../src/he/scorer-client.ts'
import { copies, fileHolds } from '../pkcs11/memory-scan.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')
const DIMENSIONS = 64
const rows = clustered(600, DIMENSIONS, { seed: 21 })
const query = clustered(1, DIMENSIONS, { seed: 22 })[0]!
let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const bytesOf = (numbers: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }) =>
  Buffer.from(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength))
/** The first 16 bytes: four numbers of a vector, or half of a key. Memory is read once for each needle. */
const head = (bytes: Buffer): Buffer => bytes.subarray(0, 16)

it('holds nothing that would tell a vector', async () => {
  const info = await one.holder.createCollection(one.store, {
    name: 'seen-by-the-scorer',
    dimensions: DIMENSIONS,
    fields: ['colour'],
  })
  await fill(one, info.name, rows, (at) => ({
    colour: `colour-never-in-clear-${at % 3}`,
    note: `note-never-in-clear-${at}`,
  }))
  const directory = join(one.directory, 'store')
  const socket = join(one.directory, 'scorer.sock')
  const child = spawn(
    process.execPath,
    [MAIN, 'embeddings', 'serve', '--store', directory, '--listen', `unix:${socket}`],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  try {
    for (let tries = 0; tries < 100 && !/listening/i.test(said); tries++) await sleep(50)
    await using remote = await connectScorer({ socket })
    const filter = { colour: 'colour-never-in-clear-1' }
    const hits = await one.holder.search(remote, info.name, rows[4]!, { k: 3, filter })
    expect(hits[0]).toEqual({ id: 'v4', score: 1 })
    await one.holder.search(remote, info.name, query, { k: 3 })

    const geometry = geometryOf(info)
    const keys = deriveKeys(one.seed, 1)
    const secrets = Object.entries(keys).flatMap(([, value]) =>
      value instanceof Uint8Array ? [head(Buffer.from(value))] : [],
    )
    expect(secrets.length).toBeGreaterThan(4)
    // One of a block, one of the tail, and the query.
    const vectors = [rows[4]!, rows.at(-1)!, query]
    const integers = vectors.map((vector) => quantiseVector(geometry, 1, vector))
    const needles = {
      vectors: vectors.map((vector) => head(bytesOf(vector))),
      doubles: vectors.map((vector) => head(bytesOf(Float64Array.from(vector)))),
      integers: integers.map((row) => head(bytesOf(row))),
      small: integers.map((row) => head(bytesOf(Int16Array.from(row)))),
      seed: [head(Buffer.from(one.seed))],
      keys: secrets,
      metadata: [Buffer.from('never-in-clear'), Buffer.from('never-in-clear', 'utf16le')],
      // The other way round: what the scorer does know is found, so the scan finds what is there.
      name: [Buffer.from('seen-by-the-scorer')],
    }
    const { name, ...secret } = copies(child.pid!, needles)
    expect(name).toBeGreaterThan(0)
    expect(secret).toEqual({
      vectors: 0,
      doubles: 0,
      integers: 0,
      small: 0,
      seed: 0,
      keys: 0,
      metadata: 0,
    })
    const own = copies(process.pid, { vectors: needles.vectors.slice(0, 1) })
    expect(own.vectors).toBeGreaterThan(0)

    const { name: known, ...others } = needles
    const files = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
    expect(files.some((file) => fileHolds(file, known))).toBe(true)
    const all = Object.values(others).flat()
    expect(files.filter((file) => fileHolds(file, all))).toEqual([])
  } finally {
    child.kill('SIGTERM')
    await once(child, 'close')
  }
})
