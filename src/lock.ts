/**
 * One writer at a time: a lock file that names the process which holds it. It is stale when the machine was
 * started again since or that process is gone; a process id that was given to another process is told apart by
 * its start time. The directory must be on a local file system.
 */
import { link, open, readFile, readdir, readlink, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { threadId } from 'node:worker_threads'

import { equal, sha256, toHex, utf8 } from './bytes.ts'
import { canonicalJson } from './canonical.ts'
import { errnoOf } from './errno.ts'
import { StorageError } from './errors.ts'
import { readIfPresent, storageError } from './durable.ts'

/** Holder of a lock, as written in the file. */
type Holder = Readonly<Record<'boot' | 'pidNamespace' | 'pid' | 'started', string>>

const FIELDS = ['boot', 'pidNamespace', 'pid', 'started'] as const

/** Text of a file or link below /proc; empty where there is none. */
async function proc(read: Promise<string>): Promise<string> {
  try {
    return (await read).trim()
  } catch {
    return ''
  }
}

/** Start time in clock ticks since boot, empty when the process is gone or a zombie (proc(5), stat). */
async function startTime(pid: string): Promise<string> {
  const stat = await proc(readFile(`/proc/${pid}/stat`, 'utf8'))
  // The second field is the command in parentheses and may hold anything, parentheses included.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = ''] = fields
  return state === 'Z' || state === 'X' ? '' : (fields[19] ?? '')
}

async function self(): Promise<Holder> {
  const pid = String(process.pid)
  return {
    boot: await proc(readFile('/proc/sys/kernel/random/boot_id', 'utf8')),
    pidNamespace: await proc(readlink('/proc/self/ns/pid')),
    pid,
    started: await startTime(pid),
  }
}

function parseHolder(bytes: Uint8Array): Holder | undefined {
  try {
    const value = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>
    return FIELDS.every((field) => typeof value[field] === 'string') &&
      /^\d+$/.test(String(value['pid']))
      ? (value as Holder)
      : undefined
  } catch {
    return undefined
  }
}

/** Whether nobody can hold the lock any more. In doubt it is held. */
async function isStale(holder: Holder | undefined, me: Holder): Promise<boolean> {
  // Being written right now, or by a process that died in that instant: a person must look.
  if (holder === undefined) return false
  if (holder.boot !== me.boot) return holder.boot !== '' && me.boot !== ''
  // The process ids of another container mean nothing here.
  if (holder.pidNamespace !== me.pidNamespace) return false
  return (await startTime(holder.pid)) !== holder.started
}

/** Removes a file; that it is gone already is no error. */
async function remove(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw storageError(path, cause)
  }
}

/** Writes a new file, on the disk when it returns. A full disk leaves none. */
async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } catch (cause) {
    await remove(path)
    throw cause
  } finally {
    await file.close()
  }
}

let drafts = 0
/** Of file systems without hard links, such as FAT. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])

/**
 * Makes a lock that must not exist, with its bytes from the first moment on: who is killed, or loses power, leaves
 * none that names nobody and has to be removed by hand. (Without hard links there is such a moment.)
 * @returns false when there is a lock
 */
async function createExclusively(path: string, bytes: Uint8Array): Promise<boolean> {
  const draft = `${path}.new-${process.pid}-${threadId}-${(drafts += 1)}`
  try {
    // Of a process that had the same numbers and was killed.
    await remove(draft)
    await writeNew(draft, bytes)
    try {
      await link(draft, path)
    } catch (cause) {
      const code = errnoOf(cause) ?? ''
      // Who has the lock has tidied up.
      if (code === 'ENOENT') return false
      if (!NO_LINKS.has(code)) throw cause
      await writeNew(path, bytes)
    } finally {
      await remove(draft)
    }
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return false
    throw storageError(path, cause)
  }
  return true
}

/** Words that name a command and what it is for; options and their values are none. */
const COMMAND_WORD = /^[a-z][a-z0-9_-]*$/i

/** What a process does: its program and the first words behind it; empty where nothing says it. */
async function doing(pid: string): Promise<string> {
  const [program = '', ...rest] = (await proc(readFile(`/proc/${pid}/cmdline`, 'utf8'))).split('\0')
  const isNode = /^node(?:js)?$/.test(basename(program))
  const script = rest.findIndex((word) => !word.startsWith('-'))
  const [name = '', ...words] = isNode && script >= 0 ? rest.slice(script) : [program, ...rest]
  const end = words.slice(0, 3).findIndex((word) => !COMMAND_WORD.test(word))
  return [basename(name), ...words.slice(0, end < 0 ? 3 : end)].join(' ')
}

async function locked(path: string, holder: Holder | undefined, me: Holder): Promise<StorageError> {
  const refuse = (got: string, hint: string): StorageError =>
    new StorageError('LOCKED', 'another process is writing here', { where: path, got, hint })
  if (holder === undefined) {
    const gone = `only when no process or container is writing here any more, remove ${path}`
    return refuse('a lock without a holder', `try again in a moment; ${gone}`)
  }
  if (holder.pidNamespace !== me.pidNamespace) {
    const got = `process ${holder.pid} of another container`
    return refuse(got, `wait until it has ended; only when it no longer exists, remove ${path}`)
  }
  if (holder.pid === me.pid) {
    return refuse(`process ${holder.pid}: this one`, 'close what is open here before')
  }
  const what = await doing(holder.pid)
  return refuse(
    `process ${holder.pid}${what === '' ? '' : `: ${what}`}`,
    'wait until it has ended, it is at work; the lock of one that was killed is taken over at once',
  )
}

/**
 * Makes the file at `path`. What a process that is gone left there is removed first, which two must not do at
 * the same time: the second would remove what the first has made since. So it is done under a lock of its own,
 * `BASE.break-DIGEST`, whose name only that leftover leads to. Whoever is killed meanwhile leaves one more
 * leftover of this kind, and no file that has to be removed by hand.
 */
async function take(path: string, base: string, me: Holder, content: Uint8Array): Promise<void> {
  while (!(await createExclusively(path, content))) {
    const found = await readIfPresent(path)
    // Given back just now.
    if (found === undefined) continue
    const holder = parseHolder(found)
    if (!(await isStale(holder, me))) throw await locked(path, holder, me)
    const breaking = `${base}.break-${toHex(sha256(found)).slice(0, 16)}`
    await take(breaking, base, me, content)
    try {
      const now = await readIfPresent(path)
      if (now !== undefined && equal(now, found)) await remove(path)
    } finally {
      await remove(breaking)
    }
  }
}

/** What is behind the name of a lock in the names of what belongs to it. */
const LEFTOVER = /^(?:\.break-[0-9a-f]{16}|\.new-\d+-\d+-\d+)+$/

/**
 * Removes what killed processes have left of taking a lock. For who has it: what others, who live, are about to
 * do with these files comes to nothing as long as the lock is there.
 */
async function tidy(path: string): Promise<void> {
  const [directory, name] = [dirname(path), basename(path)]
  // Where names may not be read, what was left stays.
  const names = await readdir(directory).catch(() => [])
  for (const other of names) {
    const isLeft = other.startsWith(name) && LEFTOVER.test(other.slice(name.length))
    if (isLeft) await remove(join(directory, other))
  }
}

/**
 * Takes the lock and returns what gives it back. Throws StorageError `LOCKED` when another process, or
 * another writer of this process, holds it.
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const me = await self()
  await take(path, path, me, utf8(`${canonicalJson(me)}\n`))
  const release = () => remove(path)
  try {
    await tidy(path)
  } catch (error) {
    await release()
    throw error
  }
  return release
}
