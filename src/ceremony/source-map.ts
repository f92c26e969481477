/** Where in its file each value of a YAML document stands, so that every complaint names a line. */
import { type Document, LineCounter, isMap, isScalar, isSeq } from 'yaml'

/** 1-based, as editors count. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** Keys and indexes from the root of the document to a value. */
export type SourcePath = readonly (string | number)[]

/** Positions of the values of one file. */
export interface SourceMap {
  readonly file: string
  /** Position of the value, or of its nearest ancestor that stands in the file. */
  at(path: SourcePath): Position
  /** Position of the key of a mapping entry; like {@link SourceMap.at} when there is none. */
  keyAt(path: SourcePath): Position
}

const START: Position = { line: 1, column: 1 }
const name = (path: SourcePath): string => JSON.stringify(path)

/** Reads the positions of all nodes; `lines` is the counter the document was parsed with. */
export function sourceMap(file: string, document: Document, lines: LineCounter): SourceMap {
  const values = new Map<string, Position>()
  const keys = new Map<string, Position>()
  const position = (node: unknown): Position | undefined => {
    const range = (node as { range?: readonly number[] | null } | null)?.range
    const { line, col } = lines.linePos(range?.[0] ?? -1)
    return range?.[0] === undefined || line === 0 ? undefined : { line, column: col }
  }
  const visit = (node: unknown, path: SourcePath): void => {
    const at = position(node)
    if (at !== undefined) values.set(name(path), at)
    if (isSeq(node)) node.items.forEach((item, index) => visit(item, [...path, index]))
    if (!isMap(node)) return
    for (const { key, value } of node.items) {
      const inner = [...path, isScalar(key) ? String(key.value) : String(key)]
      const keyPosition = position(key)
      if (keyPosition !== undefined) keys.set(name(inner), keyPosition)
      visit(value, inner)
    }
  }
  visit(document.contents, [])
  const nearest = (path: SourcePath): Position =>
    values.get(name(path)) ?? (path.length === 0 ? START : nearest(path.slice(0, -1)))
  return { file, at: nearest, keyAt: (path) => keys.get(name(path)) ?? nearest(path) }
}

/** `file:line:column`, which editors and terminals make a link. */
export const place = (source: SourceMap, { line, column }: Position): string =>
  `${source.file}:${line}:${column}`
