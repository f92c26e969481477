/** Waiting that a signal ends, whether or not what is waited for listens to it. */
import { endedError } from './deadline.ts'

/** The promise's outcome, or the signal's error when that comes first. */
export function untilEnded<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => reject(endedError(signal))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', end))
  })
}
