/**
 * YAML as a reviewed document: YAML 1.2 core schema, one document, and nothing in it that a reader could
 * overlook. Anchors, aliases, tags, directives, duplicate keys, invisible and text-reordering characters
 * are errors, so what is read on paper is what is run.
 */
import {
  LineCounter,
  isAlias,
  isCollection,
  isPair,
  isScalar,
  parseAllDocuments,
  visit,
} from 'yaml'
import type * as z from 'zod'

import { ConfigError } from '../errors.ts'
import { type SourceMap, type SourcePath, place, sourceMap } from './source-map.ts'

/** Larger files are not plans. */
const MAX_CHARACTERS = 256 * 1024

/**
 * C0 and C1 controls but tab and newline, soft hyphen, zero-width space, bidirectional marks, embeddings
 * and isolates (Unicode TR 36 §3.5 and CVE-2021-42574), line separators, BOM, tag characters; whatever
 * Unicode draws as nothing (Default_Ignorable_Code_Point: joiners, fillers, variation selectors), and
 * spaces that are not the space (Zs, and the blank of Braille).
 */
const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\u2800\p{DI}]|(?! )\p{Zs}/u

/** A parsed file: plain values and where they stand. */
export interface YamlFile {
  readonly value: unknown
  readonly source: SourceMap
}

function codePoint(text: string, at: number): string {
  return `U+${(text.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
}

function refuseInvisible(text: string, where: (offset: number) => string): void {
  const at = text.search(INVISIBLE)
  if (at < 0 && text.isWellFormed()) return
  throw new ConfigError('the text holds a character that is invisible or reorders text', {
    where: where(Math.max(at, 0)),
    expected: 'visible characters, tab and newline',
    got: at < 0 ? 'a lone surrogate' : codePoint(text, at),
    hint: 'delete the character; a reviewer cannot see it',
  })
}

/** Parses strictly; throws {@link ConfigError} with `file:line:column`. */
export function readYaml(text: string, file: string): YamlFile {
  const start = `${file}:1:1`
  if (text.length > MAX_CHARACTERS) {
    throw new ConfigError('the file is too large', {
      where: start,
      expected: `at most ${MAX_CHARACTERS} characters`,
      got: `${text.length}`,
    })
  }
  const lines = new LineCounter()
  const documents = parseAllDocuments(text.replaceAll('\r\n', '\n'), {
    version: '1.2',
    schema: 'core',
    strict: true,
    uniqueKeys: true,
    stringKeys: true,
    merge: false,
    resolveKnownTags: false,
    prettyErrors: false,
    lineCounter: lines,
  })
  const where = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`
  }
  refuseInvisible(text.replaceAll('\r\n', '\n'), where)
  const [document, second] = 'empty' in documents ? [] : documents
  if (document === undefined || document.contents === null) {
    throw new ConfigError('the file is empty', { where: start, expected: 'a YAML mapping' })
  }
  if (second !== undefined) {
    throw new ConfigError('the file holds more than one YAML document', {
      where: where(second.range[0]),
      expected: 'one document, no --- separators',
    })
  }
  const fault = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0])[0]
  if (fault !== undefined) {
    throw new ConfigError(`not strict YAML 1.2: ${fault.message}`, { where: where(fault.pos[0]) })
  }
  const refuse = (got: string, offset: number | undefined): never => {
    throw new ConfigError(`${got} is not allowed here`, {
      where: where(offset ?? 0),
      expected: 'plain mappings, lists and scalars',
      hint: 'write the value out: the reviewed text must be the whole text',
    })
  }
  if (document.directives.docStart === true && /^%/m.test(text.slice(0, document.range[0]))) {
    refuse('a YAML directive', 0)
  }
  visit(document, (_key, node) => {
    if (isPair(node) && isScalar(node.key) && node.key.value === '__proto__') {
      refuse('the key __proto__', node.key.range?.[0])
    }
    if (isAlias(node)) refuse('a YAML alias', node.range?.[0])
    if (!isScalar(node) && !isCollection(node)) return
    if (node.anchor !== undefined) refuse('a YAML anchor', node.range?.[0])
    if (node.tag !== undefined) refuse('a YAML tag', node.range?.[0])
    if (isScalar(node) && typeof node.value === 'string') {
      refuseInvisible(node.value, () => where(node.range?.[0] ?? 0))
    }
  })
  return { value: document.toJS() as unknown, source: sourceMap(file, document, lines) }
}

/** One thing that is wrong, by path. */
export interface Problem {
  readonly path: SourcePath
  readonly message: string
  /** The fault is the entry's key, not its value. */
  readonly atKey?: boolean
  /** Nothing stands there; told after the faults that can be pointed at. */
  readonly missing?: boolean
}

/** What a zod issue means, one problem per unknown key. */
export function problems(error: z.ZodError, base: SourcePath = []): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    const path = [...base, ...(issue.path as (string | number)[])]
    if (issue.code !== 'unrecognized_keys') {
      const missing = issue.message.endsWith('received undefined')
      return [missing ? { path, message: 'is missing', missing } : { path, message: issue.message }]
    }
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `unknown key ${JSON.stringify(key)}`,
      atKey: true,
    }))
  })
}

/** `steps[3].with.key`, the way people write a path. */
export const pathText = (path: SourcePath): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`,
    '',
  )

/** Throws {@link ConfigError}: the first problem in the file's order, the others in the hint; missing parts last. */
export function refuseProblems(found: readonly Problem[], what: string, source: SourceMap): never {
  const lines = found
    .map((problem) => ({
      ...problem,
      position: problem.atKey === true ? source.keyAt(problem.path) : source.at(problem.path),
    }))
    .sort(
      ({ position: a, missing: m = false }, { position: b, missing: n = false }) =>
        Number(m) - Number(n) || a.line - b.line || a.column - b.column,
    )
    .map(({ position, path, message }) => ({
      where: place(source, position),
      message: path.length === 0 ? message : `${pathText(path)}: ${message}`,
    }))
  const [first, ...others] = lines
  throw new ConfigError(`${what} is not valid: ${first?.message ?? 'unknown fault'}`, {
    where: first?.where ?? source.file,
    hint:
      others.length === 0
        ? undefined
        : others.map(({ where, message }) => `also ${where} ${message}`).join('; '),
  })
}

/** The value as the schema reads it, or {@link ConfigError} naming every fault. */
export function checkShape<Schema extends z.ZodType>(
  schema: Schema,
  { value, source }: YamlFile,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value)
  return result.success ? result.data : refuseProblems(problems(result.error), what, source)
}
