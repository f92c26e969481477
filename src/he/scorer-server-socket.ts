/**
 * A Unix socket that only its owner can open: made with mode 0600 in a directory nobody else can write to,
 * and put in place by one rename, so that it never has another mode and never takes a living one's place.
 */
import { chmod, lstat, mkdtemp, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises'
import { type Server, connect } from 'node:net'
import { basename, dirname, join } from 'node:path'

import { errnoOf } from '../errno.ts'
import { ConfigError, StorageError } from '../errors.ts'
import { takeLock } from '../lock.ts'

/** `sun_path` of Linux has 108 bytes with its final zero; the longest name is that of the draft. */
const PATH_BYTES = 107
const DRAFT_PREFIX = '.s'

const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/** @throws ConfigError when others could put a socket of their own into the place. */
async function checkDirectory(directory: string): Promise<void> {
  const own = process.getuid?.() ?? 0
  for (let at = directory; ; at = dirname(at)) {
    const { uid, mode } = await stat(at)
    const last = at === directory
    // In a sticky directory others cannot rename what is not theirs; but they can be there first.
    const open = (mode & OTHERS_WRITE) !== 0 && (last || (mode & STICKY) === 0)
    if (open || (uid !== own && uid !== 0)) {
      throw new ConfigError('others could replace the socket', {
        where: at,
        expected: 'a directory of this user or root that group and others cannot write to',
        got: `owner ${uid}, mode ${(mode & 0o7777).toString(8)}`,
        hint: 'make a directory for the socket with mode 0700',
      })
    }
    if (at === dirname(at)) return
  }
}

/** Whether a process accepts connections there. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error) => {
      const code = errnoOf(error)
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false)
      else reject(error)
    })
  })
}

/** @throws StorageError LOCKED when somebody listens; ConfigError when it is no socket. */
async function refuseLiving(path: string): Promise<void> {
  try {
    const found = await lstat(path)
    if (!found.isSocket()) {
      throw new ConfigError('there is a file in the place of the socket', {
        where: path,
        expected: 'no file, or a socket nobody listens on',
      })
    }
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return
    throw cause
  }
  if (!(await isListening(path))) return
  throw new StorageError('LOCKED', 'another process listens on this socket', {
    where: path,
    hint: 'end that process first',
  })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/**
 * Makes the server listen; returns what removes the socket again.
 * @throws ConfigError, StorageError LOCKED.
 */
export async function listenOnSocket(server: Server, path: string): Promise<() => Promise<void>> {
  const directory = await directoryOf(path)
  await checkDirectory(directory)
  const final = join(directory, basename(path))
  const longest = Buffer.byteLength(join(directory, `${DRAFT_PREFIX}XXXXXX`, 's'))
  if (Math.max(longest, Buffer.byteLength(final)) > PATH_BYTES) {
    throw new ConfigError('the path of the socket is too long', {
      where: path,
      expected: `at most ${PATH_BYTES} bytes`,
      hint: 'choose a directory with a shorter path, such as one below /run',
    })
  }
  const unlock = await takeLock(`${final}.lock`)
  try {
    await refuseLiving(final)
    const draftDirectory = await mkdtemp(join(directory, DRAFT_PREFIX)) // mode 0700
    try {
      const draft = join(draftDirectory, 's')
      await listen(server, draft)
      await chmod(draft, 0o600)
      await rename(draft, final)
    } finally {
      await rmdir(draftDirectory)
    }
  } catch (cause) {
    server.close()
    await unlock()
    throw cause
  }
  return async () => {
    await unlink(final).catch((cause: unknown) => {
      if (errnoOf(cause) !== 'ENOENT') throw cause
    })
    await unlock()
  }
}

async function directoryOf(path: string): Promise<string> {
  try {
    return await realpath(dirname(path))
  } catch (cause) {
    throw new ConfigError('the directory of the socket cannot be opened', {
      where: dirname(path),
      got: errnoOf(cause),
      hint: 'make it with mode 0700',
      cause,
    })
  }
}
