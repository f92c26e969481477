/** NPY against files that NumPy wrote, and bare float32 against the vectors of a real model. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { openItems } from '../../src/he/import-items.ts'
import { decodeFloats, npyHeaderSpan, npyPreamble, parseNpyHeader } from '../../src/he/npy.ts'
import { scratch } from '../tokens.ts'
import { put, readItems, refusal, vectorFiles } from './item-files.ts'

const dir = scratch('npy')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const files = vectorFiles('npy')
const file = (name: string): string => put(dir, `${name}.npy`, files[name]!)
const MATRIX = [
  [0.5, -1.25, 3],
  [1e-3, 2, -65504],
]

describe('files of NumPy', () => {
  it.each([
    ['v1-f4', 1e-10],
    ['v2-f8', 1e-10],
    ['v3-f2', 1e-6],
  ])('%s is read, ids are row numbers', async (name, error) => {
    const items = await readItems(file(name))
    expect(items.map(({ id }) => id)).toEqual(['0', '1'])
    for (const [r, row] of MATRIX.entries()) {
      expect(items[r]!.vector).toHaveLength(3)
      for (const [c, value] of row.entries()) {
        expect(Math.abs(items[r]!.vector[c]! - value)).toBeLessThan(error)
      }
    }
  })

  it('an empty matrix has no items', async () => {
    expect(await readItems(file('empty'))).toEqual([])
  })

  it.each([
    ['big-endian', 'not floats that can be read', '>f4'],
    ['int32', 'not floats that can be read', '<i4'],
    ['fortran', 'the matrix is stored column by column', 'Fortran'],
    ['one-dimension', 'not a matrix', '(3,)'],
  ])('%s is refused', async (name, message, got) => {
    const found = await refusal(file(name))
    expect(found).toMatchObject({ name: 'FormatError', message })
    expect(found.where).toContain(`${name}.npy`)
    expect(found.text).toContain(got)
  })

  it('that are cut off, too long or of another shape are refused', async () => {
    const whole = files['v1-f4']!
    for (const length of [0, 5, 11, 100, whole.length - 1]) {
      const { name } = await refusal(put(dir, 'cut.npy', whole.subarray(0, length)))
      expect(name).toBe('FormatError')
    }
    const long = await refusal(put(dir, 'long.npy', Buffer.concat([whole, Buffer.alloc(1)])))
    expect(long.message).toBe('the file is not as long as its header says')
    const other = await refusal(file('v1-f4'), { dimensions: 4 })
    expect(other.message).toBe('the vectors have other dimensions')
  })
})

describe('the header', () => {
  it('is read with its keys in any order, with Python 2 integers and either quote', () => {
    const text = `{"shape": (778L, 384L), 'descr': "<f4", 'fortran_order': False}`
    expect(parseNpyHeader(text, 'x')).toEqual({ type: 'float32', rows: 778, columns: 384 })
  })

  it.each([
    `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}`,
    `{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}`,
    `{'descr': '<f4', 'shape': (2, 3)}`,
    `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0)}`,
    `{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}`,
    `{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}`,
    `'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)`,
    `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} + x`,
    '',
  ])('%s is refused', (text) => {
    expect(() => parseNpyHeader(text, 'x')).toThrow(expect.objectContaining({ code: 'FORMAT' }))
  })

  it('of an unknown version or of a hostile length is refused', () => {
    const prefix = Uint8Array.from(files['v2-f8']!.subarray(0, 12))
    expect(npyHeaderSpan(prefix, 'x').start).toBe(12)
    prefix[6] = 4
    expect(() => npyHeaderSpan(prefix, 'x')).toThrow('an unknown version of NPY')
    prefix.set([2, 0, 0xff, 0xff, 0xff, 0xff], 6)
    expect(() => npyHeaderSpan(prefix, 'x')).toThrow('the NPY header is too long')
  })

  it('we write is 64-byte aligned and NumPy reads it', () => {
    const preamble = npyPreamble({ type: 'float32', rows: 2, columns: 3 })
    expect(preamble.length % 64).toBe(0)
    const path = put(
      dir,
      'ours.npy',
      Buffer.concat([preamble, Buffer.from(Float32Array.from(MATRIX.flat()).buffer)]),
    )
    // Byte for byte what NumPy writes itself.
    expect(Buffer.compare(readFileSync(path), Buffer.from(files['v1-f4']!))).toBe(0)
    const script = 'import numpy,sys; a=numpy.load(sys.argv[1]); print(a.shape, a.dtype, a[1,2])'
    const said = execFileSync('/usr/bin/python3', ['-c', script, path], { encoding: 'utf8' })
    expect(said.trim()).toBe('(2, 3) float32 -65504.0')
  })
})

describe('float16', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ])('%i', (bits, value) => {
    expect(decodeFloats(Uint8Array.of(bits & 0xff, bits >> 8), 'float16')[0]).toBe(value)
  })
})

describe('bare float32', () => {
  const require = createRequire(import.meta.url)
  const home = dirname(require.resolve('@sap-ux/fiori-docs-embeddings/package.json'))
  const data = join(home, 'data/embeddings')
  const bin = join(data, 'embeddings.bin')

  it('of MiniLM with its records: unit vectors, ids and metadata in order', async () => {
    const options = {
      dimensions: 384,
      records: join(data, 'records.jsonl'),
      nested: 'json',
    } as const
    const items = await readItems(bin, options)
    expect(items).toHaveLength(778)
    const [first] = items
    expect(first?.id).toBe('local-btp-fiori-tools-0-chunk-0')
    expect(first?.metadata).toMatchObject({ category: 'Btp Fiori Tools', chunk_index: 0 })
    for (const { vector } of items) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
    }
    expect(await readItems(bin, options, 775)).toEqual(items.slice(775))
    expect(await readItems(bin, options, 778)).toEqual([])
    const titles = await readItems(bin, { ...options, fields: ['title'] })
    expect(Object.keys(titles[0]!.metadata!)).toEqual(['title'])
  })

  it('needs dimensions that divide it', async () => {
    expect((await refusal(bin)).message).toBe('bare numbers have no shape')
    const { message } = await refusal(bin, { dimensions: 385 })
    expect(message).toBe('the file is no whole number of vectors')
  })

  it('goes with as many ids as it has vectors', async () => {
    const two = put(dir, 'two.bin', Buffer.from(Float32Array.of(1, 2, 3, 4).buffer))
    const ids = (text: string): string => put(dir, 'ids.txt', text)
    const options = { dimensions: 2 }
    expect(await readItems(two, { ...options, ids: ids('a\r\nb\n') })).toEqual([
      { id: 'a', vector: Float32Array.of(1, 2) },
      { id: 'b', vector: Float32Array.of(3, 4) },
    ])
    const few = await refusal(two, { ...options, ids: ids('a\n') })
    expect(few.text).toContain('fewer lines')
    const more = await refusal(two, { ...options, ids: ids('a\nb\nc') })
    expect(more.text).toContain('more lines')
    // Before one of them is read: each vector would have another one's id.
    await expect(openItems(two, { ...options, ids: ids('head\na\nb') })).rejects.toMatchObject({
      ...{ code: 'FORMAT', got: 'more lines' },
    })
    const both = await refusal(two, { ...options, ids: ids('a\nb'), records: ids('a\nb') })
    expect(both.message).toBe('ids come from two files')
  })

  it('with NaN or infinity is refused at its row', async () => {
    const bytes = Buffer.from(Float32Array.of(1, 2, 3, NaN, 5, Infinity).buffer)
    const found = await refusal(put(dir, 'nan.bin', bytes), { dimensions: 2 })
    expect(found.where).toMatch(/nan\.bin, row 1\[1\]$/)
  })
})
