/** Errors as a transcript may hold them. */
import { KeyriteError, PolicyError } from '../errors.ts'
import type { EntryOf } from './entries.ts'

type LoggedError = EntryOf<'ceremony.abort'>['error']

/** An error as it may be written down: a foreign error's message could hold anything, so it stays out. */
export function asKeyriteError(error: unknown): KeyriteError {
  if (error instanceof KeyriteError) return error as KeyriteError
  if (error instanceof Error && error.name === 'AbortError') {
    return new PolicyError('ABORTED', 'CER-CLOSE-1', 'somebody in the room aborted the ceremony', {
      cause: error,
    })
  }
  return new KeyriteError('UNEXPECTED', 'an unexpected error ended the ceremony', {
    got: error instanceof Error ? error.name : typeof error,
    cause: error,
  })
}

/** The fields of an error that a transcript holds. */
export function loggedError(error: KeyriteError): LoggedError {
  const { name, code, message } = error
  const { where, expected, got, hint } = error.toJSON()
  return {
    name,
    code,
    message,
    ...(where === undefined ? {} : { where }),
    ...(expected === undefined ? {} : { expected }),
    ...(got === undefined ? {} : { got }),
    ...(hint === undefined ? {} : { hint }),
  }
}
