/**
 * A LangChain document as an item, and back. A record's metadata are scalars: the text is one field, and values
 * that are lists, objects or null are kept as JSON text, under names that one further field lists.
 */
import { EmbeddingError } from '../errors.ts'
import type { Item, Metadata, MetadataValue } from './types.ts'

/** Field of the text. */
export const DEFAULT_CONTENT_FIELD = 'pageContent'

/** Field that lists, as JSON, the fields whose values are JSON text. */
const JSON_FIELDS = 'keyrite:json'

/** The parts of a LangChain `Document`. */
export interface DocumentParts {
  readonly pageContent: string
  readonly metadata: Record<string, unknown>
  readonly id?: string
}

const isScalar = (value: unknown): value is MetadataValue =>
  typeof value === 'string' ||
  typeof value === 'boolean' ||
  (typeof value === 'number' && Number.isFinite(value))

function jsonText(value: unknown, field: string): string {
  let text: string | undefined
  try {
    // JSON would make null of a number that is none.
    text = typeof value === 'number' ? undefined : JSON.stringify(value)
  } catch {
    text = undefined
  }
  if (text !== undefined) return text
  throw new EmbeddingError('METADATA_INVALID', 'a metadata value has no JSON form', {
    where: field,
    expected: 'what JSON can say: no function, symbol, bigint or circle',
    got: typeof value,
  })
}

/** @throws EmbeddingError METADATA_INVALID. */
export function toItem(
  { pageContent, metadata }: Pick<DocumentParts, 'pageContent' | 'metadata'>,
  id: string,
  vector: readonly number[],
  contentField: string,
): Item {
  const json: string[] = []
  const fields = Object.entries(metadata).flatMap(([field, value]) => {
    if (field === contentField || field === JSON_FIELDS) {
      throw new EmbeddingError('METADATA_INVALID', 'a metadata field has the name of another one', {
        where: field,
        hint: 'rename it, or choose another contentField',
      })
    }
    if (value === undefined) return []
    if (isScalar(value)) return [[field, value] as const]
    json.push(field)
    return [[field, jsonText(value, field)] as const]
  })
  const kept: Metadata = Object.fromEntries([
    [contentField, pageContent],
    ...fields,
    ...(json.length === 0 ? [] : [[JSON_FIELDS, JSON.stringify(json)] as const]),
  ])
  return { id, vector, metadata: kept }
}

/** The value of a JSON text; the text itself where it is none. */
function parsed(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    return text
  }
}

/** Fields whose values are JSON text; a record that another program made has none. */
function jsonFields(metadata: Metadata): readonly unknown[] {
  const fields = parsed(metadata[JSON_FIELDS])
  return Array.isArray(fields) ? fields : []
}

/** A record's text and metadata; a record without the text field has an empty text. */
export function fromItem(
  { id, metadata = {} }: Pick<Item, 'id' | 'metadata'>,
  contentField: string,
): DocumentParts {
  const json = jsonFields(metadata)
  const fields = Object.entries(metadata)
    .filter(([field]) => field !== contentField && field !== JSON_FIELDS)
    .map(([field, value]) => [field, json.includes(field) ? parsed(value) : value] as const)
  const content = Object.hasOwn(metadata, contentField) ? metadata[contentField] : ''
  return { id, pageContent: String(content), metadata: Object.fromEntries(fields) }
}
