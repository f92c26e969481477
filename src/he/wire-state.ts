/** A collection's state, and records by place, in the scorer's protocol. */
import type * as z from 'zod'

import { EmbeddingError, FormatError } from '../errors.ts'
import type { CollectionState, Place, StoredRecord } from './types.ts'
import {
  type ByteSource,
  type FrameParts,
  frameStart,
  openFrame,
  parseHead,
  preamble,
  readBody,
  readPreamble,
} from './wire-frame.ts'
import { throwProblem } from './wire-problem.ts'
import { decodeRecords, encodeRecords } from './wire-record.ts'
import { COLLECTION_NAME, recordsRequestHead, recordsStartHead, stateHead } from './wire-schema.ts'

const STATE = 'state response'
const REQUEST = 'records request'
const RESPONSE = 'records response'
const STATE_BYTES = 64 * 1024 * 1024
/** Block and slot in JSON take at most this. */
const PLACE_BYTES = 32

/** Whether a collection can have the name. */
export const isCollectionName = (name: string): boolean => COLLECTION_NAME.test(name)

/** The answer in frames. */
export function* encodeState(state: CollectionState): Generator<FrameParts, void> {
  const { info, epochs, sessions, sequence, records, tail, tailSequence, blocks } = state
  const { name, id, parameterSet, dimensions, metric, maxNorm, fields } = info
  const keys = sessions.map(({ sealedKey }) => sealedKey)
  // Field by field: what else a store's objects hold is not for the network.
  const head: z.input<typeof stateHead> = {
    info: { name, id, parameterSet, dimensions, metric, maxNorm, fields: [...fields] },
    epochs: epochs.map(({ epoch, check }) => ({ epoch, check })),
    sessions: sessions.map(({ id, epoch, sealedKey }) => ({
      id,
      epoch,
      sealedKey: sealedKey.length,
    })),
    sequence,
    records,
    tail,
    tailSequence,
    blocks,
  }
  const length = keys.reduce((sum, key) => sum + key.length, 0)
  yield [preamble(STATE), frameStart('start', head, length), ...keys]
}

/** @throws FormatError when it is no state, or that of another collection. */
export async function decodeState(source: ByteSource, name: string): Promise<CollectionState> {
  await readPreamble(source, STATE)
  const bounds = { head: STATE_BYTES, body: STATE_BYTES }
  const frame = await openFrame(source, STATE, ['start', 'problem'], bounds)
  if (frame.type === 'problem') throwProblem(frame)
  const head = parseHead(stateHead, frame)
  if (head.info.name !== name) {
    throw new FormatError('the state of another collection', { where: STATE, expected: name })
  }
  const body = await readBody(
    source,
    frame,
    head.sessions.map(({ sealedKey }) => sealedKey),
  )
  const sessions = head.sessions.map(({ id, epoch, sealedKey }) => ({
    id,
    epoch,
    sealedKey: body.take(sealedKey),
  }))
  await source.end()
  return { ...head, sessions }
}

/** The request. */
export function encodeRecordsRequest(places: readonly Place[]): FrameParts {
  const head = { places: places.map(({ block, slot }) => [block, slot]) }
  return [preamble(REQUEST), frameStart('start', head, 0)]
}

/** @throws FormatError, EmbeddingError LIMIT_EXCEEDED. */
export async function decodeRecordsRequest(
  source: ByteSource,
  { maxPlaces }: { maxPlaces: number },
): Promise<Place[]> {
  await readPreamble(source, REQUEST)
  const bounds = { head: 64 + maxPlaces * PLACE_BYTES, body: 0 }
  const { places } = parseHead(
    recordsRequestHead,
    await openFrame(source, REQUEST, ['start'], bounds),
  )
  if (places.length > maxPlaces) {
    throw new EmbeddingError('LIMIT_EXCEEDED', 'too many places in one request', {
      where: REQUEST,
      expected: `at most ${maxPlaces}`,
      got: `${places.length}`,
      hint: 'split the request',
    })
  }
  await source.end()
  return places.map(([block, slot]) => ({ block, slot }))
}

/** The answer in frames. */
export function* encodeRecordsResponse(
  records: readonly (StoredRecord | undefined)[],
): Generator<FrameParts, void> {
  yield [preamble(RESPONSE), frameStart('start', { count: records.length }, 0)]
  yield* encodeRecords(records)
}

/** @throws FormatError unless there is an entry per place, and each record is at its place. */
export async function decodeRecordsResponse(
  source: ByteSource,
  places: readonly Place[],
): Promise<(StoredRecord | undefined)[]> {
  await readPreamble(source, RESPONSE)
  const frame = await openFrame(source, RESPONSE, ['start', 'problem'], { head: 16384, body: 0 })
  if (frame.type === 'problem') throwProblem(frame)
  const { count } = parseHead(recordsStartHead, frame)
  if (count !== places.length) {
    throw new FormatError('not one entry per place', {
      where: RESPONSE,
      expected: `${places.length}`,
      got: `${count}`,
    })
  }
  const records = await decodeRecords(source, RESPONSE, count, throwProblem)
  await source.end()
  for (const [index, { block, slot }] of places.entries()) {
    const place = records[index]?.place
    if (records[index] !== undefined && (place?.block !== block || place.slot !== slot)) {
      throw new FormatError('a record of another place', {
        where: RESPONSE,
        expected: `block ${block}, slot ${slot}`,
        got: place === undefined ? 'the tail' : `block ${place.block}, slot ${place.slot}`,
      })
    }
  }
  return records
}
