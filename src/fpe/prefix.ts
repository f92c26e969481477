/**
 * Where FF1's CBC-MAC stands after the blocks that do not vary: P, and of Q the whole blocks of the tweak
 * (SP 800-38G §5.1 Alg. 7 steps 5 and 6.i, Alg. 6). Computed once per key and kept, so that a batch pays for
 * its rounds only.
 */
import type { BlockCipher } from '../ports.ts'
import { fixedBlocks, mac } from './ff1.ts'
import { BLOCK, type Ff1Parameters } from './parameters.ts'
import { runWaves } from './waves.ts'

/** States kept per key and kind. */
const KEPT = 256

/** The most recently used states. */
class Recent {
  readonly #states = new Map<string, Promise<Uint8Array>>()

  get(key: string): Promise<Uint8Array> | undefined {
    const state = this.#states.get(key)
    if (state !== undefined) {
      this.#states.delete(key)
      this.#states.set(key, state)
    }
    return state
  }

  set(key: string, state: Promise<Uint8Array>): void {
    const [oldest] = this.#states.keys()
    if (oldest !== undefined && this.#states.size >= KEPT) this.#states.delete(oldest)
    this.#states.set(key, state)
  }

  delete(key: string): void {
    this.#states.delete(key)
  }
}

/** States after P, by shape, and after the fixed blocks of a tweak, by shape and those blocks. */
const keys = new WeakMap<BlockCipher, { readonly shapes: Recent; readonly tweaks: Recent }>()

/** CBC-MAC over `blocks`, continued from `start`. */
interface Wanted {
  readonly key: string
  readonly start: Uint8Array
  readonly blocks: Uint8Array
}

/** States in the order wanted; those that are missing are computed together, in one call per block of the longest. */
async function recall(
  cipher: BlockCipher,
  recent: Recent,
  wanted: readonly Wanted[],
): Promise<Uint8Array[]> {
  const missing: Wanted[] = []
  const computed = Promise.withResolvers<Map<string, Uint8Array>>()
  const states = wanted.map((one) => {
    const known = recent.get(one.key)
    if (known !== undefined) return known
    missing.push(one)
    const state = computed.promise.then((all) => all.get(one.key) ?? one.start)
    recent.set(one.key, state)
    return state
  })
  if (missing.length > 0) {
    // Others may wait for the same states: no caller's signal ends this.
    const run = runWaves(
      cipher,
      missing.map(({ start, blocks }) => mac(start, blocks)),
    )
    computed.resolve(
      run.then((ends) => new Map(ends.map((end, i) => [missing[i]?.key ?? '', end]))),
    )
    run.catch(() => {
      for (const { key } of missing) recent.delete(key)
    })
  }
  return Promise.all(states)
}

/** A shape, and the tweak all values share; undefined where each value adds its own. */
interface PrefixWanted {
  readonly parameters: Ff1Parameters
  readonly tweak: Uint8Array | undefined
}

/** States of 16 bytes, in the order wanted. @throws what the block cipher throws. */
export async function prefixes(
  cipher: BlockCipher,
  wanted: readonly PrefixWanted[],
): Promise<Uint8Array[]> {
  let kept = keys.get(cipher)
  if (kept === undefined) {
    kept = { shapes: new Recent(), tweaks: new Recent() }
    keys.set(cipher, kept)
  }
  const names = wanted.map(({ parameters: { radix, n, t } }) => `${radix}/${n}/${t}/`)
  const states = await recall(
    cipher,
    kept.shapes,
    wanted.map(({ parameters }, i) => ({
      key: names[i] ?? '',
      start: new Uint8Array(BLOCK), // Alg. 6 step 2
      blocks: parameters.P,
    })),
  )
  const shared = wanted.flatMap(({ parameters, tweak }, at) => {
    const start = states[at]
    if (start === undefined || tweak === undefined || parameters.q === parameters.k) return []
    const blocks = fixedBlocks(parameters, tweak)
    return [
      { at, start, blocks, key: `${names[at] ?? ''}${Buffer.from(blocks).toString('latin1')}` },
    ]
  })
  const after = shared.length === 0 ? [] : await recall(cipher, kept.tweaks, shared)
  for (const [i, { at }] of shared.entries())
    states[at] = after[i] ?? states[at] ?? new Uint8Array()
  return states
}
