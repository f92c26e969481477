/** The read-only calls about module, slots, tokens and mechanisms, over pkcs11js. */
import type * as Pkcs11js from 'pkcs11js'

import { TokenError } from '../errors.ts'
import { checkInteger, slotBuffer } from './arguments.ts'
import type {
  CryptokiInfo,
  CryptokiTokenInfo,
  MechanismInfo,
  SlotInfo,
  Version,
} from './cryptoki.ts'
import { pkcs11Error, returnValueOf } from './return-value.ts'

/** CK_UNAVAILABLE_INFORMATION as pkcs11js gives it: cut to 32 bits. */
const UNAVAILABLE = 0xffff_ffff

/** Fixed-width fields are padded with spaces, by some modules with NULs. */
const trimmed = (text: string): string => text.replace(/[\u0000 ]+$/, '')

const version = ({ major, minor }: Pkcs11js.Version): Version => `${major}.${minor}`

const known = (count: number): number | undefined => (count === UNAVAILABLE ? undefined : count)

/** 0 means "effectively infinite" (v2.40 §3.2, CK_TOKEN_INFO). */
const limit = (count: number): number | undefined =>
  count === 0 ? Number.POSITIVE_INFINITY : known(count)

/** Runs one pkcs11js function and gives its failures one class. */
export function translated<Result>(fn: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    const ckr = returnValueOf(error)
    if (ckr !== undefined) throw pkcs11Error(fn, ckr)
    if (error instanceof TokenError) throw error
    throw new TokenError('ARGUMENT_INVALID', `${fn}: refused before the module was called`, {
      where: fn,
      cause: error,
    })
  }
}

/** Base of `NativeCryptoki`. */
export abstract class ModuleQueries {
  /** The pkcs11js object; throws once the port is closed. */
  protected abstract get lib(): Pkcs11js.PKCS11

  protected call<Result>(fn: string, run: (lib: Pkcs11js.PKCS11) => Result): Result {
    return translated(fn, () => run(this.lib))
  }

  protected slotNumber(slot: Buffer): number {
    const id = slot.readBigUInt64LE()
    if (id <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(id)
    throw new TokenError('ARGUMENT_INVALID', 'the module numbers its slots beyond 2^53', {
      where: 'C_GetSlotList',
      expected: 'slot ids up to 9007199254740991',
      got: id.toString(),
    })
  }

  info(): CryptokiInfo {
    const info = this.call('C_GetInfo', (lib) => lib.C_GetInfo())
    return {
      cryptokiVersion: version(info.cryptokiVersion),
      manufacturerId: trimmed(info.manufacturerID),
      libraryDescription: trimmed(info.libraryDescription),
      libraryVersion: version(info.libraryVersion),
    }
  }

  slots(tokenPresent: boolean): number[] {
    const list = this.call('C_GetSlotList', (lib) => lib.C_GetSlotList(tokenPresent))
    return list.map((slot) => this.slotNumber(slot))
  }

  slotInfo(slotId: number): SlotInfo {
    const slot = slotBuffer(slotId, 'C_GetSlotInfo')
    const info = this.call('C_GetSlotInfo', (lib) => lib.C_GetSlotInfo(slot))
    return {
      description: trimmed(info.slotDescription),
      manufacturerId: trimmed(info.manufacturerID),
      flags: info.flags,
      hardwareVersion: version(info.hardwareVersion),
      firmwareVersion: version(info.firmwareVersion),
    }
  }

  tokenInfo(slotId: number): CryptokiTokenInfo {
    const slot = slotBuffer(slotId, 'C_GetTokenInfo')
    const info = this.call('C_GetTokenInfo', (lib) => lib.C_GetTokenInfo(slot))
    return {
      label: trimmed(info.label),
      manufacturerId: trimmed(info.manufacturerID),
      model: trimmed(info.model),
      serial: trimmed(info.serialNumber),
      flags: info.flags,
      maxSessionCount: limit(info.maxSessionCount),
      sessionCount: known(info.sessionCount),
      maxRwSessionCount: limit(info.maxRwSessionCount),
      rwSessionCount: known(info.rwSessionCount),
      minPinLength: info.minPinLen,
      maxPinLength: info.maxPinLen,
      hardwareVersion: version(info.hardwareVersion),
      firmwareVersion: version(info.firmwareVersion),
    }
  }

  mechanismList(slotId: number): number[] {
    const slot = slotBuffer(slotId, 'C_GetMechanismList')
    return this.call('C_GetMechanismList', (lib) => lib.C_GetMechanismList(slot))
  }

  mechanismInfo(slotId: number, type: number): MechanismInfo {
    const slot = slotBuffer(slotId, 'C_GetMechanismInfo')
    checkInteger(type, 'C_GetMechanismInfo type', 0, 0xffff_ffff)
    const info = this.call('C_GetMechanismInfo', (lib) => lib.C_GetMechanismInfo(slot, type))
    return { minKeySize: info.minKeySize, maxKeySize: info.maxKeySize, flags: info.flags }
  }
}
