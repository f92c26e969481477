/** The one HTTP/2 connection of a scorer's client, made again when it is lost. */
import { type ClientHttp2Session, connect } from 'node:http2'

import { errnoOf } from '../errno.ts'
import { EmbeddingError } from '../errors.ts'
import type { Target } from './scorer-client-address.ts'

const WINDOW_BYTES = 1024 * 1024
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024
const SESSION_MEGABYTES = 64
/** While calls are under way the server must answer a PING this often. */
const PING_MS = 15_000

const CERTIFICATES =
  'check the certificates: that of the server against ca, and key and cert of this client'

/** How a connection ends whose other side gave no reason. */
const ENDS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ERR_HTTP2_ERROR'])

/** The connection is gone, so nobody knows of the request; it may be made again. */
export class Lost extends Error {
  /** Trying again cannot help. */
  readonly final: boolean
  readonly hint: string | undefined

  constructor(cause?: unknown, hint?: string) {
    const code = errnoOf(cause)
    super(code ?? 'connection lost', { cause })
    this.final = code !== undefined && /^ERR_(?:SSL|TLS)|CERT|VERIFY/.test(code)
    // A code such as ECONNREFUSED says itself what is wrong; a connection that just ends does not.
    this.hint = this.final ? CERTIFICATES : code === undefined || ENDS.has(code) ? hint : undefined
  }
}

/** See the file's comment. */
export interface Connection {
  readonly target: Target
  /** A living session. @throws Lost. */
  open(): Promise<ClientHttp2Session>
  /** While something is under way the peer is pinged and the process kept alive. */
  busy(session: ClientHttp2Session): Disposable
  /** Ends everything. */
  close(): Promise<void>
  readonly closed: boolean
}

/** Connects, and waits until the server has said something. */
function connectTo(
  target: Target,
  connectTimeoutMs: number,
  onOver: () => void,
): Promise<ClientHttp2Session> {
  const { promise, resolve, reject } = Promise.withResolvers<ClientHttp2Session>()
  const socket = target.open()
  const session = connect(`${target.scheme}://${target.authority}`, {
    maxSessionMemory: SESSION_MEGABYTES,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    createConnection: () => socket,
  })
  let reason: unknown
  const over = () => {
    clearTimeout(timer)
    onOver()
    // TLS 1.3: a server that does not like our certificate may close without a word.
    reject(new Lost(reason, target.scheme === 'https' ? CERTIFICATES : undefined))
    if (!session.destroyed) session.destroy()
  }
  const fail = (error: unknown) => {
    reason ??= error
    over()
  }
  const timer = setTimeout(
    () => fail(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })),
    connectTimeoutMs,
  )
  // Also the socket itself: a session that ends in its handshake does not always say so.
  socket.on('error', fail).once('close', over)
  session
    .on('error', fail)
    .once('close', over)
    .once('goaway', onOver)
    // With TLS 1.3 our handshake is over before the server has looked at our certificate; its SETTINGS
    // are the first thing it says after that.
    .once('remoteSettings', () => {
      clearTimeout(timer)
      session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
      session.unref()
      resolve(session)
    })
  return promise
}

/** Connects when it is first used. */
export function createConnection(target: Target, connectTimeoutMs: number): Connection {
  let current: Promise<ClientHttp2Session> | undefined
  let closed = false

  function connectNow(): Promise<ClientHttp2Session> {
    const own: Promise<ClientHttp2Session> = connectTo(target, connectTimeoutMs, () => {
      if (current === own) current = undefined
    })
    return own
  }

  return {
    target,
    async open() {
      if (closed) {
        throw new EmbeddingError('CLOSED', 'the client is closed', { where: target.name })
      }
      const session = await (current ??= connectNow())
      // GOAWAY has come, or it has just been lost.
      return session.closed || session.destroyed ? (current = connectNow()) : session
    },
    busy: keepAlive,
    async close() {
      closed = true
      const session = await current?.catch(() => undefined)
      if (session === undefined || session.destroyed) return
      await new Promise<void>((resolve) => {
        session.once('close', resolve)
        session.destroy()
      })
    },
    get closed() {
      return closed
    },
  }
}

const users = new WeakMap<ClientHttp2Session, { count: number; timer: NodeJS.Timeout }>()

/** Pings the peer from the first user to the last; one that is silent is dropped. */
function keepAlive(session: ClientHttp2Session): Disposable {
  let own = users.get(session)
  if (own === undefined) {
    let answered = true
    const timer = setInterval(() => {
      if (session.destroyed) return
      if (!answered) session.destroy()
      else answered = !session.ping((error) => (answered = error === null))
    }, PING_MS)
    own = { count: 0, timer }
    users.set(session, own)
    if (!session.destroyed) session.ref()
  }
  own.count++
  const mine = own
  let over = false
  return {
    [Symbol.dispose]() {
      if (over) return
      over = true
      if (--mine.count > 0) return
      clearInterval(mine.timer)
      users.delete(session)
      if (!session.destroyed) session.unref()
    },
  }
}
