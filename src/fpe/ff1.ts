/**
 * FF1 (SP 800-38G §5.1): the algorithm as a state machine per value, without I/O.
 * A machine yields the AES blocks it needs next and is resumed with their encryptions, which it may read until
 * it yields again. Decryption uses the forward cipher too.
 */
import { concat } from '../bytes.ts'
import { mod, num, numRadix, strRadix, writeBytes } from './numeral.ts'
import { BLOCK, type Ff1Parameters, ROUNDS } from './parameters.ts'
import type { Direction } from './types.ts'
import type { Steps } from './waves.ts'

/** The blocks of Q that hold only tweak and padding, the same in all rounds (Alg. 7 step 6.i). */
export function fixedBlocks({ t, q, k }: Ff1Parameters, tweak: Uint8Array): Uint8Array {
  const blocks = new Uint8Array(BLOCK * (q - k))
  blocks.set(tweak.subarray(0, Math.min(t, blocks.length)))
  return blocks
}

/** Alg. 6 (PRF) continued from `state` over more whole blocks: CBC-MAC. */
export function* mac(state: Uint8Array, blocks: Uint8Array): Steps<Uint8Array> {
  let y = state
  for (let at = 0; at < blocks.length; at += BLOCK) {
    const x = new Uint8Array(BLOCK)
    for (let i = 0; i < BLOCK; i++) x[i] = (y[i] ?? 0) ^ (blocks[at + i] ?? 0) // Alg. 6 step 3
    y = (yield x).slice()
  }
  return y
}

/** Alg. 7 step 6.iii: the first d bytes of R || CIPH(R xor [1]) || CIPH(R xor [2]) ... */
function* expand(R: Uint8Array, d: number): Steps<Uint8Array> {
  if (d <= BLOCK) return R.subarray(0, d)
  const blocks = new Uint8Array(BLOCK * (Math.ceil(d / BLOCK) - 1))
  const view = new DataView(blocks.buffer)
  for (let at = 0; at < blocks.length; at += BLOCK) {
    blocks.set(R, at)
    const low = at + BLOCK - 4
    view.setUint32(low, (view.getUint32(low) ^ (at / BLOCK + 1)) >>> 0)
  }
  return concat(R, yield blocks).subarray(0, d)
}

/**
 * Alg. 7 (encrypt) and Alg. 8 (decrypt) on one value.
 * `start`: the CBC-MAC state after P, and when `tweakDone` after {@link fixedBlocks} as well.
 */
export function* ff1Steps(
  direction: Direction,
  numerals: Uint8Array | Uint16Array,
  tweak: Uint8Array,
  parameters: Ff1Parameters,
  start: Uint8Array,
  tweakDone: boolean,
): Steps<Uint16Array> {
  const { radix, t, u, v, b, d, q, k, radixU, radixV } = parameters
  let A = numRadix(numerals.subarray(0, u), radix) // step 2
  let B = numRadix(numerals.subarray(u), radix)
  const Q = new Uint8Array(BLOCK * q)
  Q.set(tweak.subarray(0, t))
  const varying = Q.subarray(BLOCK * (q - k))
  const state = tweakDone ? start : yield* mac(start, Q.subarray(0, BLOCK * (q - k)))
  for (let round = 0; round < ROUNDS.FF1; round++) {
    const i = direction === 'encrypt' ? round : ROUNDS.FF1 - 1 - round
    Q[Q.length - b - 1] = i // step 6.i
    writeBytes(direction === 'encrypt' ? B : A, Q, Q.length - b, b)
    const R = yield* mac(state, varying) // step 6.ii
    const S = yield* expand(R, d) // step 6.iii
    const y = num(S) // step 6.iv
    const radixM = i % 2 === 0 ? radixU : radixV // step 6.v
    if (direction === 'encrypt') {
      const c = mod(A + y, radixM) // step 6.vi; 6.vii waits for the end
      A = B // step 6.viii
      B = c // step 6.ix
    } else {
      const c = mod(B - y, radixM) // Alg. 8 step 6.vi
      B = A
      A = c
    }
  }
  Q.fill(0)
  const result = new Uint16Array(u + v)
  result.set(strRadix(A, radix, u)) // step 7
  result.set(strRadix(B, radix, v), u)
  return result
}
