/** The paper script as PDF, A4, ready for the printer; the same content as the HTML. */
import { DIGIT_WORDS, NATO_LETTERS } from '../nato.ts'
import { PAGE, type Pen, WIDTH, startPdf } from './pdf-page.ts'
import { digitCells, drawStep, pdfTable, stepHead, tick } from './pdf-rows.ts'
import type { ScriptContent } from './script-content.ts'
import {
  END_BLANKS,
  EXCEPTION_FIELDS,
  EXCEPTION_SHEETS,
  FINAL_STATEMENT,
  PARTICIPANT_HEAD,
  RULES_OF_THE_PAPER,
  START_BLANKS,
} from './script-sentences.ts'

const H1 = { face: 'bold', size: 15 } as const
/** Width in which digit cells make lines of eight groups. */
const EIGHT_GROUPS = 330
const H2 = { face: 'bold', size: 10.5 } as const

/** A heading that does not stand alone at the foot of a page. */
function heading(pen: Pen, text: string, follows = 40): void {
  pen.y += 6
  pen.reserve(follows)
  pen.paragraph(text, H2, 3)
}

function writingLines(pen: Pen, count: number): void {
  for (let at = 0; at < count; at++) {
    pen.y += 22
    pen.line(PAGE.left, pen.y, PAGE.right, pen.y)
  }
  pen.y += 6
}

/** Labels with a line to write on. */
function blanks(pen: Pen, labels: readonly string[]): void {
  for (const label of labels) {
    pen.write(label, PAGE.left, pen.y, 150)
    pen.line(PAGE.left + 155, pen.y + 12, PAGE.left + 400, pen.y + 12)
    pen.y += 24
  }
}

function titlePage(pen: Pen, content: ScriptContent): void {
  pen.paragraph(content.title, H1, 8)
  if (content.mode === undefined) {
    ;['rehearsal', 'production'].forEach((mode, at) => {
      tick(pen, PAGE.left + at * 100, pen.y)
      pen.write(mode, PAGE.left + at * 100 + 16, pen.y, 84)
    })
    pen.y += 18
  } else {
    pen.box(PAGE.left, pen.y, 110, 20)
    pen.write(content.mode.toUpperCase(), PAGE.left, pen.y + 4, 110, { ...H2, align: 'center' })
    pen.y += 28
  }
  const of = content.organisation === '' ? '' : ` of ${content.organisation}`
  pen.paragraph(`Ceremony ${content.ceremony}${of}, estimated time ${content.total} h`)
  if (content.description !== '') pen.paragraph(content.description)
  const before = content.previous === '' ? '_'.repeat(48) : content.previous
  pen.paragraph(`Transcript before this one: ${before}`)
  for (const { label, hexLines, wordLines } of content.digests) {
    heading(pen, `${label} digest (SHA-256)`, 130)
    for (const line of hexLines) pen.paragraph(line, { face: 'mono', size: 10 }, 1)
    pen.y += 4
    for (const line of wordLines) pen.paragraph(line, { face: 'mono', size: 8.5 }, 1)
  }
  for (const { title, head, rows } of content.tables) {
    heading(pen, title, 60)
    pdfTable(pen, head, rows)
  }
  heading(pen, 'How this paper is used', 60)
  for (const rule of RULES_OF_THE_PAPER) {
    pen.reserve(pen.height(rule, WIDTH - 12))
    pen.write('•', PAGE.left, pen.y, 10)
    pen.y += pen.write(rule, PAGE.left + 12, pen.y, WIDTH - 12) + 3
  }
}

function participants(pen: Pen, content: ScriptContent): void {
  pen.newPage()
  pen.paragraph('Participants', H1, 8)
  blanks(pen, START_BLANKS)
  const rows = content.participants.map(({ role, name }) => [role, name, '', '', ''])
  pdfTable(pen, PARTICIPANT_HEAD, rows, { widths: [0.18, 0.26, 0.28, 0.15, 0.13], minHeight: 30 })
}

function steps(pen: Pen, content: ScriptContent): void {
  pen.newPage()
  pen.paragraph('Steps', H1, 8)
  stepHead(pen)
  for (const step of content.steps) drawStep(pen, step)
}

function alphabet(pen: Pen): void {
  const perColumn = 12
  pen.y += 20
  pen.reserve(perColumn * 20 + 40)
  pen.paragraph('Reading aloud', H1, 8)
  const entries = [
    ...Object.entries(NATO_LETTERS),
    ...DIGIT_WORDS.map((word, digit): [string, string] => [String(digit), word]),
  ]
  const top = pen.y
  entries.forEach(([sign, word], at) => {
    const x = PAGE.left + Math.floor(at / perColumn) * (WIDTH / 3)
    const y = top + (at % perColumn) * 20
    pen.write(sign.toUpperCase(), x, y, 20, { face: 'bold', size: 11 })
    pen.write(word, x + 24, y, 120, { size: 11 })
  })
  pen.y = top + perColumn * 20
}

function exceptionSheet(pen: Pen, number: number): void {
  pen.newPage()
  pen.paragraph(`Exception sheet ${number}`, H1, 4)
  for (const [label, lines] of EXCEPTION_FIELDS) {
    heading(pen, label)
    writingLines(pen, lines)
  }
}

function lastPage(pen: Pen, content: ScriptContent): void {
  pen.newPage()
  pen.paragraph('End of the ceremony', H1, 8)
  blanks(pen, END_BLANKS)
  heading(pen, 'Root of the transcript (SHA-256)')
  pen.y += digitCells(pen, PAGE.left, pen.y, EIGHT_GROUPS, 64) + 4
  heading(pen, 'Root as PGP words')
  writingLines(pen, 4)
  pen.y += 6
  pen.paragraph(FINAL_STATEMENT, {}, 8)
  const rows = content.attesting.map(({ role, name }) => [role, name, '', '', ''])
  const head = ['Role', 'Name', 'I agree', 'I do not agree', 'Date, time']
  pdfTable(pen, head, rows, { widths: [0.17, 0.25, 0.21, 0.21, 0.16], minHeight: 32 })
}

/** The whole file. `date` goes into the document information; same content and date, same bytes. */
export async function printPdf(content: ScriptContent, date: Date): Promise<Uint8Array> {
  const { title, ceremony: name, shortDigest } = content
  const pen = startPdf({ title, name, footer: `plan ${shortDigest}`, date })
  titlePage(pen, content)
  participants(pen, content)
  if (content.nato) alphabet(pen)
  steps(pen, content)
  for (let at = 1; at <= EXCEPTION_SHEETS; at++) exceptionSheet(pen, at)
  lastPage(pen, content)
  return pen.finish()
}
