/**
 * Output that survives a crash: it grows as OUT.part (mode 0600) beside a checkpoint, OUT.part.json, and gets
 * its name only when it is whole. Data reach the disk before the checkpoint that counts them, so after a kill
 * or a power cut the part is cut to the recorded length and goes on; the result is that of a run that was
 * not disturbed. One process at a time: OUT.part.lock.
 */
import { dirname } from 'node:path'

import { utf8 } from '../bytes.ts'
import { readIfPresent, replaceFile, syncDirectory } from '../durable.ts'
import { ConfigError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import type { Clock } from '../ports.ts'
import { Growing, exists, partOf, remove, taken, writing } from './growing-file.ts'
import { type InputIdentity, sameInput } from './input-identity.ts'
import type { StreamProgress } from './stream.ts'

/** A checkpoint after so much output, or so long, whichever comes first. */
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
}

/** What stands in the checkpoint. */
interface Checkpoint {
  readonly kind: typeof KIND
  readonly recipe: string
  readonly input: InputIdentity
  readonly onError: string
  readonly rejects: string | null
  readonly rejectsBytes: number
  /** null: nothing was written yet. */
  readonly progress: StreamProgress | null
}

/** Output that is being written. Disposing of it keeps the part, unless nothing was written. */
export interface PartFile extends AsyncDisposable {
  /** Where the run that was interrupted stood; undefined: at the beginning. */
  readonly progress: StreamProgress | undefined
  /** Takes a piece and the lines of the report that belong to it. @throws StorageError. */
  write(bytes: Uint8Array, rejects: Uint8Array, progress: StreamProgress): Promise<void>
  /** Makes durable what was written. @throws StorageError. */
  checkpoint(): Promise<void>
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

class Part implements PartFile {
  readonly #options: PartOptions
  readonly #release: () => Promise<void>
  readonly #files: readonly Growing[]
  readonly #checkpointPath: string
  #progress: StreamProgress | undefined
  #saved = 0
  #savedAtMs: number

  constructor(
    options: PartOptions,
    release: () => Promise<void>,
    files: readonly Growing[],
    progress: StreamProgress | undefined,
  ) {
    this.#options = options
    this.#release = release
    this.#files = files
    this.#progress = progress
    this.#saved = progress?.outputBytes ?? 0
    this.#checkpointPath = `${partOf(options.output)}.json`
    this.#savedAtMs = options.clock.monotonicMs()
  }

  get progress(): StreamProgress | undefined {
    return this.#progress
  }

  async write(bytes: Uint8Array, rejects: Uint8Array, progress: StreamProgress): Promise<void> {
    const { output, clock } = this.#options
    const [data, report] = this.#files
    await writing(output, async () => {
      await data?.write(bytes)
      await report?.write(rejects)
    })
    this.#progress = progress
    const late = clock.monotonicMs() - this.#savedAtMs >= CHECKPOINT_MS
    if (late || progress.outputBytes - this.#saved >= CHECKPOINT_BYTES) await this.checkpoint()
  }

  async checkpoint(): Promise<void> {
    const { recipe, input, onError, rejects, clock } = this.#options
    const checkpoint: Checkpoint = {
      kind: KIND,
      recipe,
      input,
      onError,
      rejects: rejects ?? null,
      rejectsBytes: this.#files[1]?.length ?? 0,
      progress: this.#progress ?? null,
    }
    await writing(this.#checkpointPath, async () => {
      for (const file of this.#files) await file.sync()
      await replaceFile(this.#checkpointPath, utf8(`${JSON.stringify(checkpoint)}\n`))
    })
    this.#saved = this.#progress?.outputBytes ?? 0
    this.#savedAtMs = clock.monotonicMs()
  }

  async publish(): Promise<void> {
    const { output, replace } = this.#options
    // The report first: a finished output is never without it.
    for (const file of this.#files.toReversed()) {
      await writing(file.part, () => file.sync())
      await file.publish(replace)
      await syncDirectory(dirname(file.final))
    }
    await remove(this.#checkpointPath)
    await syncDirectory(dirname(output))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files) await file.close()
    if (this.#progress === undefined) {
      for (const { part } of this.#files) await remove(part)
      await remove(this.#checkpointPath)
    }
    await this.#release()
  }
}

async function openFiles(options: PartOptions): Promise<[Growing[], StreamProgress | undefined]> {
  const { output, rejects, resume, replace } = options
  const finals = rejects === undefined ? [output] : [output, rejects]
  for (const path of finals) if (!replace && (await exists(path))) throw taken(path)
  const checkpointPath = `${partOf(output)}.json`
  const before = resume ? await readCheckpoint(checkpointPath) : undefined
  if (before !== undefined) checkSame(partOf(output), before, options)
  for (const path of finals.map(partOf)) {
    if (resume) continue
    if (replace) await remove(path)
    else if (await exists(path)) {
      throw new ConfigError('there is the part of another run', {
        where: path,
        expected: 'no part',
        got: 'a file',
        hint: 'resume that run, or remove the file if it is not wanted any more',
      })
    }
  }
  const progress = before?.progress ?? undefined
  const lengths = [progress?.outputBytes ?? 0, progress === undefined ? 0 : before?.rejectsBytes]
  const files: Growing[] = []
  try {
    for (const [i, path] of finals.entries()) {
      const length = lengths[i] ?? 0
      files.push(await Growing.open(path, length))
    }
  } catch (error) {
    for (const file of files) await file.close()
    throw error
  }
  return [files, progress]
}

/**
 * Opens output for a run that may be interrupted.
 * @throws ConfigError when a file is in the way or the part is of another run; StorageError LOCKED while
 * another process writes it; StorageError.
 */
export async function openPart(options: PartOptions): Promise<PartFile> {
  const release = await writing(options.output, () => takeLock(`${partOf(options.output)}.lock`))
  try {
    const [files, progress] = await openFiles(options)
    const part = new Part(options, release, files, progress)
    await part.checkpoint()
    return part
  } catch (error) {
    await release()
    throw error
  }
}
