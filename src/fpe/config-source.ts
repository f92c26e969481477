/**
 * JSON text with the place of every value, so that a fault is named by file, line, column and path. Strict: no
 * comments, no trailing commas, and no key twice, of which JSON.parse would silently keep the last.
 */
import { type Node, findNodeAtLocation, getNodeValue, parseTree } from 'jsonc-parser'
import { type ParseError, printParseErrorCode } from 'jsonc-parser'

import { ConfigError } from '../errors.ts'

/** Longest file that is read: a configuration is written by hand. */
const MAX_TEXT = 1_000_000

/** A JSON text that was read. */
export interface ConfigSource {
  readonly value: unknown
  /** `file:line:column path` of a value, or of the nearest one around it. */
  where(path: readonly PropertyKey[]): string
  /** The kind of what stands there; neither strings nor numbers are repeated, they may be misplaced secrets. */
  got(path: readonly PropertyKey[]): string
}

function position(text: string, offset: number): string {
  const lines = text.slice(0, offset).split('\n')
  return `${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`
}

function refuseDuplicates(node: Node, refuse: (offset: number, expected: string) => never): void {
  const seen = new Set<unknown>()
  for (const child of node.children ?? []) {
    const [key] = node.type === 'object' ? (child.children ?? []) : []
    if (key !== undefined) {
      if (seen.has(key.value)) refuse(key.offset, 'each key once')
      if (key.value === '__proto__') refuse(key.offset, 'another name')
      seen.add(key.value)
    }
    refuseDuplicates(child, refuse)
  }
}

/** @throws ConfigError when it is no JSON. */
export function readConfig(text: string, file: string): ConfigSource {
  const refuse = (offset: number, expected: string): never => {
    throw new ConfigError('the configuration is not valid JSON', {
      where: `${file}:${position(text, offset)}`,
      expected,
    })
  }
  if (text.length > MAX_TEXT) {
    throw new ConfigError('the configuration is too long', {
      where: file,
      expected: `at most ${MAX_TEXT} characters`,
    })
  }
  const errors: ParseError[] = []
  const root = parseTree(text, errors, { disallowComments: true, allowTrailingComma: false })
  const [first] = errors
  if (first !== undefined) refuse(first.offset, `JSON; found: ${printParseErrorCode(first.error)}`)
  if (root === undefined) return refuse(0, 'a JSON object')
  refuseDuplicates(root, refuse)
  const find = (path: readonly PropertyKey[]): Node | undefined =>
    findNodeAtLocation(
      root,
      path.map((key) => (typeof key === 'number' ? key : String(key))),
    )
  return {
    value: getNodeValue(root),
    where(path) {
      let [node, depth] = [find(path), path.length]
      while (node === undefined && depth > 0) node = find(path.slice(0, --depth))
      const place = `${file}:${position(text, node?.offset ?? 0)}`
      return path.length === 0 ? place : `${place} ${path.map(String).join('.')}`
    },
    got(path) {
      const node = find(path)
      if (node === undefined) return 'nothing'
      return node.type === 'boolean' ? String(node.value) : node.type
    },
  }
}
