/**
 * Throw-away PKCS#11 modules for the tests: SoftHSM2, NSS softoken, and SoftHSM2 behind `p11-kit server`.
 * One test file is one process (vitest `forks`), so a module may be chosen through the environment.
 * PINs are random per run; every PIN is handed out as a fresh copy, so that a test may wipe what it used.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { describe } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const UP = join(ROOT, 'softhsm', 'up.sh')

/** tmpfs where there is one: SoftHSM flushes on every truncate. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : '/tmp'

/** Path of the SoftHSM2 module. */
export const SOFTHSM_MODULE = '/usr/lib/softhsm/libsofthsm2.so'

/** A library in the multiarch directory, or undefined. */
function library(name: string): string | undefined {
  return readdirSync('/usr/lib')
    .filter((directory) => directory.includes('-linux-'))
    .map((directory) => join('/usr/lib', directory, name))
    .find((path) => existsSync(path))
}

/** Runs `softhsm/up.sh` and returns what it prints. */
export function up(...args: string[]): string {
  return execFileSync('bash', [UP, ...args], { encoding: 'utf8' })
}

/** A scratch directory on tmpfs, mode 0700. */
export function scratch(purpose: string): string {
  return mkdtempSync(join(SCRATCH, `keyrite-test-${purpose}-`))
}

/** A PIN as keyrite sends it: 32 random bytes as 64 hex digits. Each call is a new PIN. */
export function newPin(): Uint8Array {
  return new Uint8Array(Buffer.from(randomBytes(32).toString('hex'), 'ascii'))
}

/** A token that was initialised for this run. */
export interface TestToken {
  readonly label: string
  readonly serial: string
  /** `pkcs11:token=...;serial=...` */
  readonly uri: string
  /** A fresh copy of the SO PIN. */
  soPin(): Uint8Array
  /** A fresh copy of the USER PIN. */
  userPin(): Uint8Array
}

/** A SoftHSM2 directory of this run. */
export interface SoftHsm {
  /** Path of the module. */
  readonly module: string
  readonly dir: string
  /** Path of softhsm2.conf; SOFTHSM2_CONF of this process points at it. */
  readonly conf: string
  /** Initialises tokens in a child process. Call it before this process loads the module. */
  tokens<Label extends string>(...labels: Label[]): Record<Label, TestToken>
  /** Copies the token files aside. */
  snapshot(): void
  /** Puts the copied token files back: what an attacker with a disk image does. */
  restore(): void
  cleanup(): void
}

/** A new SoftHSM2 directory; points SOFTHSM2_CONF of this process at it. */
export function softHsm(): SoftHsm {
  const dir = scratch('softhsm')
  up(dir)
  const conf = join(dir, 'softhsm2.conf')
  const files = join(dir, 'tokens')
  const copy = join(dir, 'snapshot')
  process.env['SOFTHSM2_CONF'] = conf
  return {
    module: SOFTHSM_MODULE,
    dir,
    conf,
    tokens: <Label extends string>(...labels: Label[]) => initTokens(conf, labels),
    snapshot: () => {
      rmSync(copy, { recursive: true, force: true })
      cpSync(files, copy, { recursive: true, preserveTimestamps: true })
    },
    restore: () => {
      rmSync(files, { recursive: true, force: true })
      cpSync(copy, files, { recursive: true, preserveTimestamps: true })
    },
    cleanup: () => rmSync(dir, { recursive: true, force: true }),
  }
}

function initTokens<Label extends string>(
  conf: string,
  labels: readonly Label[],
): Record<Label, TestToken> {
  const pins = labels.map((label) => ({ label, soPin: newPin(), userPin: newPin() }))
  const text = (pin: Uint8Array) => Buffer.from(pin).toString('ascii')
  const printed = execFileSync(process.execPath, [join(import.meta.dirname, 'init-tokens.ts')], {
    env: { ...process.env, SOFTHSM2_CONF: conf },
    encoding: 'utf8',
    input: JSON.stringify({
      module: SOFTHSM_MODULE,
      tokens: pins.map(({ label, soPin, userPin }) => ({
        label,
        soPin: text(soPin),
        userPin: text(userPin),
      })),
    }),
  })
  const serials = JSON.parse(printed) as Record<string, string>
  const made = pins.map(({ label, soPin, userPin }): [string, TestToken] => {
    const serial = serials[label] ?? ''
    return [
      label,
      {
        label,
        serial,
        uri: `pkcs11:token=${encodeURIComponent(label)};serial=${encodeURIComponent(serial)}`,
        soPin: () => soPin.slice(),
        userPin: () => userPin.slice(),
      },
    ]
  })
  return Object.fromEntries(made) as Record<Label, TestToken>
}

/** An NSS softoken database of this run. */
export interface NssModule {
  readonly module: string
  readonly dir: string
  /** For `loadModule(path, { libraryParameters })`. */
  readonly libraryParameters: string
  /** The one token with a PIN. */
  readonly token: Pick<TestToken, 'label' | 'uri' | 'userPin'>
  cleanup(): void
}

/** A new NSS database. @throws Error where libnss3 is not installed. */
export function nssModule(): NssModule {
  const module = library('libsoftokn3.so')
  if (module === undefined) throw new Error('libnss3 is not installed')
  const dir = scratch('nss')
  up('--nss', dir)
  const pin = readFileSync(join(dir, 'pin'), 'ascii').trim()
  return {
    module,
    dir,
    libraryParameters: readFileSync(join(dir, 'parameters'), 'utf8').trim(),
    token: {
      label: 'NSS Certificate DB',
      uri: 'pkcs11:token=NSS%20Certificate%20DB',
      userPin: () => new Uint8Array(Buffer.from(pin, 'ascii')),
    },
    cleanup: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** SoftHSM2 behind `p11-kit server`: a token at the far end of a connection that can be cut. */
export interface RemoteModule extends Pick<SoftHsm, 'module' | 'dir' | 'conf' | 'tokens'> {
  start(): void
  /** kill -9 of the whole process group: the connection dies without a goodbye. */
  kill(): void
  cleanup(): void
}

/** A new SoftHSM2 directory and the client module for it; `tokens()` first, then `start()`. */
export function remoteModule(): RemoteModule {
  const module = library('pkcs11/p11-kit-client.so')
  if (module === undefined) throw new Error('p11-kit-modules is not installed')
  const behind = softHsm()
  process.env['P11_KIT_SERVER_ADDRESS'] = `unix:path=${join(behind.dir, 'p11-kit.sock')}`
  return {
    module,
    dir: behind.dir,
    conf: behind.conf,
    tokens: (...labels) => behind.tokens(...labels),
    start: () => void up('--remote', behind.dir, 'start'),
    kill: () => void up('--remote', behind.dir, 'kill'),
    cleanup: () => {
      up('--remote', behind.dir, 'stop')
      behind.cleanup()
    },
  }
}

/** One module of {@link eachModule}, set up. */
export interface ModuleUnderTest {
  readonly module: string
  readonly libraryParameters: string | undefined
  readonly token: Pick<TestToken, 'label' | 'uri' | 'userPin'>
  cleanup(): void
}

/** How {@link eachModule} names its modules. */
export type ModuleName = 'SoftHSM2' | 'NSS'

interface Candidate {
  /** Why it cannot run here, or undefined. */
  readonly missing: () => string | undefined
  readonly start: () => ModuleUnderTest
}

const MODULES: Record<ModuleName, Candidate> = {
  SoftHSM2: {
    missing: () => (existsSync(SOFTHSM_MODULE) ? undefined : 'softhsm2 is not installed'),
    start: () => {
      const hsm = softHsm()
      const { vault } = hsm.tokens('vault')
      return { ...hsm, libraryParameters: undefined, token: vault }
    },
  },
  NSS: {
    missing: () =>
      library('libsoftokn3.so') === undefined ? 'libnss3 is not installed' : undefined,
    start: nssModule,
  },
}

/**
 * Runs the same suite on SoftHSM2 and on NSS softoken. `start` sets the module up (call it in `beforeAll`);
 * a module that is not installed is skipped with its reason printed.
 */
export function eachModule(suite: (name: ModuleName, start: () => ModuleUnderTest) => void): void {
  for (const name of ['SoftHSM2', 'NSS'] as const) {
    const { missing, start } = MODULES[name]
    const reason = missing()
    if (reason !== undefined) printSkip(`${name}: ${reason}`)
    describe.skipIf(reason !== undefined)(name, () => suite(name, start))
  }
}

/** Prints why something is not tested here; a skip without a reason hides a hole. */
export function printSkip(reason: string): void {
  process.stdout.write(`skipped: ${reason}\n`)
}
