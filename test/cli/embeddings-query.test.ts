/** How queries and filters on the command line are read. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { byteCount, decimal } from '../../src/cli/embeddings-options.ts'
import { countLine } from '../../src/cli/embeddings-progress.ts'
import { addFilter, parseQueries, readQueries } from '../../src/cli/embeddings-query.ts'
import { storeLocation } from '../../src/cli/embeddings-store.ts'

describe('a query', () => {
  it.each([
    ['[1,2.5,-3e-2]', [[1, 2.5, -0.03]]],
    ['[\n  1,\n  2\n]\n', [[1, 2]]],
    [
      '[[1,2],[3,4]]',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [
      '[1,2]\n\n[3,4]\r\n',
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ['{"id":"x","vector":[1,2]}', [[1, 2]]],
    ['{"embedding":[1]}\n{"vector":[2]}', [[1], [2]]],
    ['[{"vector":[1]},[2]]', [[1], [2]]],
  ])('%j', (text, vectors) => {
    expect(parseQueries(text, 'file')).toEqual(vectors)
  })

  it.each([
    ['', 'file'],
    ['[]', 'file'],
    ['"text"', 'file'],
    ['[1,null]', 'file, query 1'],
    ['[1,"2"]', 'file'],
    ['[1,2]\n[3,x]', 'file, line 2'],
    ['[[1],[]]', 'file, query 2'],
    ['{"text":"x"}', 'file'],
  ])('%j is none', (text, where) => {
    expect(() => parseQueries(text, 'file')).toThrow(
      expect.objectContaining({ code: 'FORMAT', where }),
    )
  })
})

it('queries in a file may be as many as on standard input', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'keyrite-queries-'))
  try {
    const file = join(dir, 'many.jsonl')
    writeFileSync(file, `${JSON.stringify(new Array(1_000).fill(0.1234567))}\n`.repeat(500))
    expect(await readQueries(file)).toHaveLength(500)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

describe('a filter', () => {
  it('is text, save where it spells a JSON number, true, false or a quoted text', () => {
    const filters = [
      'lang=en',
      'year=2024',
      'year=-1.5',
      'draft=true',
      'code="2024"',
      'a=b=c',
      'n=null',
      'e=',
    ]
    expect(filters.reduce((all, one) => addFilter(one, all), {})).toEqual({
      lang: ['en'],
      year: [2024, -1.5],
      draft: [true],
      code: ['2024'],
      a: ['b=c'],
      n: ['null'],
      e: [''],
    })
    expect(Object.keys(addFilter('__proto__=x', { a: [1] }))).toEqual(['a', '__proto__'])
  })

  it.each(['lang', '=en', ''])('%j is none', (text) => {
    expect(() => addFilter(text)).toThrow('FIELD=VALUE')
  })
})

describe('numbers', () => {
  it('of bytes have units of 1024', () => {
    expect(['1', '5k', '2M', '3G', '1T'].map(byteCount)).toEqual([
      1,
      5120,
      2 ** 21,
      3 * 2 ** 30,
      2 ** 40,
    ])
    for (const text of ['0', '-1', '1.5G', '1 G', '', 'G', '1P']) {
      expect(() => byteCount(text), text).toThrow('bytes')
    }
  })

  it('of lengths are above 0', () => {
    expect([decimal('1'), decimal('0.25')]).toEqual([1, 0.25])
    for (const text of ['0', '-1', '1e3', 'x', '', '.5']) {
      expect(() => decimal(text), text).toThrow('above 0')
    }
  })

  it('of progress say what is left', () => {
    expect(countLine('vectors', 3000, 1000, 11_000, 4000)).toBe(
      '3,000 of 11,000 vectors, 500 vectors/s, 16 s left',
    )
    expect(countLine('vectors', 10, 10, undefined, 5000)).toBe('10 vectors, 0 vectors/s')
  })
})

describe('the place of a store', () => {
  const dir = mkdtempSync(join(tmpdir(), 'keyrite-store-url-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))
  const file = (content: string, mode: number): string => {
    const path = join(dir, `url-${mode.toString(8)}-${content.length}`)
    writeFileSync(path, content, { mode })
    return path
  }

  it.each([
    'postgres://me:hunter2@db.example/vectors',
    'POSTGRESQL://:hunter2@db.example/vectors',
    'postgres://db.example/vectors?user=me&password=hunter2',
    'postgres://db.example/vectors?sslpassword=hunter2',
  ])('%s is refused on the command line, and not repeated', async (store) => {
    const error: unknown = await storeLocation({ store }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'USAGE', where: '--store' })
    expect(JSON.stringify(error)).not.toContain('hunter2')
  })

  it('has no password', async () => {
    const urls = [
      'postgres://me@db.example/v',
      'postgresql://db.example:5432/v',
      'dir/a:b@c',
      './x',
    ]
    for (const store of urls) expect(await storeLocation({ store })).toBe(store)
  })

  it('may have one in a file that only its owner reads', async () => {
    const url = 'postgres://me:hunter2@db.example/vectors'
    expect(await storeLocation({ storeUrlFile: file(`${url}\n`, 0o600) })).toBe(url)
    const open = storeLocation({ storeUrlFile: file(`${url}\n\n`, 0o640) })
    await expect(open).rejects.toMatchObject({ code: 'CONFIG', got: 'mode 0640' })
    const other = storeLocation({ storeUrlFile: file('not a url', 0o600) })
    await expect(other).rejects.toMatchObject({ code: 'CONFIG' })
  })

  it('is said once', async () => {
    await expect(storeLocation({})).rejects.toMatchObject({ code: 'USAGE' })
    await expect(storeLocation({ store: 'a', storeUrlFile: 'b' })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })
})
