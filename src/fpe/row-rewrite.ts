/** A batch of rows with new values in the places of the old ones. */
import { FormatError, FpeError } from '../errors.ts'
import type { RowBatch } from './row-batch.ts'
import type { Row, RowFault, RowFormat, RowPlan, Task } from './row.ts'
import type { Column, EachOptions } from './types.ts'

/** A row that was left out. Never holds a value. */
export interface BadRow {
  /** Line its first byte stands in, from 1. */
  readonly line: number
  /** Column or field; undefined: the row as a whole. */
  readonly column: string | undefined
  /** Of the error that `stop` would have thrown. */
  readonly code: string
  readonly message: string
}

/** A column with the place of its version in {@link RowPlan.versionFields}. */
export interface PlannedColumn {
  readonly column: Column
  readonly version: number | undefined
}

/** What a whole stream is done with. */
export interface RewritePlan {
  readonly task: Task
  readonly format: RowFormat
  readonly rows: RowPlan
  readonly columns: readonly PlannedColumn[]
  readonly fromVersion: number | undefined
  readonly stop: boolean
  readonly signal: AbortSignal
}

/** Values of one column in one batch, and the rows they are from. */
interface Work {
  readonly rows: number[]
  readonly values: string[]
  readonly versions: number[]
  /** How many results were used. */
  used: number
}

/** Why a row is left out: a fault of its form, or what a column said about a value. */
type Blame = { readonly fault: RowFault } | { readonly error: FpeError; readonly column: string }

const noVersion = (field: string | number | undefined): RowFault => ({
  message: 'there is no key version beside the value',
  expected: 'a whole number from 1',
  got: 'nothing',
  hint: 'was this row encrypted?',
  ...(field === undefined ? {} : { field }),
})

const unspellable = (field: string | number | undefined): RowFault => ({
  message: 'the new value does not fit this file format',
  expected: 'a value without line breaks',
  hint: 'take line breaks out of the alphabet, or use CSV or JSON Lines',
  ...(field === undefined ? {} : { field }),
})

function nameOf({ rows, columns }: RewritePlan, blame: Blame): string | undefined {
  if ('error' in blame) return blame.column
  const { field } = blame.fault
  if (field === undefined) return undefined
  return columns[rows.fields.indexOf(field)]?.column.name ?? String(field)
}

function errorOf(plan: RewritePlan, blame: Blame, line: number): FormatError | FpeError {
  const name = nameOf(plan, blame)
  const where = name === undefined ? `line ${line}` : `line ${line}, column ${name}`
  if ('fault' in blame) {
    const { message, expected, got, hint } = blame.fault
    return new FormatError(message, { where, expected, got, hint })
  }
  const { code, message, expected, got, hint } = blame.error
  return new FpeError(code, message, { where, expected, got, hint })
}

/** Takes the values of a row; a fault where its key version is missing. */
function gather(
  plan: RewritePlan,
  works: readonly Work[],
  row: Row,
  index: number,
): Blame | undefined {
  const versionOf = (field: number | undefined): number | undefined =>
    field === undefined ? plan.fromVersion : row.versions[field]?.version
  for (const [c, { version: field }] of plan.columns.entries()) {
    if (plan.task === 'encrypt' || field === undefined || row.values[c]?.value === undefined)
      continue
    if (versionOf(field) === undefined) return { fault: noVersion(plan.rows.versionFields[field]) }
  }
  for (const [c, { version: field }] of plan.columns.entries()) {
    const work = works[c]
    const value = row.values[c]?.value
    if (work === undefined || value === undefined) continue
    const version = plan.task === 'encrypt' ? undefined : versionOf(field)
    if (version !== undefined) work.versions.push(version)
    work.values.push(value)
    work.rows.push(index)
  }
  return undefined
}

function run(plan: RewritePlan, column: Column, work: Work): Promise<(string | FpeError)[]> {
  const { task, signal } = plan
  const { values, versions } = work
  if (values.length === 0) return Promise.resolve([])
  const options: EachOptions = { signal, ...(versions.length > 0 ? { versions } : {}) }
  if (task === 'encrypt') return column.encryptEach(values, options)
  return task === 'decrypt'
    ? column.decryptEach(values, options)
    : column.rewrapEach(values, options)
}

/** Bytes of a row that become others. */
interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** The edits of a row in order of place, or why there are none. */
function editsOf(
  plan: RewritePlan,
  text: string,
  row: Row,
  index: number,
  works: readonly Work[],
  results: readonly (readonly (string | FpeError)[])[],
): Edit[] | Blame {
  const edits: Edit[] = []
  const written = new Map<number, number>()
  let blame: Blame | undefined
  for (const [c, { column, version }] of plan.columns.entries()) {
    const work = works[c]
    const place = row.values[c]
    if (place?.value === undefined) continue
    const result = work?.rows[work.used] === index ? results[c]?.[work.used] : undefined
    // Going on would let a value out as it is.
    if (work === undefined || result === undefined) throw new TypeError('a column lost a value')
    work.used += 1
    if (typeof result !== 'string') {
      blame ??= { error: result, column: column.name }
      continue
    }
    const spelled = plan.format.spell(result, text, place)
    if (spelled === undefined) blame ??= { fault: unspellable(plan.rows.fields[c]) }
    else edits.push({ start: place.start, end: place.end, text: spelled })
    if (version !== undefined) written.set(version, column.currentVersion)
  }
  if (blame !== undefined) return blame
  for (const [v, place] of row.versions.entries()) {
    const version = plan.task === 'decrypt' ? undefined : written.get(v)
    const spelled = version === undefined ? place.none : `${place.before}${version}`
    edits.push({ start: place.start, end: place.end, text: spelled })
  }
  return edits.length > 1 ? edits.sort((a, b) => a.start - b.start) : edits
}

/** What became of a batch. */
export interface Rewritten {
  readonly bytes: Uint8Array
  /** Rows with values, bad ones included. */
  readonly rows: number
  readonly values: number
  readonly badRows: readonly BadRow[]
}

/** Sends the values of a batch to their columns. @throws under `stop` the error of the first bad row; what the columns throw. */
export async function rewriteBatch(plan: RewritePlan, batch: RowBatch): Promise<Rewritten> {
  const { rows, text } = batch
  const works: Work[] = plan.columns.map(() => ({ rows: [], values: [], versions: [], used: 0 }))
  const blames = new Map<number, Blame>()
  for (const [i, row] of rows.entries()) {
    if (row.literal !== undefined) continue
    const blame = row.fault === undefined ? gather(plan, works, row, i) : { fault: row.fault }
    if (blame !== undefined) blames.set(i, blame)
  }
  const results = await Promise.all(
    works.map((work, c) => run(plan, (plan.columns[c] as PlannedColumn).column, work)),
  )

  const out: string[] = [batch.before]
  const badRows: BadRow[] = []
  let [copied, line, count, values] = [rows[0]?.start ?? 0, batch.line, 0, 0]
  for (const [i, row] of rows.entries()) {
    if (row.literal !== undefined) {
      out.push(text.slice(copied, row.start), row.literal)
      copied = row.end
    } else {
      count += 1
      const edits = blames.get(i) ?? editsOf(plan, text, row, i, works, results)
      if (Array.isArray(edits)) {
        for (const edit of edits) {
          out.push(text.slice(copied, edit.start), edit.text)
          copied = edit.end
        }
        values += edits.length - row.versions.length
      } else {
        const error = errorOf(plan, edits, line)
        if (plan.stop) throw error
        const { code, message } = error
        badRows.push({ line, column: nameOf(plan, edits), code, message })
        out.push(text.slice(copied, row.start))
        copied = row.end
      }
    }
    line += row.lines
  }
  out.push(text.slice(copied, rows.at(-1)?.end ?? copied))
  return { bytes: Buffer.from(out.join(''), 'latin1'), rows: count, values, badRows }
}
