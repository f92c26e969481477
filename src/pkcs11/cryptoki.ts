/**
 * The internal port over one loaded and initialised PKCS#11 module: synchronous C_* calls with
 * typed, checked arguments. `native.ts` implements it; everything above codes against it.
 *
 * Rules of every method: throws {@link Pkcs11Error} when the module returns anything but CKR_OK,
 * TokenError ARGUMENT_INVALID before the module is called when an argument is wrong, and
 * TokenError MODULE_CLOSED after {@link Cryptoki.close}. Nothing is retried here. Byte arrays passed
 * in are neither kept nor changed; returned ones belong to the caller, who wipes secret ones.
 */
import type {
  AttributeName,
  AttributeRead,
  AttributeValue,
  Template,
  VendorAttribute,
} from './attribute.ts'
import type { NativeBatch, NativeCipherOptions, NativeOutcome } from '../feistel-addon.ts'
import type { Mechanism } from './mechanism.ts'

declare const sessionBrand: unique symbol
declare const objectBrand: unique symbol

/** CK_SESSION_HANDLE. Dies with the session, the module's finalisation, or the connection. */
export type SessionHandle = bigint & { readonly [sessionBrand]: true }

/** CK_OBJECT_HANDLE. Never outlives a connection epoch. Compare with `===`. */
export type ObjectHandle = bigint & { readonly [objectBrand]: true }

/** `major.minor` of a CK_VERSION. */
export type Version = string

/** CK_INFO, text trimmed. */
export interface CryptokiInfo {
  readonly cryptokiVersion: Version
  readonly manufacturerId: string
  readonly libraryDescription: string
  readonly libraryVersion: Version
}

/** CK_SLOT_INFO, text trimmed. */
export interface SlotInfo {
  readonly description: string
  readonly manufacturerId: string
  /** CKF_SLOT bits. */
  readonly flags: number
  readonly hardwareVersion: Version
  readonly firmwareVersion: Version
}

/** CK_TOKEN_INFO, text trimmed. Counts are `undefined` when the token does not say. */
export interface CryptokiTokenInfo {
  readonly label: string
  readonly manufacturerId: string
  readonly model: string
  readonly serial: string
  /** CKF_TOKEN bits; names with `flagNames(CKF_TOKEN, flags)`. */
  readonly flags: number
  readonly maxSessionCount: number | undefined
  readonly sessionCount: number | undefined
  readonly maxRwSessionCount: number | undefined
  readonly rwSessionCount: number | undefined
  readonly minPinLength: number
  readonly maxPinLength: number
  readonly hardwareVersion: Version
  readonly firmwareVersion: Version
}

/** CK_MECHANISM_INFO. Key sizes are bits or bytes, depending on the mechanism and the module. */
export interface MechanismInfo {
  readonly minKeySize: number
  readonly maxKeySize: number
  /** CKF_MECHANISM bits. */
  readonly flags: number
}

/** CK_SESSION_INFO. */
export interface SessionInfo {
  readonly slotId: number
  /** CKS_*. */
  readonly state: number
  readonly flags: number
  readonly deviceError: number
}

/** Whom to log in: a standard user, or a vendor CKU_* number from 0x80000000. */
export type UserType = 'so' | 'user' | 'context-specific' | number

/** Reads by name; a `get` of a name that was not asked for is `undefined`. */
export interface AttributeReads {
  readonly size: number
  get<Name extends AttributeName>(name: Name): AttributeRead<AttributeValue<Name>> | undefined
  get(name: VendorAttribute): AttributeRead<Uint8Array> | undefined
  /** The value, or `undefined` for every other status. */
  value<Name extends AttributeName>(name: Name): AttributeValue<Name> | undefined
  value(name: VendorAttribute): Uint8Array | undefined
  entries(): IterableIterator<[AttributeName | VendorAttribute, AttributeRead]>
}

/** Handles of a generated key pair. */
export interface KeyPairHandles {
  readonly publicKey: ObjectHandle
  readonly privateKey: ObjectHandle
}

/** How many C_FindObjects results {@link Cryptoki.findObjects} returns at most. */
export const FIND_OBJECTS_MAX = 65_536

/** See the head of this file. */
export interface Cryptoki {
  /** Real path of the module file. */
  readonly path: string
  /**
   * Whether this thread's `open` initialised the module. Only the owner finalises or reinitialises
   * it; never a worker thread.
   */
  readonly owner: boolean
  /** Calls running inside the module right now, on any thread. */
  readonly inFlight: number

  info(): CryptokiInfo
  /** C_GetSlotList. Slot ids change when a token is initialised; keep serial numbers instead. */
  slots(tokenPresent: boolean): number[]
  slotInfo(slotId: number): SlotInfo
  tokenInfo(slotId: number): CryptokiTokenInfo
  /** CKM_* numbers. */
  mechanismList(slotId: number): number[]
  mechanismInfo(slotId: number, type: number): MechanismInfo
  /** C_InitToken; label 1 to 32 bytes of UTF-8, padded here. `null` PIN: protected authentication path. */
  initToken(slotId: number, label: string, soPin: Uint8Array | null): void

  openSession(slotId: number, mode: { readonly readWrite: boolean }): SessionHandle
  closeSession(session: SessionHandle): void
  sessionInfo(session: SessionHandle): SessionInfo

  /** C_Login. The PIN is copied into locked memory, wiped after the call, and never a string. */
  login(session: SessionHandle, user: UserType, pin: Uint8Array | null): void
  logout(session: SessionHandle): void
  /** C_InitPIN: sets the user PIN in an SO session. */
  initPin(session: SessionHandle, pin: Uint8Array | null): void
  /** C_SetPIN: changes the PIN of the logged-in user. */
  setPin(session: SessionHandle, oldPin: Uint8Array | null, newPin: Uint8Array | null): void

  /** C_FindObjectsInit, C_FindObjects until done or `max`, C_FindObjectsFinal. Default {@link FIND_OBJECTS_MAX}. */
  findObjects(session: SessionHandle, template: Template, max?: number): ObjectHandle[]
  /** One batch call, then singly for those the batch did not give. */
  getAttributes(
    session: SessionHandle,
    object: ObjectHandle,
    names: readonly (AttributeName | VendorAttribute)[],
  ): AttributeReads
  setAttributes(session: SessionHandle, object: ObjectHandle, template: Template): void
  createObject(session: SessionHandle, template: Template): ObjectHandle
  copyObject(session: SessionHandle, object: ObjectHandle, template: Template): ObjectHandle
  destroyObject(session: SessionHandle, object: ObjectHandle): void

  generateKey(session: SessionHandle, mechanism: Mechanism, template: Template): ObjectHandle
  generateKeyPair(
    session: SessionHandle,
    mechanism: Mechanism,
    publicTemplate: Template,
    privateTemplate: Template,
  ): KeyPairHandles
  wrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    wrappingKey: ObjectHandle,
    key: ObjectHandle,
  ): Uint8Array
  unwrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    unwrappingKey: ObjectHandle,
    wrapped: Uint8Array,
    template: Template,
  ): ObjectHandle
  deriveKey(
    session: SessionHandle,
    mechanism: Mechanism,
    baseKey: ObjectHandle,
    template: Template,
  ): ObjectHandle

  /** Init and single-part call. After an error the session may hold a stuck operation: close it. */
  encrypt(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Uint8Array,
  ): Uint8Array
  decrypt(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Uint8Array,
  ): Uint8Array
  sign(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Uint8Array,
  ): Uint8Array
  /** false on CKR_SIGNATURE_INVALID and CKR_SIGNATURE_LEN_RANGE. */
  verify(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean
  /** C_SignInit alone: for keys with ALWAYS_AUTHENTICATE, which want a login between Init and Sign. */
  signInit(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle): void
  /** C_Sign of an operation begun by {@link Cryptoki.signInit}. */
  signFinish(session: SessionHandle, data: Uint8Array): Uint8Array

  /** Opens a standing multi-part operation (AES-ECB of block after block). */
  encryptInit(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle): void
  /** C_EncryptUpdate of whole blocks; the result is as long as `data`. */
  encryptUpdate(session: SessionHandle, data: Uint8Array): Uint8Array
  encryptFinal(session: SessionHandle): Uint8Array

  /**
   * ECB of whole blocks on another thread. `output` is as long as `input` and another array; both belong to
   * the call until it settles, and the session does to nobody else. The same goes for {@link Cryptoki.feistel}.
   */
  encryptBlocks(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    options: NativeCipherOptions,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<NativeOutcome>
  /** FPE rounds on another thread; `cancel[0] = 1` (Atomics) ends them between two calls. */
  feistel(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    options: NativeCipherOptions,
    batch: NativeBatch,
    cancel: Int32Array,
  ): Promise<NativeOutcome>

  /** C_GenerateRandom, 1 to 1 048 576 bytes. */
  generateRandom(session: SessionHandle, length: number): Uint8Array

  /**
   * C_Finalize and C_Initialize again: the third step of the recovery ladder. All sessions, logins
   * and handles of every user of the module in this process are gone.
   * @throws TokenError ARGUMENT_INVALID if not owner, on a worker, or while calls are in flight.
   */
  reinitialize(): void
  /** C_Finalize (its error ignored), dlclose, dlopen, C_Initialize: the fourth step. Throws like {@link Cryptoki.reinitialize}. */
  reload(): void
  /**
   * Gives up this reference. The last one of the owner finalises the module, except on workers.
   * @throws TokenError MODULE_BUSY while work of this reference runs on another thread.
   */
  close(): void
}

/** Options of `openCryptoki` (native.ts). */
export interface OpenOptions {
  /** Absolute path of the module. */
  readonly path: string
  /** NSS `LibraryParameters` or YubiHSM's configuration string; never empty. */
  readonly libraryParameters?: string
}
