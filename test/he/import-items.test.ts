/** Items from JSON Lines: what is read, what is refused and where, and that memory stays bounded. */
import { rmSync } from 'node:fs'

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'

import { openItems } from '../../src/he/import-items.ts'
import { MAX_LINE_BYTES, linesOf } from '../../src/he/import-lines.ts'
import { jsonLinesItems } from '../../src/he/json-lines-items.ts'
import { scratch } from '../tokens.ts'
import { collect, put, readItems, refusal } from './item-files.ts'

const dir = scratch('import')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
let files = 0
const jsonl = (...lines: string[]): string => put(dir, `${(files += 1)}.jsonl`, lines.join('\n'))

describe('lines', () => {
  it('are the same however the bytes arrive', async () => {
    const lines = fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀', ' ', '\r') }))
    await fc.assert(
      fc.asyncProperty(
        lines,
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        async (all, sizes) => {
          const bytes = Buffer.from(all.join('\n'))
          async function* pieces() {
            const reused = new Uint8Array(9)
            for (let at = 0; at < bytes.length;) {
              const size = Math.min(sizes.next().value as number, bytes.length - at)
              reused.set(bytes.subarray(at, at + size))
              // The same buffer each time, as some streams do.
              yield await Promise.resolve(reused.subarray(0, size))
              at += size
            }
          }
          const found = await collect(linesOf(pieces(), 'x'))
          const expected = all
            .map((line) => line.replace(/\r$/, ''))
            .flatMap((text, i) => (/^[ \t]*$/.test(text) ? [] : [{ number: i + 1, text }]))
          expect(found).toEqual(expected)
        },
      ),
    )
  })

  it('start after a byte order mark and end without a line feed', async () => {
    const path = put(dir, 'bom.jsonl', '\uFEFF{"id":"a","vector":[1]}\r\n\n{"id":"b","vector":[2]}')
    expect((await readItems(path)).map(({ id }) => id)).toEqual(['a', 'b'])
    expect((await readItems(path, {}, 1)).map(({ id }) => id)).toEqual(['b'])
    expect(await readItems(path, {}, 2)).toEqual([])
    await expect(readItems(path, {}, 3)).rejects.toMatchObject({
      code: 'FORMAT',
      where: path,
      expected: expect.stringMatching(/^3 items to skip/),
      got: '2 items',
      hint: expect.stringMatching(/^nothing was imported/),
    })
  })

  it('that are too long are refused before they are held', async () => {
    let sent = 0
    async function* endless() {
      for (;;) {
        sent += 1
        yield await Promise.resolve(Buffer.alloc(1024 * 1024, 0x61))
      }
    }
    await expect(collect(linesOf(endless(), 'pipe'))).rejects.toMatchObject({
      code: 'FORMAT',
      where: 'pipe, line 1',
    })
    expect(sent).toBe(MAX_LINE_BYTES / 1024 / 1024 + 1)
  })

  it('that are not UTF-8 are refused by number', async () => {
    const path = put(
      dir,
      'latin.jsonl',
      Buffer.from('{"id":"a","vector":[1]}\n{"id":"\xe9"}', 'latin1'),
    )
    expect((await refusal(path)).where).toMatch(/latin\.jsonl, line 2$/)
  })
})

describe('a line', () => {
  it('has an id, a vector and metadata beside or inside `metadata`', async () => {
    const path = jsonl(
      '{"id":"a","vector":[1,-0.5],"metadata":{"year":2024,"draft":false},"title":"T"}',
      '{"id":7,"embedding":[1e-3,2],"metadata":null,"title":null}',
    )
    expect(await readItems(path)).toEqual([
      {
        id: 'a',
        vector: Float32Array.of(1, -0.5),
        metadata: { title: 'T', year: 2024, draft: false },
      },
      { id: '7', vector: Float32Array.of(1e-3, 2) },
    ])
  })

  it('is read by the names that are given', async () => {
    const path = jsonl('{"key":"a","emb":[1],"x":1,"y":"b","z":[1,{"q":2}]}')
    const names = { idField: 'key', vectorField: 'emb' }
    const [one] = await readItems(path, { ...names, fields: ['y', 'absent'] })
    expect(one).toEqual({ id: 'a', vector: Float32Array.of(1), metadata: { y: 'b' } })
    const [all] = await readItems(path, { ...names, nested: 'json' })
    expect(all?.metadata).toEqual({ x: 1, y: 'b', z: '[1,{"q":2}]' })
    expect((await refusal(path, names)).where).toMatch(/line 1, z$/)
  })

  it('may name fields as JavaScript does its own', async () => {
    const path = jsonl('{"id":"a","vector":[1],"__proto__":"p","constructor":"c"}')
    const [item] = await readItems(path)
    expect(Object.entries(item!.metadata!)).toEqual([
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ])
    // Fields that only the prototype has are not there.
    expect((await refusal(jsonl('{"vector":[1]}'), { idField: 'toString' })).text).toContain(
      'nothing',
    )
  })

  it.each([
    ['{"id":"a","vector":[1],', 'not valid JSON', /line 1$/],
    ['["a",[1]]', 'not a JSON object', /line 1$/],
    ['{"vector":[1]}', 'an id is missing or no id', /line 1, id$/],
    ['{"id":"","vector":[1]}', 'an id is missing or no id', /line 1, id$/],
    ['{"id":1.5,"vector":[1]}', 'an id is missing or no id', /line 1, id$/],
    ['{"id":"\\ud800","vector":[1]}', 'an id is missing or no id', /line 1, id$/],
    [`{"id":"${'é'.repeat(257)}","vector":[1]}`, 'an id is too long', /line 1, id$/],
    ['{"id":"a"}', 'a vector is missing or no list', /line 1, embedding$/],
    ['{"id":"a","vector":"[1]"}', 'a vector is missing or no list', /line 1, vector$/],
    ['{"id":"a","vector":[]}', 'a vector has another length', /line 1, vector$/],
    ['{"id":"a","vector":[1,null]}', 'a coordinate is no number of float32', /vector\[1\]$/],
    ['{"id":"a","vector":[1,"2"]}', 'a coordinate is no number of float32', /vector\[1\]$/],
    ['{"id":"a","vector":[[1]]}', 'a coordinate is no number of float32', /vector\[0\]$/],
    ['{"id":"a","vector":[1e39]}', 'a coordinate is no number of float32', /vector\[0\]$/],
    ['{"id":"a","vector":[1],"m":[1]}', 'metadata have a value that cannot be kept', /line 1, m$/],
    [
      '{"id":"a","vector":[1],"m":1e999}',
      'metadata have a value that cannot be kept',
      /line 1, m$/,
    ],
    ['{"id":"a","vector":[1],"m":"\\udfff"}', 'metadata have a value that cannot be kept', /, m$/],
    ['{"id":"a","vector":[1],"m":1,"metadata":{"m":2}}', 'a field is there twice', /line 1, m$/],
  ])('%s is refused', async (line, message, where) => {
    const found = await refusal(jsonl(line))
    expect(found).toMatchObject({ name: 'FormatError', message })
    expect(found.where).toMatch(where)
  })

  it.each([
    ['{"id":"a","vector":[1],"n":12345678901234567890}', {}],
    ['{"id":"a","vector":[1],"metadata":{"n":-9007199254740993}}', {}],
    ['{"id":"a","vector":[1],"n":[{"deep":9007199254740993}]}', { nested: 'json' }],
  ] as const)('%s would lose digits, and is refused', async (line, options) => {
    const path = jsonl('{"id":"0","vector":[1],"n":9007199254740991}', line)
    const found = await refusal(path, options)
    expect(found.name).toBe('FormatError')
    expect(found.message).toMatch(/too large to be kept exactly/)
    expect(found.where).toBe(`${path}, line 2, n`)
    expect(found.text).toMatch(/write it as text/)
    expect(found.text).not.toContain(/\d{16,}/.exec(line)![0])
  })

  it('keeps large numbers where no digit is lost: ids, coordinates, text, and what was no integer', async () => {
    const path = jsonl(
      '{"id":12345678901234567890,"vector":[36893488147419103232,1],"t":"12345678901234567890","x":1e300,"y":12345678901234567890.5}',
      '{"id":"b","vector":[1,2],"m":9007199254740992,"l":[9007199254740991,1e20]}',
    )
    const [one, two] = await readItems(path, { nested: 'json' })
    expect(one).toEqual({
      id: '12345678901234567890',
      vector: Float32Array.of(2 ** 65, 1),
      metadata: { t: '12345678901234567890', x: 1e300, y: 12345678901234567890.5 },
    })
    expect(two?.metadata).toEqual({ m: 2 ** 53, l: '[9007199254740991,100000000000000000000]' })
  })

  it('of other dimensions is refused at its line, and no error repeats a value', async () => {
    const path = jsonl('{"id":"a","vector":[1,2]}', '{"id":"secret","vector":[4242,4243,4244]}')
    const found = await refusal(path, { dimensions: 2 })
    expect(found.where).toMatch(/line 2, vector$/)
    const broken = await refusal(jsonl('{"id":"secret","vector":[4242,}'))
    expect(`${found.text}${broken.text}`).not.toMatch(/424|secret/)
  })

  it('is read one at a time: the reader is never far ahead', async () => {
    let sent = 0
    async function* source() {
      for (let i = 0; i < 1000; i += 1) {
        sent += 1
        yield await Promise.resolve(Buffer.from(`{"id":"${i}","vector":[${i}]}\n`))
      }
    }
    const items = jsonLinesItems(source(), 'pipe', { skip: 10 })
    const first = await items.next()
    expect(first.value).toEqual({ id: '10', vector: Float32Array.of(10) })
    expect(sent).toBe(11)
    await items.return(undefined)
  })
})

describe('a file', () => {
  it('without a known name or with ids in two places is refused', async () => {
    const text = put(dir, 'items.txt', '')
    await expect(openItems(text)).rejects.toMatchObject({ code: 'CONFIG', where: text })
    const lines = jsonl('{"id":"a","vector":[1]}')
    await expect(openItems(lines, { ids: text })).rejects.toMatchObject({ code: 'CONFIG' })
    await expect(openItems(dir, { format: 'jsonl' })).rejects.toMatchObject({ code: 'CONFIG' })
    await expect(openItems(`${dir}/none.jsonl`)).rejects.toMatchObject({
      code: 'CONFIG',
      where: `${dir}/none.jsonl`,
      got: 'no such file',
    })
    expect(
      await readItems(put(dir, 'x.data', '{"id":"a","vector":[1]}'), { format: 'jsonl' }),
    ).toHaveLength(1)
  })
})
