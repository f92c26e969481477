/**
 * AES-ECB operations that stay open in pool sessions between jobs, so that the next job under the same key
 * begins with C_EncryptUpdate (PKCS#11 v3.2 §5.8.4: an operation lasts until C_EncryptFinal): two round trips
 * less for each job.
 *
 * A module may go on with an operation after its key was destroyed, here or by another process. So none begins a
 * job later than {@link LIFETIME_MS} after its first one, and every change of the token by its connection, and every
 * handle that turns out to be gone, ends all of them.
 */
import type { SessionHandle } from './cryptoki.ts'

/** Longest time without a new C_EncryptInit, from the end of the job that called it; in milliseconds. */
export const LIFETIME_MS = 1_000

/** Jobs of one owner may follow each other in an operation: one for each key object in use. */
export type StandingOwner = object

/** A session in use. A number alone does not tell: once the module was initialised again, another session may have it. */
export interface Lease {
  readonly session: SessionHandle
  /** An operation of its owner is open in the session already. */
  readonly open: boolean
  readonly standing: Standing | undefined
}

interface Standing {
  readonly owner: StandingOwner
  /** Set while the operation is open: ends it. */
  timer: NodeJS.Timeout | undefined
  busy: boolean
  /** Its time is over, or the token was changed: it ends when its session is idle. */
  due: boolean
}

/** See the head of this file. */
export class StandingOperations {
  readonly #sessions = new Map<SessionHandle, Standing>()
  readonly #finish: (session: SessionHandle) => void

  /** @param finish - C_EncryptFinal, whose errors do not matter: the session's next user meets them. */
  constructor(finish: (session: SessionHandle) => void) {
    this.#finish = finish
  }

  /** Which of some idle sessions to take: one with an operation of `owner`, else one without any, else the last. */
  choose(idle: readonly SessionHandle[], owner: StandingOwner | undefined): number {
    const own = (session: SessionHandle) => this.#sessions.get(session)?.owner === owner
    const found = owner === undefined ? -1 : idle.findLastIndex(own)
    if (found >= 0) return found
    const free = idle.findLastIndex((session) => !this.#sessions.has(session))
    return free >= 0 ? free : idle.length - 1
  }

  /** A session was taken, by a job of `owner` or for something else. */
  take(session: SessionHandle, owner: StandingOwner | undefined): Lease {
    const found = this.#sessions.get(session)
    if (found !== undefined && found.owner === owner) {
      found.busy = true
      return { session, open: true, standing: found }
    }
    if (found !== undefined) this.#end(session, found)
    if (owner === undefined) return { session, open: false, standing: undefined }
    const standing: Standing = { owner, timer: undefined, busy: true, due: false }
    this.#sessions.set(session, standing)
    return { session, open: false, standing }
  }

  /** A session is not in use any more. `open`: its job left the operation open. */
  release({ session, standing }: Lease, open: boolean): void {
    if (standing === undefined || this.#sessions.get(session) !== standing) return
    standing.busy = false
    if (!open) {
      clearTimeout(standing.timer)
      this.#sessions.delete(session)
      return
    }
    standing.timer ??= setTimeout(() => this.#expire(session, standing), LIFETIME_MS).unref()
    if (standing.due) this.#end(session, standing)
  }

  /** Ends all operations: those of busy sessions when their job is over. */
  endAll(): void {
    for (const [session, standing] of [...this.#sessions]) this.#expire(session, standing)
  }

  /** The sessions do not exist any more. */
  clear(): void {
    for (const { timer } of this.#sessions.values()) clearTimeout(timer)
    this.#sessions.clear()
  }

  #expire(session: SessionHandle, standing: Standing): void {
    if (standing.busy) standing.due = true
    else this.#end(session, standing)
  }

  #end(session: SessionHandle, { timer }: Standing): void {
    clearTimeout(timer)
    this.#sessions.delete(session)
    this.#finish(session)
  }
}
