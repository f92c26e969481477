/** Where the collections are: `--store`, and how its URL is kept out of what others can see. */
import { stat } from 'node:fs/promises'

import type { Command } from 'commander'

import { ConfigError } from '../errors.ts'
import type { EmbeddingStore } from '../he/scorer-side.ts'
import { UsageError } from './exit-code.ts'
import { scorerLibrary } from './libraries.ts'
import { readText } from './read-input.ts'

/** Options added by {@link storeOptions}. */
export interface StoreOptions {
  readonly store?: string
  readonly storeUrlFile?: string
}

/** Adds `--store` and `--store-url-file`. */
export const storeOptions = (command: Command): Command =>
  command
    .option(
      '-s, --store <location>',
      'directory of the collections, or postgres://USER@HOST/DATABASE; a password comes from PGPASSFILE or ~/.pgpass',
    )
    .option('--store-url-file <file>', 'read the URL of the database from this file instead')

const URL_SCHEME = /^postgres(?:ql)?:\/\//i

/** Whether a location is a database. */
export const isDatabase = (location: string): boolean => URL_SCHEME.test(location)

/** Whether a database URL carries a password, as user information or as a parameter. */
function holdsPassword(location: string): boolean {
  if (!isDatabase(location)) return false
  return /^[^/]*\/\/[^/?#]*:[^/?#]*@/.test(location) || /[?&](?:ssl)?password=/i.test(location)
}

/** @throws ConfigError when others can read a file that holds a password. */
async function urlFrom(file: string): Promise<string> {
  const url = (await readText(file, 'the URL of a database')).trim()
  if (!isDatabase(url) || /\s/.test(url)) {
    const expected = 'one line: postgres://USER:PASSWORD@HOST/DATABASE'
    throw new ConfigError('not the URL of a database', { where: file, expected })
  }
  const { mode } = await stat(file)
  if (holdsPassword(url) && (mode & 0o077) !== 0) {
    throw new ConfigError('others can read a file that holds a password', {
      where: file,
      expected: 'mode 0600 or stricter',
      got: `mode 0${(mode & 0o777).toString(8)}`,
      hint: `chmod 600 ${file}`,
    })
  }
  return url
}

/** The location that the options name. @throws UsageError, ConfigError; no password is ever repeated. */
export async function storeLocation({ store, storeUrlFile }: StoreOptions): Promise<string> {
  if ((store === undefined) === (storeUrlFile === undefined)) {
    throw new UsageError('USAGE', 'where the collections are is not said, or said twice', {
      where: '--store',
      expected: '--store LOCATION or --store-url-file FILE',
      got: store === undefined ? 'neither' : 'both',
    })
  }
  if (storeUrlFile !== undefined) return urlFrom(storeUrlFile)
  const location = store ?? ''
  if (holdsPassword(location)) {
    throw new UsageError('USAGE', 'a password on the command line can be seen by others', {
      where: '--store',
      expected: 'a URL without a password',
      got: 'a URL with one',
      hint: 'keep it in the file PGPASSFILE names or in ~/.pgpass, or give --store-url-file FILE; change this password now',
    })
  }
  return location
}

/** Opens the store; the caller disposes of it. `create`: makes it where there is none. */
export async function openCliStore(
  options: StoreOptions,
  how: 'create' | 'write' | 'read',
): Promise<EmbeddingStore> {
  const location = await storeLocation(options)
  const { openStore } = await scorerLibrary()
  return openStore(location, { create: how === 'create', readOnly: how === 'read' })
}
