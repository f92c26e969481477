/** `keyrite ceremony run | resume | abort`: a ceremony with people at the terminal. */
import { dirname, resolve } from 'node:path'

import type { Command } from 'commander'

import type { CeremonyOutcome, LoadedBinding, LoadedPlan, RunPorts } from '../ceremony/index.ts'
import { ConfigError } from '../errors.ts'
import { readPlanFiles } from './ceremony-plan.ts'
import { openRoom } from './ceremony-room.ts'
import { type Dispatch, type Invocation, addCommand } from './command.ts'
import { errorDocument, printError } from './error-text.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-code.ts'
import { ceremonyLibrary, pkcs11Library } from './libraries.ts'
import type { Output } from './output.ts'
import { shortPath } from './person-signer.ts'
import { readText } from './read-input.ts'
import { systemClock, systemRandom } from './system-ports.ts'
import { printFields } from './table.ts'

interface RunOptions {
  readonly binding: string
  readonly out: string
  readonly detached?: string
}

interface ResumeOptions {
  readonly binding: string
  readonly detached?: string
}

const detachedOption = (command: Command): Command =>
  command.option(
    '--detached <dir>',
    'where files to be signed elsewhere are put; default: beside the bundle',
  )

/** Tells how a ceremony ended, and what follows. A complete one that lacks a signature or file is no success. */
export function report(output: Output, result: CeremonyOutcome): ExitCode {
  const { outcome, dir, size, root, error } = result
  output.document({
    outcome,
    dir,
    size,
    root,
    ...(error === undefined ? {} : { error: errorDocument(error) }),
  })
  const { text } = output
  text.print()
  const lacking = outcome === 'complete' && error !== undefined
  text.print(outcome === 'complete' ? 'The ceremony is complete.' : 'The ceremony was ABORTED.', {
    style: outcome === 'complete' && !lacking ? 'green' : 'red',
  })
  if (lacking) {
    text.print(
      'Its transcript is closed, but signatures or files are missing: keyrite ceremony sign adds them.',
      { style: 'red' },
    )
  }
  if (error !== undefined) printError(output.side, error)
  printFields(text, [
    ['bundle', shortPath(dir)],
    ['entries', String(size)],
    ['root', root],
  ])
  text.verbatim(`keyrite ceremony verify ${shortPath(dir)}`)
  if (error !== undefined) return exitCodeOf(error)
  return outcome === 'complete' ? EXIT.ok : EXIT.refused
}

/** The list of steps, so that everybody sees what is ahead. */
function printSteps({ side }: Output, { plan }: LoadedPlan): void {
  side.print(plan.title, { style: 'bold' })
  for (const [index, step] of plan.steps.entries()) {
    side.print(`  ${String(index + 1).padStart(3)}  ${step.kind.padEnd(8)} ${step.title}`, {
      hang: 15,
    })
  }
  const minutes = plan.steps.reduce((sum, step) => sum + step.minutes, 0)
  side.print(`  ${plan.steps.length} steps, about ${minutes} minutes. Ctrl-C aborts truthfully.`)
}

async function readBinding(file: string): Promise<LoadedBinding> {
  const { loadBinding } = await ceremonyLibrary()
  return loadBinding(await readText(file, 'a binding'), file)
}

/** Loads the bound module and opens the room around `use`. */
async function inRoom(
  { output, io }: Pick<Invocation<object>, 'output' | 'io'>,
  binding: LoadedBinding,
  detachedDir: string,
  use: (ports: RunPorts) => Promise<CeremonyOutcome>,
): Promise<ExitCode> {
  const { loadModule } = await pkcs11Library()
  await using hsm = await loadModule(binding.resolved.module.path)
  using opened = openRoom({ output, io }, { binding: binding.resolved, hsm, detachedDir })
  const { room } = opened
  return report(output, await use({ room, hsm, clock: systemClock, random: systemRandom }))
}

/** Adds `run`, `resume` and `abort`. */
export function addRunCommands(group: Command, dispatch: Dispatch): void {
  addCommand<RunOptions>(group, dispatch, {
    usage: 'run <plan>',
    summary: 'Run a reviewed plan with the people in the room',
    details:
      'Needs a terminal. Whatever happens, the bundle directory holds a truthful transcript; the exit code is 0 only when every step was done.',
    examples: ['ceremony run plan.yaml --binding site.yaml --out bundles/2026-11-generate'],
    options: (command) =>
      detachedOption(command)
        .requiredOption('-b, --binding <file>', 'binding of the site')
        .requiredOption('-o, --out <dir>', 'bundle directory; must not exist'),
    async run(invocation) {
      const { args, options, output } = invocation
      const { run } = await ceremonyLibrary()
      const { plan, binding } = await readPlanFiles(args[0] ?? '', options)
      if (binding === undefined) {
        throw new ConfigError('a ceremony needs a binding', { where: '--binding' })
      }
      const dir = resolve(options.out)
      if (binding.binding.mode === 'rehearsal') {
        output.side.print('REHEARSAL: every entry of the transcript says so; it proves nothing.', {
          style: 'yellow',
        })
      }
      printSteps(output, plan)
      return inRoom(invocation, binding, options.detached ?? dirname(dir), (ports) =>
        run({ plan, binding, dir, ...ports }),
      )
    },
  })

  addCommand<ResumeOptions>(group, dispatch, {
    usage: 'resume <bundle>',
    summary: 'Take up a ceremony whose process was killed',
    details:
      'Checks the transcript and the reviewed files, compares every open intent with the token, and goes on. What an interrupted call left behind is adopted or destroyed only with approval.',
    examples: ['ceremony resume bundles/2026-11-generate --binding site.yaml'],
    options: (command) =>
      detachedOption(command).requiredOption('-b, --binding <file>', 'the same binding as before'),
    async run(invocation) {
      const { args, options } = invocation
      const { resume } = await ceremonyLibrary()
      const dir = resolve(args[0] ?? '')
      const binding = await readBinding(options.binding)
      return inRoom(invocation, binding, options.detached ?? dirname(dir), (ports) =>
        resume({ dir, binding, ...ports }),
      )
    },
  })

  addCommand<ResumeOptions & { reason: string }>(group, dispatch, {
    usage: 'abort <bundle>',
    summary: 'Close an interrupted ceremony as aborted',
    details: 'Writes why, at which step, and what stays behind. The exit code is never 0.',
    examples: [
      "ceremony abort bundles/2026-11-generate --binding site.yaml --reason 'a custodian left'",
    ],
    options: (command) =>
      detachedOption(command)
        .requiredOption('-b, --binding <file>', 'the same binding as before')
        .requiredOption('--reason <text>', 'why; stands in the transcript, so no secrets'),
    async run(invocation) {
      const { args, options } = invocation
      const { abort } = await ceremonyLibrary()
      const dir = resolve(args[0] ?? '')
      const binding = await readBinding(options.binding)
      return inRoom(invocation, binding, options.detached ?? dirname(dir), (ports) =>
        abort({ dir, binding, reason: options.reason, ...ports }),
      )
    },
  })
}
