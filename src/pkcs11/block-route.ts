/**
 * How AES blocks reach a key: which mechanism, and whether in an operation that stays open. Found out by
 * trying on the key itself, once per connection epoch: another module or firmware may answer after a reconnect.
 */
import { concat, equal, wipe } from '../bytes.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import { AES_BLOCK, CBC_ZERO_IV, ECB } from './block-mechanism.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { quietly } from './enforcement-bench.ts'
import type { Mechanism } from './mechanism.ts'
import { multiPartPolicy } from './profile-vendors.ts'
import { isReturnValue } from './return-value.ts'
import type { BlockOperation } from './types.ts'

/** See the head of this file. */
export interface BlockRoute {
  readonly mechanism: Mechanism
  /** CBC under a zero IV: every block in a call of its own. */
  readonly singleBlocks: boolean
  /** C_EncryptUpdate in one open operation; else C_EncryptInit and C_Encrypt for each call. */
  readonly multiPart: boolean
}

/** The routes of one key. @throws TokenError MECHANISM_UNAVAILABLE; Pkcs11Error. */
export type ChooseRoute = (place: Place, key: ObjectHandle, operation: BlockOperation) => BlockRoute

/** Three different blocks; not the form of a block of FF1, FF3-1 or a check value. */
const SAMPLE = Uint8Array.from({ length: 3 * AES_BLOCK }, (_, at) => 0xf0 ^ at)

interface Found {
  readonly epoch: number
  readonly ecb: boolean
  // Found out at first need.
  allowed?: boolean
  multiPart?: boolean
}

/** Whether C_Encrypt takes ECB under this key. */
function takesEcb({ cryptoki, session }: Place, key: ObjectHandle): boolean {
  try {
    wipe(cryptoki.encrypt(session, ECB, key, SAMPLE))
    return true
  } catch (error) {
    if (isReturnValue(error, 'MECHANISM_INVALID')) return false
    throw error
  }
}

/** What a module says that has no multi-part form of the mechanism; and one that has no session to spare. */
const refusesMultiPart = (error: unknown): boolean =>
  error instanceof Pkcs11Error &&
  (error.retry === 'never' ||
    error.category === 'capacity' ||
    isReturnValue(error, 'OPERATION_NOT_INITIALIZED'))

/**
 * Whether C_EncryptUpdate returns whole blocks at once, C_EncryptFinal nothing, and both together what
 * C_Encrypt does. On a session of its own: a module that fails here may leave the operation open.
 */
function takesMultiPart({ cryptoki, session, slotId }: Place, key: ObjectHandle): boolean {
  const expected = cryptoki.encrypt(session, ECB, key, SAMPLE)
  try {
    const own = cryptoki.openSession(slotId, { readWrite: true })
    try {
      cryptoki.encryptInit(own, ECB, key)
      const first = cryptoki.encryptUpdate(own, SAMPLE.subarray(0, AES_BLOCK))
      const others = cryptoki.encryptUpdate(own, SAMPLE.subarray(AES_BLOCK))
      const none = cryptoki.encryptFinal(own)
      const whole = first.length === AES_BLOCK && none.length === 0
      return whole && equal(concat(first, others), expected)
    } finally {
      quietly(() => cryptoki.closeSession(own))
    }
  } catch (error) {
    if (refusesMultiPart(error)) return false
    throw error
  } finally {
    wipe(expected)
  }
}

/** Whether the vendor's documents allow it: see `profile-vendors.ts`. */
function allowsMultiPart({ cryptoki, slotId }: Place): boolean {
  const { libraryDescription, manufacturerId } = cryptoki.info()
  const token = cryptoki.tokenInfo(slotId)
  const names = [libraryDescription, manufacturerId, token.manufacturerId, token.model]
  return multiPartPolicy(names).allowed
}

function unavailable(where: string): TokenError {
  return new TokenError('MECHANISM_UNAVAILABLE', 'the token has no multi-part AES-ECB', {
    where: 'blockCipher: operation',
    expected: "operation: 'auto' or 'single-part'",
    got: `multi-part, and ${where}`,
    hint: 'keyrite doctor shows how blocks would be sent',
  })
}

/** A memory of what was found out about one key. */
export function blockRoutes(): ChooseRoute {
  let found: Found | undefined
  return (place, key, operation) => {
    if (found?.epoch !== place.epoch) found = { epoch: place.epoch, ecb: takesEcb(place, key) }
    if (!found.ecb) {
      if (operation === 'multi-part') throw unavailable('no AES-ECB at all')
      return { mechanism: CBC_ZERO_IV, singleBlocks: true, multiPart: false }
    }
    const wanted =
      operation === 'multi-part' ||
      (operation === 'auto' && (found.allowed ??= allowsMultiPart(place)))
    const multiPart = wanted && (found.multiPart ??= takesMultiPart(place, key))
    if (operation === 'multi-part' && !multiPart)
      throw unavailable('C_EncryptUpdate does not keep up')
    return { mechanism: ECB, singleBlocks: false, multiPart }
  }
}
