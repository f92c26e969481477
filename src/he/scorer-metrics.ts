/**
 * What a scorer's server counts, in the OpenMetrics text format 1.0. Names are those of OpenTelemetry's
 * semantic conventions for HTTP servers where they exist, spelled as its Prometheus exporter spells them.
 * No label holds a collection's name: the number of series is bounded, and a scraper learns none.
 */
export const METRICS_MEDIA_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** Boundaries the conventions advise for `http.server.request.duration`. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const BYTES = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

type Labels = Readonly<Record<string, string>>

/** One family: its lines but `# EOF`. */
interface Family {
  text(): string
}

/** A finished request. */
export interface RequestCount {
  readonly method: string
  /** Route with its parameters as names. */
  readonly route: string
  readonly status: number
  /** Code of the error, where there was one. */
  readonly code: string | undefined
  readonly seconds: number
  readonly requestBytes: number
  readonly responseBytes: number
}

/** See the file's comment. */
export interface ScorerMetrics {
  request(of: RequestCount): void
  scan(of: { readonly queries: number; readonly blocks: number; readonly seconds: number }): void
  text(): string
}

const escape = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

const labelled = (labels: Labels): string => {
  const entries = Object.entries(labels)
  if (entries.length === 0) return ''
  return `{${entries.map(([name, value]) => `${name}="${escape(value)}"`).join(',')}}`
}

function lines(name: string, type: string, unit: string | undefined, help: string): string[] {
  const units = unit === undefined ? [] : [`# UNIT ${name} ${unit}`]
  return [`# TYPE ${name} ${type}`, ...units, `# HELP ${name} ${help}`]
}

function counter(name: string, help: string): Family & { add(by: number): void } {
  let total = 0
  return {
    add: (by) => void (total += by),
    text: () => [...lines(name, 'counter', undefined, help), `${name}_total ${total}`].join('\n'),
  }
}

function gauge(name: string, help: string, read: () => number, unit?: string): Family {
  return { text: () => [...lines(name, 'gauge', unit, help), `${name} ${read()}`].join('\n') }
}

interface Series {
  readonly labels: Labels
  /** Per boundary those at or below it and above the one before; last: above all. */
  readonly counts: number[]
  sum: number
}

function histogram(name: string, unit: string, help: string, bounds: readonly number[]) {
  const series = new Map<string, Series>()
  const textOf = ({ labels, counts, sum }: Series): string[] => {
    let below = 0
    const buckets = counts.map((count, at) => {
      below += count
      // OpenMetrics wants canonical numbers: 1.0, not 1.
      const bound = bounds[at]
      const le = bound === undefined ? '+Inf' : bound.toFixed(Number.isInteger(bound) ? 1 : 3)
      const spelled = le.replace(/(\.\d+?)0+$/, '$1')
      return `${name}_bucket${labelled({ ...labels, le: spelled })} ${below}`
    })
    return [
      ...buckets,
      `${name}_count${labelled(labels)} ${below}`,
      `${name}_sum${labelled(labels)} ${sum}`,
    ]
  }
  return {
    observe(value: number, labels: Labels = {}): void {
      const key = labelled(labels)
      const own = series.get(key) ?? {
        labels,
        counts: Array.from({ length: bounds.length + 1 }, () => 0),
        sum: 0,
      }
      series.set(key, own)
      const at = bounds.findIndex((bound) => value <= bound)
      const bucket = at < 0 ? bounds.length : at
      own.counts[bucket] = (own.counts[bucket] ?? 0) + 1
      own.sum += value
    },
    text: () =>
      [...lines(name, 'histogram', unit, help), ...[...series.values()].flatMap(textOf)].join('\n'),
  }
}

/** @param read - what is asked for at each scrape; `residentBytes` is left out where it is not known. */
export function createMetrics(read: {
  readonly active: () => number
  readonly connections: () => number
  readonly running: () => number
  readonly waiting: () => number
  readonly residentBytes?: (() => number) | undefined
}): ScorerMetrics {
  const duration = histogram(
    'http_server_request_duration_seconds',
    'seconds',
    'Duration of requests, to the last byte of the answer.',
    SECONDS,
  )
  const requestSize = histogram(
    'http_server_request_body_size_bytes',
    'bytes',
    'Size of request bodies.',
    BYTES,
  )
  const responseSize = histogram(
    'http_server_response_body_size_bytes',
    'bytes',
    'Size of response bodies.',
    BYTES,
  )
  const scans = histogram(
    'keyrite_scorer_scan_duration_seconds',
    'seconds',
    'Duration of scans, from their turn to their last block.',
    SECONDS,
  )
  const queries = counter('keyrite_scorer_queries', 'Queries of scans that were answered.')
  const blocks = counter('keyrite_scorer_blocks', 'Blocks whose scores were sent.')
  const { residentBytes } = read
  const families: readonly Family[] = [
    duration,
    requestSize,
    responseSize,
    gauge('http_server_active_requests', 'Requests under way.', read.active),
    scans,
    queries,
    blocks,
    gauge('keyrite_scorer_scans_running', 'Scans that compute.', read.running),
    gauge('keyrite_scorer_scans_waiting', 'Scans that wait for their turn.', read.waiting),
    gauge('keyrite_scorer_connections', 'Open connections.', read.connections),
    ...(residentBytes === undefined
      ? []
      : [
          gauge(
            'keyrite_scorer_resident_blocks_bytes',
            'Expanded blocks kept in memory.',
            residentBytes,
            'bytes',
          ),
        ]),
  ]
  return {
    request({ method, route, status, code, seconds, requestBytes, responseBytes }) {
      const labels = {
        http_request_method: method,
        http_route: route,
        http_response_status_code: String(status),
        ...(code === undefined ? {} : { error_type: code }),
      }
      duration.observe(seconds, labels)
      const sizes = { http_request_method: method, http_route: route }
      requestSize.observe(requestBytes, sizes)
      responseSize.observe(responseBytes, sizes)
    },
    scan(of) {
      scans.observe(of.seconds)
      queries.add(of.queries)
      blocks.add(of.blocks)
    },
    text: () => `${families.map((family) => family.text()).join('\n')}\n# EOF\n`,
  }
}
