/** Queries of `keyrite embeddings search`: vectors in JSON, and filters on the command line. */
import { InvalidArgumentError } from 'commander'

import { concat, fromUtf8 } from '../bytes.ts'
import { FormatError } from '../errors.ts'
import type { MetadataValue } from '../he/index.ts'
import { readBytes } from './read-input.ts'

/** Values by field. */
export type Filters = Readonly<Record<string, readonly MetadataValue[]>>

/** A number, true, false or quoted text by its JSON spelling; everything else is text as it is. */
function valueOf(text: string): MetadataValue {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'string' || typeof value === 'boolean') return value
    if (typeof value === 'number' && Number.isFinite(value)) return value
  } catch {
    // Text.
  }
  return text
}

/** Option parser of `--filter FIELD=VALUE`. */
export function addFilter(text: string, filters: Filters = {}): Filters {
  const at = text.indexOf('=')
  if (at < 1) {
    throw new InvalidArgumentError('Expected FIELD=VALUE, e.g. lang=en or year=2024.')
  }
  const [field, value] = [text.slice(0, at), valueOf(text.slice(at + 1))]
  const before = Object.hasOwn(filters, field) ? (filters[field] ?? []) : []
  return Object.fromEntries([...Object.entries(filters), [field, [...before, value]]])
}

/** The vector in one JSON value: a list of numbers, or an object that has one. */
function vectorOf(value: unknown, where: string): readonly number[] {
  const record =
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  const held = record === undefined ? value : (record['vector'] ?? record['embedding'])
  const sound = Array.isArray(held) && held.every((number) => Number.isFinite(number))
  if (sound && held.length > 0) return held as number[]
  throw new FormatError('not a query', {
    where,
    expected: 'a JSON list of numbers, or an object with one as `vector`',
  })
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** One vector, a list of vectors, or one a line. */
export function parseQueries(text: string, where: string): (readonly number[])[] {
  const whole = parsed(text)
  if (Array.isArray(whole) && whole.some((one) => typeof one === 'object')) {
    return whole.map((one: unknown, i) => vectorOf(one, `${where}, query ${i + 1}`))
  }
  if (whole !== undefined) return [vectorOf(whole, where)]
  const lines = text.split('\n').map((line, i) => ({ line: line.trim(), number: i + 1 }))
  const queries = lines
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => vectorOf(parsed(line), `${where}, line ${number}`))
  if (queries.length > 0) return queries
  throw new FormatError('there is no query', { where, expected: 'a JSON list of numbers' })
}

/** Most of all queries together: some 4,000 of 1,536 dimensions. */
const MAX_BYTES = 128 * 1024 * 1024

async function standardInput(where: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    parts.push(part)
    size += part.length
    if (size <= MAX_BYTES) continue
    throw new FormatError('too many queries at once', {
      where,
      expected: `at most ${MAX_BYTES} bytes`,
    })
  }
  return concat(...parts)
}

/** Reads `--query`. @throws FormatError, ConfigError. */
export async function readQueries(file: string): Promise<(readonly number[])[]> {
  const stream = file === '-'
  const where = stream ? 'standard input' : file
  const bytes = stream ? await standardInput(where) : await readBytes(file, 'a query', MAX_BYTES)
  return parseQueries(fromUtf8(bytes, where), where)
}
