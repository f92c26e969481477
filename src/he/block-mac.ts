/**
 * Authentication of sealed blocks: HMAC-SHA-256 (RFC 2104) over where a block belongs and its bytes. SEAL's
 * ciphertexts are malleable; the key holder checks this when it reads a block back.
 */
import { createHmac } from 'node:crypto'

import { equal, utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'

/** What a block is bound to. */
export interface BlockContext {
  readonly collectionId: string
  readonly uid: string
  readonly epoch: number
  /** Empty: made by the key holder. */
  readonly session: string
}

/** 32 bytes. */
export function blockMac(key: Uint8Array, context: BlockContext, bytes: Uint8Array): Uint8Array {
  const { collectionId, uid, epoch, session } = context
  const text = utf8(canonicalJson(['keyrite-he/1 block', collectionId, uid, epoch, session]))
  // The length stands first, so that no byte can pass from the context to the block.
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return new Uint8Array(
    createHmac('sha256', key).update(length).update(text).update(bytes).digest(),
  )
}

/** Whether the MAC is that of the block; the time does not depend on where it differs. */
export const checkBlockMac = (
  key: Uint8Array,
  context: BlockContext,
  bytes: Uint8Array,
  mac: Uint8Array,
): boolean => equal(blockMac(key, context, bytes), mac)
