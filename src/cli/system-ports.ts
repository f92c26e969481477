/** The ports of layer 0 as the running machine provides them. */
import { randomBytes } from 'node:crypto'

import type { Clock, Random } from '../ports.ts'

/** The system's wall clock and Node's monotonic clock. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** The operating system's generator, through OpenSSL (node:crypto). */
export const systemRandom: Random = {
  bytes: (length) => Promise.resolve(new Uint8Array(randomBytes(length))),
}
