/**
 * RFC 8785 JSON Canonicalization Scheme, for the values keyrite signs and hashes.
 * Numbers are restricted to safe integers, so the number serialisation of RFC 8785 §3.2.2.3 is never
 * in doubt, and nesting to {@link MAX_DEPTH}; anything else is refused.
 */
import { sha256, utf8 } from './bytes.ts'
import { FormatError } from './errors.ts'
import type { Json } from './types.ts'

/** Deepest nesting written or read, so that hostile input cannot exhaust the stack. */
export const MAX_DEPTH = 64

function refuse(where: string, got: string): never {
  throw new FormatError('value has no canonical JSON form', {
    where,
    expected: 'string, safe integer, boolean, null, array or plain object',
    got,
  })
}

function string(text: string, where: string): string {
  // RFC 8785 §3.2.2.2: lone surrogates are an error.
  if (!text.isWellFormed()) refuse(where, 'string with a lone surrogate')
  return JSON.stringify(text)
}

function encode(value: unknown, where: string, depth = 0): string {
  if (depth > MAX_DEPTH) refuse(where, `nesting deeper than ${MAX_DEPTH}`)
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return string(value, where)
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && !Object.is(value, -0)
      ? String(value)
      : refuse(where, `number ${String(value)}`)
  }
  if (Array.isArray(value)) {
    // Array.from visits the holes of a sparse array, which map() would leave out.
    const items = Array.from(value, (item, index) => encode(item, `${where}[${index}]`, depth + 1))
    return `[${items.join(',')}]`
  }
  if (typeof value === 'object') {
    const proto: unknown = Object.getPrototypeOf(value)
    if (proto !== Object.prototype && proto !== null) refuse(where, 'an object with a class')
    if (Object.getOwnPropertySymbols(value).length > 0) refuse(where, 'a symbol as key')
    // RFC 8785 §3.2.3: keys sorted by UTF-16 code units, which is JavaScript's default string order.
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    const members = entries.map(
      ([key, item]) => `${string(key, where)}:${encode(item, `${where}.${key}`, depth + 1)}`,
    )
    return `{${members.join(',')}}`
  }
  return refuse(where, typeof value)
}

/** Canonical JSON text of a value; throws {@link FormatError} for values without one. */
export const canonicalJson = (value: Json): string => encode(value, '$')

/** SHA-256 over the UTF-8 bytes of the canonical JSON. */
export const canonicalDigest = (value: Json): Uint8Array => sha256(utf8(canonicalJson(value)))

/**
 * Value of a text that is canonical JSON to the byte: the re-encoding is compared, which rules out
 * duplicate keys, white space, other escapes and other number forms. Throws {@link FormatError}.
 */
export function parseCanonicalJson(text: string, where = 'JSON'): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (cause) {
    throw new FormatError('not JSON', { where, cause })
  }
  if (encode(value, where) !== text) {
    throw new FormatError('not canonical JSON', { where, expected: 'the RFC 8785 form' })
  }
  return value
}
