/**
 * Columns from a JSON file: keys by name and version, columns by field. The file holds no secret: keys are
 * RFC 7512 URIs, and pin-value is refused.
 */
import { fromHex } from '../bytes.ts'
import { ConfigError, FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { alphabet, alphabets } from './alphabet.ts'
import { column } from './column.ts'
import {
  type AlphabetOption,
  type FormatOption,
  type FpeConfig,
  configSchema,
} from './config-schema.ts'
import { type ConfigSource, readConfig } from './config-source.ts'
import { date } from './date.ts'
import { email } from './email.ts'
import { placedAt } from './error-place.ts'
import type { Format } from './format.ts'
import { iban } from './iban.ts'
import { integer } from './integer.ts'
import { type KeyVersion, KeyVersions } from './key-versions.ts'
import { pan } from './pan.ts'
import { phone } from './phone.ts'
import { ssn } from './ssn.ts'
import { type TemplatePart, template } from './template.ts'
import { text } from './text.ts'
import type { Alphabet, Column } from './types.ts'
import { uuid } from './uuid.ts'

export type { FpeConfig } from './config-schema.ts'

/** What a configured column says beside {@link Column}: which other columns it needs. */
export interface ColumnFacts {
  /** Holds the key version of each row. */
  readonly versionColumn: string | undefined
  /** Its text is the row tweak. */
  readonly rowTweakColumn: string | undefined
}

type Path = readonly PropertyKey[]

function refuse(source: ConfigSource, path: Path, expected: string, more = 0): never {
  throw new ConfigError('the configuration of columns is wrong', {
    where: source.where(path),
    expected,
    got: source.got(path),
    ...(more > 0 && { hint: `${more} more ${more === 1 ? 'fault' : 'faults'} after this one` }),
  })
}

/**
 * Reads a configuration.
 * @param where - Name of the file, for messages.
 * @throws ConfigError with file, line, column and path.
 */
export function parseFpeConfig(text: string, where: string): FpeConfig {
  const source = readConfig(text, where)
  const read = configSchema.safeParse(source.value)
  if (!read.success) {
    const [first, ...others] = read.error.issues
    const unknown = first?.code === 'unrecognized_keys' ? first.keys[0] : undefined
    if (first !== undefined && unknown !== undefined) {
      refuse(source, [...first.path, unknown], 'no such option here', others.length)
    }
    refuse(source, first?.path ?? [], first?.message ?? 'a configuration', others.length)
  }
  const { keys, columns } = read.data
  for (const [key, { current, versions }] of Object.entries(keys)) {
    if (!Object.hasOwn(versions, current)) {
      refuse(source, ['keys', key, 'current'], 'the number of a version that is there')
    }
  }
  for (const [field, { key, versionColumn, tweak }] of Object.entries(columns)) {
    if (!Object.hasOwn(keys, key))
      refuse(source, ['columns', field, 'key'], 'the name of a key above')
    if (versionColumn !== undefined && Object.hasOwn(columns, versionColumn)) {
      refuse(source, ['columns', field, 'versionColumn'], 'a column that is not encrypted itself')
    }
    if (tweak !== undefined && 'row' in tweak && Object.hasOwn(columns, tweak.row)) {
      refuse(source, ['columns', field, 'tweak', 'row'], 'a column that is not encrypted itself')
    }
  }
  return read.data
}

function untyped<Option extends { readonly type: string }>(option: Option): Omit<Option, 'type'> {
  const rest: { -readonly [Name in keyof Option]?: Option[Name] } = { ...option }
  delete rest.type
  return rest as Omit<Option, 'type'>
}

const alphabetOf = (option: AlphabetOption): Alphabet =>
  typeof option === 'string' ? alphabets[option] : alphabet(option.symbols)

function partOf(part: (FormatOption & { type: 'template' })['parts'][number]): TemplatePart {
  if ('encrypt' in part) {
    return { encrypt: { ...part.encrypt, alphabet: alphabetOf(part.encrypt.alphabet) } }
  }
  if ('keep' in part) {
    const { alphabet: option, length } = part.keep
    return { keep: { length, alphabet: option === 'any' ? option : alphabetOf(option) } }
  }
  return part
}

function openFormat(option: FormatOption): Format {
  switch (option.type) {
    case 'pan':
      return pan(untyped(option))
    case 'ssn':
      return ssn(untyped(option))
    case 'iban':
      return iban(untyped(option))
    case 'phone':
      return phone(untyped(option))
    case 'email':
      return email(option.alphabet === undefined ? {} : { alphabet: alphabetOf(option.alphabet) })
    case 'uuid':
      return uuid(untyped(option))
    case 'date':
      return date(untyped(option))
    case 'integer':
      return integer(untyped(option))
    case 'text':
      return text({ ...untyped(option), alphabet: alphabetOf(option.alphabet) })
    case 'template':
      return template({ ...untyped(option), parts: option.parts.map(partOf) })
  }
}

/** @throws ConfigError, FpeError naming the column. */
function formatOf(field: string, option: FormatOption): Format {
  try {
    return openFormat(option)
  } catch (error) {
    if (error instanceof FpeError) throw placedAt(error, `column ${field}`)
    if (!(error instanceof ConfigError)) throw error
    const { message, where, expected, got, hint } = error
    const place = `column ${field}${where === undefined ? '' : `, ${where}`}`
    throw new ConfigError(message, { where: place, expected, got, hint })
  }
}

/**
 * The columns of a configuration, by field name. Keys that no column uses are left alone; one URI is resolved once.
 * @param resolveKey - Finds the key of a URI.
 * @throws ConfigError; FpeError of the column or its key; what `resolveKey` throws.
 */
export async function openColumns(
  config: FpeConfig,
  resolveKey: (uri: string) => Promise<BlockCipher>,
): Promise<Map<string, Column & ColumnFacts>> {
  const ciphers = new Map<string, BlockCipher>()
  const rings = new Map<string, KeyVersions>()
  const columns = new Map<string, Column & ColumnFacts>()
  for (const [field, options] of Object.entries(config.columns)) {
    const key = config.keys[options.key]
    if (key === undefined) {
      throw new ConfigError('a column names a key that is not there', { where: `column ${field}` })
    }
    let ring = rings.get(options.key)
    if (ring === undefined) {
      const versions: Record<string, KeyVersion> = {}
      for (const [number, { uri, tweak, ...version }] of Object.entries(key.versions)) {
        const cipher = ciphers.get(uri) ?? (await resolveKey(uri))
        ciphers.set(uri, cipher)
        versions[number] = { ...version, cipher, ...(tweak && { tweak: fromHex(tweak.hex) }) }
      }
      ring = new KeyVersions({ name: options.key, current: key.current, versions })
      rings.set(options.key, ring)
    }
    const { tweak, minDomain, versionColumn } = options
    const row = tweak !== undefined && 'row' in tweak ? tweak.row : undefined
    const opened = column({
      name: field,
      format: formatOf(field, options.format),
      keys: ring,
      tenant: config.tenant ?? '',
      rowTweak: row !== undefined,
      ...(tweak && 'hex' in tweak && { tweak: fromHex(tweak.hex) }),
      ...(minDomain !== undefined && { minDomain }),
    })
    columns.set(field, Object.assign(opened, { versionColumn, rowTweakColumn: row }))
  }
  return columns
}
