/**
 * Child process of the hostile and recovery tests: raw pkcs11js and the USER PIN, none of keyrite's code.
 * Reads a request from stdin, prints the return value of every call as JSON. Never prints values.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import type * as Pkcs11js from 'pkcs11js'

/** A value as JSON: bytes as hex, ULONG lists as numbers. */
export type RawValue = boolean | number | { hex: string } | { ulongs: number[] }
/** CKA_* numbers and values, in order: SoftHSM looks at them one by one. */
export type RawTemplate = readonly (readonly [type: number, value: RawValue])[]
/** One attempt on one object, or on none. */
export type RawCall =
  | { do: 'set' | 'copy'; on: RawTemplate; template: RawTemplate }
  | { do: 'read'; on: RawTemplate; attribute: number }
  | { do: 'wrap'; on: RawTemplate; mechanism: number }
  | { do: 'wrap-by'; on: RawTemplate; mechanism: number }
  | { do: 'unwrap'; on: RawTemplate; mechanism: number; blob: string; template: RawTemplate }
  | { do: 'encrypt' | 'decrypt' | 'derive'; on: RawTemplate; mechanism: number }
  | { do: 'generate' | 'create'; template: RawTemplate }
  | { do: 'destroy' | 'count'; on: RawTemplate }
/** What the child is given. */
export interface RawRequest {
  readonly module: string
  readonly serial: string
  readonly pin: string
  readonly calls: readonly RawCall[]
}

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js
const lib = new pkcs11js.PKCS11()
const CKA_EXTRACTABLE = 0x162
const CKM_AES_KEY_GEN = 0x1080
const AES_KEY: RawTemplate = [
  [0x00, 4],
  [0x100, 0x1f],
  [0x161, 32],
  [0x01, false],
]

function ulongs(list: readonly number[]): Buffer {
  const out = Buffer.alloc(8 * list.length)
  list.forEach((value, at) => out.writeBigUInt64LE(BigInt(value), 8 * at))
  return out
}

function native(template: RawTemplate): Pkcs11js.Template {
  return template.map(([type, value]) => ({
    type,
    value:
      typeof value !== 'object'
        ? value
        : 'hex' in value
          ? Buffer.from(value.hex, 'hex')
          : ulongs(value.ulongs),
  }))
}

function run(session: Pkcs11js.Handle, call: RawCall): unknown {
  const find = (template: RawTemplate): Pkcs11js.Handle[] => {
    lib.C_FindObjectsInit(session, native(template))
    try {
      return lib.C_FindObjects(session, 100)
    } finally {
      lib.C_FindObjectsFinal(session)
    }
  }
  const one = (template: RawTemplate): Pkcs11js.Handle => {
    const [object] = find(template)
    if (object === undefined) throw new Error('no such object')
    return object
  }
  const own = (flags: RawTemplate) =>
    lib.C_GenerateKey(
      session,
      { mechanism: CKM_AES_KEY_GEN },
      native([...AES_KEY, [CKA_EXTRACTABLE, true], ...flags]),
    )
  const block = Buffer.alloc(16)
  switch (call.do) {
    case 'set':
      lib.C_SetAttributeValue(session, one(call.on), native(call.template))
      return 0
    case 'copy':
      lib.C_CopyObject(session, one(call.on), native(call.template))
      return 0
    case 'read':
      lib.C_GetAttributeValue(session, one(call.on), [{ type: call.attribute }])
      return 0
    case 'wrap': {
      const kek = own([[0x106, true]])
      const mechanism = { mechanism: call.mechanism }
      lib.C_WrapKey(session, mechanism, kek, one(call.on), Buffer.alloc(512))
      return 0
    }
    case 'wrap-by': {
      const mechanism = { mechanism: call.mechanism }
      lib.C_WrapKey(session, mechanism, one(call.on), own([]), Buffer.alloc(512))
      return 0
    }
    case 'unwrap':
      lib.C_UnwrapKey(
        session,
        { mechanism: call.mechanism },
        one(call.on),
        Buffer.from(call.blob, 'hex'),
        native(call.template),
      )
      return 0
    case 'encrypt':
      lib.C_EncryptInit(session, { mechanism: call.mechanism }, one(call.on))
      lib.C_Encrypt(session, block, Buffer.alloc(64))
      return 0
    case 'decrypt':
      lib.C_DecryptInit(session, { mechanism: call.mechanism }, one(call.on))
      lib.C_Decrypt(session, block, Buffer.alloc(64))
      return 0
    case 'derive':
      lib.C_DeriveKey(
        session,
        {
          mechanism: call.mechanism,
          parameter: {
            type: pkcs11js.CK_PARAMS_AES_CBC,
            iv: block,
            data: Buffer.alloc(32),
          } as Pkcs11js.IParams,
        },
        one(call.on),
        native([...AES_KEY, [0x103, false], [CKA_EXTRACTABLE, true]]),
      )
      return 0
    case 'generate':
      lib.C_GenerateKey(session, { mechanism: CKM_AES_KEY_GEN }, native(call.template))
      return 0
    case 'create':
      lib.C_CreateObject(session, native(call.template))
      return 0
    case 'destroy':
      lib.C_DestroyObject(session, one(call.on))
      return 0
    case 'count':
      return find(call.on).length
  }
}

/** pkcs11js throws four classes; the number is in `code` or in the text. */
function returnValue(error: unknown): number {
  if (!(error instanceof Error)) throw error
  const code = (error as { code?: unknown }).code
  if (typeof code === 'number') return code
  const text = /CKR_\w+:(\d+)/.exec(error.message)
  if (text === null) throw error
  return Number(text[1])
}

const request = JSON.parse(readFileSync(0, 'utf8')) as RawRequest
lib.load(request.module)
lib.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK })
const slot = lib
  .C_GetSlotList(true)
  .find((candidate) => lib.C_GetTokenInfo(candidate).serialNumber.trim() === request.serial)
if (slot === undefined) throw new Error('no such token')
const flags = pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION
const login = lib.C_OpenSession(slot, flags)
lib.C_Login(login, pkcs11js.CKU_USER, request.pin)
const results = request.calls.map((call) => {
  // A session per attempt: a refused one must not leave an operation behind for the next.
  const session = lib.C_OpenSession(slot, flags)
  try {
    return run(session, call)
  } catch (error) {
    return returnValue(error)
  } finally {
    lib.C_CloseSession(session)
  }
})
process.stdout.write(JSON.stringify(results))
lib.C_Finalize()
