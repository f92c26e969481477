/** `keyrite embeddings import`: every format, streams, kits, and what an interruption leaves. */
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { parquetWriteBuffer } from 'hyparquet-writer'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { newSession, parseIngestKit } from '../../src/he/ingest-kit.ts'
import { npyPreamble } from '../../src/he/npy.ts'
import { idToken } from '../../src/he/tokens.ts'
import { generator, normal } from '../he/embeddings-data.ts'
import { type EmbeddingsSite, embeddingsSite } from './embeddings-site.ts'

const SEED = ['--seed', 'seed-1.json']
const STORE = ['--store', 'vectors']

let site: EmbeddingsSite
beforeAll(async () => {
  site = await embeddingsSite()
})
afterAll(() => site.stop())

async function good(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await site.run([...args, ...STORE, ...SEED, '--json'])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as Record<string, unknown>
}
const create = (name: string, dimensions: number, ...more: string[]) =>
  good('create', name, '--dimensions', String(dimensions), ...more)
async function records(name: string): Promise<number> {
  const { stdout } = await site.run(['state', name, ...STORE, '--json'], { login: false })
  return (JSON.parse(stdout) as { records: number }).records
}
const vectors = [
  [1, 2, 3],
  [4, 5, 6],
]

describe('a format', () => {
  const lines = vectors.map((vector, i) => JSON.stringify({ key: `r${i}`, emb: vector, n: [i] }))
  const floats = Buffer.from(Float32Array.from(vectors.flat()).buffer)
  const expected = vectors.map((vector, i) => ({ id: `r${i}`, vector }))

  beforeAll(async () => {
    await create('formats', 3)
    site.put('in.jsonl', lines.join('\n'))
    site.put('in.bin', floats)
    site.put(
      'in.npy',
      Buffer.concat([npyPreamble({ type: 'float32', rows: 2, columns: 3 }), floats]),
    )
    site.put('ids', 'r0\nr1\n')
    site.put('records', '{"key":"r0","a":1}\n{"key":"r1","a":2}')
    const columnData = [
      { name: 'key', data: ['r0', 'r1'] },
      { name: 'emb', data: vectors },
    ]
    const schema = [
      { name: 'root', num_children: 2 },
      { name: 'key', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
      { name: 'emb', repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', repetition_type: 'REQUIRED', type: 'FLOAT' },
    ] as const
    site.put('in.parquet', new Uint8Array(parquetWriteBuffer({ columnData, schema: [...schema] })))
  })

  it.each([
    [
      'in.jsonl',
      ['--id-field', 'key', '--vector-field', 'emb', '--nested', 'json'],
      [{ n: '[0]' }, { n: '[1]' }],
    ],
    [
      'in.jsonl',
      ['--id-field', 'key', '--vector-field', 'emb', '--metadata', 'key'],
      [{ key: 'r0' }, { key: 'r1' }],
    ],
    ['in.bin', ['--ids', 'ids'], [{}, {}]],
    ['in.npy', ['--records', 'records', '--id-field', 'key'], [{ a: 1 }, { a: 2 }]],
    ['in.parquet', ['--id-field', 'key', '--vector-field', 'emb'], [{}, {}]],
  ])('%s %j', async (file, options, metadata) => {
    await good('import', 'formats', '--in', file, ...options)
    const { items } = (await good('get', 'formats', 'r0', 'r1')) as { items: object[] }
    const full = expected.map((item, i) =>
      Object.keys(metadata[i]!).length === 0 ? item : { ...item, metadata: metadata[i] },
    )
    expect(items).toEqual(full)
  })

  it('whose input is wrong is refused before anybody is asked for a PIN', async () => {
    site.put('three', 'a\nb\nc\n')
    site.put('one', '{"id":"a"}')
    const wrong = [
      ['--in', 'none.jsonl'],
      ['--in', '.', '--format', 'jsonl'],
      ['--in', 'login'],
      ['--in', 'in.npy', '--ids', 'three'],
      ['--in', 'in.npy', '--records', 'one'],
      ['--in', 'in.npy', '--ids', 'ids', '--format', 'float32', '--checkpoint', 'login'],
      ['--in', '-', '--format', 'npy'],
    ]
    for (const args of wrong) {
      // No login is offered: being asked for one would be another error.
      const ran = await site.run(['import', 'formats', ...args, ...STORE, ...SEED], {
        login: false,
      })
      expect([ran.code, ran.stderr]).toEqual([3, expect.not.stringMatching(/PIN|terminal/)])
    }
  })

  it.each([
    [['--in', 'none.jsonl'], 'none.jsonl', 'cannot read the input', 'no such file'],
    [['--in', '.', '--format', 'jsonl'], '.', 'cannot read the input', 'a directory'],
    [['--in', 'in.npy', '--ids', 'none'], 'none', 'cannot read a file of ids', 'no such file'],
    [['--in', 'in.npy', '--ids', '.'], '.', 'cannot read a file of ids', 'a directory'],
    [
      ['--in', 'in.bin', '--records', 'none'],
      'none',
      'cannot read a file of records',
      'no such file',
    ],
    [
      ['--in', 'in.bin', '--records', 'ids/x'],
      'ids/x',
      'cannot read a file of records',
      expect.stringContaining('not a directory'),
    ],
  ])('%j says which file cannot be read, and why', async (args, where, message, got) => {
    const before = await records('formats')
    const ran = await site.run(['import', 'formats', ...args, ...STORE, ...SEED, '--json'], {
      login: false,
    })
    const { error } = JSON.parse(ran.stdout) as { error: unknown }
    expect([ran.code, error]).toEqual([
      3,
      expect.objectContaining({ code: 'CONFIG', message, where, expected: 'a file', got }),
    ])
    expect(await records('formats')).toBe(before)
  })

  it.each([
    ['nowhere/noted', 'ENOENT'],
    ['vectors', 'a directory'],
    ['ids/noted', 'ENOTDIR'],
  ])('whose checkpoint %s could not be written is refused before it begins', async (file, got) => {
    const before = await records('formats')
    const args = ['import', 'formats', '--in', 'in.bin', '--checkpoint', file]
    const ran = await site.run([...args, ...STORE, ...SEED, '--json'], { login: false })
    const { error } = JSON.parse(ran.stdout) as { error: unknown }
    const message = 'the checkpoint cannot be written'
    const wanted = expect.objectContaining({ code: 'CONFIG', message, where: file, got }) as unknown
    expect([ran.code, error]).toEqual([3, wanted])
    expect(await records('formats')).toBe(before)
  })

  it('with fewer items than are to be skipped is refused, and says how many there are', async () => {
    const before = await records('formats')
    const args = ['--id-field', 'key', '--vector-field', 'emb', '--skip', '3', '--json']
    for (const file of ['in.jsonl', 'in.bin', 'in.parquet']) {
      // Formats that say their length are refused before anybody is asked for a PIN.
      const login = file === 'in.jsonl'
      const names = file === 'in.bin' ? args.slice(4) : args
      const all = ['import', 'formats', '--in', file, ...names, '--nested', 'json']
      const ran = await site.run([...all, ...STORE, ...SEED], { login })
      expect([file, ran.code, JSON.parse(ran.stdout)]).toEqual([
        file,
        3,
        {
          error: expect.objectContaining({
            ...{ code: 'FORMAT', where: file, got: '2 items' },
            hint: expect.stringMatching(/^nothing was imported/),
          }),
        },
      ])
    }
    expect(await records('formats')).toBe(before)
    const end = ['--in', 'in.bin', '--skip', '2']
    expect(await good('import', 'formats', ...end)).toMatchObject({ items: 0, skipped: 2 })
  })

  it('with a bad line keeps what came before it and names the line', async () => {
    await create('bad', 3)
    const many = Array.from({ length: 300 }, (_, i) =>
      JSON.stringify({ id: `${i}`, vector: [1, i, 2] }),
    )
    site.put('bad.jsonl', [...many, '{"id":"x","vector":[0,0,0]}'].join('\n'))
    // A vector that is no vector for cosine, a line that is no JSON, a field of no use: the item, or its line.
    const faults = [
      ['{"id":"x","vector":[0,0,0]}', /VECTOR_INVALID.*where: bad\.jsonl, item 301/],
      ['{"id":"x","vector":[1,2', /FORMAT.*where: bad\.jsonl, line 301/],
      ['{"id":"x","vector":[1,2,3],"n":12345678901234567890}', /bad\.jsonl, line 301, n.*as text/],
    ] as const
    const args = ['import', 'bad', '--in', 'bad.jsonl', ...STORE, ...SEED]
    for (const [line, pattern] of faults) {
      site.put('bad.jsonl', [...many, line].join('\n'))
      await good('delete', 'bad', ...many.map((_, i) => `${i}`))
      expect(await records('bad')).toBe(0)
      const ran = await site.run(args)
      const said = ran.stderr.replace(/\s+/g, ' ')
      expect(ran.code).toBe(3)
      expect(said).toMatch(/kept: 300 of the vectors/)
      expect(said).toMatch(pattern)
      expect(said).toMatch(
        /hint:.*everything before it is in: mend it, and go on with --skip 300 *$/,
      )
      expect(await records('bad')).toBe(300)
    }
    site.put('bad.jsonl', [...many, '{"id":"x","vector":[3,2,1]}'].join('\n'))
    expect(await good(...args.slice(0, 4), '--skip', '300')).toMatchObject({ items: 1 })
    expect(await records('bad')).toBe(301)
    // A bad item of an id that came before takes nothing away from it.
    site.put('same.jsonl', '{"id":"same","vector":[1,2,3]}\n{"id":"same","vector":[0,0,0]}\n')
    const same = await site.run(['import', 'bad', '--in', 'same.jsonl', ...STORE, ...SEED])
    expect([same.code, same.stderr]).toEqual([3, expect.stringContaining('kept: 1 of')])
    expect(await good('get', 'bad', 'same')).toMatchObject({ items: [{ vector: [1, 2, 3] }] })
    await good('delete', 'bad', 'same')
    const streamed = await site.spawn(['import', 'bad', '--in', '-', ...STORE, ...SEED], {
      input: '{"id":"s1","vector":[1,2,3]}\n{"id":"s2","vector":[0,0,0]}\n',
    })
    expect([streamed.code, streamed.stderr]).toEqual([3, expect.stringContaining('kept: 1 of')])
    expect(await records('bad')).toBe(302)
  })

  it('with a bad line says that the checkpoint does not fit the mended file', async () => {
    const lines = ['{"id":"a","vector":[1,2,3]}', '{"id":"b","vector":[1]}']
    site.put('half.jsonl', lines.join('\n'))
    const args = ['import', 'bad', '--in', 'half.jsonl', '--checkpoint', 'half', ...STORE, ...SEED]
    const ran = await site.run(args)
    expect(ran.code).toBe(3)
    expect(ran.stderr.replace(/\s+/g, ' ')).toMatch(/with --skip 1 in place of --checkpoint/)
  })
})

describe('a stream', () => {
  it('of JSON Lines is read, and ends at a request', async () => {
    await create('stream', 3)
    const args = ['import', 'stream', '--in', '-', ...STORE, ...SEED]
    const whole = await site.spawn(args, { input: '{"id":"a","vector":[1,2,3]}\n' })
    expect([whole.code, whole.stdout]).toEqual([0, expect.stringMatching(/^1 vectors read/)])
    const child = site.start(args)
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text))
    child.stdin!.write('{"id":"b","vector":[1,2,4]}\n{"id":"c","vector":[1')
    await sleep(3000)
    child.kill('SIGINT')
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(1)
    expect(said.replace(/\s+/g, ' ')).toMatch(/kept: 1 of the vectors.*ABORTED.*--skip 1 goes on/)
    expect(await records('stream')).toBe(2)
  })
})

describe('a kit', () => {
  it('adds vectors without a seed or a token, and opens nothing', async () => {
    await create('public', 3, '--parameters', 'bgv-n2048-q51-t14-b8')
    await good('kit', 'public', '--out', 'public.kit')
    expect(statSync(site.at('public.kit')).mode & 0o777).toBe(0o600)
    const kit = readFileSync(site.at('public.kit'), 'utf8')
    const export_ = ['export', 'public', '--out', 'public.jsonl']
    await good(...export_)
    // Before anybody is asked for a PIN, and as `export` says it.
    const taken = await site.run(['kit', 'public', '--out', 'public.kit', ...STORE, ...SEED], {
      login: false,
    })
    const exported = await site.run([...export_, ...STORE, ...SEED])
    expect([taken.code, taken.stderr]).toEqual([
      exported.code,
      exported.stderr.replace('public.jsonl', 'public.kit'),
    ])
    expect([taken.code, taken.stderr]).toEqual([3, expect.stringContaining('--replace')])
    await good('kit', 'public', '--out', 'public.kit', '--replace')
    // Its public key is another encryption of zero each time.
    expect(readFileSync(site.at('public.kit'), 'utf8') === kit).toBe(false)
    expect(readdirSync(site.dir).filter((name) => name.endsWith('.part'))).toEqual([])
    site.put('p.jsonl', '{"id":"a","vector":[1,2,3]}\n')
    const args = ['import', 'public', '--in', 'p.jsonl', '--kit', 'public.kit', ...STORE]
    const ran = await site.run(args, { login: false, env: { KEYRITE_MODULE: '/nowhere' } })
    expect([ran.code, ran.stdout]).toEqual([0, expect.stringMatching(/^1 vectors read/)])
    expect(await good('get', 'public', 'a')).toMatchObject({
      items: [{ id: 'a', vector: [1, 2, 3] }],
    })
    const both = await site.run([...args, ...SEED], { login: false })
    expect(both.code).toBe(2)
    const other = await site.run(
      ['import', 'formats', '--in', 'p.jsonl', '--kit', 'public.kit', ...STORE],
      { login: false },
    )
    expect([other.code, other.stderr]).toEqual([
      3,
      expect.stringMatching(/KEY_MISMATCH[\s\S]*where: +public\.kit/),
    ])
    expect(await records('formats')).toBe(2)
  })

  it('whose holder writes what does not open stops searches; delete takes it away', async () => {
    const kit = parseIngestKit(readFileSync(site.at('public.kit')))
    const { session } = await newSession(kit)
    const token = idToken(kit.idToken, kit.info.id, 'noise')
    {
      await using store = await openEmbeddedStore(site.at('vectors'))
      const own = { epoch: 1, session: session.id, token, filters: {} }
      const sealed = new Uint8Array(100)
      await store.commit('public', { sessions: [session], records: [{ ...own, sealed }] })
    }
    const verify = () => site.run(['verify', 'public', ...STORE, ...SEED])
    const faulty = await verify()
    expect([faulty.code, faulty.stdout]).toEqual([5, expect.stringContaining(session.id)])
    const remove = (...more: string[]) => site.run(['delete', 'public', ...STORE, ...SEED, ...more])
    const confirm = ['--confirm', 'public']
    for (const [code, ...more] of [
      [3, '--invalid'],
      [3, '--invalid', '--confirm', 'other'],
      [2, '--invalid', ...confirm, '--ids', 'ids'],
      [2, 'a', '--session', session.id, ...confirm],
      [3, '--session', '00'.repeat(16), ...confirm],
      [3, '--session', '', ...confirm],
    ] as const) {
      expect([more, (await remove(...more)).code]).toEqual([more, code])
    }
    expect(await records('public')).toBe(2)
    const removed = await remove('--invalid', ...confirm)
    expect([removed.code, removed.stdout]).toEqual([0, '1 vectors deleted\n'])
    expect((await verify()).code).toBe(0)
    expect((await remove('--session', session.id, ...confirm)).stdout).toBe('0 vectors deleted\n')
    expect(await records('public')).toBe(1)
  })

  it.each([
    ['', 'nothing'],
    ['[0.5]', 'something else'],
    ['{"format": "keyrite-he-ingest-kit/1"}', 'something else'],
  ])('that is %j is none', async (text, got) => {
    site.put('none.kit', text)
    const args = ['import', 'public', '--in', 'in.jsonl', '--kit', 'none.kit', ...STORE, '--json']
    const ran = await site.run(args, { login: false })
    const { error } = JSON.parse(ran.stdout) as { error: unknown }
    expect([ran.code, error]).toEqual([
      3,
      expect.objectContaining({
        message: 'not an ingest kit',
        where: 'none.kit: ingest kit',
        got,
        hint: expect.stringContaining('ask the key holder') as string,
      }),
    ])
  })

  it('that is damaged is named', async () => {
    site.put('broken.kit', '{"format":"keyrite-he-ingest-kit/1"}')
    const args = ['import', 'public', '--in', 'p.jsonl', '--kit', 'broken.kit', ...STORE]
    const ran = await site.run(args, { login: false })
    expect([ran.code, ran.stderr]).toEqual([3, expect.stringMatching(/where: +broken\.kit: /)])
  })

  it('of a collection that has no room for it says what to make instead, as --help does', async () => {
    await create('private', 3)
    const args = ['kit', 'private', '--out', 'private.kit', ...STORE, ...SEED]
    const ran = await site.run(args)
    const said = ran.stderr.replace(/\s+/g, ' ')
    expect([ran.code, said]).toEqual([
      3,
      expect.stringMatching(/PARAMETERS_UNSAFE.*make a new one with bgv-n2048-q51-t14-b8 /),
    ])
    const help = await site.spawn(['kit', '--help'], { login: false })
    expect(help.stdout.replace(/\s+/g, ' ')).toContain('--parameters bgv-n2048-q51-t14-b8,')
    expect(existsSync(site.at('private.kit'))).toBe(false)
  })
})

describe('an interruption', () => {
  const COUNT = 20_000
  const DIMENSIONS = 8
  beforeAll(async () => {
    const next = normal(generator(3))
    const lines = Array.from({ length: COUNT }, (_, i) =>
      JSON.stringify({ id: `v${i}`, vector: Array.from({ length: DIMENSIONS }, next) }),
    )
    writeFileSync(site.at('long.jsonl'), lines.join('\n'))
    await create('long', DIMENSIONS)
  })
  const args = ['import', 'long', '--in', 'long.jsonl', '--checkpoint', 'noted', ...STORE, ...SEED]

  /** Starts it and ends it when some of it is noted. */
  async function interrupt(signal: NodeJS.Signals): Promise<number> {
    const child = site.start(args)
    const exited = once(child, 'exit')
    const before = existsSync(site.at('noted')) ? readFileSync(site.at('noted'), 'utf8') : ''
    while (child.exitCode === null) {
      await sleep(20)
      const now = existsSync(site.at('noted')) ? readFileSync(site.at('noted'), 'utf8') : ''
      if (now !== before) break
    }
    child.kill(signal)
    await exited
    return (JSON.parse(readFileSync(site.at('noted'), 'utf8')) as { done: number }).done
  }

  it('by kill -9, then by Ctrl-C, loses nothing that was noted; the same command ends it', async () => {
    const killed = await interrupt('SIGKILL')
    expect(killed).toBeGreaterThan(0)
    expect(await records('long')).toBeGreaterThanOrEqual(killed)
    const other = await site.run([...args, '--nested', 'json'])
    expect([other.code, other.stderr]).toEqual([3, expect.stringContaining('another import')])
    const stopped = await interrupt('SIGINT')
    expect(stopped).toBeGreaterThan(killed)
    expect(await records('long')).toBeGreaterThanOrEqual(stopped)
    const { items, skipped } = await good(...args.slice(0, -4))
    expect([skipped, items]).toEqual([stopped, COUNT - stopped])
    expect(existsSync(site.at('noted'))).toBe(false)
    expect(await records('long')).toBe(COUNT)
    expect(await good('verify', 'long')).toMatchObject({ ok: true, records: COUNT })
  })
})
