/**
 * The paper script as one self-contained HTML file: style inside, no script, nothing loaded. Every text of
 * the plan is escaped; a Content-Security-Policy forbids the rest.
 */
import { DIGIT_WORDS, NATO_LETTERS } from '../nato.ts'
import { escapeHtml } from './report-markup.ts'
import type {
  FactTable,
  NamedDigest,
  ScriptBox,
  ScriptContent,
  ScriptStep,
} from './script-content.ts'
import {
  END_BLANKS,
  EXCEPTION_FIELDS,
  EXCEPTION_SHEETS,
  FINAL_STATEMENT,
  PARTICIPANT_HEAD,
  RULES_OF_THE_PAPER,
  START_BLANKS,
  STEP_HEAD,
} from './script-sentences.ts'

/** Text for a CSS string, where the page margins repeat it; only ASCII letters stay as they are. */
const cssString = (text: string): string =>
  `"${text.replace(/[^A-Za-z0-9 .,:-]/gu, (character) => `\\${(character.codePointAt(0) ?? 0).toString(16)} `)}"`

const e = escapeHtml
const cells = (tag: 'td' | 'th', values: readonly string[]): string =>
  values.map((value) => `<${tag}>${e(value)}</${tag}>`).join('')

const table = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  name: string,
): string =>
  `<table class="${name}"><thead><tr>${cells('th', head)}</tr></thead><tbody>${rows
    .map((row) => `<tr>${cells('td', row)}</tr>`)
    .join('')}</tbody></table>`

const facts = ({ title, head, rows }: FactTable): string =>
  `<h2>${e(title)}</h2>${table(head, rows, 'facts')}`

const digest = ({ label, hexLines, wordLines }: NamedDigest): string =>
  `<section class="digest"><h2>${e(label)} digest (SHA-256)</h2><p class="mono">${hexLines
    .map(e)
    .join('<br>')}</p><p class="words">${wordLines.map(e).join('<br>')}</p></section>`

const digitCells = (digits: number, groupsPerLine: number): string =>
  Array.from(
    { length: Math.ceil(digits / 4 / groupsPerLine) },
    () => `<div>${`<span class="four">${'<i></i>'.repeat(4)}</span>`.repeat(groupsPerLine)}</div>`,
  ).join('')

function box(item: ScriptBox): string {
  const label = `<b>${e(item.label)}</b>`
  switch (item.kind) {
    case 'value':
      return `<div>${label}<span class="${item.mono ? 'value mono' : 'value'}">${e(item.value)}</span></div>`
    case 'blank':
      return `<div>${label}<span class="blank"></span></div>`
    case 'tick':
      return `<div><span class="tick"></span>${e(item.label)}</div>`
    case 'cells':
      return `<div>${label}<div class="cells">${digitCells(item.digits, 4)}</div></div>`
    case 'people':
      return `<div>${label}${item.names
        .map((name) => `<div class="person"><span class="tick"></span>${named(name)}</div>`)
        .join('')}</div>`
  }
}

const named = (name: string): string => (name === '' ? '<span class="blank"></span>' : e(name))

const step = (row: ScriptStep): string => {
  const who = row.who === '' ? '' : `<p class="who">${e(row.who)}</p>`
  const text = row.activity.map((paragraph) => `<p>${e(paragraph)}</p>`).join('')
  return `<tr class="${row.isBreak ? 'step break' : 'step'}"><td class="number">${row.number}<small>${e(row.id)}</small></td><td><h3>${e(row.title)}</h3>${text}${who}</td><td class="expected">${row.boxes
    .map(box)
    .join(
      '',
    )}</td><td></td><td class="time"><small>${row.minutes} min</small><small>${e(row.elapsed)}</small></td></tr>`
}

const natoTable = (): string => {
  const entries = [
    ...Object.entries(NATO_LETTERS),
    ...DIGIT_WORDS.map((word, digit): [string, string] => [String(digit), word]),
  ]
  return `<section class="aloud"><h1>Reading aloud</h1><div class="nato">${entries
    .map(([sign, word]) => `<span><b>${e(sign.toUpperCase())}</b> ${e(word)}</span>`)
    .join('')}</div></section>`
}

const lines = (count: number): string => '<div class="line"></div>'.repeat(count)

const exceptionSheet = (number: number): string =>
  `<section class="sheet"><h1>Exception sheet ${number}</h1>${EXCEPTION_FIELDS.map(
    ([label, count]) => `<h2>${e(label)}</h2>${lines(count)}`,
  ).join('')}</section>`

const blanks = (labels: readonly string[]): string =>
  labels.map((label) => box({ kind: 'blank', label })).join('')

const signatures = (content: ScriptContent): string => {
  const rows = content.attesting
    .map(
      ({ role, name }) =>
        `<tr><td>${e(role)}</td><td>${e(name)}</td><td></td><td></td><td></td></tr>`,
    )
    .join('')
  return `<section class="sheet"><h1>End of the ceremony</h1>
<div class="boxes">${blanks(END_BLANKS)}</div>
<h2>Root of the transcript (SHA-256)</h2><div class="cells">${digitCells(64, 8)}</div><h2>Root as PGP words</h2>${lines(4)}
<p>${e(FINAL_STATEMENT)}</p>
<table class="sign"><thead><tr>${cells('th', ['Role', 'Name', 'I agree', 'I do not agree', 'Date, time'])}</tr></thead><tbody>${rows}</tbody></table></section>`
}

const STYLE = `
*{box-sizing:border-box}
html{font:9.5pt/1.35 "DejaVu Sans",Verdana,sans-serif;color:#000;background:#fff}
body{max-width:182mm;margin:8mm auto;overflow-wrap:anywhere}
h1{font-size:15pt;margin:0 0 3mm}h2{font-size:10.5pt;margin:5mm 0 1.5mm;break-after:avoid}h3{font-size:9.5pt;margin:0 0 1mm}
p{margin:0 0 1.5mm}.mono,.words{font-family:"DejaVu Sans Mono",monospace}.mode{border:.5mm solid #000;padding:1mm 2mm;display:inline-block;font-weight:bold}
table{border-collapse:collapse;width:100%}th,td{border:.2mm solid #444;padding:1.2mm 1.6mm;text-align:left;vertical-align:top}
th{background:#e8e8e8;font-size:8.5pt}thead{display:table-header-group}tr,.digest{break-inside:avoid}
.people,.sign{table-layout:fixed}.people td,.sign td{height:10mm}.people th:nth-child(3){width:30%}.sign th:nth-child(1){width:17%}.steps{table-layout:fixed}.steps th:nth-child(1){width:17mm}.steps th:nth-child(3){width:66mm}
.steps th:nth-child(4){width:17mm}.steps th:nth-child(5){width:16mm}.number{font-weight:bold;font-size:11pt}
small{display:block;font-weight:normal;font-size:7pt;color:#333}.time{text-align:right}.who{color:#333;font-style:italic;font-size:8.5pt}
.expected>div,.boxes>div{margin-bottom:2mm}.expected b,.boxes b{display:block;font-size:8pt;font-weight:normal;color:#333}
.value{display:block;border:.2mm solid #888;padding:.8mm 1.2mm}.value.mono{font-size:8pt}
.blank{display:inline-block;width:100%;height:6mm;border-bottom:.25mm solid #000}.person{display:flex;align-items:flex-end;margin-top:.8mm}
.tick{display:inline-block;flex:none;width:3.6mm;height:3.6mm;border:.3mm solid #000;margin-right:1.6mm;vertical-align:-.6mm}
.cells>div{display:flex;margin-bottom:1mm}.four{display:flex;margin-right:1.5mm;border-left:.25mm solid #444}.four i{width:3.3mm;height:4.6mm;border:.25mm solid #444;border-left:0}
.line{height:8mm;border-bottom:.25mm solid #000}.sheet,.steps-sheet{break-before:page}.aloud{break-inside:avoid;margin-top:8mm}.break td{background:#f0f0f0}
.nato{columns:3}.nato span{display:block;padding:.8mm 0}.nato b{display:inline-block;width:6mm}
@media print{body{margin:0;max-width:none}th,.break td{print-color-adjust:exact}}
`

const pageRule = (content: ScriptContent): string =>
  `@page{size:A4;margin:18mm 14mm 20mm;@top-left{content:${cssString(content.title)};font:8pt "DejaVu Sans",sans-serif}@top-right{content:${cssString(content.ceremony)};font:8pt "DejaVu Sans",sans-serif}@bottom-left{content:${cssString(`plan ${content.shortDigest}`)} "\\A Date ____________ Initials ____________________";white-space:pre;font:8pt "DejaVu Sans",sans-serif}@bottom-right{content:"Page " counter(page) " of " counter(pages);font:8pt "DejaVu Sans",sans-serif}}`

/** The whole file. */
export function printHtml(content: ScriptContent): string {
  const mode =
    content.mode === undefined
      ? '<p><span class="tick"></span>rehearsal &nbsp; <span class="tick"></span>production</p>'
      : `<p><span class="mode">${content.mode.toUpperCase()}</span></p>`
  const people = content.participants.map(({ role, name }) => [role, name, '', '', ''])
  const previous =
    content.previous === ''
      ? '<span class="blank"></span>'
      : `<span class="mono">${e(content.previous)}</span>`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${e(content.title)}</title><style>${STYLE}${pageRule(content)}</style></head><body>
<h1>${e(content.title)}</h1>${mode}
<p>Ceremony <b>${e(content.ceremony)}</b>${content.organisation === '' ? '' : ` of <b>${e(content.organisation)}</b>`}, estimated time <b>${e(content.total)}</b> h</p>
${content.description === '' ? '' : `<p>${e(content.description)}</p>`}
<p>Transcript before this one: ${previous}</p>
${content.digests.map(digest).join('')}
${content.tables.map(facts).join('')}
<h2>How this paper is used</h2><ul>${RULES_OF_THE_PAPER.map((rule) => `<li>${e(rule)}</li>`).join('')}</ul>
<section class="sheet"><h1>Participants</h1><div class="boxes">${blanks(START_BLANKS)}</div>${table(PARTICIPANT_HEAD, people, 'people')}${content.nato ? natoTable() : ''}</section>
<section class="steps-sheet"><h1>Steps</h1><table class="steps"><thead><tr>${cells('th', STEP_HEAD)}</tr></thead><tbody>
${content.steps.map(step).join('\n')}
</tbody></table></section>
${Array.from({ length: EXCEPTION_SHEETS }, (_, at) => exceptionSheet(at + 1)).join('')}
${signatures(content)}
</body></html>
`
}
