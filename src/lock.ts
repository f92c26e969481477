/**
 * One writer at a time: a lock file made with O_EXCL that names the process which holds it. It is
 * stale when the machine was started again since or that process is gone; a process id that was given
 * to another process is told apart by its start time. The directory must be on a local file system.
 */
import { open, readFile, readlink, unlink } from 'node:fs/promises'
import { basename } from 'node:path'

import { utf8 } from './bytes.ts'
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

/**
 * Makes a file that must not exist; false when it does. A power loss could leave it without its bytes: it would
 * name nobody, and a person would have to remove it. So they are on the disk when this returns.
 */
async function createExclusively(path: string, bytes: Uint8Array): Promise<boolean> {
  let file
  try {
    file = await open(path, 'wx')
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') return false
    throw storageError(path, cause)
  }
  try {
    await file.writeFile(bytes)
    await file.sync()
  } catch (cause) {
    // On a full disk the file would stay behind empty: a lock that names nobody.
    await remove(path)
    throw storageError(path, cause)
  } finally {
    await file.close()
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

/** Throws `LOCKED` unless the lock is gone or stale; says which. */
async function inspect(path: string, me: Holder): Promise<'gone' | 'stale'> {
  const found = await readIfPresent(path)
  if (found === undefined) return 'gone'
  const holder = parseHolder(found)
  if (!(await isStale(holder, me))) throw await locked(path, holder, me)
  return 'stale'
}

/**
 * Takes the lock and returns what gives it back. Throws StorageError `LOCKED` when another process, or
 * another writer of this process, holds it.
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  const me = await self()
  const content = utf8(`${canonicalJson(me)}\n`)
  const release = () => remove(path)
  if (await createExclusively(path, content)) return release
  await inspect(path, me)

  // Two processes that find one stale lock must not both remove it (the second would remove the first
  // one's new lock), so removing is itself done under a lock.
  const breaking = `${path}.break`
  if (!(await createExclusively(breaking, content))) throw await locked(breaking, undefined, me)
  try {
    if ((await inspect(path, me)) === 'stale') await remove(path)
    if (!(await createExclusively(path, content))) throw await locked(path, undefined, me)
    return release
  } finally {
    await remove(breaking)
  }
}
