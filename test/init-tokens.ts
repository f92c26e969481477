/**
 * Child process of `tokens.ts`: initialises SoftHSM tokens with raw pkcs11js, so that a suite can have
 * tokens without using the code under test and without touching its own process's PKCS#11 state.
 * Reads a JSON request from stdin, prints the serial of each label as JSON.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import type * as Pkcs11js from 'pkcs11js'

interface Request {
  readonly module: string
  readonly tokens: readonly { label: string; soPin: string; userPin: string }[]
}

const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js
const request = JSON.parse(readFileSync(0, 'utf8')) as Request
const lib = new pkcs11js.PKCS11()
lib.load(request.module)
lib.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK })
const serials: Record<string, string> = {}
for (const { label, soPin, userPin } of request.tokens) {
  const blank = lib
    .C_GetSlotList(true)
    .find((slot) => (lib.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0)
  if (blank === undefined) throw new Error('no blank slot')
  // C_InitToken reads exactly 32 bytes of label.
  lib.C_InitToken(blank, soPin, label.padEnd(32, ' '))
  // The slot id changes at the next initialise; until then the old one names the new token.
  const session = lib.C_OpenSession(blank, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION)
  lib.C_Login(session, pkcs11js.CKU_SO, soPin)
  lib.C_InitPIN(session, userPin)
  lib.C_Logout(session)
  lib.C_CloseSession(session)
  serials[label] = lib.C_GetTokenInfo(blank).serialNumber.trim()
  lib.C_Finalize()
  lib.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK })
}
lib.C_Finalize()
lib.close()
process.stdout.write(JSON.stringify(serials))
