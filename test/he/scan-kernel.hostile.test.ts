/** What the kernel refuses: bytes of strangers, and wrong use. */
import { describe, expect, it } from 'vitest'

import { geometryOf } from '../../src/he/parameters.ts'
import { scanAddon } from '../../src/he/scan-addon.ts'
import { type ResidentBlock, createKernel } from '../../src/he/scan-kernel.ts'
import { randomCiphertexts, setResidue } from './random-ciphertexts.ts'

const parameterSet = 'bgv-n2048-q51-t16-b8'
const g = geometryOf({ parameterSet, metric: 'cosine', dimensions: 24 })
const other = geometryOf({ parameterSet, metric: 'inner-product', dimensions: 24 })
const kernel = createKernel(g)
const block = randomCiphertexts(g, 'block', 1)
const query = randomCiphertexts(g, 'query', 2)
const { modulus, degree } = g.set

const invalid = { name: 'EmbeddingError', code: 'CIPHERTEXT_INVALID' }
const edited = (bytes: Uint8Array, edit: (copy: Uint8Array) => void): Uint8Array => {
  const copy = bytes.slice()
  edit(copy)
  return copy
}

/** Bytes that are no ciphertext of a kind, by what is wrong with them. */
const wrong = (good: Uint8Array, kind: 'block' | 'query'): [string, Uint8Array][] => [
  ['empty', new Uint8Array(0)],
  ['cut off in the header', good.subarray(0, 40)],
  ['cut off by a byte', good.subarray(0, -1)],
  ['one byte longer', new Uint8Array([...good, 0])],
  ['the other kind', randomCiphertexts(g, kind === 'block' ? 'query' : 'block', 1)],
  ['a result', randomCiphertexts(g, 'result', 1, 3)],
  ['another metric', randomCiphertexts(other, kind, 1)],
  ['another magic number', edited(good, (copy) => (copy[0] = 0))],
  ['another version', edited(good, (copy) => (copy[4] = 2))],
  ['form 0', edited(good, (copy) => (copy[6] = 0))],
  ['form 3', edited(good, (copy) => (copy[6] = 3))],
  ['another degree', edited(good, (copy) => (copy[9] = 16))],
  ['more chunks', edited(good, (copy) => (copy[15] = 255))],
  ['another layout digest', edited(good, (copy) => (copy[47]! ^= 1))],
]

describe('a block', () => {
  it.each(wrong(block, 'block'))('is refused: %s', async (_name, bytes) => {
    await expect(kernel.load(bytes)).rejects.toMatchObject(invalid)
  })

  it.each([
    [0, 0, modulus],
    [1, 5, modulus + 1n],
    [2, degree - 1, 2n ** 51n - 1n],
  ])('is refused: residue %i of chunk %i', async (chunk, residue, value) => {
    const bytes = edited(block, (copy) => setResidue(g, copy, { chunk, form: 1, residue }, value))
    await expect(kernel.load(bytes)).rejects.toMatchObject({
      ...invalid,
      where: `block, chunk ${chunk}, c0, residue ${residue}`,
    })
  })

  it('is refused: a residue of c1', async () => {
    const bytes = randomCiphertexts(g, 'block', 1, 2)
    // c1 follows c0 in the chunk.
    setResidue(g, bytes, { chunk: 1, form: 2, residue: degree + 7 }, modulus)
    await expect(kernel.load(bytes)).rejects.toMatchObject({
      ...invalid,
      where: 'block, chunk 1, c1, residue 7',
    })
  })

  it('with residues of q - 1 is taken', async () => {
    const last = { chunk: 2, form: 1, residue: degree - 1 } as const
    const loaded = await kernel.load(
      edited(block, (copy) => setResidue(g, copy, last, modulus - 1n)),
    )
    expect(loaded.bytes).toBeGreaterThan(0)
    loaded.free()
  })

  it('may be overwritten as soon as load has returned', async () => {
    const bytes = block.slice()
    const loading = kernel.load(bytes)
    bytes.fill(255)
    const [loaded, same] = [await loading, await kernel.load(block)]
    expect(await kernel.scan([loaded], [query])).toEqual(await kernel.scan([same], [query]))
    loaded.free()
    same.free()
  })
})

describe('a query', () => {
  it.each(wrong(query, 'query'))('is refused: %s', async (_name, bytes) => {
    const resident = await kernel.load(block)
    const scan = kernel.scan([resident], [query, bytes])
    await expect(scan).rejects.toMatchObject({ ...invalid, index: 1 })
    resident.free()
  })

  it('is refused: a residue', async () => {
    const resident = await kernel.load(block)
    const place = { chunk: 2, form: 1, residue: 9 } as const
    const bytes = edited(query, (copy) => setResidue(g, copy, place, modulus))
    await expect(kernel.scan([resident], [query, query, bytes])).rejects.toMatchObject({
      ...invalid,
      index: 2,
      where: 'query 2, chunk 2, c0, residue 9',
    })
    resident.free()
  })

  it('may be overwritten as soon as scan has returned', async () => {
    const resident = await kernel.load(block)
    const bytes = query.slice()
    const running = kernel.scan([resident], [bytes])
    bytes.fill(255)
    expect(await running).toEqual(await kernel.scan([resident], [query]))
    resident.free()
  })
})

describe('a scan', () => {
  it('of no queries or no blocks has no results', async () => {
    const resident = await kernel.load(block)
    expect(await kernel.scan([resident, resident], [])).toEqual([[], []])
    expect(await kernel.scan([], [query])).toEqual([])
    resident.free()
  })

  it('of no blocks looks at the queries all the same', async () => {
    await expect(kernel.scan([], [query.subarray(1)])).rejects.toMatchObject(invalid)
  })

  it('refuses a freed block', async () => {
    const [resident, freed] = [await kernel.load(block), await kernel.load(block)]
    freed.free()
    await expect(kernel.scan([resident, freed], [query])).rejects.toMatchObject({
      code: 'CLOSED',
      where: 'blocks[1]',
    })
    resident.free()
  })

  it('refuses a block of another layout, and what is no block', async () => {
    const foreign = await createKernel(other).load(randomCiphertexts(other, 'block', 1))
    const made: ResidentBlock = { bytes: 1, free: () => undefined }
    for (const one of [foreign, made]) {
      await expect(kernel.scan([one], [query])).rejects.toMatchObject({ code: 'BLOCK_INVALID' })
    }
    foreign.free()
  })
})

describe('a kernel', () => {
  it('is refused: a path that this CPU does not have', () => {
    expect(() => createKernel(g, { path: 'neon' as never })).toThrow(
      expect.objectContaining({ code: 'KERNEL_UNAVAILABLE', where: 'path' }),
    )
  })

  it.each([0, -1, 1.5, 2000, Number.NaN])('is refused: %d threads', (threads) => {
    expect(() => createKernel(g, { threads })).toThrow(
      expect.objectContaining({ code: 'KERNEL_UNAVAILABLE', where: 'threads' }),
    )
  })
})

describe('the addon', () => {
  const addon = scanAddon()
  const ring = { degree, bits: 51, modulus }
  const body = block.subarray(48)
  const calls: [string, () => unknown][] = [
    [
      'a degree that is no multiple of 8',
      () => addon.heLoad({ ...ring, degree: 12 }, 3, true, body),
    ],
    ['a degree of 0', () => addon.heLoad({ ...ring, degree: 0 }, 3, true, body)],
    [
      'a modulus of 50 bits',
      () => addon.heLoad({ ...ring, modulus: 2n ** 50n - 1n }, 3, true, body),
    ],
    [
      'a modulus of 52 bits',
      () => addon.heLoad({ ...ring, modulus: 2n ** 51n + 1n }, 3, true, body),
    ],
    ['a modulus of 65 bits', () => addon.heLoad({ ...ring, modulus: 2n ** 64n }, 3, true, body)],
    ['no chunks', () => addon.heLoad(ring, 0, true, new Uint8Array(0))],
    ['2^32 chunks', () => addon.heLoad(ring, 2 ** 32, true, body)],
    ['a body of another length', () => addon.heLoad(ring, 4, true, body)],
    ['a body that is no bytes', () => addon.heLoad(ring, 3, true, 'x' as never)],
    ['a block that is none', () => addon.heBytes({} as never)],
    ['blocks that are no array', () => addon.heRead({} as never, 1)],
    ['no threads', () => addon.heRead([], 0)],
    ['nothing to scan', () => addon.heScan(ring, 3, 'portable', 1, [], [], new Uint8Array(48))],
    ['another number of arguments', () => (addon.heFree as () => void)()],
  ]
  it.each(calls)('throws a TypeError: %s', (_name, call) => {
    expect(call).toThrow(TypeError)
  })

  it('throws a TypeError: a block of another layout', async () => {
    const native = await addon.heLoad(ring, 3, true, body)
    const short = query.subarray(48, 48 + (query.length - 48) / 3)
    expect(() =>
      addon.heScan(ring, 1, 'portable', 1, [native as never], [short], new Uint8Array(48)),
    ).toThrow(TypeError)
    addon.heFree(native as never)
  })
})
