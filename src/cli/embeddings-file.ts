/** Files of keys: errors name them, whoever threw them; they are written whole and never over another one unasked. */
import { dirname } from 'node:path'

import { syncDirectory } from '../durable.ts'
import { KeyriteError } from '../errors.ts'
import { Growing, exists, remove, taken, writing } from '../growing-file.ts'
import { placedError } from './error-place.ts'
import { embeddingLibrary } from './libraries.ts'

/** The error with `file` as its place; what was its place comes behind. Errors from outside keyrite stay as they are. */
export function ofFile(error: unknown, file: string): unknown {
  if (!(error instanceof KeyriteError) || error.where?.startsWith(file) === true) return error
  const where = error.where === undefined ? file : `${file}: ${error.where}`
  return placedError(error, { where })
}

/** Runs what reads or uses `file`; see {@link ofFile}. */
export async function usingFile<T>(file: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    throw ofFile(error, file)
  }
}

/** Tells what is in the way before there is work. @throws ConfigError. */
export async function requirePlace(path: string, replace: boolean): Promise<void> {
  const { requireDirectory } = await embeddingLibrary()
  await requireDirectory(dirname(path))
  if (!replace && (await exists(path))) throw taken(path)
}

/** Writes a file that its owner alone can read. @throws ConfigError when one is in the way; StorageError. */
export async function writeWhole(path: string, bytes: Uint8Array, replace: boolean): Promise<void> {
  await requirePlace(path, replace)
  const file = await writing(path, () => Growing.open(path, 0))
  try {
    await writing(path, async () => {
      await file.write(bytes)
      await file.sync()
      await file.publish(replace)
    })
    await syncDirectory(dirname(path))
  } finally {
    await file.close()
    await remove(file.part)
  }
}
