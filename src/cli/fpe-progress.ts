/** How far a long run is, on a terminal: a line now and then, no values in it. */
import type { StreamProgress } from '../fpe/index.ts'
import type { Screen } from './screen.ts'

const EVERY_MS = 5_000

/** 1234567 as `1,234,567`. */
export const grouped = (count: number): string => count.toLocaleString('en-US')

/** Bytes in decimal units. */
export function megabytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`
}

const duration = (seconds: number): string =>
  seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds)} s`

/** One line: rows, bytes, speed, time left where the size is known. */
export function progressLine(
  now: StreamProgress,
  since: { readonly values: number; readonly inputBytes: number },
  elapsedMs: number,
  size: number | undefined,
): string {
  const seconds = Math.max(elapsedMs, 1) / 1000
  const speed = Math.round((now.values - since.values) / seconds)
  const bytesPerSecond = (now.inputBytes - since.inputBytes) / seconds
  const left = size === undefined ? undefined : (size - now.inputBytes) / bytesPerSecond
  return [
    `${grouped(now.rows)} rows`,
    size === undefined
      ? megabytes(now.inputBytes)
      : `${megabytes(now.inputBytes)} of ${megabytes(size)}`,
    `${grouped(speed)} values/s`,
    ...(left === undefined || !Number.isFinite(left) ? [] : [`${duration(left)} left`]),
    ...(now.badRows === 0 ? [] : [`${grouped(now.badRows)} bad rows`]),
  ].join(', ')
}

/** Prints a line when some seconds have passed since the last one. */
export function progressPrinter(
  side: Screen,
  size: number | undefined,
  start: StreamProgress | undefined,
  monotonicMs: () => number,
): (progress: StreamProgress) => void {
  const startedMs = monotonicMs()
  const since = { values: start?.values ?? 0, inputBytes: start?.inputBytes ?? 0 }
  let printedMs = startedMs
  return (progress) => {
    const nowMs = monotonicMs()
    if (nowMs - printedMs < EVERY_MS) return
    printedMs = nowMs
    side.print(progressLine(progress, since, nowMs - startedMs, size), { style: 'dim' })
  }
}
