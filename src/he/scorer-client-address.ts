/** Where a scorer is, and the socket to it. */
import { type Socket, connect, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'

import { ConfigError } from '../errors.ts'
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

/** A {@link ScorerAddress} that is understood. */
export interface Target {
  /** For errors: scheme, host and port, or the path. */
  readonly name: string
  readonly scheme: 'http' | 'https'
  /** Host and port, for requests. */
  readonly authority: string
  /** Begins to connect. @throws ConfigError when key or certificates cannot be read. */
  open(): Socket
}

const unixTarget = (path: string): Target => ({
  name: `unix:${path}`,
  scheme: 'http',
  authority: 'localhost',
  open: () => connect(path),
})

function tlsTarget(url: URL, { ca, key, cert, servername }: ClientTls): Target {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // RFC 6066 §3: an address is no server name.
  const name = servername ?? (isIP(host) === 0 ? host : undefined)
  const options = {
    host,
    port: Number(url.port === '' ? '443' : url.port),
    minVersion: 'TLSv1.3' as const,
    ALPNProtocols: ['h2'],
    ...(ca === undefined ? {} : { ca: nodePems(ca) }),
    ...(key === undefined ? {} : { key: nodePem(key) }),
    ...(cert === undefined ? {} : { cert: nodePem(cert) }),
    ...(name === undefined ? {} : { servername: name }),
  }
  return {
    name: url.origin,
    scheme: 'https',
    authority: url.host,
    open() {
      try {
        return connectTls(options)
      } catch (cause) {
        throw new ConfigError('key or certificates of the client cannot be read', {
          where: 'tls',
          expected: 'PEM, and a key that belongs to its certificate',
          cause,
        })
      }
    },
  }
}

/** @throws ConfigError. */
export function parseAddress(address: ScorerAddress): Target {
  if (typeof address === 'object' && 'socket' in address) return unixTarget(address.socket)
  const text = typeof address === 'string' ? address : address.url
  const path = /^unix:(?:\/\/)?(.+)$/s.exec(text)?.[1]
  if (path !== undefined) return unixTarget(path)
  const url = URL.parse(text)
  const bare =
    url?.pathname === '/' && `${url.search}${url.hash}${url.username}${url.password}` === ''
  if (url?.protocol === 'https:' && bare) {
    return tlsTarget(url, typeof address === 'string' ? {} : (address.tls ?? {}))
  }
  throw new ConfigError('this is no address of a scorer', {
    where: 'address',
    expected: 'https://host:port, or unix:/path',
    hint: 'plain HTTP is not offered; on one machine use a Unix socket',
  })
}
