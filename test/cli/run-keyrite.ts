/** Runs the real command line, without a terminal. */
import { type ChildProcess, execFile } from 'node:child_process'

import { keyrite, personalEnv } from './terminal.ts'

/** What a command left behind. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs `keyrite ARGS` in a session of its own, so that no terminal of the test runner is asked anything. */
export function runKeyrite(
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {},
): Promise<Ran> {
  const [program = '', ...rest] = keyrite(...args)
  return new Promise((resolve) => {
    execFile(
      'setsid',
      ['-w', program, ...rest],
      {
        env: personalEnv(options.env),
        maxBuffer: 64 * 1024 * 1024,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
      },
    ).stdin?.end()
  })
}

/** Gives a child its input; returns what it said when it has ended. */
export async function toItsEnd(child: ChildProcess, input = ''): Promise<Ran> {
  const texts = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text))
  child.stdin?.on('error', () => undefined).end(input)
  const code = await new Promise<number>((resolve) => {
    child.on('close', (status) => resolve(status ?? -1))
  })
  return { code, ...texts }
}
