/** A place to try encrypted search in: a store in a throw-away directory, a key holder and a scorer. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type KeyHolder, createKeyHolder } from '../../src/he/key-holder.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { type LocalScorer, type ScorerOptions, createScorer } from '../../src/he/scorer.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import type { Item } from '../../src/he/types.ts'

/** See the file's comment. */
export interface Site extends AsyncDisposable {
  readonly directory: string
  readonly store: EmbeddingStore
  readonly holder: KeyHolder
  readonly scorer: LocalScorer
  /** The seed of epoch 1. */
  readonly seed: Uint8Array
}

/** A new directory, on tmpfs where there is one. */
export function scratch(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'keyrite-he-'))
}

/** Everything goes away on dispose. */
export async function site(options: Omit<ScorerOptions, 'store'> = {}): Promise<Site> {
  const directory = scratch()
  const store = await openEmbeddedStore(join(directory, 'store'), { create: true })
  const seed = randomBytes(32)
  const holder = await createKeyHolder({ seeds: [{ epoch: 1, seed }] })
  const scorer = createScorer({ store, ...options })
  return {
    directory,
    store,
    holder,
    scorer,
    seed,
    async [Symbol.asyncDispose]() {
      await scorer[Symbol.asyncDispose]()
      await holder[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Puts vectors in under the ids `v0`, `v1` ... */
export async function fill(
  { store, holder }: Pick<Site, 'store' | 'holder'>,
  name: string,
  vectors: Iterable<Float32Array>,
  metadata: (index: number) => Item['metadata'] = () => undefined,
): Promise<void> {
  await using ingest = await holder.ingest(store, name)
  const items = Iterator.from(vectors).map((vector, at): Item => ({
    id: `v${at}`,
    vector,
    metadata: metadata(at),
  }))
  await ingest.insert(items)
}

/** Does not say what a record replaces: as whoever has a kit and the store can. */
export const silent = (store: EmbeddingStore): EmbeddingStore => ({
  ...store,
  commit: (name, change) =>
    store.commit(name, {
      ...change,
      records: change.records?.map(({ replaces: _, ...record }) => record) ?? [],
    }),
})
