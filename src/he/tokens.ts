/**
 * Ids and metadata values as keyed hashes: HMAC-SHA-256 (RFC 2104) truncated to 128 bits (RFC 2104 §5). A store
 * finds equal ones and learns nothing else of them. What is hashed is canonical JSON (RFC 8785), which has one
 * reading only.
 */
import { createHmac } from 'node:crypto'

import { canonicalJson } from '../canonical.ts'
import { EmbeddingError } from '../errors.ts'
import { type MetadataValue, TOKEN_BYTES } from './types.ts'

/** Longest id, in bytes of UTF-8. */
export const MAX_ID_BYTES = 512

/**
 * An id that can be kept.
 * @param index - Of the item in the caller's list, for the error.
 * @throws EmbeddingError ID_INVALID.
 */
export function requireId(id: unknown, index?: number): string {
  const refuse = (got: string): never => {
    throw new EmbeddingError('ID_INVALID', 'an id cannot be kept', {
      where: 'id',
      index,
      expected: `a text of 1 to ${MAX_ID_BYTES} bytes of UTF-8`,
      got,
    })
  }
  if (typeof id !== 'string') return refuse(typeof id)
  if (!id.isWellFormed()) return refuse('a lone surrogate')
  const length = Buffer.byteLength(id)
  return length >= 1 && length <= MAX_ID_BYTES ? id : refuse(`${length} bytes`)
}

function token(key: Uint8Array, parts: readonly string[]): Uint8Array {
  const mac = createHmac('sha256', key).update(canonicalJson(parts), 'utf8').digest()
  return new Uint8Array(mac.subarray(0, TOKEN_BYTES))
}

/** Keyed hash of an id. @throws EmbeddingError ID_INVALID. */
export const idToken = (key: Uint8Array, collectionId: string, id: string): Uint8Array =>
  token(key, ['keyrite-he/1 id', collectionId, requireId(id)])

/**
 * Keyed hash of a metadata value. Its type is part of it: "1", 1 and true differ; 0 and -0 do not.
 * @throws EmbeddingError METADATA_INVALID for a text without UTF-8 form, a number that is not finite, or
 * another type.
 */
export function filterToken(
  key: Uint8Array,
  collectionId: string,
  field: string,
  value: MetadataValue,
): Uint8Array {
  const sound =
    typeof value === 'string'
      ? value.isWellFormed()
      : typeof value === 'boolean' || Number.isFinite(value)
  if (!sound || !field.isWellFormed()) {
    throw new EmbeddingError('METADATA_INVALID', 'a value cannot be filtered on', {
      where: field.toWellFormed(),
      expected: 'a text, finite number or boolean',
      got: typeof value,
    })
  }
  // String() of a number is the shortest text that reads back as it (ECMA-262 §6.1.6.1.20).
  return token(key, ['keyrite-he/1 filter', collectionId, field, typeof value, String(value)])
}
