/** Mutual TLS of a scorer: version 1.3 only, a client certificate always, and who of its holders may ask. */
import { X509Certificate } from 'node:crypto'
import type { SecureServerOptions } from 'node:http2'

import { ConfigError } from '../errors.ts'
import { type Pem, nodePem, nodePems } from './scorer-pem.ts'

/** Key and certificates of a server. */
export interface ServerTls {
  /** Private key of `cert`; never one of the embeddings. */
  readonly key: Pem
  /** Certificate of this server, with intermediate ones after it. */
  readonly cert: Pem
  /** Authorities whose client certificates are accepted; no other is. */
  readonly ca: Pem | readonly Pem[]
  /** Revoked certificates. */
  readonly crl?: Pem | readonly Pem[]
  /** Only these of them; absent: every certificate of `ca` for client authentication. */
  readonly allow?: {
    /** DNS name or URI (such as a SPIFFE ID) of the subject alternative name; without one of DNS, the common name. */
    readonly names?: readonly string[]
    /** SHA-256 of the certificate in DER: hexadecimal, colons or not. */
    readonly fingerprints?: readonly string[]
  }
}

/**
 * Callers without types, or with a configuration read from a file, may leave it out: without it anybody could
 * connect, and without `ca` anybody with a certificate of a public authority. @throws ConfigError.
 */
export function requireTls(tls: Partial<ServerTls> | undefined): ServerTls {
  const { key, cert, ca } = tls ?? {}
  const missing = Object.entries({ key, cert, ca }).filter(([, value]) => value === undefined)
  if (tls !== undefined && missing.length === 0) return tls as ServerTls
  throw new ConfigError('a scorer listens with certificates on both sides only', {
    where: 'listen.tls',
    expected: 'key, cert and ca; or listen: { socket: PATH }',
    got: `no ${missing.map(([name]) => name).join(', ')}`,
    hint: 'plain TCP is not offered',
  })
}

/** Options for `http2.createSecureServer`. */
export function serverTlsOptions(tls: ServerTls, handshakeMs: number): SecureServerOptions {
  return {
    key: nodePem(tls.key),
    cert: nodePem(tls.cert),
    ca: nodePems(tls.ca),
    ...(tls.crl === undefined ? {} : { crl: nodePems(tls.crl) }),
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: handshakeMs,
    allowHTTP1: false,
  }
}

/** SHA-256 in lower-case hexadecimal. @throws ConfigError. */
function fingerprint(text: string): string {
  const hex = text.replaceAll(':', '').toLowerCase()
  if (/^[0-9a-f]{64}$/.test(hex)) return hex
  throw new ConfigError('a fingerprint is no SHA-256', {
    where: 'tls.allow.fingerprints',
    expected: '64 hexadecimal digits, colons or not',
  })
}

/** URIs of a subject alternative name as Node spells it: `DNS:a, URI:"b, c"`, unusual values as JSON. */
function urisOf(alternative: string): string[] {
  const entry = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  const uris: string[] = []
  for (let found = entry.exec(alternative); found !== null; found = entry.exec(alternative)) {
    const [all, kind, value = ''] = found
    if (all === '') break
    if (kind === 'URI') uris.push(value.startsWith('"') ? (JSON.parse(value) as string) : value)
  }
  return uris
}

function hasName(certificate: X509Certificate, name: string): boolean {
  if (name.includes('://')) return urisOf(certificate.subjectAltName ?? '').includes(name)
  // RFC 6125 §6.4.4: the common name counts only where no DNS name is given.
  return certificate.checkHost(name, { subject: 'default', wildcards: false }) !== undefined
}

/** Decides over the certificates that TLS has verified already. @throws ConfigError. */
export function clientRule(allow: ServerTls['allow']): (certificate: X509Certificate) => boolean {
  if (allow === undefined) return () => true
  const names = allow.names ?? []
  const fingerprints = new Set((allow.fingerprints ?? []).map(fingerprint))
  if (names.length === 0 && fingerprints.size === 0) {
    throw new ConfigError('tls.allow admits nobody', {
      where: 'tls.allow',
      expected: 'names or fingerprints; or no tls.allow, to admit every certificate of tls.ca',
    })
  }
  return (certificate) =>
    fingerprints.has(fingerprint(certificate.fingerprint256)) ||
    names.some((name) => hasName(certificate, name))
}
