/** Files of an import, whose faults say what the file was for. */
import { createReadStream } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'

import { unreadableReason } from '../errno.ts'
import { ConfigError } from '../errors.ts'

const notRead = (path: string, what: string, got: string, cause?: unknown): ConfigError =>
  new ConfigError(`cannot read ${what}`, {
    where: path,
    expected: 'a file',
    got,
    hint: 'check the path',
    cause,
  })

/** The error to throw for what the system says of a file; faults of another kind come back as they are. */
function unreadable(path: string, what: string, cause: unknown): unknown {
  const got = unreadableReason(cause)
  return got === undefined ? cause : notRead(path, what, got, cause)
}

/** @param what - such as `a file of ids`. @throws ConfigError when it is not there, a directory, or not to be read. */
export async function requireFile(path: string, what: string): Promise<void> {
  // Not opened: of a pipe that would be seen at its other end.
  const found = await access(path, constants.R_OK)
    .then(() => stat(path))
    .catch((cause: unknown) => {
      throw unreadable(path, what, cause)
    })
  if (found.isDirectory()) throw notRead(path, what, 'a directory')
}

/** The bytes of a file, in pieces. @param what - such as `a file of ids`. @throws ConfigError, as {@link requireFile}. */
export async function* chunksOf(path: string, what: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } catch (cause) {
    throw unreadable(path, what, cause)
  }
}
