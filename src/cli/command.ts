/** How a command is declared: every one has a summary, examples, `--json`, and one function to run. */
import { Command, type CommanderError, InvalidArgumentError } from 'commander'

import { type ExitCode, UsageError } from './exit-code.ts'
import type { Io, Output } from './output.ts'

/** What a command is run with. */
export interface Invocation<Options> {
  /** Positional arguments, in order; all are there, commander has seen to it. */
  readonly args: readonly string[]
  readonly options: Options
  readonly output: Output
  readonly io: Io
}

/** Runs a command; nothing returned means `ok`. */
export type Run<Options> = (invocation: Invocation<Options>) => Promise<ExitCode | undefined>

/** One leaf of the command tree. */
export interface CommandSpec<Options> {
  /** Name and arguments, e.g. `lint <plan>`. */
  readonly usage: string
  readonly summary: string
  /** Longer text above the options. */
  readonly details?: string
  /** What a person would type, without `keyrite `. At least one. */
  readonly examples: readonly [string, ...string[]]
  readonly options?: (command: Command) => Command
  readonly run: Run<Options>
}

/** How the tree hands a command over to whoever runs it. */
export type Dispatch = (
  run: (output: Output, io: Io) => Promise<ExitCode | undefined>,
  command: { readonly path: string; readonly json: boolean },
) => Promise<void>

const examplesText = (examples: readonly string[]): string =>
  [
    `\n${examples.length > 1 ? 'Examples' : 'Example'}:`,
    ...examples.map((line) => `  $ keyrite ${line}`),
  ].join('\n')

/** Adds a leaf to `parent`. */
export function addCommand<Options extends object>(
  parent: Command,
  dispatch: Dispatch,
  spec: CommandSpec<Options>,
): void {
  const command = parent.command(spec.usage).summary(spec.summary)
  command.description(
    spec.details === undefined ? spec.summary : `${spec.summary}\n\n${spec.details}`,
  )
  spec.options?.(command)
  command.option('--json', 'one JSON document on standard output, text on standard error')
  command.addHelpText('after', examplesText(spec.examples))
  command.action(async () => {
    const options = command.opts<Options & { json?: boolean }>()
    await dispatch((output, io) => spec.run({ args: command.args, options, output, io }), {
      path: pathOf(command),
      json: options.json === true,
    })
  })
}

/** A group: a name that only holds other commands. */
export function addGroup(parent: Command, name: string, summary: string, example: string): Command {
  return parent
    .command(name)
    .summary(summary)
    .description(summary)
    .helpCommand(false)
    .addHelpText('after', examplesText([example]))
}

/** Full name of a command, e.g. `keyrite ceremony lint`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

/** commander's message taken apart into the fields every keyrite error has. */
export function toUsageError(command: Command, error: CommanderError): UsageError {
  const path = pathOf(command)
  const names = command.commands.map((child) => child.name())
  const where = path
  const help = `${path} --help shows the options and an example`
  if (error.code === 'commander.help') {
    return new UsageError('USAGE', 'a command is missing', {
      where,
      expected: `one of: ${names.join(', ')}`,
      got: 'nothing',
      hint: help,
    })
  }
  const [first = '', ...more] = error.message.replace(/^error: /, '').split('\n')
  const suggestion = /Did you mean (.*)\?/.exec(more.join(' '))?.[1]
  const usage = `${path} ${command.usage()}`
  const got =
    /argument '([^']*)'|got \d+: (.*)\.$/
      .exec(first)
      ?.slice(1)
      .find((found) => found) ??
    (/[Mm]issing|not specified/.test(error.code + first) ? 'nothing' : /'([^']*)'/.exec(first)?.[1])
  return new UsageError('USAGE', first, {
    where,
    expected:
      error.code === 'commander.unknownCommand' ? `one of: ${names.join(', ')}` : usage.trim(),
    got,
    hint: suggestion === undefined ? help : `did you mean ${suggestion}? ${help}`,
  })
}

/** Option parser: a whole number of at least `least`. */
export const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!/^\d{1,9}$/.test(text) || value < least) {
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`)
    }
    return value
  }
