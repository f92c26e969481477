/**
 * The seeds of encrypted embeddings, from the files that `ceremonies/generate-embedding-key.yaml` left and
 * the tokens that open them. The tokens are logged out of before the seeds are handed over: from then on
 * they are in this process's memory alone, until they are disposed of.
 */
import type { Command } from 'commander'

import { fromUtf8, wipe } from '../bytes.ts'
import { ConfigError } from '../errors.ts'
import type { OpenedSeed, SeedFile, SeedTokens } from '../lifecycle/index.ts'
import { usingFile } from './embeddings-file.ts'
import { lifecycleLibrary, pkcs11Library } from './libraries.ts'
import type { Io } from './output.ts'
import { readBytes } from './read-input.ts'
import type { Screen } from './screen.ts'
import { type LoginOptions, type Tokens, loginOptions, openTokens } from './token-logins.ts'

/** Options added by {@link embeddingKeyOptions}. */
export interface EmbeddingKeyOptions extends LoginOptions {
  /** Seed files, one for each epoch. */
  readonly seed: readonly string[]
  /** URI of the token with the KEK; default: the serial in the file. */
  readonly token?: string
  /** URI of the second token, for seeds wrapped twice; default: the serial in the file. */
  readonly outerToken?: string
}

/** Seeds by epoch; disposing of it wipes them. */
export interface EmbeddingKeys extends AsyncDisposable {
  /** In ascending order of epochs, each once. */
  readonly seeds: readonly OpenedSeed[]
  /** Which file each came from, for errors: `seed-1.json (epoch 1), ...`. */
  readonly from: string
}

const append = (file: string, files: readonly string[] = []): string[] => [...files, file]

/** Adds `--seed`, `--token`, `--outer-token`, `--login-fd` and the options of the module. */
export const embeddingKeyOptions = (command: Command): Command =>
  loginOptions(
    command
      .requiredOption(
        '--seed <file>',
        'seed file of generate-embedding-key; once for each key epoch',
        append,
      )
      .option('--token <uri>', 'token with the KEK; default: the one the seed file names')
      .option('--outer-token <uri>', 'second token, for seeds wrapped twice; default: as above'),
  )

interface Named {
  readonly file: string
  readonly text: string
  readonly says: SeedFile
}

/** Reads every file before a PIN is asked for. */
async function readSeeds(files: readonly string[]): Promise<Named[]> {
  const { describeSeedFile } = await lifecycleLibrary()
  const found: Named[] = []
  for (const file of files) {
    const text = fromUtf8(await readBytes(file, 'a seed file'), file)
    const says = describeSeedFile(text, file)
    const twin = found.find((other) => other.says.epoch === says.epoch)
    if (twin !== undefined) {
      throw new ConfigError('two seeds of one epoch', {
        where: `--seed ${file}`,
        expected: 'one file for each epoch',
        got: `epoch ${says.epoch}, as in ${twin.file}`,
      })
    }
    found.push({ file, text, says })
  }
  return found.sort((a, b) => a.says.epoch - b.says.epoch)
}

async function tokensOf(
  { says: { innerSerial, outerSerial } }: Named,
  options: EmbeddingKeyOptions,
  tokens: Tokens,
): Promise<SeedTokens> {
  const { formatUri } = await pkcs11Library()
  const bySerial = (serial: string): string => formatUri({ serial })
  const inner = await tokens.token(options.token ?? bySerial(innerSerial))
  if (outerSerial === undefined) return { inner }
  return { inner, outer: await tokens.token(options.outerToken ?? bySerial(outerSerial)) }
}

/**
 * Opens every seed, or none: on any error what was opened is wiped.
 * @throws ConfigError and FormatError before any login; otherwise what `openSeed` throws.
 */
export async function openEmbeddingKeys(
  options: EmbeddingKeyOptions,
  side: Screen,
  io: Io,
): Promise<EmbeddingKeys> {
  const { openSeed } = await lifecycleLibrary()
  const files = await readSeeds(options.seed)
  const seeds: OpenedSeed[] = []
  const wipeAll = (): void => {
    wipe(...seeds.map(({ seed }) => seed))
  }
  try {
    await using tokens = await openTokens(options, side, io)
    for (const named of files) {
      const { file, text } = named
      const those = await tokensOf(named, options, tokens)
      seeds.push(await usingFile(file, () => openSeed(text, file, those)))
    }
  } catch (error) {
    wipeAll()
    throw error
  }
  return {
    seeds,
    from: files.map(({ file, says }) => `${file} (epoch ${says.epoch})`).join(', '),
    [Symbol.asyncDispose]() {
      wipeAll()
      return Promise.resolve()
    },
  }
}
