/**
 * The calls about objects and keys. Whatever carries a template or a mechanism goes through the
 * addon, which copies it into memory of its own kind and wipes it afterwards.
 */
import type * as Pkcs11js from 'pkcs11js'

import { errnoOf } from '../errno.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { Addon, HandleResult } from './addon.ts'
import { encodeMechanism } from './addon.ts'
import { checkHandles, checkInteger, dataBuffer, handleBuffer } from './arguments.ts'
import { encodeTemplate } from './attribute.ts'
import type { AttributeName, EncodedAttribute, Template, VendorAttribute } from './attribute.ts'
import { attributeTypes, readBatch } from './attribute-batch.ts'
import type { AttributeReads, KeyPairHandles, ObjectHandle, SessionHandle } from './cryptoki.ts'
import { CKR } from './constants-ckr.ts'
import { FIND_OBJECTS_MAX } from './cryptoki.ts'
import type { Mechanism } from './mechanism.ts'
import { ModuleQueries } from './native-queries.ts'
import { assertOk, returnValueName } from './return-value.ts'

/** pkcs11js allocates what it is told to: one call never asks for more. */
const FIND_BATCH = 1024
const WRAPPED_MAX = 0x10_0000

/** A loaded module as `native.ts` keeps it: one per real path and thread. */
export interface ModuleHost {
  readonly id: number
  readonly path: string
  readonly lib: Pkcs11js.PKCS11
  readonly addon: Addon
  readonly owner: boolean
  reinitialize(): void
  reload(): void
  /** One user less. */
  release(): void
}

/** Base of `NativeCryptoki`. */
export abstract class ObjectCalls extends ModuleQueries {
  /** The module; throws once the port is closed. */
  protected abstract open(): ModuleHost

  protected override get lib(): Pkcs11js.PKCS11 {
    return this.open().lib
  }

  /** Calls a native function that answers a return value. @throws Pkcs11Error, TokenError MEMORY_NOT_LOCKED. */
  protected native(fn: string, call: (addon: Addon, id: number) => number): void {
    const { addon, id } = this.open()
    let rv: number
    try {
      rv = call(addon, id)
    } catch (error) {
      if (errnoOf(error) !== 'MEMORY_NOT_LOCKED') throw error
      throw new TokenError('MEMORY_NOT_LOCKED', 'the PIN cannot be kept out of swap', {
        where: fn,
        expected: 'memory that mlock(2) accepts',
        hint: 'raise the limit on locked memory (ulimit -l)',
        cause: error,
      })
    }
    assertOk(fn, rv)
  }

  #object(
    fn: string,
    template: Template,
    call: (addon: Addon, id: number, encoded: readonly EncodedAttribute[]) => HandleResult,
  ): ObjectHandle {
    const { addon, id } = this.open()
    const encoded = encodeTemplate(template)
    const { rv, handle } = call(addon, id, encoded)
    this.#assertMade(fn, rv, encoded)
    return handle as ObjectHandle
  }

  /**
   * p11-kit's client (0.24) answers CKR_DEVICE_ERROR, its sign of a lost connection, to array
   * attributes, which it cannot carry. While the module still answers, the template is at fault.
   */
  #assertMade(fn: string, rv: number, ...templates: (readonly EncodedAttribute[])[]): void {
    const nested = templates.flat().some(([, value]) => !(value instanceof Uint8Array))
    if (rv === CKR.DEVICE_ERROR && nested && this.#answers()) {
      throw new Pkcs11Error(
        { rv: returnValueName(rv), ckr: rv, fn, category: 'argument', retry: 'never' },
        {
          expected: 'a module that takes array attributes',
          hint: 'leave WRAP_TEMPLATE, UNWRAP_TEMPLATE and DERIVE_TEMPLATE out on this module',
        },
      )
    }
    assertOk(fn, rv)
  }

  #answers(): boolean {
    try {
      return this.lib.C_GetSlotList(true).length > 0
    } catch {
      return false
    }
  }

  findObjects(session: SessionHandle, template: Template, max = FIND_OBJECTS_MAX): ObjectHandle[] {
    const handle = handleBuffer(session, 'C_FindObjectsInit')
    checkInteger(max, 'findObjects max', 1, FIND_OBJECTS_MAX)
    const filter = encodeTemplate(template)
    this.native('C_FindObjectsInit', (addon, id) => addon.findObjectsInit(id, session, filter))
    const found: ObjectHandle[] = []
    try {
      while (found.length < max) {
        const want = Math.min(FIND_BATCH, max - found.length)
        const some = this.call('C_FindObjects', (lib) => lib.C_FindObjects(handle, want))
        for (const object of some) found.push(object.readBigUInt64LE() as ObjectHandle)
        if (some.length === 0) break
      }
    } catch (error) {
      this.quietly(() => this.lib.C_FindObjectsFinal(handle))
      throw error
    }
    this.call('C_FindObjectsFinal', (lib) => lib.C_FindObjectsFinal(handle))
    return found
  }

  getAttributes(
    session: SessionHandle,
    object: ObjectHandle,
    names: readonly (AttributeName | VendorAttribute)[],
  ): AttributeReads {
    const { addon, id } = this.open()
    checkHandles('C_GetAttributeValue', session, object)
    return readBatch(
      (some) => addon.getAttributes(id, session, object, attributeTypes(some)),
      names,
    )
  }

  setAttributes(session: SessionHandle, object: ObjectHandle, template: Template): void {
    checkHandles('C_SetAttributeValue', session, object)
    const change = encodeTemplate(template)
    const { addon, id } = this.open()
    this.#assertMade(
      'C_SetAttributeValue',
      addon.setAttributes(id, session, object, change),
      change,
    )
  }

  createObject(session: SessionHandle, template: Template): ObjectHandle {
    checkHandles('C_CreateObject', session)
    return this.#object('C_CreateObject', template, (addon, id, encoded) =>
      addon.createObject(id, session, encoded),
    )
  }

  copyObject(session: SessionHandle, object: ObjectHandle, template: Template): ObjectHandle {
    checkHandles('C_CopyObject', session, object)
    return this.#object('C_CopyObject', template, (addon, id, encoded) =>
      addon.copyObject(id, session, object, encoded),
    )
  }

  destroyObject(session: SessionHandle, object: ObjectHandle): void {
    const handle = handleBuffer(session, 'C_DestroyObject')
    const target = handleBuffer(object, 'C_DestroyObject')
    this.call('C_DestroyObject', (lib) => lib.C_DestroyObject(handle, target))
  }

  generateKey(session: SessionHandle, mechanism: Mechanism, template: Template): ObjectHandle {
    checkHandles('C_GenerateKey', session)
    const how = encodeMechanism(mechanism)
    return this.#object('C_GenerateKey', template, (addon, id, encoded) =>
      addon.generateKey(id, session, how, encoded),
    )
  }

  generateKeyPair(
    session: SessionHandle,
    mechanism: Mechanism,
    publicTemplate: Template,
    privateTemplate: Template,
  ): KeyPairHandles {
    const { addon, id } = this.open()
    checkHandles('C_GenerateKeyPair', session)
    const how = encodeMechanism(mechanism)
    const forPublic = encodeTemplate(publicTemplate)
    const forPrivate = encodeTemplate(privateTemplate)
    const made = addon.generateKeyPair(id, session, how, forPublic, forPrivate)
    const { rv, publicKey, privateKey } = made
    this.#assertMade('C_GenerateKeyPair', rv, forPublic, forPrivate)
    return { publicKey: publicKey as ObjectHandle, privateKey: privateKey as ObjectHandle }
  }

  wrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    wrappingKey: ObjectHandle,
    key: ObjectHandle,
  ): Uint8Array {
    const { addon, id } = this.open()
    checkHandles('C_WrapKey', session, wrappingKey, key)
    const { rv, bytes } = addon.wrapKey(id, session, encodeMechanism(mechanism), wrappingKey, key)
    assertOk('C_WrapKey', rv)
    return bytes
  }

  unwrapKey(
    session: SessionHandle,
    mechanism: Mechanism,
    unwrappingKey: ObjectHandle,
    wrapped: Uint8Array,
    template: Template,
  ): ObjectHandle {
    checkHandles('C_UnwrapKey', session, unwrappingKey)
    const how = encodeMechanism(mechanism)
    const bytes = new Uint8Array(dataBuffer(wrapped, 'C_UnwrapKey', WRAPPED_MAX))
    return this.#object('C_UnwrapKey', template, (addon, id, encoded) =>
      addon.unwrapKey(id, session, how, unwrappingKey, bytes, encoded),
    )
  }

  deriveKey(
    session: SessionHandle,
    mechanism: Mechanism,
    baseKey: ObjectHandle,
    template: Template,
  ): ObjectHandle {
    checkHandles('C_DeriveKey', session, baseKey)
    const how = encodeMechanism(mechanism)
    return this.#object('C_DeriveKey', template, (addon, id, encoded) =>
      addon.deriveKey(id, session, how, baseKey, encoded),
    )
  }

  /** For clean-up after an error or of a connection that may be dead already. */
  protected quietly(call: () => void): void {
    try {
      call()
    } catch {
      // The error that matters has been or will be reported by the caller.
    }
  }
}
