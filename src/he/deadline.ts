/** One signal for the two ways in which a call ends early: its caller's signal, and its time. */
import { EmbeddingError } from '../errors.ts'
import type { CallOptions } from './types.ts'

/** Longest timer of Node, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1

/** A signal that fires with the caller's or when the time is over; undefined: nothing ends the call. */
export function callSignal({ signal, timeoutMs }: CallOptions = {}): AbortSignal | undefined {
  if (timeoutMs === undefined) return signal
  if (!(timeoutMs >= 0)) {
    throw new EmbeddingError('LIMIT_EXCEEDED', 'timeoutMs is not a number of milliseconds', {
      expected: '0 or more',
      got: String(timeoutMs),
    })
  }
  const timer = AbortSignal.timeout(Math.min(timeoutMs, LONGEST_MS))
  return signal === undefined ? timer : AbortSignal.any([signal, timer])
}

/** The error of a call whose signal has fired. */
export function endedError(signal: AbortSignal): EmbeddingError {
  const late = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
  return late
    ? new EmbeddingError('DEADLINE_EXCEEDED', 'the time given to the call is over', {
        hint: 'give more time (timeoutMs, on the command line --timeout-ms), or search fewer vectors',
      })
    : new EmbeddingError('ABORTED', 'stopped by the caller', { cause: signal.reason })
}

/** @throws EmbeddingError ABORTED, DEADLINE_EXCEEDED. */
export function throwIfEnded(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw endedError(signal)
}
