/** The items of an import up to the first fault: what comes before it is made durable, then it is told. */
import { EmbeddingError } from '../errors.ts'
import type { Ingest, Inserted, Item } from '../he/index.ts'

/** Why an input was not read to its end. */
export interface Fault {
  readonly error: unknown
}

/** What came before the fault, and the fault. */
export interface UntilFault extends Inserted {
  readonly fault: Fault | undefined
}

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
  /** Handed out and not durable yet: at most one block. */
  let waiting: Item[] = []
  let durable = 0
  let fault: Fault | undefined
  const note = (done: number): void => {
    waiting = waiting.slice(done - durable)
    durable = done
    onProgress(done)
  }
  async function* items(): AsyncGenerator<Item> {
    try {
      for await (const item of source()) {
        if (signal.aborted) return
        waiting.push(item)
        yield item
      }
    } catch (error) {
      // A stream that we ended ourselves reports that as an error.
      if (!signal.aborted) fault = { error }
    }
  }
  try {
    return { ...(await ingest.insert(items(), { onProgress: note })), fault }
  } catch (error) {
    if (!(error instanceof EmbeddingError) || error.index === undefined) throw error
    const { index } = error
    const start = durable
    const before = waiting.slice(0, index - start)
    const { replaced } = await ingest.insert(before, { onProgress: (done) => note(start + done) })
    return { items: index, replaced, fault: { error } }
  }
}
