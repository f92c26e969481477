/** `keyrite embeddings serve`: the scorer as a process. It takes no key and loads no code that could use one. */
import { type Command, InvalidArgumentError } from 'commander'

import { EmbeddingError } from '../errors.ts'
import type { KernelPath, RequestEvent, ScorerServerOptions } from '../he/scorer-side.ts'
import { type Dispatch, type Invocation, addCommand, wholeNumber } from './command.ts'
import { append, scanOptions } from './embeddings-options.ts'
import { secondsSince } from './embeddings-progress.ts'
import { type StoreOptions, openCliStore, storeOptions } from './embeddings-store.ts'
import { toKeyriteError } from './error-text.ts'
import { UsageError } from './exit-code.ts'
import { createInterrupts } from './interrupts.ts'
import { scorerLibrary } from './libraries.ts'
import type { Output } from './output.ts'
import { readBytes } from './read-input.ts'
import { systemClock } from './system-ports.ts'

interface ServeOptions extends StoreOptions {
  readonly listen: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly clientCa?: string
  readonly clientCrl?: string
  readonly allow?: readonly string[]
  readonly operations?: string
  readonly threads?: number
  readonly kernel?: KernelPath
  readonly maxMemory?: number
  readonly maxScans?: number
  readonly maxQueries?: number
  readonly maxTimeoutMs?: number
  readonly warm?: readonly string[]
  readonly logRequests?: boolean
}

/** Host and port of a URL. @throws InvalidArgumentError. */
function hostAndPort(text: string, scheme: string): { host: string; port: number } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const plain = url?.pathname === '/' && url.search + url.hash + url.username === ''
  if (url?.protocol !== scheme || !plain || !/:\d{1,5}\/?$/.test(text)) {
    throw new InvalidArgumentError(`Expected unix:PATH or ${scheme}//HOST:PORT.`)
  }
  const port = /:(\d{1,5})\/?$/.exec(text)?.[1]
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(port) }
}

const address =
  (scheme: string) =>
  (text: string): string => {
    if (!/^unix:./.test(text)) hostAndPort(text, scheme)
    return text
  }

type Listen = ScorerServerOptions['listen']

/** Names, and `sha256:` fingerprints, of clients. */
function allowed(entries: readonly string[]) {
  const fingerprints = entries.filter((one) => one.startsWith('sha256:'))
  return {
    names: entries.filter((one) => !one.startsWith('sha256:')),
    fingerprints: fingerprints.map((one) => one.slice('sha256:'.length)),
  }
}

async function listenOf(options: ServeOptions): Promise<Listen> {
  const { listen, tlsCert, tlsKey, clientCa, clientCrl, allow } = options
  const tls = { tlsCert, tlsKey, clientCa, clientCrl, allow }
  if (listen.startsWith('unix:')) {
    const useless = Object.entries(tls).find(([, value]) => value !== undefined)
    if (useless === undefined) return { socket: listen.slice('unix:'.length) }
    throw new UsageError('USAGE', 'a Unix socket has no certificates', {
      where: '--listen',
      expected: 'https://HOST:PORT with certificates, or unix:PATH without',
      got: 'unix:PATH with certificates',
    })
  }
  if (tlsCert === undefined || tlsKey === undefined || clientCa === undefined) {
    throw new UsageError('USAGE', 'clients must show certificates, and so must this scorer', {
      where: '--listen',
      expected: '--tls-cert, --tls-key and --client-ca',
      hint: 'plain TCP is not offered; on one machine, listen on unix:PATH',
    })
  }
  return {
    ...hostAndPort(listen, 'https:'),
    tls: {
      cert: await readBytes(tlsCert, 'a certificate'),
      key: await readBytes(tlsKey, 'a private key'),
      ca: await readBytes(clientCa, 'a certificate of an authority'),
      ...(clientCrl === undefined ? {} : { crl: await readBytes(clientCrl, 'a revocation list') }),
      ...(allow === undefined ? {} : { allow: allowed(allow) }),
    },
  }
}

function operationsOf(text: string | undefined): Pick<ScorerServerOptions, 'operations'> {
  if (text === undefined) return {}
  return {
    operations: text.startsWith('unix:')
      ? { socket: text.slice('unix:'.length) }
      : hostAndPort(text, 'http:'),
  }
}

/** One line of JSON for each request; it holds no content. */
const logLine =
  ({ side }: Output) =>
  (event: RequestEvent): void =>
    side.verbatim(JSON.stringify({ time: new Date(systemClock.wallMs()).toISOString(), ...event }))

async function serve({ options, output }: Invocation<ServeOptions>): Promise<undefined> {
  const listen = await listenOf(options)
  const operations = operationsOf(options.operations)
  const { createScorer, serveScorer } = await scorerLibrary()
  const { threads, kernel, maxMemory, maxScans, maxQueries, maxTimeoutMs } = options
  await using store = await openCliStore(options, 'read')
  await using scorer = createScorer({
    store,
    ...(threads === undefined ? {} : { threads }),
    ...(kernel === undefined ? {} : { path: kernel }),
    ...(maxMemory === undefined ? {} : { maxResidentBytes: maxMemory }),
  })
  using interrupts = createInterrupts(
    {
      closing: () => output.side.print('closing: requests under way may end ...'),
      warning: () => output.side.print('still closing; once more ends at once'),
      kill: (status) => process.exit(status),
    },
    () => systemClock.monotonicMs(),
  )
  const { signal } = interrupts
  try {
    for (const name of options.warm ?? []) {
      const startedMs = systemClock.monotonicMs()
      await scorer.warm(name, { signal })
      output.side.print(`${name} is in memory, after ${secondsSince(startedMs)} s`)
    }
  } catch (error) {
    if (!signal.aborted) throw error
    throw new EmbeddingError('ABORTED', 'stopped by a person', { where: '--warm', cause: error })
  }
  await using server = await serveScorer({
    ...{ scorer, listen, signal },
    ...operations,
    limits: {
      ...(maxScans === undefined ? {} : { maxScans }),
      ...(maxQueries === undefined ? {} : { maxQueries }),
      ...(maxTimeoutMs === undefined ? {} : { maxTimeoutMs }),
    },
    ready: async () => {
      await store.collections()
      return true
    },
    onError: (error) => {
      const { code, message } = toKeyriteError(error)
      output.side.print(`fault: ${message} [${code}]`, { hang: 7, style: 'red' })
    },
    ...(options.logRequests === true ? { onRequest: logLine(output) } : {}),
  })
  const { address: listening, operationsAddress } = server
  output.document({ listening, operations: operationsAddress ?? null })
  output.text.print('this process holds no key; it listens on')
  output.text.verbatim(`  ${listening}`)
  if (operationsAddress !== undefined) {
    output.text.print('and shows health and metrics on')
    output.text.verbatim(`  ${operationsAddress}`)
  }
  await server.closed
  output.side.print('closed')
  return undefined
}

/** Adds serve. */
export function addServeCommand(group: Command, dispatch: Dispatch): void {
  addCommand<ServeOptions>(group, dispatch, {
    usage: 'serve',
    summary: 'Run the scorer as a process of its own, without any key',
    details:
      'HTTP/2 over a Unix socket that its owner alone can open, or over TLS 1.3 with certificates on both sides. What it sees: ciphertexts, their sizes, which blocks are asked for and when. /healthz, /readyz and /metrics (OpenMetrics) are on the same listener; --operations puts them on a second one for a scraper of this machine. SIGTERM and Ctrl-C let requests under way end. A store in a directory must be writable for this process: SQLite keeps two files beside the index, for readers too.',
    examples: [
      'embeddings serve --store ./vectors --listen unix:/run/keyrite/scorer.sock',
      'embeddings serve --store postgres://scorer@db.example/vectors --listen https://0.0.0.0:8443 --tls-cert scorer.pem --tls-key scorer.key --client-ca clients.pem --allow search.example',
      'embeddings serve --store ./vectors --listen unix:/run/keyrite/scorer.sock --operations http://127.0.0.1:9464 --warm docs',
    ],
    options: (command) =>
      scanOptions(
        storeOptions(command)
          .requiredOption('--listen <address>', 'unix:PATH or https://HOST:PORT', address('https:'))
          .option('--tls-cert <file>', 'certificate of this scorer')
          .option('--tls-key <file>', 'its private key')
          .option('--client-ca <file>', 'authority of the clients\u2019 certificates')
          .option('--client-crl <file>', 'certificates of clients that are revoked')
          .option(
            '--allow <client>',
            'only this client: DNS name, URI or sha256:...; repeat',
            append,
          )
          .option(
            '--operations <address>',
            'health and metrics: unix:PATH or http://127.0.0.1:PORT',
            address('http:'),
          ),
      )
        .option('--max-scans <number>', 'at the same time; default 2', wholeNumber(1))
        .option('--max-queries <number>', 'in one scan; default 32', wholeNumber(1))
        .option('--max-timeout-ms <number>', 'of one request; default 120000', wholeNumber(1))
        .option('--warm <collection>', 'read it into memory before listening; repeat', append)
        .option('--log-requests', 'one line of JSON for each request, on standard error'),
    run: serve,
  })
}
