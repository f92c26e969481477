/**
 * Health and metrics. They are on the scorer's own listener, and may be on a second one besides: HTTP/1.1
 * without TLS, on the loopback interface or a Unix socket only, so that a scraper or a probe of the same
 * machine needs neither HTTP/2 nor a client certificate. What it shows names no collection.
 */
import { type Server, createServer } from 'node:http'
import { isIP } from 'node:net'

import { ConfigError } from '../errors.ts'
import { METRICS_MEDIA_TYPE, type ScorerMetrics } from './scorer-metrics.ts'
import { type RouteName, routeOf } from './scorer-server-route.ts'

/** Paths of operations. */
export type OperationName = Exclude<RouteName, 'scan' | 'records' | 'state'>

const TEXT = 'text/plain; charset=utf-8'
/** For a request of a few hundred bytes. */
const REQUEST_MS = 10_000
const MAX_CONNECTIONS = 64

/** What operations look at. */
export interface Operated {
  readonly metrics: ScorerMetrics
  /** Why the server is not ready; undefined: it is. */
  readonly notReady: () => Promise<string | undefined>
}

/** `healthz`: the process answers. `readyz`: it would take a scan. */
export async function operation(
  name: OperationName,
  { metrics, notReady }: Operated,
): Promise<{ status: number; type: string; text: string }> {
  if (name === 'metrics') return { status: 200, type: METRICS_MEDIA_TYPE, text: metrics.text() }
  const reason = name === 'readyz' ? await notReady() : undefined
  return { status: reason === undefined ? 200 : 503, type: TEXT, text: `${reason ?? 'ok'}\n` }
}

/** @throws ConfigError unless the address is one of the loopback interface. */
export function checkLoopback(host: string): void {
  const loopback = (isIP(host) === 4 && host.startsWith('127.')) || host === '::1'
  if (loopback) return
  throw new ConfigError('metrics without TLS are for this machine only', {
    where: 'operations.host',
    expected: '127.0.0.1 or ::1',
    got: host,
    hint: 'from elsewhere, scrape /metrics of the scorer itself with a client certificate',
  })
}

/** The second listener. */
export function operationsServer(operated: Operated): Server {
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, maxHeaderSize: 8192 },
    (request, response) => {
      const name = routeOf(request.url ?? '')?.name
      if (name === undefined || name === 'scan' || name === 'records' || name === 'state') {
        response.writeHead(404, { 'content-type': TEXT }).end('not here\n')
        return
      }
      if (request.method !== 'GET') {
        response.writeHead(405, { allow: 'GET', 'content-type': TEXT }).end('GET only\n')
        return
      }
      void operation(name, operated).then(({ status, type, text }) =>
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text),
      )
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  return server
}
