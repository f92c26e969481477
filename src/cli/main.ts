#!/usr/bin/env node
/** Entry of the `keyrite` command: argv in, exit code out. */
import { errnoOf } from '../errno.ts'
import { EXIT } from './exit-code.ts'
import { emptyCoreFiles } from './harden.ts'
import { runCli } from './program.ts'

emptyCoreFiles()

// What a library means to change one day concerns who builds keyrite, not who runs it.
process.noDeprecation = process.env['KEYRITE_DEBUG'] !== '1'

// A reader that goes away (`| head`, a closed window) must not stop a ceremony half-way.
process.stderr.on('error', () => undefined)
// A result that could not be written, as on a full disk, must not look like one that was.
process.stdout.on('error', (error) => {
  const code = errnoOf(error) ?? 'unknown'
  if (code === 'EPIPE') return
  process.stderr.write(`error: standard output cannot be written, its end is missing (${code})\n`)
  process.on('exit', () => (process.exitCode ||= EXIT.refused))
})

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
})
