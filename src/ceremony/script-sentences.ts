/** Standing sentences of the paper script; the same in HTML and PDF. */

/** How the paper is used, on page one. */
export const RULES_OF_THE_PAPER: readonly string[] = [
  'Steps are carried out in this order, each once. Initials mean: I saw this step done as it is written here.',
  'A value with a printed expectation is compared digit by digit. A blank is filled in by hand when the value is read.',
  'A box that cannot be ticked, a value that differs and a step done otherwise are exceptions: stop, fill in an exception sheet, decide together, go on or abort.',
  'Nothing on this paper is a secret. Nobody writes a PIN, a share or a passphrase on it.',
]

/** Blanks above the participants. */
export const START_BLANKS = ['Place', 'Start (date, time)'] as const

/** Blanks above the root of the transcript. */
export const END_BLANKS = [
  'End (date, time)',
  'Entries in the transcript',
  'Exception sheets',
] as const

/** Head of the participants' table. */
export const PARTICIPANT_HEAD = ['Role', 'Name', 'Signature', 'Date', 'Time'] as const

/** Head of the table of steps. */
export const STEP_HEAD = ['Step', 'Activity', 'Expected value', 'Initials', 'Time'] as const

/** Above the signatures on the last page. */
export const FINAL_STATEMENT =
  'By signing “agree” I state that this script was carried out in my presence as it is written here, with the exceptions recorded on the exception sheets, and that the root written above is the one I saw. If I do not agree, I sign “do not agree” and say why.'

/** Places to fill in on an exception sheet, with the number of lines. */
export const EXCEPTION_FIELDS: readonly (readonly [string, number])[] = [
  ['Step, and time it was noticed', 1],
  ['Expected', 4],
  ['Happened', 6],
  ['Decision, and who took it', 5],
  ['Noticed by (name, signature)', 1],
  ['Resolved (time), or ceremony aborted (time)', 1],
]

/** Exception sheets printed with every script; more are copied in the room. */
export const EXCEPTION_SHEETS = 2
