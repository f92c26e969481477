/** AES of node:crypto as a block cipher without native rounds, which counts what reaches the key. */
import { createCipheriv } from 'node:crypto'

import type { BlockCipher } from '../../src/ports.ts'

/** See {@link countingAes}. */
export interface CountingAes extends BlockCipher {
  /** Lengths of the calls so far, in blocks. */
  readonly calls: number[]
  /** Runs before each call; the call fails with what it throws. `call` counts from 0. */
  onCall: ((call: number) => void) | undefined
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
    onCall: undefined,
    ...(chunkBlocks !== undefined && { chunkBlocks }),
    ...(reversed && { reversedKey: true }),
    async encryptBlocks(blocks) {
      this.calls.push(blocks.length / 16)
      this.onCall?.(this.calls.length - 1)
      return Promise.resolve(new Uint8Array(aes.update(blocks)))
    },
  }
}
