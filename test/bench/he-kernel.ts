/**
 * Rows of the scan kernel: 768 dimensions, 8 coordinates to a ciphertext, 256 vectors to a block. Each stands beside
 * one plain read of the blocks' memory, on the same threads and in turns with it.
 */
import { deepStrictEqual } from 'node:assert/strict'
import { freemem } from 'node:os'

import { checkCiphertexts, chunkBytes } from '../../src/he/ciphertext-format.ts'
import { DEFAULT_PARAMETER_SET, geometryOf } from '../../src/he/parameters.ts'
import {
  type ResidentBlock,
  type ScanKernel,
  createKernel,
  kernelPaths,
  readBlocks,
  residentBytes,
} from '../../src/he/scan-kernel.ts'
import { chunkToSeal } from '../../src/he/seal-chunks.ts'
import { seal } from '../../src/he/seal.ts'
import { randomCiphertexts } from '../he/random-ciphertexts.ts'
import { sumOfProducts } from '../he/seal-sum.ts'
import { float32Scan } from './float32-scan.ts'
import { type Row, row } from './rows.ts'
import { bestTimes } from './times.ts'

const g = geometryOf({
  parameterSet: DEFAULT_PARAMETER_SET,
  metric: 'cosine',
  dimensions: 768,
})
const READ = 'one plain read of the same bytes'
const ROUNDS = 15
const FEW_ROUNDS = 5

const queriesOf = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => randomCiphertexts(g, 'query', 1000 + i))

/** As many blocks as hold these vectors, of `different` contents: what a scan costs does not depend on them. */
async function load(kernel: ScanKernel, vectors: number, different: number) {
  const count = Math.ceil(vectors / g.vectorsPerBlock)
  const sources = Array.from({ length: different }, (_, i) => randomCiphertexts(g, 'block', i))
  const blocks: ResidentBlock[] = []
  for (let at = 0; at < count; at += kernel.threads) {
    const some = Array.from({ length: Math.min(kernel.threads, count - at) }, (_, i) =>
      kernel.load(sources[(at + i) % different]!),
    )
    blocks.push(...(await Promise.all(some)))
  }
  return { blocks, first: sources.slice(0, 2) }
}

const kernels = (): ScanKernel[] => kernelPaths().map((path) => createKernel(g, { path }))

/** The results on all paths are the same, and those of the first blocks are SEAL's. */
async function assertCorrect(blocks: readonly ResidentBlock[], first: readonly Uint8Array[]) {
  const [query] = queriesOf(1) as [Uint8Array]
  const all: Uint8Array[][][] = []
  for (const kernel of kernels()) all.push(await kernel.scan(blocks, [query]))
  for (const results of all) deepStrictEqual(results, all[0])
  for (const [at, block] of first.entries()) {
    deepStrictEqual(all[0]?.[at]?.[0], await sumOfProducts(g, block, query))
  }
}

/** One query on every path. The row of the fastest has no path in its name. */
async function pathRows(
  size: string,
  blocks: readonly ResidentBlock[],
  rounds: number,
): Promise<Row[]> {
  const queries = queriesOf(1)
  const all = kernels()
  const threads = all[0]?.threads ?? 1
  const [read, ...scans] = await bestTimes(
    rounds,
    () => readBlocks(blocks, threads),
    ...all.map((kernel) => () => kernel.scan(blocks, queries)),
  )
  return all.map(({ path }, at) => {
    const name = at === 0 ? `scan-${size}-768-vs-read` : `scan-${size}-768-${path}-vs-read`
    return row(name, scans[at]!, 'ms', read!, `${READ}, ${path}, ${threads} threads`)
  })
}

/** Several queries in one scan, against as many scans of one. */
async function batchRows(kernel: ScanKernel, blocks: readonly ResidentBlock[]): Promise<Row[]> {
  const sizes = [1, 4, 8]
  const times = await bestTimes(
    ROUNDS,
    ...sizes.map((size) => {
      const queries = queriesOf(size)
      return () => kernel.scan(blocks, queries)
    }),
  )
  const single = times[0]!
  return sizes.map((size, at) =>
    row(
      `scan-10k-768-batch-${size}`,
      times[at]!,
      'ms',
      size * single,
      `${size} scans of one query`,
    ),
  )
}

/** SEAL's multiply and add alone, its ciphertexts loaded before, on some blocks and scaled to all. */
async function nodeSealScan(vectors: number): Promise<number> {
  const measured = 2
  const library = await seal(g.set)
  const { lib, context } = library
  const evaluator = new lib.Evaluator(context)
  const loadAll = (kind: 'block' | 'query', number: number) => {
    const { form, body } = checkCiphertexts(g, kind, randomCiphertexts(g, kind, number))
    const length = chunkBytes(g, form)
    return Array.from({ length: g.chunks }, (_, chunk) => {
      const ciphertext = new lib.Ciphertext()
      const bytes = body.subarray(chunk * length, (chunk + 1) * length)
      ciphertext.loadFromArray(context, chunkToSeal(library, g, form, bytes))
      return ciphertext
    })
  }
  const query = loadAll('query', 1000)
  const blocks = Array.from({ length: measured }, (_, number) => loadAll('block', number))
  const product = new lib.Ciphertext()
  const sum = new lib.Ciphertext()
  const scan = () => {
    for (const block of blocks) {
      evaluator.multiply(block[0]!, query[0]!, sum)
      for (let chunk = 1; chunk < g.chunks; chunk += 1) {
        evaluator.multiply(block[chunk]!, query[chunk]!, product)
        evaluator.addInplace(sum, product)
      }
    }
    return Promise.resolve()
  }
  const [best] = await bestTimes(ROUNDS, scan)
  for (const one of [evaluator, product, sum, ...query, ...blocks.flat()]) one.delete()
  return (best! * Math.ceil(vectors / g.vectorsPerBlock)) / measured
}

/** 10,000 vectors, every block another one, correctness asserted. */
async function tenThousand(): Promise<Row[]> {
  const vectors = 10_000
  const kernel = createKernel(g)
  const { threads } = kernel
  const { blocks, first } = await load(kernel, vectors, Math.ceil(vectors / g.vectorsPerBlock))
  await assertCorrect(blocks, first)
  const paths = await pathRows('10k', blocks, ROUNDS)
  const [fastest] = paths as [Row, ...Row[]]
  const seals = await nodeSealScan(vectors)
  const float32 = float32Scan(vectors, g.dimensions, threads)
  const batches = await batchRows(kernel, blocks)
  for (const block of blocks) block.free()
  return [
    ...paths,
    row(
      'scan-10k-768-vs-node-seal',
      fastest.value,
      'ms',
      seals,
      'node-seal multiply and add, 2 blocks measured and scaled to 40',
    ),
    row(
      'scan-10k-768-vs-float32',
      fastest.value,
      'ms',
      float32,
      `brute force over float32 in C, ${threads} threads`,
    ),
    row('read-10k-768-vs-float32', fastest.baseline, 'ms', float32, 'the same'),
    ...batches,
  ]
}

/** Many vectors: contents repeat. Says why and gives no row where memory is short. */
async function many(size: string, vectors: number): Promise<Row[]> {
  const needed = Math.ceil(vectors / g.vectorsPerBlock) * residentBytes(g) * 1.1
  if (freemem() < needed) {
    const [free, need] = [freemem(), needed].map((bytes) => `${(bytes / 2 ** 30).toFixed(1)} GiB`)
    process.stderr.write(`scan-${size}-768 skipped: needs ${need}, ${free} are free\n`)
    return []
  }
  const kernel = createKernel(g)
  const { blocks } = await load(kernel, vectors, 16)
  const rows = await pathRows(size, blocks, FEW_ROUNDS)
  for (const block of blocks) block.free()
  return rows
}

/** All rows of the kernel; a million vectors only when asked for. */
export async function kernelRows(million: boolean): Promise<Row[]> {
  const rows = [...(await tenThousand()), ...(await many('100k', 100_000))]
  if (million) rows.push(...(await many('1m', 1_000_000)))
  return rows
}
