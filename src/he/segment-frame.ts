/**
 * What lies in a segment file: frames, one after the other. A frame says what it is, whose it is and
 * how long, and carries a SHA-256 (FIPS 180-4), so that torn, rotted or misplaced bytes are told apart
 * from what was written. All numbers are little-endian.
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 4 | ASCII `KRSG` |
 * | 4 | 1 | version 1 |
 * | 5 | 1 | kind: 1 the ciphertexts of a block, 2 sealed records in a row |
 * | 6 | 2 | zero |
 * | 8 | 8 | u64 length of the payload |
 * | 16 | 16 | id of the collection |
 * | 32 | 16 | uid of the block; zeros for records |
 * | 48 | 32 | SHA-256 of bytes 0 to 47 and the payload |
 * | 80 | | payload |
 */
import { equal, fromHex, sha256 } from '../bytes.ts'

const MAGIC = [0x4b, 0x52, 0x53, 0x47] as const
const VERSION = 1
const DIGEST_AT = 48
const HEX_16 = /^[0-9a-f]{32}$/
/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 80
/** The uid of a frame of records. */
export const NO_UID = '0'.repeat(32)

/** Whose payload a frame holds. */
export interface FrameOwner {
  readonly kind: 'block' | 'records'
  /** Id of the collection, hex. */
  readonly collection: string
  /** Uid of the block, hex; {@link NO_UID} for records. */
  readonly uid: string
}

/** The header of a frame. */
export function frameHeader(owner: FrameOwner, payload: readonly Uint8Array[]): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES)
  header.set(MAGIC)
  header[4] = VERSION
  header[5] = owner.kind === 'block' ? 1 : 2
  const length = payload.reduce((sum, part) => sum + part.length, 0)
  new DataView(header.buffer).setBigUint64(8, BigInt(length), true)
  header.set(fromHex(owner.collection), 16)
  header.set(fromHex(owner.uid), 32)
  header.set(sha256(header.subarray(0, DIGEST_AT), ...payload), DIGEST_AT)
  return header
}

/** What is wrong with a frame, in a few words; undefined when it is the owner's and whole. */
export function frameFault(frame: Uint8Array, owner: FrameOwner): string | undefined {
  if (frame.length < FRAME_HEADER_BYTES) return 'the frame is cut short'
  // The owner comes from the index, which may be what is damaged.
  if (!HEX_16.test(owner.uid) || !HEX_16.test(owner.collection)) return 'its row was changed'
  const payload = frame.subarray(FRAME_HEADER_BYTES)
  const wanted = frameHeader(owner, [payload])
  const fields = (header: Uint8Array) => header.subarray(0, DIGEST_AT)
  if (!equal(fields(frame), fields(wanted)))
    return 'the frame is not the one that was written there'
  return equal(frame.subarray(0, FRAME_HEADER_BYTES), wanted)
    ? undefined
    : 'the bytes do not match their SHA-256'
}
