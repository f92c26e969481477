/** Items as callers give them, checked and made ready to be encrypted. */
import { EmbeddingError } from '../errors.ts'
import type { Geometry } from './parameters.ts'
import { quantiseVector } from './quantise.ts'
import { requireId } from './tokens.ts'
import type { CollectionInfo, Item, Metadata, MetadataValue } from './types.ts'

/** Most bytes of an item's metadata as JSON. */
const METADATA_BYTES = 2 ** 20

/** An item whose parts are sound. */
export interface PreparedItem {
  readonly id: string
  readonly vector: Float32Array
  readonly metadata: Metadata
  /** The vector as the encrypted scan sees it. */
  readonly integers: Int32Array
}

/**
 * A copy of sound metadata: the caller may use its object again.
 * @throws EmbeddingError METADATA_INVALID; never says a value.
 */
export function checkMetadata(metadata: unknown, index?: number): Metadata {
  const refuse = (message: string, where?: string): never => {
    throw new EmbeddingError('METADATA_INVALID', message, {
      where,
      index,
      expected: 'an object of strings, finite numbers and booleans',
    })
  }
  if (metadata === undefined) return {}
  // Maps, dates and the like, too: JSON would make nothing, or something else, of them.
  if (Object.prototype.toString.call(metadata) !== '[object Object]') {
    return refuse('metadata is not an object')
  }
  const copy = { ...(metadata as Record<string, unknown>) }
  for (const [field, value] of Object.entries(copy)) {
    const sound =
      (typeof value === 'string' && value.isWellFormed()) ||
      (typeof value === 'number' && Number.isFinite(value)) ||
      typeof value === 'boolean'
    if (!sound) return refuse('a metadata value is of no kind that is kept', field)
  }
  if (Buffer.byteLength(JSON.stringify(copy)) > METADATA_BYTES) {
    return refuse(`metadata is longer than ${METADATA_BYTES} bytes`)
  }
  return copy as Metadata
}

/** @throws EmbeddingError ID_INVALID, VECTOR_INVALID, METADATA_INVALID with the item's index. */
export function prepareItem(
  geometry: Geometry,
  info: CollectionInfo,
  item: Item,
  index?: number,
): PreparedItem {
  // Object(): a caller without types may give null, which then has no id.
  const { id: named, metadata: given, vector } = Object(item) as Item
  const id = requireId(named, index)
  const metadata = checkMetadata(given, index)
  const integers = quantiseVector(geometry, info.maxNorm, vector, index)
  return { id, metadata, integers, vector: Float32Array.from(vector) }
}

/** Whether an item's metadata has, in every field asked for, one of the values. */
export function matches(
  metadata: Metadata,
  filter: ReadonlyMap<string, readonly MetadataValue[]>,
): boolean {
  for (const [field, values] of filter) {
    const value = Object.hasOwn(metadata, field) ? metadata[field] : undefined
    if (value === undefined || !values.includes(value)) return false
  }
  return true
}
