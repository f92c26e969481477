/** Runs a process with `power-loss-shim.cc` before its libraries and reads what it did to its files. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import type { State } from './power-loss-disk.ts'

const OPERATIONS = [
  'none',
  'open',
  'close',
  'write',
  'truncate',
  'sync',
  'unlink',
  'rename',
  'mkdir',
  'link',
  'say',
  'sync failed',
] as const
const WORDS = 7

/** One call that was made. */
export interface Call {
  readonly is: (typeof OPERATIONS)[number]
  readonly fd: number
  /** Offset of a write, length after a truncation, flags of an open. */
  readonly at: number
  /** Below the directory that is recorded. */
  readonly path: string
  readonly other: string
  readonly data: Uint8Array
}

/** Compiles the shim into a directory. */
export function compileShim(directory: string): string {
  const out = join(directory, 'power-loss-shim.so')
  const source = join(import.meta.dirname, 'power-loss-shim.cc')
  const flags = ['-std=c++17', '-O2', '-shared', '-fPIC', '-o', out]
  execFileSync('g++', [...flags, source, '-ldl', '-lpthread'])
  return out
}

function readCalls(log: Uint8Array): Call[] {
  const calls: Call[] = []
  const view = new DataView(log.buffer, log.byteOffset, log.length)
  for (let start = 0; start < log.length;) {
    const word = (index: number) => Number(view.getBigInt64(start + index * 8, true))
    let from = start + WORDS * 8
    const take = (length: number): Uint8Array => {
      from += length
      return log.slice(from - length, from)
    }
    const text = (length: number) => Buffer.from(take(length)).toString('utf8')
    const is = OPERATIONS[word(0)] ?? 'none'
    calls.push({
      is,
      fd: word(1),
      at: word(2),
      path: text(word(4)),
      other: text(word(5)),
      data: take(word(6)),
    })
    start = from
  }
  return calls
}

/** What is to go wrong, see the shim. */
export interface Trouble {
  readonly fault?: string
  /** Number of calls after which the process is killed. */
  readonly kill?: number
}

/** Runs a program of node on files below `root`. */
export function record(
  shim: string,
  root: string,
  command: readonly string[],
  { fault, kill }: Trouble = {},
): readonly Call[] {
  const log = `${root}.log`
  rmSync(log, { force: true })
  const { status, signal } = spawnSync(process.execPath, command, {
    env: {
      ...process.env,
      LD_PRELOAD: shim,
      KEYRITE_RECORD_ROOT: root,
      KEYRITE_RECORD_LOG: log,
      ...(fault === undefined ? {} : { KEYRITE_RECORD_FAULT: fault }),
      ...(kill === undefined ? {} : { KEYRITE_RECORD_KILL: String(kill) }),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const killed = kill !== undefined || fault?.endsWith(' kill') === true
  if (killed ? signal !== 'SIGKILL' : status !== 0) {
    throw new Error(`the process ended with ${String(signal ?? status)}`)
  }
  const calls = readCalls(readFileSync(log))
  rmSync(log)
  return calls
}

/** The files below a directory. */
export function readState(directory: string, below = ''): State {
  const state = new Map<string, Uint8Array>()
  if (!existsSync(directory)) return state
  for (const name of readdirSync(join(directory, below))) {
    const path = below === '' ? name : `${below}/${name}`
    if (lstatSync(join(directory, path)).isDirectory()) {
      state.set(`${path}/`, new Uint8Array())
      for (const [inner, bytes] of readState(directory, path)) state.set(inner, bytes)
    } else state.set(path, new Uint8Array(readFileSync(join(directory, path))))
  }
  return state
}
