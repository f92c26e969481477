/**
 * RFC 8785 JSON Canonicalization Scheme, for the values keyrite signs and hashes.
 * Numbers are restricted to safe integers, so the number serialisation of RFC 8785 §3.2.2.3 is never
 * in doubt; anything else is refused.
 */
import { sha256, utf8 } from './bytes.ts'
import { FormatError } from './errors.ts'
import type { Json } from './types.ts'

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

function encode(value: unknown, where: string): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return string(value, where)
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) && !Object.is(value, -0)
      ? String(value)
      : refuse(where, `number ${String(value)}`)
  }
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => encode(item, `${where}[${index}]`)).join(',')}]`
  }
  if (typeof value === 'object') {
    const proto: unknown = Object.getPrototypeOf(value)
    if (proto !== Object.prototype && proto !== null) refuse(where, 'an object with a class')
    // RFC 8785 §3.2.3: keys sorted by UTF-16 code units, which is JavaScript's default string order.
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    const members = entries.map(
      ([key, item]) => `${string(key, where)}:${encode(item, `${where}.${key}`)}`,
    )
    return `{${members.join(',')}}`
  }
  return refuse(where, typeof value)
}

/** Canonical JSON text of a value; throws {@link FormatError} for values without one. */
export const canonicalJson = (value: Json): string => encode(value, '$')

/** SHA-256 over the UTF-8 bytes of the canonical JSON. */
export const canonicalDigest = (value: Json): Uint8Array => sha256(utf8(canonicalJson(value)))
