#!/usr/bin/env node
/** Entry of the `keyrite` command: argv in, exit code out. */
import { emptyCoreFiles } from './harden.ts'
import { runCli } from './program.ts'

emptyCoreFiles()

// What a library means to change one day concerns who builds keyrite, not who runs it.
process.noDeprecation = process.env['KEYRITE_DEBUG'] !== '1'

// A reader that goes away (`| head`, a closed window) must not stop a ceremony half-way.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
})
