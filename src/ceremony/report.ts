/**
 * The report: `report.html` for people, and plain text for a terminal. Both are pure functions of what
 * `verify` found, so that a report can be made again and compared.
 */
import { EVIDENCE } from './report-facts.ts'
import { type Markup, constant, html } from './report-markup.ts'
import { pageOne } from './report-page.ts'
import { evidenceOf, isNotable, sentence } from './report-entry.ts'
import { STATUS } from './report-text.ts'
import { REPORT_STYLE } from './report-style.ts'
import { REQUIREMENTS } from './requirements.ts'
import { SOFTWARE } from './software.ts'
import type { EvidenceClass } from '../types.ts'
import type { Finding, Transcript, Verification } from './verify-context.ts'

export { formatVerification } from './report-text.ts'

/** Label of an evidence class; form and word differ, not only colour. */
const badge = (evidence: EvidenceClass): Markup =>
  html`<span class="${`ev ev-${evidence}`}">${evidence}</span>`

const legend = (): Markup =>
  html`<p class="key">
    ${Object.entries(EVIDENCE).map(
      ([name, meaning]) => html`<span>${badge(name as EvidenceClass)} ${meaning}</span>`,
    )}
  </p>`

const findingRow = ({ id, status, evidence, detail, entry, warnings }: Finding): Markup =>
  html` <tr>
    <th scope="row" class="mono">${id}</th>
    <td>
      ${REQUIREMENTS[id].sentence}
      <div class="sub">${detail}${entry === undefined ? '' : ` (entry ${entry})`}</div>
      ${warnings.map((warning) => html`<div class="sub"><strong>Note:</strong> ${warning}</div>`)}
    </td>
    <td><span class="${`st st-${status}`}">${STATUS[status]}</span></td>
    <td>${status === 'not-applicable' ? '' : badge(evidence)}</td>
  </tr>`

const requirements = (findings: readonly Finding[]): Markup =>
  html` <section class="sheet">
    <h2>Requirements and their evidence</h2>
    ${legend()}
    <table>
      <caption>
        What was checked, how it came out, and what the answer rests on
      </caption>
      <thead>
        <tr>
          <th scope="col">Id</th>
          <th scope="col">Requirement and finding</th>
          <th scope="col">Result</th>
          <th scope="col">Evidence</th>
        </tr>
      </thead>
      <tbody>
        ${findings.map(findingRow)}
      </tbody>
    </table>
  </section>`

const clock = (time: string): string => time.slice(11, 19)

function timelineRow(entry: Transcript['entries'][number]): Markup {
  const kind = entry.type === 'step.begin' ? 'step' : isNotable(entry) ? 'notable' : ''
  const step = 'step' in entry ? entry.step : ''
  return html` <tr class="${kind}">
    <td class="num">${entry.seq}</td>
    <td class="num">${clock(entry.time)}</td>
    <td class="num">${entry.type === 'step.begin' ? step : ''}</td>
    <td>${sentence(entry)}</td>
    <td>${entry.type === 'step.begin' ? '' : evidenceOf(entry).map(badge)}</td>
  </tr>`
}

const timeline = ({ entries, open }: Transcript): Markup =>
  html` <section class="sheet">
    <h2>Timeline</h2>
    <table>
      <caption>
        Every entry of the transcript, ${open.time.slice(0, 10)}, times in UTC as the host’s clock
        stated them. Long values are cut here and whole in the log.
      </caption>
      <thead>
        <tr>
          <th scope="col">Entry</th>
          <th scope="col">Time</th>
          <th scope="col">Step</th>
          <th scope="col">What happened</th>
          <th scope="col">Evidence</th>
        </tr>
      </thead>
      <tbody>
        ${entries.map(timelineRow)}
      </tbody>
    </table>
  </section>`

const document = (title: string, body: Markup): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="generator" content="keyrite ${SOFTWARE.keyrite}" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${constant(REPORT_STYLE)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `.html

/** One self-contained page: no scripts, nothing to load. */
export function reportHtml(verification: Verification): string {
  const { transcript, findings } = verification
  if (transcript === undefined) {
    return document(
      'Ceremony report: not readable',
      html`<main>
        <h1>This transcript cannot be read</h1>
        <p class="verdict bad"><strong>Does not verify</strong></p>
        ${requirements(findings)}
      </main>`,
    )
  }
  const { plan, log } = transcript
  return document(
    `Ceremony report: ${plan.title}`,
    html`<main>
        ${pageOne(verification, transcript, badge)} ${requirements(findings)}
        ${timeline(transcript)}
      </main>
      <footer>
        Made by keyrite ${SOFTWARE.keyrite} from the signed transcript
        <span class="mono">${log.origin}</span>. This page proves nothing by itself: run the
        commands in VERIFY.md, or <span class="mono">keyrite ceremony verify</span>.
      </footer>`,
  )
}
