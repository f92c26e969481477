/** What `verify` found, for a terminal of 80 columns. */
import { replaceUnprintable, wrap } from '../plain-text.ts'
import { readOut } from './digest.ts'
import { REQUIREMENTS } from './requirements.ts'
import type { Verification } from './verify-context.ts'

/** Words for the answers. */
export const STATUS = { ok: 'holds', failed: 'FAILED', 'not-applicable': 'n/a' } as const

const WIDTH = 80
const INDENT = 9

/** Logged text never steers the terminal. */
const lined = (text: string, columns: number): string[] =>
  wrap(
    replaceUnprintable(text, () => '?'),
    columns,
  )

const indented = (text: string): string[] =>
  lined(text, WIDTH - INDENT).map((line) => ' '.repeat(INDENT) + line)

const labelled = (label: string, lines: readonly string[]): string[] =>
  lines.map((line, at) => `${(at === 0 ? label : '').padEnd(14)}${line}`)

/** Eight words do not fit beside a label; four and four do. */
const halves = (line: string): string[] => {
  const words = line.split(' ')
  return [words.slice(0, 4), words.slice(4)].map((half) => half.join(' '))
}

/** Plain text for a terminal of 80 columns; the last line is the verdict. */
export function formatVerification(verification: Verification): string[] {
  const { transcript, findings, warnings, ok, outcome, mode } = verification
  const lines: string[] = []
  if (transcript !== undefined) {
    const root = readOut(transcript.log.root)
    const field = (label: string, text: string): string[] =>
      labelled(label, lined(text, WIDTH - 14))
    lines.push(
      ...field('Ceremony', transcript.plan.title),
      ...field('Transcript', `${transcript.log.origin}, ${transcript.entries.length} entries`),
      ...labelled('Root', [...root.hexLines, ...root.wordLines.flatMap(halves)]),
      ...field('Dual control', transcript.close?.dualControl.level ?? 'not stated'),
      ...field('Signed by', verification.signedBy.join(', ') || 'nobody'),
      '',
    )
  }
  for (const { id, status, evidence, detail, entry } of findings) {
    const class_ = status === 'not-applicable' ? '' : evidence
    lines.push(`${STATUS[status].padEnd(INDENT)}${id.padEnd(18)}${class_}`.trimEnd())
    const place = entry === undefined ? '' : ` (entry ${entry})`
    if (status === 'failed') lines.push(...indented(REQUIREMENTS[id].sentence))
    lines.push(...indented(`${detail}${place}`))
  }
  if (warnings.length > 0) lines.push('')
  for (const warning of warnings) lines.push(...labelled('warning:', lined(warning, WIDTH - 14)))
  const failed = findings.filter(({ status }) => status === 'failed').map(({ id }) => id)
  const verdict = ok
    ? `verified: ${outcome} ${mode ?? ''} transcript`
    : `does not verify: ${failed.join(', ')}`
  return [...lines, '', ...lined(verdict, WIDTH)]
}
