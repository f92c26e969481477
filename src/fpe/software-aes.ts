/**
 * An AES key in this process as a block cipher: for tests, for data keys that an HSM unwrapped, and for speed.
 * Rounds run natively on the process's own OpenSSL where the addon is compiled, else over node:crypto.
 * Nothing native is loaded before {@link softwareAes} is called.
 */
import { createCipheriv } from 'node:crypto'

import { loadAddon } from '../addon.ts'
import { wipe } from '../bytes.ts'
import { ConfigError, FpeError } from '../errors.ts'
import { aborted, invalidSymbol, nativeBatch, withCancel } from '../feistel-addon.ts'
import type { FeistelAddon, NativeAesKey, NativeOutcome } from '../feistel-addon.ts'
import type { BlockCipher, FeistelBatch } from '../ports.ts'

/** Options of {@link softwareAes}. */
export interface SoftwareAesOptions {
  /** For FF3-1: the key is used in reverse byte order, REVB(K) (SP 800-38G §5.2). Give it as it is. */
  readonly reversed?: boolean
  /** Most blocks per call of AES, 1 to 65,536; default 1,024. */
  readonly chunkBlocks?: number
}

const BLOCK = 16
const KEY_LENGTHS = [16, 24, 32]
const CHUNK_BLOCKS = 1024
const CHUNK_BLOCKS_MAX = 65_536
const ROUNDS = 10
/** Batches of fewer blocks are done at once: some tens of microseconds, as long as a thread takes to start on them. */
const SYNC_BLOCKS = 2560

/** An upper bound. */
const blocksOf = ({ groups }: FeistelBatch): number =>
  groups.reduce((sum, { count, tweakLength }) => sum + count * (ROUNDS + tweakLength / BLOCK), 0)

/** The key in the addon; undefined where it is not compiled or the process exports no OpenSSL. */
function openNative(key: Uint8Array): { addon: FeistelAddon; key: NativeAesKey } | undefined {
  let addon: FeistelAddon
  try {
    addon = loadAddon() as FeistelAddon
  } catch {
    return undefined
  }
  const opened = addon.aesOpen(key)
  return opened === undefined ? undefined : { addon, key: opened }
}

function check({ rv, fn, invalid, aborted: ended }: NativeOutcome): void {
  if (ended) throw aborted()
  if (invalid >= 0) throw invalidSymbol(invalid)
  if (rv !== 0) throw new FpeError('KEY_INVALID', 'OpenSSL refused to encrypt', { where: fn })
}

function checkOptions(key: Uint8Array, chunkBlocks: number): void {
  // Callers without types get here too: OpenSSL would take text for a key.
  const given: unknown = key
  if (!(given instanceof Uint8Array) || !KEY_LENGTHS.includes(given.length)) {
    throw new FpeError('KEY_INVALID', 'this is not an AES key', {
      where: 'softwareAes',
      expected: '16, 24 or 32 bytes',
      got: given instanceof Uint8Array ? `${given.length} bytes` : 'no bytes',
    })
  }
  if (!Number.isInteger(chunkBlocks) || chunkBlocks < 1 || chunkBlocks > CHUNK_BLOCKS_MAX) {
    throw new ConfigError('chunkBlocks is out of range', {
      where: 'softwareAes',
      expected: `an integer from 1 to ${CHUNK_BLOCKS_MAX}`,
      got: String(chunkBlocks),
    })
  }
}

/**
 * `key` is copied; the caller wipes its own. Disposing of the cipher wipes the copies; a batch that is running
 * then is finished first.
 * @throws FpeError KEY_INVALID for other lengths than 16, 24 and 32; ConfigError. The cipher: FpeError CLOSED
 * after disposal, LENGTH_INVALID for blocks that are not whole.
 */
export function softwareAes(
  key: Uint8Array,
  { reversed = false, chunkBlocks = CHUNK_BLOCKS }: SoftwareAesOptions = {},
): BlockCipher & Disposable {
  checkOptions(key, chunkBlocks)
  const used = reversed ? key.toReversed() : key
  // ECB carries no state from block to block, so one operation stays open for all calls.
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, used, null).setAutoPadding(false)
  const native = openNative(used)
  if (reversed) wipe(used)
  let closed = false
  const checkOpen = (): void => {
    if (closed) throw new FpeError('CLOSED', 'this key was disposed of', { where: 'softwareAes' })
  }

  const feistel = async (
    { addon, key: opened }: { addon: FeistelAddon; key: NativeAesKey },
    batch: FeistelBatch,
  ): Promise<void> => {
    checkOpen()
    const form = nativeBatch(batch)
    const { signal } = batch
    if (blocksOf(batch) < SYNC_BLOCKS) {
      if (signal?.aborted === true) throw aborted()
      check(addon.feistelOnAesSync(opened, chunkBlocks, form))
      return
    }
    await withCancel(signal, async (cancel) => {
      check(await addon.feistelOnAes(opened, chunkBlocks, form, cancel))
    })
  }

  return {
    chunkBlocks,
    reversedKey: reversed,
    encryptBlocks: (blocks) =>
      new Promise((resolve) => {
        checkOpen()
        if (blocks.length === 0 || blocks.length % BLOCK !== 0) {
          throw new FpeError('LENGTH_INVALID', 'not whole AES blocks', {
            where: 'encryptBlocks',
            expected: `a positive multiple of ${BLOCK} bytes`,
            got: `${blocks.length} bytes`,
          })
        }
        const { buffer, byteOffset, byteLength } = cipher.update(blocks)
        resolve(new Uint8Array(buffer, byteOffset, byteLength))
      }),
    ...(native === undefined ? {} : { feistel: (batch) => feistel(native, batch) }),
    [Symbol.dispose]() {
      if (closed) return
      closed = true
      cipher.final() // frees OpenSSL's context, which wipes it
      native?.addon.aesClose(native.key)
    },
  }
}
