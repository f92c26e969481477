/** Parquet written by two other programs, and files that are broken or hostile. */
import { readFileSync, rmSync } from 'node:fs'

import { parquetMetadata } from 'hyparquet'
import { type ColumnSource, type SchemaElement, parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, describe, expect, it } from 'vitest'

import { openItems } from '../../src/he/import-items.ts'
import { windows } from '../../src/he/parquet-items.ts'
import { scratch } from '../tokens.ts'
import { put, readItems, refusal, vectorFiles } from './item-files.ts'

const dir = scratch('parquet')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const files = vectorFiles('parquet')
const file = (name: string): string => put(dir, `${name}.parquet`, files[name]!)

const SCHEMA: SchemaElement[] = [
  { name: 'root', num_children: 2 },
  { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  { name: 'vector', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  { name: 'element', repetition_type: 'OPTIONAL', type: 'FLOAT' },
]

interface Layout {
  readonly offsetIndex?: boolean
  readonly rowGroupSize?: number
  readonly pageSize?: number
}

function written(name: string, rows: number, { offsetIndex = true, ...layout }: Layout): string {
  const ids = Array.from({ length: rows }, (_, i) => `doc-${i}`)
  const columnData: ColumnSource[] = [
    { name: 'id', data: ids, offsetIndex },
    { name: 'vector', data: ids.map((_, i) => [i, -i / 2, 0.25]), offsetIndex },
  ]
  return put(
    dir,
    name,
    new Uint8Array(parquetWriteBuffer({ columnData, schema: SCHEMA, ...layout })),
  )
}

const expected = (i: number) => ({ id: `doc-${i}`, vector: Float32Array.of(i, -i / 2, 0.25) })

describe('files of arrow-rs', () => {
  it.each([
    'list-f32-snappy',
    'list-f64-zstd',
    'fixed-f32-gzip',
    'list-f32-brotli',
    'list-f16-plain',
  ])('%s: vectors, ids and metadata', async (name) => {
    const items = await readItems(file(name))
    expect(items).toHaveLength(10)
    for (const [i, item] of items.entries()) {
      const title = i % 3 === 0 ? {} : { title: `title ${i}` }
      expect(item).toEqual({
        ...expected(i),
        metadata: { ...title, year: 2000 + i, good: i % 2 === 0 },
      })
    }
    expect(await readItems(file(name), {}, 7)).toEqual(items.slice(7))
    const some = await readItems(file(name), { fields: ['year'] })
    expect(some[3]?.metadata).toEqual({ year: 2003 })
  })

  it('of a codec that is not read are refused', async () => {
    const found = await refusal(file('list-f32-lz4'))
    expect(found).toMatchObject({ name: 'FormatError', message: 'the Parquet file cannot be read' })
    expect(found.text).toContain('LZ4')
  })

  it('without a column that was asked for are refused before anything is read', async () => {
    const path = file('list-f64-zstd')
    const missing = { vectorField: 'vec' }
    await expect(openItems(path, missing)).rejects.toMatchObject({ where: `${path}, vec` })
    await expect(openItems(path, { idField: 'key' })).rejects.toMatchObject({ code: 'FORMAT' })
    await expect(openItems(path, { fields: ['nope'] })).rejects.toMatchObject({ code: 'FORMAT' })
    expect((await refusal(path, { vectorField: 'title' })).message).toBe(
      'a vector is missing or no list',
    )
    expect((await refusal(path, { dimensions: 4 })).where).toMatch(/row 0, embedding$/)
  })
})

describe('files of hyparquet-writer', () => {
  it.each([
    ['windows of one row group with an offset index', { rowGroupSize: 5000, pageSize: 4096 }],
    [
      'row groups without an offset index',
      { offsetIndex: false, rowGroupSize: 700, pageSize: 999 },
    ],
    ['one row group without an offset index', { offsetIndex: false, rowGroupSize: 5000 }],
  ])('%s', async (name, layout) => {
    const path = written(`${name}.parquet`, 5000, layout)
    const items = await readItems(path)
    expect(items).toHaveLength(5000)
    for (const at of [0, 1, 699, 700, 2047, 2048, 2049, 4095, 4096, 4999]) {
      expect(items[at]).toEqual(expected(at))
    }
    for (const skip of [1, 700, 2048, 4999, 5000]) {
      expect(await readItems(path, {}, skip)).toEqual(items.slice(skip))
    }
    await expect(readItems(path, {}, 5001)).rejects.toMatchObject({
      ...{ code: 'FORMAT', where: path, got: '5000 items' },
    })
  })

  it('a row group that would not fit in memory is refused before it is read', () => {
    const bytes = Uint8Array.from(
      readFileSync(written('claim.parquet', 10, { offsetIndex: false })),
    )
    const metadata = parquetMetadata(bytes.buffer)
    const chunk = metadata.row_groups[0]!.columns[1]!.meta_data!
    expect(chunk.num_values).toBe(30n)
    metadata.row_groups[0]!.columns[1]!.meta_data!.num_values = 50_331_649n
    expect(() => windows(metadata, 'vector', 'x')).toThrow('too large to be decoded at once')
    metadata.row_groups[0]!.columns[1]!.offset_index_offset = 1n
    expect(windows(metadata, 'vector', 'x')).toEqual([{ rowStart: 0, rowEnd: 10 }])
  })

  it('a large integer keeps its digits as an id, and is refused as metadata', async () => {
    const write = (name: string, numbers: bigint[]): string => {
      const columnData: ColumnSource[] = [
        { name: 'id', data: numbers, type: 'INT64' },
        { name: 'vector', data: numbers.map(() => [1]) },
        { name: 'n', data: numbers, type: 'INT64' },
      ]
      return put(dir, name, new Uint8Array(parquetWriteBuffer({ columnData })))
    }
    const [limit, beyond] = [9007199254740991n, 9007199254740993n]
    const [item] = await readItems(write('limit.parquet', [limit]))
    expect(item).toMatchObject({ id: `${limit}`, metadata: { n: Number(limit) } })
    const path = write('beyond.parquet', [1n, beyond])
    const found = await refusal(path)
    expect(found.where).toBe(`${path}, row 1, n`)
    expect(found.text).toMatch(/write it as text/)
    const ids = await readItems(path, { fields: [] })
    expect(ids.map(({ id }) => id)).toEqual(['1', `${beyond}`])
  })

  it('a missing vector or coordinate is refused at its row', async () => {
    const bad = (data: unknown[]): string => {
      const columnData = [
        { name: 'id', data: data.map((_, i) => String(i)) },
        { name: 'vector', data },
      ]
      return put(
        dir,
        'bad.parquet',
        new Uint8Array(parquetWriteBuffer({ columnData, schema: SCHEMA })),
      )
    }
    expect((await refusal(bad([[1, 2], null]))).where).toMatch(/row 1, vector$/)
    expect(
      (
        await refusal(
          bad([
            [1, 2],
            [1, null],
          ]),
        )
      ).where,
    ).toMatch(/row 1, vector\[1\]$/)
    expect((await refusal(bad([[1, 2], []]))).where).toMatch(/row 1, vector$/)
    expect((await refusal(bad([[NaN]]))).where).toMatch(/row 0, vector\[0\]$/)
  })
})

describe('a broken file', () => {
  const whole = files['list-f32-snappy']!

  it.each([0, 3, 11, 12, 100, 3000, whole.length - 1])('of %i bytes is refused', async (length) => {
    const { name } = await refusal(put(dir, 'cut.parquet', whole.subarray(0, length)))
    expect(name).toBe('FormatError')
  })

  it('never ends in anything but items or a FormatError', async () => {
    const { 'list-f64-zstd': zstd, 'list-f32-snappy': snappy } = files
    let refused = 0
    for (const original of [zstd!, snappy!]) {
      for (let at = 4; at < original.length; at += 13) {
        const bytes = Uint8Array.from(original)
        bytes[at] = (bytes[at]! ^ 0xff) & 0xff
        const path = put(dir, 'flipped.parquet', bytes)
        try {
          await readItems(path)
        } catch (error) {
          refused += 1
          expect(error).toMatchObject({ name: 'FormatError' })
        }
      }
    }
    expect(refused).toBeGreaterThan(100)
  })
})
