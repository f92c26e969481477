/** Long work in slices, so that timers and requests of the process get their turns in between. */
import { setImmediate } from 'node:timers/promises'

/** Milliseconds of work before other work gets its turn. */
const SLICE_MS = 5

/** For one piece of work: to be awaited between its steps. */
export function slices(): () => Promise<void> {
  let start = performance.now()
  return async () => {
    if (performance.now() - start <= SLICE_MS) return
    await setImmediate()
    start = performance.now()
  }
}
