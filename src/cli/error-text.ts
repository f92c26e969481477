/** How an error is told to a person: what, where, expected, got, hint. */
import { KeyriteError } from '../errors.ts'
import { UsageError } from './exit-code.ts'
import type { Screen } from './screen.ts'

/** What the machine-readable form of any error looks like. */
export type ErrorDocument = Readonly<Record<string, string | number>>

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
  if (error instanceof KeyriteError) return error
  if (isSystemError(error)) {
    return new KeyriteError('SYSTEM', `the operating system refused ${error.syscall}`, {
      where: error.path,
      got: error.code,
      hint: 'check that the path exists, that you may use it and that the disk is not full',
      cause: error,
    })
  }
  const kind = error instanceof Error ? error.constructor.name : typeof error
  return new KeyriteError('INTERNAL', 'keyrite itself failed', {
    got: kind,
    hint: 'this is a fault in keyrite: run again with KEYRITE_DEBUG=1 and report the stack',
    cause: error,
  })
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
    lines.push(`${at.constructor.name}:`)
    lines.push(...(at.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line)))
  }
  return lines
}
