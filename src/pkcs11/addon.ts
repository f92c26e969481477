/**
 * What the C++ addon in `bindings/` offers, as types, and the encoding of mechanisms for it.
 * Handles and slot ids are bigints, return values numbers (-1: all bits set).
 */
import type { FeistelAddon } from '../feistel-addon.ts'
import type { EncodedAttribute, ReadValue } from './attribute.ts'
import { checkMechanism } from './mechanism.ts'
import type { Mechanism, ParameterField } from './mechanism.ts'

/** Why {@link Addon.open} refused. */
export type AddonOpenCode =
  | 'OK'
  | 'CANNOT_LOAD'
  | 'NO_ENTRY_POINT'
  | 'BAD_FUNCTION_LIST'
  | 'IS_KEYRITE_ADDON'
  | 'TOO_MANY_MODULES'

/** A return value and the handle that came with it. */
export interface HandleResult {
  readonly rv: number
  readonly handle: bigint
}

type Field =
  number | Uint8Array | { readonly inline: Uint8Array } | { readonly fields: readonly Field[] }

/** A mechanism in the addon's form. */
export interface EncodedMechanism {
  readonly type: number
  readonly parameter: readonly Field[]
}

type Template = readonly EncodedAttribute[]
type Pin = Uint8Array | null

/** One method per native function. All throw TypeError on arguments of the wrong type. */
export interface Addon extends FeistelAddon {
  open(path: string): { readonly code: AddonOpenCode; readonly id: number; readonly detail: string }
  /** The next C_GetFunctionList of this thread returns this module's list, once. */
  arm(id: number): boolean
  /** dlclose; false when calls are in flight. */
  unload(id: number): boolean
  state(id: number): { readonly initialized: boolean; readonly inFlight: number }
  calls(id: number): Record<string, number>
  forbidCoreFiles(): boolean

  login(id: number, session: bigint, user: number, pin: Pin): number
  initPin(id: number, session: bigint, pin: Pin): number
  setPin(id: number, session: bigint, oldPin: Pin, newPin: Pin): number
  initToken(id: number, slotId: bigint, soPin: Pin, label32: Uint8Array): number

  findObjectsInit(id: number, session: bigint, template: Template): number
  getAttributes(
    id: number,
    session: bigint,
    object: bigint,
    types: readonly number[],
  ): { readonly rv: number; readonly values: readonly ReadValue[] }
  setAttributes(id: number, session: bigint, object: bigint, template: Template): number
  createObject(id: number, session: bigint, template: Template): HandleResult
  copyObject(id: number, session: bigint, object: bigint, template: Template): HandleResult

  generateKey(
    id: number,
    session: bigint,
    mechanism: EncodedMechanism,
    template: Template,
  ): HandleResult
  generateKeyPair(
    id: number,
    session: bigint,
    mechanism: EncodedMechanism,
    publicTemplate: Template,
    privateTemplate: Template,
  ): { readonly rv: number; readonly publicKey: bigint; readonly privateKey: bigint }
  wrapKey(
    id: number,
    session: bigint,
    mechanism: EncodedMechanism,
    wrappingKey: bigint,
    key: bigint,
  ): { readonly rv: number; readonly bytes: Uint8Array }
  unwrapKey(
    id: number,
    session: bigint,
    mechanism: EncodedMechanism,
    unwrappingKey: bigint,
    wrapped: Uint8Array,
    template: Template,
  ): HandleResult
  deriveKey(
    id: number,
    session: bigint,
    mechanism: EncodedMechanism,
    baseKey: bigint,
    template: Template,
  ): HandleResult

  encryptInit(id: number, session: bigint, mechanism: EncodedMechanism, key: bigint): number
  decryptInit(id: number, session: bigint, mechanism: EncodedMechanism, key: bigint): number
  signInit(id: number, session: bigint, mechanism: EncodedMechanism, key: bigint): number
  verifyInit(id: number, session: bigint, mechanism: EncodedMechanism, key: bigint): number
}

function encodeField(field: ParameterField): Field {
  switch (field.kind) {
    case 'ulong':
      return field.value
    case 'pointer':
      return field.bytes
    case 'inline':
      return { inline: field.bytes }
    case 'struct':
      return { fields: field.fields.map(encodeField) }
  }
}

/** A mechanism in the form the addon lays out; throws TokenError ARGUMENT_INVALID on look-alikes. */
export function encodeMechanism(mechanism: Mechanism): EncodedMechanism {
  const { type, parameter } = checkMechanism(mechanism, 'PKCS#11 call')
  return { type, parameter: parameter.map(encodeField) }
}
