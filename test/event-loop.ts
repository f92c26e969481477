/** How long work holds the event loop. */
import { setImmediate as turn } from 'node:timers/promises'

/** Milliseconds this thread has worked: other processes on the machine do not count. */
function busyMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Milliseconds of work between each two turns of the event loop while `run` goes on. */
export async function workBetweenTurns(run: () => Promise<unknown>): Promise<readonly number[]> {
  const running = new AbortController()
  const gaps: number[] = []
  const watch = (async () => {
    for (let last = busyMs(); !running.signal.aborted;) {
      await turn()
      const now = busyMs()
      gaps.push(now - last)
      last = now
    }
  })()
  await run().finally(() => {
    running.abort()
  })
  await watch
  return gaps
}
