/** Batches of 16-digit numbers for `BlockCipher.feistel`, without the layer that normally makes them. */
import { utf8 } from '../../src/bytes.ts'
import type { BlockCipher, FeistelBatch, FeistelGroup } from '../../src/ports.ts'

const DIGITS = 16
const TWEAK = utf8('merchant')

/** SP 800-38G §5.1 Alg. 7 step 5: P for radix 10, n = 16 (u = 8), t = 8. */
const P = Uint8Array.of(1, 2, 1, 0, 0, 10, 10, 8, 0, 0, 0, DIGITS, 0, 0, 0, TWEAK.length)

/** Digits 0 to 9 as one run of ASCII characters. */
const CHARACTERS = Uint8Array.of(0x30, 0, 10)

/** `count` different numbers, as ASCII digits one after another. */
export function pans(count: number): Uint8Array {
  const out = new Uint8Array(count * DIGITS)
  for (let at = 0; at < count; at += 1) {
    const digits = `${(4_000_000_000_000_000n + BigInt(at) * 1_000_003n) % 10n ** 16n}`
    out.set(utf8(digits.padStart(DIGITS, '0')), at * DIGITS)
  }
  return out
}

/** FF1 of packed numbers under one tweak; the result is in the group's `output`. */
export async function panGroup(cipher: BlockCipher, input: Uint8Array): Promise<FeistelGroup> {
  return {
    radix: 10,
    length: DIGITS,
    count: input.length / DIGITS,
    input,
    output: new Uint8Array(input.length),
    tweakLength: TWEAK.length,
    tweaks: TWEAK,
    prefix: await cipher.encryptBlocks(P),
    characters: CHARACTERS,
  }
}

/** Encrypts packed numbers in one batch. */
export async function encryptPans(
  cipher: BlockCipher,
  input: Uint8Array,
  options: Partial<Pick<FeistelBatch, 'direction' | 'signal'>> = {},
): Promise<FeistelGroup['output']> {
  const group = await panGroup(cipher, input)
  await cipher.feistel!({ method: 'FF1', direction: 'encrypt', ...options, groups: [group] })
  return group.output
}
