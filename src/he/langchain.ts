/**
 * LangChain.js over an encrypted collection: a `VectorStore` whose texts, metadata and vectors are in the
 * encrypted records. `@langchain/core` is an optional peer that only this file loads, when it is called.
 */
import { randomUUID } from 'node:crypto'

import type { DocumentInterface } from '@langchain/core/documents'
import type { EmbeddingsInterface } from '@langchain/core/embeddings'
import type { VectorStore } from '@langchain/core/vectorstores'

import { ConfigError, EmbeddingError } from '../errors.ts'
import { DEFAULT_CONTENT_FIELD, fromItem, toItem } from './langchain-document.ts'
import type { Ingest } from './ingest.ts'
import type { KeyHolder } from './key-holder.ts'
import type { SearchOptions } from './search.ts'
import type { EmbeddingStore } from './store.ts'
import type { Scorer } from './types.ts'

/** For {@link createLangChainStore}. */
export interface LangChainStoreOptions {
  readonly keyHolder: KeyHolder
  readonly store: EmbeddingStore
  readonly scorer: Scorer
  /** Name of a collection that exists. */
  readonly collection: string
  readonly embeddings: EmbeddingsInterface
  /** Adds documents through this one; default: the key holder's own. The caller disposes of it. */
  readonly ingest?: Ingest | undefined
  /** Metadata field of a record that holds a document's text; default `pageContent`. */
  readonly contentField?: string | undefined
  /** See {@link SearchOptions.overFetch}. */
  readonly overFetch?: number | undefined
}

/** Values by metadata field, of the fields the collection was made with; all must match. */
export type LangChainFilter = NonNullable<SearchOptions['filter']>

/** What `addVectors` and `addDocuments` take beside the documents. */
export interface LangChainAddOptions {
  /** Default: the documents' own ids, else random ones. An id that is there already is replaced. */
  readonly ids?: readonly string[] | undefined
}

/** Hits that are near the query and not like each other. */
export interface LangChainDiverseOptions {
  /** Documents wanted. */
  readonly k: number
  /** Nearest documents that they are chosen from; default 20. */
  readonly fetchK?: number | undefined
  /** 1: nearness alone counts, 0: only difference does; default 0.5. */
  readonly lambda?: number | undefined
  readonly filter?: LangChainFilter | undefined
}

/** A LangChain vector store with the types of this one. */
export interface LangChainStore extends VectorStore {
  FilterType: LangChainFilter
  addVectors(
    vectors: readonly (readonly number[])[],
    documents: readonly DocumentInterface[],
    options?: LangChainAddOptions,
  ): Promise<string[]>
  addDocuments(
    documents: readonly DocumentInterface[],
    options?: LangChainAddOptions,
  ): Promise<string[]>
  maxMarginalRelevanceSearch(
    query: string,
    options: LangChainDiverseOptions,
  ): Promise<DocumentInterface[]>
  /** @throws EmbeddingError ID_INVALID without ids: nothing deletes everything. */
  delete(parameters: { readonly ids: readonly string[] }): Promise<void>
}

/** Callers without types learn at once what they left out. @throws ConfigError. */
function requireParts(options: Partial<LangChainStoreOptions>): void {
  const { keyHolder, store, scorer, collection, embeddings } = options
  const parts = Object.entries({ keyHolder, store, scorer, collection, embeddings })
  const missing = parts.filter(([, part]) => part === undefined).map(([name]) => name)
  if (missing.length === 0) return
  throw new ConfigError('a LangChain store needs all of its parts', {
    where: 'createLangChainStore',
    expected: parts.map(([name]) => name).join(', '),
    got: `no ${missing.join(', ')}`,
  })
}

/** @throws ConfigError when the peer is not installed. */
async function langChain() {
  try {
    const [{ Document }, { maximalMarginalRelevance }, vectorStores] = await Promise.all([
      import('@langchain/core/documents'),
      import('@langchain/core/utils/math'),
      import('@langchain/core/vectorstores'),
    ])
    return { Document, maximalMarginalRelevance, Base: vectorStores.VectorStore }
  } catch (cause) {
    throw new ConfigError('LangChain is not installed', {
      where: '@langchain/core',
      expected: 'the package @langchain/core, an optional peer of keyrite',
      hint: 'npm install @langchain/core',
      cause,
    })
  }
}

const countMismatch = (where: string, expected: number, got: number): EmbeddingError =>
  new EmbeddingError('VECTOR_INVALID', 'not as many as there are documents', {
    where,
    expected: String(expected),
    got: String(got),
  })

/**
 * A vector store over a collection. Scores are the collection's: larger is closer, save with `squared-l2`,
 * whose scores are distances. What it was given (key holder, store, scorer) stays the caller's to dispose of.
 * @throws ConfigError when `@langchain/core` or an option is missing; EmbeddingError COLLECTION_NOT_FOUND.
 */
export async function createLangChainStore(
  options: LangChainStoreOptions,
): Promise<LangChainStore> {
  const { Base, Document, maximalMarginalRelevance } = await langChain()
  requireParts(options)
  const { keyHolder, store, scorer, collection, overFetch } = options
  const { contentField = DEFAULT_CONTENT_FIELD } = options
  await store.collection(collection)

  const documentOf = (item: Parameters<typeof fromItem>[0]): DocumentInterface =>
    new Document(fromItem(item, contentField))

  class KeyriteVectorStore extends Base {
    declare FilterType: LangChainFilter

    constructor() {
      super(options.embeddings, {})
    }

    override _vectorstoreType(): string {
      return 'keyrite'
    }

    override async addVectors(
      vectors: readonly (readonly number[])[],
      documents: readonly DocumentInterface[],
      { ids }: LangChainAddOptions = {},
    ): Promise<string[]> {
      const { length } = documents
      if (vectors.length !== length) throw countMismatch('vectors', length, vectors.length)
      if (ids !== undefined && ids.length !== length) throw countMismatch('ids', length, ids.length)
      const named = documents.map((document, i) => ids?.[i] ?? document.id ?? randomUUID())
      const items = documents.map((document, i) =>
        toItem(document, named[i] ?? '', vectors[i] ?? [], contentField),
      )
      if (options.ingest !== undefined) {
        await options.ingest.insert(items)
      } else {
        await using own = await keyHolder.ingest(store, collection)
        await own.insert(items)
      }
      return named
    }

    override async addDocuments(
      documents: readonly DocumentInterface[],
      add?: LangChainAddOptions,
    ): Promise<string[]> {
      const texts = documents.map(({ pageContent }) => pageContent)
      return this.addVectors(await this.embeddings.embedDocuments(texts), documents, add)
    }

    override async delete(parameters?: { readonly ids?: readonly string[] }): Promise<void> {
      if (!Array.isArray(parameters?.ids)) {
        throw new EmbeddingError('ID_INVALID', 'no ids to delete are given', {
          where: 'delete',
          expected: '{ ids: [...] }',
        })
      }
      await keyHolder.delete(store, collection, parameters.ids as readonly string[])
    }

    override async similaritySearchVectorWithScore(
      query: readonly number[],
      k: number,
      filter?: LangChainFilter,
    ): Promise<[DocumentInterface, number][]> {
      const search: SearchOptions = { k, filter, overFetch, withMetadata: true }
      const hits = await keyHolder.search(scorer, collection, query, search)
      return hits.map((hit) => [documentOf(hit), hit.score])
    }

    override async maxMarginalRelevanceSearch(
      query: string,
      { k, fetchK = 20, lambda = 0.5, filter }: LangChainDiverseOptions,
    ): Promise<DocumentInterface[]> {
      const vector = await this.embeddings.embedQuery(query)
      const wide = { k: Math.max(k, fetchK), filter, overFetch }
      const hits = await keyHolder.search(scorer, collection, vector, wide)
      const ids = hits.map(({ id }) => id)
      // One that was deleted since the search is no hit any more.
      const items = (await keyHolder.get(store, collection, ids)).filter((one) => one !== undefined)
      const vectors = items.map((item) => Array.from(item.vector))
      const chosen = maximalMarginalRelevance(vector, vectors, lambda, k)
      return chosen.flatMap((at) => {
        const item = items[at]
        return item === undefined ? [] : [documentOf(item)]
      })
    }
  }
  return new KeyriteVectorStore()
}
