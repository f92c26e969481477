/** The dual-control level a ceremony reached, in words that claim no more than what was enforced. */
import type { EntryOf } from './entries.ts'
import type { Journal } from './journal.ts'

type Level = EntryOf<'ceremony.close'>['dualControl']

/** Read from the transcript alone, so that a verifier reaches the same words. */
export function dualControlLevel(journal: Pick<Journal, 'of'>): Level {
  const logins = journal.of('record').filter(({ name }) => name === 'quorum.login')
  const initialised = journal.of('result').filter(({ op }) => op === 'C_InitPIN')
  const negative = journal.of('check').some(({ name }) => name === 'quorum.negative')
  const wrapped = journal.of('result').some(({ op }) => op === 'key.wrap')
  const session =
    'Once the quorum has logged in, this host holds the PIN and the session: every call in it is ' +
    'ordered and approved by software; the PIN is changed and split anew before the ceremony ends.'
  if (logins.length + initialised.length === 0) {
    return {
      level: 'none: no token was opened',
      evidence: 'software-enforced',
      atRest: 'nothing was created',
      session: 'no session was opened',
    }
  }
  return {
    level: negative
      ? 'split PIN, shown: the token refused one custodian alone'
      : 'split PIN: one custodian alone does not have it',
    evidence: negative ? 'hsm-enforced' : 'crypto-verified',
    atRest: wrapped
      ? 'wrapped copies need the KEKs of two tokens; keys on a token need its split PIN'
      : 'keys on a token need its split PIN',
    session,
  }
}
