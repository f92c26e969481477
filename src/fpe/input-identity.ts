/** By what an interrupted run knows its input again: a resumed one must not go on in the middle of another file. */
import type { FileHandle } from 'node:fs/promises'

import { sha256, toHex } from '../bytes.ts'

/** Input that goes into its identity; of a shorter one nothing does: its values could be guessed from a digest. */
const HEAD_BYTES = 64 * 1024

/** By what an input file is known again. */
export interface InputIdentity {
  readonly size: string
  readonly modifiedNs: string
  readonly device: string
  readonly inode: string
  /** SHA-256 (hex) of its first 64 KiB; empty for a shorter file. */
  readonly head: string
}

/** Reads the identity of an open file. */
export async function identifyInput(file: FileHandle): Promise<InputIdentity> {
  const { size, mtimeNs, dev, ino } = await file.stat({ bigint: true })
  const head = new Uint8Array(HEAD_BYTES)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(head, length, head.length - length, length)
    length += bytesRead
    if (bytesRead === 0 || length === head.length) break
  }
  return {
    size: String(size),
    modifiedNs: String(mtimeNs),
    device: String(dev),
    inode: String(ino),
    head: length < head.length ? '' : toHex(sha256(head)),
  }
}

/** Whether two identities are of one file that was not changed. */
export const sameInput = (a: InputIdentity, b: InputIdentity): boolean =>
  a.size === b.size &&
  a.modifiedNs === b.modifiedNs &&
  a.device === b.device &&
  a.inode === b.inode &&
  a.head === b.head
