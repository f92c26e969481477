/** Files named on the command line. */
import { readFile } from 'node:fs/promises'

import { fromUtf8 } from '../bytes.ts'
import { errnoOf, unreadableReason } from '../errno.ts'
import { ConfigError } from '../errors.ts'

/** Largest text a person is expected to have reviewed. */
const MAX_TEXT_BYTES = 4 * 1024 * 1024

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
    throw new ConfigError(`cannot read ${what}`, {
      where: file,
      expected: `a file: ${what}`,
      got: unreadableReason(cause) ?? errnoOf(cause) ?? 'unreadable',
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
