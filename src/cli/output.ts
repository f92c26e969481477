/** Where a command's words go: people read one stream, machines the other. */
import { type Screen, type ScreenStream, createScreen } from './screen.ts'

/** The process as a command sees it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: ScreenStream
  readonly stderr: ScreenStream
}

/** The output of one command. */
export interface Output {
  readonly json: boolean
  /** The result, for people: standard output, or standard error when that carries JSON. */
  readonly text: Screen
  /** Prompts, progress and errors: always standard error. */
  readonly side: Screen
  /** The result for machines: one JSON document on standard output; nothing without `--json`. */
  document(value: object): void
  /** Whether {@link document} has been called. */
  readonly documented: boolean
}

/** Output for one run of a command. */
export function createOutput(io: Io, json: boolean): Output {
  let documented = false
  const side = createScreen(io.stderr, io.env)
  return {
    json,
    side,
    text: json ? side : createScreen(io.stdout, io.env),
    document(value) {
      if (!json || documented) return
      documented = true
      io.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
    },
    get documented() {
      return documented
    },
  }
}
