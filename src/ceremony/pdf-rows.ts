/** Rows that are never torn apart: small tables, and the steps with their boxes. */
import { PAGE, type Pen, type TextStyle, WIDTH } from './pdf-page.ts'
import type { ScriptBox, ScriptStep } from './script-content.ts'
import { STEP_HEAD } from './script-sentences.ts'

const PADDING = 4
const HEAD_FILL = '#e8e8e8'
/** Of the table of steps. */
const HEAD_HEIGHT = 18
const SMALL: TextStyle = { size: 7, color: '#333333' }
const LABEL: TextStyle = { size: 7.5, color: '#333333' }

/** An empty square to tick; about as high as a line. */
export const tick = (pen: Pen, x: number, y: number): void => pen.box(x, y + 1, 9, 9)

/** A table over the whole width. A row that does not fit starts a new page under the head. */
export function pdfTable(
  pen: Pen,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  options: { readonly widths?: readonly number[]; readonly minHeight?: number } = {},
): void {
  const widths = (options.widths ?? head.map(() => 1 / head.length)).map((part) => part * WIDTH)
  const draw = (cells: readonly string[], style: TextStyle, minHeight: number, fill?: string) => {
    const inner = (at: number): number => (widths[at] ?? 0) - 2 * PADDING
    const height = Math.max(
      minHeight,
      ...cells.map((cell, at) => pen.height(cell, inner(at), style) + 2 * PADDING),
    )
    if (pen.y + height > PAGE.bottom) {
      pen.newPage()
      if (fill === undefined) draw(head, { face: 'bold', size: 8 }, 0, HEAD_FILL)
    }
    let x: number = PAGE.left
    cells.forEach((cell, at) => {
      pen.box(x, pen.y, widths[at] ?? 0, height, fill)
      pen.write(cell, x + PADDING, pen.y + PADDING, inner(at), style)
      x += widths[at] ?? 0
    })
    pen.y += height
  }
  draw(head, { face: 'bold', size: 8 }, 0, HEAD_FILL)
  for (const row of rows) draw(row, { size: 8.5 }, options.minHeight ?? 0)
  pen.y += 4
}

const CELL = { width: 9.2, height: 13, gap: 4 } as const

/** Cells for hexadecimal digits, in groups of four; returns the height. */
export function digitCells(pen: Pen, x: number, y: number, width: number, digits: number): number {
  const group = 4 * CELL.width + CELL.gap
  const perLine = Math.max(1, Math.floor((width + CELL.gap) / group))
  for (let at = 0; at < digits; at++) {
    const [block, inBlock] = [Math.floor(at / 4), at % 4]
    const left = x + (block % perLine) * group + inBlock * CELL.width
    pen.box(left, y + Math.floor(block / perLine) * (CELL.height + 3), CELL.width, CELL.height)
  }
  return Math.ceil(digits / 4 / perLine) * (CELL.height + 3)
}

/** Height of digit cells without drawing them. */
const cellsHeight = (width: number, digits: number): number => {
  const perLine = Math.max(1, Math.floor((width + CELL.gap) / (4 * CELL.width + CELL.gap)))
  return Math.ceil(digits / 4 / perLine) * (CELL.height + 3)
}

const valueStyle = (mono: boolean): TextStyle =>
  mono ? { face: 'mono', size: 7.5 } : { size: 8.5 }
const PERSON_LINE = 16
const GAP = 5

/** Height of a box, drawn or not. */
function boxHeight(pen: Pen, item: ScriptBox, width: number): number {
  const label = pen.height(item.label, width, LABEL)
  switch (item.kind) {
    case 'value':
      return label + 1 + pen.height(item.value, width - 6, valueStyle(item.mono)) + 6 + GAP
    case 'blank':
      return label + 17 + GAP
    case 'tick':
      return Math.max(12, pen.height(item.label, width - 15, { size: 8.5 })) + GAP
    case 'cells':
      return label + 2 + cellsHeight(width, item.digits) + GAP
    case 'people':
      return label + item.names.reduce((sum, name) => sum + personHeight(pen, name, width), 0) + GAP
  }
}

const personHeight = (pen: Pen, name: string, width: number): number =>
  Math.max(PERSON_LINE, pen.height(name, width - 15, { size: 8.5 }) + 4)

function drawBox(pen: Pen, item: ScriptBox, x: number, y: number, width: number): void {
  if (item.kind === 'tick') {
    tick(pen, x, y)
    pen.write(item.label, x + 15, y, width - 15, { size: 8.5 })
    return
  }
  let at = y + pen.write(item.label, x, y, width, LABEL)
  if (item.kind === 'value') {
    const style = valueStyle(item.mono)
    const height = pen.height(item.value, width - 6, style)
    pen.box(x, at + 1, width, height + 5)
    pen.write(item.value, x + 3, at + 4, width - 6, style)
  } else if (item.kind === 'blank') {
    pen.line(x, at + 16, x + width, at + 16)
  } else if (item.kind === 'cells') {
    digitCells(pen, x, at + 2, width, item.digits)
  } else {
    for (const name of item.names) {
      tick(pen, x, at + 3)
      if (name === '') pen.line(x + 15, at + 13, x + width, at + 13)
      else pen.write(name, x + 15, at + 3, width - 15, { size: 8.5 })
      at += personHeight(pen, name, width)
    }
  }
}

/** Step, activity, expected value, initials, time. */
const COLUMNS = [0.1, 0.395, 0.33, 0.09, 0.085].map((part) => part * WIDTH)

/** Left edges and inner widths of the columns. */
const columns = COLUMNS.map((width, at) => ({
  x: PAGE.left + COLUMNS.slice(0, at).reduce((sum, before) => sum + before, 0),
  width,
  inner: width - 2 * PADDING,
}))

/** The head of the table of steps; again on every page. */
export function stepHead(pen: Pen): void {
  columns.forEach(({ x, width, inner }, at) => {
    pen.box(x, pen.y, width, HEAD_HEIGHT, HEAD_FILL)
    pen.write(STEP_HEAD[at] ?? '', x + PADDING, pen.y + PADDING, inner, { face: 'bold', size: 7.5 })
  })
  pen.y += HEAD_HEIGHT
}

/** Highest row that fits a page under the head. */
const MAX_ROW = PAGE.bottom - PAGE.top - HEAD_HEIGHT - 2 * PADDING

type StyledText = readonly [string, TextStyle]

/** Fills sheets in order: items go on one sheet while they fit. */
function sheets<Item>(items: readonly Item[], height: (item: Item) => number): Item[][] {
  const filled: Item[][] = [[]]
  let used = 0
  for (const item of items) {
    const needed = height(item)
    if (used > 0 && used + needed > MAX_ROW) {
      filled.push([])
      used = 0
    }
    filled.at(-1)?.push(item)
    used += needed
  }
  return filled
}

/** Long lists of people in boxes that fit a page. */
const handy = (item: ScriptBox): ScriptBox[] =>
  item.kind !== 'people' || item.names.length <= 10
    ? [item]
    : Array.from({ length: Math.ceil(item.names.length / 10) }, (_, at) => ({
        ...item,
        names: item.names.slice(at * 10, at * 10 + 10),
      }))

/** One step as one row; as several only when it is higher than a page. */
export function drawStep(pen: Pen, step: ScriptStep): void {
  const [number, activity, expected, , time] = columns
  if (!number || !activity || !expected || !time) return
  const texts = [
    [step.title, { face: 'bold', size: 9 }] as const,
    ...step.activity.map((text) => [text, { size: 8.5 }] as const),
    ...(step.who === '' ? [] : [[step.who, { face: 'oblique', ...SMALL, size: 7.5 }] as const]),
  ].flatMap(([text, style]): StyledText[] =>
    pen.pieces(text, activity.inner, MAX_ROW / 2, style).map((piece) => [piece, style]),
  )
  const textHeight = ([text, style]: StyledText): number =>
    pen.height(text, activity.inner, style) + 3
  const height = (item: ScriptBox): number => boxHeight(pen, item, expected.inner)
  const textSheets = sheets(texts, textHeight)
  const boxSheets = sheets(step.boxes.flatMap(handy), height)
  for (let part = 0; part < Math.max(textSheets.length, boxSheets.length); part++) {
    const [left = [], right = []] = [textSheets[part], boxSheets[part]]
    const sum = (heights: readonly number[]): number => heights.reduce((a, b) => a + b, 0)
    const idHeight = 16 + pen.height(step.id, number.inner, SMALL)
    const content = Math.max(sum(left.map(textHeight)), sum(right.map(height)), idHeight, 28)
    drawRow(pen, step, part === 0, content + 2 * PADDING, left, right)
  }
}

function drawRow(
  pen: Pen,
  step: ScriptStep,
  isFirst: boolean,
  height: number,
  texts: readonly StyledText[],
  boxes: readonly ScriptBox[],
): void {
  const [number, activity, expected, , time] = columns
  if (!number || !activity || !expected || !time) return
  if (pen.y + height > PAGE.bottom) {
    pen.newPage()
    stepHead(pen)
  }
  const top = pen.y + PADDING
  const fill = step.isBreak ? '#f0f0f0' : undefined
  for (const { x, width } of columns) pen.box(x, pen.y, width, height, fill)
  pen.write(String(step.number), number.x + PADDING, top, number.inner, { face: 'bold', size: 11 })
  const id = isFirst ? step.id : 'continued'
  pen.write(id, number.x + PADDING, top + 16, number.inner, SMALL)
  let y = top
  for (const [text, style] of texts) {
    y += pen.write(text, activity.x + PADDING, y, activity.inner, style) + 3
  }
  y = top
  for (const item of boxes) {
    drawBox(pen, item, expected.x + PADDING, y, expected.inner)
    y += boxHeight(pen, item, expected.inner)
  }
  if (isFirst) {
    const note = `${step.minutes} min\n${step.elapsed}`
    const foot = pen.y + height - pen.height(note, time.inner, SMALL) - PADDING
    pen.write(note, time.x + PADDING, foot, time.inner, { ...SMALL, align: 'right' })
  }
  pen.y += height
}
