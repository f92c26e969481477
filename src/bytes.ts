/** Byte-array primitives shared by all layers. */
import { createHash, timingSafeEqual } from 'node:crypto'

import { FormatError } from './errors.ts'

const HEX = /^(?:[0-9a-f]{2})*$/
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** UTF-8 bytes of a string. */
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Text of UTF-8 bytes; throws {@link FormatError} on malformed input. */
export function fromUtf8(bytes: Uint8Array, where = 'text'): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new FormatError('not valid UTF-8', { where })
  }
}

/** Lower-case hexadecimal. */
export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** Strict lower-case hexadecimal; throws {@link FormatError}. */
export function fromHex(text: string, where = 'hex'): Uint8Array {
  if (!HEX.test(text)) {
    throw new FormatError('not lower-case hexadecimal', { where, expected: 'pairs of 0-9a-f' })
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Padded base64 (RFC 4648 §4). */
export const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

/** Strict padded base64 whose unused bits are zero (RFC 4648 §3.5); throws {@link FormatError}. */
export function fromBase64(text: string, where = 'base64'): Uint8Array {
  const bytes = BASE64.test(text) ? new Uint8Array(Buffer.from(text, 'base64')) : undefined
  if (bytes === undefined || toBase64(bytes) !== text) {
    throw new FormatError('not canonical base64', { where, expected: 'RFC 4648 §4 with padding' })
  }
  return bytes
}

/** One array holding all parts in order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Equality in time that depends on the lengths only. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b)

/** Overwrites secrets with zeros. Copies made by the JavaScript engine are out of its reach. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0)
}

/** SHA-256 (FIPS 180-4) of the parts, in order. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
