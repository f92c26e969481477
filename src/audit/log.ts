/** The log opened for writing: `openLog`. */
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { toHex, utf8 } from '../bytes.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, PolicyError, StorageError } from '../errors.ts'
import { type NoteSigner, signNote } from '../note.ts'
import type { Clock } from '../ports.ts'
import { checkOrigin, formatCheckpoint, historyRecord } from './checkpoint.ts'
import { appendDurably, makeDirectory, replaceFile, storageError } from '../durable.ts'
import { type EntryStore, createEntryStore } from './entries.ts'
import { type Layout, layout } from './layout.ts'
import { takeLock } from '../lock.ts'
import { consistencyPath, inclusionPath, leafHash, verifyConsistency } from './merkle.ts'
import { recover } from './recovery.ts'
import { type Replay, replay } from './replay.ts'
import { encodeEntry } from './segment.ts'
import type { Appended, Checkpoint, Log, OpenLogOptions } from './types.ts'
import { createWriter } from './writer.ts'

/** Type of the entry that reports a torn tail set aside. */
const RECOVERED = 'log.recovered'
/** The last millisecond that RFC 3339 can write, 9999-12-31T23:59:59.999Z. */
const LAST_TIME_MS = 253_402_300_799_999

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false
    throw storageError(path, cause)
  }
}

const taken = (path: string): PolicyError =>
  new PolicyError('OUTPUT_EXISTS', 'LOG-CREATE-1', 'there is a log here already', {
    where: path,
    hint: 'open it for appending, or choose an empty directory',
  })

/** Lays out an empty log; the origin is written last, so a log that has one is whole. */
async function create(files: Layout, origin: string): Promise<void> {
  for (const path of [files.origin, files.checkpoint, files.history]) {
    if (await exists(path)) throw taken(path)
  }
  await makeDirectory(files.segments)
  const [segment] = await readdir(files.segments)
  if (segment !== undefined) throw taken(join(files.segments, segment))
  await replaceFile(files.origin, utf8(`${origin}\n`))
}

function timestamp(clock: Clock): string {
  const ms = clock.wallMs()
  if (!(ms >= 0 && ms <= LAST_TIME_MS)) {
    throw new ConfigError('clock gives no usable time', {
      where: 'clock.wallMs',
      expected: 'milliseconds since 1970',
      got: String(ms),
    })
  }
  return new Date(ms).toISOString()
}

function checkRange(name: string, value: number, from: number, to: number): void {
  if (Number.isSafeInteger(value) && value >= from && value <= to) return
  throw new ConfigError('no such place in the log', {
    where: name,
    expected: `${from} to ${to}`,
    got: String(value),
  })
}

/** The log over a directory that was read, repaired and locked. */
function createLog(
  files: Layout,
  found: Replay,
  store: EntryStore,
  clock: Clock,
  unlock: () => Promise<void>,
): Log {
  const { origin, tree } = found
  const writer = createWriter(files.segments, tree.size)
  let next = tree.size
  let prev = found.prev
  let signed: Pick<Checkpoint, 'size' | 'root'> | undefined = found.head
  let lastAppend: Promise<unknown> = Promise.resolve()
  let lastCheckpoint: Promise<unknown> = Promise.resolve()
  let closing: Promise<void> | undefined

  const checkOpen = (): void => {
    writer.check()
    if (closing === undefined) return
    throw new StorageError('STORAGE', 'the log is closed', { where: files.dir })
  }

  /** LOG-APPEND-1: what is signed next must extend what was signed last. */
  function checkExtends(second: number, secondRoot: Uint8Array): void {
    if (signed === undefined) return
    const { size: first, root: firstRoot } = signed
    const proof = consistencyPath(tree, first, second)
    verifyConsistency({ first, firstRoot, second, secondRoot, proof })
  }

  async function sign(signers: readonly NoteSigner[]): Promise<string> {
    checkOpen()
    await lastAppend.catch(() => undefined)
    writer.check()
    const checkpoint = { origin, size: tree.size, root: tree.root() }
    checkExtends(checkpoint.size, checkpoint.root)
    const note = await signNote(formatCheckpoint(checkpoint), signers)
    writer.check()
    // From here on the note may be in somebody's hands, whatever the disk says.
    signed = checkpoint
    try {
      // History first: see replay.ts on what a crash in between leaves.
      await appendDurably(files.history, historyRecord(note))
      await replaceFile(files.checkpoint, utf8(note))
    } catch (cause) {
      const error = storageError(files.dir, cause)
      writer.fail(error)
      throw error
    }
    return note
  }

  async function close(): Promise<void> {
    await Promise.allSettled([lastAppend, lastCheckpoint])
    await writer.close()
    await unlock()
  }

  return {
    origin,
    get size() {
      return tree.size
    },
    root: () => tree.root(),
    entries: () => store.all(tree),

    async append(fields): Promise<Appended> {
      checkOpen()
      const own = { seq: next, time: timestamp(clock), prev }
      const { entry, line } = encodeEntry(fields, own)
      const leaf = leafHash(line)
      const durable = writer.append(line, () => {
        tree.append(leaf)
        store.push(entry)
      })
      // No await above: concurrent calls get their places in the order of the calls.
      next += 1
      prev = toHex(leaf)
      lastAppend = durable
      await durable
      return { index: own.seq, leafHash: leaf }
    },

    async checkpoint(signers) {
      const note = lastCheckpoint.then(
        () => sign(signers),
        () => sign(signers),
      )
      lastCheckpoint = note
      return note
    },

    inclusionProof(index, size = tree.size) {
      checkRange('size', size, 1, tree.size)
      checkRange('index', index, 0, size - 1)
      return inclusionPath(tree, index, size)
    },

    consistencyProof(from, to = tree.size) {
      checkRange('to', to, 0, tree.size)
      checkRange('from', from, 0, to)
      return consistencyPath(tree, from, to)
    },

    async [Symbol.asyncDispose]() {
      closing ??= close()
      await closing
    },
  }
}

/**
 * Opens a log for writing; dispose it to give the lock back. Opening for `append` reads the whole log,
 * checks it against its checkpoints and sets a torn last line aside (LOG-RECOVER-1).
 *
 * Throws StorageError `LOCKED` when another process writes it and `STORAGE` when the disk fails,
 * PolicyError `OUTPUT_EXISTS` or ConfigError when a log exists or is missing contrary to `mode`, and
 * VerificationError when the log was tampered with; nothing is repaired then.
 */
export async function openLog(options: OpenLogOptions): Promise<Log> {
  const { origin, clock, mode, verifiers, anchor } = options
  checkOrigin(origin)
  const files = layout(options.dir)
  if (mode === 'create') await makeDirectory(files.dir)
  else if (!(await exists(files.origin))) {
    throw new ConfigError('there is no log here', { where: files.dir, hint: 'create it first' })
  }
  const unlock = await takeLock(files.lock)
  let log: Log | undefined
  try {
    if (mode === 'create') await create(files, origin)
    const store = createEntryStore(files.segments)
    const reported = new Set<string>()
    const found = await replay(files, {
      origin,
      verifiers,
      anchor,
      purpose: 'write',
      onEntry(entry) {
        store.push(entry)
        const name = entry['quarantined']
        if (entry.type === RECOVERED && typeof name === 'string') reported.add(name)
      },
    })
    const quarantined = await recover(files, found, reported)
    log = createLog(files, found, store, clock, unlock)
    for (const tail of quarantined) await log.append({ type: RECOVERED, ...tail })
    return log
  } catch (error) {
    await (log?.[Symbol.asyncDispose]() ?? unlock())
    throw error
  }
}
