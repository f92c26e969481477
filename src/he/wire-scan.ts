/** A scan in the scorer's protocol: the queries there, encrypted scores and the tail back. */
import { EmbeddingError, FormatError } from '../errors.ts'
import type { BlockScores, EncryptedQuery, Filter, Scan, ScanRequest } from './types.ts'
import {
  type ByteSource,
  type FrameParts,
  type OpenFrame,
  frameStart,
  openFrame,
  parseHead,
  preamble,
  readBody,
  readPreamble,
} from './wire-frame.ts'
import { throwProblem } from './wire-problem.ts'
import { decodeRecords, encodeRecords } from './wire-record.ts'
import { blockHead, endHead, scanHead, scanRequestHead } from './wire-schema.ts'

const REQUEST = 'scan request'
const RESPONSE = 'scan response'
const REQUEST_HEAD_BYTES = 1024 * 1024
/** One bit per slot of a block of at most 2,048 vectors. */
const LIVE_BYTES = 256
/** Three polynomials of 2,048 residues of 51 bits are 39,216 with their header. */
const RESULT_BYTES = 64 * 1024

/** What a scorer accepts in one scan. */
export interface ScanBounds {
  readonly maxRequestBytes: number
  readonly maxQueries: number
  readonly maxFilterTokens: number
}

/** What a caller accepts as the answer to its scan. */
export interface AnswerBounds {
  /** The queries it sent. */
  readonly queries: readonly EncryptedQuery[]
  readonly knownTail: number | undefined
  readonly maxBlocks: number
  /** Of the tail. */
  readonly maxRecords: number
  readonly maxRecordBytes: number
}

/** The request. */
export function encodeScanRequest(request: ScanRequest): FrameParts {
  const queries = request.queries.map((query) => [...query])
  const filter = request.filter ?? null
  const parts = [
    ...queries.flatMap((query) => query.map(([, bytes]) => bytes)),
    ...(filter ?? []).flatMap(({ anyOf }) => anyOf),
  ]
  const head = {
    queries: queries.map((query) => query.map(([epoch, bytes]) => [epoch, bytes.length])),
    filter: filter?.map(({ field, anyOf }) => [field, anyOf.map((token) => token.length)]) ?? null,
    knownTail: request.knownTail ?? null,
  }
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return [preamble(REQUEST), frameStart('start', head, length), ...parts]
}

function refuseMany(what: string, got: number, most: number): void {
  if (got <= most) return
  throw new EmbeddingError('LIMIT_EXCEEDED', `too many ${what} in one request`, {
    where: REQUEST,
    expected: `at most ${most}`,
    got: `${got}`,
    hint: 'split the request',
  })
}

/** @throws FormatError, EmbeddingError LIMIT_EXCEEDED. */
export async function decodeScanRequest(
  source: ByteSource,
  bounds: ScanBounds,
): Promise<ScanRequest> {
  await readPreamble(source, REQUEST)
  const frame = await openFrame(source, REQUEST, ['start'], {
    head: REQUEST_HEAD_BYTES,
    body: bounds.maxRequestBytes,
  })
  const head = parseHead(scanRequestHead, frame)
  refuseMany('queries', head.queries.length, bounds.maxQueries)
  const tokens = head.filter?.flatMap(([, lengths]) => lengths) ?? []
  refuseMany('tokens of a filter', tokens.length, bounds.maxFilterTokens)
  const body = await readBody(source, frame, [
    ...head.queries.flatMap((query) => query.map(([, length]) => length)),
    ...tokens,
  ])
  await source.end()
  const queries = head.queries.map((query): EncryptedQuery => {
    const byEpoch = new Map(query.map(([epoch, length]) => [epoch, body.take(length)]))
    if (byEpoch.size === query.length) return byEpoch
    throw new FormatError('a query has one epoch twice', { where: REQUEST })
  })
  const filter: Filter | undefined = head.filter?.map(([field, lengths]) => ({
    field,
    anyOf: lengths.map((length) => body.take(length)),
  }))
  return { queries, filter, knownTail: head.knownTail ?? undefined }
}

/** The answer in frames; a block is taken from the scan when the one before it is sent. */
export async function* encodeScan(scan: Scan): AsyncGenerator<FrameParts, void> {
  const { sequence, tail } = scan
  const head = {
    sequence,
    tail: { sequence: tail.sequence, records: tail.records?.length ?? null },
  }
  yield [preamble(RESPONSE), frameStart('start', head, 0)]
  yield* encodeRecords(tail.records ?? [])
  let count = 0
  for await (const { block, epoch, live, results } of scan.blocks) {
    const lengths = results.map((result) => result.length)
    const length = lengths.reduce((sum, one) => sum + one, live.length)
    const own = { block, epoch, live: live.length, results: lengths }
    yield [frameStart('block', own, length), live, ...results]
    count++
  }
  yield [frameStart('end', { count }, 0)]
}

const invalid = (message: string, where: string, expected?: string, got?: string): EmbeddingError =>
  new EmbeddingError('SCORES_INVALID', message, { where, expected, got })

async function decodeBlock(
  source: ByteSource,
  frame: OpenFrame,
  { queries }: AnswerBounds,
): Promise<BlockScores> {
  const { block, epoch, live, results } = parseHead(blockHead, frame)
  const where = `${RESPONSE}, block ${block}`
  if (results.length !== queries.length) {
    throw invalid('not one result per query', where, `${queries.length}`, `${results.length}`)
  }
  if (!queries.every((query) => query.has(epoch))) {
    throw invalid('scores of an epoch that was not asked for', where, undefined, `epoch ${epoch}`)
  }
  if (live > LIVE_BYTES || results.some((length) => length > RESULT_BYTES)) {
    const expected = `at most ${LIVE_BYTES} bytes of bits and ${RESULT_BYTES} bytes a result`
    throw invalid('scores that are too long', where, expected)
  }
  const body = await readBody(source, frame, [live, ...results])
  return {
    block,
    epoch,
    live: body.take(live),
    results: results.map((length) => body.take(length)),
  }
}

async function* decodeBlocks(
  source: ByteSource,
  bounds: AnswerBounds,
): AsyncGenerator<BlockScores, void> {
  const frames = { head: 64 * 1024, body: LIVE_BYTES + bounds.queries.length * RESULT_BYTES }
  const seen = new Set<number>()
  for (;;) {
    const frame = await openFrame(source, RESPONSE, ['block', 'end', 'problem'], frames)
    if (frame.type === 'problem') throwProblem(frame)
    if (frame.type === 'end') {
      const { count } = parseHead(endHead, frame)
      await readBody(source, frame, [])
      if (count !== seen.size) {
        throw invalid('blocks are missing', RESPONSE, `${count}`, `${seen.size}`)
      }
      return source.end()
    }
    const scores = await decodeBlock(source, frame, bounds)
    if (seen.has(scores.block)) {
      throw invalid('one block twice', `${RESPONSE}, block ${scores.block}`)
    }
    if (seen.size >= bounds.maxBlocks) {
      throw new EmbeddingError('LIMIT_EXCEEDED', 'a scorer sends too many blocks', {
        where: RESPONSE,
        expected: `at most ${bounds.maxBlocks}`,
        hint: 'raise maxBlocks when the collection has more',
      })
    }
    seen.add(scores.block)
    yield scores
  }
}

/**
 * Reads up to the tail; the blocks are read as they are asked for.
 * @throws FormatError, EmbeddingError SCORES_INVALID, LIMIT_EXCEEDED, and what the scorer's problem says.
 */
export async function decodeScan(source: ByteSource, bounds: AnswerBounds): Promise<Scan> {
  await readPreamble(source, RESPONSE)
  const frame = await openFrame(source, RESPONSE, ['start', 'problem'], { head: 16384, body: 0 })
  if (frame.type === 'problem') throwProblem(frame)
  const { sequence, tail } = parseHead(scanHead, frame)
  const { records: count } = tail
  if (count === null && tail.sequence !== bounds.knownTail) {
    throw invalid('the tail is left out, though it is not the one the caller has', RESPONSE)
  }
  if (count !== null && count > bounds.maxRecords) {
    throw new EmbeddingError('LIMIT_EXCEEDED', 'the tail is too long', {
      where: RESPONSE,
      expected: `at most ${bounds.maxRecords} records`,
      got: `${count}`,
      hint: 'compact the collection',
    })
  }
  const records =
    count === null
      ? undefined
      : await decodeRecords(source, RESPONSE, count, throwProblem, bounds.maxRecordBytes)
  if (records?.some((record) => record?.place !== undefined || record === undefined) === true) {
    throw invalid('a record of the tail that is in a block', RESPONSE)
  }
  return {
    sequence,
    tail: { sequence: tail.sequence, records: records?.filter((one) => one !== undefined) },
    blocks: decodeBlocks(source, bounds),
  }
}
