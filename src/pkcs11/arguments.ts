/**
 * Checks of what callers pass to the port, before anything native sees it. pkcs11js crashes or
 * reads foreign memory on several wrong arguments, so "it would throw anyway" does not hold.
 */
import { utf8 } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import { CKU } from './constants.ts'
import type { UserType } from './cryptoki.ts'

/** Longest data one call takes, 16 MiB; longer inputs belong in several calls. */
const MAX_DATA = 0x100_0000
const MAX_PIN = 255
const LABEL_BYTES = 32
const VENDOR_DEFINED = 0x8000_0000
const UINT32_MAX = 0xffff_ffff

const kindOf = (value: unknown): string =>
  value === null ? 'null' : value instanceof Object ? value.constructor.name : typeof value

/** Throws ARGUMENT_INVALID; `got` is a type or a length, never a value. */
export function refuse(where: string, expected: string, got: string, hint?: string): never {
  throw new TokenError('ARGUMENT_INVALID', `${where}: wrong argument`, {
    where,
    expected,
    got,
    hint,
  })
}

/** An integer within bounds. */
export function checkInteger(value: unknown, where: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value
  }
  return refuse(
    where,
    `integer ${min} to ${max}`,
    typeof value === 'number' ? `${value}` : kindOf(value),
  )
}

/** A slot id as the eight bytes pkcs11js wants. */
export function slotBuffer(slotId: unknown, where: string): Buffer {
  const slot = checkInteger(slotId, `${where} slotId`, 0, Number.MAX_SAFE_INTEGER)
  return handleBuffer(BigInt(slot), where)
}

/** A session or object handle as the eight bytes pkcs11js wants. */
export function handleBuffer(handle: unknown, where: string): Buffer {
  const out = Buffer.allocUnsafe(8)
  out.writeBigUInt64LE(checkHandle(handle, where))
  return out
}

/** A handle: a bigint of 64 bits. */
export function checkHandle(handle: unknown, where: string): bigint {
  if (typeof handle === 'bigint' && handle >= 0n && handle <= 0xffff_ffff_ffff_ffffn) return handle
  return refuse(`${where} handle`, 'a handle this library returned', kindOf(handle))
}

/** Several handles of one call. */
export function checkHandles(where: string, ...handles: readonly unknown[]): void {
  for (const handle of handles) checkHandle(handle, where)
}

/** Data for pkcs11js: a Buffer over the same memory, with a valid address even when it is empty. */
export function dataBuffer(data: unknown, where: string, max = MAX_DATA): Buffer {
  if (!(data instanceof Uint8Array)) refuse(`${where} data`, 'Uint8Array', kindOf(data))
  if (data.length > max) {
    refuse(`${where} data`, `at most ${max} bytes`, `${data.length} bytes`, 'use several calls')
  }
  // Several modules refuse a NULL data pointer even with length 0.
  if (data.length === 0) return Buffer.allocUnsafeSlow(16).subarray(0, 0)
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

/** A PIN: bytes, or null for the protected authentication path. Never a string. */
export function checkPin(pin: unknown, where: string): Uint8Array | null {
  if (pin === null) return null
  if (!(pin instanceof Uint8Array)) {
    refuse(
      `${where} pin`,
      'Uint8Array, or null for a PIN pad',
      kindOf(pin),
      'a string cannot be wiped',
    )
  }
  if (pin.length === 0 || pin.length > MAX_PIN) {
    refuse(`${where} pin`, `1 to ${MAX_PIN} bytes, or null for a PIN pad`, `${pin.length} bytes`)
  }
  return pin
}

/** CKU_* of a user type. */
export function userNumber(user: UserType): number {
  if (user === 'so') return CKU.SO
  if (user === 'user') return CKU.USER
  if (user === 'context-specific') return CKU.CONTEXT_SPECIFIC
  if (typeof (user as unknown) !== 'number') {
    refuse('C_Login user', 'so, user, context-specific or a vendor number', kindOf(user))
  }
  return checkInteger(user, 'C_Login user', VENDOR_DEFINED, UINT32_MAX)
}

/** A token label as C_InitToken reads it: exactly 32 bytes, padded with spaces (v2.40 §5.5). */
export function paddedLabel(label: unknown): Uint8Array {
  const where = 'C_InitToken label'
  if (typeof label !== 'string' || !label.isWellFormed()) refuse(where, 'text', kindOf(label))
  if (/[\u0000-\u001f\u007f]/.test(label)) refuse(where, 'no control characters', 'some')
  const bytes = utf8(label)
  if (bytes.length === 0 || bytes.length > LABEL_BYTES) {
    refuse(where, '1 to 32 bytes of UTF-8', `${bytes.length} bytes`)
  }
  const out = new Uint8Array(LABEL_BYTES).fill(0x20)
  out.set(bytes)
  return out
}
