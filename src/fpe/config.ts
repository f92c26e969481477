/**
 * Columns from a JSON file: keys by name and version, columns by field. The one place of this layer that reads
 * with zod; inside, plain types. The file holds no secret: keys are RFC 7512 URIs, and pin-value is refused.
 */
import * as z from 'zod'

import { fromHex } from '../bytes.ts'
import { ConfigError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { alphabet, alphabets } from './alphabet.ts'
import { column } from './column.ts'
import { type ConfigSource, readConfig } from './config-source.ts'
import type { Format } from './format.ts'
import { type KeyVersion, KeyVersions } from './key-versions.ts'
import { pan } from './pan.ts'
import { ssn } from './ssn.ts'
import { text } from './text.ts'
import type { Alphabet, Column } from './types.ts'

const count = z.int().nonnegative()
const name = z.string().min(1).max(200)
const hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2}){0,4096}$/, 'expected pairs of lower-case hexadecimal digits')

/** A built-in alphabet by name, else the symbols in their order. */
const alphabetOption = z.union(
  [
    z.enum(Object.keys(alphabets) as [keyof typeof alphabets]),
    z.strictObject({ symbols: z.union([z.string(), z.array(z.string())]) }),
  ],
  { error: `expected { symbols } or one of ${Object.keys(alphabets).join(', ')}` },
)
type AlphabetOption = z.infer<typeof alphabetOption>
const alphabetOf = (option: AlphabetOption): Alphabet =>
  typeof option === 'string' ? alphabets[option] : alphabet(option.symbols)

const format = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pan'),
    keepFirst: count.exactOptional(),
    keepLast: count.exactOptional(),
    luhn: z.boolean().exactOptional(),
    digits: z.union([count, z.tuple([count, count])]).exactOptional(),
  }),
  z.strictObject({
    type: z.literal('ssn'),
    keepLast: z.union([z.literal(0), z.literal(4)]).exactOptional(),
    strict: z.boolean().exactOptional(),
  }),
  z.strictObject({
    type: z.literal('text'),
    alphabet: alphabetOption,
    minLength: count.exactOptional(),
    maxLength: count.exactOptional(),
    keepFirst: count.exactOptional(),
    keepLast: count.exactOptional(),
  }),
])

const keyVersion = z.strictObject({
  /** RFC 7512 §2.4: a PIN inside the URI is world-readable. */
  uri: z
    .string()
    .regex(/^pkcs11:/, 'expected a pkcs11: URI')
    .refine((uri) => !/[?&;]pin-value=/i.test(uri), 'pin-value is refused: a PIN is a secret'),
  method: z.enum(['FF1', 'FF3-1']).exactOptional(),
  allowNonApproved: z.boolean().exactOptional(),
  allowEncrypt: z.boolean().exactOptional(),
  /** The tweak of data that other software made. */
  tweak: z.strictObject({ hex }).exactOptional(),
})

const versionNumber = z.string().regex(/^[1-9][0-9]{0,9}$/, 'expected a whole number from 1')

const configSchema = z.strictObject({
  /** For editors. */
  $schema: z.string().exactOptional(),
  keyrite: z.literal('fpe/1'),
  /** Bound into every tweak. */
  tenant: z.string().max(200).exactOptional(),
  keys: z.record(
    name,
    z.strictObject({
      current: z.int().positive(),
      versions: z.record(versionNumber, keyVersion),
    }),
  ),
  columns: z.record(
    name,
    z.strictObject({
      key: name,
      format,
      /** One tweak for all values, or the column whose text is bound into the tweak of each row. */
      tweak: z
        .union([z.strictObject({ hex }), z.strictObject({ row: name })], {
          error: 'expected { hex } or { row }',
        })
        .exactOptional(),
      minDomain: z.int().min(100).exactOptional(),
      /** The column that holds the key version of each row. */
      versionColumn: name.exactOptional(),
    }),
  ),
})

/** A configuration as written, checked for its form. */
export type FpeConfig = z.infer<typeof configSchema>

/** What a configured column says beside {@link Column}: which other columns it needs. */
export interface ColumnFacts {
  /** Holds the key version of each row. */
  readonly versionColumn: string | undefined
  /** Its text is the row tweak. */
  readonly rowTweakColumn: string | undefined
}

/** JSON Schema (2020-12) of the file, for editors. */
export function fpeConfigSchema(): string {
  const generated = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  return `${JSON.stringify({ ...generated, title: 'keyrite columns' }, null, 2)}\n`
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
    if (!(current in versions)) {
      refuse(source, ['keys', key, 'current'], 'the number of a version that is there')
    }
  }
  for (const [field, { key, versionColumn, tweak }] of Object.entries(columns)) {
    if (!(key in keys)) refuse(source, ['columns', field, 'key'], 'the name of a key above')
    if (versionColumn !== undefined && versionColumn in columns) {
      refuse(source, ['columns', field, 'versionColumn'], 'a column that is not encrypted itself')
    }
    if (tweak !== undefined && 'row' in tweak && tweak.row in columns) {
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

function openFormat(option: FpeConfig['columns'][string]['format']): Format {
  switch (option.type) {
    case 'pan':
      return pan(untyped(option))
    case 'ssn':
      return ssn(untyped(option))
    case 'text':
      return text({ ...untyped(option), alphabet: alphabetOf(option.alphabet) })
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
      format: openFormat(options.format),
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
