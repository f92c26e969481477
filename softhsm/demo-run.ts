/** How the demo shows what it does: every command is printed before it is run, and must end as expected. */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'

/** The repository. */
export const ROOT = resolve(import.meta.dirname, '..')
/** The compiled command line. */
export const CLI = join(ROOT, 'dist', 'cli', 'main.js')
const colour = process.stdout.isTTY && process.env['NO_COLOR'] === undefined
const paint = (code: string, text: string): string =>
  colour ? `\x1b[${code}m${text}\x1b[0m` : text
export const print = (text = ''): void => void process.stdout.write(`${text}\n`)
export const heading = (text: string): void => print(`\n${paint('1', text)}`)

/** Ends the demo. */
export function stop(why: string): never {
  process.stderr.write(`error: ${why}\n`)
  process.exit(1)
}

/** What a command left. */
export interface Ran {
  readonly status: number | null
  readonly stdout: string
}

/** Prints and runs a command; its exit status must be the expected one. */
export function run(
  command: readonly [string, ...string[]],
  options: { shown?: string; cwd?: string; input?: string; expect?: number; quiet?: boolean } = {},
): Ran {
  const { shown = command.join(' '), expect = 0, quiet = false } = options
  print(paint('36', `$ ${shown}`))
  const [program, ...args] = command
  const output = quiet ? 'pipe' : 'inherit'
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: options.cwd ?? ROOT,
    encoding: 'utf8',
    ...(options.input === undefined ? {} : { input: options.input }),
    stdio: [options.input === undefined ? 'ignore' : 'pipe', output, output],
  })
  if (error !== undefined) stop(`${program} could not be started: ${error.message}`)
  if (status !== expect) {
    process.stderr.write(quiet ? stderr : '')
    stop(`${shown} ended with ${status ?? 'a signal'}, expected ${expect}`)
  }
  return { status, stdout: quiet ? stdout : '' }
}

/** Runs the compiled `keyrite`. */
export const keyrite = (args: readonly string[], options: Parameters<typeof run>[1] = {}): Ran =>
  run([process.execPath, CLI, ...args], { shown: `npx keyrite ${args.join(' ')}`, ...options })
