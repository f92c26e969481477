/** Stored records in frames of the scorer's protocol: batches, so that neither side holds them twice. */
import { concat } from '../bytes.ts'
import { EmbeddingError, FormatError } from '../errors.ts'
import { type StoredRecord, TOKEN_BYTES } from './types.ts'
import {
  type ByteSource,
  type FrameParts,
  type OpenFrame,
  frameStart,
  openFrame,
  parseHead,
  readBody,
} from './wire-frame.ts'
import { type RecordHead, recordsHead } from './wire-schema.ts'

/** A batch is full at whichever comes first. One record may be larger alone. */
const BATCH_RECORDS = 256
const BATCH_BYTES = 64 * 1024
/** Bounds on a frame of records: a full batch and one record more. */
const RECORDS_BOUNDS = { head: 4 * 1024 * 1024, body: 16 * 1024 * 1024 }

const partsOf = (record: StoredRecord): Uint8Array[] => [
  record.token,
  record.sealed,
  ...Object.values(record.filters),
]

function headOf(record: StoredRecord): RecordHead {
  if (record.token.length !== TOKEN_BYTES) {
    throw new EmbeddingError('RECORD_INVALID', 'a record\u2019s token has another length', {
      where: `record version ${record.version}`,
      expected: `${TOKEN_BYTES} bytes`,
      got: `${record.token.length}`,
    })
  }
  const { version, epoch, session, place, sealed } = record
  return {
    version,
    epoch,
    session,
    place: place === undefined ? null : [place.block, place.slot],
    sealed: sealed.length,
    filters: Object.entries(record.filters).map(([field, token]) => [field, token.length]),
  }
}

/** Frames of type `records`; undefined entries are kept as such. */
export function* encodeRecords(
  records: Iterable<StoredRecord | undefined>,
): Generator<FrameParts, void> {
  let heads: (RecordHead | null)[] = []
  let parts: Uint8Array[] = []
  let size = 0
  const flush = (): FrameParts => {
    const frame = [frameStart('records', { records: heads }, size), ...parts]
    heads = []
    parts = []
    size = 0
    // One write instead of thousands of small ones.
    return [concat(...frame)]
  }
  for (const record of records) {
    heads.push(record === undefined ? null : headOf(record))
    const own = record === undefined ? [] : partsOf(record)
    for (const part of own) size += part.length
    parts.push(...own)
    if (heads.length >= BATCH_RECORDS || size >= BATCH_BYTES) yield flush()
  }
  if (heads.length > 0) yield flush()
}

const lengthsOf = (head: RecordHead): number[] => [
  TOKEN_BYTES,
  head.sealed,
  ...head.filters.map(([, length]) => length),
]

function refuseTwice(head: RecordHead, where: string): void {
  if (new Set(head.filters.map(([field]) => field)).size !== head.filters.length) {
    throw new FormatError('a record has one field twice', { where })
  }
}

async function decodeBatch(source: ByteSource, frame: OpenFrame) {
  const { records: heads } = parseHead(recordsHead, frame)
  const body = await readBody(
    source,
    frame,
    heads.flatMap((head) => (head === null ? [] : lengthsOf(head))),
  )
  return heads.map((head): StoredRecord | undefined => {
    if (head === null) return undefined
    refuseTwice(head, frame.where)
    const { version, epoch, session, place, sealed, filters } = head
    return {
      token: body.take(TOKEN_BYTES),
      sealed: body.take(sealed),
      filters: Object.fromEntries(filters.map(([field, length]) => [field, body.take(length)])),
      version,
      epoch,
      session,
      place: place === null ? undefined : { block: place[0], slot: place[1] },
    }
  })
}

/** Reads frames until there are `count` records. @throws FormatError when a frame brings too many. */
export async function decodeRecords(
  source: ByteSource,
  message: string,
  count: number,
  onProblem: (frame: OpenFrame) => never,
  maxBytes = Infinity,
): Promise<(StoredRecord | undefined)[]> {
  const records: (StoredRecord | undefined)[] = []
  let bytes = 0
  while (records.length < count) {
    const frame = await openFrame(source, message, ['records', 'problem'], RECORDS_BOUNDS)
    if (frame.type === 'problem') onProblem(frame)
    // With the head, which may have a thousand fields for a record without bytes.
    bytes += frame.headLength + frame.bodyLength
    if (bytes > maxBytes) {
      throw new EmbeddingError('LIMIT_EXCEEDED', 'the records are too many bytes', {
        where: message,
        expected: `at most ${maxBytes}`,
        got: `${bytes} or more`,
      })
    }
    for (const record of await decodeBatch(source, frame)) records.push(record)
  }
  if (records.length === count) return records
  throw new FormatError('more records than were announced', {
    where: message,
    expected: `${count}`,
    got: `${records.length}`,
  })
}
