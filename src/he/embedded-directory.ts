/**
 * The directory of an embedded store:
 *
 * - `index.sqlite` (with `-wal` and `-shm` beside it while it is open): the index
 * - `segments/00000001.seg` ...: the bytes of blocks and records
 * - `lock`: names the process that writes
 *
 * Directories have mode 0700, files 0600.
 */
import { chmod, mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { makeDirectory, storageError, syncDirectory } from '../durable.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, EmbeddingError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import { createIndex, INDEX_DRAFT, INDEX_FILE } from './sqlite-index.ts'

/** Folder of the segment files. */
export const SEGMENT_FOLDER = 'segments'
/** The writer's lock file. */
export const LOCK_FILE = 'lock'

/** Names that a creation which was cut off leaves behind. */
const isLeftover = (name: string): boolean =>
  name === SEGMENT_FOLDER ||
  name === LOCK_FILE ||
  name === `${LOCK_FILE}.break` ||
  name === INDEX_DRAFT ||
  name.startsWith(`${INDEX_DRAFT}-`)

/** Names in a directory; undefined when there is none. */
async function namesIn(directory: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(directory)
  } catch (cause) {
    const code = errnoOf(cause)
    if (code === 'ENOENT') return undefined
    if (code !== 'ENOTDIR') throw storageError(directory, cause)
    throw new ConfigError('a store is a directory, and this is a file', {
      where: directory,
      expected: 'a directory with a store',
      got: 'a file, or a path through one',
      hint: 'name another path',
    })
  }
}

async function makePrivate(directory: string): Promise<void> {
  await makeDirectory(dirname(directory))
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw storageError(directory, cause)
    return
  }
  // The mode above is cut down by the umask, never widened; this gives it in full.
  await chmod(directory, 0o700)
  await syncDirectory(dirname(directory))
}

/** Whether the files are there. Refuses a directory that is something else, and touches nothing. */
async function inspect(directory: string): Promise<boolean> {
  const names = await namesIn(directory)
  if (names?.includes(INDEX_FILE) === true) return true
  const foreign = names?.find((name) => !isLeftover(name))
  if (foreign === undefined) return false
  throw new ConfigError('the directory is not an embedding store', {
    where: directory,
    expected: `${INDEX_FILE}, or an empty directory to make a store in`,
    got: JSON.stringify(foreign),
    hint: 'name another directory; nothing was changed in this one',
  })
}

/**
 * Makes sure that there is a store.
 * @throws EmbeddingError STORE_UNAVAILABLE when there is none and none is to be made; ConfigError when
 * the path is something else; StorageError.
 */
export async function prepareDirectory(path: string, create: boolean): Promise<string> {
  const directory = resolve(path)
  if (await inspect(directory)) return directory
  if (!create) {
    throw new EmbeddingError('STORE_UNAVAILABLE', 'there is no embedding store', {
      where: directory,
      hint: 'check the path; keyrite embeddings create makes a store, and so does opening with `create`',
    })
  }
  await makePrivate(directory)
  const release = await takeLock(join(directory, LOCK_FILE))
  try {
    // Another process may have been quicker.
    if (!(await inspect(directory))) {
      await makePrivate(join(directory, SEGMENT_FOLDER))
      await createIndex(directory)
    }
  } finally {
    await release()
  }
  return directory
}

/** Length of a file; undefined when there is none. */
export async function fileLength(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return undefined
    throw storageError(path, cause)
  }
}
