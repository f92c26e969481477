/**
 * Output that survives a crash: it grows as OUT.part (mode 0600) beside a checkpoint, OUT.part.json, and gets
 * its name only when it is whole. Data reach the disk before the checkpoint that counts them, so after a kill
 * or a power cut the part is cut to the recorded length and goes on; the result is that of a run that was
 * not disturbed. One process at a time: OUT.part.lock.
 */
import { dirname } from 'node:path'

import { utf8 } from '../bytes.ts'
import { readIfPresent, replaceFile, syncDirectory } from '../durable.ts'
import { ConfigError, StorageError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import type { Clock } from '../ports.ts'
import { Growing, exists, isPublished, partOf, remove, taken, writing } from '../growing-file.ts'
import { type InputIdentity, sameInput } from './input-identity.ts'
import type { StreamProgress } from './stream.ts'

const CHECKPOINT_BYTES = 64 * 1024 * 1024
const CHECKPOINT_MS = 10_000

const KIND = 'keyrite fpe part/1'

/** Options of {@link openPart}. */
export interface PartOptions {
  /** The finished file. */
  readonly output: string
  /** The finished report of bad rows, if there is to be one. */
  readonly rejects?: string | undefined
  /** `true`: goes on with a part that is there; without one it begins. `false`: a part that is there is refused. */
  readonly resume: boolean
  /** Replaces what is there: finished files, and without `resume` a part. */
  readonly replace: boolean
  readonly input: InputIdentity
  /** Digest of all that decides what a row becomes: command, configuration, format, columns. */
  readonly recipe: string
  /** What happens to bad rows; may change as long as there was none. */
  readonly onError: string
  readonly clock: Clock
  /** Output after which there is a checkpoint; default 64 MiB. There is one every ten seconds, too. */
  readonly checkpointBytes?: number
}

/** What stands in the checkpoint. */
interface Checkpoint {
  readonly kind: typeof KIND
  readonly recipe: string
  readonly input: InputIdentity
  /** What the keys were known by; null: none was used yet. */
  readonly keys: string | null
  readonly onError: string
  readonly rejects: string | null
  readonly rejectsBytes: number
  /** All is written, and the files may have their names already. */
  readonly whole: boolean
  /** null: nothing was written yet. */
  readonly progress: StreamProgress | null
}

/** Output that is being written. Disposing of it keeps the part, unless nothing was written. */
export interface PartFile extends AsyncDisposable {
  /** Where the run that was interrupted stood; undefined: at the beginning. */
  readonly progress: StreamProgress | undefined
  /**
   * Says by what the keys are known, such as their check values, before anything is written.
   * @throws ConfigError when the part was written under others: a URI may name a new key by now.
   */
  useKeys(identity: string): void
  /** Takes a piece and the lines of the report that belong to it. @throws StorageError. */
  write(bytes: Uint8Array, rejects: Uint8Array, progress: StreamProgress): Promise<void>
  /** Makes durable what was written. @throws StorageError. */
  checkpoint(): Promise<void>
  /** Disposing of it takes the part away: its input cannot be read again. */
  discard(): void
  /** Gives the files their names. @throws ConfigError when there is one of that name by now; StorageError. */
  publish(): Promise<void>
}

const different = (part: string, what: string, hint: string): ConfigError =>
  new ConfigError(`the part cannot be resumed: ${what}`, {
    where: part,
    expected: 'the same run as before',
    hint,
  })

/** The checkpoint of a part; undefined where there is none that is whole: then nothing counts yet. */
async function readCheckpoint(path: string): Promise<Checkpoint | undefined> {
  const bytes = await readIfPresent(path)
  if (bytes === undefined) return undefined
  try {
    const value = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<Checkpoint> | null
    if (value?.kind === KIND) return value as Checkpoint
  } catch {
    // Written by something else: falls through.
  }
  throw new ConfigError('not a checkpoint', {
    where: path,
    expected: 'the checkpoint of an interrupted run',
    hint: 'remove it and its part to begin again',
  })
}

function checkSame(part: string, before: Checkpoint, now: PartOptions): void {
  if (before.recipe !== now.recipe) {
    const hint = 'repeat the command and configuration of the first run, or remove the part'
    throw different(part, 'the command or the configuration is another one', hint)
  }
  if (!sameInput(before.input, now.input)) {
    const hint = 'the rows that are done are those of the old input; remove the part to begin again'
    throw different(part, 'the input is another one or was changed', hint)
  }
  const reportChanged = before.onError !== now.onError || before.rejects !== (now.rejects ?? null)
  if ((before.progress?.badRows ?? 0) > 0 && reportChanged) {
    const hint = 'bad rows were left out already; treat the others in the same way'
    throw different(part, 'bad rows are treated in another way', hint)
  }
}

/** The output and its report, as far as they have no name yet. */
interface Files {
  readonly data: Growing | undefined
  readonly report: Growing | undefined
}

const filesOf = ({ data, report }: Files): Growing[] =>
  [report, data].filter((file) => file !== undefined)

class Part implements PartFile {
  readonly #options: PartOptions
  readonly #release: () => Promise<void>
  /** Files that have no name yet. */
  readonly #files: Files
  readonly #checkpointPath: string
  #keys: string | null
  #progress: StreamProgress | undefined
  #saved = 0
  #savedAtMs: number
  #discarded = false

  constructor(
    options: PartOptions,
    release: () => Promise<void>,
    files: Files,
    before: Checkpoint | undefined,
  ) {
    this.#options = options
    this.#release = release
    this.#files = files
    this.#keys = before?.keys ?? null
    this.#progress = before?.progress ?? undefined
    this.#saved = this.#progress?.outputBytes ?? 0
    this.#checkpointPath = `${partOf(options.output)}.json`
    this.#savedAtMs = options.clock.monotonicMs()
  }

  get progress(): StreamProgress | undefined {
    return this.#progress
  }

  useKeys(identity: string): void {
    if (this.#progress !== undefined && this.#keys !== null && this.#keys !== identity) {
      const hint = 'the rows that are done are under the old keys; remove the part to begin again'
      throw different(
        partOf(this.#options.output),
        'a key of the configuration is another one',
        hint,
      )
    }
    this.#keys = identity
  }

  async write(bytes: Uint8Array, rejects: Uint8Array, progress: StreamProgress): Promise<void> {
    const { output, clock, checkpointBytes = CHECKPOINT_BYTES } = this.#options
    await writing(output, async () => {
      await this.#files.data?.write(bytes)
      await this.#files.report?.write(rejects)
    })
    this.#progress = progress
    const late = clock.monotonicMs() - this.#savedAtMs >= CHECKPOINT_MS
    if (late || progress.outputBytes - this.#saved >= checkpointBytes) await this.checkpoint()
  }

  async checkpoint(whole = false): Promise<void> {
    const { recipe, input, onError, rejects, clock } = this.#options
    const checkpoint: Checkpoint = {
      kind: KIND,
      recipe,
      input,
      keys: this.#keys,
      onError,
      rejects: rejects ?? null,
      rejectsBytes: this.#files.report?.length ?? 0,
      whole,
      progress: this.#progress ?? null,
    }
    await writing(this.#checkpointPath, async () => {
      for (const file of filesOf(this.#files)) await file.sync()
      await replaceFile(this.#checkpointPath, utf8(`${JSON.stringify(checkpoint)}\n`), 0o600)
    })
    this.#saved = this.#progress?.outputBytes ?? 0
    this.#savedAtMs = clock.monotonicMs()
  }

  discard(): void {
    this.#discarded = true
  }

  async publish(): Promise<void> {
    const { output, replace } = this.#options
    await this.checkpoint(true)
    // The report first: a finished output is never without it.
    for (const file of filesOf(this.#files)) {
      await file.publish(replace)
      await syncDirectory(dirname(file.final))
    }
    await remove(this.#checkpointPath)
    await syncDirectory(dirname(output))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of filesOf(this.#files)) await file.close()
    if (this.#progress === undefined || this.#discarded) {
      for (const { part } of filesOf(this.#files)) await remove(part)
      await remove(this.#checkpointPath)
    }
    await this.#release()
  }
}

function refusePart(path: string): never {
  throw new ConfigError('there is the part of another run', {
    where: path,
    expected: 'no part',
    got: 'a file',
    hint: 'resume that run, or remove the file if it is not wanted any more',
  })
}

/** `before`: the checkpoint of the run that was interrupted. */
async function openFiles(options: PartOptions, before: Checkpoint | undefined): Promise<Files> {
  const { output, rejects, resume, replace } = options
  const progress = before?.progress ?? undefined

  /** undefined: the run was killed after this file had got its name. */
  const openOne = async (path: string, length: number): Promise<Growing | undefined> => {
    if (before?.whole === true && (await isPublished(path))) return undefined
    if (!replace && (await exists(path))) throw taken(path)
    if (!resume && replace) await remove(partOf(path))
    if (!resume && (await exists(partOf(path)))) refusePart(partOf(path))
    return Growing.open(path, length)
  }
  const data = await openOne(output, progress?.outputBytes ?? 0)
  try {
    const length = progress === undefined ? 0 : (before?.rejectsBytes ?? 0)
    const report = rejects === undefined ? undefined : await openOne(rejects, length)
    return { data, report }
  } catch (error) {
    await data?.close()
    if (progress === undefined && data !== undefined) await remove(data.part)
    throw error
  }
}

/**
 * Opens output for a run that may be interrupted.
 * @throws ConfigError when a file is in the way or the part is of another run; StorageError LOCKED while
 * another process writes it; StorageError.
 */
export async function openPart(options: PartOptions): Promise<PartFile> {
  const release = await writing(options.output, () =>
    takeLock(`${partOf(options.output)}.lock`).catch((error: unknown) => {
      // The output cannot be written there, which is more to the point than the lock.
      throw error instanceof StorageError && error.code === 'STORAGE' ? error.cause : error
    }),
  )
  try {
    const { output, resume } = options
    const before = resume ? await readCheckpoint(`${partOf(output)}.json`) : undefined
    if (before !== undefined) checkSame(partOf(output), before, options)
    const part = new Part(options, release, await openFiles(options, before), before)
    await part.checkpoint()
    return part
  } catch (error) {
    await release()
    throw error
  }
}
