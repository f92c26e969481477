/** The one HTTP/2 connection of a scorer's client, made again when it is lost. */
import { type ClientHttp2Session, type SecureClientSessionOptions, connect } from 'node:http2'
import { connect as connectSocket } from 'node:net'

import { errnoOf } from '../errno.ts'
import { ConfigError, EmbeddingError } from '../errors.ts'
import { type Pem, nodePem, nodePems } from './scorer-pem.ts'

/** Key and certificates of a client. */
export interface ClientTls {
  /** Authorities of the server's certificate; absent: those Node knows. */
  readonly ca?: Pem | readonly Pem[]
  readonly key?: Pem
  readonly cert?: Pem
  /** Name in the server's certificate, where it is not the host of the address. */
  readonly servername?: string
}

/** Where a scorer is: `https://host:port`, `unix:/path`, or these with more to say. */
export type ScorerAddress =
  string | { readonly socket: string } | { readonly url: string; readonly tls?: ClientTls }

const WINDOW_BYTES = 1024 * 1024
const CONNECTION_WINDOW_BYTES = 8 * 1024 * 1024
const SESSION_MEGABYTES = 64
/** While calls are under way the server must answer a PING this often. */
const PING_MS = 15_000

/** The connection is gone, so nobody knows of the request; it may be made again. */
export class Lost extends Error {
  /** Undefined: trying again may help. */
  readonly hint: string | undefined

  constructor(cause?: unknown) {
    const code = errnoOf(cause)
    super(code ?? 'connection lost', { cause })
    const certificate = code !== undefined && /^ERR_(?:SSL|TLS)|CERT|VERIFY/.test(code)
    this.hint = certificate
      ? 'check the certificates: that of the server against ca, and key and cert of this client'
      : undefined
  }
}

/** See the file's comment. */
export interface Connection {
  /** For errors: scheme, host and port, or the path. */
  readonly name: string
  readonly authority: string
  /** A living session. @throws Lost. */
  open(): Promise<ClientHttp2Session>
  /** While something is under way the peer is pinged and the process kept alive. */
  busy(session: ClientHttp2Session): Disposable
  /** Ends everything. */
  close(): Promise<void>
  readonly closed: boolean
}

function parseAddress(address: ScorerAddress): { socket: string } | { url: URL; tls: ClientTls } {
  if (typeof address === 'object' && 'socket' in address) return { socket: address.socket }
  const text = typeof address === 'string' ? address : address.url
  if (text.startsWith('unix:')) return { socket: text.slice('unix:'.length).replace(/^\/\//, '') }
  const url = URL.parse(text)
  const bare =
    url?.pathname === '/' && `${url.search}${url.hash}${url.username}${url.password}` === ''
  if (url?.protocol !== 'https:' || !bare) {
    throw new ConfigError('this is no address of a scorer', {
      where: 'address',
      expected: 'https://host:port, or unix:/path',
      hint: 'plain HTTP is not offered; on one machine use a Unix socket',
    })
  }
  return { url, tls: typeof address === 'string' ? {} : (address.tls ?? {}) }
}

const tlsOptions = ({ ca, key, cert, servername }: ClientTls): SecureClientSessionOptions => ({
  minVersion: 'TLSv1.3',
  ...(ca === undefined ? {} : { ca: nodePems(ca) }),
  ...(key === undefined ? {} : { key: nodePem(key) }),
  ...(cert === undefined ? {} : { cert: nodePem(cert) }),
  ...(servername === undefined ? {} : { servername }),
})

/** @throws ConfigError. */
export function createConnection(address: ScorerAddress, connectTimeoutMs: number): Connection {
  const target = parseAddress(address)
  const name = 'socket' in target ? `unix:${target.socket}` : target.url.origin
  const authority = 'socket' in target ? 'localhost' : target.url.host
  const options = {
    maxSessionMemory: SESSION_MEGABYTES,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
  }
  let current: Promise<ClientHttp2Session> | undefined
  let live: ClientHttp2Session | undefined
  let closed = false

  function connectNow(): Promise<ClientHttp2Session> {
    const session =
      'socket' in target
        ? connect('http://localhost', {
            ...options,
            createConnection: () => connectSocket(target.socket),
          })
        : connect(target.url, { ...options, ...tlsOptions(target.tls) })
    const { promise, resolve, reject } = Promise.withResolvers<ClientHttp2Session>()
    const forget = () => {
      if (live === session) live = undefined
      if (current === promise) current = undefined
    }
    let reason: unknown
    const timer = setTimeout(() => {
      reason = Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })
      session.destroy()
    }, connectTimeoutMs)
    session
      .on('error', (error: unknown) => {
        reason = error
      })
      .once('goaway', forget)
      .once('close', () => {
        clearTimeout(timer)
        forget()
        reject(new Lost(reason))
      })
      // With TLS 1.3 the handshake ends before the server has looked at our certificate; its SETTINGS
      // are the first thing it says after that.
      .once('remoteSettings', () => {
        clearTimeout(timer)
        session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
        session.unref()
        live = session
        resolve(session)
      })
    return promise
  }

  return {
    name,
    authority,
    async open() {
      if (closed) throw new EmbeddingError('CLOSED', 'the client is closed', { where: name })
      if (live !== undefined && !live.closed && !live.destroyed) return live
      if (live !== undefined) current = undefined
      current ??= connectNow()
      return current
    },
    busy: (session) => keepAlive(session),
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
