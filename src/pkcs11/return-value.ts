/**
 * What a CK_RV means: its name, its family, and what a caller may do about it.
 * Classified by number, never by the text or class of an exception.
 */
import { Pkcs11Error } from '../errors.ts'
import type { ErrorDetail, Pkcs11Category, Retry } from '../errors.ts'
import { CKR } from './constants-ckr.ts'

/** Name of a PKCS#11 v3.2 return value without `CKR_`. */
export type ReturnValueName = keyof typeof CKR

/** A CK_RV of all ones: RPC clients answer it for every call once their server is gone. */
const RV_ALL_ONES = -1

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(CKR).map(([name, value]) => [value, name]),
)

/** `CKR_PIN_INCORRECT` for 0xa0; `CKR_0x...` when unknown; `CKR_0xffffffffffffffff` for -1. */
export function returnValueName(ckr: number): string {
  if (ckr === RV_ALL_ONES) return 'CKR_0xffffffffffffffff'
  return `CKR_${NAMES.get(ckr) ?? `0x${ckr.toString(16)}`}`
}

/** Family and remedy of one group of return values. */
interface Meaning {
  readonly category: Pkcs11Category
  readonly retry: Retry
  readonly names: readonly ReturnValueName[]
}

/**
 * Every return value of v3.2 except CKR_OK, once.
 * `session`: a new session may do. `relogin`, `reinit`, `reload`: that step of the recovery ladder.
 * `operator`: a person has to do something first. `never`: the same call fails again.
 */
const MEANINGS: readonly Meaning[] = [
  {
    category: 'auth',
    retry: 'operator',
    names: ['PIN_INCORRECT', 'PIN_EXPIRED', 'USER_PIN_NOT_INITIALIZED', 'NEW_PIN_MODE', 'NEXT_OTP'],
  },
  {
    category: 'auth',
    retry: 'never',
    names: [
      'PIN_INVALID',
      'PIN_LEN_RANGE',
      'PIN_TOO_WEAK',
      'USER_ALREADY_LOGGED_IN',
      'USER_ANOTHER_ALREADY_LOGGED_IN',
      'USER_TYPE_INVALID',
      'USER_TOO_MANY_TYPES',
    ],
  },
  { category: 'auth', retry: 'relogin', names: ['USER_NOT_LOGGED_IN'] },
  { category: 'auth-locked', retry: 'operator', names: ['PIN_LOCKED'] },
  {
    category: 'session',
    retry: 'session',
    names: [
      'SESSION_CLOSED',
      'SESSION_HANDLE_INVALID',
      'OPERATION_ACTIVE',
      'OPERATION_NOT_INITIALIZED',
      'OPERATION_CANCEL_FAILED',
      'FUNCTION_CANCELED',
      'CANCEL',
      'OBJECT_HANDLE_INVALID',
      'KEY_HANDLE_INVALID',
      'WRAPPING_KEY_HANDLE_INVALID',
      'UNWRAPPING_KEY_HANDLE_INVALID',
    ],
  },
  {
    category: 'session',
    retry: 'never',
    names: [
      'SESSION_PARALLEL_NOT_SUPPORTED',
      'SESSION_READ_ONLY',
      'SESSION_EXISTS',
      'SESSION_READ_ONLY_EXISTS',
      'SESSION_READ_WRITE_SO_EXISTS',
      'SESSION_ASYNC_NOT_SUPPORTED',
      'SAVED_STATE_INVALID',
      'STATE_UNSAVEABLE',
      'PENDING',
    ],
  },
  {
    category: 'token-gone',
    retry: 'reinit',
    names: ['DEVICE_REMOVED', 'TOKEN_NOT_PRESENT'],
  },
  { category: 'token-gone', retry: 'never', names: ['TOKEN_NOT_RECOGNIZED', 'SLOT_ID_INVALID'] },
  { category: 'token-gone', retry: 'operator', names: ['TOKEN_NOT_INITIALIZED'] },
  {
    category: 'policy',
    retry: 'never',
    names: [
      'ACTION_PROHIBITED',
      'ATTRIBUTE_READ_ONLY',
      'ATTRIBUTE_SENSITIVE',
      'INFORMATION_SENSITIVE',
      'KEY_FUNCTION_NOT_PERMITTED',
      'KEY_NOT_WRAPPABLE',
      'KEY_UNEXTRACTABLE',
      'KEY_TYPE_INCONSISTENT',
      'WRAPPING_KEY_TYPE_INCONSISTENT',
      'UNWRAPPING_KEY_TYPE_INCONSISTENT',
      'TOKEN_WRITE_PROTECTED',
      'OPERATION_NOT_VALIDATED',
      'FUNCTION_REJECTED',
    ],
  },
  {
    category: 'mechanism',
    retry: 'never',
    names: [
      'MECHANISM_INVALID',
      'MECHANISM_PARAM_INVALID',
      'CURVE_NOT_SUPPORTED',
      'PARAMETER_SET_NOT_SUPPORTED',
      'DOMAIN_PARAMS_INVALID',
      'FUNCTION_NOT_SUPPORTED',
      'FUNCTION_NOT_PARALLEL',
      'RANDOM_NO_RNG',
      'RANDOM_SEED_NOT_SUPPORTED',
      'EXCEEDED_MAX_ITERATIONS',
    ],
  },
  {
    category: 'data',
    retry: 'never',
    names: [
      'DATA_INVALID',
      'DATA_LEN_RANGE',
      'ENCRYPTED_DATA_INVALID',
      'ENCRYPTED_DATA_LEN_RANGE',
      'AEAD_DECRYPT_FAILED',
      'SIGNATURE_INVALID',
      'SIGNATURE_LEN_RANGE',
      'WRAPPED_KEY_INVALID',
      'WRAPPED_KEY_LEN_RANGE',
      'PUBLIC_KEY_INVALID',
    ],
  },
  {
    category: 'capacity',
    retry: 'session',
    names: ['SESSION_COUNT', 'TOKEN_RESOURCE_EXCEEDED'],
  },
  {
    category: 'capacity',
    retry: 'operator',
    names: ['HOST_MEMORY', 'DEVICE_MEMORY', 'KEY_EXHAUSTED'],
  },
  { category: 'device', retry: 'reinit', names: ['DEVICE_ERROR'] },
  // SoftHSM answers GENERAL_ERROR to a wrong GCM tag: no reason to tear the connection down.
  { category: 'device', retry: 'never', names: ['GENERAL_ERROR', 'FUNCTION_FAILED'] },
  {
    category: 'device',
    retry: 'operator',
    names: ['FIPS_SELF_TEST_FAILED', 'SEED_RANDOM_REQUIRED'],
  },
  { category: 'module', retry: 'reinit', names: ['CRYPTOKI_NOT_INITIALIZED'] },
  { category: 'module', retry: 'reload', names: ['LIBRARY_LOAD_FAILED'] },
  {
    category: 'module',
    retry: 'never',
    names: [
      'CRYPTOKI_ALREADY_INITIALIZED',
      'NEED_TO_CREATE_THREADS',
      'CANT_LOCK',
      'MUTEX_BAD',
      'MUTEX_NOT_LOCKED',
      'NO_EVENT',
    ],
  },
  {
    category: 'argument',
    retry: 'never',
    names: [
      'ARGUMENTS_BAD',
      'ATTRIBUTE_TYPE_INVALID',
      'ATTRIBUTE_VALUE_INVALID',
      'TEMPLATE_INCOMPLETE',
      'TEMPLATE_INCONSISTENT',
      'KEY_SIZE_RANGE',
      'WRAPPING_KEY_SIZE_RANGE',
      'UNWRAPPING_KEY_SIZE_RANGE',
      'KEY_NOT_NEEDED',
      'KEY_CHANGED',
      'KEY_NEEDED',
      'KEY_INDIGESTIBLE',
      'BUFFER_TOO_SMALL',
    ],
  },
]

const BY_NUMBER: ReadonlyMap<number, Meaning> = new Map(
  MEANINGS.flatMap((meaning) => meaning.names.map((name) => [CKR[name], meaning] as const)),
)

/** Codes above 0x80000000 are the vendor's; nothing is known about them. */
const UNKNOWN = { category: 'device', retry: 'operator' } as const
/** An RPC client that lost its server recovers by dlclose and dlopen only. */
const ALL_ONES = { category: 'device', retry: 'reload' } as const

/** Family and remedy of a return value. */
export function classify(ckr: number): { category: Pkcs11Category; retry: Retry } {
  const { category, retry } = BY_NUMBER.get(ckr) ?? (ckr === RV_ALL_ONES ? ALL_ONES : UNKNOWN)
  return { category, retry }
}

/** The error for a return value of C function `fn`. */
export const pkcs11Error = (fn: string, ckr: number, detail: ErrorDetail = {}): Pkcs11Error =>
  new Pkcs11Error({ rv: returnValueName(ckr), ckr, fn, ...classify(ckr) }, detail)

/** Throws {@link pkcs11Error} unless `ckr` is CKR_OK. */
export function assertOk(fn: string, ckr: number, detail?: ErrorDetail): void {
  if (ckr !== CKR.OK) throw pkcs11Error(fn, ckr, detail)
}

/** Whether `error` is a Pkcs11Error with one of the named return values. */
export const isReturnValue = (
  error: unknown,
  ...names: readonly ReturnValueName[]
): error is Pkcs11Error =>
  error instanceof Pkcs11Error && names.some((name) => CKR[name] === error.ckr)

/** All ones does not fit a double: pkcs11js prints 18446744073709551615 or its rounding. */
function toNumber(digits: string): number {
  const value = BigInt(digits)
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? RV_ALL_ONES : Number(value)
}

/**
 * The return value inside an exception of pkcs11js, which throws four different classes:
 * the number is in `code`, or in the text `CKR_NAME:number`. Undefined: not a return value.
 */
export function returnValueOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const match = /CKR_\w+:(\d+)/.exec(`${error.message}\n${error.stack ?? ''}`)
  if (match?.[1] !== undefined) return toNumber(match[1])
  const code: unknown = (error as { code?: unknown }).code
  if (typeof code !== 'number' || !/^CKR_\w+$/.test(error.message)) return undefined
  return code > Number.MAX_SAFE_INTEGER ? RV_ALL_ONES : code
}
