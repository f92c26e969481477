/**
 * The recovery ladder: what to do when a token stops answering, cheapest step first.
 *
 *   session   the failed session was thrown away; try again on another
 *   relogin   new login session, PIN asked again
 *   reinit    C_Finalize and C_Initialize, find the token by its identity, log in
 *   reload    dlclose and dlopen, then as reinit
 *   operator  a person has to act; the next call starts over
 *
 * Every step from `relogin` on waits until no job runs on another thread (`jobs.ts`), and ends the connection epoch: handles of before are never used again,
 * because a number that named one key may name another now. Keys are found again by id and KCV.
 */
import { KeyriteError, Pkcs11Error, TokenError } from '../errors.ts'
import type { Retry, TokenErrorCode } from '../errors.ts'

/** Steps that change the connection, in order. */
export type RecoveryStep = 'relogin' | 'reinit' | 'reload'

const STEPS: readonly RecoveryStep[] = ['relogin', 'reinit', 'reload']

/** Whether the ladder has an answer to this error at all. */
export const isRecoverable = (error: unknown): error is Pkcs11Error =>
  error instanceof Pkcs11Error &&
  error.category !== 'capacity' &&
  (error.retry === 'session' || error.retry === 'relogin' || isStep(error.retry))

const isStep = (retry: Retry): retry is RecoveryStep => (STEPS as readonly Retry[]).includes(retry)

/** The step that an error's `retry` asks for after a new session did not help. */
export const firstStep = (error: Pkcs11Error): RecoveryStep =>
  isStep(error.retry) ? error.retry : 'relogin'

/**
 * Errors that no further step can mend. A wrong PIN is one of them: another try could lock the token.
 */
function endsLadder(error: unknown): boolean {
  if (error instanceof Pkcs11Error) {
    return error.category === 'auth' || error.category === 'auth-locked'
  }
  return !(error instanceof TokenError) || FINAL.includes(error.code)
}

const FINAL: readonly TokenErrorCode[] = ['ALREADY_LOGGED_IN', 'TOKEN_AMBIGUOUS', 'MODULE_BUSY']

/** `CONNECTION_LOST`: the ladder is at its end. */
export function connectionLost(where: string, hint: string, cause: unknown): TokenError {
  return new TokenError('CONNECTION_LOST', 'the connection to the token is lost', {
    where,
    got: cause instanceof KeyriteError ? cause.message : undefined,
    hint,
    cause,
  })
}

/**
 * Climbs from `first` until a step holds.
 * @throws TokenError CONNECTION_LOST when none did; the step's own error when it ends the ladder.
 */
export async function climb(
  where: string,
  first: RecoveryStep,
  step: (name: RecoveryStep) => Promise<void>,
): Promise<void> {
  let last: unknown
  for (const name of STEPS.slice(STEPS.indexOf(first))) {
    try {
      await step(name)
      return
    } catch (error) {
      if (endsLadder(error)) throw error
      last = error
    }
  }
  throw connectionLost(
    where,
    'bring the device or its server back; the next call tries again',
    last,
  )
}
