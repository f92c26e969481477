/** A key holder for one command: seeds from the HSM, opened, used, wiped. */
import { wipe } from '../bytes.ts'
import { EmbeddingError, type EmbeddingErrorCode } from '../errors.ts'
import type { EmbeddingStore, KeyHolder } from '../he/index.ts'
import type { Invocation } from './command.ts'
import { type EmbeddingKeyOptions, openEmbeddingKeys } from './embedding-keys.ts'
import { ofFile } from './embeddings-file.ts'
import { type StoreOptions, openCliStore } from './embeddings-store.ts'
import { embeddingLibrary } from './libraries.ts'

/** Options of a command that needs keys and a store. */
export interface HolderOptions extends StoreOptions, EmbeddingKeyOptions {}

/** What a wrong or missing seed file leads to. */
const SEED_FAULTS: ReadonlySet<EmbeddingErrorCode> = new Set(['KEY_MISMATCH', 'EPOCH_UNKNOWN'])

/** Runs `use` with the key holder of the seeds that the options name. */
export async function withKeyHolder<T>(
  { options, output, io }: Pick<Invocation<EmbeddingKeyOptions>, 'options' | 'output' | 'io'>,
  use: (holder: KeyHolder) => Promise<T>,
): Promise<T> {
  const { createKeyHolder } = await embeddingLibrary()
  await using keys = await openEmbeddingKeys(options, output.side, io)
  await using holder = await createKeyHolder({ seeds: keys.seeds })
  // The key holder has its own copies.
  for (const { seed } of keys.seeds) wipe(seed)
  try {
    return await use(holder)
  } catch (error) {
    const aboutSeeds = error instanceof EmbeddingError && SEED_FAULTS.has(error.code)
    throw aboutSeeds ? ofFile(error, keys.from) : error
  }
}

/**
 * Runs `use` with a key holder and a store. The store comes first: a wrong path is told before anybody types
 * a PIN.
 */
export async function withCollection<T>(
  invocation: Pick<Invocation<HolderOptions>, 'options' | 'output' | 'io'>,
  how: 'create' | 'write' | 'read',
  use: (holder: KeyHolder, store: EmbeddingStore) => Promise<T>,
): Promise<T> {
  await using store = await openCliStore(invocation.options, how)
  return await withKeyHolder(invocation, (holder) => use(holder, store))
}
