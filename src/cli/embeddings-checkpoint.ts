/**
 * How far an import is, in a file that its next run finds: the items of the input that are durable in the
 * collection. An import that begins again from the start would replace them with the same; this saves the time.
 */
import { access, constants, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { fromUtf8, toHex, utf8 } from '../bytes.ts'
import { canonicalDigest } from '../canonical.ts'
import { readIfPresent, replaceFile } from '../durable.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError } from '../errors.ts'
import type { InputIdentity } from '../fpe/index.ts'
import { remove } from '../growing-file.ts'
import { fpeLibrary } from './libraries.ts'
import { systemClock } from './system-ports.ts'

const KIND = 'keyrite embeddings import/1'
/** A block is durable every few milliseconds: the first one is written down, then so often. */
const EVERY_MS = 2_000

/** What a checkpoint belongs to. */
export interface ImportTask {
  readonly input: string
  /** Id of the collection. */
  readonly collection: string
  /** All that decides which items the input has. */
  readonly recipe: Readonly<Record<string, string | readonly string[] | null>>
}

/** Progress of one import. */
export interface Checkpoint {
  /** Items that an earlier run has made durable. */
  readonly from: number
  /** Notes the items of the input that are durable; writes it down now and then. */
  note(done: number): void
  /** Writes it down now. */
  keep(): Promise<void>
  /** The import is whole. */
  finish(): Promise<void>
}

/** Imports without `--checkpoint`. */
export const noCheckpoint: Checkpoint = {
  from: 0,
  note: () => undefined,
  keep: () => Promise.resolve(),
  finish: () => Promise.resolve(),
}

interface Noted {
  readonly kind: string
  readonly task: string
  readonly input: InputIdentity
  readonly done: number
}

async function identityOf(path: string): Promise<InputIdentity> {
  const { identifyInput } = await fpeLibrary()
  const file = await open(path, 'r')
  try {
    return await identifyInput(file)
  } finally {
    await file.close()
  }
}

function parse(bytes: Uint8Array, where: string): Noted {
  try {
    const value = JSON.parse(fromUtf8(bytes, where)) as Noted
    if (value.kind === KIND && Number.isSafeInteger(value.done) && value.done >= 0) return value
  } catch {
    // Told below.
  }
  throw new ConfigError('not the checkpoint of an import', {
    where,
    expected: 'a file that --checkpoint made, or none',
    hint: 'choose another name for the checkpoint',
  })
}

/** Told before there is work: a checkpoint that is never written would be missed only when it is needed. */
async function requireWritable(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  const refused = await access(`${dirname(path)}/.`, constants.W_OK | constants.X_OK).catch(
    (cause: unknown) => errnoOf(cause) ?? 'no access',
  )
  const got = found?.isDirectory() === true ? 'a directory' : refused
  if (got === undefined) return
  throw new ConfigError('the checkpoint cannot be written', {
    where: path,
    expected: 'a path in a directory that is there and may be written',
    got,
    hint: 'choose another place for the checkpoint',
  })
}

const another = (where: string, what: string): ConfigError =>
  new ConfigError('the checkpoint belongs to another import', {
    where,
    expected: `the same ${what} as when it was written`,
    hint: 'remove it to begin from the start; items that are there already are replaced by the same',
  })

/** Opens a checkpoint, or begins one. @throws ConfigError when it belongs to another import. */
export async function openCheckpoint(path: string, task: ImportTask): Promise<Checkpoint> {
  const { sameInput } = await fpeLibrary()
  const input = await identityOf(task.input)
  const { collection, recipe } = task
  const digest = toHex(canonicalDigest({ collection, recipe }))
  await requireWritable(path)
  const found = await readIfPresent(path)
  const before = found === undefined ? undefined : parse(found, path)
  if (before !== undefined && before.task !== digest) {
    throw another(path, 'collection and options')
  }
  if (before !== undefined && !sameInput(before.input, input)) throw another(path, 'input')
  let done = before?.done ?? 0
  let writtenMs = Number.NEGATIVE_INFINITY
  let writing: Promise<void> = Promise.resolve()
  const write = (): Promise<void> => {
    writtenMs = systemClock.monotonicMs()
    const noted: Noted = { kind: KIND, task: digest, input, done }
    writing = writing.then(() => replaceFile(path, utf8(`${JSON.stringify(noted)}\n`), 0o600))
    return writing
  }
  return {
    from: done,
    note(count) {
      done = count
      // A checkpoint that cannot be written is told when the import ends.
      if (systemClock.monotonicMs() - writtenMs >= EVERY_MS) void write().catch(() => undefined)
    },
    keep: write,
    async finish() {
      await writing.catch(() => undefined)
      await remove(path)
    },
  }
}
