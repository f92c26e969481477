/**
 * Ctrl-C, hang-up and termination as requests to close a ceremony truthfully.
 * First: abort. Second: say what would be lost. Third: stop at once.
 */

import { PolicyError } from '../errors.ts'

/** The reason an aborted signal carries, and what a cancelled question throws. */
export const stopped = (): PolicyError =>
  new PolicyError('ABORTED', 'CER-ABORT-1', 'a person stopped the ceremony', {
    where: 'terminal',
    hint: 'the transcript says what was done until then; a new ceremony starts from there',
  })

/** Exit status of a process that a person killed from the keyboard (128 + SIGINT). */
const KILLED = 130

/** What interrupts do in the end, so that tests can watch instead of dying. */
export interface InterruptEffects {
  /** Told once, on the first request. */
  closing(): void
  /** Told on the second request. */
  warning(): void
  /** Third request. */
  kill(status: number): void
}

/** Abort requests of the people at the terminal. */
export interface Interrupts extends Disposable {
  readonly signal: AbortSignal
  /** Counts one request; what a signal or ^C does. */
  request(): void
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Two keystrokes closer than this are one: a bouncing key must not reach the third stage. */
const BOUNCE_MS = 80

/** Listens to signals until disposed. */
export function createInterrupts(effects: InterruptEffects, monotonicMs: () => number): Interrupts {
  const controller = new AbortController()
  let requests = 0
  let lastMs = Number.NEGATIVE_INFINITY
  const request = (): void => {
    const nowMs = monotonicMs()
    if (nowMs - lastMs < BOUNCE_MS) return
    lastMs = nowMs
    requests += 1
    if (requests === 1) {
      effects.closing()
      controller.abort(stopped())
    } else if (requests === 2) {
      effects.warning()
    } else {
      effects.kill(KILLED)
    }
  }
  for (const name of SIGNALS) process.on(name, request)
  return {
    signal: controller.signal,
    request,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, request)
    },
  }
}
