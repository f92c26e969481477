/** The doctor's report as plain text of at most 80 columns. */
import { printable, wrap } from '../plain-text.ts'
import type { DoctorReport, MechanismReport, SlotReport } from './doctor-report.ts'
import type { EnforcementRow, Verdict } from './enforcement-row.ts'
import type { Choice, Profile } from './profile.ts'

const COLUMNS = 80

/** Modules and tokens choose their names: nothing of theirs may steer a terminal. */
const lined = (text: string, columns: number): string[] => wrap(printable(text), columns)

/** `name   value`, the value hanging under itself. */
function field(name: string, value: string, indent = 2, column = 18): string[] {
  const hang = ' '.repeat(Math.max(column, indent + name.length + 1))
  return lined(value, COLUMNS - hang.length).map((line, at) =>
    (at === 0 ? `${' '.repeat(indent)}${name}`.padEnd(hang.length) + line : hang + line).trimEnd(),
  )
}

const paragraph = (text: string, indent: number): string[] =>
  lined(text, COLUMNS - indent).map((line) => (' '.repeat(indent) + line).trimEnd())

const heading = (text: string): string[] => ['', text.toUpperCase()]

const list = (names: readonly string[]): string => (names.length === 0 ? '-' : names.join(' '))

function moduleLines({ module, shutdown }: DoctorReport): string[] {
  const fact = (name: string, value: string) => field(name, value, 2, 16)
  return [
    'MODULE',
    ...fact('file', module.path),
    ...fact('sha256', module.sha256),
    ...fact('library', `${module.libraryDescription} ${module.libraryVersion}`),
    ...fact('manufacturer', module.manufacturerId),
    ...fact('Cryptoki', module.cryptokiVersion),
    ...(shutdown === 'clean' ? [] : fact('! SHUTDOWN', shutdown)),
  ]
}

const limit = (count: number | null): string => (count === null ? 'no limit given' : `${count}`)

function slotLines({ slotId, description, flags, token }: SlotReport): string[] {
  const head = [
    `  slot ${slotId}`,
    ...field('description', description, 4),
    ...field('flags', list(flags), 4),
  ]
  if (token === null) return [...head, ...field('token', 'none', 4)]
  if (!token.initialised) return [...head, ...field('token', 'not initialised', 4)]
  return [
    ...head,
    ...field('token', token.label, 4),
    ...field('serial', token.serial, 4),
    ...field('model', `${token.manufacturerId} ${token.model}`, 4),
    ...field('versions', `hardware ${token.hardwareVersion}, firmware ${token.firmwareVersion}`, 4),
    ...field('token flags', list(token.flags), 4),
    ...field('PIN length', `${token.minPinLength} to ${token.maxPinLength}`, 4),
    ...field('sessions', limit(token.maxSessions), 4),
  ]
}

function mechanismLine(report: MechanismReport): string[] {
  const sizes = report.maxKeySize === 0 ? '' : ` [${report.minKeySize}-${report.maxKeySize}]`
  const flags = report.refused ?? report.flags.join(' ').toLowerCase()
  return field(report.name + sizes, flags, 2, 42)
}

function answerLines({ knownAnswers, wraps }: DoctorReport): string[] {
  const results = { match: 'ok', mismatch: 'WRONG', unavailable: 'unavailable' }
  return [
    ...heading('Known answers'),
    ...knownAnswers.flatMap(({ id, result, source, detail }) =>
      field(results[result], `${id}: ${detail === '' ? source : detail}`, 2, 16),
    ),
    ...heading('What AES key wrap numbers stand for here'),
    ...wraps.flatMap(({ mechanism, listed, bytes32, bytes20 }) => [
      ...paragraph(`${mechanism}${listed ? '' : ' (not listed)'}`, 2),
      ...field('32 bytes', bytes32, 4, 16),
      ...field('20 bytes', bytes20, 4, 16),
    ]),
  ]
}

const MARKS: Readonly<Record<Verdict, string>> = {
  enforced: 'enforced',
  'not enforced': 'NOT ENFORCED',
  'not applicable': 'n/a',
  'not probed': 'not probed',
}

function rowLines(row: EnforcementRow): string[] {
  const head = field(MARKS[row.verdict], row.attack, 2, 16)
  const seen = paragraph(`-> ${row.observed}`, 16)
  if (row.verdict !== 'not enforced') return [...head, ...seen]
  return [
    ...head,
    ...paragraph(`-> ${row.observed} (standard: ${row.expected})`, 16),
    ...paragraph(`${row.severity}: ${row.consequence}`, 16),
  ]
}

function enforcementLines({ enforcement, probed }: DoctorReport): string[] {
  const count = (verdict: Verdict) => enforcement.filter((row) => row.verdict === verdict).length
  const with_ = probed?.loggedIn === true ? 'private' : 'public (no PIN was given)'
  return [
    ...heading('Enforcement: what the token did when it was attacked'),
    ...paragraph(
      `Tried on ${with_} session objects, which are gone again; token objects may differ.`,
      2,
    ),
    ...paragraph(
      Object.entries(MARKS)
        .map(([verdict, mark]) => `${count(verdict as Verdict)} ${mark}`)
        .join(', '),
      2,
    ),
    ...enforcement.flatMap(rowLines),
  ]
}

const choice = ({ mechanism, basis, note }: Choice): string =>
  mechanism === null ? `NONE: ${note}` : `${mechanism}, ${basis}: ${note}`

function profileLines(profile: Profile): string[] {
  const { rounds, waivers, warnings, vendor } = profile
  return [
    ...heading('Profile: what keyrite would use'),
    ...field('wrap', choice(profile.wrap)),
    ...field('block cipher', choice(profile.blockCipher)),
    ...field('rounds', `${rounds.operation ?? 'NONE'}: ${rounds.why}`),
    ...field('seal', choice(profile.seal)),
    ...field('signature', choice(profile.signature)),
    ...profile.roles.flatMap(({ role, usable, why }) =>
      usable ? [] : field('! no keys for', `${role}: ${why}`),
    ),
    ...waivers.flatMap(({ attribute, reason }) => field('waiver', `${attribute}: ${reason}`)),
    ...heading('Warnings'),
    ...(warnings.length === 0 ? ['  none'] : []),
    ...warnings.flatMap(({ severity, text, id }) =>
      field(severity === 'critical' ? 'CRITICAL' : severity, `${text} (${id})`, 2, 12),
    ),
    ...(vendor === null
      ? []
      : [
          ...heading(`Hints about ${printable(vendor.vendor)}: from documents, not probed`),
          ...vendor.hints.flatMap(({ topic, text, basis }) =>
            field(topic, basis === 'unverified' ? `${text} (unverified)` : text),
          ),
        ]),
  ]
}

/** The last word, for people who read no further. */
function verdictLines({ profile, probed, notProbed }: DoctorReport): string[] {
  if (profile === null)
    return [...heading('Verdict'), ...paragraph(`nothing was probed: ${notProbed ?? ''}`, 2)]
  return [
    ...heading('Verdict'),
    ...paragraph(
      profile.protectsKeys
        ? 'Every critical attack was refused.'
        : 'THIS TOKEN DOES NOT PROTECT ITS KEYS: see the critical warnings above.',
      2,
    ),
    ...(probed?.loggedIn === true
      ? []
      : paragraph('No PIN was given: private objects were not probed.', 2)),
  ]
}

/** Lines of at most 80 columns, without control characters or colour. */
export function formatDoctorReport(report: DoctorReport): string[] {
  const { slots, mechanisms, probed, profile } = report
  const probes =
    probed === null
      ? []
      : [
          ...heading(`Mechanisms of ${printable(probed.label)} (${mechanisms.length})`),
          ...mechanisms.flatMap(mechanismLine),
          ...answerLines(report),
          ...enforcementLines(report),
          ...(profile === null ? [] : profileLines(profile)),
        ]
  return [
    ...moduleLines(report),
    ...heading('Slots'),
    ...slots.flatMap(slotLines),
    ...probes,
    ...verdictLines(report),
  ]
}
