/** The items of an import up to the first fault: what comes before it is made durable, then it is told. */
import { EmbeddingError } from '../errors.ts'
import type { Ingest, Inserted, Item } from '../he/index.ts'

/** Why an input was not read to its end. */
export interface Fault {
  readonly error: unknown
}

/** What an insertion did; with a fault, how many items came before it. */
export type UntilFault =
  (Inserted & { readonly fault?: undefined }) | { readonly items: number; readonly fault: Fault }

/**
 * Inserts items until the source ends or fails, an item is refused, or a stop is asked for. All items before that
 * are durable when it returns.
 * @param source - begins to read; its errors are faults of the input
 * @param onProgress - called with the number of items that are durable
 * @throws what {@link Ingest.insert} throws, except about one item
 */
export async function insertUntilFault(
  ingest: Ingest,
  source: () => AsyncIterable<Item>,
  signal: AbortSignal,
  onProgress: (done: number) => void,
): Promise<UntilFault> {
  /** Handed out and not durable yet, by id as in a block: of several the last one counts. */
  const waiting = new Map<string, Item>()
  /** The item handed out last, and the one it took the place of. */
  let last: Item | undefined
  let replaced: Item | undefined
  let fault: Fault | undefined
  const note = (done: number): void => {
    waiting.clear()
    onProgress(done)
  }
  async function* items(): AsyncGenerator<Item> {
    try {
      for await (const item of source()) {
        if (signal.aborted) return
        last = item
        replaced = waiting.get(item.id)
        waiting.set(item.id, item)
        yield item
      }
    } catch (error) {
      // A stream that we ended ourselves reports that as an error.
      if (!signal.aborted) fault = { error }
    }
  }
  try {
    const inserted = await ingest.insert(items(), { onProgress: note })
    return fault === undefined ? inserted : { items: inserted.items, fault }
  } catch (error) {
    // An item is refused as soon as it is handed out.
    if (!(error instanceof EmbeddingError) || error.index === undefined) throw error
    if (last !== undefined) waiting.delete(last.id)
    if (replaced !== undefined) waiting.set(replaced.id, replaced)
    if (waiting.size > 0) await ingest.insert(waiting.values())
    note(error.index)
    return { items: error.index, fault: { error } }
  }
}
