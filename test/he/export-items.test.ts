/** Export: what comes out is read again as it was, and nothing is ever replaced or left half-done. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'

import { exportItems, recordsOf } from '../../src/he/export-items.ts'
import { openItems } from '../../src/he/import-items.ts'
import type { Item } from '../../src/he/types.ts'
import { scratch } from '../tokens.ts'
import { collect, put, readItems } from './item-files.ts'

const dir = scratch('export')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
let files = 0
const free = (extension: string): string => join(dir, `${(files += 1)}.${extension}`)

async function* from(items: readonly Item[]): AsyncGenerator<Item> {
  for (const item of items) yield await Promise.resolve(item)
}
const vector = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 3,
  maxLength: 3,
})
const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((t) => t.isWellFormed())
const metadata = fc.dictionary(
  fc.oneof(text, fc.constantFrom('id', 'vector', 'embedding', 'metadata', '__proto__')),
  fc.oneof(text, fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true })),
  { minKeys: 1 },
)
const items: fc.Arbitrary<Item[]> = fc.array(
  fc.oneof(
    fc.record({ id: text, vector: vector.map((v) => Float32Array.from(v)) }),
    fc.record({ id: text, vector: vector.map((v) => Float32Array.from(v)), metadata }),
  ),
)

const plain = (all: readonly Item[]): unknown =>
  all.map(({ id, vector: v, metadata: m = {} }) => ({
    id,
    // JSON has no negative zero.
    vector: Array.from(v, (x) => x + 0),
    metadata: Object.entries(m)
      .map(([key, value]) => [key, value === 0 ? 0 : value])
      .sort(),
  }))

describe('what is exported', () => {
  it('as JSON Lines is read again as it was', async () => {
    await fc.assert(
      fc.asyncProperty(items, async (all) => {
        const out = free('jsonl')
        const done = await exportItems(from(all), out, { dimensions: 3 })
        expect(done).toEqual({ items: all.length, files: [out] })
        expect(plain(await readItems(out, { vectorField: 'vector' }))).toEqual(plain(all))
      }),
      { numRuns: 50 },
    )
  })

  it('as NPY with records is read again as it was', async () => {
    await fc.assert(
      fc.asyncProperty(items, async (all) => {
        const out = free('npy')
        await exportItems(from(all), out, { dimensions: 3 })
        const records = recordsOf(out)
        expect(plain(await readItems(out, { records }))).toEqual(plain(all))
        await using source = await openItems(out)
        expect(source.count).toBe(all.length)
      }),
      { numRuns: 50 },
    )
  })

  it('as NPY is what NumPy reads', async () => {
    const out = free('npy')
    const all = Array.from({ length: 1000 }, (_, i) => ({ id: `${i}`, vector: [i, -i, i / 3] }))
    await exportItems(from(all), out, { dimensions: 3 })
    const script =
      'import numpy,sys; a=numpy.load(sys.argv[1]); print(a.shape, a.dtype, a[999].tolist())'
    expect(execFileSync('/usr/bin/python3', ['-c', script, out], { encoding: 'utf8' })).toBe(
      '(1000, 3) float32 [999.0, -999.0, 333.0]\n',
    )
  })

  it('can be read by its owner alone, and leaves nothing beside it', async () => {
    const out = free('npy')
    await exportItems(from([{ id: 'a', vector: [1, 2, 3] }]), out, { dimensions: 3 })
    for (const path of [out, recordsOf(out)]) expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(dir).filter((name) => /part|lock/.test(name))).toEqual([])
  })
})

describe('nothing is half-done', () => {
  const one: Item = { id: 'a', vector: [1, 2, 3] }

  it('a name without a known format, and a directory that is not there, are refused', async () => {
    for (const out of [free('csv'), join(dir, 'none', 'a.jsonl')]) {
      const run = exportItems(from([one]), out, { dimensions: 3 })
      await expect(run).rejects.toMatchObject({ code: 'CONFIG' })
      expect(existsSync(out)).toBe(false)
    }
    const named = free('csv')
    await exportItems(from([one]), named, { dimensions: 3, format: 'jsonl' })
    expect(existsSync(named)).toBe(true)
  })

  it.each(['jsonl', 'npy'])('a file that is there stays as it is (%s)', async (extension) => {
    const out = put(dir, `mine.${extension}`, 'mine')
    const run = (replace: boolean) => exportItems(from([one]), out, { dimensions: 3, replace })
    await expect(run(false)).rejects.toMatchObject({ code: 'CONFIG', where: out })
    expect(readFileSync(out, 'utf8')).toBe('mine')
    await run(true)
    expect(readFileSync(out, 'utf8')).not.toBe('mine')
  })

  it('records that are there stay as they are, and no matrix is written', async () => {
    const out = free('npy')
    put(dir, recordsOf(out).slice(dir.length + 1), 'mine')
    const run = exportItems(from([one]), out, { dimensions: 3 })
    await expect(run).rejects.toMatchObject({ code: 'CONFIG', where: recordsOf(out) })
    expect(existsSync(out)).toBe(false)
  })

  it('a source that fails, a signal and a wrong vector leave no file', async () => {
    const out = free('npy')
    async function* failing(): AsyncGenerator<Item> {
      yield await Promise.resolve(one)
      throw new RangeError('broken')
    }
    const abort = new AbortController()
    async function* endless(): AsyncGenerator<Item> {
      for (let i = 0; ; i += 1) {
        if (i === 500) abort.abort()
        yield await Promise.resolve({ ...one, id: String(i) })
      }
    }
    const options = { dimensions: 3 }
    await expect(exportItems(failing(), out, options)).rejects.toThrow('broken')
    await expect(
      exportItems(endless(), out, { ...options, signal: abort.signal }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(exportItems(from([one]), out, { dimensions: 4 })).rejects.toMatchObject({
      code: 'VECTOR_INVALID',
    })
    const name = out.slice(dir.length + 1).replace('.npy', '')
    expect(readdirSync(dir).filter((entry) => entry.startsWith(`${name}.`))).toEqual([])
  })

  it('two exports to one name do not mix', async () => {
    const out = free('jsonl')
    const [reached, gate] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
    async function* slow(): AsyncGenerator<Item> {
      yield one
      reached.resolve(undefined)
      await gate.promise
    }
    const first = exportItems(slow(), out, { dimensions: 3 })
    await reached.promise
    await expect(exportItems(from([one]), out, { dimensions: 3 })).rejects.toMatchObject({
      code: 'LOCKED',
    })
    gate.resolve(undefined)
    await first
    expect(await collect(from(await readItems(out)))).toHaveLength(1)
  })
})
