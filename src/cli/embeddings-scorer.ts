/** Which scorer a search asks: this process, one behind a socket, or workers over PostgreSQL. */
import type { Command } from 'commander'

import { ConfigError } from '../errors.ts'
import type { Scorer, ScorerAddress } from '../he/index.ts'
import { type StoreOptions, isDatabase, openCliStore, storeLocation } from './embeddings-store.ts'
import { UsageError } from './exit-code.ts'
import { scorerLibrary } from './libraries.ts'
import { readBytes } from './read-input.ts'

/** Options added by {@link scorerOptions}. */
export interface ScorerOptions extends StoreOptions {
  readonly scorer?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly serverCa?: string
}

const QUEUE = 'queue'

/** Adds `--scorer` and its certificates. */
export const scorerOptions = (command: Command): Command =>
  command
    .option(
      '--scorer <address>',
      'unix:PATH, https://HOST:PORT, or queue: the workers of the database; default: this process',
    )
    .option('--tls-cert <file>', 'certificate of this client, for https')
    .option('--tls-key <file>', 'its private key')
    .option('--server-ca <file>', 'authority of the scorer\u2019s certificate')

async function addressOf(options: ScorerOptions): Promise<ScorerAddress> {
  const { scorer = '', tlsCert, tlsKey, serverCa } = options
  if (scorer.startsWith('unix:')) return { socket: scorer.slice('unix:'.length) }
  if (!scorer.startsWith('https://')) {
    throw new ConfigError('not the address of a scorer', {
      where: '--scorer',
      expected: 'unix:PATH, https://HOST:PORT or queue',
      got: scorer,
    })
  }
  if (tlsCert === undefined || tlsKey === undefined || serverCa === undefined) {
    throw new UsageError('USAGE', 'a scorer over TLS needs certificates on both sides', {
      where: '--scorer',
      expected: '--tls-cert, --tls-key and --server-ca',
    })
  }
  return {
    url: scorer,
    tls: {
      cert: await readBytes(tlsCert, 'a certificate'),
      key: await readBytes(tlsKey, 'a private key'),
      ca: await readBytes(serverCa, 'a certificate of an authority'),
    },
  }
}

async function databaseOf(options: StoreOptions): Promise<string> {
  const url = await storeLocation(options)
  if (isDatabase(url)) return url
  throw new ConfigError('workers share a database', {
    where: '--scorer queue',
    expected: '--store postgres://USER@HOST/DATABASE',
    got: 'another location',
  })
}

/** Runs `use` with the scorer that the options name. */
export async function withScorer<T>(
  options: ScorerOptions,
  use: (scorer: Scorer) => Promise<T>,
): Promise<T> {
  const { connectScorer, createScorer, queueScorer } = await scorerLibrary()
  if (options.scorer === undefined) {
    await using store = await openCliStore(options, 'read')
    await using scorer = createScorer({ store })
    return await use(scorer)
  }
  if (options.scorer === QUEUE) {
    await using queue = await queueScorer({ url: await databaseOf(options) })
    return await use(queue)
  }
  if (options.store !== undefined || options.storeUrlFile !== undefined) {
    throw new UsageError('USAGE', 'the scorer has the store, not this process', {
      where: '--store',
      expected: '--scorer or --store',
      got: 'both',
    })
  }
  await using remote = await connectScorer(await addressOf(options))
  return await use(remote)
}
