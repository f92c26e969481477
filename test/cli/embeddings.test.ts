/** `keyrite embeddings` on a real token: a collection from its creation to its end. */
import { mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { clustered } from '../he/embeddings-data.ts'
import { type EmbeddingsSite, embeddingsSite } from './embeddings-site.ts'
import type { Ran } from './run-keyrite.ts'
import { keyrite, openTerminal, personalEnv } from './terminal.ts'

const DIMENSIONS = 64
const rows = clustered(600, DIMENSIONS, { centres: 20 })
const item = (i: number): object => ({
  id: `doc-${i}`,
  vector: Array.from(rows[i]!),
  metadata: { lang: i % 2 === 0 ? 'en' : 'de', page: i },
})
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => `${JSON.stringify(item(from + i))}\n`).join('')

let site: EmbeddingsSite
beforeAll(async () => {
  site = await embeddingsSite()
  site.put('docs.jsonl', lines(0, 600))
  site.put('query.json', JSON.stringify(Array.from(rows[7]!)))
})
afterAll(() => site.stop())

const SEED = ['--seed', 'seed-1.json']
const STORE = ['--store', 'vectors']
const run = (...args: string[]): Promise<Ran> => site.run([...args, ...STORE, ...SEED])
async function good(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(...args, '--json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as Record<string, unknown>
}
interface Results {
  results: { hits: { id: string; score: number; metadata?: object }[] }[]
}
const search = async (...args: string[]): Promise<Results['results']> =>
  ((await good('search', 'docs', '--query', 'query.json', ...args)) as unknown as Results).results
const error = ({ stdout }: Ran): unknown => (JSON.parse(stdout) as { error: unknown }).error

describe('a collection', () => {
  it('is created, filled and searched', async () => {
    await good('create', 'docs', '--dimensions', String(DIMENSIONS), '--filter-field', 'lang')
    expect(await good('import', 'docs', '--in', 'docs.jsonl')).toEqual({
      ...{ command: 'embeddings import', collection: 'docs', items: 600, replaced: 0, skipped: 0 },
    })
    const [first] = await search('-k', '3', '--with-metadata')
    expect(first?.hits).toHaveLength(3)
    expect(first?.hits[0]).toEqual({ id: 'doc-7', score: 1, metadata: { lang: 'de', page: 7 } })
    const [german] = await search('-k', '20', '--filter', 'lang=en', '--with-metadata')
    expect(german?.hits).toHaveLength(20)
    for (const { metadata } of german!.hits) expect(metadata).toMatchObject({ lang: 'en' })
  })

  it('answers several queries at once, and says how long each stage took', async () => {
    const input = [3, 4, 5].map((i) => JSON.stringify(Array.from(rows[i]!))).join('\n')
    const args = ['search', 'docs', '--query', '-', '-k', '1', '--timings', ...STORE, ...SEED]
    const { code, stdout, stderr } = await site.spawn(args, { input })
    expect(code, stderr).toBe(0)
    expect(stdout.match(/doc-\d+/g)).toEqual(['doc-3', 'doc-4', 'doc-5'])
    expect(stderr).toMatch(/query encrypted in [\d.]+ ms, 2 blocks scanned in/)
  })

  it('has vectors replaced, shown and deleted', async () => {
    site.put('one.jsonl', JSON.stringify({ id: 'doc-7', vector: Array.from(rows[8]!) }))
    expect(await good('import', 'docs', '--in', 'one.jsonl')).toMatchObject({ replaced: 1 })
    const got = await run('get', 'docs', 'doc-7', 'never')
    expect(got.code).toBe(1)
    const shown = JSON.parse(got.stdout) as { id: string; vector: number[] }
    expect(shown).toEqual({ id: 'doc-7', vector: Array.from(rows[8]!) })
    expect(got.stderr).toContain('not found: never')
    site.put('ids', 'doc-7\ndoc-8\nnever\n')
    const twice = ['delete', 'docs', 'doc-7', 'doc-7', '--ids', 'ids']
    expect(await good(...twice)).toMatchObject({ asked: 3, deleted: 2 })
    const [after] = await search('-k', '600')
    expect(after?.hits).toHaveLength(598)
    expect(after?.hits.map(({ id }) => id)).not.toContain('doc-7')
  })

  it('is compacted, verified, moved to a new seed, and leaves', async () => {
    const files = (): number =>
      readdirSync(site.at('vectors/segments')).reduce(
        (sum, name) => sum + statSync(site.at(`vectors/segments/${name}`)).size,
        0,
      )
    const before = files()
    const { space } = (await good('compact', 'docs')) as { space: { bytes: number; live: number } }
    expect(space.bytes).toBe(files())
    expect(files()).toBeLessThanOrEqual(before)
    expect(space.live).toBeGreaterThan(0.75 * files())
    expect(await good('verify', 'docs')).toMatchObject({ ok: true, records: 598, faults: [] })
    const both = ['--seed', 'seed-2.json']
    expect(await good('rotate', 'docs', ...both)).toMatchObject({ epoch: 2, retired: [1] })
    expect(files()).toBeLessThan(1.2 * space.bytes)
    const old = await run('search', 'docs', '--query', 'query.json', '--json')
    expect([old.code, error(old)]).toMatchObject([3, { code: 'EPOCH_UNKNOWN' }])
    const keys = [...STORE, ...both]
    for (const out of ['left.jsonl', 'left.npy']) {
      const { code, stderr } = await site.run(['export', 'docs', '--out', out, ...keys])
      expect(code, stderr).toBe(0)
      expect(statSync(site.at(out)).mode & 0o777).toBe(0o600)
    }
    const left = readFileSync(site.at('left.jsonl'), 'utf8').trim().split('\n')
    const byId = (a: string, b: string): number => (a < b ? -1 : 1)
    const expected = lines(0, 600).trim().split('\n')
    expect(left.toSorted(byId)).toEqual(
      expected.filter((_, i) => i !== 7 && i !== 8).toSorted(byId),
    )
    const again = await site.run(['export', 'docs', '--out', 'left.npy', ...keys, '--json'])
    expect([again.code, error(again)]).toMatchObject([3, { code: 'CONFIG' }])
  })

  it('shows its state without a key, and is dropped by its name only', async () => {
    const keyless = { login: false }
    const state = await site.run(['state', 'docs', ...STORE, '--json'], keyless)
    expect(JSON.parse(state.stdout)).toMatchObject({
      info: { name: 'docs', dimensions: DIMENSIONS, fields: ['lang'] },
      records: 598,
      epochs: [{ epoch: 2 }],
    })
    const drop = ['drop', 'docs', ...STORE]
    const wrong = await site.run([...drop, '--confirm', 'doc'], keyless)
    expect(wrong.code).toBe(3)
    const unasked = await site.spawn(drop, keyless)
    expect([unasked.code, unasked.stderr]).toEqual([
      3,
      expect.stringMatching(/no terminal[\s\S]*hint:.*--confirm docs/),
    ])
    const done = await site.run([...drop, '--confirm', 'docs'], keyless)
    expect([done.code, done.stdout]).toEqual([0, 'dropped: docs, 598 vectors\n'])
    const list = await site.run(['state', ...STORE], keyless)
    expect(list.stdout).toBe('no collection\n')
    expect(readdirSync(site.at('vectors/segments'))).toEqual([])
  })
})

describe('at a terminal', () => {
  it('the PIN is asked for unseen, and the name of what is dropped is asked for twice', async () => {
    const at = (...args: string[]): ReturnType<typeof openTerminal> =>
      openTerminal(keyrite('embeddings', ...args, ...STORE), {
        env: personalEnv(site.env),
        cwd: site.dir,
      })
    const pin = readFileSync(site.at('login'), 'utf8').trim()
    await using creating = at('create', 'gone', '--dimensions', '3', ...SEED)
    await creating.expect('PIN')
    creating.type(`${pin}\r`)
    await creating.expect('collection gone is there')
    expect(await creating.exited).toBe(0)
    expect(creating.output).not.toContain(pin)
    await using dropping = at('drop', 'gone')
    await dropping.expect('0 vectors of gone')
    await dropping.expect('type the name')
    dropping.type('gon\r')
    await dropping.expect('that is not its name')
    await dropping.expect('type the name')
    dropping.type('gone\r')
    await dropping.expect('dropped: gone')
    expect(await dropping.exited).toBe(0)
  })
})

describe('a refusal', () => {
  beforeAll(async () => {
    await good('create', 'small', '--dimensions', '3')
  })

  it.each([
    ['a store that is not there', ['state', '--store', 'none'], 3, 'STORE_UNAVAILABLE'],
    ['an unknown collection', ['state', 'none', ...STORE], 3, 'COLLECTION_NOT_FOUND'],
    ['no store', ['state'], 2, 'USAGE'],
    [
      'a bad name',
      ['create', 'No', '--dimensions', '3', ...STORE, ...SEED],
      3,
      'COLLECTION_INVALID',
    ],
    [
      'a name that is taken',
      ['create', 'small', '--dimensions', '3', ...STORE, ...SEED],
      3,
      'COLLECTION_EXISTS',
    ],
    [
      'unsafe parameters',
      [
        'create',
        'x',
        '--dimensions',
        '3000',
        '--parameters',
        'bgv-n2048-q51-t17-b1',
        ...STORE,
        ...SEED,
      ],
      3,
      'PARAMETERS_UNSAFE',
    ],
    [
      'unknown parameters',
      ['create', 'x', '--dimensions', '3', '--parameters', 'ckks', ...STORE, ...SEED],
      3,
      'PARAMETERS_UNKNOWN',
    ],
    ['another seed', ['get', 'small', 'a', ...STORE, '--seed', 'other-1.json'], 3, 'KEY_MISMATCH'],
    ['no seed', ['get', 'small', 'a', ...STORE], 2, 'USAGE'],
    [
      'a seed file that is none',
      ['get', 'small', 'a', ...STORE, '--seed', 'query.json'],
      3,
      'FORMAT',
    ],
    [
      'a kit without room for its noise',
      ['kit', 'small', '--out', 'kit', '--store', 'vectors', ...SEED],
      3,
      'PARAMETERS_UNSAFE',
    ],
    [
      'a query of another length',
      ['search', 'small', '--query', 'query.json', ...STORE, ...SEED],
      3,
      'VECTOR_INVALID',
    ],
    [
      'a filter on no field',
      ['search', 'small', '--query', 'q3', '--filter', 'a=b', ...STORE, ...SEED],
      3,
      'FILTER_INVALID',
    ],
  ])('of %s', async (_, args, code, name) => {
    site.put('q3', '[1,2,3]')
    const login = args.includes('--seed')
    const ran = await site.run([...args, '--json'], { login })
    expect([ran.code, error(ran)], ran.stderr).toMatchObject([code, { code: name }])
    expect(readdirSync(site.dir)).not.toContain('kit')
  })

  it.each([
    ['a file', 'query.json', /a store is a directory, and this is a file/],
    ['a path through a file', 'query.json/store', /a store is a directory/],
    ['a directory of other things', 'letters', /the directory is not an embedding store/],
  ])('of %s as a store is bad input, whoever asks', async (_, store, pattern) => {
    mkdirSync(site.at('letters'), { recursive: true })
    site.put('letters/letter.txt', 'dear')
    for (const args of [
      ['state'],
      ['drop', 'x', '--confirm', 'x'],
      ['create', 'x', '--dimensions', '3', ...SEED],
      ['get', 'x', 'a', ...SEED],
      ['verify', 'x', ...SEED],
    ]) {
      const ran = await site.run([...args, '--store', store], { login: false })
      expect([args[0], ran.code, ran.stderr]).toEqual([args[0], 3, expect.stringMatching(pattern)])
    }
    expect(readdirSync(site.at('letters'))).toEqual(['letter.txt'])
  })

  it.each([
    ['query.json', 'query.json, query 1', '64 numbers'],
    ['q-mixed', 'q-mixed, query 2', '2 numbers'],
  ])(
    'of a query of another length comes before the PIN and names it (%s)',
    async (file, where, got) => {
      site.put('q-mixed', '[1,2,3]\n[1,2]\n')
      const args = ['search', 'small', '--query', file, ...STORE, ...SEED, '--json']
      const ran = await site.run(args, { login: false })
      const expected = '3 numbers, as the vectors of the collection'
      expect([ran.code, error(ran)]).toEqual([
        3,
        expect.objectContaining({ code: 'VECTOR_INVALID', where, expected, got }),
      ])
    },
  )

  it.each([
    ['none', 'CONFIG', 'no such file', 3],
    ['.', 'CONFIG', 'a directory', 3],
    ['blank', 'USAGE', 'a file without a line', 2],
  ])('of a file of ids says which it is and why: %s', async (file, code, got, exit) => {
    site.put('blank', '\n')
    for (const command of ['get', 'delete']) {
      const args = [command, 'small', '--ids', file, ...STORE, ...SEED, '--json']
      const ran = await site.run(args, { login: false })
      expect([ran.code, error(ran)]).toEqual([
        exit,
        expect.objectContaining({ code, where: file, got }),
      ])
    }
  })

  it('of the index of another program is bad input, not a fault within', async () => {
    mkdirSync(site.at('foreign'), { recursive: true })
    const database = new DatabaseSync(site.at('foreign/index.sqlite'))
    database.exec('CREATE TABLE letters (text)')
    database.close()
    for (const args of [['state'], ['create', 'x', '--dimensions', '3', ...SEED]]) {
      const ran = await site.run([...args, '--store', 'foreign', '--json'], { login: false })
      expect([ran.code, error(ran)]).toEqual([
        3,
        expect.objectContaining({ code: 'CONFIG', got: 'a database of another program' }),
      ])
    }
    expect(readdirSync(site.at('foreign'))).toEqual(['index.sqlite'])
  })

  it.each([
    ['state'],
    ['create', 'x', '--dimensions', '3', ...SEED],
    ['work'],
    ['serve', '--listen', 'unix:scorer.sock'],
    ['search', 'x', '--query', 'query.json', '--scorer', 'queue', ...SEED],
  ])('of a database that cannot be reached names it: %s', async (...args) => {
    const store = ['--store', 'postgres://u@127.0.0.1:1/db']
    const ran = await site.run([...args, ...store, '--json'], { login: false })
    expect([ran.code, error(ran)]).toEqual([
      3,
      expect.objectContaining({
        code: 'STORE_UNAVAILABLE',
        message: 'PostgreSQL cannot be reached',
        where: '127.0.0.1:1',
        got: 'ECONNREFUSED: nobody listens there',
      }),
    ])
    expect(readdirSync(site.dir)).not.toContain('scorer.sock')
  })

  it('of a creation leaves no store behind', async () => {
    const create = ['create', 'x', '--store', 'new/store', '--seed', 'seed-1.json']
    for (const [args, code] of [
      [['--dimensions', '9000'], 3],
      [['--dimensions', '3', '--parameters', 'ckks'], 3],
      [['--dimensions', '3', '--metric', 'squared-l2'], 3],
      [['--dimensions', '3', '--filter-field', 'a', '--filter-field', 'a'], 3],
      [['--dimensions', '3', '--seed', 'query.json'], 3],
    ] as const) {
      const ran = await site.run([...create, ...args])
      expect([args, ran.code]).toEqual([args, code])
      expect(readdirSync(site.dir)).not.toContain('new')
    }
    const wrong = await site.spawn([...create, '--dimensions', '3', '--login-fd', '0'], {
      ...{ input: `${'7'.repeat(64)}\n`, login: false },
    })
    expect([wrong.code, readdirSync(site.dir).includes('new')]).toEqual([4, false])
    const made = await site.run([...create, '--dimensions', '3'])
    expect([made.code, readdirSync(site.at('new/store'))]).toEqual([
      0,
      expect.arrayContaining(['index.sqlite', 'segments']),
    ])
  })

  it('of a seed names its file, and those of all that were given', async () => {
    const args = ['get', 'small', 'a', ...STORE, '--seed', 'other-1.json', '--seed', 'seed-2.json']
    const { stderr } = await site.run(args)
    expect(stderr.replace(/\s+/g, ' ')).toContain(
      'where: other-1.json (epoch 1), seed-2.json (epoch 2): small, epoch 1',
    )
  })

  it('of damage names the place, and search refuses to rank it', async () => {
    site.put(
      'three.jsonl',
      [0, 1, 2].map((i) => JSON.stringify({ id: `${i}`, vector: [1, i, 0] })).join('\n'),
    )
    site.put(
      'many.jsonl',
      Array.from({ length: 300 }, (_, i) =>
        JSON.stringify({ id: `${i}`, vector: [1, i, i % 7] }),
      ).join('\n'),
    )
    await good('import', 'small', '--in', 'many.jsonl')
    const files = readdirSync(site.at('vectors'), { recursive: true, encoding: 'utf8' })
    const segment = files
      .map((name) => site.at(`vectors/${name}`))
      .find((path) => statSync(path).size > 10_000 && !/sqlite|db/.test(path))!
    const bytes = readFileSync(segment)
    bytes[bytes.length >> 1]! ^= 1
    site.put(segment.slice(site.dir.length + 1), bytes)
    const verified = await run('verify', 'small', '--json')
    expect(verified.code, verified.stdout).toBe(5)
    const { ok, faults } = JSON.parse(verified.stdout) as {
      ok: boolean
      faults: { where: string }[]
    }
    expect(ok, verified.stdout).toBe(false)
    expect(faults.length).toBeGreaterThan(0)
    const searched = await run('search', 'small', '--query', 'q3', '--json')
    expect([searched.code, error(searched)]).toMatchObject([5, { name: 'EmbeddingError' }])
  })

  it('of a wrong PIN comes from the token, and no PIN or seed is in any output', async () => {
    const pin = readFileSync(site.at('login'), 'utf8').trim()
    const ran = await site.spawn(['get', 'small', '1', ...STORE, ...SEED, '--login-fd', '0'], {
      input: `${'7'.repeat(64)}\n`,
      login: false,
    })
    expect([ran.code, ran.stderr]).toEqual([4, expect.stringContaining('CKR_PIN_INCORRECT')])
    // Which token's, where there are several.
    expect(ran.stderr).toMatch(/where: +pkcs11:.*serial=[0-9a-f]{16}/)
    expect(ran.stdout + ran.stderr).not.toContain('7777')
    const fine = await run('get', 'small', '1')
    expect(fine.code).toBe(0)
    expect(fine.stdout + fine.stderr).not.toContain(pin)
  })
})
