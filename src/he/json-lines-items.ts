/** Items from JSON Lines: one object a line, `{"id": ..., "vector": [...], "metadata": {...}}`. */
import { FormatError } from '../errors.ts'
import { type FieldMapping, type Fields, itemOf } from './import-item.ts'
import { type Line, linesOf } from './import-lines.ts'
import type { Item } from './types.ts'

/** A whole number whose last digits JSON.parse may have lost. */
const mayHaveLost = (value: unknown): boolean =>
  Number.isInteger(value) && !Number.isSafeInteger(value)

/** Whether there is such a number anywhere in it. */
function someLost(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return mayHaveLost(value)
  return Array.isArray(value) ? value.some(someLost) : Object.values(value).some(someLost)
}

/** A reviver: integers that would lose digits come as bigints, and who reads them decides. */
function exactly(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  const { source = '' } = context ?? {}
  const lost = mayHaveLost(value) && /^-?\d+$/.test(source) && String(value) !== source
  return lost ? BigInt(source) : value
}

/** The object in a line. The parser's message is left out: it repeats the text. @throws FormatError. */
export function objectOf({ number, text }: Line, where: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
    // With a reviver parsing takes several times as long.
    if (someLost(value)) value = JSON.parse(text, exactly)
  } catch {
    value = undefined
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new FormatError(value === undefined ? 'not valid JSON' : 'not a JSON object', {
    where: `${where}, line ${number}`,
    expected: 'one JSON object a line',
  })
}

/** Items of a stream of JSON Lines, after the first `skip`. `where` names the file. @throws FormatError. */
export async function* jsonLinesItems(
  chunks: AsyncIterable<Uint8Array>,
  where: string,
  mapping: FieldMapping & { readonly skip?: number | undefined } = {},
): AsyncGenerator<Item> {
  for await (const line of linesOf(chunks, where, mapping.skip)) {
    yield itemOf(objectOf(line, where), `${where}, line ${line.number}`, mapping)
  }
}
