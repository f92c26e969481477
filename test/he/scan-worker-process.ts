/**
 * A scan worker as a process: node scan-worker-process.ts SCHEMA LEASE_MS PAUSE_MS, the URL of the database on
 * standard input. It waits PAUSE_MS before each block, so that a test can catch it in the middle, and prints
 * what it does, one JSON a line.
 */
import { readFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { connectPostgres, postgresStore } from '../../src/he/postgres.ts'
import { type BlockScorer, workOnQueue } from '../../src/he/scan-worker.ts'
import { createScorer } from '../../src/he/scorer.ts'

const [schema = '', leaseMs = '', pauseMs = ''] = process.argv.slice(2)
const say = (event: object) => writeSync(1, `${JSON.stringify(event)}\n`)

const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
await using database = await connectPostgres(readFileSync(0, 'utf8'), { schema, poolSize: 4 })
const store = postgresStore(database, { readOnly: true })
await using scorer = createScorer({ store, threads: 1 })
const slow: BlockScorer = {
  async *scores(name, queries, blocks, options) {
    for await (const scores of scorer.scores(name, queries, blocks, options)) {
      await sleep(Number(pauseMs), undefined, { signal: options?.signal })
      yield scores
    }
  },
}
say({ what: 'ready' })
await workOnQueue({
  database,
  scorerFor: () => slow,
  signal: stop.signal,
  leaseMs: Number(leaseMs),
  pollMs: 500,
  graceMs: 50,
  onEvent: say,
})
