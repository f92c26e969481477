/** A pseudo-terminal for tests: what a person would type and see. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const RELAY = fileURLToPath(new URL('terminal.py', import.meta.url))
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** The command line of the real CLI, run from source. */
export const keyrite = (...args: string[]): string[] => [process.execPath, MAIN, ...args]

/** Environment of a person at a terminal, without what the test runner sets. */
export function personalEnv(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, SOFTHSM2_CONF } = process.env
  return {
    ...Object.fromEntries(
      Object.entries({ PATH, HOME, TMPDIR, SOFTHSM2_CONF }).filter(
        ([, value]) => value !== undefined,
      ),
    ),
    TERM: 'xterm-256color',
    LANG: 'C.UTF-8',
    ...extra,
  }
}

/** A program on a terminal of its own. */
export interface Terminal extends AsyncDisposable {
  /** Everything that appeared so far, escape sequences included. */
  readonly output: string
  /** The program's process, not the relay's. */
  readonly pid: number
  /** Waits for text that appears after what was last waited for; returns everything up to its end. */
  expect(pattern: string | RegExp, timeoutMs?: number): Promise<string>
  type(keys: string | Uint8Array): void
  /** Exit status; the program's signal number when it was killed by one. */
  readonly exited: Promise<number>
}

/** Starts a program on an 80x24 terminal. */
export function openTerminal(
  command: readonly string[],
  options: {
    readonly rows?: number
    readonly columns?: number
    readonly env?: NodeJS.ProcessEnv
    readonly cwd?: string
  } = {},
): Terminal {
  const { rows = 24, columns = 80, env = personalEnv(), cwd } = options
  const child: ChildProcess = spawn('python3', [RELAY, String(rows), String(columns), ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
    ...(cwd === undefined ? {} : { cwd }),
  })
  let output = ''
  let seen = 0
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const check of [...waiting]) check()
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
    wake()
  })
  let ended = false
  const exited = new Promise<number>((resolve) => {
    child.on('close', (code) => {
      ended = true
      wake()
      resolve(code ?? -1)
    })
  })
  return {
    get output() {
      return output
    },
    get pid() {
      return Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
    },
    exited,
    type(keys) {
      child.stdin?.write(keys)
    },
    expect(pattern, timeoutMs = 20_000) {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      const stop = (settle: () => void): void => {
        clearTimeout(timer)
        waiting.delete(check)
        settle()
      }
      const fail = (why: string): void =>
        stop(() =>
          reject(new Error(`${why}: ${String(pattern)}\n--- screen ---\n${output.slice(seen)}`)),
        )
      const timer = setTimeout(() => fail('not seen in time'), timeoutMs)
      const check = (): void => {
        const rest = output.slice(seen)
        const match =
          typeof pattern === 'string'
            ? { index: rest.indexOf(pattern), length: pattern.length }
            : ((found) => ({ index: found?.index ?? -1, length: found?.[0].length ?? 0 }))(
                pattern.exec(rest),
              )
        if (match.index >= 0) {
          const shown = rest.slice(0, match.index + match.length)
          seen += shown.length
          stop(() => resolve(shown.replaceAll('\r', '')))
        } else if (ended) {
          fail('program ended without showing')
        }
      }
      waiting.add(check)
      check()
      return promise
    },
    async [Symbol.asyncDispose]() {
      if (!ended) child.kill('SIGKILL')
      await exited
    },
  }
}

/** What is visible: no escape sequences, no carriage returns. */
export function plainText(output: string): string {
  return output.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r', '')
}
