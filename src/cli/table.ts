/** Rows in columns that stay readable when they do not fit. */
import { columnsOf, printable } from '../plain-text.ts'
import type { Screen } from './screen.ts'

/** Prints a header and rows, left-aligned; the last column may wrap under itself. */
export function printTable(
  screen: Screen,
  header: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const all = [header, ...rows].map((row) => row.map(printable))
  const widths = header.map((_, column) =>
    Math.max(...all.map((row) => columnsOf(row[column] ?? ''))),
  )
  const hang = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
  all.forEach((row, index) => {
    const cells = row.map((cell, column) =>
      column === row.length - 1
        ? cell
        : cell + ' '.repeat((widths[column] ?? 0) - columnsOf(cell) + 2),
    )
    screen.print(cells.join('').trimEnd(), {
      hang: Math.min(hang, Math.floor(screen.columns / 2)),
      ...(index === 0 ? { style: 'bold' } : {}),
    })
  })
}

/** Prints `name  value` lines, names padded to the longest. */
export function printFields(
  screen: Screen,
  fields: readonly (readonly [name: string, value: string])[],
  indent = 0,
): void {
  const width = Math.max(...fields.map(([name]) => columnsOf(name)))
  for (const [name, value] of fields) {
    screen.print(`${' '.repeat(indent)}${name.padEnd(width)}  ${value}`, {
      hang: indent + width + 2,
    })
  }
}
