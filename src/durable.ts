/**
 * File operations that have reached the disk when they return. POSIX makes a new or renamed directory
 * entry durable only by fsync of the directory, so each function syncs both.
 * Every failure is a StorageError: after a failed fsync the kernel may have dropped the data.
 */
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

import { errnoOf } from './errno.ts'
import { StorageError } from './errors.ts'

const HINTS: Record<string, string> = {
  ENOSPC: 'free disk space, then go on; what was acknowledged is safe',
  EDQUOT: 'raise the disk quota, then go on; what was acknowledged is safe',
  EACCES: 'this user may not write here: look at the rights of the directory and its files',
  EROFS: 'the file system is read-only; check the disk before writing again',
  EIO: 'the disk reports errors; check it before going on',
}

/** A StorageError for whatever a file operation threw. */
export function storageError(where: string, cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const code = errnoOf(cause)
  return new StorageError('STORAGE', 'what was written could not be made durable', {
    where,
    got: code ?? (cause instanceof Error ? cause.message : 'unknown error'),
    hint: (code === undefined ? undefined : HINTS[code]) ?? 'open it again to recover',
    cause,
  })
}

async function wrapped<T>(where: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    throw storageError(where, cause)
  }
}

async function withFile<T>(
  path: string,
  flags: string | number,
  use: (file: FileHandle) => Promise<T>,
  mode?: number,
): Promise<T> {
  const file = await open(path, flags, mode)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

/** Writes all bytes; a short write goes on where it stopped. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await file.write(bytes, at, bytes.length - at, null)).bytesWritten
  }
}

/** fsync of a directory. */
export const syncDirectory = (path: string): Promise<void> =>
  wrapped(path, () => withFile(path, 'r', (dir) => dir.sync()))

/** fsync of a file that somebody else has written. */
export const syncFile = (path: string): Promise<void> =>
  wrapped(path, () => withFile(path, 'r+', (file) => file.sync()))

/** Makes a directory and its parents durable. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await wrapped(path, () => mkdir(path, { recursive: true }))
  if (first === undefined) return
  for (let at = path; at !== dirname(first); at = dirname(at)) await syncDirectory(dirname(at))
}

/** Puts a file in place in one step: readers see the old or the new bytes, also after a crash. */
export async function replaceFile(path: string, bytes: Uint8Array, mode?: number): Promise<void> {
  const draft = `${path}.tmp`
  await wrapped(path, async () => {
    const write = async (file: FileHandle): Promise<void> => {
      await writeAll(file, bytes)
      await file.sync()
    }
    await withFile(draft, 'w', write, mode)
    await rename(draft, path)
  })
  await syncDirectory(dirname(path))
}

/** Appends to a file, which is made if it is missing. */
export async function appendDurably(path: string, bytes: Uint8Array): Promise<void> {
  await wrapped(path, () =>
    withFile(path, 'a', async (file) => {
      await writeAll(file, bytes)
      await file.sync()
    }),
  )
  await syncDirectory(dirname(path))
}

/** Cuts a file to a length. */
export const truncateDurably = (path: string, length: number): Promise<void> =>
  wrapped(path, () =>
    withFile(path, 'r+', async (file) => {
      await file.truncate(length)
      await file.sync()
    }),
  )

/** Bytes of a file; undefined when there is none. */
export async function readIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return undefined
    throw storageError(path, cause)
  }
}
