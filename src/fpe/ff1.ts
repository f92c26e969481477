/**
 * FF1 (SP 800-38G §5.1): the algorithm as a state machine per value, without I/O.
 * A machine yields the AES blocks it needs next and is resumed with their encryptions in the same array.
 * Decryption uses the forward cipher too.
 */
import { wipe } from '../bytes.ts'
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

/** Alg. 6 (PRF) continued from `start` over more whole blocks: CBC-MAC. */
export function* mac(start: Uint8Array, blocks: Uint8Array): Steps<Uint8Array> {
  const Y = start.slice()
  for (let at = 0; at < blocks.length; at += BLOCK) {
    xorBlock(Y, blocks, at) // Alg. 6 step 3
    yield Y
  }
  return Y
}

/** Y := Y xor X_j; its encryption takes its place. */
function xorBlock(Y: Uint8Array, X: Uint8Array, at: number): void {
  for (let i = 0; i < BLOCK; i++) Y[i] = (Y[i] ?? 0) ^ (X[at + i] ?? 0)
}

/** The blocks R xor [j], j = 1, 2, ... after R (Alg. 7 step 6.iii). */
function counterBlocks(S: DataView): void {
  for (let j = 1; j < S.byteLength / BLOCK; j++) {
    const at = BLOCK * j
    for (let i = 0; i < BLOCK; i += 4) S.setUint32(at + i, S.getUint32(i))
    S.setUint32(at + 12, S.getUint32(12) ^ j)
  }
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
  const { radix, u, v, b, d, q, k, radixU, radixV } = parameters
  const encrypting = direction === 'encrypt'
  let A = numRadix(numerals.subarray(0, u), radix) // step 2
  let B = numRadix(numerals.subarray(u), radix)
  const Q = new Uint8Array(BLOCK * q)
  Q.set(tweak)
  const fixed = BLOCK * (q - k)
  const state = tweakDone ? start : yield* mac(start, Q.subarray(0, fixed))
  const S = new Uint8Array(BLOCK * Math.ceil(d / BLOCK))
  const R = S.subarray(0, BLOCK)
  const more = S.subarray(BLOCK)
  const viewOfQ = new DataView(Q.buffer)
  const viewOfS = new DataView(S.buffer)
  try {
    for (let round = 0; round < ROUNDS.FF1; round++) {
      const i = encrypting ? round : ROUNDS.FF1 - 1 - round
      Q[Q.length - b - 1] = i // step 6.i
      writeBytes(encrypting ? B : A, viewOfQ, Q.length - b, b)
      R.set(state)
      for (let at = fixed; at < Q.length; at += BLOCK) {
        xorBlock(R, Q, at) // step 6.ii
        yield R
      }
      if (more.length > 0) {
        counterBlocks(viewOfS) // step 6.iii
        yield more
      }
      const y = num(viewOfS, d) // step 6.iv
      const radixM = i % 2 === 0 ? radixU : radixV // step 6.v
      if (encrypting) {
        const c = mod(A + y, radixM) // step 6.vi; 6.vii waits for the end
        A = B // step 6.viii
        B = c // step 6.ix
      } else {
        const c = mod(B - y, radixM) // Alg. 8 step 6.vi
        B = A
        A = c
      }
    }
  } finally {
    wipe(Q, S)
  }
  const result = new Uint16Array(u + v)
  result.set(strRadix(A, radix, u)) // step 7
  result.set(strRadix(B, radix, v), u)
  return result
}
