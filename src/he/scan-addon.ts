/**
 * The addon's calls for scans of encrypted embeddings: their types, and how one is cancelled. The arithmetic
 * stands in `bindings/he_*.cc`.
 */
import { loadAddon } from '../addon.ts'
import { EmbeddingError } from '../errors.ts'
import type { ParameterSet } from './parameters.ts'

/** The ring as the addon takes it. */
export interface NativeRing {
  /** Multiple of 8. */
  readonly degree: number
  readonly bits: number
  readonly modulus: bigint
}

declare const blockBrand: unique symbol
/** An expanded block in the addon's memory. */
export type NativeBlock = object & { readonly [blockBrand]: true }

/** How a scan ended. */
export interface NativeScan {
  readonly aborted: boolean
  /** Index of a query with a residue that is not below the modulus, and of that residue; -1: none. */
  readonly badQuery: number
  readonly badResidue: number
  /** [block][query]: the header, then r0, r1, r2. Empty unless all went well. */
  readonly results: Uint8Array[][]
}

/**
 * See the head of this file. Jobs work on copies of bytes that are passed in. TypeError: an argument is wrong.
 * Names of kernels are those of {@link ScanAddon.heKernels}.
 */
export interface ScanAddon {
  hePack(words: Uint8Array, bits: number): Uint8Array
  /** Words, or the index of the first residue that is wrong; `count` when unused bits are set. */
  heUnpack(packed: Uint8Array, count: number, bits: number, modulus: bigint): Uint8Array | number
  heExpandSeed(seed: Uint8Array, ring: NativeRing, kernel: string): Uint8Array
  /** What this CPU runs, fastest first. */
  heKernels(): string[]
  /** A block, or the index of the first residue that is wrong, over c0 and c1 of every chunk. */
  heLoad(
    ring: NativeRing,
    chunks: number,
    seeded: boolean,
    body: Uint8Array,
  ): Promise<NativeBlock | number>
  /** Bytes of memory; 0: freed. */
  heBytes(block: NativeBlock): number
  heFree(block: NativeBlock): void
  /** Queries are seeded bodies; every result begins with `header`. */
  heScan(
    ring: NativeRing,
    chunks: number,
    kernel: string,
    threads: number,
    blocks: readonly NativeBlock[],
    queries: readonly Uint8Array[],
    header: Uint8Array,
  ): { readonly done: Promise<NativeScan>; readonly cancel: () => void }
  /** Reads the blocks' memory and adds its words up: the limit that a scan is measured by. */
  heRead(blocks: readonly NativeBlock[], threads: number): Promise<bigint>
}

/** @throws EmbeddingError KERNEL_UNAVAILABLE when the addon is not compiled or cannot be used here. */
export function scanAddon(): ScanAddon {
  try {
    return loadAddon() as ScanAddon
  } catch (error) {
    throw new EmbeddingError('KERNEL_UNAVAILABLE', 'the native part of keyrite cannot be loaded', {
      hint: 'run: npm rebuild keyrite',
      cause: error,
    })
  }
}

/** The ring of a parameter set. */
export const nativeRing = (set: ParameterSet): NativeRing => ({
  degree: set.degree,
  bits: set.modulusBits,
  modulus: set.modulus,
})

/** Out of memory as an error of ours; what else a job may reject with is a fault of this package. */
export function outOfMemory(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || error.message !== 'not enough memory') return error
  return new EmbeddingError('LIMIT_EXCEEDED', `there is no memory for the ${what}`, {
    hint: 'keep fewer blocks resident',
    cause: error,
  })
}
