/** The command tree of `keyrite`, and the one place where errors become exit codes. */
import { readFileSync } from 'node:fs'

import { Command, CommanderError } from 'commander'

import { addAuditCommands } from './audit.ts'
import { addCeremonyCommands } from './ceremony.ts'
import { type Dispatch, toUsageError } from './command.ts'
import { addCustodianCommands } from './custodian.ts'
import { addDoctorCommand } from './doctor.ts'
import { addEmbeddingCommands } from './embeddings.ts'
import { errorDocument, printError, stackLines, toKeyriteError, withPlace } from './error-text.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-code.ts'
import { addFpeCommands } from './fpe.ts'
import { addKeyCommands } from './key.ts'
import { type Io, type Output, createOutput } from './output.ts'
import { addTokenCommands } from './token.ts'

const EXIT_CODES = `
Exit codes:
  0 ok                 3 a file, path or setting is wrong
  1 refused            4 the HSM or its module failed
  2 wrong usage        5 evidence does not hold

Environment:
  KEYRITE_MODULE       PKCS#11 module used where --module is not given
  KEYRITE_DEBUG=1      code locations of an error, without values
  NO_COLOR             no colours

Secrets are asked for on the terminal; no option or variable takes one.

Example:
  $ keyrite ceremony lint ceremonies/generate-fpe-key.yaml`

/** `version` of package.json, two folders up from both src/cli and dist/cli. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** The tree alone, so that a test can walk it. */
export function buildProgram(dispatch: Dispatch): Command {
  const program = new Command('keyrite')
    .description('HSM key ceremonies under dual control, with transcripts anyone can verify')
    .version(packageVersion(), '-V, --version', 'version of keyrite')
    .helpCommand(false)
    .addHelpText('after', EXIT_CODES)
  addDoctorCommand(program, dispatch)
  addTokenCommands(program, dispatch)
  addCustodianCommands(program, dispatch)
  addCeremonyCommands(program, dispatch)
  addAuditCommands(program, dispatch)
  addKeyCommands(program, dispatch)
  addFpeCommands(program, dispatch)
  addEmbeddingCommands(program, dispatch)
  const seal = (command: Command): void => {
    command.exitOverride((error) => {
      throw error.exitCode === 0 ? error : toUsageError(command, error)
    })
    command.configureOutput({ outputError: () => undefined, writeErr: () => undefined })
    for (const child of command.commands) seal(child)
  }
  seal(program)
  return program
}

function fail(output: Output, io: Io, path: string, thrown: unknown): ExitCode {
  const error = withPlace(toKeyriteError(thrown), path)
  printError(output.side, error)
  if (io.env['KEYRITE_DEBUG'] === '1') {
    for (const line of stackLines(error)) output.side.print(line, { hang: 8, style: 'dim' })
  }
  output.document({ error: errorDocument(error) })
  return exitCodeOf(error)
}

/** Runs one command line (without node and script). Never throws; the result is the exit code. */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok
  const dispatch: Dispatch = async (run, { path, json }) => {
    const output = createOutput(io, json)
    try {
      code = (await run(output, io)) ?? EXIT.ok
    } catch (error) {
      code = fail(output, io, path, error)
    }
  }
  try {
    await buildProgram(dispatch).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok
    return fail(createOutput(io, argv.includes('--json')), io, 'keyrite', error)
  }
  return code
}
