/** PINs for unattended runs, one a line from a file descriptor: never from the command line or the environment. */
import { readSync } from 'node:fs'

import { secretBytes, wipe } from '../bytes.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError } from '../errors.ts'

const MAX_LINE_BYTES = 1024
const LF = 0x0a

const refuse = (fd: number, got: string): ConfigError =>
  new ConfigError('no PIN can be read', {
    where: `--login-fd ${fd}`,
    expected: 'one line for each token, in the order in which the configuration names them',
    got,
    hint: 'e.g. --login-fd 3 3< FILE, with FILE readable by you alone',
  })

/** The next line of a descriptor, byte by byte, so that the lines after it stay there. The caller wipes it. */
export function readLoginLine(fd: number): Uint8Array {
  const line = new Uint8Array(MAX_LINE_BYTES)
  const byte = new Uint8Array(1)
  try {
    for (let length = 0; length < line.length; length += 1) {
      const ended = readSync(fd, byte, 0, 1, null) === 0
      if (ended && length === 0) throw refuse(fd, 'the end')
      if (!ended && byte[0] !== LF) {
        line[length] = byte[0] ?? 0
        continue
      }
      if (length === 0) throw refuse(fd, 'an empty line')
      const pin = secretBytes(length)
      pin.set(line.subarray(0, length))
      return pin
    }
    throw refuse(fd, `a line of more than ${MAX_LINE_BYTES} bytes`)
  } catch (error) {
    throw error instanceof ConfigError ? error : refuse(fd, errnoOf(error) ?? 'nothing')
  } finally {
    wipe(line, byte)
  }
}
