/**
 * Values described part by part: literals, separators, encrypted and kept characters, as in "A123456" or
 * "INV-2024-00017". Nothing passes through that is not declared, at the place where it is declared.
 * Characters are UTF-16 units; the format text takes alphabets of any graphemes.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { type Format, onlyOptions, optionCount, wrongLength } from './format.ts'
import { type Cell, type CharacterClass, type Layout, type Placed } from './layout.ts'
import { characterClass, keepEnds, layoutOf, place, replaced, textOf } from './layout.ts'
import type { Alphabet } from './types.ts'

/** How many characters a part has: a number, or [fewest, most] for one part of a template. */
export type PartLength = number | readonly [number, number]

/** A part of a template. */
export type TemplatePart =
  /** Text that is always there, exactly so. Not data: not bound into the tweak. */
  | { readonly literal: string }
  /** Text that is there together with all other separators of the template, or not at all. Not data. */
  | { readonly separator: string }
  | { readonly encrypt: { readonly alphabet: Alphabet; readonly length: PartLength } }
  /** Data that stay, bound into the tweak. */
  | { readonly keep: { readonly alphabet: Alphabet | 'any'; readonly length: PartLength } }

/** Options of {@link template}. */
export interface TemplateOptions {
  readonly parts: readonly TemplatePart[]
  /** Characters kept at either end, counted over encrypted and kept parts together. Default 0. */
  readonly keepFirst?: number
  readonly keepLast?: number
}

/** Longest value of any format, in UTF-16 units: bounds what one bad row can cost. */
export const MAX_TEXT = 4096

/** Forms kept for values to come; a column with thousands of lengths must not fill the memory with them. */
const KEPT_FORMS = 256

interface Span {
  readonly cell: Cell
  readonly min: number
  readonly max: number
}

interface CompiledPart {
  /** Literal or separator, character by character; or a span of one cell repeated. */
  readonly fixed?: readonly Cell[]
  readonly separator: boolean
  readonly span?: Span
}

interface Form {
  readonly layout: Layout
  /** The separators among the layout's fixed characters. */
  readonly separators: Layout['fixed']
}

/** Alphabets become classes once, so that equal alphabets are equal classes. */
function compile(parts: readonly TemplatePart[]): CompiledPart[] {
  const classes = new Map<string, CharacterClass>()
  const classOf = ({ id, symbols }: Alphabet): CharacterClass => {
    const known = classes.get(id) ?? characterClass(`alphabet ${id}`, symbols)
    classes.set(id, known)
    return known
  }
  return parts.map((part, index): CompiledPart => {
    const where = `template.parts[${index}]`
    onlyOptions('template', part, ['literal', 'separator', 'encrypt', 'keep'])
    if ('literal' in part || 'separator' in part) {
      const text = 'literal' in part ? part.literal : part.separator
      if (text === '' || !text.isWellFormed()) {
        throw new ConfigError('a literal or separator has no text', { where })
      }
      return {
        separator: 'separator' in part,
        fixed: Array.from({ length: text.length }, (_, at) => ({
          role: 'fixed',
          character: text.charAt(at),
        })),
      }
    }
    const { alphabet, length } = 'encrypt' in part ? part.encrypt : part.keep
    const ends = typeof length === 'number' ? ([length, length] as const) : length
    const min = optionCount(
      `${where}.length`,
      ends[0],
      [typeof length === 'number' ? 1 : 0, MAX_TEXT],
      1,
    )
    const max = optionCount(`${where}.length`, ends[1], [min, MAX_TEXT], min)
    const of = alphabet === 'any' ? undefined : classOf(alphabet)
    const cell: Cell =
      'encrypt' in part && of !== undefined ? { role: 'encrypt', of } : { role: 'keep', of }
    return { separator: false, span: { cell, min, max } }
  })
}

/** A text must be read the same way before and after: no encrypted place may become a separator. */
function refuseAmbiguous(parts: readonly CompiledPart[]): void {
  if (parts.filter(({ span }) => span !== undefined && span.min !== span.max).length > 1) {
    throw new ConfigError('a template has more than one part of variable length', {
      where: 'template.parts',
      hint: 'where one part ends and the next begins must be certain',
    })
  }
  for (const { separator, fixed = [] } of parts) {
    if (!separator) continue
    for (const cell of fixed) {
      const code = cell.role === 'fixed' ? cell.character.charCodeAt(0) : -1
      const clash = parts.find(
        ({ span }) => span?.cell.role === 'encrypt' && (span.cell.of.numerals[code] ?? -1) >= 0,
      )
      if (clash !== undefined) {
        throw new ConfigError('a separator is also a symbol of an encrypted part', {
          where: 'template.parts',
          expected: 'separators whose characters are in no encrypted alphabet',
        })
      }
    }
  }
}

const total = (parts: readonly CompiledPart[], end: 'min' | 'max', separated: boolean): number =>
  parts.reduce((sum, { fixed, separator, span }) => {
    if (span !== undefined) return sum + span[end]
    return separator && !separated ? sum : sum + (fixed?.length ?? 0)
  }, 0)

/**
 * A format described by parts.
 * @throws ConfigError when no part is encrypted, or the parts cannot be told apart in every text.
 */
export function template(options: TemplateOptions): Format {
  onlyOptions('template', options, ['parts', 'keepFirst', 'keepLast'])
  const parts = compile(options.parts)
  refuseAmbiguous(parts)
  const keepFirst = optionCount('template.keepFirst', options.keepFirst, [0, MAX_TEXT], 0)
  const keepLast = optionCount('template.keepLast', options.keepLast, [0, MAX_TEXT], 0)
  const separated = parts.some(({ separator }) => separator)

  /** The form of texts of one length, with separators or without. */
  const build = (length: number, withSeparators: boolean): Form | undefined => {
    const spare = length - total(parts, 'min', withSeparators)
    if (spare < 0 || length > total(parts, 'max', withSeparators)) return undefined
    const cells: Cell[] = []
    const separators: number[] = []
    for (const { fixed = [], separator, span } of parts) {
      if (separator && !withSeparators) continue
      for (const cell of fixed) {
        if (separator) separators.push(cells.length)
        cells.push(cell)
      }
      const count = span === undefined ? 0 : span.min + (span.min === span.max ? 0 : spare)
      for (let i = 0; i < count; i++) if (span !== undefined) cells.push(span.cell)
    }
    const layout = layoutOf(keepEnds(cells, keepFirst, keepLast))
    return { layout, separators: layout.fixed.filter(([at]) => separators.includes(at)) }
  }
  const caches = [new Map<number, Form | null>(), new Map<number, Form | null>()] as const
  const formFor = (length: number, withSeparators: boolean): Form | undefined => {
    const cache = caches[withSeparators ? 1 : 0]
    let form = cache.get(length)
    if (form === undefined) {
      form = build(length, withSeparators) ?? null
      if (cache.size >= KEPT_FORMS) cache.clear()
      cache.set(length, form)
    }
    return form ?? undefined
  }
  const [shortest, longest] = [total(parts, 'min', false), total(parts, 'max', false)]
  if (longest > MAX_TEXT) {
    throw new ConfigError('a template is too long', {
      where: 'template.parts',
      expected: `at most ${MAX_TEXT} characters together`,
    })
  }
  const [smallest = 1n, largest = 1n] = [shortest, longest].map(
    (length) => formFor(length, false)?.layout.domain.size ?? 1n,
  )
  if (largest === 1n) {
    throw new ConfigError('a template encrypts nothing', { where: 'template' })
  }
  const range = shortest === longest ? `${shortest}` : `${shortest} to ${longest}`
  const format: Format<Placed> = {
    describe: `template of ${range} characters`,
    smallest,
    largest,
    parse(text) {
      // With separators when all of them stand where they would; they are no symbols, so the result is read alike.
      const grouped = separated ? formFor(text.length, true) : undefined
      const isGrouped = grouped?.separators.every(([at, code]) => text.charCodeAt(at) === code)
      const form = isGrouped === true ? grouped : (formFor(text.length, false) ?? grouped)
      if (form === undefined) {
        throw wrongLength(text.length, `${range} characters, separators not counted`)
      }
      const placed = place(form.layout, text)
      if (!placed.clear.every((part) => part.isWellFormed())) {
        throw new FpeError('FORMAT_MISMATCH', 'a kept part begins or ends within a character')
      }
      return placed
    },
    rebuild: (value, numerals) => textOf(replaced(value, numerals)),
  }
  return format
}
