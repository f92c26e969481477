/**
 * JSON Lines: one JSON object (RFC 8259) a line, read by place, so that number spellings, spaces, order and
 * escapes of all but the named members stay. `JSON.parse` decides what is valid; jsonc-parser's scanner says
 * where it stands (210 and 138 MB/s alone; about 40 for the whole way through the stream).
 *
 * Keys on the way to a value must be there once: with a second `pan` in an object, other readers would see
 * the one that was not encrypted. A new value is spelled with the fewest escapes (RFC 8785 §3.2.2.2).
 */
import { type JSONScanner, createScanner } from 'jsonc-parser'

import { type PathNode, pathTree } from './json-path.ts'
import {
  type RowFault,
  type RowFormat,
  type RowPlan,
  type RowSlots,
  decodeBytes,
  emptyFault,
  encodeBytes,
  leftOutFault,
  parseVersion,
  rowSlots,
  tweakFault,
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
  return /[\\\u0080-\u00ff]/.test(inside) ? (JSON.parse(decodeBytes(token)) as string) : inside
}

/** A version member that was met, and the end of the member before it. */
interface VersionMember {
  readonly node: PathNode
  readonly start: number
  readonly end: number
  readonly previousEnd: number
}

const NO_PLAN: RowPlan = {
  task: 'encrypt',
  fields: [],
  versionFields: [],
  tweakFields: [],
  leftOut: [],
  versionsMayLack: false,
  keepEmpty: false,
}

/** Finds the members of a plan in lines that are known to be valid JSON. */
class MemberFinder {
  readonly #plan: RowPlan
  readonly #root: PathNode
  #text = ''
  #scanner: JSONScanner = createScanner('', true)
  #row = 0
  #slots: RowSlots = rowSlots(NO_PLAN)
  #fault: RowFault | undefined
  /** Path of a member that must not be there, as far as versions change. */
  leftOut: string | undefined

  constructor(plan: RowPlan) {
    this.#plan = plan
    this.#root = pathTree(plan)
  }

  /** Fills the slots from the line at `at`; places of what is not there are -1. */
  find(slots: RowSlots, text: string, at: number): RowFault | undefined {
    if (text !== this.#text) {
      this.#text = text
      this.#scanner = createScanner(text, true)
    }
    this.#row += 1
    this.#slots = slots
    this.#fault = undefined
    this.leftOut = undefined
    slots.values.fill(undefined)
    slots.versions.fill(undefined)
    slots.tweaks.fill(undefined)
    slots.starts.fill(-1)
    slots.ends.fill(-1)
    this.#scanner.setPosition(at)
    const token: number = this.#scanner.scan()
    if (token === TOKEN.openBrace) this.#object(this.#root)
    else {
      this.#refuse({
        message: 'the line is not a JSON object',
        expected: 'an object',
        got: KINDS[token] ?? 'something else',
      })
    }
    return this.#fault
  }

  #token(): string {
    const at = this.#scanner.getTokenOffset()
    return this.#text.slice(at, at + this.#scanner.getTokenLength())
  }

  #refuse(fault: RowFault): void {
    this.#fault ??= fault
  }

  /** The object whose brace was just read; ends after its closing brace. */
  #object(node: PathNode): void {
    const scanner = this.#scanner
    const opened = scanner.getPosition()
    let [end, lastOther, versions] = [opened, -1, undefined as VersionMember[] | undefined]
    let token: number = scanner.scan()
    while (token !== TOKEN.closeBrace) {
      const child = node.children.get(stringOf(this.#token()))
      const keyAt = scanner.getTokenOffset()
      scanner.scan() // the colon
      token = scanner.scan()
      const start = scanner.getTokenOffset()
      if (child === undefined) this.#skip(token)
      else this.#member(child, token, start)
      const previousEnd = end
      end = scanner.getPosition()
      if (child?.leaf?.kind === 'version') {
        versions = [...(versions ?? []), { node: child, start, end, previousEnd }]
      } else {
        lastOther = keyAt
      }
      token = scanner.scan()
      if (token === TOKEN.comma) token = scanner.scan()
    }
    if (node.hasVersions) this.#versions(node, versions ?? [], lastOther, { opened, end })
  }

  /** The value whose first token was just read; ends after its last token. */
  #skip(first: number): void {
    if (first !== TOKEN.openBrace && first !== TOKEN.openBracket) return
    for (let depth = 1; depth > 0;) {
      const token: number = this.#scanner.scan()
      if (token === TOKEN.openBrace || token === TOKEN.openBracket) depth += 1
      else if (token === TOKEN.closeBrace || token === TOKEN.closeBracket) depth -= 1
    }
  }

  #member(node: PathNode, token: number, start: number): void {
    if (node.seen === this.#row) {
      this.#refuse({
        message: 'a key is there twice',
        expected: 'one member of that name in the object',
        hint: 'readers differ in which one they take',
        field: node.path,
      })
    }
    node.seen = this.#row
    const { leaf } = node
    if (leaf === undefined && token === TOKEN.openBrace) {
      this.#object(node)
      return
    }
    if (token !== TOKEN.null) {
      if (leaf === undefined) this.#refuse(wrongKind(node, token, 'an object'))
      else if (leaf.kind === 'version') this.#version(node, leaf.index, token)
      else if (leaf.kind === 'tweak') this.#tweak(node, leaf.index, token)
      else if (leaf.kind === 'left out') this.leftOut = node.path
      else if (token === TOKEN.string) this.#value(leaf.index, start)
      else this.#refuse(wrongKind(node, token, 'a string'))
    }
    this.#skip(token)
  }

  #value(index: number, start: number): void {
    const { values, starts, ends } = this.#slots
    const text = this.#token()
    // An empty string is kept or refused like a missing one.
    values[index] = stringOf(text) || undefined
    starts[index] = start
    ends[index] = start + text.length
  }

  /** A number is bound as it is spelled. */
  #tweak(node: PathNode, index: number, token: number): void {
    const text = this.#token()
    if (token === TOKEN.string) this.#slots.tweaks[index] = stringOf(text)
    else if (token === TOKEN.number) this.#slots.tweaks[index] = text
    else this.#refuse(wrongKind(node, token, 'a string or a number'))
  }

  #version(node: PathNode, index: number, token: number): void {
    const version = token === TOKEN.number ? parseVersion(this.#token()) : undefined
    const fault = versionFault(this.#plan.task, node.path, false, version)
    if (fault !== undefined) this.#refuse(fault)
    this.#slots.versions[index] = version
  }

  /** Where the versions of this object stand, are added, or go away. */
  #versions(
    node: PathNode,
    met: readonly VersionMember[],
    lastOther: number,
    { opened, end }: { readonly opened: number; readonly end: number },
  ): void {
    const { before, none, starts, ends } = this.#slots
    for (const child of node.children.values()) {
      if (child.leaf?.kind !== 'version') continue
      const { index } = child.leaf
      const slot = this.#plan.fields.length + index
      const member = met.find((one) => one.node === child)
      before[index] = none[index] = ''
      if (member === undefined) {
        before[index] = end === opened ? child.spelled : `,${child.spelled}`
        starts[slot] = ends[slot] = end
        continue
      }
      const goes = this.#plan.task === 'decrypt' && member.start > lastOther
      starts[slot] = goes ? member.previousEnd : member.start
      ends[slot] = member.end
      if (this.#plan.task === 'rewrap') none[index] = this.#text.slice(member.start, member.end)
      else if (!goes) none[index] = 'null'
    }
  }
}

const wrongKind = (node: PathNode, token: number, expected: string): RowFault => ({
  message:
    node.leaf?.kind === 'value'
      ? 'the value is no string'
      : 'a member of the row is of the wrong kind',
  expected,
  got: KINDS[token] ?? 'something else',
  field: node.path,
  ...(token === TOKEN.number && node.leaf?.kind === 'value'
    ? { hint: 'put the number in quotes: leading zeros and long numbers do not survive as numbers' }
    : {}),
})

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
  const finder = new MemberFinder(plan)

  const faultOf = (row: RowSlots, text: string, at: number): RowFault | undefined => {
    const fault = finder.find(row, text, at)
    if (fault !== undefined) return fault
    const { leftOut } = finder
    if (leftOut !== undefined) {
      const versioned = row.versions.some((version) => version !== undefined)
      if (plan.task !== 'decrypt' || versioned) return leftOutFault(leftOut)
    }
    let anyValue = false
    for (let i = 0; i < plan.fields.length; i += 1) {
      if (row.values[i] !== undefined) anyValue = true
      else if (!plan.keepEmpty) {
        const got = (row.starts[i] ?? -1) < 0 ? 'null, or no such member' : 'an empty string'
        return emptyFault(plan.fields[i] ?? '', got)
      }
    }
    for (const [t, tweak] of row.tweaks.entries()) {
      if (tweak === undefined || tweak === '') return tweakFault(plan.tweakFields[t] ?? '')
    }
    for (let v = 0; v < plan.versionFields.length; v += 1) {
      if ((row.starts[plan.fields.length + v] ?? -1) >= 0) continue
      if (anyValue) {
        return {
          message: 'there is no object to hold the key version',
          expected: 'the object on its path',
          field: plan.versionFields[v] ?? '',
        }
      }
      // Nothing to write, nowhere.
      row.starts[plan.fields.length + v] = row.ends[plan.fields.length + v] = at
      row.none[v] = ''
    }
    return undefined
  }

  return {
    next(row, text, at, last) {
      const lineFeed = text.indexOf('\n', at)
      if (lineFeed < 0 && !last) return false
      row.end = lineFeed < 0 ? text.length : lineFeed + 1
      const line = text.slice(at, lineFeed < 0 ? row.end : lineFeed)
      row.literal = line === '' || line === '\r' ? text.slice(at, row.end) : undefined
      row.fault = undefined
      if (row.literal !== undefined) return true
      // High bytes are valid in strings only, whatever they stand for: the bytes can be checked as they are.
      row.fault = isJson(line)
        ? faultOf(row, text, at)
        : { message: 'not valid JSON', expected: 'one JSON object a line' }
      return true
    },
    spell: (value) => encodeBytes(JSON.stringify(value)),
  }
}
