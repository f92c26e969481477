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

/** Bytes from `start` up to `end`. */
export interface Place {
  readonly start: number
  readonly end: number
}

/** A value; undefined: an empty one that is kept. */
export interface ValuePlace extends Place {
  readonly value: string | undefined
}

/** A key version: what stands there, and what to write. */
export interface VersionPlace extends Place {
  /** As found; undefined: none. */
  readonly version: number | undefined
  /** Written before a version. */
  readonly before: string
  /** Written where there is no version to write. */
  readonly none: string
}

/** One row with its line end. */
export interface Row extends Place {
  /** Lines of the file it takes, at least 1. */
  readonly lines: number
  /** A header or blank line: goes out as this text. */
  readonly literal?: string
  readonly fault?: RowFault
  /** In the order of the plan; empty where there is a literal or a fault. */
  readonly values: readonly ValuePlace[]
  readonly versions: readonly VersionPlace[]
}

/** A file format: cuts rows, and spells new values. */
export interface RowFormat {
  /**
   * The row at `at`; undefined when its end is not in the text yet, which cannot be with `last`.
   * @throws ConfigError where the plan does not fit the file (header, number of fields).
   */
  next(text: string, at: number, last: boolean): Row | undefined
  /** The bytes that stand for a value in place of the old ones; undefined: this format cannot hold it. */
  spell(value: string, text: string, place: Place): string | undefined
}

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

/** A key version as files spell it: a positive whole number without leading zeros. */
export function parseVersion(text: string): number | undefined {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined
}

/** A row that is left out for its form. */
export const faultyRow = (place: Place, lines: number, fault: RowFault): Row => ({
  start: place.start,
  end: place.end,
  lines,
  fault,
  values: [],
  versions: [],
})

/** A row without a value, e.g. a header. */
export const literalRow = (place: Place, lines: number, literal: string): Row => ({
  start: place.start,
  end: place.end,
  lines,
  literal,
  values: [],
  versions: [],
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
