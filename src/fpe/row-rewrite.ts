/** A batch of rows with new values in the places of the old ones. */
import { FormatError, FpeError } from '../errors.ts'
import type { RowBatch } from './row-batch.ts'
import type { RowFault, RowFormat, RowPlan, Task } from './row.ts'
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
  /** Index of its part of the tweak in {@link RowPlan.tweakFields}. */
  readonly tweak: number | undefined
}

/** What a whole stream is done with. */
export interface RewritePlan {
  readonly task: Task
  readonly format: RowFormat
  readonly rows: RowPlan
  readonly columns: readonly PlannedColumn[]
  /** Version of values that have none beside them. */
  readonly fromVersion: number | undefined
  readonly stop: boolean
  readonly signal: AbortSignal
}

/** Values of one column in one batch, and the rows they are from. Every one gets a result. */
interface Work {
  readonly rows: number[]
  readonly values: string[]
  readonly versions: number[]
  readonly tweaks: string[]
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

/** Takes the values of the batch by column; a blame for rows whose key version is missing. */
function gather(plan: RewritePlan, batch: RowBatch): { works: Work[]; blames: Map<number, Blame> } {
  const works: Work[] = plan.columns.map(() => ({
    rows: [],
    values: [],
    versions: [],
    tweaks: [],
    used: 0,
  }))
  const blames = new Map<number, Blame>()
  for (const [i, row] of batch.special) if ('fault' in row) blames.set(i, row)
  const blameVersion = (i: number, v: number): void => {
    if (!blames.has(i)) blames.set(i, { fault: noVersion(plan.rows.versionFields[v]) })
  }
  for (const [c, { version: v }] of plan.columns.entries()) {
    if (plan.task === 'encrypt' || v === undefined || plan.fromVersion !== undefined) continue
    for (let i = 0; i < batch.count; i += 1) {
      if (batch.values[c]?.[i] === undefined || batch.special.has(i)) continue
      if (batch.versions[v]?.[i] === undefined) blameVersion(i, v)
    }
  }
  for (const [c, { version: v, tweak: t }] of plan.columns.entries()) {
    const { rows, values, versions, tweaks } = works[c] as Work
    const found = v === undefined ? undefined : batch.versions[v]
    for (let i = 0; i < batch.count; i += 1) {
      const value = batch.values[c]?.[i]
      if (value === undefined || batch.special.has(i) || blames.has(i)) continue
      const version = found?.[i] ?? plan.fromVersion
      if (plan.task !== 'encrypt' && version !== undefined) versions.push(version)
      if (t !== undefined) tweaks.push(batch.tweaks[t]?.[i] ?? '')
      values.push(value)
      rows.push(i)
    }
  }
  return { works, blames }
}

function run(plan: RewritePlan, column: Column, work: Work): Promise<(string | FpeError)[]> {
  const { task, signal } = plan
  const { values, versions, tweaks } = work
  if (values.length === 0) return Promise.resolve([])
  const options: EachOptions = {
    signal,
    ...(versions.length > 0 ? { versions } : {}),
    ...(tweaks.length > 0 ? { rowTweaks: tweaks } : {}),
  }
  if (task === 'encrypt') return column.encryptEach(values, options)
  return task === 'decrypt'
    ? column.decryptEach(values, options)
    : column.rewrapEach(values, options)
}

/** Up to so many bytes a loop is faster than a call. */
const SHORT = 64

/** Output that grows. Rows are too small for a copy call each. */
class Bytes {
  #buffer: Uint8Array
  #length = 0

  constructor(size: number) {
    this.#buffer = new Uint8Array(size)
  }

  #make(room: number): void {
    if (this.#length + room <= this.#buffer.length) return
    const grown = new Uint8Array(2 * (this.#length + room))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer.fill(0)
    this.#buffer = grown
  }

  copy(from: Uint8Array, start: number, end: number): void {
    this.#make(end - start)
    if (end - start > SHORT) this.#buffer.set(from.subarray(start, end), this.#length)
    else for (let i = start, to = this.#length; i < end; i += 1) this.#buffer[to++] = from[i] ?? 0
    this.#length += end - start
  }

  /** Text with one character for each byte. */
  text(text: string): void {
    this.#make(text.length)
    for (let i = 0; i < text.length; i += 1) this.#buffer[this.#length + i] = text.charCodeAt(i)
    this.#length += text.length
  }

  get taken(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
}

/** Replaces what changes in one row after the other. */
class RowWriter {
  readonly #plan: RewritePlan
  readonly #batch: RowBatch
  /** By slot: the new text, or undefined where nothing changes. */
  readonly #fresh: (string | undefined)[]
  readonly #order: number[]
  readonly #written: (number | undefined)[]
  #copied: number
  readonly bytes: Bytes
  values = 0

  constructor(plan: RewritePlan, batch: RowBatch) {
    this.#plan = plan
    this.#batch = batch
    this.#fresh = batch.placeStarts.map(() => undefined)
    this.#order = batch.placeStarts.map((_, slot) => slot)
    this.#written = plan.rows.versionFields.map(() => undefined)
    this.#copied = batch.starts[0] ?? batch.bomBytes
    const size = (batch.ends.at(-1) ?? 0) - this.#copied
    this.bytes = new Bytes(batch.bomBytes + size + batch.count * 4 + 64)
    this.bytes.copy(batch.block, 0, batch.bomBytes)
  }

  /** Copies what stays as it is, up to `place`. */
  #copyTo(place: number): void {
    if (place > this.#copied) this.bytes.copy(this.#batch.block, this.#copied, place)
    this.#copied = place
  }

  /** The row goes out as other text. */
  replace(row: number, text: string): void {
    this.#copyTo(this.#batch.starts[row] ?? 0)
    this.bytes.text(text)
    this.#copied = this.#batch.ends[row] ?? 0
  }

  /** Takes the results for a row; a blame leaves it as it is, to be left out. */
  take(
    row: number,
    works: readonly Work[],
    results: readonly (readonly (string | FpeError)[])[],
  ): Blame | undefined {
    const { columns, format, rows } = this.#plan
    let blame: Blame | undefined
    this.#written.fill(undefined)
    for (let c = 0; c < columns.length; c += 1) {
      this.#fresh[c] = undefined
      const [work, planned] = [works[c], columns[c]]
      if (this.#batch.values[c]?.[row] === undefined) continue
      const result = work?.rows[work.used] === row ? results[c]?.[work.used] : undefined
      // Going on would let a value out as it is.
      if (work === undefined || planned === undefined || result === undefined) {
        throw new TypeError('a column lost a value')
      }
      work.used += 1
      if (typeof result === 'string') {
        const start = this.#batch.placeStarts[c]?.[row] ?? 0
        this.#fresh[c] = format.spell(result, this.#batch.text, start)
        if (this.#fresh[c] === undefined) blame ??= { fault: unspellable(rows.fields[c]) }
        if (planned.version !== undefined) {
          this.#written[planned.version] = planned.column.currentVersion
        }
      } else {
        blame ??= { error: result, column: planned.column.name }
      }
    }
    if (blame === undefined) this.#edit(row)
    return blame
  }

  #edit(row: number): void {
    const { before, none, placeStarts, placeEnds } = this.#batch
    const fields = this.#plan.columns.length
    for (let c = 0; c < fields; c += 1) if (this.#fresh[c] !== undefined) this.values += 1
    for (let v = 0; v < this.#written.length; v += 1) {
      const version = this.#plan.task === 'decrypt' ? undefined : this.#written[v]
      this.#fresh[fields + v] =
        version === undefined ? none[v]?.[row] : `${before[v]?.[row] ?? ''}${version}`
    }
    this.#sort(row)
    for (const slot of this.#order) {
      const text = this.#fresh[slot]
      if (text === undefined) continue
      this.#copyTo(placeStarts[slot]?.[row] ?? 0)
      this.bytes.text(text)
      this.#copied = placeEnds[slot]?.[row] ?? 0
    }
  }

  /** Slots by place; of two at one place the first of the plan comes first. Few, and mostly in order already. */
  #sort(row: number): void {
    const order = this.#order
    const key = (slot: number): number => this.#batch.placeStarts[slot]?.[row] ?? 0
    for (let i = 1; i < order.length; i += 1) {
      for (let k = i; k > 0; k -= 1) {
        const [a, b] = [order[k - 1] ?? 0, order[k] ?? 0]
        if (key(a) < key(b) || (key(a) === key(b) && a < b)) break
        order[k - 1] = b
        order[k] = a
      }
    }
  }

  /** Copies the rest. */
  finish(): Uint8Array {
    this.#copyTo(this.#batch.ends.at(-1) ?? this.#copied)
    return this.bytes.taken
  }
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
  const { works, blames } = gather(plan, batch)
  const results = await Promise.all(
    works.map((work, c) => run(plan, (plan.columns[c] as PlannedColumn).column, work)),
  )
  const writer = new RowWriter(plan, batch)
  const badRows: BadRow[] = []
  let literals = 0
  for (let i = 0; i < batch.count; i += 1) {
    const special = batch.special.get(i)
    if (special !== undefined && 'literal' in special) {
      writer.replace(i, special.literal)
      literals += 1
      continue
    }
    const blame = blames.get(i) ?? writer.take(i, works, results)
    if (blame === undefined) continue
    const line = batch.lineOf[i] ?? 0
    const error = errorOf(plan, blame, line)
    if (plan.stop) throw error
    const { code, message } = error
    badRows.push({ line, column: nameOf(plan, blame), code, message })
    writer.replace(i, '')
  }
  const bytes = writer.finish()
  return { bytes, rows: batch.count - literals, values: writer.values, badRows }
}
