/**
 * Answers from the person at the terminal. Read from the controlling terminal, never from standard
 * input: what confirms a ceremony cannot come out of a pipe, and no answer is ever an argument or an
 * environment variable.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'

import { wipe } from '../bytes.ts'
import { ConfigError, PolicyError } from '../errors.ts'
import { stopped } from './interrupts.ts'
import { createSecretLine } from './secret-line.ts'

const TERMINAL = '/dev/tty'
const BRACKETED_PASTE_OFF = '\u001b[?2004l'
const MAX_LINE_BYTES = 4096

/** Reads lines and secrets; one at a time. */
export interface Keyboard {
  /** A visible line, edited by the terminal itself. Throws PolicyError ABORTED when cancelled. */
  line(): Promise<string>
  /** A hidden line; `announce` prints the prompt once the terminal no longer echoes. The caller wipes it. Throws PolicyError ABORTED; ConfigError when too long or without a terminal. */
  secret(announce: () => void): Promise<Uint8Array>
  /** Makes the pending read, if any, throw ABORTED. */
  cancel(): void
}

const ended = (): PolicyError =>
  new PolicyError('CONFIRMATION_REFUSED', 'CER-CONFIRM-1', 'no answer was given', {
    where: TERMINAL,
    expected: 'a line',
    got: 'end of input',
  })

function openTerminal(): number {
  try {
    return openSync(TERMINAL, 'r+')
  } catch {
    throw new ConfigError('a person must answer here, and there is no terminal', {
      where: TERMINAL,
      expected: 'a controlling terminal',
      got: 'none',
      hint: 'run this in a terminal (ssh -t, script -c ...); for unattended runs, --login-fd gives PINs to the commands that have it, and ceremonies have `ceremony rehearse`',
    })
  }
}

/** Settles one read: `take` looks at bytes and returns a result, or undefined for more. */
type Taker<Result> = (bytes: Uint8Array) => Result | undefined

/**
 * Opens the terminal for a single answer. The bytes arrive in one buffer of our own, wiped after every
 * read, so that no copy of a secret is left in stream buffers.
 */
function readTerminal<Result>(
  raw: boolean,
  take: Taker<Result>,
  onPending: (fail: (error: Error) => void) => void,
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>()
  const buffer = new Uint8Array(MAX_LINE_BYTES)
  const fd = openTerminal()
  const stream = new ReadStream(fd, {
    onread: {
      buffer,
      callback(count: number) {
        const bytes = buffer.subarray(0, count)
        try {
          const result = take(bytes)
          if (result !== undefined) finish(() => resolve(result))
        } catch (error) {
          finish(() => reject(error))
        } finally {
          wipe(bytes)
        }
        return true
      },
    },
  })
  let open = true
  function finish(settle: () => void): void {
    if (!open) return
    open = false
    if (raw) stream.setRawMode(false)
    stream.destroy()
    wipe(buffer)
    settle()
  }
  stream.on('error', () => finish(() => reject(ended())))
  stream.on('end', () => finish(() => reject(ended())))
  onPending((error) => finish(() => reject(error)))
  if (raw) stream.setRawMode(true)
  stream.resume()
  return promise
}

/** Best effort: a terminal that has gone away is reported by the read, not here. */
function writeTerminal(text: string): void {
  try {
    const fd = openSync(TERMINAL, 'r+')
    writeSync(fd, text)
    closeSync(fd)
  } catch {
    return
  }
}

/**
 * A keyboard on the controlling terminal. `onInterrupt` is called for ^C typed in a hidden line, where
 * the terminal does not turn it into a signal. `dumb`: send no escape sequence.
 */
export function createKeyboard(options: {
  readonly onInterrupt: () => void
  readonly dumb: boolean
}): Keyboard {
  let fail: ((error: Error) => void) | undefined
  const pending = (to: (error: Error) => void): void => {
    fail = to
  }
  return {
    async line() {
      const parts: Buffer[] = []
      try {
        return await readTerminal(
          false,
          (bytes) => {
            const end = bytes.indexOf(0x0a)
            parts.push(Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)))
            return end < 0 ? undefined : new TextDecoder().decode(Buffer.concat(parts))
          },
          pending,
        )
      } finally {
        fail = undefined
      }
    },
    async secret(announce) {
      const line = createSecretLine()
      // Without bracketed paste a pasted passphrase is just its bytes.
      if (!options.dumb) writeTerminal(BRACKETED_PASTE_OFF)
      try {
        const answer = readTerminal(
          true,
          (bytes) => {
            const event = line.feed(bytes)
            if (event === 'interrupt') {
              options.onInterrupt()
              throw stopped()
            }
            if (event === 'end') throw ended()
            if (event === 'too-long') {
              throw new ConfigError('the secret is too long', {
                where: 'terminal',
                expected: 'at most 1024 bytes',
                got: 'more',
              })
            }
            return event === 'done' ? line.value() : undefined
          },
          pending,
        )
        announce()
        return await answer
      } finally {
        fail = undefined
        line.wipe()
        writeTerminal('\n')
      }
    },
    cancel() {
      fail?.(stopped())
    },
  }
}
