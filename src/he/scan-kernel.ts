/**
 * The scan: for every block and query, the sum over the chunks of ciphertext times ciphertext, as one ciphertext
 * of three polynomials: exactly what SEAL's multiply and add give, without relinearisation. Blocks are expanded
 * once and stay in native memory. The kernels are chosen at run time (`bindings/he_kernel_*.cc`) and give the
 * same bytes. Nothing here is secret.
 */
import { availableParallelism } from 'node:os'

import { EmbeddingError } from '../errors.ts'
import { HEADER_BYTES, checkCiphertexts, writeHeader } from './ciphertext-format.ts'
import type { Geometry, ParameterSet } from './parameters.ts'
import { invalidResidue } from './residues.ts'
import { type NativeBlock, nativeRing, outOfMemory, scanAddon } from './scan-addon.ts'

/** Instructions that a kernel uses, fastest first. */
export type KernelPath = 'avx512-ifma' | 'avx2' | 'portable'

/** A block in native memory, for the kernels of its own geometry. */
export interface ResidentBlock {
  /** Bytes of native memory; 0 once it is free. */
  readonly bytes: number
  /** Gives the memory back as soon as no scan needs it. A second call does nothing. */
  free(): void
}

/** Limits of one scan. */
export interface KernelOptions {
  readonly signal?: AbortSignal | undefined
}

/** Scans blocks of one geometry. */
export interface ScanKernel {
  readonly path: KernelPath
  readonly threads: number
  /**
   * Expands a block of `ciphertext-format.ts`, on a worker thread; several calls run side by side.
   * @throws EmbeddingError CIPHERTEXT_INVALID; LIMIT_EXCEEDED when there is no memory.
   */
  load(block: Uint8Array): Promise<ResidentBlock>
  /**
   * results[block][query], in `ciphertext-format.ts`. Off the event loop, on all threads.
   * @throws EmbeddingError CIPHERTEXT_INVALID with the index of the query; ABORTED; LIMIT_EXCEEDED when there is
   * no memory; CLOSED for a block that was freed before.
   */
  scan(
    blocks: readonly ResidentBlock[],
    queries: readonly Uint8Array[],
    options?: KernelOptions,
  ): Promise<Uint8Array[][]>
}

/** What a block is to the kernel that has loaded it. */
interface Loaded {
  readonly native: NativeBlock
  readonly layout: string
}
const loaded = new WeakMap<ResidentBlock, Loaded>()

/**
 * What this CPU runs, fastest first.
 * @throws EmbeddingError KERNEL_UNAVAILABLE.
 */
export const kernelPaths = (): readonly KernelPath[] => scanAddon().heKernels() as KernelPath[]

/**
 * Bytes of native memory that a block of this geometry takes, within a page: 16 for every coefficient of every
 * chunk, and 24 for every coefficient once.
 */
export function residentBytes(g: Geometry): number {
  const segments = Math.ceil(g.chunks / SEGMENT_CHUNKS)
  return g.set.degree * (16 * 2 * Math.ceil(g.chunks / 2) + 24 * segments)
}
/** `kSegment` of `bindings/he_kernel.h`. */
const SEGMENT_CHUNKS = 4096

/**
 * Reads the blocks' memory once, in a plain loop, and adds its words up: what memory alone takes of a scan.
 * @throws TypeError for a block that was freed.
 */
export function readBlocks(blocks: readonly ResidentBlock[], threads: number): Promise<bigint> {
  const natives = blocks.map((block) => loaded.get(block)?.native ?? block)
  return scanAddon().heRead(natives as NativeBlock[], threads)
}

/** A block belongs to kernels of the same layout only. */
const layoutOf = (g: Geometry): string => Buffer.from(g.layoutDigest).toString('hex')

/** `chunk 3, c1, residue 17` of an index over c0 and c1 of every chunk. */
function residueAt(index: number, { degree }: ParameterSet): string {
  const polynomial = Math.floor(index / degree)
  return `chunk ${Math.floor(polynomial / 2)}, c${polynomial % 2}, residue ${index % degree}`
}

/**
 * A kernel for one geometry: the fastest of this CPU, on as many threads as it has cores.
 * @throws EmbeddingError KERNEL_UNAVAILABLE when `path` does not run here.
 */
export function createKernel(
  g: Geometry,
  options: { path?: KernelPath | undefined; threads?: number | undefined } = {},
): ScanKernel {
  const addon = scanAddon()
  const ring = nativeRing(g.set)
  const layout = layoutOf(g)
  const path = choosePath(options.path)
  const threads = options.threads ?? availableParallelism()
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    throw new EmbeddingError('KERNEL_UNAVAILABLE', 'that is no number of threads', {
      where: 'threads',
      expected: '1 to 1024',
      got: String(threads),
    })
  }
  const header = new Uint8Array(HEADER_BYTES)
  writeHeader(g, 'result', 3, header)

  return {
    path,
    threads,

    async load(block) {
      const { form, body } = checkCiphertexts(g, 'block', block)
      const native = await addon
        .heLoad(ring, g.chunks, form === 1, body)
        .catch((error: unknown) => {
          throw outOfMemory(error, 'block')
        })
      if (typeof native === 'number') throw invalidResidue(`block, ${residueAt(native, g.set)}`)
      const resident: ResidentBlock = {
        get bytes() {
          return addon.heBytes(native)
        },
        free: () => addon.heFree(native),
      }
      loaded.set(resident, { native, layout })
      return resident
    },

    async scan(blocks, queries, { signal } = {}) {
      if (signal?.aborted === true) throw aborted()
      const natives = blocks.map((block, index) => nativeOf(block, index))
      const bodies = queries.map((query, index) => queryBody(g, query, index))
      if (natives.length === 0 || bodies.length === 0) return natives.map(() => [])
      const scan = addon.heScan(ring, g.chunks, path, threads, natives, bodies, header)
      signal?.addEventListener('abort', scan.cancel)
      try {
        const { aborted: ended, badQuery, badResidue, results } = await scan.done
        if (badQuery >= 0) {
          throw invalidResidue(`query ${badQuery}, ${residueAt(badResidue, g.set)}`, badQuery)
        }
        if (ended) throw aborted()
        return results
      } catch (error) {
        throw outOfMemory(error, 'scan')
      } finally {
        signal?.removeEventListener('abort', scan.cancel)
      }
    },
  }

  function nativeOf(block: ResidentBlock, index: number): NativeBlock {
    const { native, layout: own } = loaded.get(block) ?? {}
    if (native === undefined || own !== layout) {
      throw new EmbeddingError('BLOCK_INVALID', 'the block was not loaded for this layout', {
        where: `blocks[${index}]`,
        expected: `${g.set.name}, ${g.metric}, ${g.dimensions}`,
        got: 'another layout',
      })
    }
    if (block.bytes === 0) {
      throw new EmbeddingError('CLOSED', 'the block is freed', { where: `blocks[${index}]` })
    }
    return native
  }
}

/** @throws EmbeddingError CIPHERTEXT_INVALID with the index of the query. */
function queryBody(g: Geometry, query: Uint8Array, index: number): Uint8Array {
  try {
    return checkCiphertexts(g, 'query', query).body
  } catch (error) {
    if (!(error instanceof EmbeddingError)) throw error
    const { code, message, where, expected, got, hint } = error
    throw new EmbeddingError(code, message, {
      where: `query ${index}, ${where ?? ''}`,
      expected,
      got,
      hint,
      index,
      cause: error,
    })
  }
}

/** @throws EmbeddingError KERNEL_UNAVAILABLE. */
function choosePath(wanted: KernelPath | undefined): KernelPath {
  const paths = kernelPaths()
  const path = wanted === undefined ? paths[0] : paths.find((one) => one === wanted)
  if (path !== undefined) return path
  throw new EmbeddingError('KERNEL_UNAVAILABLE', 'this CPU does not run that kernel', {
    where: 'path',
    expected: paths.join(', '),
    got: String(wanted),
  })
}

const aborted = (): EmbeddingError =>
  new EmbeddingError('ABORTED', 'the signal ended the operation')
