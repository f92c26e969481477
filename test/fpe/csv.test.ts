/** CSV by place: fields found by name or number, version columns, and rows that two readers could read in two ways. */
import { describe, expect, it } from 'vitest'

import { type FpeStreamOptions, fpePieces } from '../../src/fpe/stream.ts'
import { fakeColumn } from './fake-column.ts'
import { streamed } from './run-stream.ts'

const pan = { column: fakeColumn('pan', { currentVersion: 1 }) }
const csv = (more: Partial<FpeStreamOptions> = {}): FpeStreamOptions => ({
  format: 'csv',
  direction: 'encrypt',
  columns: [pan],
  ...more,
})
const run = async (input: string, more?: Partial<FpeStreamOptions>) =>
  (await streamed(input, csv(more))).text

describe('what stays', () => {
  it.each([
    ['LF', 'id,pan\n1,123\n', 'id,pan\n1,234\n'],
    ['CR LF', 'id,pan\r\n1,123\r\n', 'id,pan\r\n1,234\r\n'],
    ['mixed line ends', 'id,pan\r\n1,123\n2,5\r\n', 'id,pan\r\n1,234\n2,6\r\n'],
    ['no last line end', 'id,pan\n1,123', 'id,pan\n1,234'],
    ['a byte order mark', '\ufeffpan\n123\n', '\ufeffpan\n234\n'],
    [
      'quotes where there were quotes',
      '"id","pan"\n"1","123"\n2,5\n',
      '"id","pan"\n"1","234"\n2,6\n',
    ],
    ['line breaks in quotes', 'note,pan\n"a\nb ""c""",123\n', 'note,pan\n"a\nb ""c""",234\n'],
    ['spaces and empty fields', 'a,pan,b\n ,1,\n', 'a,pan,b\n ,2,\n'],
    ['characters of other scripts', 'näme,pan\n日本,1\n', 'näme,pan\n日本,2\n'],
    ['blank lines', 'id,pan\n\n1,1\n\r\n', 'id,pan\n\n1,2\n\r\n'],
    ['a header alone', 'id,pan\n', 'id,pan\n'],
    ['nothing', '', ''],
    ['a byte order mark alone', '\ufeff', '\ufeff'],
  ])('%s', async (_, input, output) => {
    expect(await run(input)).toBe(output)
    const back = await streamed(output, csv({ direction: 'decrypt' }), 1)
    expect(back.text).toBe(input)
  })

  it('other delimiters', async () => {
    for (const delimiter of [';', '\t', '|']) {
      const input = `a${delimiter}pan\n"x${delimiter}y"${delimiter}1\n,${delimiter}2\n`
      const output = input.replace('1\n', '2\n').replace(/2\n$/, '3\n')
      expect(await run(input, { csv: { delimiter } })).toBe(output)
    }
    await expect(run('a\n', { csv: { delimiter: '"' } })).rejects.toThrow('not a CSV delimiter')
    await expect(run('a\n', { csv: { delimiter: ',,' } })).rejects.toThrow('not a CSV delimiter')
  })

  it('quotes are added where a new value needs them', async () => {
    const column = fakeColumn('v', { symbols: 'ab,"\n' })
    const columns = [{ column }]
    const encrypted = await run('v,x\nab,1\n"b,",2\n"a""",3\n', { columns })
    expect(encrypted).toBe('v,x\n"b,",1\n",""",2\n"b\n",3\n')
    const back = await run(encrypted, { columns, direction: 'decrypt' })
    expect(back).toBe('v,x\n"ab",1\n"b,",2\n"a""",3\n')
  })
})

describe('columns', () => {
  it('by name, in any order, spelled exactly so', async () => {
    const columns = [{ column: fakeColumn('b') }, { column: fakeColumn('a') }]
    expect(await run('a,x,"b"\n1,1,1\n', { columns })).toBe('a,x,"b"\n2,1,2\n')
    const renamed = [{ column: fakeColumn('b'), field: 'b "c"' }]
    expect(await run('a,"b ""c"""\n1,1\n', { columns: renamed })).toBe('a,"b ""c"""\n1,2\n')
  })

  it('by number without a header', async () => {
    const columns = [{ ...pan, field: 2 }]
    expect(await run('1,1\n2,2\n', { columns, csv: { header: false } })).toBe('1,2\n2,3\n')
    const beyond = [{ ...pan, field: 3 }]
    const refused = run('4111,1\n', { columns: beyond, csv: { header: false } })
    await expect(refused).rejects.toMatchObject({ code: 'CONFIG', where: 'field 3' })
  })

  it('a name that is not there, or there twice, is refused without repeating the first line', async () => {
    const missing = run('4111111111111111,x\n1,2\n')
    await expect(missing).rejects.toMatchObject({ code: 'CONFIG', where: 'column pan' })
    await missing.catch((error: unknown) => {
      expect(JSON.stringify(error)).not.toContain('4111')
    })
    await expect(run('pan,pan\n1,1\n')).rejects.toThrow('two columns have this name')
    const twice = [pan, { column: fakeColumn('other'), field: 'pan' }]
    await expect(run('pan\n1\n', { columns: twice })).rejects.toThrow('named twice')
  })
})

describe('bad rows', () => {
  const bad = async (input: string, more?: Partial<FpeStreamOptions>) => {
    const { text, badRows, rows } = await streamed(input, csv({ onError: 'skip', ...more }))
    const lines = badRows.map(({ line, column, code }) => `${line} ${column ?? '-'} ${code}`)
    await expect(streamed(input, csv(more))).rejects.toMatchObject({
      where: expect.stringMatching(new RegExp(`^line ${badRows[0]?.line}\\b`)),
    })
    return { text, lines, rows }
  }

  it.each([
    ['too few fields', 'id,pan\n1\n2,2\n', ['2 - FORMAT'], 'id,pan\n2,3\n'],
    ['too many fields', 'id,pan\n1,1,1\n2,2\n', ['2 - FORMAT'], 'id,pan\n2,3\n'],
    ['a stray quote', 'id,pan\n1",1\n2,2\n', ['2 - FORMAT'], 'id,pan\n2,3\n'],
    ['text after a quote', 'id,pan\n"1"x,1\n2,2\n', ['2 - FORMAT'], 'id,pan\n2,3\n'],
    ['a lone CR', 'id,pan\n1\r,1\n2,2\n', ['2 - FORMAT'], 'id,pan\n2,3\n'],
    ['a quote that is not closed', 'id,pan\n2,2\n1,"1\n2,2\n', ['3 - FORMAT'], 'id,pan\n2,3\n'],
    [
      'an empty value',
      'id,pan\n1,\n2,2\n3,""\n',
      ['2 pan FORMAT', '4 pan FORMAT'],
      'id,pan\n2,3\n',
    ],
    ['a bad value', 'id,pan\n1,x\n2,2\n', ['2 pan SYMBOL_INVALID'], 'id,pan\n2,3\n'],
    [
      'lines are counted in quotes',
      '"i\nd",pan\n"\n\n",1\n2,x\n',
      ['6 pan SYMBOL_INVALID'],
      '"i\nd",pan\n"\n\n",2\n',
    ],
  ])('%s', async (_, input, lines, output) => {
    expect(await bad(input)).toMatchObject({ lines, text: output })
  })

  it('not UTF-8: only those rows, wherever blocks end', async () => {
    const input = Buffer.from('note,pan\n\u00e4\u00f6,1\nX,2\n\u65e5,3\n')
    input[input.indexOf('X')] = 0xe9
    for (let size = 1; size < 40; size += 1) {
      const { text, badRows } = await streamed(input, csv({ onError: 'skip' }), size)
      expect(badRows).toMatchObject([{ line: 3, code: 'FORMAT', message: 'not UTF-8' }])
      expect(text).toBe('note,pan\näö,2\n日,4\n')
    }
    const utf16 = Buffer.from('\ufeffpan\n1\n', 'utf16le')
    await expect(streamed(utf16, csv({ onError: 'skip' }))).rejects.toThrow('UTF-16')
  })

  it('a row beyond the limit ends the stream in any mode', async () => {
    const input = Buffer.concat([Buffer.from('id,pan\n1,1\n2,"'), Buffer.alloc(17 << 20, 'x\n')])
    await expect(streamed(input, csv({ onError: 'skip' }))).rejects.toMatchObject({
      code: 'FORMAT',
      where: 'line 3',
    })
  })

  it('of a file without line ends no more than the limit is read', async () => {
    let read = 0
    async function* endless() {
      for (;;) {
        read += 1 << 20
        yield await Promise.resolve(Buffer.alloc(1 << 20, 'x'))
      }
    }
    const options = csv({ csv: { header: false }, columns: [{ ...pan, field: 1 }] })
    const first = fpePieces(endless(), options).next()
    await expect(first).rejects.toMatchObject({ code: 'FORMAT', where: 'line 1' })
    expect(read).toBeLessThan(40 << 20)
  })

  it('empty values stay where that is allowed', async () => {
    const { text, values, rows } = await streamed(
      'id,pan\n1,\n2,""\n3,1\n',
      csv({ keepEmpty: true }),
    )
    expect({ text, values, rows }).toEqual({ text: 'id,pan\n1,\n2,""\n3,2\n', values: 1, rows: 3 })
  })
})

describe('key versions', () => {
  const at = (currentVersion: number, known?: number[]) => [
    {
      column: fakeColumn('pan', { currentVersion, ...(known ? { versions: known } : {}) }),
      versionField: 'v',
    },
  ]

  it('are added as the last column, and taken away again', async () => {
    const input = 'id,pan\r\n1,111\r\n2,"222"'
    const encrypted = await run(input, { columns: at(3) })
    expect(encrypted).toBe('id,pan,v\r\n1,444,3\r\n2,"555",3')
    expect(await run(encrypted, { columns: at(5), direction: 'decrypt' })).toBe(input)
  })

  it('are written into the empty column that is there, and emptied again', async () => {
    const input = 'v,pan\n,111\n"",222\n'
    const encrypted = await run(input, { columns: at(3) })
    expect(encrypted).toBe('v,pan\n3,444\n"3",555\n')
    expect(await run(encrypted, { columns: at(3), direction: 'decrypt' })).toBe(input)
  })

  it('are read per row; rewrap writes the new one', async () => {
    const mixed = 'pan,v\n222,1\n333,2\n"444",3\n'
    const plain = 'pan\n111\n111\n"111"\n'
    expect(await run(mixed, { columns: at(3), direction: 'decrypt' })).toBe(plain)
    const moved = await run(mixed, { columns: at(3), direction: 'rewrap' })
    expect(moved).toBe('pan,v\n444,3\n444,3\n"444",3\n')
  })

  it('a row with a version is not encrypted again', async () => {
    const { text, badRows } = await streamed(
      'pan,v\n1,\n2,1\n',
      csv({ columns: at(1), onError: 'skip' }),
    )
    expect(text).toBe('pan,v\n2,1\n')
    expect(badRows).toMatchObject([{ line: 3, column: 'v' }])
  })

  it('missing, misspelled and unknown ones make bad rows', async () => {
    const input = 'pan,v\n2,1\n2,\n2,x\n2,01\n2,4294967296\n2,7\n2,1\n'
    for (const direction of ['decrypt', 'rewrap'] as const) {
      const { badRows, values } = await streamed(
        input,
        csv({ columns: at(2, [1, 2]), onError: 'skip', direction }),
      )
      expect(badRows.map(({ line, column, code }) => [line, column, code])).toEqual([
        [3, 'v', 'FORMAT'],
        [4, 'v', 'FORMAT'],
        [5, 'v', 'FORMAT'],
        [6, 'v', 'FORMAT'],
        [7, 'pan', 'KEY_VERSION_UNKNOWN'],
      ])
      expect(values).toBe(2)
    }
    const absent = run('pan\n1\n', { columns: at(1), direction: 'decrypt' })
    await expect(absent).rejects.toMatchObject({ code: 'CONFIG', where: 'column v' })
  })

  it('one for all values, for files that do not hold it', async () => {
    const columns = [{ column: fakeColumn('pan', { currentVersion: 5 }) }]
    expect(await run('pan\n3\n', { columns, direction: 'decrypt', fromVersion: 2 })).toBe(
      'pan\n1\n',
    )
    expect(await run('pan\n3\n', { columns, direction: 'rewrap', fromVersion: 2 })).toBe('pan\n6\n')
    await expect(run('pan\n3\n', { columns, direction: 'rewrap' })).rejects.toThrow('key version')
    await expect(run('pan\n3\n', { columns, fromVersion: 2 })).rejects.toThrow(
      'current key version',
    )
  })

  it('are left out for values that stay empty', async () => {
    const input = 'pan,x\n,1\n1,2\n'
    const encrypted = await run(input, { columns: at(3), keepEmpty: true })
    expect(encrypted).toBe('pan,x,v\n,1,\n4,2,3\n')
    const moved = await run(encrypted, { columns: at(4), keepEmpty: true, direction: 'rewrap' })
    expect(moved).toBe('pan,x,v\n,1,\n5,2,4\n')
    expect(await run(moved, { columns: at(4), keepEmpty: true, direction: 'decrypt' })).toBe(input)
  })

  it('may be shared by columns with one current version only', async () => {
    const pair = (second: number) => [
      { column: fakeColumn('a', { currentVersion: 1 }), versionField: 'v' },
      { column: fakeColumn('b', { currentVersion: second }), versionField: 'v' },
    ]
    expect(await run('a,b\n1,1\n', { columns: pair(1) })).toBe('a,b,v\n2,2,1\n')
    await expect(run('a,b\n1,1\n', { columns: pair(2) })).rejects.toThrow(
      'different current versions',
    )
  })

  it('shared with a column that is left out, are refused: they would be untrue of it', async () => {
    const columns = [{ column: fakeColumn('a'), versionField: 'v' }]
    const more = { columns, leftOut: ['b'] }
    for (const direction of ['encrypt', 'decrypt', 'rewrap'] as const) {
      const input = direction === 'encrypt' ? 'a,b\n1,1\n' : 'a,b,v\n1,1,1\n'
      await expect(run(input, { ...more, direction })).rejects.toMatchObject({
        code: 'CONFIG',
        where: 'column b',
      })
    }
    expect(await run('a,c\n1,1\n', more)).toBe('a,c,v\n2,1,1\n')
    const plain = { ...more, direction: 'decrypt', fromVersion: 1 } as const
    expect(await run('a,b\n2,1\n', plain)).toBe('a,b\n1,1\n')
    const numbered = { ...more, columns: [{ column: fakeColumn('a'), field: 1, versionField: 3 }] }
    const bare = { ...numbered, leftOut: ['2'], csv: { header: false } }
    await expect(run('1,1\n', bare)).rejects.toThrow('shares its key version')
  })

  it('without a header are added where the next run looks for them, and nowhere else', async () => {
    const at = (...places: number[]) => ({
      csv: { header: false },
      columns: places.map((versionField, i) => ({
        column: fakeColumn('ab'[i] ?? '', { currentVersion: i + 1 }),
        ...{ field: i + 1, versionField },
      })),
    })
    expect(await run('1,1\n', at(3, 4))).toBe('2,3,1,2\n')
    for (const places of [[9], [4, 3], [3, 5]]) {
      await expect(run('1,1\n', at(...places))).rejects.toThrow('a key version is not added there')
    }
  })

  it('two columns of versions are added in their order and both taken away', async () => {
    const columns = [
      { column: fakeColumn('a', { currentVersion: 1 }), versionField: 'av' },
      { column: fakeColumn('b', { currentVersion: 2 }), versionField: 'bv' },
    ]
    const encrypted = await run('a,b\n1,1\n', { columns })
    expect(encrypted).toBe('a,b,av,bv\n2,3,1,2\n')
    expect(await run(encrypted, { columns, direction: 'decrypt' })).toBe('a,b\n1,1\n')
  })
})

describe('row tweaks', () => {
  it('take the text of another field, and refuse rows without', async () => {
    const seen: unknown[] = []
    const inner = fakeColumn('pan')
    const column = {
      ...inner,
      encryptEach: (values: readonly string[], options: object = {}) => {
        seen.push((options as { rowTweaks?: unknown }).rowTweaks)
        return inner.encryptEach(values, options)
      },
    }
    const { text, badRows } = await streamed(
      'id,pan\n7,1\n"a ""b""",1\n,1\n',
      csv({ columns: [{ column, tweakField: 'id' }], onError: 'skip' }),
    )
    expect(text).toBe('id,pan\n7,2\n"a ""b""",2\n')
    expect(seen).toEqual([['7', 'a "b"']])
    expect(badRows).toMatchObject([{ line: 4, column: 'id' }])
  })
})
