/**
 * FF3-1 (SP 800-38G Rev. 1, initial public draft of 2019, §5.2): the algorithm as a state machine per value,
 * without I/O. Never in a final standard and gone from the draft of February 2025: for data that exists.
 * The block cipher is AES under REVB(K): the key that reaches it has its bytes reversed.
 */
import { wipe } from '../bytes.ts'
import { mod, num, numRadix, strRadix, writeBytes } from './numeral.ts'
import { BLOCK, ROUNDS } from './parameters.ts'
import type { Direction } from './types.ts'
import type { Steps } from './waves.ts'

/** Alg. 9 (encrypt) and Alg. 10 (decrypt) on one value; `tweak` is 7 bytes. */
export function* ff3_1Steps(
  direction: Direction,
  numerals: Uint8Array | Uint16Array,
  tweak: Uint8Array,
  radix: number,
): Steps<Uint16Array> {
  const n = numerals.length
  const u = Math.ceil(n / 2) // step 1
  const v = n - u
  const radixU = BigInt(radix) ** BigInt(u)
  const radixV = BigInt(radix) ** BigInt(v)
  let A = numRadix(numerals.slice(0, u).reverse(), radix) // step 2; REV of step 4.ii
  let B = numRadix(numerals.slice(u).reverse(), radix)
  const [t0 = 0, t1 = 0, t2 = 0, t3 = 0, t4 = 0, t5 = 0, t6 = 0] = tweak
  const left = [t0, t1, t2, t3 & 0xf0] // step 3: T_L = T[0..27] || 0^4
  const right = [t4, t5, t6, (t3 & 0x0f) << 4] // T_R = T[32..55] || T[28..31] || 0^4
  const P = new Uint8Array(BLOCK)
  const view = new DataView(P.buffer)
  try {
    for (let round = 0; round < ROUNDS['FF3-1']; round++) {
      const i = direction === 'encrypt' ? round : ROUNDS['FF3-1'] - 1 - round
      const [radixM, W] = i % 2 === 0 ? [radixU, right] : [radixV, left] // step 4.i
      P.set(W) // step 4.ii
      P[3] = (P[3] ?? 0) ^ i
      writeBytes(direction === 'encrypt' ? B : A, view, 4, 12)
      P.reverse()
      yield P // step 4.iii: REVB before and after; P holds S now
      P.reverse()
      const y = num(view, BLOCK) // step 4.iv
      if (direction === 'encrypt') {
        const c = mod(A + y, radixM) // step 4.v; 4.vi waits for the end
        A = B // step 4.vii
        B = c // step 4.viii
      } else {
        const c = mod(B - y, radixM) // Alg. 10 step 4.v
        B = A
        A = c
      }
    }
  } finally {
    wipe(P)
  }
  const result = new Uint16Array(n)
  result.set(strRadix(A, radix, u).reverse()) // step 5; REV of step 4.vi
  result.set(strRadix(B, radix, v).reverse(), u)
  return result
}
