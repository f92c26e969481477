/**
 * Work inside the module on other threads, and the moments in which there must be none: while any of it
 * runs, the module is not finalised and a login is not given up, because its sessions and handles would end
 * under it and their numbers could come to stand for others. Between two calls of a job nothing is in flight,
 * so counting calls is not enough.
 */
import { TokenError } from '../errors.ts'

/** One piece of work off this thread. */
export interface Job<T> {
  /** Begins at once; the promise settles when the module is left for good. */
  start(): Promise<T>
  /** Asks it to end between two calls, with {@link Interrupted}. */
  stop(): void
}

/** How an operation starts a job. @throws Interrupted. */
export type StartJob = <T>(job: Job<T>) => Promise<T>

/**
 * A job was stopped, or not started, for the sake of a recovery. Nothing is wrong with it: it runs again
 * from its inputs. Never leaves this layer.
 */
export class Interrupted extends Error {}

/** The jobs of one module. */
export interface Jobs {
  readonly start: StartJob
  /** Resolves when jobs may start. */
  readonly open: Promise<unknown>
  /**
   * Stops the jobs that run, lets none start, and runs `work` when all have ended.
   * @throws TokenError MODULE_BUSY when they had not after `timeoutMs`; whatever `work` throws.
   */
  alone<T>(work: () => T, timeoutMs?: number): Promise<T>
}

const TIMEOUT_MS = 10_000

/**
 * Resolves when all have settled, however.
 * @throws TokenError MODULE_BUSY when some have not after `timeoutMs`. `where` names module or token.
 */
export async function allEnded(
  where: string,
  running: Iterable<Promise<unknown>>,
  timeoutMs: number,
): Promise<void> {
  const list = [...running]
  if (list.length === 0) return
  const late = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => late.resolve(true), timeoutMs)
  const all = Promise.allSettled(list).then(() => false)
  const timedOut = await Promise.race([all, late.promise])
  clearTimeout(timer)
  if (!timedOut) return
  throw new TokenError('MODULE_BUSY', 'calls are running inside the module', {
    where,
    expected: `their end within ${timeoutMs} ms`,
    hint: 'a call that never returns ends with its process only',
  })
}

/** See {@link Jobs}. `where` names the module in errors. */
export function createJobs(where: string): Jobs {
  const running = new Map<Job<unknown>, Promise<unknown>>()
  let open: Promise<unknown> = Promise.resolve()
  let shut = 0

  return {
    get open() {
      return open
    },
    async start(job) {
      if (shut > 0) throw new Interrupted()
      const result = job.start()
      running.set(job, result)
      try {
        return await result
      } finally {
        running.delete(job)
      }
    },
    async alone(work, timeoutMs = TIMEOUT_MS) {
      const over = Promise.withResolvers<undefined>()
      open = Promise.all([open, over.promise])
      shut += 1
      try {
        for (const job of running.keys()) job.stop()
        await allEnded(where, running.values(), timeoutMs)
        return work()
      } finally {
        shut -= 1
        over.resolve(undefined)
      }
    },
  }
}
