/**
 * A bounded pool of sessions beside a token's login session. Each operation has its session to itself
 * (PKCS#11 v3.2 §5.6: one active operation per kind and session). Last in, first out, so that a quiet
 * pool stays small. A session is thrown away when an operation on it failed, and never probed:
 * asking C_GetSessionInfo before each use costs a round trip and proves nothing about the next call.
 */
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { SessionHandle } from './cryptoki.ts'
import { isReturnValue } from './return-value.ts'

/** How the pool gets and drops sessions. */
export interface PoolPort {
  open(): SessionHandle
  close(session: SessionHandle): void
}

/** Limits of a pool. */
export interface PoolLimits {
  /** Most sessions open at once; at least 1. */
  readonly max: number
  readonly waitTimeoutMs: number
}

/** Index of the session to take; there is at least one. */
export type ChooseSession = (idle: readonly SessionHandle[]) => number

/** See the head of this file. */
export interface SessionPool {
  /** Sessions open now. */
  readonly size: number
  /** Sessions in use now. */
  readonly busy: number
  /**
   * Runs `work` with a session of its own: of several idle ones the one that `choose` names, else the last.
   * @throws TokenError POOL_TIMEOUT when no session came free in time; TokenError CONNECTION_LOST after `clear`.
   */
  use<T>(work: (session: SessionHandle) => T | Promise<T>, choose?: ChooseSession): Promise<T>
  /**
   * Ends all sessions and refuses whoever waits; the pool stays usable. `close`: idle ones now, busy ones
   * when they come back. `forget`: the module has ended them already, and their handles may be in use
   * again for somebody else's sessions.
   */
  clear(how: 'close' | 'forget'): void
}

interface Waiter {
  readonly wake: () => void
  readonly refuse: (error: TokenError) => void
}

/** @throws TokenError ARGUMENT_INVALID on limits that are not positive integers. */
export function createSessionPool(port: PoolPort, limits: PoolLimits): SessionPool {
  for (const [name, value] of Object.entries(limits) as [string, number][]) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new TokenError('ARGUMENT_INVALID', 'invalid session pool limit', {
        where: name,
        expected: 'a positive integer',
        got: `${value}`,
      })
    }
  }
  const idle: SessionHandle[] = []
  const waiters: Waiter[] = []
  let busy = 0
  let generation = 0
  /** Sessions born in this generation or earlier are not ours to close. */
  let forgotten = -1

  const closeQuietly = (session: SessionHandle) => {
    try {
      port.close(session)
    } catch (error) {
      // The session is given up either way: what made it bad usually makes C_CloseSession fail as well.
      if (!(error instanceof Pkcs11Error || error instanceof TokenError)) throw error
    }
  }

  /** A free session, or undefined when one has to come back first. */
  const take = (choose: ChooseSession): SessionHandle | undefined => {
    const [chosen] = idle.length === 0 ? [] : idle.splice(choose(idle), 1)
    if (chosen !== undefined) return chosen
    if (busy >= limits.max) return undefined
    try {
      return port.open()
    } catch (error) {
      // The token has fewer sessions than it said, or other processes hold them: wait for one of ours.
      if (busy > 0 && isReturnValue(error, 'SESSION_COUNT', 'TOKEN_RESOURCE_EXCEEDED')) {
        return undefined
      }
      throw error
    }
  }

  const wait = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const waiter: Waiter = {
        wake: () => {
          clearTimeout(timer)
          resolve()
        },
        refuse: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const timer = setTimeout(() => {
        waiters.splice(waiters.indexOf(waiter), 1)
        reject(
          new TokenError('POOL_TIMEOUT', 'no session came free', {
            where: 'session pool',
            expected: `a free session within ${limits.waitTimeoutMs} ms`,
            got: `${busy} of ${limits.max} in use`,
            hint: 'raise maxSessions or waitTimeoutMs, or start fewer operations at once',
          }),
        )
      }, limits.waitTimeoutMs)
      waiters.push(waiter)
    })

  const release = (session: SessionHandle, keep: boolean, born: number) => {
    if (born !== generation) {
      if (born > forgotten) closeQuietly(session)
      return
    }
    busy -= 1
    if (keep) idle.push(session)
    else closeQuietly(session)
    waiters.shift()?.wake()
  }

  return {
    get size() {
      return idle.length + busy
    },
    get busy() {
      return busy
    },
    async use(work, choose = (sessions) => sessions.length - 1) {
      let session = take(choose)
      while (session === undefined) {
        await wait()
        session = take(choose)
      }
      const born = generation
      busy += 1
      let keep = false
      try {
        const result = await work(session)
        keep = true
        return result
      } catch (error) {
        // A refused argument never reached the module; any CKR may have left an operation behind.
        keep = !(error instanceof Pkcs11Error)
        throw error
      } finally {
        release(session, keep, born)
      }
    },
    clear(how) {
      if (how === 'forget') forgotten = generation
      generation += 1
      busy = 0
      for (const session of idle.splice(0)) if (how === 'close') closeQuietly(session)
      for (const waiter of waiters.splice(0)) {
        waiter.refuse(
          new TokenError('CONNECTION_LOST', 'the connection to the token was closed', {
            where: 'session pool',
            hint: 'call again',
          }),
        )
      }
    },
  }
}
