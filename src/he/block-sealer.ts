/**
 * Who makes sealed blocks and records: the key holder with its own keys, or an ingest that has only public
 * ones. What they share is here: items in, ciphertexts and their places out.
 */
import { randomBytes } from 'node:crypto'

import { toHex } from '../bytes.ts'
import type { PreparedItem } from './item.ts'
import { packBlock } from './packing.ts'
import type { Geometry } from './parameters.ts'
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
