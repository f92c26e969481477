/** What a request to a scorer's server asks for: its route and the headers that matter. */
import type { IncomingHttpHeaders } from 'node:http2'

import { FormatError } from '../errors.ts'
import type { ScorerLimits } from './scorer-limits.ts'
import { type Problem, TIMEOUT_HEADER, WIRE_MEDIA_TYPE, problem } from './wire.ts'

/** Calls over a collection, and operations. */
export type RouteName = 'scan' | 'records' | 'state' | 'healthz' | 'readyz' | 'metrics'

/** A request this server knows. */
export interface Route {
  readonly name: RouteName
  /** Path with its parameters as names; bounded in number, so fit for labels. */
  readonly template: string
  readonly collection: string
}

/** A refusal that is one of HTTP, not of the scorer. Never leaves the server's folder. */
export class Refusal extends Error {
  readonly problem: Problem
  readonly headers: Readonly<Record<string, string>>

  constructor(of: Problem, headers: Readonly<Record<string, string>> = {}) {
    super(of.detail)
    this.problem = of
    this.headers = headers
  }
}

const COLLECTION_PATH = /^\/v1\/collections\/([a-z0-9][a-z0-9_-]{0,62})\/(scan|records|state)$/
const OPERATION_PATH = /^\/(healthz|readyz|metrics)$/
const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** OpenTelemetry: methods that are not known are `_OTHER`. */
export const knownMethod = (method: string): string =>
  METHODS.includes(method) ? method : '_OTHER'

/** Undefined: there is no such path. */
export function routeOf(path: string): Route | undefined {
  const [, collection = '', call] = COLLECTION_PATH.exec(path) ?? []
  const [, operation] = OPERATION_PATH.exec(path) ?? []
  const name = (call ?? operation) as RouteName | undefined
  if (name === undefined) return undefined
  const template = call === undefined ? `/${name}` : `/v1/collections/{name}/${name}`
  return { name, template, collection }
}

const hasBody = ({ name }: Route): boolean => name === 'scan' || name === 'records'

/** @throws Refusal 405, 413, 415. */
export function checkHeaders(
  route: Route,
  method: string,
  headers: IncomingHttpHeaders,
  { maxRequestBytes }: ScorerLimits,
): void {
  const allow = hasBody(route) ? 'POST' : 'GET'
  if (method !== allow) {
    throw new Refusal(problem(405, 'METHOD', 'not with this method', { expected: allow }), {
      allow,
    })
  }
  if (!hasBody(route)) return
  if (headers['content-type'] !== WIRE_MEDIA_TYPE) {
    const detail = 'a body of another media type'
    throw new Refusal(problem(415, 'FORMAT', detail, { expected: WIRE_MEDIA_TYPE }))
  }
  if (Number(headers['content-length'] ?? 0) > maxRequestBytes) {
    const expected = `at most ${maxRequestBytes} bytes`
    throw new Refusal(problem(413, 'LIMIT_EXCEEDED', 'the request is too large', { expected }))
  }
}

/** Milliseconds a request may take. @throws FormatError. */
export function timeoutOf(headers: IncomingHttpHeaders, { maxTimeoutMs }: ScorerLimits): number {
  const text = headers[TIMEOUT_HEADER]
  if (text === undefined) return maxTimeoutMs
  if (typeof text !== 'string' || !/^[1-9]\d{0,9}$/.test(text)) {
    throw new FormatError('the header has another form', {
      where: TIMEOUT_HEADER,
      expected: 'milliseconds, a whole number above 0',
    })
  }
  return Math.min(Number(text), maxTimeoutMs)
}

/**
 * The header of W3C Trace Context (§3.2) where it is valid; anything else is as if it were not there.
 * Later versions may add fields after the flags.
 */
export function traceparentOf(headers: IncomingHttpHeaders): string | undefined {
  const { traceparent } = headers
  if (typeof traceparent !== 'string' || traceparent.length > 200) return undefined
  const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/
  const [, version, trace = '', parent = '', rest] = form.exec(traceparent) ?? []
  if (version === undefined || version === 'ff') return undefined
  if (version === '00' && rest !== undefined) return undefined
  return /^0+$/.test(trace) || /^0+$/.test(parent) ? undefined : traceparent
}
