/** Values of options that the embeddings commands share. */
import { type Command, InvalidArgumentError, Option } from 'commander'

import { wholeNumber } from './command.ts'
import { embeddingKeyOptions } from './embedding-keys.ts'
import { storeOptions } from './embeddings-store.ts'

/** The key options of the examples. */
export const EXAMPLE_KEYS = '--seed embeddings-epoch-1.json'

/** Option parser: one more of a list. */
export const append = (value: string, values: readonly string[] = []): string[] => [
  ...values,
  value,
]

/** Option parser: a positive number. */
export function decimal(text: string): number {
  const value = Number(text)
  if (!/^\d{1,15}(?:\.\d{1,15})?$/.test(text) || value <= 0) {
    throw new InvalidArgumentError('Expected a number above 0.')
  }
  return value
}

/** Option parser: a number of bytes, such as 8G. */
export function byteCount(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([KMGT]?)$/i.exec(text) ?? []
  const value = Number(digits) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' ')
  if (digits === '' || value < 1) {
    throw new InvalidArgumentError('Expected bytes: a number, K, M, G or T behind it if need be.')
  }
  return value
}

/** Options of a command that works on a collection with its keys. */
export const holderOptions = (command: Command): Command =>
  embeddingKeyOptions(storeOptions(command))

/** Options of a command that scans. */
export const scanOptions = (command: Command): Command =>
  command
    .option('--threads <number>', 'of a scan; default: one for each core', wholeNumber(1))
    .addOption(
      new Option('--kernel <name>', 'default: the fastest this CPU runs').choices([
        'avx512-ifma',
        'avx2',
        'portable',
      ]),
    )
    .option('--max-memory <bytes>', 'of blocks kept in memory; default: half of it', byteCount)
