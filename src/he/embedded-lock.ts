/** The lock of the one writer of an embedded store. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { storageError, syncDirectory } from '../durable.ts'
import { takeLock } from '../lock.ts'

/** The writer's lock file. */
export const LOCK_FILE = 'lock'

/**
 * Takes the lock and returns what gives it back. What a power loss may leave of taking it (a lock without
 * its bytes, the lock of another one beside it) names nobody and would have to be removed by hand, so
 * bytes and names are on the disk when this returns.
 * @throws StorageError LOCKED when another writer holds it.
 */
export async function lockStore(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, LOCK_FILE)
  const release = await takeLock(path)
  try {
    const file = await open(path, 'r+')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    await syncDirectory(directory)
    return release
  } catch (cause) {
    await release()
    throw storageError(path, cause)
  }
}
