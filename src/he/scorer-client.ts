/**
 * A scorer behind a socket, as a {@link Scorer}. The server is not trusted: what it sends is bounded and
 * checked for its form here, and by its content at the key holder. It never gets a key or a plaintext.
 */
import { randomInt } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'

import { ConfigError, EmbeddingError } from '../errors.ts'
import { callSignal } from './deadline.ts'
import { type CallAnswer, type CallRequest, callScorer, callerError } from './scorer-client-call.ts'
import { type ScorerAddress, parseAddress } from './scorer-client-address.ts'
import { Lost, createConnection } from './scorer-client-connection.ts'
import type { BlockScores, CallOptions, Scan, Scorer } from './types.ts'
import {
  type ByteSource,
  type FrameParts,
  TIMEOUT_HEADER,
  WIRE_MEDIA_TYPE,
  decodeRecordsResponse,
  decodeScan,
  decodeState,
  encodeRecordsRequest,
  encodeScanRequest,
  isCollectionName,
} from './wire.ts'
import { untilEnded } from './wire-wait.ts'

export type { ClientTls, ScorerAddress } from './scorer-client-address.ts'

/** For {@link connectScorer}. All bounds are on what one answer may bring. */
export interface ScorerClientOptions {
  /** Of calls that set none; default 60,000. */
  readonly timeoutMs?: number
  /** Default 10,000. */
  readonly connectTimeoutMs?: number
  /** How often a request is made when the connection is lost before it is answered; default 3. */
  readonly attempts?: number
  /** Default 1,048,576. */
  readonly maxBlocks?: number
  /** Of a tail, or of records by place; default 1,048,576. */
  readonly maxRecords?: number
  /** Bytes of those; default 1 GiB. */
  readonly maxRecordBytes?: number
  /** Header `traceparent` of W3C Trace Context for the next request. */
  readonly traceparent?: () => string | undefined
}

const DEFAULTS = {
  timeoutMs: 60_000,
  connectTimeoutMs: 10_000,
  attempts: 3,
  maxBlocks: 2 ** 20,
  maxRecords: 2 ** 20,
  maxRecordBytes: 2 ** 30,
}
const STATE_BYTES = 128 * 1024 * 1024
/** Before the second attempt; four times as long before each one after. */
const BACKOFF_MS = 50

/** Iterates over what comes in; both its end and its `return` end the call, begun or not. */
function endingWith<T>(
  items: AsyncIterator<T>,
  end: () => void,
  translate: (error: unknown) => unknown,
): AsyncIterableIterator<T> {
  const own: AsyncIterableIterator<T> = {
    async next() {
      try {
        const next = await items.next()
        if (next.done === true) end()
        return next
      } catch (error) {
        const seen = translate(error)
        end()
        throw seen
      }
    },
    async return() {
      end()
      await items.return?.().catch(() => undefined)
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => own,
  }
  return own
}

function completeOptions(options: ScorerClientOptions) {
  for (const [name, least] of Object.entries(DEFAULTS)) {
    const value = options[name as keyof typeof DEFAULTS] ?? least
    if (Number.isInteger(value) && value > 0) continue
    throw new ConfigError('an option is no whole number above 0', {
      where: name,
      got: String(value),
    })
  }
  return { ...DEFAULTS, ...options }
}

/**
 * Connects to `serveScorer`. A lost connection is made again at the next call; a call whose connection is
 * lost before its answer is repeated, since no call changes anything.
 * @throws EmbeddingError UNAVAILABLE when the scorer cannot be reached or refuses this client's certificate;
 * ConfigError when the address is none.
 */
export async function connectScorer(
  address: ScorerAddress,
  options: ScorerClientOptions = {},
): Promise<Scorer> {
  const settings = completeOptions(options)
  const target = parseAddress(address)
  const { name } = target
  const connection = createConnection(target, settings.connectTimeoutMs)

  const signalOf = ({ signal, timeoutMs = settings.timeoutMs }: CallOptions = {}) => {
    const until = performance.now() + timeoutMs
    const own = callSignal({ signal, timeoutMs }) ?? AbortSignal.timeout(timeoutMs)
    return { signal: own, left: () => Math.max(1, Math.floor(until - performance.now())) }
  }

  function headersFor(path: string, parts: FrameParts, left: number): Record<string, string> {
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    const trace = options.traceparent?.()
    return {
      ':method': parts.length === 0 ? 'GET' : 'POST',
      ':path': path,
      ':scheme': target.scheme,
      ':authority': target.authority,
      [TIMEOUT_HEADER]: String(left),
      ...(parts.length === 0
        ? {}
        : { 'content-type': WIRE_MEDIA_TYPE, 'content-length': String(length) }),
      ...(trace === undefined ? {} : { traceparent: trace }),
    }
  }

  /** One attempt; `decode` may keep what it is given for `keep` to end. */
  async function attempt<T>(
    request: (session: ClientHttp2Session) => Promise<CallAnswer>,
    decode: (source: ByteSource, end: () => void) => Promise<T>,
    signal: AbortSignal,
    keep: boolean,
  ): Promise<T> {
    const session = await untilEnded(connection.open(), signal)
    const busy = connection.busy(session)
    let answer: CallAnswer | undefined
    const end = () => {
      answer?.[Symbol.dispose]()
      busy[Symbol.dispose]()
    }
    try {
      answer = await request(session)
      const result = await decode(answer.source, end)
      if (!keep) end()
      return result
    } catch (error) {
      end()
      throw error
    }
  }

  async function call<T>(
    request: Omit<CallRequest, 'headers' | 'signal'> & { readonly path: string },
    { signal, left }: ReturnType<typeof signalOf>,
    decode: (source: ByteSource, end: () => void) => Promise<T>,
    keep = false,
  ): Promise<T> {
    const { path, parts, what, maxBytes } = request
    const one = (session: ClientHttp2Session) => {
      const headers = headersFor(path, parts, left())
      return callScorer(session, { headers, parts, what, maxBytes, signal }, name)
    }
    for (let tries = 1; ; tries++) {
      try {
        return await attempt(one, decode, signal, keep)
      } catch (error) {
        const again =
          error instanceof Lost && !error.final && tries < settings.attempts && !signal.aborted
        if (!again) throw callerError(error, signal, connection)
        const ms = BACKOFF_MS * 4 ** (tries - 1)
        // Clients that lost one server do not all come back in the same moment.
        await sleep(ms + randomInt(ms), undefined, { signal }).catch(() => undefined)
      }
    }
  }

  function pathOf(collection: string, what: string): string {
    if (isCollectionName(collection)) return `/v1/collections/${collection}/${what}`
    throw new EmbeddingError('COLLECTION_NOT_FOUND', 'no collection can have this name', {
      where: name,
    })
  }

  const scorer: Scorer = {
    async collection(collection, options) {
      const request = { path: pathOf(collection, 'state'), parts: [], what: 'state response' }
      return call({ ...request, maxBytes: STATE_BYTES }, signalOf(options), (source) =>
        decodeState(source, collection),
      )
    },
    async scan(collection, request, options): Promise<Scan> {
      const limits = signalOf(options)
      const { signal } = limits
      const { queries, knownTail } = request
      const { maxBlocks, maxRecords, maxRecordBytes } = settings
      const bounds = { queries, knownTail, maxBlocks, maxRecords, maxRecordBytes }
      const spec = { path: pathOf(collection, 'scan'), parts: encodeScanRequest(request) }
      const translate = (error: unknown) => callerError(error, signal, connection)
      return call(
        { ...spec, what: 'scan response', maxBytes: Infinity },
        limits,
        async (source, end) => {
          const scan = await decodeScan(source, bounds)
          const blocks = scan.blocks[Symbol.asyncIterator]()
          return { ...scan, blocks: endingWith<BlockScores>(blocks, end, translate) }
        },
        true,
      )
    },
    async records(collection, places, options) {
      const spec = { path: pathOf(collection, 'records'), parts: encodeRecordsRequest(places) }
      const most = { what: 'records response', maxBytes: settings.maxRecordBytes }
      return call({ ...spec, ...most }, signalOf(options), (source) =>
        decodeRecordsResponse(source, places),
      )
    },
    [Symbol.asyncDispose]: () => connection.close(),
  }
  try {
    await connection.open()
  } catch (error) {
    throw callerError(error, undefined, connection)
  }
  return scorer
}
