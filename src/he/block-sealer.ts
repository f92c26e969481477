/**
 * Who makes sealed blocks and records: the key holder with its own keys, or an ingest that has only public
 * ones. What they share is here: items in, ciphertexts and their places out.
 */
import { randomBytes } from 'node:crypto'

import { toHex } from '../bytes.ts'
import type { PreparedItem } from './item.ts'
import { packBlock } from './packing.ts'
import type { Geometry } from './parameters.ts'
import { sealRecord } from './record.ts'
import { filterToken, idToken } from './tokens.ts'
import type { BlockContent, CollectionInfo, IngestSession, RecordContent } from './types.ts'

/** One maker of blocks and records of a collection, under one epoch. */
export interface BlockSealer {
  readonly info: CollectionInfo
  readonly geometry: Geometry
  readonly epoch: number
  /** The session that must be in the store before anything made under it; undefined: the key holder. */
  readonly session: IngestSession | undefined
  /** Chunks of coefficients to a ciphertext of kind block. */
  encrypt(coefficients: readonly Int32Array[]): Promise<Uint8Array>
  mac(uid: string, bytes: Uint8Array): Uint8Array
  record(item: PreparedItem): RecordContent
  /** Tokens that the id has under all epochs this sealer knows, its own included. */
  tokens(id: string): readonly Uint8Array[]
}

/** Keys a record is made with, 32 bytes each; {@link DerivedKeys} and an ingest kit's session have them. */
export interface RecordKeys {
  readonly record: Uint8Array
  readonly idToken: Uint8Array
  readonly filterToken: Uint8Array
}

/** An item as a store keeps it: sealed, under the keyed hashes of its id and of its filter fields. */
export function sealItem(
  keys: RecordKeys,
  info: CollectionInfo,
  { epoch, session }: Pick<RecordContent, 'epoch' | 'session'>,
  item: PreparedItem,
): RecordContent {
  const token = idToken(keys.idToken, info.id, item.id)
  const filters = Object.fromEntries(
    info.fields.flatMap((field) => {
      const value = Object.hasOwn(item.metadata, field) ? item.metadata[field] : undefined
      return value === undefined
        ? []
        : [[field, filterToken(keys.filterToken, info.id, field, value)]]
    }),
  )
  const context = { collectionId: info.id, epoch, session, token }
  return { token, epoch, session, sealed: sealRecord(keys.record, context, item), filters }
}

/** Encrypts up to N/b vectors into one block; row i is slot i. */
export async function sealBlock(
  sealer: BlockSealer,
  rows: readonly Int32Array[],
): Promise<BlockContent> {
  const bytes = await sealer.encrypt(packBlock(sealer.geometry, rows))
  const uid = toHex(randomBytes(16))
  return {
    uid,
    epoch: sealer.epoch,
    session: sealer.session?.id ?? '',
    bytes,
    mac: sealer.mac(uid, bytes),
    slots: rows.length,
  }
}
