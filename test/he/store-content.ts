/** Random bytes in the shape of collections, blocks and records; a store does not look inside. */
import { randomBytes } from 'node:crypto'

import { toHex } from '../../src/bytes.ts'
import type { NewRecord } from '../../src/he/store.ts'
import type {
  BlockContent,
  CollectionInfo,
  IngestSession,
  KeyEpoch,
  RecordContent,
} from '../../src/he/types.ts'
import { TOKEN_BYTES } from '../../src/he/types.ts'

/** So small that segments are rolled, emptied and removed all the time. */
export const SMALL_SEGMENT_BYTES = 40_000

export const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
export const hex16 = (): string => toHex(bytes(16))
export const token = (): Uint8Array => bytes(TOKEN_BYTES)

export const epochOf = (epoch: number): KeyEpoch => ({ epoch, check: hex16() })
export const session = (epoch = 1): IngestSession => ({
  id: hex16(),
  epoch,
  sealedKey: bytes(80),
})

export const info = (name: string, more: Partial<CollectionInfo> = {}): CollectionInfo => ({
  name,
  id: hex16(),
  parameterSet: 'bgv-n2048-q51-t16-b8',
  dimensions: 16,
  metric: 'cosine',
  maxNorm: 1,
  fields: ['colour', 'size'],
  ...more,
})

export const block = (slots: number, more: Partial<BlockContent> = {}): BlockContent => ({
  uid: hex16(),
  epoch: 1,
  session: '',
  bytes: bytes(300 + slots),
  mac: bytes(32),
  slots,
  ...more,
})

export const record = (more: Partial<NewRecord> = {}): NewRecord => ({
  token: token(),
  epoch: 1,
  session: '',
  sealed: bytes(100),
  filters: {},
  ...more,
})

/** Records of the slots 0 to count - 1 of the block with an index in the change. */
export const placed = (count: number, index = 0, more: Partial<NewRecord> = {}): NewRecord[] =>
  Array.from({ length: count }, (_, slot) => record({ place: { block: index, slot }, ...more }))

/** What a store must give back of a record. */
export const contentOf = ({
  token,
  epoch,
  session,
  sealed,
  filters,
}: RecordContent): RecordContent => ({ token, epoch, session, sealed, filters })

/** Slots whose bit is set. */
export const slotsOf = (live: Uint8Array): number[] =>
  Array.from({ length: live.length * 8 }, (_, slot) => slot).filter(
    (slot) => ((live[slot >> 3]! >> (slot & 7)) & 1) === 1,
  )

export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}
