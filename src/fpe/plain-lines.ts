/**
 * Plain lines: the whole line is the value. Ends in LF or CR LF; the last one may have none. A file in this
 * form has no place for a key version.
 */
import {
  type RowFormat,
  type RowPlan,
  decodeBytes,
  emptyFault,
  encodeBytes,
  faultyRow,
} from './row.ts'

/** A reader of lines for one file. */
export function linesFormat({ keepEmpty }: Pick<RowPlan, 'keepEmpty'>): RowFormat {
  return {
    next(text, at, last) {
      const lineFeed = text.indexOf('\n', at)
      if (lineFeed < 0 && !last) return undefined
      const end = lineFeed < 0 ? text.length : lineFeed + 1
      const withCr = lineFeed > at && text.charCodeAt(lineFeed - 1) === 0x0d
      const bodyEnd = lineFeed < 0 ? end : withCr ? lineFeed - 1 : lineFeed
      if (bodyEnd === at && !keepEmpty) {
        return faultyRow({ start: at, end }, 1, emptyFault('line', 'an empty line'))
      }
      const value = bodyEnd === at ? undefined : decodeBytes(text.slice(at, bodyEnd))
      return {
        start: at,
        end,
        lines: 1,
        values: [{ start: at, end: bodyEnd, value }],
        versions: [],
      }
    },
    // A value with a line break in it would read as two.
    spell: (value) => (/[\r\n]/.test(value) ? undefined : encodeBytes(value)),
  }
}
