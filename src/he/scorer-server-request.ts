/** One request to a scorer's server: its turn, its call of the scorer, and what is told of it afterwards. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'

import type { Pass } from './scorer-limits.ts'
import {
  type Exchange,
  type Served,
  bodyOf,
  finish,
  keepFor,
  sendError,
  sendFrames,
  sendText,
} from './scorer-server-exchange.ts'
import { operation } from './scorer-server-operations.ts'
import {
  Refusal,
  type Route,
  checkHeaders,
  knownMethod,
  routeOf,
  timeoutOf,
  traceparentOf,
} from './scorer-server-route.ts'
import type { BlockScores, Scan } from './types.ts'
import {
  decodeRecordsRequest,
  decodeScanRequest,
  encodeRecordsResponse,
  encodeScan,
  encodeState,
  problem,
} from './wire.ts'
import { untilEnded } from './wire-wait.ts'

/** The scan, how many blocks were taken from it, and what ends it, begun or not. */
function counted(found: Scan) {
  const iterator = found.blocks[Symbol.asyncIterator]()
  let count = 0
  const blocks: AsyncIterableIterator<BlockScores> = {
    async next() {
      const next = await iterator.next()
      if (next.done !== true) count++
      return next
    },
    [Symbol.asyncIterator]: () => blocks,
  }
  const end = async (): Promise<void> => {
    await iterator.return?.()
  }
  return { scan: { ...found, blocks }, blocks: () => count, end }
}

async function scan(of: Exchange, { collection }: Route, pass: Pass): Promise<void> {
  const { served, signal } = of
  const request = await decodeScanRequest(bodyOf(of, 'scan request'), served.limits)
  of.queries = request.queries.length
  await pass.start(signal)
  const started = performance.now()
  const pending = served.scorer.scan(collection, request, { signal })
  const found = pending.then(counted)
  try {
    const { scan: started } = await untilEnded(found, signal)
    await sendFrames(of, encodeScan(started))
  } finally {
    // It may come when its request is over: then it ends at once.
    keepFor(
      of,
      found.then(({ end }) => end()),
    )
  }
  const { blocks } = await found
  const seconds = (performance.now() - started) / 1000
  served.metrics.scan({ queries: request.queries.length, blocks: blocks(), seconds })
}

async function records(of: Exchange, { collection }: Route, pass: Pass): Promise<void> {
  const { served, signal } = of
  const places = await decodeRecordsRequest(bodyOf(of, 'records request'), served.limits)
  await pass.start(signal)
  const found = served.scorer.records(collection, places, { signal })
  keepFor(of, found)
  await sendFrames(of, encodeRecordsResponse(await untilEnded(found, signal)))
}

async function state(of: Exchange, { collection }: Route, pass: Pass): Promise<void> {
  await pass.start(of.signal)
  const found = of.served.scorer.collection(collection, { signal: of.signal })
  keepFor(of, found)
  await sendFrames(of, encodeState(await untilEnded(found, of.signal)))
}

/** Goes in through the gate of its kind, and answers. */
async function call(of: Exchange, route: Route, enter: (pass: Pass) => Pass): Promise<void> {
  const { name } = route
  const { scans, reads } = of.served
  if (name === 'scan') return scan(of, route, enter(scans.enter()))
  if (name === 'records') return records(of, route, enter(reads.enter()))
  if (name === 'state') return state(of, route, enter(reads.enter()))
  const { status, type, text } = await operation(name, of.served)
  sendText(of, status, type, text)
}

function toldOf(of: Exchange, route: Route | undefined, method: string, started: number): void {
  const durationMs = performance.now() - started
  const { requestBytes, responseBytes, code, queries, headers } = of
  // Nobody got a status: 499, as proxies log it.
  const status = of.status === 0 ? 499 : of.status
  const template = route?.template ?? '_OTHER'
  const known = knownMethod(method)
  const counts = { method: known, route: template, status, code, requestBytes, responseBytes }
  of.served.metrics.request({ ...counts, seconds: durationMs / 1000 })
  of.served.onRequest({
    ...counts,
    collection: route?.collection === '' ? undefined : route?.collection,
    durationMs,
    queries,
    traceparent: traceparentOf(headers),
  })
}

function newExchange(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  served: Served,
  signal: AbortSignal,
): Exchange {
  return {
    stream,
    headers,
    served,
    signal,
    late: [],
    inFrame: false,
    requestBytes: 0,
    responseBytes: 0,
    status: 0,
    code: undefined,
    queries: undefined,
  }
}

/**
 * Answers a request; never rejects. Over when its call of the scorer is over, too.
 * @param admitted - whether the client's certificate is one of those that may ask
 */
export async function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  served: Served,
  admitted: boolean,
): Promise<void> {
  const started = performance.now()
  const gone = new AbortController()
  // A reset is an error of the stream, too; its `close` says all there is to do.
  stream.on('error', () => undefined).once('close', () => gone.abort())
  const method = String(headers[':method'])
  const route = routeOf(String(headers[':path']))
  const of = newExchange(stream, headers, served, gone.signal)
  let pass: Pass | undefined
  try {
    if (!admitted) throw new Refusal(problem(403, 'FORBIDDEN', 'this client is not admitted'))
    if (route === undefined) throw new Refusal(problem(404, 'NOT_FOUND', 'there is no such path'))
    checkHeaders(route, method, headers, served.limits)
    const time = AbortSignal.timeout(timeoutOf(headers, served.limits))
    of.signal = AbortSignal.any([gone.signal, time, served.killed])
    await call(of, route, (given) => (pass = given))
  } catch (error) {
    sendError(of, error)
  }
  await finish(of)
  toldOf(of, route, method, started)
  await Promise.allSettled(of.late)
  pass?.[Symbol.dispose]()
}
