/** A file that grows under another name, OUT.part, and gets its own in one step. */
import { constants } from 'node:fs'
import { type FileHandle, access, link, open, rename, stat, unlink } from 'node:fs/promises'

import { errnoOf } from './errno.ts'
import { ConfigError, StorageError } from './errors.ts'

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'free disk space, then resume',
  EDQUOT: 'raise the disk quota, then resume',
  EFBIG: 'the file may not grow so large here; choose another place',
  ENOENT: 'is there a directory of that name?',
  EACCES: 'choose a place where you may write',
  EROFS: 'the file system is read-only',
}

function unwritable(where: string, cause: unknown): unknown {
  const got = errnoOf(cause)
  if (cause instanceof StorageError || got === undefined) return cause
  const hint = HINTS[got] ?? 'check the disk, then resume'
  return new StorageError('STORAGE', 'the output cannot be written', { where, got, hint, cause })
}

/** Runs a file operation; its failure is a StorageError. */
export async function writing<T>(where: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    throw unwritable(where, cause)
  }
}

/** Whether there is something at a path. */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK)
    return true
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false
    throw cause
  }
}

/** Removes a file; that it is gone already is no error. */
export async function remove(path: string): Promise<void> {
  await unlink(path).catch((cause: unknown) => {
    if (errnoOf(cause) !== 'ENOENT') throw cause
  })
}

/** Somebody's file is in the way. */
export const taken = (path: string): ConfigError =>
  new ConfigError('there is a file of this name already', {
    where: path,
    expected: 'a name that is free',
    got: 'a file',
    hint: 'choose another name, or say that the file may be replaced (--replace)',
  })

/** Whether a whole part has got its name; takes away the second name that a kill may have left. */
export async function isPublished(final: string): Promise<boolean> {
  if (!(await exists(final))) return false
  if (!(await exists(partOf(final)))) return true
  const [named, part] = [await stat(final), await stat(partOf(final))]
  if (named.ino !== part.ino || named.dev !== part.dev) return false
  await unlink(partOf(final))
  return true
}

/** One file that grows, and its name in the end. */
export class Growing {
  readonly #file: FileHandle
  readonly part: string
  readonly final: string
  #length: number

  private constructor(file: FileHandle, final: string, length: number) {
    this.#file = file
    this.final = final
    this.part = partOf(final)
    this.#length = length
  }

  /** Opens the part of a file, cut to the length that counts. @throws ConfigError when it is shorter. */
  static async open(final: string, length: number): Promise<Growing> {
    const path = partOf(final)
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
    const file = await open(path, flags, 0o600)
    try {
      await file.chmod(0o600)
      if ((await file.stat()).size < length) {
        throw new ConfigError('the part cannot be resumed: it is shorter than what was written', {
          where: path,
          expected: `at least ${length} bytes`,
          hint: 'it was changed since; remove it to begin again',
        })
      }
      await file.truncate(length)
      return new Growing(file, final, length)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get length(): number {
    return this.#length
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writeAt(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Writes over the first bytes, as many as were written there before. */
  rewriteStart(bytes: Uint8Array): Promise<void> {
    return this.#writeAt(bytes, 0)
  }

  async #writeAt(bytes: Uint8Array, start: number): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const left = bytes.length - at
      at += (await this.#file.write(bytes, at, left, start + at)).bytesWritten
    }
  }

  sync(): Promise<void> {
    return this.#file.sync()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** Without `replace` the name must be free, also if somebody took it a moment ago. */
  async publish(replace: boolean): Promise<void> {
    if (replace) {
      await rename(this.part, this.final)
      return
    }
    try {
      await link(this.part, this.final)
    } catch (cause) {
      if (errnoOf(cause) === 'EEXIST') throw taken(this.final)
      // File systems without links.
      if (await exists(this.final)) throw taken(this.final)
      await rename(this.part, this.final)
      return
    }
    await unlink(this.part)
  }
}

/** Name of a file while it grows. */
export const partOf = (path: string): string => `${path}.part`
