/** One HTTP/2 stream of a scorer's server: what is known of it, and what is sent on it. */
import { type IncomingHttpHeaders, type ServerHttp2Stream, constants } from 'node:http2'

import { utf8 } from '../bytes.ts'
import type { Gate, ScorerLimits } from './scorer-limits.ts'
import type { ScorerMetrics } from './scorer-metrics.ts'
import { incoming, outgoing } from './scorer-server-flow.ts'
import { Refusal } from './scorer-server-route.ts'
import type { Scorer } from './types.ts'
import {
  type ByteSource,
  type FrameParts,
  PROBLEM_MEDIA_TYPE,
  WIRE_MEDIA_TYPE,
  byteSource,
  encodeProblem,
  problemOf,
} from './wire.ts'
import { untilEnded } from './wire-wait.ts'

/** Seconds after which a refused client may come again. */
const RETRY_AFTER = '1'

/** What a request did; for tracing and access logs. Holds no content. */
export interface RequestEvent {
  readonly method: string
  /** Path with its parameters as names; `_OTHER` for unknown ones. */
  readonly route: string
  readonly collection: string | undefined
  readonly status: number
  /** Code of the error, also of one that came up after the status was sent. */
  readonly code: string | undefined
  readonly durationMs: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly queries: number | undefined
  /** Header `traceparent` of W3C Trace Context, where it was valid. */
  readonly traceparent: string | undefined
}

/** What all requests of a server share. */
export interface Served {
  readonly scorer: Scorer
  readonly limits: ScorerLimits
  readonly scans: Gate
  readonly reads: Gate
  readonly metrics: ScorerMetrics
  /** Fires when requests under way must end. */
  readonly killed: AbortSignal
  /** Why the server is not ready; undefined: it is. */
  readonly notReady: () => Promise<string | undefined>
  readonly onRequest: (event: RequestEvent) => void
  readonly onError: (error: unknown) => void
}

/** A request under way. */
export interface Exchange {
  readonly stream: ServerHttp2Stream
  readonly headers: IncomingHttpHeaders
  readonly served: Served
  /** Ends the request: its client is gone, its time over, or the server closed. */
  signal: AbortSignal
  /** What must be over before the request's place is given to another. */
  readonly late: Promise<unknown>[]
  /** In the midst of a frame nothing else can be said any more. */
  inFrame: boolean
  requestBytes: number
  responseBytes: number
  /** 0: none was sent. */
  status: number
  code: string | undefined
  queries: number | undefined
}

function respond(of: Exchange, status: number, type: string, more: Record<string, string> = {}) {
  of.status = status
  of.stream.respond({
    ':status': status,
    'content-type': type,
    'cache-control': 'no-store',
    ...more,
  })
}

/**
 * Keeps the request's place until the promise is settled, without holding up its answer. Before the
 * request ended its error is that of the request, and told there.
 */
export function keepFor(of: Exchange, promise: Promise<unknown>): void {
  of.late.push(
    promise.catch((error: unknown) => {
      if (of.signal.aborted && problemOf(error).inside) of.served.onError(error)
    }),
  )
}

/** Sends frames; the next one is asked for when the one before it is on its way. */
export async function sendFrames(
  of: Exchange,
  frames: AsyncGenerator<FrameParts, void> | Generator<FrameParts, void>,
): Promise<void> {
  try {
    for (;;) {
      const next = await untilEnded(Promise.resolve(frames.next()), of.signal)
      if (next.done === true) break
      if (!of.stream.headersSent) respond(of, 200, WIRE_MEDIA_TYPE)
      of.inFrame = true
      for (const part of next.value) {
        of.responseBytes += part.length
        await outgoing(of.stream, part, of.served.limits.stallTimeoutMs, of.signal)
      }
      of.inFrame = false
    }
  } finally {
    // Ends the scan behind it. A scorer that is deaf to its signal must not hold up the answer.
    keepFor(of, Promise.resolve(frames.return()))
  }
}

/** A whole answer. */
export function sendText(
  of: Exchange,
  status: number,
  type: string,
  text: string,
  more?: Record<string, string>,
): void {
  const body = utf8(text)
  respond(of, status, type, { 'content-length': String(body.length), ...more })
  of.responseBytes += body.length
  of.stream.end(body)
}

/** The body of the request. */
export function bodyOf(of: Exchange, what: string): ByteSource {
  const { stallTimeoutMs, maxRequestBytes } = of.served.limits
  const chunks = incoming(of.stream, stallTimeoutMs, of.signal, (n) => (of.requestBytes += n))
  return byteSource(chunks, { what, maxBytes: maxRequestBytes })
}

/** Tells the client, if it can still be told. */
export function sendError(of: Exchange, error: unknown): void {
  const { stream } = of
  const { problem, inside } =
    error instanceof Refusal ? { problem: error.problem, inside: false } : problemOf(error)
  of.code = problem.code
  if (inside) of.served.onError(error)
  if (stream.closed || stream.destroyed) return
  if (!stream.headersSent) {
    const retry = problem.status === 503 ? { 'retry-after': RETRY_AFTER } : {}
    const more = error instanceof Refusal ? error.headers : retry
    sendText(of, problem.status, PROBLEM_MEDIA_TYPE, JSON.stringify(problem), more)
  } else if (of.inFrame) {
    stream.close(constants.NGHTTP2_CANCEL)
  } else {
    const frame = encodeProblem(problem)
    of.responseBytes += frame.length
    stream.end(frame)
  }
}

/** Waits until the answer has left, and for no slow reader longer than the bound. */
export async function finish({ stream, served }: Exchange): Promise<void> {
  if (stream.destroyed) return
  stream.end()
  // What is left of a refused body is dropped.
  stream.resume()
  const timer = setTimeout(
    () => stream.close(constants.NGHTTP2_CANCEL),
    served.limits.stallTimeoutMs,
  )
  await new Promise<void>((resolve) => {
    if (stream.writableFinished || stream.destroyed) resolve()
    stream.once('finish', resolve).once('close', resolve)
  })
  clearTimeout(timer)
  // RFC 9113 §8.1: a complete answer may end a request that is not complete, with NO_ERROR.
  if (!stream.endAfterHeaders && !stream.readableEnded) stream.destroy()
}
