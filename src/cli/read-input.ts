/** Files named on the command line. */
import { readFile } from 'node:fs/promises'

import { fromUtf8 } from '../bytes.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError } from '../errors.ts'

/** Largest text a person is expected to have reviewed. */
const MAX_TEXT_BYTES = 4 * 1024 * 1024

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'a directory',
  EACCES: 'no permission to read',
  ENOTDIR: 'a path through something that is not a directory',
  ELOOP: 'too many symbolic links',
}

/** Bytes of a file; `what` says in the error what was expected. Throws ConfigError. */
export async function readBytes(
  file: string,
  what: string,
  maxBytes = MAX_TEXT_BYTES,
): Promise<Uint8Array> {
  let bytes: Uint8Array
  try {
    bytes = new Uint8Array(await readFile(file))
  } catch (cause) {
    const code = errnoOf(cause) ?? 'unreadable'
    throw new ConfigError(`cannot read ${what}`, {
      where: file,
      expected: `a file: ${what}`,
      got: reasons[code] ?? code,
      hint: 'check the path',
      cause,
    })
  }
  if (bytes.length > maxBytes) {
    throw new ConfigError(`${what} is too large`, {
      where: file,
      expected: `at most ${maxBytes} bytes`,
      got: `${bytes.length} bytes`,
    })
  }
  return bytes
}

/** UTF-8 text of a file. Throws ConfigError or FormatError. */
export const readText = async (file: string, what: string): Promise<string> =>
  fromUtf8(await readBytes(file, what), file)
