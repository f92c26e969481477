/** The scan against SEAL's own multiply and add, bit for bit, on every path that this CPU has. */
import { availableParallelism } from 'node:os'

import { describe, expect, it } from 'vitest'

import { type Geometry, geometryOf } from '../../src/he/parameters.ts'
import { expandSeed, unpackResidues } from '../../src/he/residues.ts'
import { createKernel, kernelPaths, residentBytes } from '../../src/he/scan-kernel.ts'
import { constantCiphertexts, randomCiphertexts } from './random-ciphertexts.ts'
import { sumOfProducts } from './seal-sum.ts'

const geometry = (dimensions: number, chunk = 8): Geometry =>
  geometryOf({ parameterSet: `bgv-n2048-q51-t16-b${chunk}`, metric: 'cosine', dimensions })

/** Results of every path, which have to be the same. */
async function scanned(
  g: Geometry,
  blocks: readonly Uint8Array[],
  queries: readonly Uint8Array[],
  threads?: number,
): Promise<Uint8Array[][]> {
  const all: Uint8Array[][][] = []
  for (const path of kernelPaths()) {
    const kernel = createKernel(g, { path, threads })
    expect(kernel.path).toBe(path)
    const resident = await Promise.all(blocks.map((block) => kernel.load(block)))
    all.push(await kernel.scan(resident, queries))
    for (const block of resident) block.free()
  }
  const [first, ...others] = all
  for (const other of others) expect(other).toEqual(first)
  return first!
}

async function expected(
  g: Geometry,
  blocks: readonly Uint8Array[],
  queries: readonly Uint8Array[],
): Promise<Uint8Array[][]> {
  const all: Uint8Array[][] = []
  for (const block of blocks) {
    const row: Uint8Array[] = []
    for (const query of queries) row.push(await sumOfProducts(g, block, query))
    all.push(row)
  }
  return all
}

const several = (g: Geometry, kind: 'block' | 'query', count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => randomCiphertexts(g, kind, 10 * i + g.chunks))

describe('the paths', () => {
  it('are those of this CPU, fastest first, and portable always is one', () => {
    const order = ['avx512-ifma', 'avx2', 'portable']
    expect(kernelPaths()).toEqual(order.filter((path) => kernelPaths().includes(path as never)))
    expect(kernelPaths()).toContain('portable')
  })

  it('default to the fastest on all cores', () => {
    const kernel = createKernel(geometry(8))
    expect(kernel.path).toBe(kernelPaths()[0])
    expect(kernel.threads).toBe(availableParallelism())
  })
})

describe('residues are those of SEAL', () => {
  it.each([1, 2, 3, 12, 96, 193])('%i chunks', async (chunks) => {
    const g = geometry(8 * chunks)
    expect(g.chunks).toBe(chunks)
    const blocks = several(g, 'block', 2)
    const queries = several(g, 'query', 2)
    expect(await scanned(g, blocks, queries)).toEqual(await expected(g, blocks, queries))
  })

  it.each([1, 2, 3, 4, 5, 8, 9])('%i queries', async (count) => {
    const g = geometry(5)
    const blocks = several(g, 'block', 3)
    const queries = several(g, 'query', count)
    expect(await scanned(g, blocks, queries)).toEqual(await expected(g, blocks, queries))
  })

  it.each([1, 2, 4, 5, 7])('%i blocks', async (count) => {
    const g = geometry(20)
    const blocks = several(g, 'block', count)
    for (const queries of [several(g, 'query', 1), several(g, 'query', 3)]) {
      expect(await scanned(g, blocks, queries)).toEqual(await expected(g, blocks, queries))
    }
  })

  it.each([1, 2, 3, 7, 300])('%i threads', async (threads) => {
    const g = geometry(24)
    const blocks = several(g, 'block', 2)
    const queries = several(g, 'query', 2)
    const found = await scanned(g, blocks, queries, threads)
    expect(found).toEqual(await expected(g, blocks, queries))
  })

  it('blocks with c1 in full', async () => {
    const g = geometry(40)
    const blocks = [1, 2].map((number) => randomCiphertexts(g, 'block', number, 2))
    const queries = several(g, 'query', 2)
    expect(await scanned(g, blocks, queries)).toEqual(await expected(g, blocks, queries))
  })

  it('residues of zero, one and q - 1', async () => {
    const g = geometry(1024)
    const all = [0n, 1n, g.set.modulus - 1n]
    const blocks = [
      ...all.map((residue) => constantCiphertexts(g, 'block', residue, 1)),
      // SEAL refuses ciphertexts whose c1 is zero.
      ...all.slice(1).map((residue) => constantCiphertexts(g, 'block', residue, 2)),
    ]
    const queries = all.map((residue) => constantCiphertexts(g, 'query', residue))
    expect(await scanned(g, blocks, queries)).toEqual(await expected(g, blocks, queries))
  })

  // The accumulators have room for 4,096 chunks; the largest residues fill them. With c0 = c1 = q0 = q - 1,
  // r0 is the number of chunks, r2 minus the sum of q1, and r1 the sum of both.
  it.each([4096, 4097])('%i chunks of q - 1', async (chunks) => {
    const g = geometryOf({
      parameterSet: 'bgv-n2048-q51-t17-b1',
      metric: 'cosine',
      dimensions: chunks,
    })
    const { modulus, modulusBits, degree } = g.set
    const query = constantCiphertexts(g, 'query', modulus - 1n)
    const [[result]] = (await scanned(
      g,
      [constantCiphertexts(g, 'block', modulus - 1n, 2)],
      [query],
    )) as [[Uint8Array]]
    const words = unpackResidues(result.subarray(48), 3 * degree, modulusBits, modulus)
    const found = new BigUint64Array(words.buffer)
    const sums = new BigUint64Array(64)
    for (let chunk = 1; chunk <= chunks; chunk += 1) {
      const end = 48 + (chunk * (query.length - 48)) / chunks
      const q1 = new BigUint64Array(expandSeed(query.subarray(end - 64, end), g.set).buffer)
      for (let at = 0; at < sums.length; at += 1) sums[at] = (sums[at]! + q1[at]!) % modulus
    }
    for (const [at, sum] of sums.entries()) {
      expect(found[at]).toBe(BigInt(chunks))
      expect(found[degree + at]).toBe((BigInt(chunks) + modulus - sum) % modulus)
      expect(found[2 * degree + at]).toBe((modulus - sum) % modulus)
    }
  })
})

describe('blocks in memory', () => {
  const g = geometry(768)

  it('take what residentBytes says, within a page, and nothing once freed', async () => {
    const kernel = createKernel(g)
    const block = await kernel.load(randomCiphertexts(g, 'block', 1))
    expect(block.bytes).toBeGreaterThanOrEqual(residentBytes(g))
    expect(block.bytes).toBeLessThan(residentBytes(g) + 65_536)
    block.free()
    block.free()
    expect(block.bytes).toBe(0)
  })

  it('stay until a scan that runs has ended', async () => {
    const kernel = createKernel(g)
    const bytes = randomCiphertexts(g, 'block', 1)
    const query = randomCiphertexts(g, 'query', 2)
    const block = await kernel.load(bytes)
    const running = kernel.scan([block, block, block], [query])
    block.free()
    const [first, , third] = await running
    expect(first).toEqual([await sumOfProducts(g, bytes, query)])
    expect(third).toEqual(first)
  })

  it('of one kernel are scanned by another of the same layout', async () => {
    const [query, bytes] = [randomCiphertexts(g, 'query', 2), randomCiphertexts(g, 'block', 1)]
    const block = await createKernel(g).load(bytes)
    const results = await createKernel(g, { path: 'portable' }).scan([block], [query])
    expect(results).toEqual(await createKernel(g).scan([block], [query]))
    block.free()
  })
})

describe('a signal', () => {
  const g = geometry(768)

  it('ends a scan that runs, and the next one works', async () => {
    const kernel = createKernel(g, { path: 'portable', threads: 1 })
    const block = await kernel.load(randomCiphertexts(g, 'block', 1))
    const query = randomCiphertexts(g, 'query', 2)
    const blocks = Array.from({ length: 400 }, () => block)
    const control = new AbortController()
    const running = kernel.scan(blocks, [query], { signal: control.signal })
    setTimeout(() => control.abort(), 20)
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
    const results = await kernel.scan([block], [query], { signal: new AbortController().signal })
    expect(results).toHaveLength(1)
    block.free()
  })

  it('that was raised before keeps it from starting', async () => {
    const kernel = createKernel(g)
    const running = kernel.scan([], [], { signal: AbortSignal.abort() })
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('leaves no memory behind', async () => {
    // A path that takes long, so that the signal comes before the end on a busy machine too.
    const kernel = createKernel(g, { path: 'portable', threads: 2 })
    const block = await kernel.load(randomCiphertexts(g, 'block', 1))
    const query = randomCiphertexts(g, 'query', 2)
    const blocks = Array.from({ length: 100 }, () => block)
    const once = async () => {
      const control = new AbortController()
      const running = kernel.scan(blocks, [query, query], { signal: control.signal })
      control.abort()
      await expect(running).rejects.toMatchObject({ code: 'ABORTED' })
    }
    for (let i = 0; i < 20; i += 1) await once()
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    for (let i = 0; i < 60; i += 1) await once()
    globalThis.gc?.()
    // 60 times the queries' memory alone would be 560 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000)
    block.free()
  })
})

it('the event loop goes on while a scan runs', async () => {
  const g = geometry(768)
  const kernel = createKernel(g, { path: 'portable', threads: 1 })
  const block = await kernel.load(randomCiphertexts(g, 'block', 1))
  const query = randomCiphertexts(g, 'query', 2)
  let ticks = 0
  const timer = setInterval(() => (ticks += 1), 5)
  await kernel.scan(
    Array.from({ length: 200 }, () => block),
    [query, query],
  )
  clearInterval(timer)
  expect(ticks).toBeGreaterThan(3)
  block.free()
})
