/** Runs the real command line, without a terminal. */
import { execFile } from 'node:child_process'

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
