/**
 * A scorer behind a socket: HTTP/2 over mutual TLS, or over a Unix socket that only its owner can open.
 * Plain TCP is not offered. The process holds no key: what it reads and sends is ciphertext.
 */
import {
  type Http2Server,
  type ServerHttp2Session,
  type ServerOptions,
  createSecureServer,
  createServer,
} from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

import { ConfigError } from '../errors.ts'
import { type ScorerLimits, completeLimits, createGate } from './scorer-limits.ts'
import { createMetrics } from './scorer-metrics.ts'
import type { RequestEvent, Served } from './scorer-server-exchange.ts'
import { checkLoopback, operationsServer } from './scorer-server-operations.ts'
import { answer } from './scorer-server-request.ts'
import { listenOnSocket } from './scorer-server-socket.ts'
import { type ServerTls, clientRule, requireTls, serverTlsOptions } from './scorer-server-tls.ts'
import type { Scorer } from './types.ts'

export type { RequestEvent } from './scorer-server-exchange.ts'
export type { ServerTls } from './scorer-server-tls.ts'
export type { ScorerLimits } from './scorer-limits.ts'

const HANDSHAKE_MS = 10_000
/** Flow control: a query of 768 dimensions is on its way in two rounds; a stream holds no more than this unread. */
const WINDOW_BYTES = 1024 * 1024
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024
const HEADER_BYTES = 8192
/** Megabytes a connection's queues may hold before new streams are refused. */
const SESSION_MEGABYTES = 32

/** Time to tell clients that their requests were ended. */
const LAST_WORDS_MS = 250

/** Path of a Unix socket. */
export interface SocketAddress {
  readonly socket: string
}

/** For {@link serveScorer}. */
export interface ScorerServerOptions {
  /** Stays the caller's to dispose. Its `residentBytes`, where it has them, are among the metrics. */
  readonly scorer: Scorer & { readonly residentBytes?: number }
  /** `port` 0: any free one. */
  readonly listen:
    SocketAddress | { readonly host: string; readonly port: number; readonly tls: ServerTls }
  /** Health and metrics once more, in HTTP/1.1 without TLS; `host` is a loopback address. */
  readonly operations?: SocketAddress | { readonly host: string; readonly port: number }
  readonly limits?: Partial<ScorerLimits>
  /** For `/readyz`, beside not being closed. False or a throw: not ready. */
  readonly ready?: () => boolean | Promise<boolean>
  /** After each request. */
  readonly onRequest?: (event: RequestEvent) => void
  /** What a client is not told: faults of store, kernel or program. */
  readonly onError?: (error: unknown) => void
  /** Closes the server as disposing does, for instance at SIGTERM. */
  readonly signal?: AbortSignal
}

/** A listening server. Disposing lets requests under way end, for `drainTimeoutMs` at most. */
export interface ScorerServer extends AsyncDisposable {
  /** `https://host:port` or `unix:/path`; `connectScorer` takes it. */
  readonly address: string
  readonly operationsAddress: string | undefined
  /** Resolves when it is closed, whoever closed it. */
  readonly closed: Promise<void>
}

function listenOnPort(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: Error) =>
      reject(
        new ConfigError('the address cannot be listened on', {
          where: `${host}:${port}`,
          got: 'code' in cause ? String(cause.code) : cause.message,
          cause,
        }),
      )
    server.once('error', refuse)
    server.listen({ host, port }, () => {
      server.off('error', refuse)
      resolve(server.address() as AddressInfo)
    })
  })
}

const closeServer = (server: Server): Promise<void> =>
  new Promise((resolve) => server.close(() => resolve()))

const isSocket = (at: unknown): at is SocketAddress =>
  typeof at === 'object' && at !== null && 'socket' in at && typeof at.socket === 'string'

/** Listens and says where; what is returned with it closes for good. */
async function listen(
  server: Server,
  scheme: string,
  at: SocketAddress | { readonly host: string; readonly port: number },
): Promise<{ address: string; remove: () => Promise<void> }> {
  if (isSocket(at)) {
    const remove = await listenOnSocket(server, at.socket)
    return { address: `unix:${at.socket}`, remove }
  }
  const { address, family, port } = await listenOnPort(server, at.host, at.port)
  const host = family === 'IPv6' ? `[${address}]` : address
  return { address: `${scheme}://${host}:${port}`, remove: () => Promise.resolve() }
}

/** Connections of a server, and what runs on them. */
interface Traffic {
  readonly sockets: ReadonlySet<Socket>
  readonly sessions: ReadonlySet<ServerHttp2Session>
  readonly answers: ReadonlySet<Promise<void>>
  /** Requests under way. */
  active: number
}

/** @param admits - undefined: nobody has a certificate, as on a Unix socket */
function takeTraffic(
  server: Http2Server,
  served: Served,
  admits: ReturnType<typeof clientRule> | undefined,
): Traffic {
  const sockets = new Set<Socket>()
  const sessions = new Set<ServerHttp2Session>()
  const answers = new Set<Promise<void>>()
  const traffic: Traffic = { sockets, sessions, answers, active: 0 }
  const isAdmitted = ({ socket }: ServerHttp2Session): boolean => {
    if (admits === undefined) return true
    // TLS has verified it already.
    const certificate = (socket as TLSSocket).getPeerX509Certificate()
    return certificate !== undefined && admits(certificate)
  }
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('session', (session) => {
    sessions.add(session)
    let streams = 0
    const admitted = isAdmitted(session)
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
    session.setTimeout(served.limits.idleTimeoutMs)
    session.on('timeout', () => {
      if (streams === 0) session.close()
    })
    // A connection that breaks: its streams close, and each ends its own request.
    session.on('error', () => undefined).once('close', () => sessions.delete(session))
    session.on('stream', (stream, headers) => {
      streams++
      traffic.active++
      const own = answer(stream, headers, served, admitted).finally(() => {
        streams--
        traffic.active--
        answers.delete(own)
        if (!admitted) session.close()
      })
      answers.add(own)
    })
  })
  return traffic
}

/** Waits for all of them, but no longer. */
async function settled(all: Iterable<Promise<unknown>>, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), ms)
  await Promise.race([Promise.allSettled(all), promise])
  clearTimeout(timer)
}

/** A caller's hook whose own faults stay its own. */
function hook<T>(call: ((value: T) => void) | undefined): (value: T) => void {
  return (value) => {
    try {
      call?.(value)
    } catch {
      // Nobody is left to tell: this hook is where faults are told.
    }
  }
}

function createTlsServer(http2: ServerOptions, tls: ServerTls): Http2Server {
  try {
    return createSecureServer({ ...http2, ...serverTlsOptions(tls, HANDSHAKE_MS) })
  } catch (cause) {
    throw new ConfigError('key or certificates of the server cannot be used', {
      where: 'listen.tls',
      expected: 'PEM, and a key that belongs to its certificate',
      cause,
    })
  }
}

/** @throws ConfigError, StorageError LOCKED when another process listens on the socket. */
export async function serveScorer(options: ScorerServerOptions): Promise<ScorerServer> {
  const { scorer, listen: at, operations } = options
  const limits = completeLimits(options.limits)
  if (operations !== undefined && !isSocket(operations)) checkLoopback(operations.host)
  const tls = isSocket(at) ? undefined : requireTls(at.tls)
  const admits = tls === undefined ? undefined : clientRule(tls.allow)
  const killed = new AbortController()
  let closing = false

  const scans = createGate('scans', limits.maxScans, limits.maxQueuedScans)
  const reads = createGate('requests', limits.maxReads, limits.maxReads)
  const metrics = createMetrics({
    active: () => traffic.active,
    connections: () => traffic.sessions.size,
    running: () => scans.running,
    waiting: () => scans.waiting,
    ...('residentBytes' in scorer ? { residentBytes: () => scorer.residentBytes ?? 0 } : {}),
  })
  const notReady = async (): Promise<string | undefined> => {
    if (closing) return 'closing'
    try {
      return (await options.ready?.()) === false ? 'not ready' : undefined
    } catch (error) {
      served.onError(error)
      return 'not ready'
    }
  }
  const served: Served = {
    scorer,
    limits,
    scans,
    reads,
    metrics,
    killed: killed.signal,
    notReady,
    onRequest: hook(options.onRequest),
    onError: hook(options.onError),
  }
  const http2: ServerOptions = {
    maxSessionMemory: SESSION_MEGABYTES,
    settings: {
      initialWindowSize: WINDOW_BYTES,
      maxConcurrentStreams: limits.maxStreams,
      maxHeaderListSize: HEADER_BYTES,
      enablePush: false,
    },
  }
  const server = tls === undefined ? createServer(http2) : createTlsServer(http2, tls)
  server.maxConnections = limits.maxConnections
  const traffic = takeTraffic(server, served, admits)
  const main = await listen(server, 'https', at)
  const second = operations === undefined ? undefined : operationsServer(served)
  let secondAt: Awaited<ReturnType<typeof listen>> | undefined
  try {
    secondAt = second && operations && (await listen(second, 'http', operations))
  } catch (cause) {
    server.close()
    await main.remove()
    throw cause
  }

  const { promise: closed, resolve: reportClosed } = Promise.withResolvers<undefined>()
  async function close(): Promise<void> {
    if (closing) return closed
    closing = true
    options.signal?.removeEventListener('abort', onSignal)
    const ended = closeServer(server)
    await main.remove()
    // GOAWAY: what runs may end, nothing new begins.
    for (const session of traffic.sessions) session.close()
    await settled(traffic.answers, limits.drainTimeoutMs)
    killed.abort()
    await settled(traffic.answers, LAST_WORDS_MS)
    for (const session of traffic.sessions) session.destroy()
    for (const socket of traffic.sockets) socket.destroy()
    await ended
    if (second !== undefined) {
      const over = closeServer(second)
      second.closeAllConnections()
      await over
      await secondAt?.remove()
    }
    reportClosed(undefined)
  }
  const onSignal = () => void close()
  if (options.signal?.aborted === true) onSignal()
  else options.signal?.addEventListener('abort', onSignal, { once: true })

  return {
    address: main.address,
    operationsAddress: secondAt?.address,
    closed,
    [Symbol.asyncDispose]: close,
  }
}
