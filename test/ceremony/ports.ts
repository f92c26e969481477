/** The machine's clock and randomness. */
import { randomBytes } from 'node:crypto'

import type { Clock, Random } from '../../src/ports.ts'

export const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
export const random: Random = {
  bytes: (length) => Promise.resolve(new Uint8Array(randomBytes(length))),
}
