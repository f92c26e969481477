/**
 * Disk space held back for the end of a ceremony: when the disk is full, it is given back, so that the
 * abort can still be written down and signed.
 */
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { StorageError } from '../errors.ts'

const RESERVE_BYTES = 2 * 1024 * 1024
const path = (dir: string): string => join(dir, 'reserve.tmp')

/** Takes the space; throws StorageError when even this does not fit. */
export async function holdReserve(dir: string): Promise<void> {
  try {
    const file = await open(path(dir), 'w', 0o600)
    try {
      // Real bytes, not a hole: a sparse file would hold nothing back.
      await file.writeFile(new Uint8Array(RESERVE_BYTES).fill(0x2e))
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    await releaseReserve(dir)
    throw new StorageError('STORAGE', 'no room for a ceremony on this medium', {
      where: dir,
      expected: `${RESERVE_BYTES} bytes held back, and room for the transcript`,
      cause,
    })
  }
}

/** Gives the space back. */
export const releaseReserve = (dir: string): Promise<void> => rm(path(dir), { force: true })
