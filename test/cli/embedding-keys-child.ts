/**
 * Opens embedding seeds as a command does, for embedding-keys.test.ts: options as on a command line. Prints
 * the epochs and four bytes of each seed; each byte on standard input is a step: dispose, then end.
 */
import { once } from 'node:events'

import { Command } from 'commander'

import { toHex } from '../../src/bytes.ts'
import {
  type EmbeddingKeyOptions,
  embeddingKeyOptions,
  openEmbeddingKeys,
} from '../../src/cli/embedding-keys.ts'
import { toKeyriteError } from '../../src/cli/error-text.ts'
import { createOutput } from '../../src/cli/output.ts'

const command = embeddingKeyOptions(new Command()).parse()
const io = { env: process.env, stdout: process.stdout, stderr: process.stderr }
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const step = () => once(process.stdin, 'data')

try {
  const { side } = createOutput(io, false)
  const keys = await openEmbeddingKeys(command.opts<EmbeddingKeyOptions>(), side, io)
  say(keys.seeds.map(({ epoch, seed }) => ({ epoch, some: toHex(seed.subarray(6, 10)) })))
  await step()
  await keys[Symbol.asyncDispose]()
  say({ wiped: keys.seeds.every(({ seed }) => seed.every((byte) => byte === 0)) })
  await step()
  process.exit()
} catch (error) {
  say({ error: toKeyriteError(error).toJSON() })
  process.exitCode = 1
}
