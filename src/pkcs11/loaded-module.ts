/**
 * The modules this process has loaded: one entry per real path, held by a strong reference, because
 * a module whose last JavaScript reference is collected is unloaded under its open sessions.
 */
import { createHash } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'

import { TokenError } from '../errors.ts'
import type { Cryptoki } from './cryptoki.ts'
import { createJobs } from './jobs.ts'
import type { Jobs } from './jobs.ts'
import { openCryptoki } from './native.ts'
import type { RecoveryStep } from './recovery.ts'
import type { ModuleInfo } from './types.ts'

/** Options of `loadModule`. */
export interface LoadOptions {
  /** SHA-256 (hex) the module file must have. */
  readonly expectSha256?: string
  /** Configuration string of modules that take one in C_Initialize (NSS, YubiHSM). */
  readonly libraryParameters?: string
}

/** A loaded module, shared by everybody in the process who loaded the same file. */
export interface LoadedModule {
  readonly cryptoki: Cryptoki
  readonly info: ModuleInfo
  /** Grows whenever the module was initialised again: all sessions of before are gone. */
  readonly generation: number
  /** Whoever is logged in here, by token identity: login state is per process and token. */
  readonly logins: Set<string>
  /** Runs `work` alone among the recoveries and logins of this module. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
  /** What runs on other threads. */
  readonly jobs: Jobs
  /** `reinit` or `reload`, while no job runs. @throws Pkcs11Error; TokenError MODULE_BUSY, MODULE_NOT_OWNED: nothing was done. */
  renew(step: Exclude<RecoveryStep, 'relogin'>): void
  /** Gives up one reference; the last one finalises the module. */
  release(): void
}

interface Entry extends LoadedModule {
  references: number
  readonly libraryParameters: string | undefined
}

/** Refused before C_Finalize: all sessions are still there. */
const isUntouched = (error: unknown): boolean =>
  error instanceof TokenError && (error.code === 'MODULE_BUSY' || error.code === 'MODULE_NOT_OWNED')

const REGISTRY = new Map<string, Entry>()

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch (cause) {
    throw new TokenError('MODULE_NOT_FOUND', 'no such PKCS#11 module', {
      where: path,
      expected: 'path of a shared library',
      hint: 'softhsm/up.sh --install-only installs SoftHSM2',
      cause,
    })
  }
}

function fileSha256(path: string): string {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex')
  } catch (cause) {
    throw new TokenError('MODULE_NOT_FOUND', 'the PKCS#11 module cannot be read', {
      where: path,
      expected: 'a readable file',
      cause,
    })
  }
}

function checkHash(path: string, got: string, expected: string | undefined, hint: string): void {
  if (expected === undefined || expected.toLowerCase() === got) return
  throw new TokenError('MODULE_INVALID', 'the PKCS#11 module file is not the expected one', {
    where: path,
    expected: `sha256 ${expected.toLowerCase()}`,
    got: `sha256 ${got}`,
    hint,
  })
}

function open(path: string, sha256: string, options: LoadOptions): Entry {
  const { libraryParameters } = options
  const cryptoki = openCryptoki({
    path,
    ...(libraryParameters === undefined ? {} : { libraryParameters }),
  })
  const { cryptokiVersion, manufacturerId, libraryDescription, libraryVersion } = cryptoki.info()
  let generation = 0
  let queue: Promise<unknown> = Promise.resolve()
  const entry: Entry = {
    cryptoki,
    info: { path, sha256, cryptokiVersion, manufacturerId, libraryDescription, libraryVersion },
    libraryParameters,
    references: 0,
    logins: new Set(),
    jobs: createJobs(path),
    get generation() {
      return generation
    },
    exclusive(work) {
      const turn = queue.then(work)
      queue = turn.catch(() => undefined)
      return turn
    },
    renew(step) {
      // Counted before the call: even a failed C_Initialize has ended every session.
      generation += 1
      try {
        if (step === 'reinit') cryptoki.reinitialize()
        else cryptoki.reload()
      } catch (error) {
        if (isUntouched(error)) generation -= 1
        throw error
      }
    },
    release() {
      entry.references -= 1
      if (entry.references > 0) return
      REGISTRY.delete(path)
      cryptoki.close()
    },
  }
  return entry
}

/**
 * Loads a module, or takes another reference to it.
 * The file's hash is taken before it is loaded; replacing the file between the two needs write access
 * to it, which is write access to this process.
 * @throws TokenError MODULE_NOT_FOUND, MODULE_INVALID, ARGUMENT_INVALID (other parameters than the first load); Pkcs11Error.
 */
export function acquireModule(path: string, options: LoadOptions): LoadedModule {
  const real = realPath(path)
  const sha256 = fileSha256(real)
  const known = REGISTRY.get(real)
  checkHash(real, sha256, options.expectSha256, 'load the module that the binding names')
  if (known === undefined) {
    const entry = open(real, sha256, options)
    entry.references = 1
    REGISTRY.set(real, entry)
    return entry
  }
  checkHash(
    real,
    sha256,
    known.info.sha256,
    'the file changed since this process loaded it: restart',
  )
  if (
    options.libraryParameters !== undefined &&
    options.libraryParameters !== known.libraryParameters
  ) {
    throw new TokenError('ARGUMENT_INVALID', 'the module is loaded with other library parameters', {
      where: real,
      hint: 'C_Initialize takes them once per process',
    })
  }
  known.references += 1
  return known
}
