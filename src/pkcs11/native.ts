/**
 * Loads PKCS#11 modules: the one file that touches pkcs11js.
 *
 * The addon opens the real module and hands pkcs11js a function list that belongs to it, so both
 * drive one instance and one login state, also of modules that give every loader its own
 * (p11-kit's client). Several modules may be open at once: each has its own list in the addon, and
 * `arm` names the one the very next `load` of this thread receives.
 *
 * Threads: the record of a module is process-wide in the addon, and initialisation is atomic
 * there. The main thread that initialised a module owns it. Workers never finalise; their `close`
 * ends only the sessions they opened.
 */
import { createRequire } from 'node:module'
import { isAbsolute } from 'node:path'
import { isMainThread } from 'node:worker_threads'

import type * as Pkcs11js from 'pkcs11js'

import { ADDON_PATH, loadAddon } from '../addon.ts'
import { TokenError } from '../errors.ts'
import type { TokenErrorCode } from '../errors.ts'
import type { Addon, AddonOpenCode } from './addon.ts'
import { refuse } from './arguments.ts'
import { CKF_INITIALIZE } from './constants.ts'
import type { Cryptoki, OpenOptions } from './cryptoki.ts'
import { moduleFile } from './module-file.ts'
import { NativeCryptoki } from './native-calls.ts'
import type { ModuleHost } from './native-objects.ts'
import { translated } from './native-queries.ts'
import { isReturnValue } from './return-value.ts'

interface Native {
  readonly addon: Addon
  readonly pkcs11js: typeof Pkcs11js
}

let native: Native | undefined

function loadNative(): Native {
  if (native !== undefined) return native
  const require = createRequire(import.meta.url)
  try {
    native = {
      addon: loadAddon() as Addon,
      pkcs11js: require('pkcs11js') as typeof Pkcs11js,
    }
    return native
  } catch (error) {
    if (error instanceof TokenError) throw error
    throw new TokenError('MODULE_NOT_FOUND', 'pkcs11js is not compiled', {
      where: 'pkcs11js',
      hint: 'run: npm rebuild keyrite pkcs11js',
      cause: error,
    })
  }
}

/**
 * Modules of this thread by real path. On `globalThis`, so that two copies of this file in one
 * thread share them, and so that no pkcs11js object is collected while its module is in use.
 */
const REGISTRY = Symbol.for('keyrite.pkcs11.modules')
const hosts: Map<string, Host> = ((globalThis as Record<symbol, unknown>)[REGISTRY] ??= new Map<
  string,
  Host
>()) as Map<string, Host>

const OPEN_FAILURES: Readonly<
  Record<Exclude<AddonOpenCode, 'OK'>, { code: TokenErrorCode; message: string; hint: string }>
> = {
  CANNOT_LOAD: {
    code: 'MODULE_INVALID',
    message: 'the system cannot load the module',
    hint: 'a library it depends on may be missing; look at `ldd` of the file',
  },
  NO_ENTRY_POINT: {
    code: 'MODULE_INVALID',
    message: 'the library is not a PKCS#11 module',
    hint: 'a PKCS#11 module exports C_GetFunctionList',
  },
  BAD_FUNCTION_LIST: {
    code: 'MODULE_INVALID',
    message: 'the module gave no usable function list',
    hint: 'check the version and the configuration of the module',
  },
  IS_KEYRITE_ADDON: {
    code: 'MODULE_INVALID',
    message: "this is keyrite's own addon, not a PKCS#11 module",
    hint: 'name the module of the HSM vendor',
  },
  TOO_MANY_MODULES: {
    code: 'MODULE_INVALID',
    message: 'too many different modules in one process',
    hint: 'use one process per group of modules',
  },
}

function openNative(addon: Addon, path: string): number {
  const { code, id, detail } = addon.open(path)
  if (code === 'OK') return id
  const failure = OPEN_FAILURES[code]
  throw new TokenError(failure.code, failure.message, {
    where: path,
    got: detail,
    hint: failure.hint,
  })
}

class Host implements ModuleHost {
  readonly id: number
  readonly path: string
  readonly lib: Pkcs11js.PKCS11
  readonly addon: Addon
  readonly libraryParameters: string | undefined
  owner = false
  users = 0

  constructor({ addon, pkcs11js }: Native, path: string, libraryParameters: string | undefined) {
    this.addon = addon
    this.path = path
    this.libraryParameters = libraryParameters
    this.id = openNative(addon, path)
    // A pkcs11js object whose load failed crashes at the next call: it is never kept.
    const lib = new pkcs11js.PKCS11()
    if (!addon.arm(this.id)) throw this.#error('MODULE_CLOSED', 'the module was unloaded')
    translated('C_GetFunctionList', () => lib.load(ADDON_PATH))
    this.lib = lib
  }

  #error(code: TokenErrorCode, message: string, hint?: string): TokenError {
    return new TokenError(code, message, { where: this.path, hint })
  }

  /** C_Initialize, or the finding that somebody in this process has done it. */
  initialize(): void {
    const flags = CKF_INITIALIZE.OS_LOCKING_OK
    const parameters = this.libraryParameters
    try {
      translated('C_Initialize', () =>
        this.lib.C_Initialize(
          // pkcs11js drops the last character of the parameters.
          parameters === undefined ? { flags } : { flags, libraryParameters: `${parameters} ` },
        ),
      )
      this.owner = isMainThread
    } catch (error) {
      if (!isReturnValue(error, 'CRYPTOKI_ALREADY_INITIALIZED')) throw error
    }
  }

  #mayFinalize(): void {
    if (!this.owner) {
      throw this.#error(
        'MODULE_NOT_OWNED',
        'this thread did not initialise the module and must not finalise it',
        'do it in the main thread, where the module was opened first',
      )
    }
    const { inFlight } = this.addon.state(this.id)
    if (inFlight !== 0) this.#busy()
  }

  #busy(): never {
    throw this.#error('MODULE_BUSY', 'calls are running inside the module', 'wait for them to end')
  }

  #finalize(ignoreErrors: boolean): void {
    this.#mayFinalize()
    try {
      translated('C_Finalize', () => this.lib.C_Finalize())
    } catch (error) {
      if (isReturnValue(error, 'OPERATION_ACTIVE')) this.#busy()
      if (!ignoreErrors && !isReturnValue(error, 'CRYPTOKI_NOT_INITIALIZED')) throw error
    }
  }

  reinitialize(): void {
    this.#finalize(false)
    this.initialize()
  }

  reload(): void {
    this.#finalize(true)
    if (!this.addon.unload(this.id)) this.#busy()
    if (openNative(this.addon, this.path) !== this.id) {
      throw this.#error('MODULE_INVALID', 'the file of the module was replaced while it was in use')
    }
    this.initialize()
  }

  release(): void {
    if (this.users === 1 && this.owner) {
      this.#finalize(true)
      this.owner = false
    }
    this.users -= 1
    if (this.users === 0) hosts.delete(this.path)
  }
}

function checkOptions(options: OpenOptions): void {
  const { path, libraryParameters } = options
  if (typeof (path as unknown) !== 'string' || !isAbsolute(path) || path.includes('\0')) {
    refuse('module path', 'an absolute path', typeof path === 'string' ? path : typeof path)
  }
  if (libraryParameters === undefined) return
  if (
    typeof (libraryParameters as unknown) !== 'string' ||
    libraryParameters === '' ||
    libraryParameters.includes('\0')
  ) {
    refuse('libraryParameters', 'text that is not empty and has no NUL', 'something else')
  }
}

/**
 * Opens and initialises a module. A module that is open in this thread is shared: the same
 * instance, one more user.
 * @throws TokenError MODULE_NOT_FOUND, MODULE_INVALID, ARGUMENT_INVALID; Pkcs11Error of C_Initialize.
 */
export function openCryptoki(options: OpenOptions): Cryptoki {
  checkOptions(options)
  const path = moduleFile(options.path)
  let host = hosts.get(path)
  if (host !== undefined && host.libraryParameters !== options.libraryParameters) {
    refuse('libraryParameters', 'those the module was opened with', 'others', 'close it first')
  }
  if (host === undefined) {
    host = new Host(loadNative(), path, options.libraryParameters)
    host.initialize()
    hosts.set(path, host)
  }
  host.users += 1
  return new NativeCryptoki(host)
}

/** How often each C_* function of an open module was called in this process, by anybody. */
export function moduleCalls(cryptoki: Cryptoki): Readonly<Record<string, number>> {
  const host = hosts.get(cryptoki.path)
  return host === undefined ? {} : host.addon.calls(host.id)
}

/** No core files of this process from now on; false when the system refuses. */
export const forbidCoreFiles = (): boolean => loadNative().addon.forbidCoreFiles()
