/** Output of the fpe commands: a part that becomes a file when it is whole, or a stream. */
import { open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'

import { utf8 } from '../bytes.ts'
import { writeAll } from '../durable.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, StorageError } from '../errors.ts'
import type { BadRow, PartFile, StreamPiece, StreamProgress } from '../fpe/index.ts'
import type { FpeInput } from './fpe-input.ts'
import type { FilePlan, FpeOptions } from './fpe-options.ts'
import { fpeLibrary } from './libraries.ts'
import type { Screen } from './screen.ts'
import { systemClock } from './system-ports.ts'

/** Output that is open. */
export interface FpeOutput extends AsyncDisposable {
  /** Where an interrupted run stood. */
  readonly from: StreamProgress | undefined
  /** The part that a later run can go on with; undefined: there is none. */
  readonly part: string | undefined
  readonly rejects: string | undefined
  /** See {@link PartFile.useKeys}. */
  useKeys(identity: string): void
  write(piece: StreamPiece): Promise<void>
  /** Standard output or a device. */
  readonly stream: boolean
  /** Makes durable what a later run can go on with; false: there is nothing. */
  keep(): Promise<boolean>
  /** Everything was written. */
  finish(): Promise<void>
}

const streamError = (where: string, cause: unknown): unknown => {
  const got = errnoOf(cause)
  if (got === undefined) return cause
  return got === 'EPIPE'
    ? new StorageError('STORAGE', 'the reader of the output went away', {
        where,
        got,
        hint: 'what it read until then is whole rows, save the last one',
        cause,
      })
    : new StorageError('STORAGE', 'the output cannot be written', {
        where,
        got,
        hint: 'check the space and the permissions there',
        cause,
      })
}

const writeStandard = (bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()))
  })

const rejectLines = (rows: readonly BadRow[]): string =>
  rows
    .map(({ line, column = null, code, message }) =>
      JSON.stringify({ line, column, code, message }),
    )
    .map((line) => `${line}\n`)
    .join('')

/** Whether `--out` names standard output. */
export const isStandard = (path: string): boolean => path === '-' || path === '/dev/stdout'

/** Whether a path is a device or pipe, which takes bytes as they come. */
async function isDevice(path: string): Promise<boolean> {
  try {
    const found = await stat(path)
    return !found.isFile() && !found.isDirectory()
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false
    throw cause
  }
}

const noResume = (where: string): ConfigError =>
  new ConfigError('a stream cannot be resumed', {
    where,
    expected: '--resume with files for --in and --out',
    got: 'a stream',
  })

/** Standard output or a device. Bad rows go to a file of their own, or to the terminal. */
async function streamOutput(options: FpeOptions, side: Screen): Promise<FpeOutput> {
  const { out, onError, rejects, resume } = options
  if (resume === true) throw noResume('--out')
  const file = isStandard(out) ? undefined : await open(out, 'w')
  const listed = onError === 'report' && rejects !== undefined
  const list = listed
    ? await open(rejects, options.replace === true ? 'w' : 'wx', 0o600)
    : undefined
  return {
    from: undefined,
    part: undefined,
    rejects: listed ? rejects : undefined,
    useKeys: () => undefined,
    async write({ bytes, badRows }) {
      try {
        await (file === undefined ? writeStandard(bytes) : writeAll(file, bytes))
      } catch (cause) {
        throw streamError(isStandard(out) ? 'standard output' : out, cause)
      }
      if (onError !== 'report' || badRows.length === 0) return
      const text = rejectLines(badRows)
      if (list !== undefined) await writeAll(list, utf8(text))
      else for (const line of text.trimEnd().split('\n')) side.verbatim(line)
    },
    stream: true,
    keep: () => Promise.resolve(false),
    finish: () => Promise.resolve(),
    async [Symbol.asyncDispose]() {
      await file?.close()
      await list?.close()
    },
  }
}

const fileOutput = (
  part: PartFile,
  options: FpeOptions,
  rejects: string | undefined,
  again: boolean,
): FpeOutput => ({
  from: part.progress,
  part: again ? `${options.out}.part` : undefined,
  rejects,
  useKeys: (identity) => part.useKeys(identity),
  write: ({ bytes, badRows, progress }) =>
    part.write(bytes, utf8(rejects === undefined ? '' : rejectLines(badRows)), progress),
  stream: false,
  async keep() {
    if (!again) part.discard()
    if (part.progress === undefined || !again) return false
    await part.checkpoint()
    return true
  },
  finish: () => part.publish(),
  [Symbol.asyncDispose]: () => part[Symbol.asyncDispose](),
})

/** Whether a path leads to the input file, however it is spelled. */
async function isInput(path: string, { identity }: FpeInput): Promise<boolean> {
  if (identity === undefined) return false
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return String(dev) === identity.device && String(ino) === identity.inode
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false
    throw cause
  }
}

/** @throws ConfigError where a file would take the place of another one that is needed. */
async function checkPlaces({ out, rejects, onError }: FpeOptions, input: FpeInput): Promise<void> {
  if (rejects !== undefined && resolve(rejects) === resolve(out)) {
    throw new ConfigError('the report has the name of the output', { where: '--rejects' })
  }
  if (rejects !== undefined && (await isInput(rejects, input))) {
    throw new ConfigError('the report has the name of the input', { where: '--rejects' })
  }
  if (onError !== 'stop' && (await isInput(out, input))) {
    throw new ConfigError('the output would take the place of the input', {
      where: '--out',
      expected: 'another file, or --on-error stop',
      got: `the input, with --on-error ${onError}`,
      hint: 'rows that are left out would be nowhere any more',
    })
  }
}

/** Opens what `--out` names. @throws ConfigError when something is in the way; StorageError. */
export async function openOutput(
  { recipe }: FilePlan,
  options: FpeOptions,
  input: FpeInput,
  side: Screen,
): Promise<FpeOutput> {
  const { out, onError, resume = false, replace = false } = options
  if (onError !== 'report' && options.rejects !== undefined) {
    throw new ConfigError('a report of bad rows is not asked for', {
      where: '--rejects',
      expected: '--on-error report',
      got: `--on-error ${onError}`,
    })
  }
  await checkPlaces(options, input)
  if (isStandard(out) || (await isDevice(out))) return streamOutput(options, side)
  const rejects = onError === 'report' ? (options.rejects ?? `${out}.rejects.jsonl`) : undefined
  if (resume && input.identity === undefined) throw noResume('--in')
  const { openPart } = await fpeLibrary()
  const identity = input.identity ?? {
    size: '',
    modifiedNs: '',
    device: '',
    inode: '',
    head: 'a stream',
  }
  const clock = systemClock
  const part = await openPart({
    ...{ output: out, rejects, resume, replace, input: identity, recipe, onError, clock },
  })
  return fileOutput(part, options, rejects, input.identity !== undefined)
}
