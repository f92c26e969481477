/** Errors about a file of keys name that file, whoever threw them. */
import { KeyriteError } from '../errors.ts'

/** The error with `file` as its place; what was its place comes behind. Errors from outside keyrite stay as they are. */
export function ofFile(error: unknown, file: string): unknown {
  if (!(error instanceof KeyriteError) || error.where?.startsWith(file) === true) return error
  const value = error.where === undefined ? file : `${file}: ${error.where}`
  return Object.create(error, { where: { value, enumerable: true } }) as KeyriteError
}

/** Runs what reads or uses `file`; see {@link ofFile}. */
export async function usingFile<T>(file: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    throw ofFile(error, file)
  }
}
