/** AES of node:crypto as a block cipher without native rounds, which counts what reaches the key. */
import { createCipheriv } from 'node:crypto'

import type { BlockCipher } from '../../src/ports.ts'

/** See {@link countingAes}. */
export interface CountingAes extends BlockCipher {
  /** Lengths of the calls so far, in blocks. */
  readonly calls: number[]
  /** The next call fails with this. */
  fail: Error | undefined
}

/** ECB carries no state, so one operation serves all calls. */
export function countingAes(
  key: Uint8Array,
  options: { readonly reversed?: boolean; readonly chunkBlocks?: number } = {},
): CountingAes {
  const { reversed = false, chunkBlocks } = options
  const bytes = reversed ? key.toReversed() : key
  const aes = createCipheriv(`aes-${bytes.length * 8}-ecb`, bytes, null).setAutoPadding(false)
  return {
    calls: [],
    fail: undefined,
    ...(chunkBlocks !== undefined && { chunkBlocks }),
    ...(reversed && { reversedKey: true }),
    encryptBlocks(blocks) {
      this.calls.push(blocks.length / 16)
      const { fail } = this
      this.fail = undefined
      if (fail !== undefined) return Promise.reject(fail)
      return Promise.resolve(new Uint8Array(aes.update(blocks)))
    },
  }
}
