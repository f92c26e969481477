/**
 * The directory of an embedded store:
 *
 * - `index.sqlite` (with `-wal` and `-shm` beside it while it is open): the index
 * - `segments/00000001.seg` ...: the bytes of blocks and records
 * - `lock`: names the process that writes
 *
 * Directories have mode 0700, files 0600.
 */
import { chmod, mkdir, open, readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { makeDirectory, storageError, syncDirectory } from '../durable.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, EmbeddingError, StorageError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import { APPLICATION_ID, createIndex, INDEX_DRAFT, INDEX_FILE } from './sqlite-index.ts'

/** Folder of the segment files. */
export const SEGMENT_FOLDER = 'segments'
/** The writer's lock file. */
export const LOCK_FILE = 'lock'

/** Names that a creation which was cut off leaves behind. */
const isLeftover = (name: string): boolean =>
  name === SEGMENT_FOLDER ||
  name === LOCK_FILE ||
  name.startsWith(`${LOCK_FILE}.`) ||
  name === INDEX_DRAFT ||
  name.startsWith(`${INDEX_DRAFT}-`)

const notRead = (where: string, message: string, cause: unknown): StorageError =>
  new StorageError('STORAGE', message, {
    where,
    got: errnoOf(cause) ?? 'unreadable',
    hint: 'look at the rights of the directory and its files',
    cause,
  })

/** Names in a directory; undefined when there is none. */
async function namesIn(directory: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(directory)
  } catch (cause) {
    const code = errnoOf(cause)
    if (code === 'ENOENT') return undefined
    if (code !== 'ENOTDIR') throw notRead(directory, 'the directory cannot be read', cause)
    throw new ConfigError('a store is a directory, and this is a file', {
      where: directory,
      expected: 'a directory with a store',
      got: 'a file, or a path through one',
      hint: 'name another path',
    })
  }
}

async function makePrivate(directory: string): Promise<void> {
  const parent = dirname(directory)
  await makeDirectory(parent)
  let made = true
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw storageError(directory, cause)
    made = false
  }
  // The mode above is cut down by the umask, never widened; this gives it in full.
  if (made) await chmod(directory, 0o700)
  try {
    // One that was there may be in the kernel alone: who made it was killed, or did not sync it.
    await syncDirectory(parent)
  } catch (cause) {
    const forbidden = cause instanceof StorageError && cause.got === 'EACCES'
    if (made || !forbidden) throw cause
  }
}

const notStore = (where: string, expected: string, got: string): ConfigError =>
  new ConfigError('the directory is not an embedding store', {
    where,
    expected,
    got,
    hint: 'name another directory; nothing was changed in this one',
  })

/** First bytes of a file, fewer where it is shorter; undefined for a directory. */
async function firstBytes(path: string, length: number): Promise<Buffer | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (errnoOf(cause) === 'EISDIR') return undefined
    throw notRead(path, 'the index cannot be read', cause)
  }
}

/** https://sqlite.org/fileformat2.html#the_database_header */
const SQLITE_MAGIC = 'SQLite format 3\0'
const SQLITE_HEADER_BYTES = 100
const APPLICATION_ID_AT = 68

/** Looks at an index before SQLite does, which makes files beside any database that it opens. */
async function checkIndex(directory: string, hasSegments: boolean): Promise<void> {
  const path = join(directory, INDEX_FILE)
  const header = await firstBytes(path, SQLITE_HEADER_BYTES)
  const isDatabase =
    header?.length === SQLITE_HEADER_BYTES &&
    header.toString('latin1', 0, SQLITE_MAGIC.length) === SQLITE_MAGIC
  if (isDatabase && header.readUInt32BE(APPLICATION_ID_AT) === APPLICATION_ID) return
  const other = header?.length === 0 ? 'an empty file' : 'no database'
  // Every store has had the folder for longer than its index.
  if (!isDatabase && hasSegments) {
    throw new EmbeddingError('STORE_INVALID', 'the index is damaged', {
      where: path,
      expected: 'the index of an embedding store',
      got: other,
      hint: 'bring the directory back from a backup',
    })
  }
  const got = isDatabase ? 'a database of another program' : other
  throw notStore(path, 'the index of an embedding store', got)
}

/**
 * Refuses segments without an index. A creation that was cut off leaves none, and a new index would give
 * them up as files that nothing refers to.
 */
async function checkNoSegments(directory: string): Promise<void> {
  const [first] = (await namesIn(join(directory, SEGMENT_FOLDER))) ?? []
  if (first === undefined) return
  throw new EmbeddingError('STORE_INVALID', 'the index of the store is not there', {
    where: directory,
    expected: `${INDEX_FILE} beside the segments`,
    got: `${SEGMENT_FOLDER}/${first} without it`,
    hint: `bring ${INDEX_FILE} back from a backup; nothing was changed`,
  })
}

/** Whether the files are there. Refuses a directory that is something else, and touches nothing. */
async function inspect(directory: string): Promise<boolean> {
  const names = await namesIn(directory)
  if (names?.includes(INDEX_FILE) === true) {
    await checkIndex(directory, names.includes(SEGMENT_FOLDER))
    return true
  }
  const foreign = names?.find((name) => !isLeftover(name))
  if (foreign !== undefined) {
    const expected = `${INDEX_FILE}, or an empty directory to make a store in`
    throw notStore(directory, expected, JSON.stringify(foreign))
  }
  return false
}

/**
 * Makes sure that there is a store.
 * @throws EmbeddingError STORE_UNAVAILABLE when there is none and none is to be made, STORE_INVALID when
 * its index is damaged or missing; ConfigError when the path is something else; StorageError.
 */
export async function prepareDirectory(path: string, create: boolean): Promise<string> {
  const directory = resolve(path)
  if (await inspect(directory)) return directory
  if (!create) {
    await checkNoSegments(directory)
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
      await checkNoSegments(directory)
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
