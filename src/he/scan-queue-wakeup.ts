/**
 * Waiting for a notification of PostgreSQL, or for a while: notifications are lost with a connection, so
 * that every wait ends by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import type { Database, Listener } from './postgres-connection.ts'

/** See the file's comment. */
export interface Wakeups extends AsyncDisposable {
  /** Notifications of a topic so far; to be read before looking for work. */
  heard(topic: string): number
  /** Resolves when more were heard than `since`, after `ms` at the latest, or when the signal fires. */
  wait(topic: string, since: number, ms: number, signal?: AbortSignal): Promise<void>
  /** Forgets a topic. */
  drop(topic: string): void
}

/** How often a lost LISTEN is tried again. */
const RELISTEN_MS = 1000

/**
 * @param topicOf - topic of a payload; undefined: of no interest
 * @param onHeard - called with each payload as well
 */
export function listenFor(
  db: Database,
  channel: string,
  topicOf: (payload: string) => string | undefined,
): Wakeups {
  const counts = new Map<string, number>()
  const waiting = new Map<string, Set<() => void>>()
  const closing = new AbortController()
  let listener: Listener | undefined

  const notify = (topic: string): void => {
    counts.set(topic, (counts.get(topic) ?? 0) + 1)
    for (const wake of waiting.get(topic) ?? []) wake()
  }
  const notifyAll = (): void => {
    for (const topic of waiting.keys()) notify(topic)
  }

  async function keepListening(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        listener = await db.listen(channel, (payload) => {
          const topic = topicOf(payload)
          if (topic !== undefined) notify(topic)
        })
        // Something may have been said before.
        notifyAll()
        const { lost } = listener
        const end = AbortSignal.any([lost, closing.signal])
        await new Promise<void>((resolve) => {
          if (end.aborted) resolve()
          end.addEventListener('abort', () => {
            resolve()
          })
        })
        await listener[Symbol.asyncDispose]()
        listener = undefined
      } catch {
        // Polling goes on meanwhile and says what is wrong.
      }
      await sleep(RELISTEN_MS, undefined, { signal: closing.signal }).catch(() => {})
    }
  }
  const listening = keepListening()

  return {
    heard: (topic) => counts.get(topic) ?? 0,
    async wait(topic, since, ms, signal) {
      if ((counts.get(topic) ?? 0) > since || signal?.aborted === true) return
      const woken = new AbortController()
      const wake = () => {
        woken.abort()
      }
      const set = waiting.get(topic) ?? new Set()
      waiting.set(topic, set.add(wake))
      signal?.addEventListener('abort', wake, { once: true })
      try {
        await sleep(ms, undefined, { signal: woken.signal })
      } catch {
        // Woken.
      } finally {
        signal?.removeEventListener('abort', wake)
        set.delete(wake)
        if (set.size === 0) waiting.delete(topic)
      }
    },
    drop(topic) {
      counts.delete(topic)
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      notifyAll()
      await listening
    },
  }
}
