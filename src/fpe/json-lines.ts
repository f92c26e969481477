/**
 * JSON Lines: one JSON object (RFC 8259) a line, read by place, so that number spellings, spaces, order and
 * escapes of all but the named members stay. `JSON.parse` decides what is valid; jsonc-parser's scanner says
 * where it stands (both together above 60 MB/s here).
 *
 * Keys on the way to a value must be there once: with a second `pan` in an object, other readers would see
 * the one that was not encrypted. A new value is spelled with the fewest escapes (RFC 8785 §3.2.2.2).
 */
import { type JSONScanner, createScanner } from 'jsonc-parser'

import { type PathNode, pathTree } from './json-path.ts'
import {
  type Place,
  type Row,
  type RowFault,
  type RowFormat,
  type RowPlan,
  type ValuePlace,
  type VersionPlace,
  decodeBytes,
  emptyFault,
  encodeBytes,
  faultyRow,
  literalRow,
  parseVersion,
  versionFault,
} from './row.ts'

/** jsonc-parser's SyntaxKind, whose enum is of the kind that leaves no values behind. */
const TOKEN = {
  openBrace: 1,
  closeBrace: 2,
  openBracket: 3,
  closeBracket: 4,
  comma: 5,
  null: 7,
  string: 10,
  number: 11,
} as const

const KINDS: Readonly<Record<number, string>> = {
  1: 'an object',
  3: 'an array',
  7: 'null',
  8: 'true',
  9: 'false',
  10: 'a string',
  11: 'a number',
}

/** Text of a string token, escapes resolved. Equal keys may be spelled in many ways. */
function stringOf(token: string): string {
  const inside = token.slice(1, -1)
  return /^[^\\\u0080-\u00ff]*$/.test(inside) ? inside : (JSON.parse(decodeBytes(token)) as string)
}

/** What is found in one line. */
interface Found {
  readonly values: (ValuePlace | undefined)[]
  readonly versions: (VersionPlace | undefined)[]
  fault: RowFault | undefined
}

/** One member of an object on the way. */
interface Member {
  readonly node: PathNode | undefined
  readonly start: number
  readonly end: number
}

/** Reads one valid line. Offsets count from `base`. */
class LineReader {
  readonly #scanner: JSONScanner
  readonly #line: string
  readonly #base: number
  readonly #plan: RowPlan
  readonly #found: Found

  constructor(line: string, base: number, plan: RowPlan) {
    this.#line = line
    this.#base = base
    this.#plan = plan
    this.#scanner = createScanner(line, true)
    this.#found = {
      values: plan.fields.map(() => undefined),
      versions: plan.versionFields.map(() => undefined),
      fault: undefined,
    }
  }

  read(root: PathNode): Found {
    const token: number = this.#scanner.scan()
    if (token === TOKEN.openBrace) this.#object(root)
    else {
      this.#found.fault = {
        message: 'the line is not a JSON object',
        expected: 'an object',
        got: KINDS[token] ?? 'something else',
      }
    }
    return this.#found
  }

  #token(): string {
    const at = this.#scanner.getTokenOffset()
    return this.#line.slice(at, at + this.#scanner.getTokenLength())
  }

  #refuse(fault: RowFault): void {
    this.#found.fault ??= fault
  }

  /** The object whose brace was just read; ends after its closing brace. */
  #object(node: PathNode): void {
    const scanner = this.#scanner
    const opened = scanner.getPosition()
    const members: Member[] = []
    let token: number = scanner.scan()
    while (token !== TOKEN.closeBrace) {
      const child = node.children.get(stringOf(this.#token()))
      scanner.scan() // the colon
      token = scanner.scan()
      const start = scanner.getTokenOffset()
      if (child === undefined) this.#skip(token)
      else {
        if (members.some((member) => member.node === child)) {
          this.#refuse({
            message: 'a key is there twice',
            expected: 'one member of that name in the object',
            hint: 'readers differ in which one they take',
            field: child.path,
          })
        }
        this.#member(child, token, start)
      }
      members.push({ node: child, start, end: scanner.getPosition() })
      token = scanner.scan()
      if (token === TOKEN.comma) token = scanner.scan()
    }
    this.#versions(node, members, opened)
  }

  /** The value whose first token was just read; ends after its last token. */
  #skip(first: number): void {
    if (first !== TOKEN.openBrace && first !== TOKEN.openBracket) return
    for (let depth = 1; depth > 0;) {
      const token = this.#scanner.scan() as number
      if (token === TOKEN.openBrace || token === TOKEN.openBracket) depth += 1
      else if (token === TOKEN.closeBrace || token === TOKEN.closeBracket) depth -= 1
    }
  }

  #member(node: PathNode, token: number, start: number): void {
    const { leaf } = node
    if (leaf === undefined) {
      if (token === TOKEN.openBrace) {
        this.#object(node)
        return
      }
      if (token !== TOKEN.null) {
        this.#refuse({
          message: 'a member on the path is not an object',
          expected: 'an object',
          got: KINDS[token] ?? 'something else',
          field: node.path,
        })
      }
    } else if (leaf.kind === 'value') {
      if (token === TOKEN.string) {
        const text = this.#token()
        const value = stringOf(text)
        this.#found.values[leaf.index] = {
          start: this.#base + start,
          end: this.#base + start + text.length,
          value: value === '' ? undefined : value,
        }
      } else if (token !== TOKEN.null) {
        this.#refuse({
          message: 'the value is not a string',
          expected: 'a string',
          got: KINDS[token] ?? 'something else',
          field: node.path,
          ...(token === TOKEN.number
            ? {
                hint: 'write the number in quotes: leading zeros and long numbers do not survive as numbers',
              }
            : {}),
        })
      }
    } else if (token !== TOKEN.null) {
      const version = token === TOKEN.number ? parseVersion(this.#token()) : undefined
      const fault = versionFault(this.#plan.task, node.path, false, version)
      if (fault !== undefined) this.#refuse(fault)
      this.#found.versions[leaf.index] = {
        start: this.#base + start,
        end: this.#base + start,
        version,
        before: '',
        none: '',
      }
    }
    this.#skip(token)
  }

  /** Where the versions of this object stand, are added, or go away. */
  #versions(node: PathNode, members: readonly Member[], opened: number): void {
    const isVersion = (member: Member): boolean => member.node?.leaf?.kind === 'version'
    const { task } = this.#plan
    const lastOther = members.findLastIndex((member) => !isVersion(member))
    const place = (start: number, end: number) => ({
      start: this.#base + start,
      end: this.#base + end,
    })
    for (const child of node.children.values()) {
      if (child.leaf?.kind !== 'version') continue
      const { index } = child.leaf
      const at = members.findIndex((member) => member.node === child)
      const member = members[at]
      const version = this.#found.versions[index]?.version
      if (member === undefined) {
        const end = members.at(-1)?.end ?? opened
        const comma = members.length === 0 ? '' : ','
        const before = `${comma}${encodeBytes(JSON.stringify(child.key))}:`
        this.#found.versions[index] = { ...place(end, end), version, before, none: '' }
      } else if (task === 'decrypt' && at > lastOther) {
        const start = members[at - 1]?.end ?? opened
        this.#found.versions[index] = { ...place(start, member.end), version, before: '', none: '' }
      } else {
        const none = task === 'rewrap' ? this.#line.slice(member.start, member.end) : 'null'
        this.#found.versions[index] = {
          ...place(member.start, member.end),
          version,
          before: '',
          none,
        }
      }
    }
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A reader of JSON Lines for one file. @throws ConfigError on paths that are none. */
export function jsonLinesFormat(plan: RowPlan): RowFormat {
  const root = pathTree(plan.fields, plan.versionFields)

  const rowOf = (place: Place, line: string): Row => {
    const { values, versions, fault } = new LineReader(line, place.start, plan).read(root)
    if (fault !== undefined) return faultyRow(place, 1, fault)
    const nowhere = { start: place.start, end: place.start }
    for (const [i, value] of values.entries()) {
      if (value?.value === undefined && !plan.keepEmpty) {
        const got = value === undefined ? 'null, or no such member' : 'an empty string'
        return faultyRow(place, 1, emptyFault(plan.fields[i] ?? '', got))
      }
    }
    const anyValue = values.some((value) => value?.value !== undefined)
    for (const [i, version] of versions.entries()) {
      if (version === undefined && anyValue) {
        return faultyRow(place, 1, {
          message: 'there is no object to hold the key version',
          expected: 'the object on its path',
          field: plan.versionFields[i] ?? '',
        })
      }
    }
    return {
      start: place.start,
      end: place.end,
      lines: 1,
      values: values.map((value) => value ?? { ...nowhere, value: undefined }),
      versions: versions.map(
        (version) => version ?? { ...nowhere, version: undefined, before: '', none: '' },
      ),
    }
  }

  return {
    next(text, at, last) {
      const lineFeed = text.indexOf('\n', at)
      if (lineFeed < 0 && !last) return undefined
      const end = lineFeed < 0 ? text.length : lineFeed + 1
      const place = { start: at, end }
      const line = text.slice(at, lineFeed < 0 ? end : lineFeed)
      if (line === '' || line === '\r') return literalRow(place, 1, text.slice(at, end))
      // High bytes are valid in strings only, whatever they stand for, so the bytes can be checked as they are.
      if (!isJson(line)) {
        return faultyRow(place, 1, {
          message: 'not valid JSON',
          expected: 'one JSON object a line',
        })
      }
      return rowOf(place, line)
    },
    spell: (value) => encodeBytes(JSON.stringify(value)),
  }
}
