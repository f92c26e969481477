/**
 * PKCS#11 URIs (RFC 7512): how configuration names modules, tokens and keys.
 *
 * Strict: exact grammar of §2.3, no attribute twice, percent-encoding checked. `pin-value` is refused,
 * because a PIN in a URI ends up in files, process lists and logs. No error repeats the URI's text.
 */
import { equal, fromUtf8, toHex, utf8 } from '../bytes.ts'
import { FormatError, TokenError } from '../errors.ts'

/** Values of the `type` attribute (RFC 7512 §2.3). */
export type UriObjectType = 'public' | 'private' | 'cert' | 'secret-key' | 'data'

/** A parsed URI; an attribute that is not in the URI is not in the object. */
export interface Pkcs11Uri {
  readonly token?: string
  readonly manufacturer?: string
  readonly serial?: string
  readonly model?: string
  readonly libraryManufacturer?: string
  readonly libraryDescription?: string
  readonly libraryVersion?: string
  readonly slotManufacturer?: string
  readonly slotDescription?: string
  readonly slotId?: number
  readonly object?: string
  readonly type?: UriObjectType
  /** CKA_ID. */
  readonly id?: Uint8Array
  /** Where to read the PIN; never the PIN. */
  readonly pinSource?: string
  readonly moduleName?: string
  readonly modulePath?: string
  /** Path attributes this parser has no meaning for; a URI with one matches nothing. */
  readonly vendorPath?: Readonly<Record<string, string>>
  /** Query attributes without a meaning here; ignored. May repeat (§2.3). */
  readonly vendorQuery?: Readonly<Record<string, readonly string[]>>
}

type TextField =
  | 'token'
  | 'manufacturer'
  | 'serial'
  | 'model'
  | 'libraryManufacturer'
  | 'libraryDescription'
  | 'slotManufacturer'
  | 'slotDescription'
  | 'object'

/** Attribute name → field, in the order {@link formatUri} writes them. */
const PATH_TEXT: Readonly<Record<string, TextField>> = {
  token: 'token',
  manufacturer: 'manufacturer',
  serial: 'serial',
  model: 'model',
  'library-manufacturer': 'libraryManufacturer',
  'library-description': 'libraryDescription',
  'slot-manufacturer': 'slotManufacturer',
  'slot-description': 'slotDescription',
  object: 'object',
}
const QUERY_TEXT: Readonly<Record<string, 'pinSource' | 'moduleName' | 'modulePath'>> = {
  'pin-source': 'pinSource',
  'module-name': 'moduleName',
  'module-path': 'modulePath',
}
const TYPES: readonly string[] = ['public', 'private', 'cert', 'secret-key', 'data']

// §2.3: pk11-pchar = unreserved / pk11-res-avail / "&" / pct-encoded; pk11-qchar swaps "&" for "/?|".
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/
const NAME = /^[A-Za-z0-9_-]+$/

function refuse(where: string, expected: string, hint?: string): never {
  throw new TokenError('ARGUMENT_INVALID', 'invalid PKCS#11 URI', {
    where: `pkcs11 URI: ${where}`,
    expected,
    hint,
  })
}

function decode(value: string): Uint8Array {
  const bytes = utf8(value.replaceAll(/%[0-9A-Fa-f]{2}/g, '%'))
  const escapes = [...value.matchAll(/%([0-9A-Fa-f]{2})/g)]
  let next = 0
  // '%' cannot stand for itself, so every '%' left is the place of an escape.
  return bytes.map((byte) =>
    byte === 0x25 ? Number.parseInt(escapes[next++]?.[1] ?? '', 16) : byte,
  )
}

function decodeText(name: string, value: string): string {
  try {
    return fromUtf8(decode(value))
  } catch (error) {
    if (error instanceof FormatError) refuse(name, 'percent-encoded UTF-8')
    throw error
  }
}

function decimal(name: string, value: string): number {
  if (!/^\d{1,19}$/.test(value)) refuse(name, 'decimal digits')
  const number = Number(value)
  if (!Number.isSafeInteger(number)) refuse(name, 'a number below 2^53')
  return number
}

function* split(part: string, separator: string, grammar: RegExp): Generator<[string, string]> {
  if (part === '') return
  for (const pair of part.split(separator)) {
    const at = pair.indexOf('=')
    if (at < 0) refuse('attribute without "="', `name=value, separated by "${separator}"`)
    const name = pair.slice(0, at)
    if (!NAME.test(name)) refuse('attribute name', 'letters, digits, "-" and "_"')
    const value = pair.slice(at + 1)
    if (!grammar.test(value)) {
      refuse(name, 'characters of RFC 7512 §2.3, everything else percent-encoded')
    }
    yield [name, value]
  }
}

/** @throws TokenError ARGUMENT_INVALID naming the attribute; `pin-value` always. */
export function parseUri(text: string): Pkcs11Uri {
  if (!/^pkcs11:/i.test(text)) refuse('scheme', '"pkcs11:"')
  const rest = text.slice('pkcs11:'.length)
  const question = rest.indexOf('?')
  const path = question < 0 ? rest : rest.slice(0, question)
  const query = question < 0 ? '' : rest.slice(question + 1)
  // A Map keeps hostile names such as __proto__ harmless until the object is built from known fields.
  const fields = new Map<string, unknown>()
  const vendorPath = new Map<string, string>()
  const vendorQuery = new Map<string, string[]>()
  const set = (name: string, field: string, value: unknown) => {
    if (fields.has(field)) refuse(name, 'each attribute at most once')
    fields.set(field, value)
  }
  for (const [name, value] of split(path, ';', PATH_VALUE)) {
    const field = Object.hasOwn(PATH_TEXT, name) ? PATH_TEXT[name] : undefined
    if (field !== undefined) set(name, field, decodeText(name, value))
    else if (name === 'id') set(name, 'id', decode(value))
    else if (name === 'slot-id') set(name, 'slotId', decimal(name, value))
    else if (name === 'type') {
      if (!TYPES.includes(value)) refuse(name, TYPES.join(', '))
      set(name, 'type', value)
    } else if (name === 'library-version') {
      if (!/^\d+(?:\.\d+)?$/.test(value)) refuse(name, 'digits, or digits "." digits')
      set(name, 'libraryVersion', value)
    } else {
      if (vendorPath.has(name)) refuse(name, 'each attribute at most once')
      vendorPath.set(name, decodeText(name, value))
    }
  }
  for (const [name, value] of split(query, '&', QUERY_VALUE)) {
    const field = Object.hasOwn(QUERY_TEXT, name) ? QUERY_TEXT[name] : undefined
    if (name === 'pin-value') {
      refuse(name, 'no PIN in a URI', 'use pin-source, or let keyrite ask for the PIN')
    }
    if (field !== undefined) set(name, field, decodeText(name, value))
    else vendorQuery.set(name, [...(vendorQuery.get(name) ?? []), decodeText(name, value)])
  }
  if (vendorPath.size > 0) fields.set('vendorPath', Object.fromEntries(vendorPath))
  if (vendorQuery.size > 0) fields.set('vendorQuery', Object.fromEntries(vendorQuery))
  return Object.fromEntries(fields)
}

const percent = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`

/** Encodes what is not unreserved or safe in both parts. */
const encode = (text: string): string =>
  Array.from(utf8(text), (byte) => {
    const character = String.fromCharCode(byte)
    return byte < 0x80 && /[A-Za-z0-9\-._~:,]/.test(character) ? character : percent(byte)
  }).join('')

/** `id` is always percent-encoded, byte by byte (RFC 7512 §2.3). */
const encodeId = (id: Uint8Array): string => Array.from(id, percent).join('')

/** The canonical text: attributes in a fixed order, minimal percent-encoding. */
export function formatUri(uri: Pkcs11Uri): string {
  const path = Object.entries(PATH_TEXT).flatMap(([name, field]) => {
    const value = uri[field]
    return value === undefined ? [] : [`${name}=${encode(value)}`]
  })
  if (uri.libraryVersion !== undefined) path.push(`library-version=${uri.libraryVersion}`)
  if (uri.slotId !== undefined) path.push(`slot-id=${uri.slotId}`)
  if (uri.type !== undefined) path.push(`type=${uri.type}`)
  if (uri.id !== undefined) path.push(`id=${encodeId(uri.id)}`)
  for (const [name, value] of Object.entries(uri.vendorPath ?? {})) {
    path.push(`${name}=${encode(value)}`)
  }
  const query = Object.entries(QUERY_TEXT).flatMap(([name, field]) => {
    const value = uri[field]
    return value === undefined ? [] : [`${name}=${encode(value).replaceAll('%2F', '/')}`]
  })
  for (const [name, values] of Object.entries(uri.vendorQuery ?? {})) {
    query.push(...values.map((value) => `${name}=${encode(value)}`))
  }
  return `pkcs11:${path.join(';')}${query.length === 0 ? '' : `?${query.join('&')}`}`
}

/** What a URI's token, slot and library attributes are compared with. */
export interface UriTarget {
  readonly slotId: number
  readonly label: string
  readonly manufacturerId: string
  readonly model: string
  readonly serial: string
  readonly slot: { readonly description: string; readonly manufacturerId: string }
  readonly library: {
    readonly libraryDescription: string
    readonly manufacturerId: string
    readonly libraryVersion: string
  }
}

/** A URI attribute that this library cannot honour must not widen the match. */
function refuseVendor(uri: Pkcs11Uri): void {
  const [name] = Object.keys(uri.vendorPath ?? {})
  if (name !== undefined) refuse(name, 'a path attribute of RFC 7512', 'remove the attribute')
}

/** `3` matches 3.0; `1.23` matches 1.23 only (§2.3: a missing minor number is 0). */
const sameVersion = (wanted: string, got: string): boolean =>
  (wanted.includes('.') ? wanted : `${wanted}.0`) === got

/** Whether the token, slot and library attributes of `uri` all match (RFC 7512 §2.5). */
export function matchesToken(uri: Pkcs11Uri, target: UriTarget): boolean {
  refuseVendor(uri)
  const pairs: readonly (readonly [unknown, unknown])[] = [
    [uri.token, target.label],
    [uri.manufacturer, target.manufacturerId],
    [uri.serial, target.serial],
    [uri.model, target.model],
    [uri.slotId, target.slotId],
    [uri.slotDescription, target.slot.description],
    [uri.slotManufacturer, target.slot.manufacturerId],
    [uri.libraryDescription, target.library.libraryDescription],
    [uri.libraryManufacturer, target.library.manufacturerId],
  ]
  return (
    pairs.every(([wanted, got]) => wanted === undefined || wanted === got) &&
    (uri.libraryVersion === undefined ||
      sameVersion(uri.libraryVersion, target.library.libraryVersion))
  )
}

/** What a URI's object attributes are compared with. */
export interface UriObject {
  readonly label: string
  readonly id: Uint8Array
  readonly class: 'secret-key' | 'private-key' | 'public-key'
}

const CLASS_OF: Readonly<Partial<Record<UriObjectType, UriObject['class']>>> = {
  public: 'public-key',
  private: 'private-key',
  'secret-key': 'secret-key',
}

/**
 * The key class a URI asks for; `undefined`: any.
 * @throws TokenError ARGUMENT_INVALID for `cert` and `data`, and for a URI that names no object.
 */
export function keyClassOf(uri: Pkcs11Uri): UriObject['class'] | undefined {
  refuseVendor(uri)
  if (uri.object === undefined && uri.id === undefined) {
    refuse('object', 'object= or id= of the key')
  }
  if (uri.type === undefined) return undefined
  return CLASS_OF[uri.type] ?? refuse('type', 'public, private or secret-key')
}

/** Whether the object attributes of `uri` all match. */
export const matchesObject = (uri: Pkcs11Uri, object: UriObject): boolean =>
  (uri.object === undefined || uri.object === object.label) &&
  (uri.id === undefined || equal(uri.id, object.id)) &&
  (uri.type === undefined || CLASS_OF[uri.type] === object.class)

/** Short text for error messages: object, type and id, no query. */
export const describeObject = (uri: Pkcs11Uri): string =>
  [
    uri.object === undefined ? '' : `object=${uri.object}`,
    uri.type === undefined ? '' : `type=${uri.type}`,
    uri.id === undefined ? '' : `id=${toHex(uri.id)}`,
  ]
    .filter((part) => part !== '')
    .join(';')
