/** How an error is told to a person: what, where, expected, got, hint. */
import { ConfigError, KeyriteError, type Pkcs11Category, Pkcs11Error } from '../errors.ts'
import { UsageError } from './exit-code.ts'
import type { Screen } from './screen.ts'

/** What the machine-readable form of any error looks like. */
export type ErrorDocument = Readonly<Record<string, string | number>>

/** Faults that another path or permission cures. */
const PATH_FAULTS: ReadonlySet<string> = new Set([
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'ENOTEMPTY',
  'EPERM',
  'EROFS',
])

/** Node's own file-system errors carry these fields. */
type SystemError = Error & {
  readonly code: string
  readonly syscall: string
  readonly path?: string
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/**
 * A KeyriteError for anything that was thrown. The text of an unknown error is not repeated, because
 * nobody has checked that it is free of secrets; its class is.
 */
export function toKeyriteError(error: unknown): KeyriteError {
  if (error instanceof KeyriteError) return error as KeyriteError
  if (isSystemError(error)) {
    const detail = {
      where: error.path,
      expected: 'a path that exists and that you may use',
      got: error.code,
      hint: 'check the path, its permissions and the space on its medium',
      cause: error,
    }
    const message = `the operating system refused ${error.syscall}`
    return PATH_FAULTS.has(error.code)
      ? new ConfigError(message, detail)
      : new KeyriteError('SYSTEM', message, detail)
  }
  const kind = error instanceof Error ? error.constructor.name : typeof error
  return new KeyriteError('INTERNAL', 'keyrite itself failed', {
    got: kind,
    hint: 'this is a fault in keyrite: run again with KEYRITE_DEBUG=1 and report the stack',
    cause: error,
  })
}

/** What a person can do about a failed PKCS#11 call. */
const ADVICE: Readonly<Record<Pkcs11Category, string>> = {
  auth: 'check the PIN and try again; many tokens lock after a few wrong tries',
  'auth-locked': 'the PIN is locked; the security officers of the token can set a new one',
  session: 'run the command again',
  'token-gone': 'is the token still connected?',
  policy: 'the token refuses this by its own rules; keyrite doctor shows what it enforces',
  mechanism: 'keyrite doctor lists what the token can do',
  data: 'the token does not accept these bytes; are they for this key?',
  capacity: 'the token is full, or has too many sessions open',
  device: 'the device reports a fault of its own; look at its log',
  module: 'keyrite doctor MODULE shows what is wrong with the module',
  argument: 'keyrite doctor MODULE shows what the module understands',
}

/**
 * The error with the fields the command line itself can supply: where, if nothing closer is known, what
 * a PKCS#11 call returned, and what to do next.
 */
export function withPlace(error: KeyriteError, path: string): KeyriteError {
  const pkcs11 = error instanceof Pkcs11Error ? error : undefined
  const fields = {
    where: error.where ?? path,
    expected: error.expected ?? (pkcs11 ? 'CKR_OK' : `see ${path} --help`),
    got: error.got ?? pkcs11?.rv ?? error.message,
    hint:
      error.hint ??
      (pkcs11 === undefined
        ? `${path} --help shows the options and an example`
        : ADVICE[pkcs11.category]),
  }
  return Object.create(
    error,
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, { value, enumerable: true }]),
    ),
  ) as KeyriteError
}

/** The JSON form, with the fields that some classes add. */
export function errorDocument(error: KeyriteError): ErrorDocument {
  const extra = ['requirement', 'rv', 'fn', 'have', 'need', 'entry'].flatMap((field) => {
    const value: unknown = Reflect.get(error, field)
    return typeof value === 'string' || typeof value === 'number' ? [[field, value] as const] : []
  })
  return { ...error.toJSON(), ...Object.fromEntries(extra) }
}

/** Prints `error:` and the fields that are known, aligned. */
export function printError(screen: Screen, error: KeyriteError): void {
  const requirement: unknown = Reflect.get(error, 'requirement')
  const rule = typeof requirement === 'string' ? ` (${requirement})` : ''
  const code = error instanceof UsageError ? '' : ` [${error.code}]`
  screen.print(`error: ${error.message}${code}${rule}`, { hang: 7, style: 'red' })
  for (const field of ['where', 'expected', 'got', 'hint'] as const) {
    const value = error[field]
    if (value !== undefined) screen.print(`  ${`${field}:`.padEnd(10)}${value}`, { hang: 12 })
  }
}

/**
 * The stack frames of an error and of its causes, without their messages: for `KEYRITE_DEBUG=1`.
 * Frames are code locations and hold no values, so no secret can be among them.
 */
export function stackLines(error: unknown): string[] {
  const lines: string[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at && typeof at.code === 'string' ? ` ${at.code}` : ''
    lines.push(`${at.constructor.name}${code}:`)
    lines.push(...(at.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)))
  }
  return lines
}
