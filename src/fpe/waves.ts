/**
 * Runs many state machines in lockstep: the blocks all of them need next go to the key in one call.
 * Machines that end early leave; the number of calls is that of the longest machine, whatever their number.
 */
import { wipe } from '../bytes.ts'
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { BLOCK } from './parameters.ts'

/** Yields whole AES blocks and is resumed when their encryptions have taken their place; returns a result. */
export type Steps<Result> = Generator<Uint8Array, Result, undefined>

/** Blocks handled before other work of the process gets a turn: about a millisecond. */
const BREATH = 512
const DEFAULT_CHUNK = 1024

/** Lets timers and I/O run. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** @throws FpeError ABORTED */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new FpeError('ABORTED', 'stopped by the caller', { cause: signal.reason })
  }
}

/** One wave through the key, in chunks the key can take. */
async function encrypt(
  cipher: BlockCipher,
  wave: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const chunk = BLOCK * (cipher.chunkBlocks ?? DEFAULT_CHUNK)
  const result = new Uint8Array(wave.length)
  for (let at = 0; at < wave.length; at += chunk) {
    checkAborted(signal)
    const part = wave.subarray(at, at + chunk)
    const encrypted = await cipher.encryptBlocks(part)
    if (encrypted.length !== part.length) {
      throw new FpeError('KEY_INVALID', 'the block cipher answered with another number of bytes', {
        expected: `${part.length} bytes`,
        got: `${encrypted.length} bytes`,
      })
    }
    result.set(encrypted, at)
    wipe(encrypted)
  }
  return result
}

/**
 * Results of all machines, in order. The event loop gets a turn every {@link BREATH} blocks.
 * @throws FpeError ABORTED, KEY_INVALID; what `cipher.encryptBlocks` throws.
 */
export async function runWaves<Result>(
  cipher: BlockCipher,
  machines: readonly Steps<Result>[],
  signal?: AbortSignal,
): Promise<Result[]> {
  const results = new Array<Result>(machines.length)
  let running: { readonly machine: Steps<Result>; readonly at: number; blocks: Uint8Array }[] = []
  let handled = 0
  for (const [at, machine] of machines.entries()) {
    const first = machine.next()
    if (first.done === true) results[at] = first.value
    else running.push({ machine, at, blocks: first.value })
    if (++handled % BREATH === 0) await breathe()
  }
  try {
    while (running.length > 0) {
      const wave = new Uint8Array(running.reduce((sum, { blocks }) => sum + blocks.length, 0))
      let end = 0
      for (const { blocks } of running) {
        wave.set(blocks, end)
        end += blocks.length
      }
      let encrypted: Uint8Array | undefined
      try {
        encrypted = await encrypt(cipher, wave, signal)
        const still: typeof running = []
        end = 0
        for (const one of running) {
          const { blocks, machine, at } = one
          // A loop: a view costs more than the few bytes of most machines.
          for (let i = 0; i < blocks.length; i++) blocks[i] = encrypted[end++] ?? 0
          const next = machine.next()
          if (next.done === true) {
            results[at] = next.value
          } else {
            one.blocks = next.value
            still.push(one)
          }
          handled += blocks.length / BLOCK
          if (handled >= BREATH) {
            handled = 0
            await breathe()
          }
        }
        running = still
      } finally {
        wipe(wave, encrypted)
      }
    }
  } finally {
    // After a failure: they wipe what they hold.
    for (const { machine, at } of running) machine.return(results[at] as Result)
  }
  return results
}
