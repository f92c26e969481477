/** `keyrite embeddings get`, `delete` and `export`: vectors in clear, and away. */
import { type Command, Option } from 'commander'

import { ConfigError } from '../errors.ts'
import type { Item } from '../he/index.ts'
import { type Dispatch, type Invocation, addCommand } from './command.ts'
import { type HolderOptions, withCollection } from './embeddings-holder.ts'
import { EXAMPLE_KEYS, holderOptions } from './embeddings-options.ts'
import { countPrinter, secondsSince, stopRequests, stoppedAfter } from './embeddings-progress.ts'
import { EXIT, type ExitCode, UsageError } from './exit-code.ts'
import { grouped } from './fpe-progress.ts'
import { embeddingLibrary, ingestLibrary } from './libraries.ts'
import { systemClock } from './system-ports.ts'

interface IdOptions extends HolderOptions {
  readonly ids?: string
}

/** Ids of the command line and of `--ids`, each once. */
async function idsOf({ args, options }: Invocation<IdOptions>): Promise<string[]> {
  const { chunksOf, linesOf } = await ingestLibrary()
  const ids = args.slice(1)
  const file = options.ids === '-' ? 'standard input' : options.ids
  if (options.ids !== undefined && file !== undefined) {
    const chunks =
      options.ids === '-'
        ? (process.stdin as AsyncIterable<Uint8Array>)
        : chunksOf(options.ids, 'a file of ids')
    for await (const { text } of linesOf(chunks, file)) ids.push(text)
  }
  if (ids.length > 0) return [...new Set(ids)]
  throw new UsageError('USAGE', 'no id is given', {
    where: file ?? '<ids...>',
    expected: 'ids as arguments, or --ids FILE with one a line',
    got: file === undefined ? 'none' : 'a file without a line',
  })
}

const plain = ({ id, vector, metadata }: Item): object => ({
  id,
  vector: Array.from(vector),
  ...(metadata === undefined || Object.keys(metadata).length === 0 ? {} : { metadata }),
})

async function get(invocation: Invocation<IdOptions>): Promise<ExitCode> {
  const { args, output, io } = invocation
  const ids = await idsOf(invocation)
  const items = await withCollection(invocation, 'read', (holder, store) =>
    holder.get(store, args[0] ?? '', ids),
  )
  const missing = ids.filter((_, i) => items[i] === undefined)
  const found = items.filter((item) => item !== undefined).map(plain)
  output.document({ items: found, missing })
  if (!output.json) for (const item of found) io.stdout.write(`${JSON.stringify(item)}\n`)
  for (const id of missing) output.side.print(`not found: ${id}`, { style: 'yellow' })
  return missing.length === 0 ? EXIT.ok : EXIT.refused
}

interface DeleteOptions extends IdOptions {
  readonly session?: string
  readonly invalid?: boolean
  readonly confirm?: string
}

/** Deletes by session, or what does not open: more than anybody has named, so it must be confirmed. */
async function purge(invocation: Invocation<DeleteOptions>): Promise<undefined> {
  const { args, options, output, io } = invocation
  const [name = '', ...ids] = args
  const { session, invalid } = options
  if (ids.length > 0 || options.ids !== undefined) {
    throw new UsageError('USAGE', 'ids go without --session and --invalid', {
      where: '<ids...>',
      expected: 'ids, or --session, --invalid or both',
      got: 'both kinds',
    })
  }
  if (options.confirm !== name) {
    throw new ConfigError('a deletion without ids must be confirmed', {
      where: '--confirm',
      expected: name,
      got: options.confirm ?? 'nothing',
      hint: `keyrite embeddings verify names the records that do not open; to delete, say --confirm ${name}`,
    })
  }
  using interrupts = stopRequests(output.side, 'piece')
  const { signal } = interrupts
  const deleted = await withCollection(invocation, 'write', async (holder, store) => {
    const { records: total } = await store.collection(name)
    const onProgress = countPrinter(output.side, io, 'vectors', { total })
    return holder.purge(store, name, { session, invalid, signal, onProgress })
  }).catch((error: unknown) => {
    const goOn = 'what was deleted stays deleted; the same command goes on with the rest'
    throw signal.aborted ? stoppedAfter(name, goOn, error) : error
  })
  output.document({ command: 'embeddings delete', deleted })
  output.text.print(`${grouped(deleted)} vectors deleted`)
  return undefined
}

async function remove(invocation: Invocation<DeleteOptions>): Promise<undefined> {
  const { args, options, output } = invocation
  if (options.session !== undefined || options.invalid === true) return purge(invocation)
  const ids = await idsOf(invocation)
  const deleted = await withCollection(invocation, 'write', (holder, store) =>
    holder.delete(store, args[0] ?? '', ids),
  )
  output.document({ command: 'embeddings delete', asked: ids.length, deleted })
  const gone = ids.length - deleted
  const rest = gone > 0 ? `, ${grouped(gone)} were not there` : ''
  output.text.print(`${grouped(deleted)} of ${grouped(ids.length)} vectors deleted${rest}`)
  return undefined
}

interface ExportCommandOptions extends HolderOptions {
  readonly out: string
  readonly format?: 'jsonl' | 'npy'
  readonly replace?: boolean
}

async function exportAll(invocation: Invocation<ExportCommandOptions>): Promise<undefined> {
  const { args, options, output, io } = invocation
  const [name = ''] = args
  const { out, format, replace } = options
  if (out === '-') {
    throw new ConfigError('an export needs a file', {
      where: '--out',
      expected: 'the name of a file',
      hint: 'a file gets its name when it is whole; a stream cannot',
    })
  }
  const { exportItems } = await embeddingLibrary()
  const startedMs = systemClock.monotonicMs()
  using interrupts = stopRequests(output.side, 'piece')
  const { signal } = interrupts
  const done = await withCollection(invocation, 'read', async (holder, store) => {
    const { info, records } = await store.collection(name)
    const onProgress = countPrinter(output.side, io, 'vectors', { total: records })
    return exportItems(holder.items(store, name), out, {
      ...{ format, replace, signal, onProgress },
      dimensions: info.dimensions,
    })
  }).catch((error: unknown) => {
    throw signal.aborted ? stoppedAfter('export', 'no file was written', error) : error
  })
  output.document({ command: 'embeddings export', ...done, evidence: 'software-enforced' })
  output.text.print(
    `${grouped(done.items)} vectors in clear, in ${secondsSince(startedMs)} s, readable by you alone:`,
  )
  for (const file of done.files) output.text.verbatim(`  ${file}`)
  return undefined
}

/** Adds get, delete and export. */
export function addItemCommands(group: Command, dispatch: Dispatch): void {
  const idOptions = (command: Command): Command =>
    holderOptions(command).option('--ids <file>', 'more ids, one a line; - for standard input')
  addCommand<IdOptions>(group, dispatch, {
    usage: 'get <collection> [ids...]',
    summary: 'Print vectors and metadata in clear, as JSON Lines',
    details: 'Exit 1 when an id is not there.',
    examples: [`embeddings get docs guide-7 guide-8 --store ./vectors ${EXAMPLE_KEYS}`],
    options: idOptions,
    run: get,
  })
  addCommand<DeleteOptions>(group, dispatch, {
    usage: 'delete <collection> [ids...]',
    summary: 'Delete vectors by id, by ingest session, or what does not open',
    details:
      'Searches do not see them from then on. Their ciphertexts stay in their block until the next compact. Whoever has a kit can write records that do not open, and searches stop at them: verify names their ingest session.',
    examples: [
      `embeddings delete docs guide-7 --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings delete docs --ids withdrawn.txt --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings delete docs --invalid --confirm docs --store ./vectors ${EXAMPLE_KEYS}`,
    ],
    options: (command) =>
      idOptions(command)
        .option('--session <id>', 'all that an ingest with a kit wrote in this session')
        .option('--invalid', 'records that do not open; with --session, only those of the session')
        .option('--confirm <collection>', 'its name once more, for --session and --invalid'),
    run: remove,
  })
  addCommand<ExportCommandOptions>(group, dispatch, {
    usage: 'export <collection>',
    summary: 'Write all vectors and metadata to a file, in clear',
    details:
      'JSON Lines, or NPY: then ids and metadata of docs.npy are in docs.records.jsonl, and import takes the two as --in and --records. The file appears when it is whole, with mode 0600.',
    examples: [
      `embeddings export docs --out docs.jsonl --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings export docs --out docs.npy --store ./vectors ${EXAMPLE_KEYS}`,
    ],
    options: (command) =>
      holderOptions(command)
        .requiredOption('-o, --out <file>', 'the file')
        .addOption(
          new Option('--format <format>', 'default: by the name of the file').choices([
            'jsonl',
            'npy',
          ]),
        )
        .option('--replace', 'replace files that are there'),
    run: exportAll,
  })
}
