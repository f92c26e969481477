/** Input of the fpe commands: a file, which can be known again and gone on with, or a stream, which cannot. */
import { type FileHandle, open } from 'node:fs/promises'

import { ConfigError } from '../errors.ts'
import type { InputIdentity } from '../fpe/index.ts'
import { fpeLibrary } from './libraries.ts'

const READ_BYTES = 512 * 1024

/** Input that is open. */
export interface FpeInput extends AsyncDisposable {
  /** Bytes there are, where that is known. */
  readonly size: number | undefined
  /** Of a file; undefined: a stream. */
  readonly identity: InputIdentity | undefined
  /** Bytes of a file from its start. */
  head(length: number): Promise<Uint8Array>
  /** All bytes from an offset, which is 0 for a stream; ends early when the signal asks for it. */
  bytes(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** @throws ConfigError when the file is not the one any more that was opened. */
  checkUnchanged(): Promise<void>
}

async function readFull(file: FileHandle, buffer: Uint8Array, at: number): Promise<Uint8Array> {
  let length = 0
  while (length < buffer.length) {
    const left = buffer.length - length
    const { bytesRead } = await file.read(buffer, length, left, at + length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

async function* fileBytes(file: FileHandle, offset: number, signal: AbortSignal) {
  for (let at = offset; !signal.aborted;) {
    const bytes = await readFull(file, new Uint8Array(READ_BYTES), at)
    if (bytes.length === 0) return
    at += bytes.length
    yield bytes
  }
}

async function* streamBytes(stream: NodeJS.ReadStream, signal: AbortSignal) {
  const stop = (): void => void stream.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const chunk of stream) yield chunk as Buffer
  } catch (error) {
    // A stream that we ended ourselves reports that as an error.
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

const streamInput = (stream: NodeJS.ReadStream, close: () => Promise<void>): FpeInput => ({
  size: undefined,
  identity: undefined,
  head: () => Promise.resolve(new Uint8Array()),
  bytes: (_, signal) => streamBytes(stream, signal),
  checkUnchanged: () => Promise.resolve(),
  [Symbol.asyncDispose]: close,
})

/** Opens what `--in` names. @throws ConfigError for a directory; what the system says. */
export async function openInput(path: string): Promise<FpeInput> {
  if (path === '-') return streamInput(process.stdin, () => Promise.resolve())
  const { identifyInput, sameInput } = await fpeLibrary()
  const file = await open(path, 'r')
  try {
    const stat = await file.stat()
    if (stat.isDirectory()) {
      throw new ConfigError('the input is a directory', {
        where: path,
        expected: 'a file, or - for standard input',
        got: 'a directory',
      })
    }
    const size = stat.isFile() ? stat.size : undefined
    const identity = stat.isFile() ? await identifyInput(file) : undefined
    return {
      size,
      identity,
      head: (length) => readFull(file, new Uint8Array(length), 0),
      bytes: (offset, signal) =>
        identity === undefined
          ? file.createReadStream({ autoClose: false, signal })
          : fileBytes(file, offset, signal),
      async checkUnchanged() {
        if (identity === undefined || sameInput(identity, await identifyInput(file))) return
        throw new ConfigError('the input was changed while it was read', {
          where: path,
          expected: 'a file that stays as it is',
          hint: 'the part is of no use; begin again with a copy of the input',
        })
      },
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}
