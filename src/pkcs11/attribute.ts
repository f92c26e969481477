/**
 * Typed attributes: which kind of value each CKA_* has, how it is encoded for the module and
 * decoded again. Anything that is not exactly of its kind is refused here, in TypeScript, because
 * a wrong type inside the native layer can crash the process.
 */
import { fromUtf8, utf8 } from '../bytes.ts'
import { FormatError, TokenError } from '../errors.ts'
import { CK_UNAVAILABLE_INFORMATION } from './constants.ts'
import { attributeTypeName, CKA } from './constants-cka.ts'
import { ATTRIBUTE_KINDS } from './attribute-kinds.ts'
import type { AttributeKind } from './attribute-kinds.ts'

/** Names without `CKA_` of the attributes that have a kind. */
export type AttributeName = keyof typeof ATTRIBUTE_KINDS

/** `0x` and hex digits: an attribute keyrite has no name for; its value is raw bytes. */
export type VendorAttribute = `0x${string}`

/**
 * Values by kind. ULONGs are 0 to 2^32-1; a read ULONG of all ones (CK_UNAVAILABLE_INFORMATION)
 * is -1. Dates are `YYYY-MM-DD`, empty for an empty CK_DATE.
 */
export interface KindValues {
  bool: boolean
  ulong: number
  text: string
  bytes: Uint8Array
  date: string
  mechanisms: readonly number[]
  template: Template
}

/** The value type of one attribute. */
export type AttributeValue<Name extends AttributeName = AttributeName> =
  KindValues[(typeof ATTRIBUTE_KINDS)[Name]]

/** Attributes to create, find or change objects with. Order carries no meaning. */
export type Template = {
  readonly [Name in AttributeName]?: AttributeValue<Name>
} & { readonly [vendor: VendorAttribute]: Uint8Array }

/** What became of reading one attribute. */
export type AttributeRead<Value = unknown> =
  | { readonly status: 'value'; readonly value: Value }
  /** CKR_ATTRIBUTE_SENSITIVE: it exists and the token does not give it out. */
  | { readonly status: 'sensitive' }
  /** CKR_ATTRIBUTE_TYPE_INVALID, or an empty date. */
  | { readonly status: 'absent' }
  /** The module failed on this attribute only. */
  | { readonly status: 'failed'; readonly ckr: number; readonly rv: string }
  /** The module answered with bytes that are not of the attribute's kind. */
  | { readonly status: 'malformed'; readonly bytes: Uint8Array }

/** One attribute for the addon: encoded bytes, or the attributes of a nested template. */
export type EncodedAttribute = readonly [
  type: number,
  value: Uint8Array | readonly EncodedAttribute[],
]

/** A value as read: bytes, the elements of a template, or null where the module gave none. */
export type ReadValue = Uint8Array | readonly ReadElement[] | null

/** One element of a template as read. */
export type ReadElement = readonly [type: number, value: ReadValue]

const MAX_BYTES = 0x10_0000
const MAX_DEPTH = 3
const ULONG_BYTES = 8

function refuse(name: string, expected: string, got: unknown): never {
  throw new TokenError('ARGUMENT_INVALID', `CKA_${name}: wrong attribute value`, {
    where: `CKA_${name}`,
    expected,
    got: got === null ? 'null' : got instanceof Object ? got.constructor.name : typeof got,
    hint: 'see AttributeKind in src/pkcs11/attribute-kinds.ts',
  })
}

/** CK_ULONG in the machine's byte order (little-endian on every platform Node 22+ supports here). */
function encodeUlong(value: number): Uint8Array {
  const out = new Uint8Array(ULONG_BYTES)
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true)
  return out
}

/** CK_UNAVAILABLE_INFORMATION as it is read. */
export const UNAVAILABLE = -1

function decodeUlong(bytes: Uint8Array): number | undefined {
  if (bytes.length !== ULONG_BYTES) return undefined
  const value = new DataView(bytes.buffer, bytes.byteOffset, ULONG_BYTES).getBigUint64(0, true)
  if (value === CK_UNAVAILABLE_INFORMATION) return UNAVAILABLE
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined
}

const isUlong = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff

/** CK_DATE is 8 ASCII digits (v2.40 §3.4). */
function encodeDate(name: string, value: unknown): Uint8Array {
  if (value === '') return new Uint8Array()
  const expected = 'a calendar date as YYYY-MM-DD, or the empty string'
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(value)) refuse(name, expected, value)
  const date = new Date(`${value}T00:00:00Z`)
  if (Number.isNaN(date.valueOf()) || date.toISOString().slice(0, 10) !== value) {
    refuse(name, expected, value)
  }
  return utf8(value.replaceAll('-', ''))
}

function decodeDate(bytes: Uint8Array): string | undefined {
  const digits = /^(\d{4})(\d{2})(\d{2})$/.exec(String.fromCharCode(...bytes))
  return digits === null ? undefined : digits.slice(1).join('-')
}

function encodeMechanisms(name: string, value: unknown): Uint8Array {
  if (!Array.isArray(value) || !value.every(isUlong))
    refuse(name, 'an array of CKM_* numbers', value)
  const out = new Uint8Array(value.length * ULONG_BYTES)
  value.forEach((type, at) => out.set(encodeUlong(type), at * ULONG_BYTES))
  return out
}

function decodeMechanisms(bytes: Uint8Array): number[] | undefined {
  if (bytes.length % ULONG_BYTES !== 0) return undefined
  const all = Array.from({ length: bytes.length / ULONG_BYTES }, (_, at) =>
    decodeUlong(bytes.subarray(at * ULONG_BYTES, (at + 1) * ULONG_BYTES)),
  )
  return all.some((type) => type === undefined) ? undefined : (all as number[])
}

function encodeBytes(name: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) refuse(name, 'Uint8Array', value)
  if (value.length > MAX_BYTES) refuse(name, `at most ${MAX_BYTES} bytes`, value)
  return value
}

function encodeText(name: string, value: unknown): Uint8Array {
  if (typeof value !== 'string') refuse(name, 'string', value)
  if (!value.isWellFormed()) refuse(name, 'a string without lone surrogates', value)
  return encodeBytes(name, utf8(value))
}

const ENCODERS: Readonly<
  Record<Exclude<AttributeKind, 'template'>, (name: string, value: unknown) => Uint8Array>
> = {
  bool: (name, value) =>
    typeof value === 'boolean' ? Uint8Array.of(value ? 1 : 0) : refuse(name, 'boolean', value),
  ulong: (name, value) =>
    isUlong(value) ? encodeUlong(value) : refuse(name, 'integer 0 to 4294967295', value),
  text: encodeText,
  bytes: encodeBytes,
  date: encodeDate,
  mechanisms: encodeMechanisms,
}

/** CKA_* number of a template key; throws ARGUMENT_INVALID on unknown names. */
export function attributeType(name: string): number {
  if (Object.hasOwn(ATTRIBUTE_KINDS, name)) return CKA[name as AttributeName]
  if (/^0x[0-9a-f]{1,8}$/.test(name)) {
    const type = Number.parseInt(name, 16)
    if (!NAMES.has(type)) return type
  }
  throw new TokenError('ARGUMENT_INVALID', 'unknown attribute', {
    where: name,
    expected: 'a name without CKA_, or 0x and lower-case hex digits for an attribute without name',
  })
}

const NAMES: ReadonlyMap<number, AttributeName> = new Map(
  (Object.keys(ATTRIBUTE_KINDS) as AttributeName[]).map((name) => [CKA[name], name]),
)

/**
 * Encodes a template for the addon. Entries whose value is `undefined` are left out.
 * @throws TokenError ARGUMENT_INVALID: unknown name, value not of its kind, nesting deeper than 3.
 */
export function encodeTemplate(template: Template, depth = 1): EncodedAttribute[] {
  if ((template as unknown) === null || typeof template !== 'object' || Array.isArray(template)) {
    refuse('(template)', 'an object of attribute names and values', template)
  }
  if (depth > MAX_DEPTH) refuse('(template)', `nesting of at most ${MAX_DEPTH}`, template)
  const out: EncodedAttribute[] = []
  for (const [name, value] of Object.entries(template) as [string, unknown][]) {
    if (value === undefined) continue
    const type = attributeType(name)
    const kind = kindOf(name)
    out.push([
      type,
      kind === 'template'
        ? encodeTemplate(value as Template, depth + 1)
        : ENCODERS[kind](name, value),
    ])
  }
  return out
}

/** The kind of a template key; attributes without a name are bytes. */
export const kindOf = (name: string): AttributeKind =>
  Object.hasOwn(ATTRIBUTE_KINDS, name) ? ATTRIBUTE_KINDS[name as AttributeName] : 'bytes'

const MALFORMED = Symbol('malformed')

function decodeValue(kind: AttributeKind, raw: ReadValue): unknown {
  if (kind === 'template') {
    if (raw === null) return MALFORMED
    if (!(raw instanceof Uint8Array)) return decodeNested(raw)
    return raw.length === 0 ? {} : MALFORMED
  }
  if (!(raw instanceof Uint8Array)) return MALFORMED
  switch (kind) {
    case 'bool':
      return raw.length === 1 ? raw[0] !== 0 : MALFORMED
    case 'ulong':
      return decodeUlong(raw) ?? MALFORMED
    case 'text':
      return decodeText(raw)
    case 'bytes':
      return raw
    case 'date':
      return decodeDate(raw) ?? MALFORMED
    case 'mechanisms':
      return decodeMechanisms(raw) ?? MALFORMED
  }
}

function decodeText(raw: Uint8Array): string | typeof MALFORMED {
  try {
    return fromUtf8(raw)
  } catch (error) {
    if (error instanceof FormatError) return MALFORMED
    throw error
  }
}

/** Nested templates: attributes without a name appear under `0x...`; malformed ones as raw bytes there too. */
function decodeNested(raw: readonly ReadElement[]): Template {
  const out: Record<string, unknown> = {}
  for (const [type, value] of raw) {
    const name = NAMES.get(type)
    const decoded = name === undefined ? MALFORMED : decodeValue(kindOf(name), value)
    if (name !== undefined && decoded !== MALFORMED) out[name] = decoded
    else out[`0x${type.toString(16)}`] = value instanceof Uint8Array ? value : new Uint8Array()
  }
  return out as Template
}

/** Decodes what the module gave for attribute `name`. */
export function decodeAttribute(
  name: AttributeName | VendorAttribute,
  raw: Exclude<ReadValue, null>,
): AttributeRead {
  const kind = kindOf(name)
  if (kind === 'date' && raw.length === 0) return { status: 'absent' }
  const value = decodeValue(kind, raw)
  if (value !== MALFORMED) return { status: 'value', value }
  return { status: 'malformed', bytes: raw instanceof Uint8Array ? raw : new Uint8Array() }
}

/** `CKA_LABEL` for `LABEL`; `CKA_0x...` for vendor attributes. */
export const attributeName = (name: string): string => attributeTypeName(attributeType(name))
