/** The lock of the one writer of an embedded store. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'

import { storageError } from '../durable.ts'
import { takeLock } from '../lock.ts'

/** The writer's lock file. */
export const LOCK_FILE = 'lock'

/**
 * Takes the lock and returns what gives it back. A lock file that a power loss left without its bytes
 * names nobody and would have to be removed by hand, so they are on the disk when this returns.
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
    return release
  } catch (cause) {
    await release()
    throw storageError(path, cause)
  }
}
