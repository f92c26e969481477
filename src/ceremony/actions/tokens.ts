/** Actions on a token as a whole: initialise, log in and out, re-split the PIN, negative control. */
import { wipe } from '../../bytes.ts'
import { Pkcs11Error, PolicyError, QuorumError, TokenError } from '../../errors.ts'
import type { TokenInfo } from '../../pkcs11/index.ts'
import { type Commitments, combineShares, pinDigits, randomPin } from '../../quorum/index.ts'
import type { JsonObject } from '../../types.ts'
import { actingPeople, needed } from '../acting.ts'
import { stepApprover } from '../approvals.ts'
import { type Ceremony, closeToken, tokenUri } from '../context.ts'
import { loggedCommitments } from '../logged-commitments.ts'
import { loginWith, openToken, quorumLogin } from '../login.ts'
import type { ActionStep } from '../plan.ts'
import { combineOpened, issueShares, openOwnShare, removeShares } from '../shares.ts'

/** Serial that scopes shares of a token that has none yet. */
const UNASSIGNED = 'unassigned'

/** The step's last committed split of a PIN, if the holders have signed for it. */
function committed(ceremony: Ceremony, step: string, pin: 'user' | 'so'): Commitments | undefined {
  const entry = ceremony.journal
    .of('shares.committed', step)
    .findLast(({ commitments }) => commitments.pin === pin)
  return entry?.commitments
}

const started = (ceremony: Ceremony, step: string, op: string): boolean =>
  ceremony.journal.of('intent', step).some((intent) => intent.op === op)

async function initialised(ceremony: Ceremony, label: string): Promise<TokenInfo | undefined> {
  return (await ceremony.hsm.tokens()).find((token) => token.label === label)
}

/** What a token says of a PIN that is not its own; the last one before C_InitPIN. */
const REFUSES_PIN: ReadonlySet<string> = new Set([
  'CKR_PIN_INCORRECT',
  'CKR_PIN_INVALID',
  'CKR_PIN_LEN_RANGE',
  'CKR_USER_PIN_NOT_INITIALIZED',
])

/** Tries a PIN: the return value by which the token refused it, or undefined; no session is kept. */
async function pinRefusal(
  ceremony: Ceremony,
  uri: string,
  secret: Uint8Array,
  user: 'user' | 'so',
): Promise<string | undefined> {
  try {
    const session = await loginWith(ceremony, uri, secret, user)
    await session[Symbol.asyncDispose]()
    return undefined
  } catch (error) {
    if (error instanceof Pkcs11Error && REFUSES_PIN.has(error.rv)) return error.rv
    throw error
  }
}

/**
 * `token.initialise`: C_InitToken under a split SO PIN, then C_InitPIN with a split user PIN. Each PIN is
 * 32 random bytes; no share counts before all its holders have signed for it.
 */
export async function initialiseToken(
  ceremony: Ceremony,
  step: ActionStep<'do', 'token.initialise'>,
): Promise<void> {
  const name = step.with.token
  const label = ceremony.binding.tokens[name]?.label ?? name
  const resumed = started(ceremony, step.id, 'C_InitToken')
  if (!resumed && (await initialised(ceremony, label)) !== undefined) {
    throw new PolicyError(
      'STATE_MISMATCH',
      'CER-TOKEN-1',
      `token ${label} is already initialised`,
      {
        where: `step ${step.id}`,
        expected: 'a blank token',
        hint: 'an initialised token is only ever destroyed by a ceremony that says so',
      },
    )
  }
  const soCommitted = resumed ? committed(ceremony, step.id, 'so') : undefined
  const soSecret = soCommitted
    ? await combineOpened(ceremony, step.id, soCommitted)
    : await randomPin(ceremony.random)
  try {
    const so =
      soCommitted ??
      (await issueShares(
        ceremony,
        { step: step.id, tokenLabel: label, tokenSerial: UNASSIGNED, pin: 'so', epoch: 1 },
        soSecret,
      ))
    const ask = stepApprover(ceremony, step)
    const { serial } = await ceremony.wal.mutate<{ serial: string }>(
      {
        step: step.id,
        op: 'C_InitToken',
        args: { token: name, label },
        evidence: ['module-reported'],
        call: () => initToken(ceremony, name, label, soSecret),
        inspect: async () => {
          const token = await initialised(ceremony, label)
          if (token === undefined) return { state: 'not-done' }
          const uri = `pkcs11:token=${encodeURIComponent(label)};serial=${encodeURIComponent(token.serial)}`
          if ((await pinRefusal(ceremony, uri, soSecret, 'so')) === undefined) {
            return { state: 'done', data: { serial: token.serial } }
          }
          throw new PolicyError(
            'STATE_MISMATCH',
            'CER-TOKEN-1',
            'the SO PIN does not open the token',
            {
              where: uri,
              expected: 'the token this ceremony initialised',
              got: 'another token with the same label',
            },
          )
        },
      },
      ask,
    )
    ceremony.ledger.tokens[name] = { label, serial, so: loggedCommitments(so) }
    await initialiseUserPin(ceremony, step, name, soSecret, ask)
  } finally {
    wipe(soSecret)
  }
}

/** The slot to initialise; never a guess among several devices. */
async function blankSlot(ceremony: Ceremony, name: string): Promise<number> {
  const blank = await ceremony.hsm.blankSlots()
  const bound = ceremony.binding.tokens[name]?.slot
  const fitting = bound === undefined ? blank : blank.filter((slotId) => slotId === bound)
  const [slotId] = fitting
  if (slotId === undefined) {
    throw new TokenError('TOKEN_NOT_FOUND', 'there is no blank token to initialise', {
      where: ceremony.hsm.info.path,
      expected:
        bound === undefined ? 'one slot with a blank token' : `a blank token in slot ${bound}`,
      got: blank.length === 0 ? 'no blank token' : `blank tokens in slots ${blank.join(', ')}`,
      hint: 'insert a blank token; an initialised one is never overwritten',
    })
  }
  if (fitting.length > 1) {
    throw new TokenError('TOKEN_AMBIGUOUS', 'several slots hold a blank token', {
      where: `binding: tokens.${name}.slot`,
      expected: 'the slot of the token to initialise',
      got: `blank tokens in slots ${blank.join(', ')}`,
    })
  }
  return slotId
}

async function initToken(
  ceremony: Ceremony,
  name: string,
  label: string,
  soSecret: Uint8Array,
): Promise<{ serial: string }> {
  const slotId = await blankSlot(ceremony, name)
  const soPin = pinDigits(soSecret)
  try {
    const { serial } = await ceremony.hsm.initToken({ slotId }, label, soPin)
    return { serial }
  } finally {
    wipe(soPin)
  }
}

async function initialiseUserPin(
  ceremony: Ceremony,
  step: ActionStep<'do', 'token.initialise'>,
  name: string,
  soSecret: Uint8Array,
  ask: ReturnType<typeof stepApprover>,
): Promise<void> {
  const entry = ceremony.ledger.tokens[name]
  if (entry === undefined) throw new RangeError('token is not in the ledger')
  const { label, serial } = entry
  const uri = tokenUri(ceremony, name)
  const previous = started(ceremony, step.id, 'C_InitPIN')
    ? committed(ceremony, step.id, 'user')
    : undefined
  const secret = previous
    ? await combineOpened(ceremony, step.id, previous)
    : await randomPin(ceremony.random)
  try {
    const user =
      previous ??
      (await issueShares(
        ceremony,
        { step: step.id, tokenLabel: label, tokenSerial: serial, pin: 'user', epoch: 1 },
        secret,
      ))
    await ceremony.wal.mutate(
      {
        step: step.id,
        op: 'C_InitPIN',
        args: { token: name, epoch: 1 },
        evidence: ['module-reported'],
        call: async () => {
          const pin = pinDigits(secret)
          try {
            await using officer = await loginWith(ceremony, uri, soSecret, 'so')
            await officer.initPin(pin)
          } finally {
            wipe(pin)
          }
          return null
        },
        inspect: async () =>
          (await pinRefusal(ceremony, uri, secret, 'user')) === undefined
            ? { state: 'done', data: null }
            : { state: 'not-done' },
      },
      ask,
    )
    ceremony.ledger.tokens[name] = { ...entry, user: loggedCommitments(user) }
  } finally {
    wipe(secret)
  }
}

/** `quorum.login`. */
export async function login(
  ceremony: Ceremony,
  step: ActionStep<'do', 'quorum.login'>,
): Promise<void> {
  await quorumLogin(ceremony, step.with.token, step.id)
}

/** `quorum.logout`: handles and session objects die, the PIN secret is wiped. */
export async function logout(
  ceremony: Ceremony,
  step: ActionStep<'do', 'quorum.logout'>,
): Promise<void> {
  const name = step.with.token
  await closeToken(ceremony, name)
  await ceremony.journal.append(
    'record',
    step.id,
    { name: 'quorum.logout', data: { token: name } },
    ['module-reported'],
  )
}

/**
 * `quorum.resplit`: a new user PIN, split among all custodians; C_SetPIN only after every receipt. The
 * PIN that was whole in this host's memory is then worthless.
 */
export async function resplit(
  ceremony: Ceremony,
  step: ActionStep<'do', 'quorum.resplit'>,
): Promise<void> {
  const name = step.with.token
  const held = await openToken(ceremony, name, step.id)
  const entry = ceremony.ledger.tokens[name]
  const old = entry?.user
  if (entry === undefined || old === undefined) {
    throw new PolicyError(
      'STATE_MISMATCH',
      'CER-RESPLIT-1',
      `no split PIN is known for token ${name}`,
    )
  }
  const epoch = old.epoch + 1
  const pending = committed(ceremony, step.id, 'user')
  const changed = pending !== undefined && held.epoch === epoch
  const secret = changed ? held.secret.slice() : await randomPin(ceremony.random)
  try {
    const next = changed
      ? pending
      : await issueShares(
          ceremony,
          { step: step.id, tokenLabel: entry.label, tokenSerial: entry.serial, pin: 'user', epoch },
          secret,
        )
    await ceremony.wal.mutate(
      {
        step: step.id,
        op: 'C_SetPIN',
        args: { token: name, epoch },
        evidence: ['hsm-enforced'],
        call: () => changePin(ceremony, name, secret, epoch),
        inspect: () =>
          Promise.resolve(changed ? { state: 'done', data: null } : { state: 'not-done' }),
      },
      stepApprover(ceremony, step),
    )
    ceremony.ledger.tokens[name] = { ...entry, user: loggedCommitments(next) }
  } finally {
    wipe(secret)
  }
  await removeShares(ceremony, old)
}

/** C_SetPIN, then proof by use: a new login with the new PIN replaces the old one. */
async function changePin(
  ceremony: Ceremony,
  name: string,
  secret: Uint8Array,
  epoch: number,
): Promise<null> {
  const held = ceremony.open.get(name)
  if (held === undefined) throw new RangeError('token is not open')
  const [oldPin, newPin] = [pinDigits(held.secret), pinDigits(secret)]
  try {
    await held.token.setPin(oldPin, newPin)
  } finally {
    wipe(oldPin, newPin)
  }
  await closeToken(ceremony, name)
  // A copy: the caller wipes its own, and a lost connection needs the PIN again.
  const kept = secret.slice()
  const token = await loginWith(ceremony, tokenUri(ceremony, name), kept)
  ceremony.open.set(name, { token, secret: kept, epoch })
  return null
}

/** `quorum.negative`: one custodian alone is refused, by keyrite and by the token. */
export async function loneCustodian(
  ceremony: Ceremony,
  step: ActionStep<'check', 'quorum.negative'>,
): Promise<JsonObject> {
  const name = step.with.token
  const commitments = ceremony.ledger.tokens[name]?.user as Commitments | undefined
  if (commitments === undefined) {
    throw new PolicyError(
      'STATE_MISMATCH',
      'CER-QUORUM-1',
      `no split PIN is known for token ${name}`,
    )
  }
  if (ceremony.open.has(name)) {
    throw new PolicyError('STATE_MISMATCH', 'CER-NEGATIVE-1', 'the token is already open', {
      where: `step ${step.id}`,
      expected: 'the negative control before the login',
    })
  }
  const [person] = await actingPeople(ceremony, 'custodian', step.id)
  if (person === undefined) throw new RangeError('no custodian acts')
  const share = await openOwnShare(ceremony, step.id, person, commitments)
  const refusals: JsonObject[] = []
  try {
    try {
      await combineShares([share], commitments)
    } catch (error) {
      if (!(error instanceof QuorumError)) throw error
      refusals.push({
        by: 'keyrite',
        error: error.code,
        have: 1,
        need: needed(ceremony, 'custodian'),
      })
    }
    const lone = share.value.slice(0, 32)
    const refused = await pinRefusal(ceremony, tokenUri(ceremony, name), lone, 'user')
    wipe(lone)
    if (refused !== undefined) refusals.push({ by: 'token', error: refused })
  } finally {
    wipe(share.value, share.salt)
  }
  if (refusals.length !== 2) {
    throw new PolicyError(
      'ENFORCEMENT_MISSING',
      'CER-NEGATIVE-1',
      'one custodian alone was not refused',
      {
        where: `step ${step.id}`,
        expected: 'refusal by keyrite and by the token',
      },
    )
  }
  return { token: name, custodian: person.id, index: share.index, refusals }
}
