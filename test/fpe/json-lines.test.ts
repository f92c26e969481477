/** JSON Lines by place: paths, duplicate keys, values of other kinds, version members. */
import { describe, expect, it } from 'vitest'

import { parsePath } from '../../src/fpe/json-path.ts'
import type { FpeStreamOptions } from '../../src/fpe/stream.ts'
import { fakeColumn } from './fake-column.ts'
import { streamed } from './run-stream.ts'

const pan = { column: fakeColumn('card.pan') }
const jsonl = (more: Partial<FpeStreamOptions> = {}): FpeStreamOptions => ({
  format: 'jsonl',
  direction: 'encrypt',
  columns: [pan],
  ...more,
})
const run = async (input: string, more?: Partial<FpeStreamOptions>) =>
  (await streamed(input, jsonl(more))).text

describe('what stays', () => {
  it.each([
    ['number spellings', '{"card":{"pan":"1"},"a":1.0,"b":12345678901234567890,"c":1E+2}\n'],
    ['spaces and CR LF', ' { "card" : { "x": [ ] , "pan" :\t"1" } } \r\n'],
    [
      'other members, escapes and order',
      '{"z":"\\u00e9\\/","card":{"pan":"1","pan ":"1"},"a":null}',
    ],
    [
      'equal keys elsewhere',
      '{"x":{"pan":"1"},"card":{"n":[{"pan":"1"}],"pan":"1"},"y":1,"y":2}\n',
    ],
    ['other scripts', '{"ключ":"日本 😀","card":{"pan":"1"}}\n'],
    ['blank lines', '\n{"card":{"pan":"1"}}\n\n\r\n'],
    ['a byte order mark', '\ufeff{"card":{"pan":"1"}}\n'],
  ])('%s', async (_, input) => {
    const output = await run(input)
    const expected = input.replace(/("card"\s*:\s*\{.*?"pan"\s*:\s*)"1"/, '$1"2"')
    expect(output).toBe(
      input.includes('"n":') ? input.replace('}],"pan":"1"', '}],"pan":"2"') : expected,
    )
    expect((await streamed(output, jsonl({ direction: 'decrypt' }), 1)).text).toBe(input)
  })

  it('keys are equal however they are spelled', async () => {
    const columns = [{ column: fakeColumn('é.p') }]
    expect(await run('{"\\u00e9":{"\\u0070":"1"}}\n', { columns })).toBe(
      '{"\\u00e9":{"\\u0070":"2"}}\n',
    )
    expect(await run('{"é":{"p":"1"}}\n', { columns })).toBe('{"é":{"p":"2"}}\n')
  })

  it('new values are escaped where JSON wants it', async () => {
    const columns = [{ column: fakeColumn('v', { symbols: 'a"\\\né' }) }]
    expect(await run('{"v":"a\\"\\\\\\né"}\n', { columns })).toBe('{"v":"\\"\\\\\\néa"}\n')
  })

  it('deep nesting beside the path', async () => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    const input = `{"deep":${deep},"card":{"pan":"1"}}\n`
    expect(await run(input)).toBe(input.replace('"1"', '"2"'))
  })
})

describe('paths', () => {
  it('dotted, or JSON Pointers', () => {
    expect(parsePath('a.b')).toEqual(['a', 'b'])
    expect(parsePath('/a.b/c~1d~0e/')).toEqual(['a.b', 'c/d~e', ''])
    for (const path of ['', '.', 'a.', '.a', 'a..b'])
      expect(() => parsePath(path)).toThrow('not a path')
  })

  it('that meet are refused', async () => {
    for (const [a, b] of [
      ['x', 'x'],
      ['x', 'x.y'],
      ['x.y', 'x'],
      ['x.y', '/x/y'],
    ] as const) {
      const columns = [
        { column: fakeColumn('1'), field: a },
        { column: fakeColumn('2'), field: b },
      ]
      await expect(run('{}\n', { columns })).rejects.toThrow('two paths lead to the same place')
    }
  })
})

describe('bad rows', () => {
  it.each([
    ['a duplicate of the value', '{"card":{"pan":"1","pan":"1"}}', 'card.pan'],
    ['a duplicate spelled otherwise', '{"card":{"pan":"1","p\\u0061n":"1"}}', 'card.pan'],
    ['a duplicate on the way', '{"card":{"pan":"1"},"card":{}}', 'card.pan'],
    ['a duplicate that is null', '{"card":{"pan":null,"pan":"1"}}', 'card.pan'],
    ['a number', '{"card":{"pan":4111111111111111}}', 'card.pan'],
    ['an array', '{"card":{"pan":["1"]}}', 'card.pan'],
    ['an object', '{"card":{"pan":{"pan":"1"}}}', 'card.pan'],
    ['a value on the way', '{"card":"1"}', 'card.pan'],
    ['null', '{"card":{"pan":null}}', 'card.pan'],
    ['an empty string', '{"card":{"pan":""}}', 'card.pan'],
    ['missing', '{"card":{}}', 'card.pan'],
    ['missing on the way', '{}', 'card.pan'],
    ['not an object', '["1"]', undefined],
    ['not JSON', "{'card':{'pan':'1'}}", undefined],
    ['a trailing comma', '{"card":{"pan":"1"},}', undefined],
    ['two values', '{"card":{"pan":"1"}}{}', undefined],
    ['a comment', '{"card":{"pan":"1"}} // x', undefined],
    ['a value its column refuses', '{"card":{"pan":"12x"}}', 'card.pan'],
  ])('%s', async (_, line, column) => {
    const good = '{"card":{"pan":"1"}}\n'
    const { text, badRows } = await streamed(`${good}${line}\n${good}`, jsonl({ onError: 'skip' }))
    expect(text).toBe(good.replace('1', '2').repeat(2))
    expect(badRows).toMatchObject([{ line: 2, column }])
    await expect(streamed(`${good}${line}\n`, jsonl())).rejects.toMatchObject({
      where: column === undefined ? 'line 2' : `line 2, column ${column}`,
    })
  })

  it('numbers get a hint', async () => {
    await expect(run('{"card":{"pan":4111111111111111}}\n')).rejects.toMatchObject({
      hint: expect.stringContaining('put the number in quotes'),
      got: 'a number',
    })
  })

  it('empty, null and missing values stay where that is allowed', async () => {
    const input = '{}\n{"card":null}\n{"card":{"pan":null}}\n{"card":{"pan":""}}\n'
    expect(await run(input, { keepEmpty: true })).toBe(input)
    const versioned = [{ ...pan, versionField: 'card.v' }]
    expect(await run(input, { keepEmpty: true, columns: versioned })).toBe(input)
  })
})

describe('key versions', () => {
  const at = (currentVersion: number, versionField: string) => [
    { column: fakeColumn('card.pan', { currentVersion }), versionField },
  ]

  it.each([
    [
      'at the end of the row',
      'v',
      '{"card":{"pan":"1"},"x":1 }\n',
      '{"card":{"pan":"4"},"x":1,"v":3 }\n',
    ],
    ['in the object', 'card.v', '{"card":{"pan":"1" }}\n', '{"card":{"pan":"4","v":3 }}\n'],
    ['in place of null', 'v', '{"v":null,"card":{"pan":"1"}}\n', '{"v":3,"card":{"pan":"4"}}\n'],
    [
      'under a name of another script',
      '/clé "v"',
      '{"card":{"pan":"1"}}',
      '{"card":{"pan":"4"},"clé \\"v\\"":3}',
    ],
  ])('%s', async (_, field, input, output) => {
    expect(await run(input, { columns: at(3, field) })).toBe(output)
    expect(await run(output, { columns: at(9, field), direction: 'decrypt' })).toBe(input)
    expect(await run(output, { columns: at(4, field), direction: 'rewrap' })).toBe(
      output.replace('"4"', '"5"').replace(':3', ':4'),
    )
  })

  it('bad ones make bad rows', async () => {
    for (const version of ['"1"', '0', '1.0', '-1', 'true', '1e0', '99999999999']) {
      const columns = at(3, 'v')
      const input = `{"card":{"pan":"4"},"v":${version}}\n`
      const options = jsonl({ columns, direction: 'decrypt', onError: 'skip' })
      expect((await streamed(input, options)).badRows).toMatchObject([{ line: 1, column: 'v' }])
    }
    const columns = at(3, 'v')
    await expect(run('{"card":{"pan":"1"}}\n', { columns, direction: 'rewrap' })).rejects.toThrow(
      'no key version',
    )
    await expect(run('{"card":{"pan":"1"},"v":3}\n', { columns })).rejects.toThrow(
      'key version already',
    )
    await expect(run('{"card":{"pan":"1"}}\n', { columns: at(3, 'meta.v') })).rejects.toThrow(
      'no object to hold',
    )
  })

  it('shared with a column that is left out, make bad rows', async () => {
    const more = { columns: at(3, 'v'), leftOut: ['card.cvc'] }
    const mixed = '{"card":{"pan":"1","cvc":"1"},"v":3}\n'
    for (const direction of ['encrypt', 'decrypt', 'rewrap'] as const) {
      const input = direction === 'encrypt' ? mixed.replace(',"v":3', '') : mixed
      const { text, badRows } = await streamed(
        input,
        jsonl({ ...more, direction, onError: 'skip' }),
      )
      expect([text, badRows]).toMatchObject(['', [{ line: 1, column: 'card.cvc' }]])
    }
    expect(await run('{"card":{"pan":"1","cvc":null}}\n', more)).toContain('"v":3')
    const plain = jsonl({ ...more, direction: 'decrypt', fromVersion: 3 })
    expect((await streamed('{"card":{"pan":"4","cvc":"1"}}\n', plain)).text).toContain('"1","cvc"')
  })
})

describe('row tweaks', () => {
  it('take strings, and numbers as they are spelled', async () => {
    const seen: unknown[] = []
    const inner = fakeColumn('p')
    const column = {
      ...inner,
      encryptEach: (values: readonly string[], options: object = {}) => {
        seen.push((options as { rowTweaks?: unknown }).rowTweaks)
        return inner.encryptEach(values, options)
      },
    }
    const { badRows } = await streamed(
      '{"id":1.0,"p":"1"}\n{"p":"1","id":"\\u0041"}\n{"p":"1"}\n{"p":"1","id":true}\n',
      jsonl({ columns: [{ column, tweakField: 'id' }], onError: 'skip' }),
    )
    expect(seen).toEqual([['1.0', 'A']])
    expect(badRows.map(({ line }) => line)).toEqual([3, 4])
  })
})
