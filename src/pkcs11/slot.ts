/** Slots and tokens (PKCS#11 v3.2 §5.5): which tokens there are, and which one a URI names. */
import { TokenError } from '../errors.ts'
import { CKF_TOKEN, flagNames } from './constants.ts'
import type { Cryptoki, CryptokiTokenInfo } from './cryptoki.ts'
import { isReturnValue } from './return-value.ts'
import type { TokenInfo } from './types.ts'
import { matchesToken } from './uri.ts'
import type { Pkcs11Uri } from './uri.ts'

/** A token and the slot it is in now. Slot ids change; a token is known by its identity. */
export interface PresentToken {
  readonly info: TokenInfo
  readonly raw: CryptokiTokenInfo
}

const has = (flags: number, bit: number): boolean => (flags & bit) !== 0

function describe(slotId: number, raw: CryptokiTokenInfo): TokenInfo {
  return {
    slotId,
    label: raw.label,
    manufacturerId: raw.manufacturerId,
    model: raw.model,
    serial: raw.serial,
    firmwareVersion: raw.firmwareVersion,
    hardwareVersion: raw.hardwareVersion,
    flags: flagNames(CKF_TOKEN, raw.flags).map((name) => `CKF_${name}`),
  }
}

/**
 * Tokens in all slots, initialised or not. C_GetSlotList comes first: some modules answer
 * C_GetTokenInfo only after it. A token that went away between the two calls is left out.
 */
export function presentTokens(cryptoki: Cryptoki): PresentToken[] {
  return cryptoki.slots(true).flatMap((slotId) => {
    try {
      const raw = cryptoki.tokenInfo(slotId)
      return [{ info: describe(slotId, raw), raw }]
    } catch (error) {
      if (isReturnValue(error, 'TOKEN_NOT_PRESENT', 'TOKEN_NOT_RECOGNIZED', 'SLOT_ID_INVALID')) {
        return []
      }
      throw error
    }
  })
}

/** Whether CKF_TOKEN_INITIALIZED is set. SoftHSM always shows one more slot without it. */
export const isInitialised = ({ raw }: PresentToken): boolean =>
  has(raw.flags, CKF_TOKEN.TOKEN_INITIALIZED)

/** Initialised tokens. */
export const initialisedTokens = (cryptoki: Cryptoki): PresentToken[] =>
  presentTokens(cryptoki).filter(isInitialised)

const label = ({ info }: PresentToken): string => `${info.label} (serial ${info.serial})`

/** @throws TokenError TOKEN_NOT_FOUND, TOKEN_AMBIGUOUS. */
function exactlyOne(
  found: readonly PresentToken[],
  all: readonly PresentToken[],
  where: string,
): PresentToken {
  const [token, ...others] = found
  if (token === undefined) {
    throw new TokenError('TOKEN_NOT_FOUND', 'no such token', {
      where,
      expected: 'one initialised token that matches',
      got: all.length === 0 ? 'no initialised token' : all.map(label).join(', '),
      hint: 'is the device connected, and is this the right module?',
    })
  }
  if (others.length > 0) {
    throw new TokenError('TOKEN_AMBIGUOUS', 'more than one token matches', {
      where,
      expected: 'one token',
      got: found.map(label).join(', '),
      hint: 'add serial= to the URI',
    })
  }
  return token
}

/** The one token a URI names. @throws TokenError TOKEN_NOT_FOUND, TOKEN_AMBIGUOUS, ARGUMENT_INVALID. */
export function tokenByUri(cryptoki: Cryptoki, uri: Pkcs11Uri): PresentToken {
  const library = cryptoki.info()
  const all = initialisedTokens(cryptoki)
  const found = all.filter(({ info }) =>
    matchesToken(uri, { ...info, slot: cryptoki.slotInfo(info.slotId), library }),
  )
  return exactlyOne(found, all, `token=${uri.token ?? '(any)'};serial=${uri.serial ?? '(any)'}`)
}

/** The same token again, after slot ids may have changed. @throws TokenError TOKEN_NOT_FOUND, TOKEN_AMBIGUOUS. */
export function sameToken(cryptoki: Cryptoki, known: TokenInfo): PresentToken {
  const all = initialisedTokens(cryptoki)
  const found = all.filter(
    ({ info }) =>
      info.serial === known.serial &&
      info.label === known.label &&
      info.manufacturerId === known.manufacturerId &&
      info.model === known.model,
  )
  return exactlyOne(found, all, `token=${known.label};serial=${known.serial}`)
}
