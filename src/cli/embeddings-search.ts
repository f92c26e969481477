/** `keyrite embeddings search`: the key holder's side of a search, here or with a scorer elsewhere. */
import { type Command, InvalidArgumentError } from 'commander'

import { EmbeddingError } from '../errors.ts'
import type { Hit, Scorer, SearchTimings } from '../he/index.ts'
import { type Dispatch, type Invocation, addCommand, wholeNumber } from './command.ts'
import { withKeyHolder } from './embeddings-holder.ts'
import { EXAMPLE_KEYS, holderOptions } from './embeddings-options.ts'
import { stopRequests, stoppedAfter } from './embeddings-progress.ts'
import { type Filters, addFilter, readQueries } from './embeddings-query.ts'
import { type ScorerOptions, scorerOptions, withScorer } from './embeddings-scorer.ts'
import type { EmbeddingKeyOptions } from './embedding-keys.ts'
import type { Screen } from './screen.ts'
import { printTable } from './table.ts'

interface SearchCommandOptions extends ScorerOptions, EmbeddingKeyOptions {
  readonly query: string
  readonly k: number
  readonly filter?: Filters
  readonly overFetch?: number
  readonly withMetadata?: boolean
  readonly timeoutMs?: number
  readonly timings?: boolean
}

/** Queries of one scan; the scorer bounds them too. */
const TOGETHER = 32

function printHits(screen: Screen, hits: readonly Hit[], withMetadata: boolean): void {
  const rows = hits.map(({ id, score, metadata }, i) => [
    String(i + 1),
    String(score),
    id,
    ...(withMetadata ? [JSON.stringify(metadata ?? {})] : []),
  ])
  const heads = ['RANK', 'SCORE', 'ID', ...(withMetadata ? ['METADATA'] : [])]
  if (rows.length === 0) screen.print('no hit')
  else printTable(screen, heads, rows)
}

const milliseconds = (value: number): string => `${value.toFixed(1)} ms`

function printTimings(screen: Screen, t: SearchTimings): void {
  const stages = [
    `query encrypted in ${milliseconds(t.encryptMs)}`,
    `${t.blocks} blocks scanned in ${milliseconds(t.scanMs)}`,
    `scores decrypted in ${milliseconds(t.decryptMs)}`,
    `ranked in ${milliseconds(t.rerankMs)}`,
  ]
  screen.print(stages.join(', '), { style: 'dim' })
}

/** @throws EmbeddingError VECTOR_INVALID. */
function checkLengths(
  queries: readonly (readonly number[])[],
  dimensions: number,
  file: string,
): void {
  const index = queries.findIndex(({ length }) => length !== dimensions)
  if (index < 0) return
  throw new EmbeddingError('VECTOR_INVALID', 'a query has another length', {
    where: `${file === '-' ? 'standard input' : file}, query ${index + 1}`,
    expected: `${dimensions} numbers, as the vectors of the collection`,
    got: `${queries[index]?.length} numbers`,
    index,
  })
}

async function search(invocation: Invocation<SearchCommandOptions>): Promise<undefined> {
  const { args, options, output } = invocation
  const [name = ''] = args
  const { k, filter, overFetch, withMetadata = false, timeoutMs } = options
  const queries = await readQueries(options.query)
  using interrupts = stopRequests(output.side, 'scan')
  const { signal } = interrupts
  const timings: SearchTimings[] = []
  const answer = async (scorer: Scorer): Promise<(readonly Hit[])[]> => {
    // Before anybody types a PIN.
    const { info } = await scorer.collection(name, { signal, timeoutMs })
    checkLengths(queries, info.dimensions, options.query)
    return withKeyHolder(invocation, async (holder) => {
      const found: (readonly Hit[])[] = []
      for (let at = 0; at < queries.length; at += TOGETHER) {
        const some = queries.slice(at, at + TOGETHER)
        const settings = { k, filter, overFetch, withMetadata, timeoutMs, signal }
        const onTimings = (one: SearchTimings): void => void timings.push(one)
        found.push(...(await holder.searchMany(scorer, name, some, { ...settings, onTimings })))
      }
      return found
    })
  }
  const results = await withScorer(options, answer).catch((error: unknown) => {
    throw signal.aborted ? stoppedAfter(name, 'nothing was changed', error) : error
  })
  output.document({
    collection: name,
    results: results.map((hits) => ({ hits })),
    ...(options.timings === true ? { timings } : {}),
  })
  for (const [i, hits] of results.entries()) {
    if (results.length > 1) output.text.print(`query ${i + 1}`, { style: 'bold' })
    printHits(output.text, hits, withMetadata)
  }
  if (options.timings === true) for (const one of timings) printTimings(output.side, one)
  return undefined
}

function hitCount(text: string): number {
  const value = wholeNumber(1)(text)
  if (value > 10_000) throw new InvalidArgumentError('Expected at most 10000.')
  return value
}

/** Adds search. */
export function addSearchCommand(group: Command, dispatch: Dispatch): void {
  addCommand<SearchCommandOptions>(group, dispatch, {
    usage: 'search <collection>',
    summary: 'Find the vectors nearest to a query',
    details:
      'Every vector is compared, under encryption. The scorer is this process, or the one that --scorer names; it never sees query, vectors, scores or ids. A filter value that is a JSON number, true or false is taken as such; quote it twice to mean text: year=\'"2024"\'.',
    examples: [
      `embeddings search docs --query query.json -k 5 --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings search docs --query - --filter lang=en --filter lang=de --with-metadata --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings search docs --query queries.jsonl --json --scorer unix:/run/keyrite/scorer.sock ${EXAMPLE_KEYS}`,
    ],
    options: (command) =>
      scorerOptions(holderOptions(command))
        .requiredOption(
          '-q, --query <file>',
          'a JSON list of numbers, or several, one a line; - for standard input',
        )
        .option('-k, --k <number>', 'hits wanted', hitCount, 10)
        .option('--filter <field=value>', 'only vectors with this metadata; repeat', addFilter)
        .option('--with-metadata', 'print the metadata of each hit')
        .option('--over-fetch <number>', 'vectors that are ranked exactly', wholeNumber(1))
        .option('--timeout-ms <number>', 'longest time of one scan', wholeNumber(1))
        .option('--timings', 'say how long each stage took'),
    run: search,
  })
}
