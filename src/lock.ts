/**
 * One writer at a time: a lock file made with O_EXCL that names the process which holds it. It is
 * stale when the machine was started again since or that process is gone; a process id that was given
 * to another process is told apart by its start time. The directory must be on a local file system.
 */
import { open, readFile, readlink, unlink } from 'node:fs/promises'

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

/** Makes a file that must not exist; false when it does. */
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
  } catch (cause) {
    // On a full disk the file would stay behind empty: a lock that names nobody.
    await remove(path)
    throw storageError(path, cause)
  } finally {
    await file.close()
  }
  return true
}

function locked(path: string, holder: Holder | undefined, me: Holder): StorageError {
  const foreign = holder !== undefined && holder.pidNamespace !== me.pidNamespace
  return new StorageError('LOCKED', 'another process is writing here', {
    where: path,
    got: holder === undefined ? 'a lock without a holder' : `process ${holder.pid}`,
    hint:
      holder === undefined || foreign
        ? `make sure that no process or container is writing here, then remove ${path}`
        : 'end that process first; there is one writer at a time',
  })
}

/** Throws `LOCKED` unless the lock is gone or stale; says which. */
async function inspect(path: string, me: Holder): Promise<'gone' | 'stale'> {
  const found = await readIfPresent(path)
  if (found === undefined) return 'gone'
  const holder = parseHolder(found)
  if (!(await isStale(holder, me))) throw locked(path, holder, me)
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
  if (!(await createExclusively(breaking, content))) throw locked(breaking, undefined, me)
  try {
    if ((await inspect(path, me)) === 'stale') await remove(path)
    if (!(await createExclusively(path, content))) throw locked(path, undefined, me)
    return release
  } finally {
    await remove(breaking)
  }
}
