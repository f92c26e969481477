/** `keyrite ceremony rehearse`: plans run with a scripted cast on throw-away SoftHSM tokens. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import type { Command } from 'commander'

import { ConfigError, PolicyError } from '../errors.ts'
import { type Dispatch, addCommand } from './command.ts'
import { errorDocument, printError } from './error-text.ts'
import { EXIT, exitCodeOf } from './exit-code.ts'
import { createInterrupts } from './interrupts.ts'
import { ceremonyLibrary, pkcs11Library } from './libraries.ts'
import { shortPath } from './person-signer.ts'
import { readText } from './read-input.ts'
import { systemClock, systemRandom } from './system-ports.ts'
import { bar, elapsedText } from './terminal-room.ts'
import { printFields } from './table.ts'

/** Where distributions put SoftHSM2. */
const SOFTHSM_PATHS = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

interface RehearseOptions {
  readonly module?: string
  readonly policy?: string
  readonly work?: string
}

function softHsmPath(given: string | undefined): string {
  const path = given ?? SOFTHSM_PATHS.find((candidate) => existsSync(candidate))
  if (path === undefined) {
    throw new ConfigError('SoftHSM2 is not installed', {
      where: '--module',
      expected: `one of: ${SOFTHSM_PATHS.join(', ')}`,
      got: 'none of them',
      hint: 'bash softhsm/up.sh --install-only installs it; or give --module PATH',
    })
  }
  return path
}

/** A token directory of its own, so that a rehearsal cannot reach anybody's tokens. */
async function throwAwayTokens(workDir: string): Promise<string> {
  const tokens = join(workDir, 'tokens')
  await mkdir(tokens, { recursive: true, mode: 0o700 })
  const file = join(workDir, 'softhsm2.conf')
  const lines = [
    `directories.tokendir = ${tokens}`,
    'objectstore.backend = file',
    'log.level = ERROR',
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

/** A new directory for everything; on tmpfs where there is one. */
async function newWorkDir(given: string | undefined): Promise<string> {
  if (given === undefined) {
    return mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'keyrite-rehearsal-'))
  }
  const dir = resolve(given)
  if (existsSync(dir)) {
    throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'the work directory exists', {
      where: dir,
      expected: 'a path that is free',
      hint: 'name another one with --work',
    })
  }
  await mkdir(dir, { recursive: true, mode: 0o700 })
  return dir
}

/** Adds `rehearse`. */
export function addRehearseCommand(group: Command, dispatch: Dispatch): void {
  addCommand<RehearseOptions>(group, dispatch, {
    usage: 'rehearse <plan...>',
    summary: 'Run plans with a scripted cast on throw-away SoftHSM tokens',
    details:
      'Plans named by `after:` run first. The mode stands in every entry and in the origin: a rehearsal never verifies as production.',
    examples: [
      'ceremony rehearse ceremonies/generate-fpe-key.yaml',
      'ceremony rehearse ceremonies/*.yaml --work /tmp/rehearsal --json',
    ],
    options: (command) =>
      command
        .option(
          '--work <dir>',
          'new directory for tokens, cast and bundles; default: a temporary one',
        )
        .option('-m, --module <path>', 'SoftHSM2 module; default: where Debian puts it')
        .option('-p, --policy <file>', 'policy; default: the built-in one'),
    async run({ args, options, output }) {
      const module = softHsmPath(options.module)
      const { loadPlan, rehearse } = await ceremonyLibrary()
      // Before anything is made: every plan can be read.
      for (const file of args) loadPlan(await readText(file, 'a ceremony plan'), file)
      const { loadModule } = await pkcs11Library()
      const workDir = await newWorkDir(options.work)
      // SoftHSM2 reads its configuration's path from the environment, at C_Initialize.
      process.env['SOFTHSM2_CONF'] = await throwAwayTokens(workDir)
      await using hsm = await loadModule(module)
      if (!/softhsm/i.test(hsm.info.manufacturerId + hsm.info.libraryDescription)) {
        throw new PolicyError('MODE_REFUSED', 'CER-MODE-1', 'rehearsals run on SoftHSM2 only', {
          where: module,
          expected: 'a SoftHSM module, whose tokens are files in the work directory',
          got: hsm.info.manufacturerId,
          hint: 'a real module would give up its blank tokens',
        })
      }
      const { side } = output
      using interrupts = createInterrupts(
        {
          closing: () => side.print('stopping the rehearsal'),
          warning: () => side.print('still closing; once more leaves at once'),
          kill: (status) => process.exit(status),
        },
        () => systemClock.monotonicMs(),
      )
      const startedMs = systemClock.monotonicMs()
      const results = await rehearse({
        plans: args,
        workDir: join(workDir, 'rehearsal'),
        hsm,
        clock: systemClock,
        random: systemRandom,
        ...(options.policy === undefined ? {} : { policy: options.policy }),
        room: {
          signal: interrupts.signal,
          watch: {
            stepStarted(step) {
              const elapsed = elapsedText(systemClock.monotonicMs() - startedMs)
              side.print(
                `${bar(step.number, step.total)} ${elapsed} ${`${step.number}/${step.total}`.padStart(5)} ${step.title}`,
                { hang: 37 },
              )
            },
          },
        },
      })
      output.document({
        workDir,
        module,
        softhsmConf: process.env['SOFTHSM2_CONF'],
        rehearsed: results.map(({ planFile, bindingFile, outcome }) => ({
          plan: planFile,
          binding: bindingFile,
          ...outcome,
          ...(outcome.error === undefined ? {} : { error: errorDocument(outcome.error) }),
        })),
      })
      for (const { planFile, outcome } of results) {
        output.text.print()
        output.text.print(`${outcome.outcome}: ${planFile}`, {
          style: outcome.outcome === 'complete' ? 'green' : 'red',
        })
        if (outcome.error !== undefined) printError(side, outcome.error)
        printFields(
          output.text,
          [
            ['bundle', shortPath(outcome.dir)],
            ['root', outcome.root],
          ],
          2,
        )
        output.text.verbatim(`  keyrite ceremony verify ${shortPath(outcome.dir)} --rehearsal`)
      }
      const failed = results.find(({ outcome }) => outcome.outcome !== 'complete')
      if (failed === undefined) return EXIT.ok
      return failed.outcome.error === undefined ? EXIT.refused : exitCodeOf(failed.outcome.error)
    },
  })
}
