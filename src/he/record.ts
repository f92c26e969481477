/**
 * Records: id, float32 vector and metadata under AES-256-GCM (SP 800-38D), bound to their place.
 *
 *     nonce (12 random bytes) | ciphertext | tag (16)
 *
 * and in it, little-endian:
 *
 *     u8 1 | u16 length, id | u32 count, float32 each | u32 length, metadata as JSON | zeros up to 32 bytes
 *
 * Nonces are random: at most 2^32 records may be sealed under one key (SP 800-38D §8.3), after which the
 * collection must be rotated to a new epoch. The padding hides most of the length of id and metadata.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

import { fromUtf8, toHex, utf8, wipe } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { EmbeddingError } from '../errors.ts'
import { requireId } from './tokens.ts'
import type { Metadata } from './types.ts'

/** What a record is bound to. */
export interface RecordContext {
  readonly collectionId: string
  readonly epoch: number
  /** Empty: made by the key holder. */
  readonly session: string
  readonly token: Uint8Array
}

/** What is sealed. */
export interface RecordItem {
  readonly id: string
  readonly vector: Float32Array
  readonly metadata?: Metadata | undefined
}

/** A record in clear. */
export interface OpenedRecord {
  readonly id: string
  readonly vector: Float32Array
  readonly metadata: Metadata
}

const VERSION = 1
const NONCE = 12
const TAG = 16
const PADDING = 32

/** For the place of a fault: which ingest made the record or block, if it was one. */
export const sessionPart = ({ session }: Pick<RecordContext, 'session'>): string =>
  session === '' ? '' : `, session ${session}`

/** SP 800-38D calls it AAD. */
function associatedData({ collectionId, epoch, session, token }: RecordContext): Uint8Array {
  return utf8(canonicalJson(['keyrite-he/1 record', collectionId, epoch, session, toHex(token)]))
}

function encode({ id, vector, metadata = {} }: RecordItem): Uint8Array {
  const name = utf8(requireId(id))
  const json = utf8(JSON.stringify(metadata))
  const length = 1 + 2 + name.length + 4 + 4 * vector.length + 4 + json.length
  const bytes = new Uint8Array(Math.ceil(length / PADDING) * PADDING)
  const view = new DataView(bytes.buffer)
  bytes[0] = VERSION
  view.setUint16(1, name.length, true)
  bytes.set(name, 3)
  let at = 3 + name.length
  view.setUint32(at, vector.length, true)
  at += 4
  for (const value of vector) {
    view.setFloat32(at, value, true)
    at += 4
  }
  view.setUint32(at, json.length, true)
  bytes.set(json, at + 4)
  wipe(name, json)
  return bytes
}

/** Any throw is a refusal; {@link openRecord} says nothing of which. */
function decode(bytes: Uint8Array): OpenedRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const must = (holds: boolean): void => {
    if (!holds) throw new RangeError('malformed')
  }
  let at = 0
  const take = (length: number): Uint8Array => {
    must(length <= bytes.length - at)
    at += length
    return bytes.subarray(at - length, at)
  }
  must(take(1)[0] === VERSION)
  const id = requireId(fromUtf8(take(view.getUint16(1, true) + 2).subarray(2)))
  const count = view.getUint32(at, true)
  take(4 + 4 * count)
  const vector = new Float32Array(count)
  for (let i = 0; i < count; i++) {
    vector[i] = view.getFloat32(at - 4 * (count - i), true)
    must(Number.isFinite(vector[i]))
  }
  const metadata: unknown = JSON.parse(fromUtf8(take(view.getUint32(at, true) + 4).subarray(4)))
  must(typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata))
  const kinds = ['string', 'number', 'boolean']
  must(Object.values(metadata as object).every((value) => kinds.includes(typeof value)))
  must(bytes.length - at < PADDING && take(bytes.length - at).every((byte) => byte === 0))
  return { id, vector, metadata: metadata as Metadata }
}

/**
 * Seals a record under a 32-byte key.
 * @throws EmbeddingError ID_INVALID.
 */
export function sealRecord(key: Uint8Array, context: RecordContext, item: RecordItem): Uint8Array {
  const clear = encode(item)
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG })
  cipher.setAAD(associatedData(context))
  const sealed = new Uint8Array(NONCE + clear.length + TAG)
  sealed.set(nonce)
  sealed.set(cipher.update(clear), NONCE)
  cipher.final()
  sealed.set(cipher.getAuthTag(), NONCE + clear.length)
  wipe(clear)
  return sealed
}

/**
 * Opens a record that was sealed under this key in this place.
 * @throws EmbeddingError RECORD_INVALID, whatever is wrong with it.
 */
export function openRecord(
  key: Uint8Array,
  context: RecordContext,
  sealed: Uint8Array,
): OpenedRecord {
  let clear: Uint8Array | undefined
  try {
    const end = sealed.length - TAG
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE), {
      authTagLength: TAG,
    })
    decipher.setAAD(associatedData(context))
    decipher.setAuthTag(sealed.subarray(end))
    clear = decipher.update(sealed.subarray(NONCE, end))
    decipher.final()
    return decode(clear)
  } catch {
    throw new EmbeddingError('RECORD_INVALID', 'a record does not open', {
      where: `collection ${context.collectionId}, token ${toHex(context.token)}${sessionPart(context)}`,
      expected: 'a record sealed under this key for this id',
      hint: 'it was changed, exchanged or made with another key: run keyrite embeddings verify; keyrite embeddings delete --invalid takes such records away',
    })
  } finally {
    wipe(clear)
  }
}
