/** `keyrite embeddings create`, `state` and `drop`: collections as wholes. */
import { type Command, Option } from 'commander'

import { ConfigError, EmbeddingError } from '../errors.ts'
import type {
  CollectionInfo,
  CollectionState,
  EmbeddingStore,
  KeyHolder,
  Metric,
} from '../he/index.ts'
import { type Dispatch, type Invocation, addCommand, wholeNumber } from './command.ts'
import { embeddingKeyOptions } from './embedding-keys.ts'
import { type HolderOptions, withCollection, withKeyHolder } from './embeddings-holder.ts'
import { EXAMPLE_KEYS, append, decimal } from './embeddings-options.ts'
import {
  type StoreOptions,
  isDatabase,
  openCliStore,
  storeLocation,
  storeOptions,
} from './embeddings-store.ts'
import { grouped, megabytes } from './fpe-progress.ts'
import { personalQuestions, threeTimes } from './questions.ts'
import type { Screen } from './screen.ts'
import { printFields, printTable } from './table.ts'

interface CreateOptions extends HolderOptions {
  readonly dimensions: number
  readonly metric: Metric
  readonly maxNorm?: number
  readonly parameters?: string
  readonly filterField?: readonly string[]
}

type NewCollections = Pick<EmbeddingStore, 'createCollection'>

/**
 * A directory is looked at before anybody types a PIN, and becomes a store only for a collection that is sound:
 * what is refused leaves nothing behind.
 */
async function newCollections(options: StoreOptions): Promise<NewCollections> {
  try {
    await using store = await openCliStore(options, 'read')
    await store.collections()
  } catch (error) {
    const none = error instanceof EmbeddingError && error.code === 'STORE_UNAVAILABLE'
    if (!none) throw error
  }
  return {
    async createCollection(info, epoch) {
      await using store = await openCliStore(options, 'create')
      await store.createCollection(info, epoch)
    },
  }
}

async function create(invocation: Invocation<CreateOptions>): Promise<undefined> {
  const { args, options, output } = invocation
  const [name = ''] = args
  const { dimensions, metric, maxNorm, parameters, filterField } = options
  const make = (holder: KeyHolder, store: NewCollections): Promise<CollectionInfo> =>
    holder.createCollection(store, {
      ...{ name, dimensions, metric, maxNorm },
      parameterSet: parameters,
      fields: filterField,
    })
  let info: CollectionInfo
  if (isDatabase(await storeLocation(options))) {
    info = await withCollection(invocation, 'create', make)
  } else {
    const store = await newCollections(options)
    info = await withKeyHolder(invocation, (holder) => make(holder, store))
  }
  output.document({ command: 'embeddings create', collection: info })
  output.text.print(`collection ${info.name} is there`, { style: 'green' })
  printFields(output.text, [
    ['dimensions', String(info.dimensions)],
    ['metric', info.metric],
    ['parameters', info.parameterSet],
    ['filter fields', info.fields.join(', ') || 'none'],
  ])
  return undefined
}

/** Bytes of ciphertexts that a scan reads. */
async function blockBytes(store: EmbeddingStore, name: string): Promise<number> {
  return (await store.blocks(name)).reduce((sum, { length }) => sum + length, 0)
}

function printState(
  screen: Screen,
  { info, epochs, sessions, records, tail, blocks }: CollectionState,
  bytes: number,
): void {
  const each = records > tail ? `, ${grouped(Math.round(bytes / (records - tail)))} a vector` : ''
  printFields(screen, [
    ['collection', info.name],
    ['id', info.id],
    ['dimensions', String(info.dimensions)],
    ['metric', info.metric],
    ...(info.metric === 'cosine' ? [] : [['max. norm', String(info.maxNorm)] as const]),
    ['parameters', info.parameterSet],
    ['filter fields', info.fields.join(', ') || 'none'],
    ['vectors', `${grouped(records)}, ${grouped(tail)} of them in no block yet`],
    ['blocks', `${grouped(blocks)}, ${megabytes(bytes)}${each}`],
    ['key epochs', epochs.map(({ epoch, check }) => `${epoch} (check ${check})`).join(', ')],
    ['ingests', `${sessions.length} with public keys`],
  ])
}

async function state({ args, options, output }: Invocation<StoreOptions>): Promise<undefined> {
  await using store = await openCliStore(options, 'read')
  const [only] = args
  if (only !== undefined) {
    const found = await store.collection(only)
    const bytes = await blockBytes(store, only)
    output.document({ ...found, sessions: found.sessions.length, blockBytes: bytes })
    printState(output.text, found, bytes)
    return undefined
  }
  const all: CollectionState[] = []
  for (const name of await store.collections()) all.push(await store.collection(name))
  output.document({ collections: all.map((one) => ({ ...one, sessions: one.sessions.length })) })
  if (all.length === 0) output.text.print('no collection')
  else {
    const rows = all.map(({ info, epochs, records, tail, blocks }) => [
      info.name,
      String(info.dimensions),
      info.metric,
      grouped(records),
      grouped(tail),
      grouped(blocks),
      epochs.map(({ epoch }) => epoch).join(' '),
    ])
    const heads = ['NAME', 'DIMENSIONS', 'METRIC', 'VECTORS', 'TAIL', 'BLOCKS', 'EPOCHS']
    printTable(output.text, heads, rows)
  }
  return undefined
}

interface DropOptions extends StoreOptions {
  readonly confirm?: string
}

async function drop({ args, options, output, io }: Invocation<DropOptions>): Promise<undefined> {
  const [name = ''] = args
  await using store = await openCliStore(options, 'write')
  const { records } = await store.collection(name)
  if (options.confirm === undefined) {
    const questions = personalQuestions(output.side, io)
    output.side.print(
      `${grouped(records)} vectors of ${name} will be gone for good. Only a copy of the store brings them back.`,
    )
    await threeTimes(questions, 'whoever drops the collection', name, async () => {
      questions.screen.ask('   type the name of the collection:')
      const typed = await questions.keyboard.line()
      return typed === name ? { value: true } : { fault: 'that is not its name' }
    }).catch((error: unknown) => {
      if (!(error instanceof ConfigError)) throw error
      // The question stays without an answer.
      output.side.print('')
      throw new ConfigError('a person must confirm this, and there is no terminal', {
        where: '--confirm',
        expected: `a terminal, or --confirm ${name}`,
        got: 'neither',
        hint: `if all of its vectors shall go, say so: --confirm ${name}`,
        cause: error,
      })
    })
  } else if (options.confirm !== name) {
    throw new ConfigError('the name that confirms is another one', {
      where: '--confirm',
      expected: name,
      got: options.confirm,
    })
  }
  await store.dropCollection(name)
  await store.reclaim?.()
  output.document({ command: 'embeddings drop', collection: name, records })
  output.text.print(`dropped: ${name}, ${grouped(records)} vectors`)
  return undefined
}

/** Adds create, state and drop. */
export function addCollectionCommands(group: Command, dispatch: Dispatch): void {
  addCommand<CreateOptions>(group, dispatch, {
    usage: 'create <collection>',
    summary: 'Create an empty collection',
    details:
      'The store is made where there is none. What is chosen here cannot be changed later: dimensions, metric, parameters and the metadata fields that searches can filter on. Parameters whose decryptions could fail with a probability above 2^-64 are refused.',
    examples: [
      `embeddings create docs --store ./vectors --dimensions 384 ${EXAMPLE_KEYS}`,
      `embeddings create faces --store ./vectors --dimensions 512 --metric squared-l2 --max-norm 30 --filter-field site ${EXAMPLE_KEYS}`,
    ],
    options: (command) =>
      embeddingKeyOptions(storeOptions(command))
        .requiredOption('-d, --dimensions <number>', 'numbers in a vector', wholeNumber(1))
        .addOption(
          new Option('--metric <metric>', 'how closeness is measured')
            .choices(['cosine', 'inner-product', 'squared-l2'])
            .default('cosine'),
        )
        .option('--max-norm <number>', 'largest length of a vector; not for cosine', decimal)
        .option(
          '--parameters <name>',
          'default: bgv-n2048-q51-t16-b8; for ingest with public keys: bgv-n2048-q51-t14-b8, or -b16 above 1200 dimensions',
        )
        .option('--filter-field <name>', 'metadata field to filter on; repeat', append),
    run: create,
  })
  addCommand<StoreOptions>(group, dispatch, {
    usage: 'state [collection]',
    summary: 'Show the collections of a store, or one of them',
    details: 'Needs no key: this is what a store and a scorer can see.',
    examples: [
      'embeddings state --store ./vectors',
      'embeddings state docs --store ./vectors --json',
    ],
    options: storeOptions,
    run: state,
  })
  addCommand<DropOptions>(group, dispatch, {
    usage: 'drop <collection>',
    summary: 'Delete a collection with all its vectors',
    details: 'Asks for the name once more on the terminal; unattended, --confirm says it.',
    examples: ['embeddings drop docs --store ./vectors --confirm docs'],
    options: (command) =>
      storeOptions(command).option('--confirm <collection>', 'its name once more'),
    run: drop,
  })
}
