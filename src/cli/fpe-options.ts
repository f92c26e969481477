/** Options of the fpe commands, and what they mean for a stream. */
import { type Command, InvalidArgumentError, Option } from 'commander'

import { canonicalDigest } from '../canonical.ts'
import { sha256, toHex, utf8 } from '../bytes.ts'
import { ConfigError } from '../errors.ts'
import type {
  Column,
  ColumnFacts,
  FpeConfig,
  FpeStreamOptions,
  StreamColumn,
} from '../fpe/index.ts'
import { wholeNumber } from './command.ts'
import { UsageError } from './exit-code.ts'
import type { KeyOptions } from './fpe-keys.ts'
import { loginOptions } from './token-logins.ts'

/** What a command does to values. */
export type Task = FpeStreamOptions['direction']

type Format = FpeStreamOptions['format']

/** Options of encrypt, decrypt and rewrap. */
export interface FpeOptions extends KeyOptions {
  readonly config: string
  readonly in: string
  readonly out: string
  readonly format?: Format
  readonly column?: readonly string[]
  readonly field?: ReadonlyMap<string, string>
  readonly header: boolean
  readonly delimiter?: string
  readonly keepEmpty?: boolean
  readonly onError: 'stop' | 'skip' | 'report'
  readonly rejects?: string
  readonly resume?: boolean
  readonly replace?: boolean
  readonly batchRows?: number
  readonly chunkBlocks?: number
  readonly fromVersion?: number
}

const append = (name: string, names: readonly string[] = []): string[] => [...names, name]

function mapField(text: string, fields: ReadonlyMap<string, string> = new Map()) {
  const at = text.indexOf('=')
  if (at < 1 || at === text.length - 1) {
    throw new InvalidArgumentError('Expected NAME=PLACE, e.g. pan=card_number or pan=3.')
  }
  return new Map([...fields, [text.slice(0, at), text.slice(at + 1)]])
}

/** Options that name the keys. */
export const keyOptions = loginOptions

/** Options of a command that reads and writes a file. */
export const fileOptions =
  (task: Task) =>
  (command: Command): Command => {
    keyOptions(command)
      .requiredOption(
        '-c, --config <file>',
        'columns and their keys, see ceremonies/fpe-columns.json',
      )
      .requiredOption('-i, --in <file>', 'input, or - for standard input')
      .requiredOption('-o, --out <file>', 'output, or - for standard output')
      .addOption(
        new Option('--format <format>', 'default: by the name of the file').choices([
          'csv',
          'jsonl',
          'lines',
        ]),
      )
      .option('--column <name>', 'a column of the configuration; repeat; default: all', append)
      .option(
        '--field <name=place>',
        'where a column stands: header name, number without header, or JSON path; repeat',
        mapField,
      )
      .option('--no-header', 'CSV without names in its first line; fields go by number from 1')
      .option('--delimiter <character>', 'of CSV; default: a comma, in .tsv files a tab')
      .option('--keep-empty', 'empty, null and missing values stay so; default: a bad row')
      .addOption(
        new Option('--on-error <what>', 'bad rows: stop, leave out, or leave out and list')
          .choices(['stop', 'skip', 'report'])
          .default('stop'),
      )
      .option(
        '--rejects <file>',
        'where --on-error report lists bad rows; default: OUT.rejects.jsonl',
      )
      .option('--resume', 'go on with the part of an interrupted run; begin where there is none')
      .option('--replace', 'replace files that are there, also the part of an interrupted run')
      .option(
        '--batch-rows <number>',
        'rows sent to the key together; default 2048',
        wholeNumber(1),
      )
      .option(
        '--chunk-blocks <number>',
        'most AES blocks in one call; default 1024',
        wholeNumber(1),
      )
    return task === 'encrypt'
      ? command
      : command.option(
          '--from-version <number>',
          'key version of values that have none beside them',
          wholeNumber(1),
        )
  }

const FORMATS: readonly (readonly [RegExp, Format])[] = [
  [/\.(?:csv|tsv)$/i, 'csv'],
  [/\.(?:jsonl|ndjson)$/i, 'jsonl'],
  [/\.txt$/i, 'lines'],
]

function formatOf(options: FpeOptions): Format {
  if (options.format !== undefined) return options.format
  for (const path of [options.in, options.out]) {
    const found = FORMATS.find(([pattern]) => pattern.test(path))
    if (found !== undefined) return found[1]
  }
  throw new UsageError('USAGE', 'the format of the input is not known', {
    where: '--format',
    expected: 'csv, jsonl or lines, or a file name ending in .csv, .tsv, .jsonl, .ndjson or .txt',
    got: 'neither',
  })
}

/** What is done with a file, before any key is opened. */
export interface FilePlan {
  readonly task: Task
  readonly format: Format
  /** Names of the columns that are worked on. */
  readonly columns: readonly string[]
  /** Names of the others that share a version column with one of them. */
  readonly leftOut: readonly string[]
  /** The configuration with these columns only. */
  readonly config: FpeConfig
  /** Digest of all that decides what a row becomes. */
  readonly recipe: string
}

function chosenColumns(config: FpeConfig, { column, config: file }: FpeOptions): string[] {
  const known = Object.keys(config.columns)
  for (const name of column ?? []) {
    if (Object.hasOwn(config.columns, name)) continue
    throw new ConfigError('the configuration has no such column', {
      where: `${file}, column ${name}`,
      expected: `one of ${known.join(', ')}`,
      hint: '--field says where a column stands when the file calls it otherwise',
    })
  }
  return column === undefined ? known : [...new Set(column)]
}

/** @throws ConfigError on a place for something that is in no column: a slip would leave it where it was. */
function checkFields({ columns }: FpeConfig, { field, config: file }: FpeOptions): void {
  const known = Object.entries(columns).flatMap(([name, { versionColumn, tweak }]) => [
    name,
    ...(versionColumn === undefined ? [] : [versionColumn]),
    ...(tweak !== undefined && 'row' in tweak ? [tweak.row] : []),
  ])
  for (const name of field?.keys() ?? []) {
    if (known.includes(name)) continue
    throw new ConfigError('a place is given for something the configuration does not name', {
      where: `${file}, --field ${name}`,
      expected: `one of ${[...new Set(known)].join(', ')}`,
    })
  }
}

/** @throws ConfigError where values could be decrypted under the wrong version, which nobody would notice. */
function checkFromVersion(
  config: FpeConfig,
  task: Task,
  format: Format,
  options: FpeOptions,
): void {
  if (task === 'encrypt' || options.fromVersion !== undefined) return
  for (const [name, { key, versionColumn }] of Object.entries(config.columns)) {
    const versions = Object.keys(config.keys[key]?.versions ?? {})
    if ((versionColumn !== undefined && format !== 'lines') || versions.length < 2) continue
    throw new ConfigError('nothing says under which key version the values are', {
      where: `column ${name}`,
      expected: `--from-version, one of ${versions.join(', ')}`,
      hint: 'under a wrong version values decrypt to other values, without an error',
    })
  }
}

/** What the options say about a file. @throws UsageError, ConfigError. */
export function planFile(
  task: Task,
  options: FpeOptions,
  text: string,
  whole: FpeConfig,
): FilePlan {
  const format = formatOf(options)
  checkFields(whole, options)
  const columns = chosenColumns(whole, options)
  const config: FpeConfig = {
    ...whole,
    columns: Object.fromEntries(
      Object.entries(whole.columns).filter(([name]) => columns.includes(name)),
    ),
  }
  const versionColumns = new Set(columns.map((name) => whole.columns[name]?.versionColumn))
  const leftOut = Object.entries(whole.columns)
    .filter(
      ([name, { versionColumn }]) =>
        !columns.includes(name) && versionColumn !== undefined && versionColumns.has(versionColumn),
    )
    .map(([name]) => name)
  const used = new Set(Object.values(config.columns).map(({ key }) => key))
  const keys = Object.fromEntries(Object.entries(whole.keys).filter(([name]) => used.has(name)))
  checkFromVersion(config, task, format, options)
  const recipe = canonicalDigest({
    task,
    format,
    columns,
    fields: [...(options.field ?? [])],
    header: options.header,
    delimiter: options.delimiter ?? null,
    keepEmpty: options.keepEmpty ?? false,
    fromVersion: options.fromVersion ?? null,
    config: toHex(sha256(utf8(text))),
  })
  return { task, format, columns, leftOut, config: { ...config, keys }, recipe: toHex(recipe) }
}

/** The options of the stream. */
export function streamOptions(
  { task, format, columns, leftOut }: FilePlan,
  options: FpeOptions,
  opened: ReadonlyMap<string, Column & ColumnFacts>,
): FpeStreamOptions {
  const { onError, batchRows, keepEmpty, fromVersion, header } = options
  const place = (name: string): string => options.field?.get(name) ?? name
  const delimiter = options.delimiter ?? (/\.tsv$/i.test(options.in) ? '\t' : undefined)
  return {
    format,
    direction: task,
    columns: columns.map((name): StreamColumn => {
      const column = opened.get(name)
      if (column === undefined) throw new TypeError('a column was not opened')
      const { versionColumn, rowTweakColumn } = column
      return {
        column,
        field: place(name),
        // A line is the value alone.
        ...(versionColumn !== undefined &&
          format !== 'lines' && { versionField: place(versionColumn) }),
        ...(rowTweakColumn !== undefined && { tweakField: place(rowTweakColumn) }),
      }
    }),
    leftOut: format === 'lines' ? [] : leftOut.map(place),
    onError: onError === 'stop' ? 'stop' : 'skip',
    csv: { header, ...(delimiter !== undefined && { delimiter }) },
    ...(batchRows !== undefined && { batchRows }),
    ...(keepEmpty !== undefined && { keepEmpty }),
    ...(fromVersion !== undefined && { fromVersion }),
  }
}
