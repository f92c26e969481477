/** Files of an import, whose faults say what the file was for. */
import { createReadStream } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'

import { errnoOf } from '../errno.ts'
import { ConfigError } from '../errors.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'a path through something that is not a directory',
  EISDIR: 'a directory',
  EACCES: 'no permission to read',
}

/** The error to throw for what the system says of a file; faults of another kind come back as they are. */
function unreadable(path: string, what: string, cause: unknown): unknown {
  const got = REASONS[errnoOf(cause) ?? '']
  if (got === undefined) return cause
  const hint = 'check the path'
  return new ConfigError(`cannot read ${what}`, {
    where: path,
    expected: 'a file',
    got,
    hint,
    cause,
  })
}

/** @param what - such as `a file of ids`. @throws ConfigError when it is not there, a directory, or not to be read. */
export async function requireFile(path: string, what: string): Promise<void> {
  try {
    // Not opened: of a pipe that would be seen at its other end.
    await access(path, constants.R_OK)
    if ((await stat(path)).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
  } catch (cause) {
    throw unreadable(path, what, cause)
  }
}

/** The bytes of a file, in pieces. @param what - such as `a file of ids`. @throws ConfigError, as {@link requireFile}. */
export async function* chunksOf(path: string, what: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } catch (cause) {
    throw unreadable(path, what, cause)
  }
}
