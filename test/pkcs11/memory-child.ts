/**
 * Child process of `native-memory.test.ts`. Reads secrets from its standard input into buffers it
 * wipes, does one step of work per further byte, and prints the step's name when it is done.
 * The parent then looks for the secrets in this process's memory.
 */
import { readSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'

import type * as Pkcs11js from 'pkcs11js'

import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { forbidCoreFiles, openCryptoki } from '../../src/pkcs11/native.ts'
import { knownAes, slotOf } from './open-session.ts'

const [module = '', label = '', mode = ''] = process.argv.slice(2)

/** Exactly `length` bytes of standard input, in memory of its own. */
function read(length: number): Buffer {
  const out = Buffer.allocUnsafeSlow(length)
  let at = 0
  while (at < length) at += readSync(0, out, at, length - at, null)
  return out
}

function done(step: string): void {
  writeSync(1, `${step}\n`)
  read(1)
}

const planted = read(64)
const userPin = read(64)
const soPin = read(64)
const newPin = read(64)
const value = read(32)

if (mode === 'raw') {
  // What the addon is for: pkcs11js takes PINs as strings only.
  const pkcs11js = createRequire(import.meta.url)('pkcs11js') as typeof Pkcs11js
  const lib = new pkcs11js.PKCS11()
  lib.load(module)
  lib.C_Initialize({ flags: 2 })
  const slot = lib.C_GetSlotList(true).find((at) => lib.C_GetTokenInfo(at).label.startsWith(label))
  if (slot === undefined) throw new Error('no token')
  const session = lib.C_OpenSession(slot, 6)
  lib.C_Login(session, pkcs11js.CKU_USER, userPin.toString('ascii'))
  userPin.fill(0)
  lib.C_Logout(session)
  done('raw')
  process.exit(0)
}

if (mode === 'abort-without-core' && !forbidCoreFiles()) throw new Error('core files stay')
const cryptoki = openCryptoki({ path: module })
const session = cryptoki.openSession(slotOf(cryptoki, label), { readWrite: true })
cryptoki.login(session, 'user', userPin)
done('login, not yet wiped by the caller')
userPin.fill(0)
done('login')
if (mode.startsWith('abort')) {
  for (const secret of [soPin, newPin, value]) secret.fill(0)
  process.abort()
}
cryptoki.logout(session)
done('logout')

cryptoki.login(session, 'so', soPin)
cryptoki.initPin(session, newPin)
cryptoki.logout(session)
soPin.reverse()
cryptoki.login(session, 'user', newPin)
cryptoki.setPin(session, newPin, soPin)
soPin.fill(0)
newPin.fill(0)
done('initPin and setPin')

const key = cryptoki.createObject(session, knownAes(value))
const sealed = cryptoki.encrypt(session, mechanism(CKM.AES_ECB), key, value)
value.fill(0)
const opened = cryptoki.decrypt(session, mechanism(CKM.AES_ECB), key, sealed)
opened.fill(0)
const readBack = cryptoki.getAttributes(session, key, ['VALUE', 'UNIQUE_ID']).value('VALUE')
readBack?.fill(0)
done('key in use')
cryptoki.destroyObject(session, key)
cryptoki.logout(session)
done('key destroyed')
cryptoki.close()
done(`closed ${planted.length}`)
