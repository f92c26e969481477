/**
 * The addon's calls for FPE rounds and AES blocks off the event loop: their types, and what is the same for keys
 * of a token and of this process. The arithmetic stands in
 * `bindings/feistel.cc`; this file says how a batch gets there and how its outcome comes back.
 */
import { FpeError } from './errors.ts'
import type { FeistelBatch, FeistelGroup } from './ports.ts'

/** A {@link FeistelBatch} in the addon's form. */
export interface NativeBatch {
  readonly ff3_1: boolean
  readonly decrypt: boolean
  readonly groups: readonly FeistelGroup[]
}

/** How the addon calls the token. */
export interface NativeCipherOptions {
  /** One C_EncryptInit, then C_EncryptUpdate per call, then C_EncryptFinal; false: C_EncryptInit and C_Encrypt per call. */
  readonly multiPart: boolean
  /** The token has AES-CBC only: every block goes alone, under a zero IV (SP 800-38A §6.2). */
  readonly singleBlocks: boolean
  readonly chunkBlocks: number
  /** With multiPart: the operation is open in the session already. */
  readonly begun: boolean
  /** With multiPart: it stays open unless a call fails. */
  readonly leaveOpen: boolean
}

/** How a job ended: one of rv, invalid, aborted says why, or all is well. */
export interface NativeOutcome {
  /** 0: CKR_OK. */
  readonly rv: number
  /** The C function that gave `rv`; empty when it is 0. */
  readonly fn: string
  /** Index over all groups of the first record with a symbol outside its alphabet; -1: none. */
  readonly invalid: number
  readonly aborted: boolean
  /** The operation stays open in the session. */
  readonly open: boolean
}

declare const aesBrand: unique symbol
/** An expanded AES key in the addon's memory. */
export type NativeAesKey = object & { readonly [aesBrand]: true }

/**
 * See the head of this file. `cancel[0]` set to 1 (Atomics) ends a job between two calls; it stands on a
 * SharedArrayBuffer, which nobody can detach while a thread reads it. Every other array must not. A job works
 * on copies and writes `output` at its end, in one go. A session has one job at a time: another one gets
 * CKR_OPERATION_ACTIVE. TypeError: an argument is wrong, or an output was detached meanwhile.
 */
export interface FeistelAddon {
  feistelOnToken(
    id: number,
    session: bigint,
    mechanism: object,
    key: bigint,
    options: NativeCipherOptions,
    batch: NativeBatch,
    cancel: Int32Array,
  ): Promise<NativeOutcome>
  /** ECB of whole blocks. `output` is as long as `input` and another array. */
  blocksOnToken(
    id: number,
    session: bigint,
    mechanism: object,
    key: bigint,
    options: NativeCipherOptions,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<NativeOutcome>

  /** OpenSSL's AES of this process; undefined where the process exports no EVP functions. */
  aesOpen(key: Uint8Array): NativeAesKey | undefined
  /** Wipes the key; later jobs on it throw. Jobs that are running finish first. */
  aesClose(key: NativeAesKey): void
  feistelOnAes(
    key: NativeAesKey,
    chunkBlocks: number,
    batch: NativeBatch,
    cancel: Int32Array,
  ): Promise<NativeOutcome>
  /** At once, on this thread: for batches of a few values. */
  feistelOnAesSync(key: NativeAesKey, chunkBlocks: number, batch: NativeBatch): NativeOutcome
}

/** A batch in the addon's form. */
export const nativeBatch = ({ method, direction, groups }: FeistelBatch): NativeBatch => ({
  ff3_1: method === 'FF3-1',
  decrypt: direction === 'decrypt',
  groups,
})

/** The caller's signal ended a job. */
export const aborted = (): FpeError => new FpeError('ABORTED', 'the signal ended the operation')

/** A record the addon could not read. */
export const invalidSymbol = (index: number): FpeError =>
  new FpeError('SYMBOL_INVALID', 'a symbol is not in the alphabet', {
    where: `record ${index}`,
    expected: 'symbols of the alphabet only',
    index,
  })

/** Runs `work` with a flag for the addon that `signal` raises. @throws FpeError ABORTED; what `work` throws. */
export async function withCancel<T>(
  signal: AbortSignal | undefined,
  work: (cancel: Int32Array) => Promise<T>,
): Promise<T> {
  if (signal?.aborted === true) throw aborted()
  const cancel = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const stop = (): void => void Atomics.store(cancel, 0, 1)
  signal?.addEventListener('abort', stop)
  try {
    return await work(cancel)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}
