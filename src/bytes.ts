/** Byte-array primitives shared by all layers. */
import { createHash, timingSafeEqual } from 'node:crypto'

import { FormatError } from './errors.ts'

/** UTF-8 bytes of a string; throws {@link FormatError} on a lone surrogate, which has no UTF-8 form. */
export function utf8(text: string): Uint8Array {
  // TextEncoder would replace it with U+FFFD, so two texts would share one hash or signature.
  if (!text.isWellFormed()) {
    throw new FormatError('text has no UTF-8 form', { where: 'text', got: 'a lone surrogate' })
  }
  return new TextEncoder().encode(text)
}

/** Text of UTF-8 bytes; throws {@link FormatError} on malformed input. */
export function fromUtf8(bytes: Uint8Array, where = 'text'): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new FormatError('not valid UTF-8', { where })
  }
}

/**
 * Lenient decoding, to be compared with its re-encoding by the caller. Decodes in place: the text may be
 * a secret, and `Buffer.from(text)` would leave a copy in Node's shared pool.
 */
function decode(text: string, encoding: 'hex' | 'base64', length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  const written = Buffer.from(bytes.buffer).write(text, encoding)
  return written === length ? bytes : bytes.subarray(0, written)
}

/** Lower-case hexadecimal. */
export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** Strict lower-case hexadecimal; throws {@link FormatError}. */
export function fromHex(text: string, where = 'hex'): Uint8Array {
  const bytes = decode(text, 'hex', text.length >>> 1)
  if (toHex(bytes) !== text) {
    throw new FormatError('not lower-case hexadecimal', { where, expected: 'pairs of 0-9a-f' })
  }
  return bytes
}

/** Padded base64 (RFC 4648 §4). */
export const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

/** Strict padded base64 whose unused bits are zero (RFC 4648 §3.5); throws {@link FormatError}. */
export function fromBase64(text: string, where = 'base64'): Uint8Array {
  const bytes = decode(text, 'base64', Buffer.byteLength(text, 'base64'))
  if (toBase64(bytes) !== text) {
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

/**
 * Zeroed bytes for a secret. Arrays of up to 64 bytes lie on the heap that V8's garbage collector moves, where
 * each move leaves a copy that nobody wipes; one over a buffer of its own stays where it is.
 */
export const secretBytes = (length: number): Uint8Array => new Uint8Array(new ArrayBuffer(length))

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
