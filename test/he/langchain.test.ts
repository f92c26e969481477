/** The real LangChain over a real encrypted collection. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

import { Document } from '@langchain/core/documents'
import { Embeddings } from '@langchain/core/embeddings'
import { VectorStore } from '@langchain/core/vectorstores'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createLangChainStore, type LangChainStore } from '../../src/he/langchain.ts'
import { generator, normal } from './embeddings-data.ts'
import { type Site, scratch, site } from './site.ts'

const DIMENSIONS = 48

/** Words as directions: texts with words in common are close. */
class WordEmbeddings extends Embeddings {
  readonly #words = new Map<string, Float64Array>()
  readonly #next = normal(generator(7))

  constructor() {
    super({})
  }

  #vector(text: string): number[] {
    const sum = new Float64Array(DIMENSIONS)
    for (const word of text.toLowerCase().match(/\w+/g) ?? ['']) {
      let direction = this.#words.get(word)
      if (direction === undefined) {
        direction = Float64Array.from({ length: DIMENSIONS }, this.#next)
        this.#words.set(word, direction)
      }
      for (const [i, x] of direction.entries()) sum[i]! += x
    }
    return Array.from(sum)
  }

  override embedDocuments(texts: string[]): Promise<number[][]> {
    return Promise.resolve(texts.map((text) => this.#vector(text)))
  }

  override embedQuery(text: string): Promise<number[]> {
    return Promise.resolve(this.#vector(text))
  }
}

const TEXTS = [
  'the red fox jumps over a fence',
  'a red fox sleeps under the fence',
  'the stock market fell on monday',
  'bond market and stock market rise',
  'bread needs flour water and salt',
  'salt water is bad for bread dough',
]
const embeddings = new WordEmbeddings()
let place: Site
let chain: LangChainStore
let ids: string[]

beforeAll(async () => {
  place = await site()
  const { holder, store, scorer } = place
  const fields = ['topic', 'page']
  await holder.createCollection(store, { name: 'texts', dimensions: DIMENSIONS, fields })
  chain = await createLangChainStore({
    ...{ keyHolder: holder, store, scorer },
    collection: 'texts',
    embeddings,
  })
  ids = await chain.addDocuments(
    TEXTS.map(
      (pageContent, i) =>
        new Document({
          pageContent,
          metadata: {
            topic: ['animals', 'money', 'food'][Math.floor(i / 2)],
            page: i,
            loc: { lines: { from: i, to: i + 3 } },
            tags: ['a', i],
            none: null,
            gone: undefined,
          },
        }),
    ),
  )
})
afterAll(async () => place[Symbol.asyncDispose]())

const ask = 'fox at the red fence'

describe('a LangChain vector store', () => {
  it('is one, and says what it is', () => {
    expect(chain).toBeInstanceOf(VectorStore)
    expect(chain._vectorstoreType()).toBe('keyrite')
    expect(ids).toHaveLength(6)
    expect(new Set(ids).size).toBe(6)
    // Keys must not come along when a chain is written down.
    expect(JSON.stringify(chain)).not.toMatch(/seed|secret|directory/)
  })

  it('finds texts with their metadata as they were', async () => {
    const [[first, score] = [], [second] = []] = await chain.similaritySearchWithScore(ask, 2)
    expect(new Set([first?.pageContent, second?.pageContent])).toEqual(new Set(TEXTS.slice(0, 2)))
    expect(score).toBeGreaterThan(0.4)
    const at = TEXTS.indexOf(first!.pageContent)
    expect(first).toBeInstanceOf(Document)
    expect(first?.id).toBe(ids[at])
    expect(first?.metadata).toEqual({
      topic: 'animals',
      page: at,
      loc: { lines: { from: at, to: at + 3 } },
      tags: ['a', at],
      none: null,
    })
  })

  it('keeps texts and metadata encrypted in the store', () => {
    const files = execFileSync('find', [place.directory, '-type', 'f'], { encoding: 'utf8' })
    const found = files.trim().split('\n')
    expect(found.length).toBeGreaterThan(1)
    for (const path of found) {
      const bytes = readFileSync(path)
      for (const clear of ['red fox', 'animals', 'pageContent', ids[0]!]) {
        expect(bytes.includes(clear), `${path} holds ${clear}`).toBe(false)
      }
    }
  })

  it('filters', async () => {
    const money = await chain.similaritySearch(ask, 6, { topic: 'money' })
    expect(money.map(({ metadata }) => String(metadata['topic']))).toEqual(['money', 'money'])
    const some = await chain.similaritySearch(ask, 6, { topic: ['money', 'food'], page: [3, 4] })
    expect(some.map(({ metadata }) => metadata['page'] as number).toSorted()).toEqual([3, 4])
    await expect(chain.similaritySearch(ask, 1, { tags: 'a' })).rejects.toMatchObject({
      code: 'FILTER_INVALID',
    })
  })

  it('is a retriever, also with maximal marginal relevance', async () => {
    const near = await chain.asRetriever(2).invoke('market')
    expect(near.map(({ metadata }) => String(metadata['topic']))).toEqual(['money', 'money'])
    const spread = chain.asRetriever({
      k: 3,
      searchType: 'mmr',
      searchKwargs: { fetchK: 6, lambda: 0 },
    })
    const found = await spread.invoke('red fox fence')
    expect(new Set(found.map(({ metadata }) => metadata['topic'] as string)).size).toBeGreaterThan(
      1,
    )
    expect(found).toHaveLength(3)
    await spread.addDocuments([new Document({ id: 'late', pageContent: 'penguins on ice' })])
    const [late] = await chain.similaritySearch('penguins on ice', 1)
    expect(late).toEqual(new Document({ id: 'late', pageContent: 'penguins on ice' }))
  })

  it('finds texts that are near the query and not like each other', async () => {
    // Also a test of the types: the base class has this method as an optional one.
    const found = await chain.maxMarginalRelevanceSearch('red fox fence', { k: 2, lambda: 0 })
    expect(found).toHaveLength(2)
    expect(found[0]?.metadata['topic']).toBe('animals')
    expect(found[1]?.metadata['topic']).not.toBe('animals')
    const filter = { topic: 'money' }
    const money = await chain.maxMarginalRelevanceSearch('red fox fence', { k: 2, filter })
    expect(money.map(({ metadata }) => metadata['topic'] as unknown)).toEqual(['money', 'money'])
  })

  it('says which of its parts is missing', async () => {
    const { holder, store, scorer } = place
    const parts = { keyHolder: holder, store, scorer, collection: 'texts', embeddings }
    for (const name of Object.keys(parts)) {
      const making = createLangChainStore({ ...parts, [name]: undefined })
      await expect(making).rejects.toMatchObject({ code: 'CONFIG', got: `no ${name}` })
    }
  })

  it('filters by fields, not by a function that LangChain\u2019s own store takes', async () => {
    const filter = (() => false) as never
    const search = chain.similaritySearch('red fox', 1, filter)
    await expect(search).rejects.toMatchObject({ code: 'FILTER_INVALID', where: 'filter' })
  })

  it('takes vectors with ids, replaces, and deletes by id only', async () => {
    const vector = await embeddings.embedQuery('violet zebra')
    const document = new Document({ pageContent: 'one', metadata: {} })
    expect(await chain.addVectors([vector], [document], { ids: ['zebra'] })).toEqual(['zebra'])
    await chain.addVectors([vector], [new Document({ pageContent: 'two' })], { ids: ['zebra'] })
    const [[hit, score] = []] = await chain.similaritySearchVectorWithScore(vector, 1)
    expect([hit?.pageContent, hit?.id, score]).toEqual(['two', 'zebra', 1])
    await expect(chain.delete({} as { ids: string[] })).rejects.toMatchObject({
      code: 'ID_INVALID',
    })
    await chain.delete({ ids: ['zebra', 'never'] })
    const [after] = await chain.similaritySearch('violet zebra', 1)
    expect(after?.id).not.toBe('zebra')
  })

  it('takes documents through an ingest of the caller', async () => {
    const { holder, store, scorer } = place
    await using ingest = await holder.ingest(store, 'texts')
    const options = { keyHolder: holder, store, scorer, collection: 'texts', embeddings, ingest }
    const other = await createLangChainStore({ ...options, contentField: 'text' })
    await other.addDocuments([new Document({ pageContent: 'sled dogs', metadata: { page: 9 } })])
    const [found] = await other.similaritySearch('sled dogs', 1)
    expect([found?.pageContent, found?.metadata]).toEqual(['sled dogs', { page: 9 }])
    // Under another name the text is metadata like any other.
    const [raw] = await chain.similaritySearch('sled dogs', 1)
    expect([raw?.pageContent, raw?.metadata]).toEqual(['', { page: 9, text: 'sled dogs' }])
  })

  it('refuses what it cannot keep, before anything is written', async () => {
    const { records } = await place.store.collection('texts')
    const add = (metadata: Record<string, unknown>, vector = 1, id = ['x']): Promise<unknown> =>
      chain.addVectors(
        Array.from({ length: vector }, () => Array<number>(DIMENSIONS).fill(1)),
        [new Document({ pageContent: 'x', metadata })],
        { ids: id },
      )
    const loop: Record<string, unknown> = {}
    loop['self'] = loop
    for (const metadata of [
      { pageContent: 'y' },
      { loop },
      { big: 1n },
      { bad: NaN },
      { f: () => 1 },
    ]) {
      await expect(add(metadata)).rejects.toMatchObject({ code: 'METADATA_INVALID' })
    }
    await expect(add({}, 2)).rejects.toMatchObject({ code: 'VECTOR_INVALID', where: 'vectors' })
    await expect(add({}, 1, ['x', 'y'])).rejects.toMatchObject({ code: 'VECTOR_INVALID' })
    const options = {
      keyHolder: place.holder,
      store: place.store,
      scorer: place.scorer,
      embeddings,
    }
    await expect(createLangChainStore({ ...options, collection: 'none' })).rejects.toMatchObject({
      code: 'COLLECTION_NOT_FOUND',
    })
    expect((await place.store.collection('texts')).records).toBe(records)
  })
})

describe('without @langchain/core', () => {
  const home = scratch()
  afterAll(() => rmSync(home, { recursive: true, force: true }))

  it('the rest loads, and the adapter says what is missing', () => {
    const root = join(import.meta.dirname, '../..')
    cpSync(join(root, 'src'), join(home, 'src'), { recursive: true })
    mkdirSync(join(home, 'node_modules/@hpke'), { recursive: true })
    for (const name of ['hyparquet', 'node-seal', '@hpke/core', '@hpke/common', 'zod']) {
      symlinkSync(join(root, 'node_modules', name), join(home, 'node_modules', name))
    }
    const script = `
      await import('./src/he/index.ts')
      const { createLangChainStore } = await import('./src/he/langchain.ts')
      await createLangChainStore({}).catch((error) => process.stdout.write(JSON.stringify(error)))`
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: home,
      encoding: 'utf8',
    })
    expect(JSON.parse(said)).toMatchObject({
      name: 'ConfigError',
      where: '@langchain/core',
      hint: 'npm install @langchain/core',
    })
  })
})
