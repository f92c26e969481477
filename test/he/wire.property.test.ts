/** Whatever a scorer can say comes out byte for byte, however the network cuts it. */
import { deepStrictEqual } from 'node:assert/strict'

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { concat } from '../../src/bytes.ts'
import { EmbeddingError, FormatError } from '../../src/errors.ts'
import type {
  BlockScores,
  CollectionState,
  Scan,
  ScanRequest,
  StoredRecord,
} from '../../src/he/types.ts'
import {
  type ByteSource,
  type FrameParts,
  byteSource,
  decodeRecordsRequest,
  decodeRecordsResponse,
  decodeScan,
  decodeScanRequest,
  decodeState,
  encodeProblem,
  encodeRecordsRequest,
  encodeRecordsResponse,
  encodeScan,
  encodeScanRequest,
  encodeState,
  problemOf,
} from '../../src/he/wire.ts'

/** Objects as everybody makes them. */
const plain = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model, { noNullPrototype: true })
const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const hex16 = exactly(16).map((b) => Buffer.from(b).toString('hex'))
const count = fc.maxSafeNat()
const session = fc.oneof(fc.constant(''), hex16)
// Also names that are keys of every object, and text that is not well-formed.
const field = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'colour'),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
)
const place = plain({ block: count, slot: fc.nat(2047) })
/** As JSON.parse would make it: `__proto__` is a property like any other. */
const tokens = fc
  .uniqueArray(fc.tuple(field, bytes(64)), { selector: ([name]) => name, maxLength: 5 })
  .map((entries) => Object.fromEntries(entries))

const record = (at: fc.Arbitrary<StoredRecord['place']>): fc.Arbitrary<StoredRecord> =>
  plain({
    token: exactly(16),
    epoch: count,
    session,
    sealed: bytes(5000),
    filters: tokens,
    version: count,
    place: at,
  })
const state: fc.Arbitrary<CollectionState> = plain({
  info: plain({
    name: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/),
    id: hex16,
    parameterSet: fc.constantFrom('bgv-n2048-q51-t16-b8', 'bgv-n2048-q51-t14-b64'),
    dimensions: fc.integer({ min: 1, max: 65536 }),
    metric: fc.constantFrom('cosine' as const, 'inner-product' as const, 'squared-l2' as const),
    maxNorm: fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true }),
    fields: fc.array(field, { maxLength: 5 }),
  }),
  epochs: fc.array(plain({ epoch: count, check: hex16 }), { maxLength: 4 }),
  sessions: fc.array(plain({ id: session, epoch: count, sealedKey: bytes(200) }), {
    maxLength: 4,
  }),
  sequence: count,
  records: count,
  tail: count,
  tailSequence: count,
  blocks: count,
})
const query = fc
  .uniqueArray(fc.tuple(count, bytes(3000)), { selector: ([epoch]) => epoch, maxLength: 3 })
  .map((entries) => new Map(entries))
const request: fc.Arbitrary<ScanRequest> = plain({
  queries: fc.array(query, { maxLength: 4 }),
  filter: fc.option(
    fc.array(plain({ field, anyOf: fc.array(bytes(64), { maxLength: 4 }) }), { maxLength: 3 }),
    { nil: undefined },
  ),
  knownTail: fc.option(count, { nil: undefined }),
})

/** The message in pieces of these lengths. */
function source(message: Uint8Array, cuts: readonly number[]): ByteSource {
  async function* chunks() {
    await Promise.resolve()
    let at = 0
    for (const cut of cuts) yield message.subarray(at, (at += cut))
    yield message.subarray(at)
  }
  return byteSource(chunks(), { what: 'test', maxBytes: 2 ** 30 })
}
const cuts = fc.array(fc.nat(300), { maxLength: 20 })

async function joined(frames: AsyncIterable<FrameParts> | Iterable<FrameParts>) {
  const parts: Uint8Array[] = []
  for await (const frame of frames) parts.push(...frame)
  return concat(...parts)
}
const BOUNDS = { maxRequestBytes: 2 ** 20, maxQueries: 100, maxFilterTokens: 1000 }

describe('the protocol keeps', () => {
  it('states', async () => {
    await fc.assert(
      fc.asyncProperty(state, cuts, async (one, pieces) => {
        const message = await joined(encodeState(one))
        deepStrictEqual(await decodeState(source(message, pieces), one.info.name), one)
      }),
    )
  })

  it('requests for scans', async () => {
    await fc.assert(
      fc.asyncProperty(request, cuts, async (one, pieces) => {
        const message = concat(...encodeScanRequest(one))
        deepStrictEqual(await decodeScanRequest(source(message, pieces), BOUNDS), one)
      }),
    )
  })

  it('scans', async () => {
    const queries = fc.integer({ min: 1, max: 3 })
    const of = queries.chain((n) =>
      plain({
        n: fc.constant(n),
        sequence: count,
        tail: plain({
          sequence: count,
          records: fc.option(fc.array(record(fc.constant(undefined)), { maxLength: 30 }), {
            nil: undefined,
          }),
        }),
        blocks: fc.uniqueArray(
          plain({
            block: count,
            epoch: fc.constantFrom(1, 2),
            live: bytes(256),
            results: fc.array(bytes(2000), { minLength: n, maxLength: n }),
          }),
          { selector: ({ block }) => block, maxLength: 5 },
        ),
      }),
    )
    const asked = new Map([1, 2].map((epoch) => [epoch, new Uint8Array()]))
    await fc.assert(
      fc.asyncProperty(of, cuts, async ({ n, sequence, tail, blocks }, pieces) => {
        const scan: Scan = { sequence, tail, blocks: fromList(blocks) }
        const message = await joined(encodeScan(scan))
        const bounds = {
          queries: Array.from({ length: n }, () => asked),
          knownTail: tail.sequence,
          maxBlocks: 10,
          maxRecords: 100,
          maxRecordBytes: 2 ** 30,
        }
        const found = await decodeScan(source(message, pieces), bounds)
        expect(found.sequence).toBe(sequence)
        deepStrictEqual(found.tail, tail)
        const all: BlockScores[] = []
        for await (const block of found.blocks) all.push(block)
        deepStrictEqual(all, blocks)
      }),
    )
  })

  it('places and records, and where there is none', async () => {
    const at = place.chain((p) =>
      fc.tuple(fc.constant(p), fc.option(record(fc.constant(p)), { nil: undefined })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(at, { maxLength: 30 }), cuts, async (entries, pieces) => {
        const places = entries.map(([p]) => p)
        const ask = concat(...encodeRecordsRequest(places))
        deepStrictEqual(await decodeRecordsRequest(source(ask, pieces), { maxPlaces: 30 }), places)
        const records = entries.map(([, r]) => r)
        const message = await joined(encodeRecordsResponse(records))
        const found = await decodeRecordsResponse(source(message, pieces), places)
        deepStrictEqual(found, records)
      }),
    )
  })

  it('many records in batches, none of which is large', async () => {
    const one = fc.sample(record(fc.constant(undefined)), { numRuns: 1, seed: 7 })[0]!
    const sealed = new Uint8Array(3300).fill(7)
    const records = Array.from({ length: 2000 }, (_, version) => ({ ...one, sealed, version }))
    const scan: Scan = { sequence: 1, tail: { sequence: 1, records }, blocks: fromList([]) }
    const frames: FrameParts[] = []
    for await (const frame of encodeScan(scan)) frames.push(frame)
    expect(frames.length).toBeGreaterThan(50)
    expect(Math.max(...frames.flat().map((part) => part.length))).toBeLessThan(100_000)
    const found = await decodeScan(source(concat(...frames.flat()), []), {
      queries: [],
      knownTail: undefined,
      maxBlocks: 1,
      maxRecords: 2000,
      maxRecordBytes: 2 ** 30,
    })
    deepStrictEqual(found.tail.records, records)
  })
})

async function* fromList<T>(items: readonly T[]): AsyncGenerator<T> {
  await Promise.resolve()
  yield* items
}

describe('changed in any place', () => {
  const OWN = [EmbeddingError, FormatError]
  const isOurs = (error: unknown) => OWN.some((kind) => error instanceof kind)

  it('a request is refused with an error of ours or is another request', async () => {
    await fc.assert(
      fc.asyncProperty(request, fc.nat(), fc.integer({ min: 1, max: 255 }), async (one, at, by) => {
        const message = concat(...encodeScanRequest(one))
        message[at % message.length]! ^= by
        try {
          const found = await decodeScanRequest(source(message, []), BOUNDS)
          expect(found).not.toStrictEqual(one)
        } catch (error) {
          if (!isOurs(error)) throw error
        }
      }),
    )
  })

  it('a message that ends early or late is refused', async () => {
    await fc.assert(
      fc.asyncProperty(request, fc.nat(), bytes(20), async (one, at, more) => {
        const message = concat(...encodeScanRequest(one))
        const short = message.subarray(0, at % message.length)
        await expect(decodeScanRequest(source(short, []), BOUNDS)).rejects.toThrow(FormatError)
        if (more.length === 0) return
        const long = source(concat(message, more), [])
        await expect(decodeScanRequest(long, BOUNDS)).rejects.toThrow(
          'bytes follow the end of a message',
        )
      }),
    )
  })

  it('a scan that was cut off at a frame is not taken for a short one', async () => {
    const results = [new Uint8Array(10)]
    const blocks = [1, 2].map((block) => ({ block, epoch: 1, live: new Uint8Array(2), results }))
    const scan: Scan = { sequence: 1, tail: { sequence: 1, records: [] }, blocks: fromList(blocks) }
    const frames: FrameParts[] = []
    for await (const frame of encodeScan(scan)) frames.push(frame)
    expect(frames).toHaveLength(4)
    const bounds = {
      queries: [new Map([[1, new Uint8Array()]])],
      knownTail: undefined,
      maxBlocks: 10,
      maxRecords: 10,
      maxRecordBytes: 1000,
    }
    const cut = await decodeScan(source(concat(...frames.slice(0, 3).flat()), []), bounds)
    const read = async (of: Scan) => {
      const seen: number[] = []
      for await (const { block } of of.blocks) seen.push(block)
      return seen
    }
    await expect(read(cut)).rejects.toThrow('a message is cut short')
    // The end is there, but a block is not.
    const fewer = concat(...[frames[0]!, frames[1]!, frames[3]!].flat())
    const missing = await decodeScan(source(fewer, []), bounds)
    await expect(read(missing)).rejects.toThrow('blocks are missing')
    // The scorer's own error is the last frame.
    const fault = new EmbeddingError('COLLECTION_CHANGED', 'gone', { where: 'docs', index: 3 })
    const failed = concat(...frames.slice(0, 2).flat(), encodeProblem(problemOf(fault).problem))
    const told = await decodeScan(source(failed, []), bounds)
    await expect(read(told)).rejects.toMatchObject({
      code: 'COLLECTION_CHANGED',
      where: 'docs',
      index: 3,
    })
  })
})
