/** How far long work on a collection is, and what Ctrl-C does to it. */
import { EmbeddingError } from '../errors.ts'
import { grouped } from './fpe-progress.ts'
import { type Interrupts, createInterrupts } from './interrupts.ts'
import type { Io } from './output.ts'
import type { Screen } from './screen.ts'
import { systemClock } from './system-ports.ts'

const EVERY_MS = 5_000

const duration = (seconds: number): string =>
  seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds)} s`

/** One line: done, of how many, speed, time left where the number is known. */
export function countLine(
  what: string,
  done: number,
  from: number,
  total: number | undefined,
  elapsedMs: number,
): string {
  const speed = (done - from) / (Math.max(elapsedMs, 1) / 1000)
  const left = total === undefined || speed === 0 ? undefined : (total - done) / speed
  return [
    total === undefined
      ? `${grouped(done)} ${what}`
      : `${grouped(done)} of ${grouped(total)} ${what}`,
    `${grouped(Math.round(speed))} ${what}/s`,
    ...(left === undefined ? [] : [`${duration(left)} left`]),
  ].join(', ')
}

/** On a terminal, prints a line when some seconds have passed since the last one. */
export function countPrinter(
  side: Screen,
  io: Io,
  what: string,
  { from = 0, total }: { readonly from?: number; readonly total?: number | undefined } = {},
): (done: number) => void {
  const startedMs = systemClock.monotonicMs()
  let printedMs = startedMs
  return (done) => {
    const nowMs = systemClock.monotonicMs()
    if (io.stderr.isTTY !== true || nowMs - printedMs < EVERY_MS) return
    printedMs = nowMs
    side.print(countLine(what, done, from, total, nowMs - startedMs), { style: 'dim' })
  }
}

/** Ctrl-C asks the work to stop after the step it is at; every step is durable as a whole. */
export const stopRequests = (side: Screen, step: string): Interrupts =>
  createInterrupts(
    {
      closing: () => side.print(`stopping after the ${step} that is at work ...`),
      warning: () =>
        side.print('still stopping; once more ends at once, and what was done stays done'),
      kill: (status) => process.exit(status),
    },
    () => systemClock.monotonicMs(),
  )

/** What is thrown in place of any error that a stop led to. */
export const stoppedAfter = (where: string, hint: string, cause?: unknown): EmbeddingError =>
  new EmbeddingError('ABORTED', 'stopped by a person', { where, hint, cause })

/** Seconds since a monotonic time, with one decimal. */
export const secondsSince = (startedMs: number): string =>
  ((systemClock.monotonicMs() - startedMs) / 1000).toFixed(1)
