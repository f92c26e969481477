/** Bytes in and out of one HTTP/2 stream, each wait with a bound: a stalled peer costs a stream, not more. */
import type { ServerHttp2Stream } from 'node:http2'

import { EmbeddingError } from '../errors.ts'
import { endedError } from './deadline.ts'
import { untilEnded } from './wire-wait.ts'

function stalled(what: string, stallMs: number): EmbeddingError {
  return new EmbeddingError('DEADLINE_EXCEEDED', `the client ${what} nothing for too long`, {
    expected: `something every ${stallMs} ms`,
  })
}

/** Fails unless it is over in time. */
async function within<T>(
  promise: Promise<T>,
  what: string,
  stallMs: number,
  signal: AbortSignal,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(stalled(what, stallMs)), stallMs)
  try {
    return await untilEnded(Promise.race([promise, late]), signal)
  } finally {
    clearTimeout(timer)
  }
}

/** The body as it comes in; leaves the stream open for the answer. `onBytes` counts. */
export async function* incoming(
  stream: ServerHttp2Stream,
  stallMs: number,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void> {
  const chunks = stream.iterator({ destroyOnReturn: false })
  for (;;) {
    const next = (await within(chunks.next(), 'sends', stallMs, signal)) as IteratorResult<
      Uint8Array,
      undefined
    >
    if (next.done === true) return
    onBytes(next.value.length)
    yield next.value
  }
}

const gone = (): EmbeddingError => new EmbeddingError('ABORTED', 'the client is gone')

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (act: () => void) => () => {
      stream.off('drain', onDrain).off('close', onClose)
      act()
    }
    const onDrain = over(resolve)
    const onClose = over(() => reject(gone()))
    stream.on('drain', onDrain).on('close', onClose)
  })
}

/** Writes and waits while the client is slower: no more than this part and 16 KiB are held for it. */
export async function outgoing(
  stream: ServerHttp2Stream,
  part: Uint8Array,
  stallMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw endedError(signal)
  if (stream.closed || stream.destroyed) throw gone()
  if (!stream.write(part)) await within(drained(stream), 'takes', stallMs, signal)
}
