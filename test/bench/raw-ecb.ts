/** The physical limit of rounds on a token: its own raw AES-ECB speed, through pkcs11js and nothing else. */
import pkcs11js from 'pkcs11js'

/** What one module's AES gives. */
export interface RawEcb {
  /** Blocks of one call at each way of calling; run it to measure. Returns the number of blocks. */
  readonly ways: readonly { readonly name: string; readonly work: () => number }[]
  /** A 16-byte call: C_EncryptInit and C_Encrypt, or C_EncryptUpdate of an operation that stays open. */
  readonly singlePartCall: () => number
  readonly updateCall: () => number
  close(): void
}

const CALL_BYTES = [16_384, 65_536]
const KEY_LABEL = Buffer.from('fpe-bench')

/**
 * Opens another session on a token this process is logged in to; the module must be initialised already.
 * @throws Error when the key is missing.
 */
export function openRawEcb(modulePath: string, tokenLabel: string): RawEcb {
  const lib = new pkcs11js.PKCS11()
  lib.load(modulePath)
  const slot = lib
    .C_GetSlotList(true)
    .find((one) => lib.C_GetTokenInfo(one).label.trim() === tokenLabel)
  if (slot === undefined) throw new Error(`no token ${tokenLabel}`)
  const session = lib.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION)
  lib.C_FindObjectsInit(session, [
    { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
    { type: pkcs11js.CKA_LABEL, value: KEY_LABEL },
  ])
  const [key] = lib.C_FindObjects(session, 1)
  lib.C_FindObjectsFinal(session)
  if (key === undefined) throw new Error(`no key ${KEY_LABEL.toString()}`)
  const ecb = { mechanism: pkcs11js.CKM_AES_ECB }
  const largest = Math.max(...CALL_BYTES)
  const input = Buffer.alloc(largest, 7)
  const output = Buffer.alloc(largest + 16)

  let open = false
  const finish = () => {
    if (open) lib.C_EncryptFinal(session, output)
    open = false
  }
  const singlePart = (bytes: number) => () => {
    finish()
    lib.C_EncryptInit(session, ecb, key)
    lib.C_Encrypt(session, input.subarray(0, bytes), output)
    return bytes / 16
  }
  const update = (bytes: number) => () => {
    if (!open) lib.C_EncryptInit(session, ecb, key)
    open = true
    lib.C_EncryptUpdate(session, input.subarray(0, bytes), output)
    return bytes / 16
  }
  return {
    ways: CALL_BYTES.flatMap((bytes) => [
      { name: `Init+Encrypt ${bytes} B`, work: singlePart(bytes) },
      { name: `Update ${bytes} B`, work: update(bytes) },
    ]),
    singlePartCall: singlePart(16),
    updateCall: update(16),
    close: () => {
      finish()
      lib.C_CloseSession(session)
    },
  }
}
