/**
 * Logging in with the quorum's PIN. A login does not survive the process, so it is made when it is
 * needed: by the step that says so, and again by whatever runs after a resume.
 */
import { wipe } from '../bytes.ts'
import { Pkcs11Error, PolicyError } from '../errors.ts'
import { type Commitments, pinDigits } from '../quorum/index.ts'
import type { Token } from '../pkcs11/index.ts'
import { type Ceremony, type OpenToken, tokenUri } from './context.ts'
import { combineOpened } from './shares.ts'

/** Commitments that may fit the token's PIN: the ledger's, then those of a PIN change cut short. */
function candidates(ceremony: Ceremony, name: string): Commitments[] {
  const { user: current, pending: inherited } = ceremony.ledger.tokens[name] ?? {}
  const attempts = ceremony.journal
    .of('intent')
    .filter(({ op, args }) => op === 'C_SetPIN' && isFor(args, name))
  const changes = attempts.map(({ args }) => (args as { epoch: number }).epoch)
  const pending = ceremony.journal
    .of('shares.committed')
    .map(({ commitments }) => commitments as Commitments)
    .filter(
      ({ pin, tokenLabel, epoch }) =>
        pin === 'user' &&
        tokenLabel === ceremony.binding.tokens[name]?.label &&
        changes.includes(epoch) &&
        epoch !== current?.epoch,
    )
  // A change on record has happened; the old shares may be gone already.
  const last = attempts.at(-1)
  const done = ceremony.journal
    .of('result')
    .some(
      ({ intent, outcome }) =>
        intent === last?.seq && (outcome === 'done' || outcome === 'adopted'),
    )
  if (done && pending.length > 0) return pending.slice(-1)
  const known: (Commitments | undefined)[] = [current, inherited, ...pending.slice(-1)]
  return known.filter((split) => split !== undefined)
}

/** The login has shown which split opens the token: what a cut-short PIN change left open is settled. */
function settlePending(ceremony: Ceremony, name: string, epoch: number): void {
  const entry = ceremony.ledger.tokens[name]
  if (entry?.pending === undefined) return
  const { pending, ...known } = entry
  ceremony.ledger.tokens[name] = pending.epoch === epoch ? { ...known, user: pending } : known
}

const isFor = (args: unknown, name: string): boolean =>
  typeof args === 'object' && args !== null && 'token' in args && args.token === name

/** Logs in as the user with the secret; the digits never become a string. */
export async function loginWith(
  ceremony: Ceremony,
  uri: string,
  secret: Uint8Array,
  user: 'user' | 'so' = 'user',
): Promise<Token> {
  const pin = pinDigits(secret)
  try {
    return await ceremony.hsm.login(uri, {
      pin,
      user,
      ...(user === 'user' ? { pinAgain: () => Promise.resolve(pinDigits(secret)) } : {}),
    })
  } finally {
    wipe(pin)
  }
}

/** Opens a token with its custodians' shares; throws QuorumError or Pkcs11Error. */
export async function quorumLogin(
  ceremony: Ceremony,
  name: string,
  step: string,
): Promise<OpenToken> {
  const already = ceremony.open.get(name)
  if (already !== undefined) return already
  const known = candidates(ceremony, name)
  if (known.length === 0) {
    throw new PolicyError(
      'STATE_MISMATCH',
      'CER-QUORUM-1',
      `no split PIN is known for token ${name}`,
      {
        where: `step ${step}`,
        expected: 'a transcript of the ceremony that split it (binding: previous)',
      },
    )
  }
  const uri = tokenUri(ceremony, name)
  for (const [index, commitments] of known.entries()) {
    const secret = await combineOpened(ceremony, step, commitments)
    let token: Token
    try {
      token = await loginWith(ceremony, uri, secret)
    } catch (error) {
      wipe(secret)
      const wrongPin = error instanceof Pkcs11Error && error.rv === 'CKR_PIN_INCORRECT'
      if (!wrongPin || index === known.length - 1) throw error
      continue
    }
    const held = { token, secret, epoch: commitments.epoch }
    ceremony.open.set(name, held)
    settlePending(ceremony, name, commitments.epoch)
    await ceremony.journal.append(
      'record',
      step,
      { name: 'quorum.login', data: { token: name, uri, epoch: commitments.epoch } },
      ['hsm-enforced'],
    )
    return held
  }
  throw new RangeError('unreachable: every candidate either returned or threw')
}

/** The logged-in token an action needs; after a resume the quorum opens it again. */
export async function openToken(
  ceremony: Ceremony,
  name: string,
  step: string,
): Promise<OpenToken> {
  const held = ceremony.open.get(name)
  if (held !== undefined) return held
  const ended = ceremony.journal.of('step.end').map((entry) => entry.step)
  const loggedIn = ceremony.plan.steps
    .filter((planned) => planned.kind === 'do' && ended.includes(planned.id))
    .findLast(
      (planned) =>
        planned.kind === 'do' &&
        (planned.action === 'quorum.login' ||
          planned.action === 'quorum.logout' ||
          planned.action === 'token.initialise') &&
        planned.with.token === name,
    )
  if (loggedIn?.kind === 'do' && loggedIn.action !== 'quorum.logout')
    return quorumLogin(ceremony, name, step)
  throw new PolicyError('STATE_MISMATCH', 'CER-ORDER-1', `token ${name} is not open`, {
    where: `step ${step}`,
    expected: 'do: quorum.login before this step',
  })
}
