/** The dual-control level a ceremony reached, in words that claim no more than what was enforced. */
import type { EntryOf } from './entries.ts'
import type { Journal } from './journal.ts'

type Level = EntryOf<'ceremony.close'>['dualControl']

const named = (value: unknown): string =>
  typeof value === 'object' && value !== null && 'token' in value && typeof value.token === 'string'
    ? value.token
    : ''

/** Tokens whose PIN was put together in this host and not replaced since. */
function unchangedTokens(journal: Pick<Journal, 'of'>): string[] {
  const results = journal
    .of('result')
    .filter(({ outcome }) => outcome === 'done' || outcome === 'adopted')
  const whole = [
    ...journal
      .of('record')
      .filter(({ name }) => name === 'quorum.login')
      .map(({ seq, data }) => ({ token: named(data), seq })),
    ...journal
      .of('intent')
      .filter(({ op }) => op === 'C_InitPIN')
      .map(({ seq, args }) => ({ token: named(args), seq })),
  ]
  const changed = journal
    .of('intent')
    .filter(({ op, seq }) => op === 'C_SetPIN' && results.some(({ intent }) => intent === seq))
    .map(({ args, seq }) => ({ token: named(args), seq }))
  const left = whole.filter(
    ({ token, seq }) => !changed.some((change) => change.token === token && change.seq > seq),
  )
  return [...new Set(left.map(({ token }) => token))]
}

/** What opens the copies that were made, by their number of layers. */
function wrappedCopies(journal: Pick<Journal, 'of'>): string[] {
  const results = new Set(journal.of('result').map(({ intent }) => intent))
  const wraps = journal.of('intent').filter(({ op, seq }) => op === 'key.wrap' && results.has(seq))
  const nested = wraps.filter(({ args }) => Object.hasOwn(args as object, 'outer'))
  return [
    ...(nested.length > 0 ? ['wrapped copies need the KEKs of two tokens'] : []),
    ...(nested.length < wraps.length
      ? ['copies of embedding seeds need the KEK of one token, and so its split PIN']
      : []),
  ]
}

/** Read from the transcript alone, so that a verifier reaches the same words. */
export function dualControlLevel(journal: Pick<Journal, 'of'>): Level {
  const logins = journal.of('record').filter(({ name }) => name === 'quorum.login')
  const initialised = journal.of('result').filter(({ op }) => op === 'C_InitPIN')
  const negative = journal.of('check').some(({ name }) => name === 'quorum.negative')
  const kept = unchangedTokens(journal)
  const session =
    'Once the quorum has logged in, this host holds the PIN and the session: every call in it is ' +
    'ordered and approved by software. ' +
    (kept.length === 0
      ? 'Every PIN that was whole in this host was changed and split anew.'
      : `The PIN of ${kept.join(', ')} was whole in this host and was NOT changed afterwards.`)
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
    atRest: [...wrappedCopies(journal), 'keys on a token need its split PIN'].join('; '),
    session,
  }
}
