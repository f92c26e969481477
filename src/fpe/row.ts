/**
 * A row of a data file and the places in it that change. Everything else of a row goes out byte for byte,
 * so rows are text with one character for each byte (ISO 8859-1), and places are byte offsets in it.
 */
import { isUtf8 } from 'node:buffer'

import type { Direction } from './types.ts'

/** What happens to the values of a file. */
export type Task = Direction | 'rewrap'

/** What a format needs to know to find values. Fields: CSV header name or number from 1, JSON path. */
export interface RowPlan {
  readonly task: Task
  readonly fields: readonly (string | number)[]
  /** Fields that hold key versions. */
  readonly versionFields: readonly (string | number)[]
  /** Fields whose text is bound into the tweak of the row's values. */
  readonly tweakFields: readonly (string | number)[]
  /** Fields that must not be there: their version would be changed, and they would not. */
  readonly leftOut: readonly (string | number)[]
  /** The field of a key version need not be there: it is added, where a version is written. */
  readonly versionsMayLack: boolean
  /** Empty, null and missing values stay as they are; false: they make a bad row. */
  readonly keepEmpty: boolean
}

/** Why a row cannot be used. Never holds a value. */
export interface RowFault {
  readonly message: string
  readonly expected?: string
  readonly got?: string
  readonly hint?: string
  /** The field it concerns, as the plan names it. */
  readonly field?: string | number
}

/**
 * The row that was read last. A reader writes the slots anew for each row, and nothing is allocated for a
 * row: at a million rows a second the collector would take half of the time.
 */
export interface RowSlots {
  /** After its line end. */
  end: number
  /** Lines of the file it takes, at least 1. */
  lines: number
  /** A header or blank line: goes out as this text, and the slots below mean nothing. */
  literal: string | undefined
  /** As for `literal`. */
  fault: RowFault | undefined
  /** By field of the plan; undefined: an empty one that is kept. */
  readonly values: (string | undefined)[]
  /** By version field, as found; undefined: none. */
  readonly versions: (number | undefined)[]
  /** By tweak field. */
  readonly tweaks: (string | undefined)[]
  /** By version field: what is written before a version, and where there is no version to write. */
  readonly before: string[]
  readonly none: string[]
  /** Places of fields, then of version fields. */
  readonly starts: number[]
  readonly ends: number[]
}

/** A file format: cuts rows, and spells new values. */
export interface RowFormat {
  /**
   * Reads the row at `at`; false when its end is not in the text yet, which cannot be with `last`.
   * @throws ConfigError where the plan does not fit the file (header, number of fields).
   */
  next(row: RowSlots, text: string, at: number, last: boolean): boolean
  /** The bytes of a value in place of those that begin at `start`; undefined: this format cannot hold it. */
  spell(value: string, text: string, start: number): string | undefined
}

/** One key version cannot be true of a value that changes and of one that does not. */
export const leftOutFault = (field: string | number): RowFault => ({
  message: 'a column that is left out shares its key version with one that is not',
  expected: 'all columns that share a version column at once',
  hint: 'name this column as well, or give each a version column of its own',
  field,
})

const NOT_ASCII = /[\u0080-\u00ff]/

/** Whether bytes are UTF-8 (RFC 3629). */
export const isUtf8Text = (bytes: string): boolean =>
  !NOT_ASCII.test(bytes) || isUtf8(Buffer.from(bytes, 'latin1'))

/** UTF-8 bytes as text. */
export const decodeBytes = (bytes: string): string =>
  NOT_ASCII.test(bytes) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes

/** Text as UTF-8 bytes. */
export const encodeBytes = (text: string): string =>
  /[^\u0000-\u007f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text

/** A key version as files spell it: a whole number from 1, below 2^32, without leading zeros. */
export function parseVersion(text: string): number | undefined {
  if (!/^[1-9]\d{0,9}$/.test(text)) return undefined
  const version = Number(text)
  return version <= 0xffff_ffff ? version : undefined
}

/** Slots for the rows of one plan. */
export const rowSlots = ({ fields, versionFields, tweakFields }: RowPlan): RowSlots => ({
  end: 0,
  lines: 1,
  literal: undefined,
  fault: undefined,
  values: fields.map(() => undefined),
  versions: versionFields.map(() => undefined),
  tweaks: tweakFields.map(() => undefined),
  before: versionFields.map(() => ''),
  none: versionFields.map(() => ''),
  starts: [...fields, ...versionFields].map(() => 0),
  ends: [...fields, ...versionFields].map(() => 0),
})

/** The fault of a row without its part of the tweak. */
export const tweakFault = (field: string | number): RowFault => ({
  message: 'the row has no text for the tweak',
  expected: 'text in the field that is bound into the tweak',
  got: 'nothing',
  field,
})

/** The fault of an empty value that is not to be kept. */
export const emptyFault = (field: string | number, got: string): RowFault => ({
  message: 'there is no value',
  expected: 'a value in every row',
  got,
  hint: 'an empty value cannot be encrypted; say so when empty ones are to stay empty',
  field,
})

/** The fault of a key version, or undefined; on encryption the field must still be empty. */
export function versionFault(
  task: Task,
  field: string | number,
  empty: boolean,
  version: number | undefined,
): RowFault | undefined {
  if (empty) return undefined
  if (task === 'encrypt') {
    return {
      message: 'the row has a key version already',
      expected: 'no key version before encryption',
      got: 'one',
      hint: 'is the file encrypted already? rewrap moves it to the current version',
      field,
    }
  }
  return version === undefined
    ? {
        message: 'not a key version',
        expected: 'a whole number from 1',
        got: 'something else',
        field,
      }
    : undefined
}
