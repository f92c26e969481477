/**
 * A private PostgreSQL for one test file: its own cluster on tmpfs, a Unix socket and SCRAM passwords only.
 * As root it runs as the `postgres` user of the Debian package, otherwise as whoever runs the tests.
 * Any cluster of the system is left alone.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const USER = 'keyrite'
const VERSIONS = '/usr/lib/postgresql'

/** How a server ends. `fast`: rolls back and writes a checkpoint; `immediate` and `kill`: as a crash. */
export type StopMode = 'fast' | 'immediate' | 'kill'

const SIGNALS: Record<StopMode, NodeJS.Signals> = {
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
  kill: 'SIGKILL',
}

/** A running server. */
export interface PostgresServer extends AsyncDisposable {
  /** Of the superuser, over the Unix socket; the password is in it. */
  url(database?: string): string
  readonly password: string
  readonly directory: string
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>
  stop(mode?: StopMode): Promise<void>
  start(): Promise<void>
}

/** The `bin` folder of the newest installed version. */
function binaries(): string {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS) : []
  const [newest] = versions
    .filter((version) => existsSync(join(VERSIONS, version, 'bin/initdb')))
    .sort((a, b) => Number(b) - Number(a))
  if (newest === undefined)
    throw new Error('PostgreSQL is missing: bash softhsm/up.sh --install-only')
  return join(VERSIONS, newest, 'bin')
}

const idOf = (flag: '-u' | '-g'): number =>
  Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))

/** Starts a server on a new, empty cluster. */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  const bin = binaries()
  // initdb and postgres refuse to run as root.
  const as = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : undefined
  const base = existsSync('/dev/shm') ? '/dev/shm' : '/tmp'
  const directory = mkdtempSync(join(base, 'keyrite-pg-'))
  if (as !== undefined) chownSync(directory, as.uid, as.gid)
  const data = join(directory, 'data')
  const password = randomBytes(12).toString('hex')
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
  if (as !== undefined) chownSync(passwordFile, as.uid, as.gid)
  const locale = { LC_ALL: 'C', PATH: process.env['PATH'] }
  const init = ['-D', data, '-U', USER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  execFileSync(join(bin, 'initdb'), [...init, '--no-locale', '--encoding=UTF8', '--no-sync'], {
    ...as,
    env: locale,
    cwd: directory,
    stdio: 'pipe',
  })

  const options = {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: directory,
    fsync: 'on',
    max_connections: '60',
    shared_buffers: '128MB',
    max_wal_size: '2GB',
    log_min_messages: 'fatal',
    ...settings,
  }
  const flags = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  let server: ChildProcess | undefined
  let errors = ''

  const url = (database = 'postgres'): string =>
    `postgresql://${USER}:${password}@localhost:${options.port}/${database}?host=${encodeURIComponent(directory)}`

  const psql = (sql: string): void => {
    execFileSync(join(bin, 'psql'), ['-qX', '-v', 'ON_ERROR_STOP=1', '-c', sql, url()], {
      stdio: 'pipe',
    })
  }

  async function start(): Promise<void> {
    // A server whose test was killed ends with it.
    const death = ['--pdeathsig', 'INT', join(bin, 'postgres'), '-D', data, ...flags]
    const ids = as === undefined ? [] : [`--reuid=${as.uid}`, `--regid=${as.gid}`, '--clear-groups']
    const child = spawn('setpriv', [...ids, ...death], {
      env: locale,
      cwd: directory,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    server = child
    child.stderr.on('data', (text: Buffer) => {
      errors += text.toString()
    })
    for (let tries = 0; ; tries++) {
      try {
        psql('SELECT 1')
        return
      } catch (cause) {
        if (child.exitCode !== null || tries > 200) {
          throw new Error(`PostgreSQL did not start: ${errors}`, { cause })
        }
        await sleep(50)
      }
    }
  }

  async function stop(mode: StopMode = 'fast'): Promise<void> {
    const child = server
    server = undefined
    if (child?.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(SIGNALS[mode])
    await exited
    if (mode !== 'kill') return
    // Without its postmaster a back end goes on until it notices; the next start waits for its memory.
    for (let tries = 0; tries < 200 && backends(data) > 0; tries++) await sleep(25)
  }

  const remove = async (): Promise<void> => {
    await stop('immediate')
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await start()
  } catch (error) {
    await remove()
    throw error
  }
  let databases = 0
  return {
    url,
    password,
    directory,
    start,
    stop,
    async createDatabase() {
      const name = `test_${++databases}`
      psql(`CREATE DATABASE ${name}`)
      return Promise.resolve(url(name))
    },
    [Symbol.asyncDispose]: remove,
  }
}

/** Processes that work in a data directory. */
function backends(data: string): number {
  const inside = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === data
    } catch {
      return false
    }
  }
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && inside(name)).length
}
