/** One HTTP/2 request of a scorer's client: sent, answered, and ended whatever happens. */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { constants } from 'node:http2'

import { concat } from '../bytes.ts'
import { EmbeddingError, FormatError } from '../errors.ts'
import { endedError } from './deadline.ts'
import { type Connection, Lost } from './scorer-client-connection.ts'
import {
  type ByteSource,
  type FrameParts,
  PROBLEM_BYTES,
  WIRE_MEDIA_TYPE,
  byteSource,
  restoreProblemBody,
} from './wire.ts'
import { untilEnded } from './wire-wait.ts'

/** A query is sent in pieces, so that an early refusal spares the rest. */
const PIECE_BYTES = 256 * 1024

/** A request. */
export interface CallRequest {
  readonly headers: Readonly<Record<string, string>>
  /** None: a request without body. */
  readonly parts: FrameParts
  /** Names the answer in errors. */
  readonly what: string
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/** An answer with status 200, as it comes in. */
export interface CallAnswer extends Disposable {
  readonly source: ByteSource
}

/** Undefined when the stream is over. */
function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      stream.off('drain', over).off('close', over)
      resolve()
    }
    stream.on('drain', over).on('close', over)
  })
}

/** An answer may come before the end of this; then the rest is not sent. */
async function upload(stream: ClientHttp2Stream, parts: FrameParts): Promise<void> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) {
      if (stream.closed || stream.destroyed) return
      if (!stream.write(part.subarray(at, at + PIECE_BYTES))) await drained(stream)
    }
  }
  if (!stream.destroyed) stream.end()
}

interface Head {
  readonly status: number
  readonly type: string
}

function headOf(stream: ClientHttp2Stream, reason: () => unknown): Promise<Head> {
  return new Promise((resolve, reject) => {
    stream.once('response', (headers) =>
      resolve({
        status: Number(headers[':status']),
        type: String(headers['content-type']),
      }),
    )
    stream.once('close', () => reject(new Lost(reason())))
  })
}

/** Chunks of the body; a stream that breaks is lost, whatever its code says. */
async function* chunksOf(stream: ClientHttp2Stream): AsyncGenerator<Uint8Array, void> {
  try {
    yield* stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
  } catch (cause) {
    throw new Lost(cause)
  }
}

async function refusal(of: AsyncIterator<Uint8Array>, { status }: Head, name: string) {
  const parts: Uint8Array[] = []
  for (let size = 0; ;) {
    const next = await of.next()
    if (next.done === true) return restoreProblemBody(concat(...parts), name, status)
    parts.push(next.value)
    size += next.value.length
    // Too long for a problem: its status is all we take from it.
    if (size > PROBLEM_BYTES) return restoreProblemBody(new Uint8Array(), name, status)
  }
}

/**
 * @param name - the scorer, for errors
 * @throws Lost; EmbeddingError ABORTED, DEADLINE_EXCEEDED; what the scorer's refusal says.
 */
export async function callScorer(
  session: ClientHttp2Session,
  { headers, parts, what, maxBytes, signal }: CallRequest,
  name: string,
): Promise<CallAnswer> {
  if (signal.aborted) throw endedError(signal)
  let stream: ClientHttp2Stream
  try {
    stream = session.request(headers, { endStream: parts.length === 0 })
  } catch (cause) {
    // The session was closed in this very moment.
    throw new Lost(cause)
  }
  let reason: unknown
  stream.on('error', (error: unknown) => {
    reason = error
  })
  const cancel = () => stream.close(constants.NGHTTP2_CANCEL)
  signal.addEventListener('abort', cancel, { once: true })
  const end = () => {
    signal.removeEventListener('abort', cancel)
    if (!stream.destroyed) stream.destroy()
  }
  try {
    if (parts.length > 0) void upload(stream, parts)
    const head = await untilEnded(
      headOf(stream, () => reason),
      signal,
    )
    const chunks = chunksOf(stream)
    if (head.status !== 200) throw await untilEnded(refusal(chunks, head, name), signal)
    if (head.type !== WIRE_MEDIA_TYPE) {
      throw new FormatError('the answer is no message of a scorer', {
        where: name,
        expected: WIRE_MEDIA_TYPE,
      })
    }
    const source = byteSource(chunks, { what, maxBytes, cutShort: () => new Lost(reason) })
    return { source, [Symbol.dispose]: end }
  } catch (error) {
    end()
    throw error
  }
}

/** What a caller gets to see of an error. */
export function callerError(
  error: unknown,
  signal: AbortSignal | undefined,
  { target: { name }, closed }: Connection,
): unknown {
  // The stream breaks because the signal ended it.
  if (signal?.aborted === true) return endedError(signal)
  if (!(error instanceof Lost)) return error
  if (closed) return new EmbeddingError('CLOSED', 'the client was closed', { where: name })
  return new EmbeddingError('UNAVAILABLE', 'the scorer cannot be reached', {
    where: name,
    got: error.message,
    hint: error.hint ?? 'start it, or try again in a moment',
    cause: error.cause,
  })
}
