/** How long single calls take: the best of several rounds, in turns with what they are compared with. */

/** Does the work once. */
export type Task = () => Promise<unknown>

/**
 * Milliseconds of the fastest call of each task. All take their turn in every round, so that a machine that slows
 * down slows all, and every other round in reverse, so that none always follows the same one: what ran before
 * leaves its mark on caches and on shared memory. The first round does not count.
 */
export async function bestTimes(rounds: number, ...tasks: readonly Task[]): Promise<number[]> {
  const best = tasks.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round <= rounds; round += 1) {
    const order = [...tasks.entries()]
    if (round % 2 === 1) order.reverse()
    for (const [at, task] of order) {
      const started = performance.now()
      await task()
      const elapsed = performance.now() - started
      if (round > 0) best[at] = Math.min(best[at] ?? elapsed, elapsed)
    }
  }
  return best
}
