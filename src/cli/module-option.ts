/** Which PKCS#11 module a command works with. */
import type { Command } from 'commander'

import { ConfigError } from '../errors.ts'
import type { Hsm } from '../pkcs11/index.ts'
import { pkcs11Library } from './libraries.ts'
import type { Io } from './output.ts'

/** Options added by {@link moduleOptions}. */
export interface ModuleOptions {
  readonly module?: string
  readonly libraryParameters?: string
}

/** Adds `--module` and `--library-parameters`. */
export const moduleOptions = (command: Command): Command =>
  command
    .option('-m, --module <path>', 'PKCS#11 module; default: KEYRITE_MODULE')
    .option('--library-parameters <text>', 'for modules that need them at C_Initialize, e.g. NSS')

/** The module's path; throws ConfigError when neither option nor environment names one. */
export function modulePath(options: ModuleOptions, io: Io): string {
  const path = options.module ?? io.env['KEYRITE_MODULE']
  if (path === undefined || path === '') {
    throw new ConfigError('no PKCS#11 module is named', {
      where: '--module',
      expected: 'a path, e.g. /usr/lib/softhsm/libsofthsm2.so',
      got: 'neither --module nor KEYRITE_MODULE',
      hint: 'give --module PATH or set KEYRITE_MODULE',
    })
  }
  return path
}

/** Loads the module; the caller disposes of it. */
export async function openModule(options: ModuleOptions, io: Io): Promise<Hsm> {
  const path = modulePath(options, io)
  const { loadModule } = await pkcs11Library()
  const { libraryParameters } = options
  return loadModule(path, libraryParameters === undefined ? {} : { libraryParameters })
}
