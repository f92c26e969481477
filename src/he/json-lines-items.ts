/** Items from JSON Lines: one object a line, `{"id": ..., "vector": [...], "metadata": {...}}`. */
import { FormatError } from '../errors.ts'
import { type FieldMapping, type Fields, itemOf } from './import-item.ts'
import { type Line, linesOf } from './import-lines.ts'
import type { Item } from './types.ts'

/** The object in a line. The parser's message is left out: it repeats the text. @throws FormatError. */
export function objectOf({ number, text }: Line, where: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
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
