/**
 * Gathers single calls that are made at the same time on one key into one batch, whatever their alphabets and
 * tweaks: one value costs an HSM as many round trips as a thousand. An idle key starts at once, at the end of the current
 * microtask; calls that arrive meanwhile wait and leave together.
 */
import type { BlockCipher } from '../ports.ts'
import { SLICE, runRecords } from './engine.ts'
import type { Direction, FpeRecord, Method } from './types.ts'
import { breathe } from './waves.ts'

/** Batches one after another before other work of the process gets a turn. */
const BREATH = 256

interface Waiting {
  readonly record: FpeRecord
  readonly resolve: (numerals: Uint16Array) => void
  readonly reject: (reason: unknown) => void
}

interface Lane {
  waiting: Waiting[]
  running: boolean
  batches: number
}

type Lanes = Map<`${Method} ${Direction}`, Lane>

const lanes = new WeakMap<BlockCipher, Lanes>()

function laneOf(cipher: BlockCipher, name: `${Method} ${Direction}`): Lane {
  let byName = lanes.get(cipher)
  if (byName === undefined) {
    byName = new Map()
    lanes.set(cipher, byName)
  }
  let lane = byName.get(name)
  if (lane === undefined) {
    lane = { waiting: [], running: false, batches: 0 }
    byName.set(name, lane)
  }
  return lane
}

async function drain(
  lane: Lane,
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
): Promise<void> {
  lane.running = true
  await Promise.resolve() // calls of the same turn join the batch
  while (lane.waiting.length > 0) {
    const batch = lane.waiting.splice(0, SLICE)
    try {
      const records = batch.map(({ record }) => record)
      const results = await runRecords(cipher, method, direction, records)
      for (const [i, { resolve }] of batch.entries()) resolve(results[i] ?? new Uint16Array())
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      for (const { record } of batch) record.numerals.fill(0)
    }
    // Also for a caller who awaits one value after another: a software key answers without a turn of the event loop.
    if (++lane.batches % BREATH === 0) await breathe()
  }
  lane.running = false
}

/**
 * One value, with whatever else is on its way. The record is checked by the caller, so that the only errors here are
 * the key's, which concern all. Takes over the numerals and wipes them.
 */
export function enqueue(
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  record: FpeRecord,
): Promise<Uint16Array> {
  const lane = laneOf(cipher, `${method} ${direction}`)
  return new Promise((resolve, reject) => {
    lane.waiting.push({ record, resolve, reject })
    if (!lane.running) void drain(lane, cipher, method, direction)
  })
}
