/** The forms of the JSON heads in the scorer's protocol. zod is used here and in `wire-problem.ts` only. */
import * as z from 'zod'

const count = z.int().nonnegative()
const length = z.int().nonnegative().max(0xffff_ffff)
const hex16 = z.string().regex(/^[0-9a-f]{32}$/, 'expected 16 bytes in lower-case hexadecimal')
const session = z.union([z.literal(''), hex16], {
  error: 'expected 16 bytes in hexadecimal or nothing',
})
const field = z.string().min(1).max(200)
/** Keyed hashes are {@link TOKEN_BYTES} long; other lengths are for the store or scorer to refuse. */
const tokenLength = length.max(64)

/** See `CollectionInfo.name`. */
export const COLLECTION_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/

/** Block and slot. */
export const placeHead = z.tuple([count, count.max(2047)])

/** A record whose bytes follow: token, sealed, filters in order. */
export const recordHead = z.strictObject({
  version: count,
  epoch: count,
  session,
  place: placeHead.nullable(),
  sealed: length,
  filters: z.array(z.tuple([field, tokenLength])).max(1000),
})
/** See {@link recordHead}. */
export type RecordHead = z.infer<typeof recordHead>

/** Records one after the other; null where there is none. */
export const recordsHead = z.strictObject({ records: z.array(recordHead.nullable()).min(1) })

/** Queries as lists of epoch and length; then conditions as field and lengths of tokens. */
export const scanRequestHead = z.strictObject({
  queries: z.array(z.array(z.tuple([count, length])).max(64)),
  filter: z
    .array(z.tuple([field, z.array(tokenLength)]))
    .max(1000)
    .nullable(),
  knownTail: count.nullable(),
})

/** `records`: how many follow; null: as the caller has them. */
export const scanHead = z.strictObject({
  sequence: count,
  tail: z.strictObject({ sequence: count, records: count.nullable() }),
})

/** Lengths of the bits and of each result, which follow. */
export const blockHead = z.strictObject({
  block: count,
  epoch: count,
  live: length,
  results: z.array(length),
})

/** How many blocks or records there were, so that a stream that was cut is not taken for a short one. */
export const endHead = z.strictObject({ count })

/** Places that are asked for. */
export const recordsRequestHead = z.strictObject({ places: z.array(placeHead) })

/** How many entries follow. */
export const recordsStartHead = z.strictObject({ count })

/** A state; the sealed keys of its sessions follow. */
export const stateHead = z.strictObject({
  info: z.strictObject({
    name: z.string().regex(COLLECTION_NAME, 'expected the name of a collection'),
    id: hex16,
    parameterSet: z.string().min(1).max(100),
    dimensions: z.int().positive().max(1_000_000),
    metric: z.enum(['cosine', 'inner-product', 'squared-l2']),
    maxNorm: z.number().positive(),
    fields: z.array(field).max(1000),
  }),
  epochs: z.array(z.strictObject({ epoch: count, check: z.string().max(200) })).max(100_000),
  sessions: z
    .array(z.strictObject({ id: session, epoch: count, sealedKey: length.max(4096) }))
    .max(1_000_000),
  sequence: count,
  records: count,
  tail: count,
  tailSequence: count,
  blocks: count,
})
