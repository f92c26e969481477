/** Files with a wrapped key, whether under one KEK or under two: told apart by their format, opened alike. */
import { FormatError, TokenError } from '../errors.ts'
import type { Key, KeySpec } from '../pkcs11/index.ts'
import {
  NESTED_FORMAT,
  type NestedBlob,
  formatNestedBlob,
  parseNestedBlob,
  unwrapNested,
  wrapNested,
} from './nested-wrap.ts'
import {
  SINGLE_FORMAT,
  type SingleBlob,
  formatSingleBlob,
  parseSingleBlob,
  unwrapSingle,
  wrapSingle,
} from './single-wrap.ts'
import type { KekOnToken } from './wrap-schema.ts'

/** A file's content. */
export type WrappedKey = NestedBlob | SingleBlob

/** The KEKs of a file; `outer` of the nested wrap only. */
export interface WrappingKeks {
  readonly inner: KekOnToken
  readonly outer?: KekOnToken
}

/** Whether two KEKs are needed. */
export const isNested = (blob: WrappedKey): blob is NestedBlob => blob.format === NESTED_FORMAT

function wrongLayers(where: string, expected: number): TokenError {
  return new TokenError('ARGUMENT_INVALID', 'the wrapped key has another number of layers', {
    where,
    expected: `${expected} wrapping ${expected === 1 ? 'key' : 'keys'}`,
    got: `${expected === 1 ? 2 : 1}`,
  })
}

/**
 * The text of a file that holds `key`. Under one KEK only an `embedding-seed` leaves.
 * @throws TokenError ARGUMENT_INVALID; Pkcs11Error when the token does not let it go.
 */
export async function wrapKeyText(
  key: Key,
  role: string,
  { inner, outer }: WrappingKeks,
  planSha256: string,
): Promise<string> {
  if (outer !== undefined) {
    return formatNestedBlob(await wrapNested(key, role, inner, outer, planSha256))
  }
  if (role !== 'embedding-seed') throw wrongLayers(`key ${key.label}, role ${role}`, 2)
  return formatSingleBlob(await wrapSingle(key, inner, planSha256))
}

/** Strict; throws FormatError. */
export function parseWrappedKey(text: string, where: string): WrappedKey {
  let format: unknown
  try {
    format = (JSON.parse(text) as { readonly format?: unknown } | null)?.format
  } catch (cause) {
    throw new FormatError('wrapped key is not JSON', { where, cause })
  }
  return format === SINGLE_FORMAT ? parseSingleBlob(text, where) : parseNestedBlob(text, where)
}

/**
 * Creates the key of a file under `spec` on the inner KEK's token, once everything the file says holds.
 * @throws TokenError ARGUMENT_INVALID when a KEK is missing or too many, KEY_CHANGED; Pkcs11Error when a
 * layer does not open.
 */
export async function unwrapKeyBlob(
  blob: WrappedKey,
  { inner, outer }: WrappingKeks,
  spec: KeySpec,
): Promise<Key> {
  if (isNested(blob)) {
    if (outer === undefined) throw wrongLayers(blob.bound.key.label, 2)
    return unwrapNested(blob, inner, outer, spec)
  }
  if (outer !== undefined) throw wrongLayers(blob.bound.key.label, 1)
  return unwrapSingle(blob, inner, spec)
}
