/** What the import formats have in common: a record's fields become an item, or an error that says where. */
import { utf8 } from '../bytes.ts'
import { FormatError } from '../errors.ts'
import type { Item, Metadata, MetadataValue } from './types.ts'

/** Which field of a record is what. */
export interface FieldMapping {
  /** Default: `id`. */
  readonly idField?: string | undefined
  /** Default: `vector`, or else `embedding`. */
  readonly vectorField?: string | undefined
  /**
   * Fields kept as metadata. Default: all others; those of an object in the field `metadata` count as
   * fields of the record.
   */
  readonly fields?: readonly string[] | undefined
  /** What happens to metadata that are lists or objects: an error (default), or kept as JSON text. */
  readonly nested?: 'refuse' | 'json' | undefined
  /** Coordinates that every vector must have. */
  readonly dimensions?: number | undefined
}

/** A record as the formats deliver it. */
export type Fields = Readonly<Record<string, unknown>>

const MAX_ID_BYTES = 512

const kindOf = (value: unknown): string => {
  if (typeof value === 'bigint') return 'a whole number'
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** @throws FormatError. */
export function idOf(value: unknown, where: string): string {
  const whole =
    typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
  const id = whole ? String(value) : value
  const expected = `1 to ${MAX_ID_BYTES} bytes of text, or a whole number`
  if (typeof id !== 'string' || id === '' || !id.isWellFormed()) {
    const got =
      id === '' ? 'an empty text' : typeof id === 'string' ? 'a lone surrogate' : kindOf(id)
    throw new FormatError('an id is missing or no id', { where, expected, got })
  }
  const { length } = utf8(id)
  if (length > MAX_ID_BYTES) {
    throw new FormatError('an id is too long', { where, expected, got: `${length} bytes` })
  }
  return id
}

/** A list of numbers as float32. The error names the coordinate, never its value. @throws FormatError. */
export function vectorOf(value: unknown, where: string, dimensions?: number): Float32Array {
  const list = Array.isArray(value) || ArrayBuffer.isView(value)
  if (!list || value instanceof DataView) {
    const expected = 'a list of numbers'
    throw new FormatError('a vector is missing or no list', { where, expected, got: kindOf(value) })
  }
  const numbers = value as ArrayLike<unknown>
  const { length } = numbers
  if (length === 0 || (dimensions !== undefined && length !== dimensions)) {
    throw new FormatError('a vector has another length', {
      where,
      expected: dimensions === undefined ? 'at least one number' : `${dimensions} numbers`,
      got: String(length),
    })
  }
  const vector = new Float32Array(length)
  for (let i = 0; i < length; i += 1) {
    const given = numbers[i]
    // JSON that writes a large coordinate with all its digits; float32 has fewer anyway.
    const number = typeof given === 'bigint' ? Number(given) : given
    vector[i] = typeof number === 'number' ? number : Number.NaN
    if (Number.isFinite(vector[i])) continue
    throw new FormatError('a coordinate is no number of float32', {
      where: `${where}[${i}]`,
      expected: 'a finite number, at most 3.4e38 in size',
      got: typeof number === 'number' ? 'infinite, too large or not a number' : kindOf(number),
    })
  }
  return vector
}

/** The number that has all digits of an integer. @throws FormatError when none has. */
function exactNumber(value: bigint, where: string): number {
  if (String(Number(value)) === String(value)) return Number(value)
  throw new FormatError('a whole number in metadata is too large to be kept exactly', {
    where,
    expected: `at most ${Number.MAX_SAFE_INTEGER} in size (2^53 - 1)`,
    got: 'a larger one',
    hint: 'write it as text, in quotation marks; filters then ask for the same text',
  })
}

function metadataValue(value: unknown, where: string, nested: 'refuse' | 'json'): MetadataValue {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string' && value.isWellFormed()) return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'bigint') return exactNumber(value, where)
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  const structured = typeof value === 'object' && !ArrayBuffer.isView(value)
  if (structured && nested === 'json') {
    return JSON.stringify(value, (_, inner: unknown) => {
      return typeof inner === 'bigint' ? exactNumber(inner, where) : inner
    })
  }
  const got = typeof value === 'number' ? 'a number that is not finite' : kindOf(value)
  throw new FormatError('metadata have a value that cannot be kept', {
    where,
    expected: 'text, a finite number, true or false',
    got: typeof value === 'string' ? 'a lone surrogate' : got,
    hint: structured
      ? 'lists and objects can be kept as JSON text, or the field left out'
      : undefined,
  })
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !ArrayBuffer.isView(value) &&
  !(value instanceof Date)

/** The fields of a record that are metadata, with those of its object `metadata` beside them. */
function spread(record: Fields, where: string, without: readonly string[]): Fields {
  const rest = (skip: readonly string[]): Fields =>
    Object.fromEntries(Object.entries(record).filter(([name]) => !skip.includes(name)))
  const inner = Object.hasOwn(record, 'metadata') ? record['metadata'] : undefined
  if (!isObject(inner)) return rest(without)
  const outer = rest([...without, 'metadata'])
  for (const name of Object.keys(inner)) {
    if (!Object.hasOwn(outer, name)) continue
    throw new FormatError('a field is there twice', {
      where: `${where}, ${name}`,
      expected: 'a name either beside `metadata` or in it',
    })
  }
  return { ...outer, ...inner }
}

/**
 * Metadata of a record; fields that are null or missing are left out.
 * @param without - Fields of the record that are something else.
 * @throws FormatError.
 */
export function metadataOf(
  record: Fields,
  where: string,
  { fields, nested = 'refuse' }: FieldMapping,
  without: readonly string[],
): Metadata | undefined {
  // What is asked for by name is kept, also if it is the id as well.
  const all = spread(record, where, fields === undefined ? without : [])
  const entries = (fields ?? Object.keys(all)).flatMap((name) => {
    const value = Object.hasOwn(all, name) ? all[name] : undefined
    if (value === null || value === undefined) return []
    return [[name, metadataValue(value, `${where}, ${name}`, nested)] as const]
  })
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** The item in a record that has all of it. @throws FormatError. */
export function itemOf(record: Fields, where: string, mapping: FieldMapping): Item {
  const { idField = 'id', dimensions } = mapping
  const vectorField =
    mapping.vectorField ?? (Object.hasOwn(record, 'vector') ? 'vector' : 'embedding')
  const own = (name: string): unknown => (Object.hasOwn(record, name) ? record[name] : undefined)
  const id = idOf(own(idField), `${where}, ${idField}`)
  const vector = vectorOf(own(vectorField), `${where}, ${vectorField}`, dimensions)
  const metadata = metadataOf(record, where, mapping, [idField, vectorField])
  return metadata === undefined ? { id, vector } : { id, vector, metadata }
}
