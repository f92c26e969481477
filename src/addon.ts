/**
 * Loads the C++ addon of `bindings/`: the one file that does. What the addon offers is typed where it is
 * used (`pkcs11/addon.ts`, `fpe/software-aes.ts`); each of them asks for its own part.
 */
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { join } from 'node:path'

import { TokenError } from './errors.ts'

/** Path of the compiled addon; also a PKCS#11 module (see `bindings/module.cc`). */
export const ADDON_PATH = join(
  import.meta.dirname,
  '..',
  'bindings',
  'build',
  'Release',
  'keyrite.node',
)

/** @throws TokenError MODULE_NOT_FOUND when it is not compiled, MODULE_INVALID on big-endian machines. */
export function loadAddon(): unknown {
  if (endianness() !== 'LE') {
    throw new TokenError('MODULE_INVALID', 'big-endian machines are not supported')
  }
  try {
    return createRequire(import.meta.url)(ADDON_PATH) as unknown
  } catch (error) {
    throw new TokenError('MODULE_NOT_FOUND', 'the native part of keyrite is not compiled', {
      where: ADDON_PATH,
      hint: 'run: npm rebuild keyrite pkcs11js',
      cause: error,
    })
  }
}
