/**
 * The connection to one token: a login session that stays open, because the login ends with the last
 * session (PKCS#11 v3.2 §5.6.9), a pool of sessions for operations, and the recovery ladder around both.
 */
import { wipe } from '../bytes.ts'
import { KeyriteError, Pkcs11Error, TokenError } from '../errors.ts'
import { CKS } from './constants.ts'
import { CKR } from './constants-ckr.ts'
import type { Cryptoki, SessionHandle } from './cryptoki.ts'
import { allEnded, Interrupted } from './jobs.ts'
import type { StartJob } from './jobs.ts'
import type { LoadedModule } from './loaded-module.ts'
import { climb, connectionLost, firstStep, isRecoverable } from './recovery.ts'
import type { RecoveryStep } from './recovery.ts'
import { isReturnValue, pkcs11Error } from './return-value.ts'
import { createSessionPool } from './session-pool.ts'
import type { SessionPool } from './session-pool.ts'
import { sameToken } from './slot.ts'
import { StandingOperations } from './standing-operation.ts'
import type { StandingOwner } from './standing-operation.ts'
import type { PresentToken } from './slot.ts'
import type { LoginOptions, TokenInfo } from './types.ts'

/** Where an operation runs. Handles found here are valid in this epoch only. */
export interface Place {
  readonly cryptoki: Cryptoki
  readonly session: SessionHandle
  readonly slotId: number
  readonly epoch: number
  /** Whose login the connection has; absent where nobody's matters. */
  readonly user?: Connection['user']
  /** Runs a call that changes the token: after it, the whole operation is not repeated. */
  change<T>(call: () => T): T
  /** For jobs with an {@link RunOptions.owner}. */
  readonly standing?: {
    /** An operation of this owner is open in the session already. */
    readonly open: boolean
    /** Whether it is open after a job. Until it is said nothing has changed, unless a call failed. */
    leave(open: boolean): void
  }
}

/** How an operation runs. */
export interface RunOptions {
  /** `login`: objects made here live until logout; `fresh`: a new session, closed afterwards. Default `pool`. */
  readonly on?: 'pool' | 'login' | 'fresh'
  /** On `pool`: the work may go on with a standing operation of this owner, and leave one. */
  readonly owner?: StandingOwner
}

/** See the head of this file. */
export interface Connection {
  readonly info: TokenInfo
  readonly user: 'user' | 'so' | 'nobody'
  readonly epoch: number
  /**
   * Runs `work`; on a lost session, login or connection climbs the ladder and runs it again, unless it
   * had already changed the token. Work on other threads is begun with `start`: recovery and `close` wait for it.
   * @throws TokenError CONNECTION_LOST, POOL_TIMEOUT, MODULE_CLOSED; whatever `work` throws.
   */
  run<T>(work: (place: Place, start: StartJob) => T | Promise<T>, options?: RunOptions): Promise<T>
  /**
   * Waits for the jobs that run, logs out and closes all sessions.
   * @throws TokenError MODULE_BUSY when a job does not end in time; the login stays, `close` may be called again.
   */
  close(): Promise<void>
}

/** States of a session that sees private objects (PKCS#11 v3.2 §5.6.4). */
const USER_STATES: readonly number[] = [CKS.RO_USER_FUNCTIONS, CKS.RW_USER_FUNCTIONS]

/**
 * Throws CKR_USER_NOT_LOGGED_IN when the login has ended behind the connection. A token without login
 * does not refuse a search, it finds nothing: whoever concludes something from nothing asks here first.
 */
export function assertLogin({ cryptoki, session, user }: Place): void {
  if (user !== 'user' || USER_STATES.includes(cryptoki.sessionInfo(session).state)) return
  throw pkcs11Error('C_GetSessionInfo', CKR.USER_NOT_LOGGED_IN)
}

const MAX_SESSIONS = 4
const WAIT_TIMEOUT_MS = 10_000
/** One try on another session, then one after the ladder. */
const ATTEMPTS = 3

const identity = ({ serial, label, manufacturerId, model }: TokenInfo): string =>
  JSON.stringify([manufacturerId, model, serial, label])

function alreadyLoggedIn(info: TokenInfo, cause?: unknown): TokenError {
  return new TokenError('ALREADY_LOGGED_IN', 'somebody is logged in to this token already', {
    where: `token=${info.label};serial=${info.serial}`,
    expected: 'one login per token and process',
    hint: 'a login counts for the whole process and a second PIN would not be checked: close the first, or use a process of its own',
    cause,
  })
}

/** At most what the caller wants and the token has, less the login session. */
function poolMax({ raw }: PresentToken, wanted: number): number {
  const limits = [raw.maxSessionCount, raw.maxRwSessionCount].filter((n) => n !== undefined)
  return Math.min(wanted, ...limits.map((n) => Math.max(1, n - 1)))
}

/** Opens the connection; `login` absent: a public one. */
export async function connect(
  module: LoadedModule,
  token: PresentToken,
  login: LoginOptions | undefined,
): Promise<Connection> {
  const { cryptoki } = module
  const user = login === undefined ? 'nobody' : (login.user ?? 'user')
  const where = `token=${token.info.label};serial=${token.info.serial}`
  const claim = identity(token.info)
  let info = token.info
  let generation = module.generation
  let epoch = 1
  let loginSession: SessionHandle | undefined
  /** No operation is begun any more. */
  let closed = false
  /** The sessions are closed too. */
  let gone = false
  let loginQueue: Promise<unknown> = Promise.resolve()
  const waitTimeoutMs = login?.waitTimeoutMs ?? WAIT_TIMEOUT_MS
  const running = new Set<Promise<unknown>>()

  const quietly = (call: () => void) => {
    try {
      call()
    } catch (error) {
      if (!(error instanceof KeyriteError)) throw error
    }
  }

  const openSession = () => cryptoki.openSession(info.slotId, { readWrite: true })

  const pool: SessionPool = createSessionPool(
    { open: openSession, close: (session) => cryptoki.closeSession(session) },
    {
      max: poolMax(token, login?.maxSessions ?? MAX_SESSIONS),
      waitTimeoutMs,
    },
  )

  const standing = new StandingOperations((session) => {
    // After somebody else's C_Initialize the number may be another one's session.
    if (module.generation === generation) quietly(() => cryptoki.encryptFinal(session))
  })

  /** Opens the login session and logs in. CKR_USER_ALREADY_LOGGED_IN is never success: no PIN was checked. */
  const enter = (pin: Uint8Array | null) => {
    const session = openSession()
    try {
      if (user !== 'nobody') cryptoki.login(session, user, pin)
    } catch (error) {
      quietly(() => cryptoki.closeSession(session))
      if (isReturnValue(error, 'USER_ALREADY_LOGGED_IN', 'USER_ANOTHER_ALREADY_LOGGED_IN')) {
        throw alreadyLoggedIn(info, error)
      }
      throw error
    }
    loginSession = session
  }

  const drop = () => {
    standing.clear()
    pool.clear('close')
    const session = loginSession
    loginSession = undefined
    if (session === undefined) return
    if (user !== 'nobody') quietly(() => cryptoki.logout(session))
    quietly(() => cryptoki.closeSession(session))
  }

  const askPin = async (): Promise<Uint8Array | null> => {
    if (login === undefined || login.pin === null) return null
    if (login.pinAgain !== undefined) return login.pinAgain()
    throw connectionLost(where, 'log in again, or give login() a pinAgain callback', undefined)
  }

  const step = (name: RecoveryStep, pin: Uint8Array | null) => {
    if (name !== 'relogin') module.renew(name)
    const renewed = module.generation !== generation
    if (renewed) {
      // Sessions of an earlier initialisation do not exist any more, and their numbers may be in use again.
      loginSession = undefined
      standing.clear()
      pool.clear('forget')
      generation = module.generation
      info = sameToken(cryptoki, info).info
    } else {
      drop()
    }
    epoch += 1
    enter(pin)
  }

  /** Climbs once for all operations that failed in the same epoch. */
  const recover = (failedEpoch: number, first: RecoveryStep): Promise<void> =>
    module.exclusive(async () => {
      if (closed) throw new TokenError('MODULE_CLOSED', 'the token was closed', { where })
      if (epoch !== failedEpoch) return
      let pin: Uint8Array | null | undefined
      const ask = async () => (pin ??= await askPin())
      // The PIN comes first: without one there is nothing to gain from giving up what still works.
      if (user !== 'nobody') await ask()
      try {
        await climb(where, first, async (name) => {
          const known = await ask()
          await module.jobs.alone(() => step(name, known), waitTimeoutMs)
        })
      } finally {
        wipe(pin ?? undefined)
      }
    })

  const ensure = async () => {
    await module.jobs.open
    if (closed) throw new TokenError('MODULE_CLOSED', 'the token was closed', { where })
    // Lost when an earlier recovery failed, or when another connection initialised the module again.
    if (loginSession === undefined || module.generation !== generation) {
      await recover(epoch, 'relogin')
    }
  }

  /**
   * In a later epoch sessions and handles of `at` mean nothing; nor do they when another connection has
   * initialised the module again: their numbers may name that one's sessions and keys.
   */
  const checkCurrent = (at: number) => {
    if (at !== epoch || module.generation !== generation) throw new Interrupted()
  }

  /** A job that was begun in `at`. */
  const startIn =
    (at: number): StartJob =>
    async (job) => {
      checkCurrent(at)
      const result = module.jobs.start(job)
      running.add(result)
      try {
        return await result
      } finally {
        running.delete(result)
      }
    }

  const onLogin = <T>(work: (session: SessionHandle) => T | Promise<T>): Promise<T> => {
    const turn = loginQueue.then(() => {
      if (loginSession === undefined) throw connectionLost(where, 'call again', undefined)
      return work(loginSession)
    })
    loginQueue = turn.catch(() => undefined)
    return turn
  }

  const onFresh = async <T>(work: (session: SessionHandle) => T | Promise<T>): Promise<T> => {
    const session = openSession()
    try {
      return await work(session)
    } finally {
      quietly(() => cryptoki.closeSession(session))
    }
  }

  type Work<T> = (session: SessionHandle, standing?: Place['standing']) => T | Promise<T>

  const onPool = <T>(work: Work<T>, owner: StandingOwner | undefined): Promise<T> =>
    pool.use(
      async (session) => {
        const lease = standing.take(session, owner)
        const { open } = lease
        let left = open
        const leave = (now: boolean) => {
          left = now
        }
        try {
          return await work(session, owner === undefined ? undefined : { open, leave })
        } catch (error) {
          // The pool throws the session away.
          if (error instanceof Pkcs11Error) left = false
          // What stands open under a key that is gone must not be taken for that of a key of its name.
          if (isReturnValue(error, 'KEY_HANDLE_INVALID', 'OBJECT_HANDLE_INVALID')) standing.endAll()
          throw error
        } finally {
          standing.release(lease, left)
        }
      },
      (idle) => standing.choose(idle, owner),
    )

  const ways = { pool: onPool, login: onLogin, fresh: onFresh }

  await module.exclusive(() => {
    if (user !== 'nobody' && module.logins.has(claim)) throw alreadyLoggedIn(info)
    enter(login?.pin ?? null)
    if (user !== 'nobody') module.logins.add(claim)
    return Promise.resolve()
  })

  return {
    get info() {
      return info
    },
    user,
    get epoch() {
      return epoch
    },
    async run(work, { on = 'pool', owner } = {}) {
      for (let attempt = 1; ;) {
        await ensure()
        let at = epoch
        const state = { started: false, changed: false }
        try {
          return await ways[on]((session, shared?: Place['standing']) => {
            // It may have waited for its session: the epoch counts from here.
            at = epoch
            checkCurrent(at)
            state.started = true
            const change = <T>(call: () => T): T => {
              try {
                return changing(state, call)
              } finally {
                standing.endAll()
              }
            }
            const { slotId } = info
            const place: Place = {
              ...{ cryptoki, session, slotId, epoch: at, user, change },
              ...(shared && { standing: shared }),
            }
            return work(place, startIn(at))
          }, owner)
        } catch (error) {
          // Somebody else's recovery: no attempt of this one.
          if (error instanceof Interrupted) continue
          const first = attempt === 1
          const last = attempt >= ATTEMPTS
          attempt += 1
          const waited = error instanceof TokenError && error.code === 'CONNECTION_LOST'
          if (waited && !state.started && !last) continue
          if (!isRecoverable(error)) throw error
          // Not a lost login: this connection never had one that may do it.
          if (error.retry === 'relogin' && user !== 'user') throw error
          const another = error.retry === 'session' && first && on !== 'login'
          if (!another) await recover(at, firstStep(error))
          if (state.changed) {
            throw connectionLost(
              where,
              'whether the last change took effect is unknown: take an inventory',
              error,
            )
          }
          if (last) throw error
        }
      }
    },
    async close() {
      await module.exclusive(async () => {
        if (gone) return
        closed = true
        await allEnded(where, running, waitTimeoutMs)
        gone = true
        if (module.generation === generation) drop()
        if (user !== 'nobody') module.logins.delete(claim)
      })
    },
  }
}

/** A call that was refused for its session or login was not carried out (PKCS#11 v3.2 §5.1.6). */
function changing<T>(state: { changed: boolean }, call: () => T): T {
  const before = state.changed
  state.changed = true
  try {
    return call()
  } catch (error) {
    const refused =
      error instanceof Pkcs11Error && (error.retry === 'session' || error.retry === 'relogin')
    if (refused) state.changed = before
    throw error
  }
}
