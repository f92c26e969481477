/**
 * The tweak of a column's values: what a ciphertext is bound to, so that equal values in other fields, of
 * other tenants, under other key versions or beside other clear parts do not become equal ciphertexts.
 *
 * Encoding, injective because every part of open length carries its length:
 *
 *     u8 1 | u8 length, tenant | u8 length, field | u32 key version
 *          | u8 1, u16 length, row tweak   or   u8 0
 *          | u8 count | (u16 length, clear part) each
 *
 * Texts in UTF-8, integers big-endian. What is the same for all values of a column stands first, so that the
 * AES blocks over it are shared (SP 800-38G §5.1 Alg. 7 step 6.i: Q begins with the tweak). Separators and
 * literals are layout and no part of it: a card number encrypts alike with hyphens and without.
 */
import { utf8 } from '../bytes.ts'
import { ConfigError, FpeError } from '../errors.ts'
import { MAX_TWEAK } from './parameters.ts'

/** Version of the encoding. */
const ENCODING = 1
/** Longest tenant and field name, in bytes. */
const MAX_NAME = 255
const MAX_PARTS = 255

/** What all values of a column share. */
export interface TweakNames {
  readonly tenant: string
  readonly field: string
}

function name(text: string, where: string): Uint8Array {
  const bytes = text.isWellFormed() ? utf8(text) : undefined
  if (bytes === undefined || bytes.length > MAX_NAME) {
    throw new ConfigError('a name cannot be bound into the tweak', {
      where,
      expected: `at most ${MAX_NAME} bytes of UTF-8`,
    })
  }
  return bytes
}

/**
 * The part of the tweak that all values of a column have under one key version.
 * @throws ConfigError when a name is too long or the version is no u32.
 */
export function tweakHead({ tenant, field }: TweakNames, version: number): Uint8Array {
  if (!Number.isInteger(version) || version < 0 || version > 0xffff_ffff) {
    throw new ConfigError('a key version is out of range', {
      where: field,
      expected: 'a whole number below 2^32',
    })
  }
  const [tenantBytes, fieldBytes] = [name(tenant, 'tenant'), name(field, 'field name')]
  const head = Buffer.alloc(3 + tenantBytes.length + fieldBytes.length + 4)
  let at = head.writeUInt8(ENCODING, 0)
  for (const bytes of [tenantBytes, fieldBytes]) {
    at = head.writeUInt8(bytes.length, at)
    head.set(bytes, at)
    at += bytes.length
  }
  head.writeUInt32BE(version, at)
  return new Uint8Array(head)
}

function isAscii(part: string): boolean {
  for (let i = 0; i < part.length; i++) if (part.charCodeAt(i) > 0x7f) return false
  return true
}

/** Bytes of a part. Nearly all are ASCII, and need no encoder. @throws FpeError TWEAK_INVALID. */
function sizeOf(part: string): number {
  if (isAscii(part)) return part.length
  if (!part.isWellFormed()) {
    throw new FpeError('TWEAK_INVALID', 'a part of the tweak is no Unicode text', {
      expected: 'no lone surrogates',
    })
  }
  return Buffer.byteLength(part)
}

/** Writes a part with its length before it. */
function write(out: Uint8Array, at: number, part: string): number {
  const length = sizeOf(part)
  out[at] = length >>> 8
  out[at + 1] = length
  if (length === part.length) {
    for (let i = 0; i < length; i++) out[at + 2 + i] = part.charCodeAt(i)
  } else out.set(utf8(part), at + 2)
  return at + 2 + length
}

/**
 * The tweak of one value.
 * @param row - Text of the row tweak, for columns that have one; it may be empty.
 * @throws FpeError TWEAK_INVALID when a part is too long or no Unicode text.
 */
export function tweakOf(
  head: Uint8Array,
  clear: readonly string[],
  row: string | undefined,
): Uint8Array {
  let length = head.length + 2 + (row === undefined ? 0 : 2 + sizeOf(row))
  for (const part of clear) length += 2 + sizeOf(part)
  if (length > MAX_TWEAK || clear.length > MAX_PARTS) {
    throw new FpeError('TWEAK_INVALID', 'too much is kept or bound for one tweak', {
      expected: `at most ${MAX_TWEAK} bytes in at most ${MAX_PARTS} clear parts`,
      got: `${length} bytes in ${clear.length} clear parts`,
    })
  }
  const tweak = new Uint8Array(length)
  tweak.set(head)
  let at = head.length
  tweak[at++] = row === undefined ? 0 : 1
  if (row !== undefined) at = write(tweak, at, row)
  tweak[at++] = clear.length
  for (const part of clear) at = write(tweak, at, part)
  return tweak
}
