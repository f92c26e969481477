/** The form of a configuration of columns, and its JSON Schema. zod is used nowhere else in this layer. */
import * as z from 'zod'

import { alphabets } from './alphabet.ts'

const count = z.int().nonnegative()
const name = z.string().min(1).max(200)
const hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2}){0,4096}$/, 'expected pairs of lower-case hexadecimal digits')
const lengths = z.union([count, z.tuple([count, count])], {
  error: 'expected a number or [fewest, most]',
})

/** A built-in alphabet by name, else the symbols in their order. */
const alphabet = z.union(
  [
    z.enum(Object.keys(alphabets) as (keyof typeof alphabets)[]),
    z.strictObject({ symbols: z.union([z.string(), z.array(z.string())]) }),
  ],
  { error: `expected { symbols } or one of ${Object.keys(alphabets).join(', ')}` },
)
/** See {@link alphabet}. */
export type AlphabetOption = z.infer<typeof alphabet>

const keptEnds = { keepFirst: count.exactOptional(), keepLast: count.exactOptional() }
/** Beyond 2^53 as text. */
const whole = z.union([z.int(), z.string().regex(/^-?\d{1,100}$/)], {
  error: 'expected a whole number, beyond 2^53 as text',
})

const part = z.union(
  [
    z.strictObject({ literal: z.string().min(1) }),
    z.strictObject({ separator: z.string().min(1) }),
    z.strictObject({ encrypt: z.strictObject({ alphabet, length: lengths }) }),
    z.strictObject({
      keep: z.strictObject({ alphabet: z.union([z.literal('any'), alphabet]), length: lengths }),
    }),
  ],
  { error: 'expected one of { literal }, { separator }, { encrypt }, { keep }' },
)

const format = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pan'),
    ...keptEnds,
    luhn: z.boolean().exactOptional(),
    digits: lengths.exactOptional(),
  }),
  z.strictObject({
    type: z.literal('ssn'),
    keepLast: z.union([z.literal(0), z.literal(4)]).exactOptional(),
    strict: z.boolean().exactOptional(),
  }),
  z.strictObject({
    type: z.literal('iban'),
    ...keptEnds,
    countries: z.array(z.string().regex(/^[A-Z]{2}$/)).exactOptional(),
  }),
  z.strictObject({
    type: z.literal('phone'),
    ...keptEnds,
    separators: z.string().exactOptional(),
    national: z.boolean().exactOptional(),
  }),
  z.strictObject({ type: z.literal('email'), alphabet: alphabet.exactOptional() }),
  z.strictObject({ type: z.literal('uuid'), case: z.enum(['lower', 'upper']).exactOptional() }),
  z.strictObject({
    type: z.literal('date'),
    pattern: z.string(),
    min: z.string(),
    max: z.string(),
  }),
  z.strictObject({
    type: z.literal('integer'),
    min: whole,
    max: whole,
    width: count.exactOptional(),
  }),
  z.strictObject({
    type: z.literal('text'),
    alphabet,
    minLength: count.exactOptional(),
    maxLength: count.exactOptional(),
    ...keptEnds,
  }),
  z.strictObject({ type: z.literal('template'), parts: z.array(part).min(1), ...keptEnds }),
])
/** A format by its type, with its options. */
export type FormatOption = z.infer<typeof format>

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

const column = z.strictObject({
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
})

/** A configuration file. */
export const configSchema = z.strictObject({
  /** For editors. */
  $schema: z.string().exactOptional(),
  keyrite: z.literal('fpe/1'),
  /** Bound into every tweak. */
  tenant: z.string().max(200).exactOptional(),
  keys: z.record(
    name,
    z.strictObject({
      current: z.int().positive(),
      versions: z.record(
        z.string().regex(/^[1-9][0-9]{0,9}$/, 'expected a whole number from 1'),
        keyVersion,
      ),
    }),
  ),
  columns: z.record(name, column),
})

/** A configuration as written, checked for its form. */
export type FpeConfig = z.infer<typeof configSchema>

/** JSON Schema (2020-12) of the file, for editors. */
export function fpeConfigSchema(): string {
  const generated = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' })
  return `${JSON.stringify({ ...generated, title: 'keyrite columns' }, null, 2)}\n`
}
