/** What a scorer's server lets its clients ask for, and how many at a time. */
import { ConfigError, EmbeddingError } from '../errors.ts'
import { endedError } from './deadline.ts'

/** Limits of a server. All are whole numbers above 0 unless said otherwise. */
export interface ScorerLimits {
  /** Bytes of one request's body. */
  readonly maxRequestBytes: number
  readonly maxQueries: number
  /** Keyed hashes in the filter of one scan. */
  readonly maxFilterTokens: number
  /** Places in one request for records. */
  readonly maxPlaces: number
  /** Scans that compute at the same time. Each uses all threads of the kernel. */
  readonly maxScans: number
  /** Scans that wait beside them, 0 or more; the next one is refused with 503. */
  readonly maxQueuedScans: number
  /** Other requests at the same time; as many again wait. */
  readonly maxReads: number
  readonly maxConnections: number
  /** Concurrent streams of one connection. */
  readonly maxStreams: number
  /** Longest time of a request, also when its client asks for more or for none. */
  readonly maxTimeoutMs: number
  /** A client that neither sends nor takes a byte for so long is cut off. */
  readonly stallTimeoutMs: number
  /** A connection without requests is closed after this. */
  readonly idleTimeoutMs: number
  /** Time for requests under way when the server is closed. */
  readonly drainTimeoutMs: number
}

/**
 * At most maxScans + maxQueuedScans bodies are in memory: 66 of 64 MiB if every client goes to the limit.
 * A query of 768 dimensions is 1.3 MB.
 */
export const DEFAULT_LIMITS: ScorerLimits = {
  maxRequestBytes: 64 * 1024 * 1024,
  maxQueries: 32,
  maxFilterTokens: 10_000,
  maxPlaces: 10_000,
  maxScans: 2,
  maxQueuedScans: 64,
  maxReads: 16,
  maxConnections: 256,
  maxStreams: 100,
  maxTimeoutMs: 120_000,
  stallTimeoutMs: 30_000,
  idleTimeoutMs: 300_000,
  drainTimeoutMs: 10_000,
}
/** Limits that may be 0. */
const MAY_BE_ZERO: readonly string[] = ['maxQueuedScans', 'drainTimeoutMs']
/** Also the longest timer of Node. */
const LARGEST = 2 ** 31 - 1

/** Defaults with the caller's changes. @throws ConfigError. */
export function completeLimits(given: Partial<ScorerLimits> = {}): ScorerLimits {
  for (const [name, value] of Object.entries(given)) {
    const where = `limits.${name}`
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      const expected = Object.keys(DEFAULT_LIMITS).join(', ')
      throw new ConfigError('there is no such limit', { where, expected })
    }
    const least = MAY_BE_ZERO.includes(name) ? 0 : 1
    if (!Number.isInteger(value) || value < least || value > LARGEST) {
      throw new ConfigError('a limit is no whole number in its range', {
        where,
        expected: `${least} to ${LARGEST}`,
        got: String(value),
      })
    }
  }
  return { ...DEFAULT_LIMITS, ...given }
}

/** The right to be here; disposing gives it back. */
export interface Pass extends Disposable {
  /** Waits for its turn. @throws EmbeddingError ABORTED, DEADLINE_EXCEEDED when the signal fires first. */
  start(signal: AbortSignal): Promise<void>
}

/** Lets a bounded number run, a bounded number wait in order, and refuses all others. */
export interface Gate {
  /** @throws EmbeddingError UNAVAILABLE when nobody else may wait. */
  enter(): Pass
  readonly running: number
  readonly waiting: number
}

/** @param what - names what is counted, for the refusal */
export function createGate(what: string, maxRunning: number, maxWaiting: number): Gate {
  const queue: (() => void)[] = []
  let inside = 0
  let running = 0

  function enter(): Pass {
    if (inside >= maxRunning + maxWaiting) {
      throw new EmbeddingError('UNAVAILABLE', `too many ${what} at the same time`, {
        expected: `at most ${maxRunning} and ${maxWaiting} waiting`,
        hint: 'try again in a moment',
      })
    }
    inside++
    let state: 'entered' | 'running' | 'over' = 'entered'
    return {
      async start(signal) {
        if (signal.aborted) throw endedError(signal)
        if (running >= maxRunning) await turn(signal)
        else running++
        state = 'running'
      },
      [Symbol.dispose]() {
        if (state === 'over') return
        inside--
        if (state === 'running') {
          // The turn is handed on: `running` stays as it is.
          const next = queue.shift()
          if (next === undefined) running--
          else next()
        }
        state = 'over'
      },
    }
  }

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const mine = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        queue.splice(queue.indexOf(mine), 1)
        reject(endedError(signal))
      }
      queue.push(mine)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  return {
    enter,
    get running() {
      return running
    },
    get waiting() {
      return inside - running
    },
  }
}
