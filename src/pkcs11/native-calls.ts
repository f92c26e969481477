/**
 * `Cryptoki` over pkcs11js and the addon, which share one module instance.
 *
 * Division of work: whatever carries a PIN, a template or a mechanism goes through the addon
 * (typed memory, nested templates, wiped copies); everything else through pkcs11js. Only the
 * synchronous forms of pkcs11js are used: its `*Callback` forms corrupt data under garbage
 * collection, its `*Async` key functions leak.
 */
import { wipe } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import type {
  FeistelAddon,
  NativeBatch,
  NativeCipherOptions,
  NativeOutcome,
} from '../feistel-addon.ts'
import { encodeMechanism } from './addon.ts'
import {
  checkHandle,
  checkHandles,
  checkInteger,
  checkPin,
  dataBuffer,
  handleBuffer,
  paddedLabel,
  refuse,
  slotBuffer,
  userNumber,
} from './arguments.ts'
import { CKF_SESSION } from './constants.ts'
import type { Cryptoki, ObjectHandle, SessionHandle, SessionInfo, UserType } from './cryptoki.ts'
import type { Mechanism } from './mechanism.ts'
import { ObjectCalls } from './native-objects.ts'
import type { ModuleHost } from './native-objects.ts'
import { assertOk, isReturnValue } from './return-value.ts'

type Crypt = 'C_Encrypt' | 'C_Decrypt' | 'C_Sign'

/** Room for tags, padding and signatures beyond the input; SLH-DSA signatures have 49 856 bytes. */
const OUTPUT_ROOM = 1024
const OUTPUT_ROOM_LARGE = 65_536
const RANDOM_MAX = 0x10_0000

/** See the head of this file. */
export class NativeCryptoki extends ObjectCalls implements Cryptoki {
  readonly #host: ModuleHost
  readonly #sessions = new Set<bigint>()
  #jobs = 0
  #closed = false

  constructor(host: ModuleHost) {
    super()
    this.#host = host
  }

  get path(): string {
    return this.#host.path
  }

  get owner(): boolean {
    return this.#host.owner
  }

  get inFlight(): number {
    return this.#host.addon.state(this.#host.id).inFlight
  }

  protected override open(): ModuleHost {
    if (!this.#closed) return this.#host
    throw new TokenError('MODULE_CLOSED', 'the PKCS#11 module was closed', {
      where: this.#host.path,
      hint: 'open it again',
    })
  }

  initToken(slotId: number, label: string, soPin: Uint8Array | null): void {
    const slot = slotBuffer(slotId, 'C_InitToken').readBigUInt64LE()
    const padded = paddedLabel(label)
    const pin = checkPin(soPin, 'C_InitToken')
    this.native('C_InitToken', (addon, id) => addon.initToken(id, slot, pin, padded))
  }

  openSession(slotId: number, mode: { readonly readWrite: boolean }): SessionHandle {
    const slot = slotBuffer(slotId, 'C_OpenSession')
    const flags = CKF_SESSION.SERIAL_SESSION | (mode.readWrite ? CKF_SESSION.RW_SESSION : 0)
    const session = this.call('C_OpenSession', (lib) => lib.C_OpenSession(slot, flags))
    const handle = session.readBigUInt64LE()
    this.#sessions.add(handle)
    return handle as SessionHandle
  }

  closeSession(session: SessionHandle): void {
    const handle = handleBuffer(session, 'C_CloseSession')
    this.#sessions.delete(session)
    this.call('C_CloseSession', (lib) => lib.C_CloseSession(handle))
  }

  sessionInfo(session: SessionHandle): SessionInfo {
    const handle = handleBuffer(session, 'C_GetSessionInfo')
    const info = this.call('C_GetSessionInfo', (lib) => lib.C_GetSessionInfo(handle))
    const { state, flags, deviceError } = info
    return { slotId: this.slotNumber(info.slotID), state, flags, deviceError }
  }

  login(session: SessionHandle, user: UserType, pin: Uint8Array | null): void {
    const handle = checkHandle(session, 'C_Login')
    const who = userNumber(user)
    const bytes = checkPin(pin, 'C_Login')
    this.native('C_Login', (addon, id) => addon.login(id, handle, who, bytes))
  }

  logout(session: SessionHandle): void {
    const handle = handleBuffer(session, 'C_Logout')
    this.call('C_Logout', (lib) => lib.C_Logout(handle))
  }

  initPin(session: SessionHandle, pin: Uint8Array | null): void {
    const handle = checkHandle(session, 'C_InitPIN')
    const bytes = checkPin(pin, 'C_InitPIN')
    this.native('C_InitPIN', (addon, id) => addon.initPin(id, handle, bytes))
  }

  setPin(session: SessionHandle, oldPin: Uint8Array | null, newPin: Uint8Array | null): void {
    const handle = checkHandle(session, 'C_SetPIN')
    const from = checkPin(oldPin, 'C_SetPIN')
    const to = checkPin(newPin, 'C_SetPIN')
    this.native('C_SetPIN', (addon, id) => addon.setPin(id, handle, from, to))
  }

  encrypt(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle, data: Uint8Array) {
    const input = dataBuffer(data, 'C_Encrypt')
    this.encryptInit(session, mechanism, key)
    return this.#output('C_Encrypt', session, input)
  }

  decrypt(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle, data: Uint8Array) {
    const input = dataBuffer(data, 'C_Decrypt')
    checkHandles('C_DecryptInit', session, key)
    const how = encodeMechanism(mechanism)
    this.native('C_DecryptInit', (addon, id) => addon.decryptInit(id, session, how, key))
    return this.#output('C_Decrypt', session, input)
  }

  sign(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle, data: Uint8Array) {
    const input = dataBuffer(data, 'C_Sign')
    this.signInit(session, mechanism, key)
    return this.#output('C_Sign', session, input)
  }

  signInit(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle): void {
    checkHandles('C_SignInit', session, key)
    const how = encodeMechanism(mechanism)
    this.native('C_SignInit', (addon, id) => addon.signInit(id, session, how, key))
  }

  signFinish(session: SessionHandle, data: Uint8Array): Uint8Array {
    return this.#output('C_Sign', session, dataBuffer(data, 'C_Sign'))
  }

  verify(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    const handle = handleBuffer(session, 'C_VerifyInit')
    checkHandle(key, 'C_VerifyInit')
    const input = dataBuffer(data, 'C_Verify')
    const claimed = dataBuffer(signature, 'C_Verify')
    const how = encodeMechanism(mechanism)
    this.native('C_VerifyInit', (addon, id) => addon.verifyInit(id, session, how, key))
    try {
      this.call('C_Verify', (lib) => lib.C_Verify(handle, input, claimed))
      return true
    } catch (error) {
      if (isReturnValue(error, 'SIGNATURE_INVALID', 'SIGNATURE_LEN_RANGE')) return false
      throw error
    }
  }

  encryptInit(session: SessionHandle, mechanism: Mechanism, key: ObjectHandle): void {
    checkHandles('C_EncryptInit', session, key)
    const how = encodeMechanism(mechanism)
    this.native('C_EncryptInit', (addon, id) => addon.encryptInit(id, session, how, key))
  }

  encryptUpdate(session: SessionHandle, data: Uint8Array): Uint8Array {
    const handle = handleBuffer(session, 'C_EncryptUpdate')
    const input = dataBuffer(data, 'C_EncryptUpdate')
    return this.#into(input.length + OUTPUT_ROOM, (out) =>
      this.call('C_EncryptUpdate', (lib) => lib.C_EncryptUpdate(handle, input, out)),
    )
  }

  encryptFinal(session: SessionHandle): Uint8Array {
    const handle = handleBuffer(session, 'C_EncryptFinal')
    return this.#into(OUTPUT_ROOM, (out) =>
      this.call('C_EncryptFinal', (lib) => lib.C_EncryptFinal(handle, out)),
    )
  }

  encryptBlocks(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    options: NativeCipherOptions,
    input: Uint8Array,
    output: Uint8Array,
  ): Promise<NativeOutcome> {
    checkHandles('C_EncryptInit', session, key)
    const how = encodeMechanism(mechanism)
    return this.#offThread((addon, id) =>
      addon.blocksOnToken(id, session, how, key, options, input, output),
    )
  }

  feistel(
    session: SessionHandle,
    mechanism: Mechanism,
    key: ObjectHandle,
    options: NativeCipherOptions,
    batch: NativeBatch,
    cancel: Int32Array,
  ): Promise<NativeOutcome> {
    checkHandles('C_EncryptInit', session, key)
    const how = encodeMechanism(mechanism)
    return this.#offThread((addon, id) =>
      addon.feistelOnToken(id, session, how, key, options, batch, cancel),
    )
  }

  async #offThread(
    begin: (addon: FeistelAddon, id: number) => Promise<NativeOutcome>,
  ): Promise<NativeOutcome> {
    const { addon, id } = this.open()
    let outcome: NativeOutcome
    this.#jobs += 1
    try {
      outcome = await begin(addon, id)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      // Says which argument is wrong, and holds none of them.
      return refuse('C_Encrypt batch', 'what BlockCipher asks for', error.message)
    } finally {
      this.#jobs -= 1
    }
    assertOk(outcome.fn, outcome.rv)
    return outcome
  }

  generateRandom(session: SessionHandle, length: number): Uint8Array {
    const handle = handleBuffer(session, 'C_GenerateRandom')
    checkInteger(length, 'C_GenerateRandom length', 1, RANDOM_MAX)
    return this.#into(length, (out) =>
      this.call('C_GenerateRandom', (lib) => lib.C_GenerateRandom(handle, out)),
    )
  }

  /** A single-part operation; CKR_BUFFER_TOO_SMALL leaves it open, so it is asked once more. */
  #output(fn: Crypt, session: bigint, input: Buffer): Uint8Array {
    const handle = handleBuffer(session, fn)
    const run = (room: number) =>
      this.#into(input.length + room, (out) => this.call(fn, (lib) => lib[fn](handle, input, out)))
    try {
      return run(OUTPUT_ROOM)
    } catch (error) {
      if (!isReturnValue(error, 'BUFFER_TOO_SMALL')) throw error
      return run(OUTPUT_ROOM_LARGE)
    }
  }

  /** Runs a call that fills a buffer; the result is a copy, the buffer is wiped. */
  #into(length: number, fill: (out: Buffer) => Buffer): Uint8Array {
    const out = Buffer.allocUnsafeSlow(length)
    try {
      return new Uint8Array(fill(out))
    } finally {
      wipe(out)
    }
  }

  reinitialize(): void {
    this.open().reinitialize()
    this.#sessions.clear()
  }

  reload(): void {
    this.open().reload()
    this.#sessions.clear()
  }

  close(): void {
    if (this.#closed) return
    if (this.#jobs > 0) {
      throw new TokenError('MODULE_BUSY', 'calls are running inside the module', {
        where: this.#host.path,
        hint: 'wait for them to end',
      })
    }
    for (const session of this.#sessions) {
      this.quietly(() => this.lib.C_CloseSession(handleBuffer(session, 'C_CloseSession')))
    }
    this.#sessions.clear()
    this.#host.release()
    this.#closed = true
  }
}
