/** `keyrite embeddings import` and `kit`: vectors in, with the secret key or with public keys only. */
import { type Command, Option } from 'commander'

import { sha256, toHex } from '../bytes.ts'
import { ConfigError, EmbeddingError, KeyriteError } from '../errors.ts'
import type {
  CollectionInfo,
  EmbeddingStore,
  ImportFormat,
  ImportOptions,
  Ingest,
  Inserted,
  ItemSource,
} from '../he/index.ts'
import { type Dispatch, type Invocation, addCommand, wholeNumber } from './command.ts'
import { type EmbeddingKeyOptions, embeddingKeyOptions } from './embedding-keys.ts'
import { type Checkpoint, noCheckpoint, openCheckpoint } from './embeddings-checkpoint.ts'
import { type Fault, insertUntilFault } from './embeddings-feed.ts'
import { requirePlace, usingFile, writeWhole } from './embeddings-file.ts'
import { type HolderOptions, withCollection, withKeyHolder } from './embeddings-holder.ts'
import { EXAMPLE_KEYS, append, holderOptions } from './embeddings-options.ts'
import { countPrinter, secondsSince, stopRequests, stoppedAfter } from './embeddings-progress.ts'
import { type StoreOptions, openCliStore, storeOptions } from './embeddings-store.ts'
import { placedError } from './error-place.ts'
import { UsageError } from './exit-code.ts'
import { grouped } from './fpe-progress.ts'
import { ingestLibrary } from './libraries.ts'
import { readBytes } from './read-input.ts'
import { systemClock } from './system-ports.ts'

interface ImportCommandOptions extends StoreOptions, Omit<EmbeddingKeyOptions, 'seed'> {
  readonly seed?: readonly string[]
  readonly kit?: string
  readonly in: string
  readonly format?: ImportFormat
  readonly idField?: string
  readonly vectorField?: string
  readonly metadata?: readonly string[]
  readonly nested?: 'refuse' | 'json'
  readonly ids?: string
  readonly records?: string
  readonly skip?: number
  readonly checkpoint?: string
}

type ImportInvocation = Invocation<ImportCommandOptions>

const STREAM = '-'

function importOptions(options: ImportCommandOptions, info: CollectionInfo): ImportOptions {
  const { format, idField, vectorField, metadata, nested, ids, records } = options
  const { dimensions } = info
  return { format, idField, vectorField, fields: metadata, nested, ids, records, dimensions }
}

/** Standard input, JSON Lines only, ended by the signal. */
async function streamSource(options: ImportOptions, signal: AbortSignal): Promise<ItemSource> {
  const { jsonLinesItems } = await ingestLibrary()
  if ((options.format ?? 'jsonl') !== 'jsonl') {
    throw new ConfigError('this format cannot be read from a stream', {
      where: '--in -',
      expected: 'jsonl, or the name of a file',
      got: options.format,
    })
  }
  signal.addEventListener('abort', () => void process.stdin.destroy(), { once: true })
  return {
    format: 'jsonl',
    count: undefined,
    items: (skip) =>
      jsonLinesItems(process.stdin as AsyncIterable<Uint8Array>, 'standard input', {
        ...options,
        skip,
      }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** What the checkpoint of an import depends on. */
async function checkpointOf(
  { checkpoint, in: input, skip = 0 }: ImportCommandOptions,
  info: CollectionInfo,
  source: ItemSource,
  options: ImportOptions,
): Promise<Checkpoint> {
  if (checkpoint === undefined) return { ...noCheckpoint, from: skip }
  const fault = input === STREAM ? 'a stream' : skip > 0 ? '--skip' : undefined
  if (fault !== undefined) {
    throw new UsageError('USAGE', 'a checkpoint needs a file that is read from its start', {
      where: '--checkpoint',
      expected: '--in FILE without --skip',
      got: fault,
    })
  }
  const { idField = null, vectorField = null, fields = null, nested = null } = options
  const { ids = null, records = null } = options
  const list = fields === null ? null : [...fields]
  return openCheckpoint(checkpoint, {
    input,
    collection: info.id,
    recipe: { format: source.format, idField, vectorField, fields: list, nested, ids, records },
  })
}

/** An error of one item, with its place in the input and how to go on behind what is kept. */
function inInput(
  error: unknown,
  { in: input, checkpoint }: ImportCommandOptions,
  { from, durable }: { readonly from: number; readonly durable: number },
): unknown {
  if (!(error instanceof KeyriteError)) return error
  const index = error instanceof EmbeddingError ? error.index : undefined
  const place = index === undefined ? undefined : `${input}, item ${from + index + 1}`
  // A checkpoint is of the file as it is; mended, it is another one.
  const instead = checkpoint === undefined ? '' : ' in place of --checkpoint'
  const goOn =
    durable > from
      ? `everything before it is in: mend it, and go on with --skip ${durable}${instead}`
      : undefined
  const joined = (parts: readonly (string | undefined)[], between: string): string | undefined =>
    parts.filter((part) => part !== undefined).join(between) || undefined
  return placedError(error, {
    where: joined([place, error.where], ', '),
    hint: joined([error.hint, goOn], '; '),
  })
}

/** The input and how far an earlier run came with it. */
interface Opened {
  readonly source: ItemSource
  readonly checkpoint: Checkpoint
  readonly signal: AbortSignal
}

/** Reads the input into the collection. */
async function pour(
  { options, output, io }: ImportInvocation,
  { source, checkpoint, signal }: Opened,
  ingest: Ingest,
): Promise<Inserted> {
  const { from } = checkpoint
  const show = countPrinter(output.side, io, 'vectors', { from, total: source.count })
  let durable = from
  const onProgress = (done: number): void => {
    durable = from + done
    checkpoint.note(durable)
    show(durable)
  }
  let fault: Fault | undefined
  try {
    const result = await insertUntilFault(ingest, () => source.items(from), signal, onProgress)
    durable = from + result.items
    if (result.fault !== undefined) {
      fault = result.fault
      throw fault.error
    }
    if (signal.aborted) throw signal.reason
    await checkpoint.finish()
    return result
  } catch (error) {
    checkpoint.note(durable)
    const kept = options.checkpoint !== undefined
    if (kept) await checkpoint.keep().catch(() => undefined)
    if (durable > from) {
      output.side.print(`kept: ${grouped(durable)} of the vectors of the input`)
    }
    const goOn = kept
      ? 'the same command goes on from there'
      : `the same command begins again and replaces what is there, or --skip ${durable} goes on from there`
    if (fault !== undefined) throw inInput(fault.error, options, { from, durable })
    throw signal.aborted
      ? stoppedAfter(`after ${grouped(durable)} vectors of the input`, goOn, error)
      : error
  }
}

/** Runs `use` with an ingest of the seeds or of the kit. */
async function withIngest<T>(
  invocation: ImportInvocation,
  store: EmbeddingStore,
  use: (ingest: Ingest) => Promise<T>,
): Promise<T> {
  const { args, options } = invocation
  const [name = ''] = args
  const { seed, kit } = options
  if (kit !== undefined) {
    const { createIngest, parseIngestKit } = await ingestLibrary()
    const bytes = await readBytes(kit, 'an ingest kit')
    await using ingest = await usingFile(kit, () => {
      const { info } = parseIngestKit(bytes)
      if (info.name !== name) {
        throw new EmbeddingError('KEY_MISMATCH', 'the kit is of another collection', {
          expected: name,
          got: info.name,
        })
      }
      return createIngest(bytes, store)
    })
    return await use(ingest)
  }
  const keys = { ...invocation, options: { ...options, seed: seed ?? [] } }
  return withKeyHolder(keys, async (holder) => {
    await using ingest = await holder.ingest(store, name)
    return await use(ingest)
  })
}

async function importItems(invocation: ImportInvocation): Promise<undefined> {
  const { args, options, output } = invocation
  const [name = ''] = args
  if ((options.seed === undefined) === (options.kit === undefined)) {
    throw new UsageError('USAGE', 'nothing says what to encrypt with, or two things do', {
      where: '--seed, --kit',
      expected: 'one of them',
      got: options.seed === undefined ? 'neither' : 'both',
    })
  }
  const { openItems } = await ingestLibrary()
  const startedMs = systemClock.monotonicMs()
  using interrupts = stopRequests(output.side, 'block')
  const { signal } = interrupts
  // Everything that can be wrong with store and input is told before anybody types a PIN.
  await using store = await openCliStore(options, 'write')
  const { info } = await store.collection(name)
  const reading = importOptions(options, info)
  await using source =
    options.in === STREAM
      ? await streamSource(reading, signal)
      : await openItems(options.in, reading)
  const checkpoint = await checkpointOf(options, info, source, reading)
  // Where the file says how many items it has, a --skip that is too large is refused before a PIN is asked for.
  if (source.count !== undefined) source.items(checkpoint.from)
  const { items, replaced } = await withIngest(invocation, store, (ingest) =>
    pour(invocation, { source, checkpoint, signal }, ingest),
  )
  const skipped = checkpoint.from
  output.document({ command: 'embeddings import', collection: name, items, replaced, skipped })
  output.text.print(
    `${grouped(items)} vectors read, ${grouped(replaced)} of them in the place of others, in ${secondsSince(startedMs)} s`,
  )
  if (skipped > 0) {
    output.text.print(`${grouped(skipped)} at the start of the input were left out`)
  }
  return undefined
}

interface KitOptions extends HolderOptions {
  readonly out: string
  readonly replace?: boolean
}

async function writeKit(invocation: Invocation<KitOptions>): Promise<undefined> {
  const { args, options, output } = invocation
  const [name = ''] = args
  const { replace = false } = options
  await requirePlace(options.out, replace)
  const kit = await withCollection(invocation, 'read', (holder, store) =>
    holder.ingestKit(store, name),
  )
  // Whoever has it can add vectors, and look for ids that they guess.
  await writeWhole(options.out, kit, replace)
  const digest = toHex(sha256(kit))
  const { out: file } = options
  output.document({ command: 'embeddings kit', collection: name, file, sha256: digest })
  output.text.print(`written: ${options.out} (${grouped(kit.length)} bytes, public keys only)`)
  output.text.print('SHA-256, to compare where it is used:')
  output.text.verbatim(`  ${digest}`)
  return undefined
}

const DETAILS = `JSON Lines: {"id": "a", "vector": [0.1, ...], "metadata": {...}} a line; other fields are metadata as well. Parquet: a list column of floats, a column of ids, the rest metadata. NPY: a matrix of float16, float32 or float64. Bare float32: rows of the collection's dimensions. Ids and metadata of the last two come from --ids or --records; without them a vector's id is the number of its row.

An id that is there already is replaced. What was reported is durable: stopped or killed, an import has lost nothing of it, and the same command again changes nothing but the time it takes. With --checkpoint it goes on where it was.

An item that cannot be taken ends the import: everything before it is in, and the error says where it is and which --skip goes on behind it. Whole numbers in metadata that are too large to be kept exactly (beyond 2^53) are refused: write them as text.`

/** Adds import and kit. */
export function addImportCommands(group: Command, dispatch: Dispatch): void {
  addCommand<ImportCommandOptions>(group, dispatch, {
    usage: 'import <collection>',
    summary: 'Encrypt the vectors of a file into a collection',
    details: DETAILS,
    examples: [
      `embeddings import docs --in docs.jsonl --store ./vectors ${EXAMPLE_KEYS}`,
      `embeddings import docs --in vectors.npy --records docs.jsonl --checkpoint import.progress --store ./vectors ${EXAMPLE_KEYS}`,
      'embeddings import docs --in docs.parquet --kit docs.kit --store postgres://ingest@db.example/vectors',
    ],
    options: (command) => {
      const keyed = embeddingKeyOptions(storeOptions(command))
      // With --kit there is no seed.
      const seed = keyed.options.find((option) => option.long === '--seed')
      seed?.makeOptionMandatory(false)
      return keyed
        .option('--kit <file>', 'encrypt with public keys; needs neither seed nor HSM')
        .requiredOption('-i, --in <file>', 'input, or - for JSON Lines on standard input')
        .addOption(
          new Option('--format <format>', 'default: by the name of the file').choices([
            'jsonl',
            'npy',
            'float32',
            'parquet',
          ]),
        )
        .option('--id-field <name>', 'field or column of the ids; default: id')
        .option('--vector-field <name>', 'of the vectors; default: vector, or else embedding')
        .option(
          '--metadata <name>',
          'field to keep as metadata; repeat; default: all others',
          append,
        )
        .addOption(
          new Option(
            '--nested <what>',
            'metadata that are lists or objects: refuse, or keep as JSON text',
          )
            .choices(['refuse', 'json'])
            .default('refuse'),
        )
        .option('--ids <file>', 'for npy and float32: ids, one a line')
        .option('--records <file>', 'for npy and float32: JSON Lines with ids and metadata')
        .option('--skip <number>', 'leave out so many items at the start', wholeNumber(0))
        .option('--checkpoint <file>', 'note the progress here, and go on from what it says')
    },
    run: importItems,
  })
  addCommand<KitOptions>(group, dispatch, {
    usage: 'kit <collection>',
    summary: 'Write the public keys for an ingest that must not decrypt',
    details:
      'Whoever has the kit can add and replace vectors, and read none. Compare its SHA-256 where it is used: vectors are encrypted to whoever\u2019s keys are in it. The collection needs parameters with room for the noise of public keys: create it with --parameters bgv-n2048-q51-t14-b8, or bgv-n2048-q51-t14-b16 above 1200 dimensions; they cannot be changed later.',
    examples: [`embeddings kit docs --out docs.kit --store ./vectors ${EXAMPLE_KEYS}`],
    options: (command) =>
      holderOptions(command)
        .requiredOption('-o, --out <file>', 'the kit')
        .option('--replace', 'replace a file that is there'),
    run: writeKit,
  })
}
