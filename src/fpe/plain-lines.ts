/**
 * Plain lines: the whole line is the value. Ends in LF or CR LF; the last one may have none. A file in this
 * form has no place for a key version.
 */
import { type RowFormat, type RowPlan, decodeBytes, emptyFault, encodeBytes } from './row.ts'

/** A reader of lines for one file. */
export function linesFormat({ keepEmpty }: Pick<RowPlan, 'keepEmpty'>): RowFormat {
  return {
    next(row, text, at, last) {
      const lineFeed = text.indexOf('\n', at)
      if (lineFeed < 0 && !last) return false
      const whole = lineFeed >= 0
      const body = whole ? lineFeed : text.length
      const end = whole && body > at && text.charCodeAt(body - 1) === 0x0d ? body - 1 : body
      row.end = whole ? body + 1 : body
      row.fault = end === at && !keepEmpty ? emptyFault('line', 'an empty line') : undefined
      row.values[0] = end === at ? undefined : decodeBytes(text.slice(at, end))
      row.starts[0] = at
      row.ends[0] = end
      return true
    },
    // A value with a line break in it would read as two.
    spell: (value) => (/[\r\n]/.test(value) ? undefined : encodeBytes(value)),
  }
}
