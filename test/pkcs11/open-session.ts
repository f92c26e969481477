/** A logged-in session of the port on a token of `test/tokens.ts`. */
import type { Cryptoki, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { CKK, CKO } from '../../src/pkcs11/constants.ts'
import type { Template } from '../../src/pkcs11/attribute.ts'
import type { TestToken } from '../tokens.ts'

export function slotOf(cryptoki: Cryptoki, label: string): number {
  const slot = cryptoki.slots(true).find((id) => cryptoki.tokenInfo(id).label === label)
  if (slot === undefined) throw new Error(`no token ${label}`)
  return slot
}

export function openSession(
  cryptoki: Cryptoki,
  token: Pick<TestToken, 'label' | 'userPin'>,
): SessionHandle {
  const session = cryptoki.openSession(slotOf(cryptoki, token.label), { readWrite: true })
  cryptoki.login(session, 'user', token.userPin())
  return session
}

/** An AES session key that is readable and does everything, without a length or value. */
const aesBase: Template = {
  CLASS: CKO.SECRET_KEY,
  KEY_TYPE: CKK.AES,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: false,
  EXTRACTABLE: true,
  ENCRYPT: true,
  DECRYPT: true,
  WRAP: true,
  UNWRAP: true,
  DERIVE: true,
}

/** Template of an AES-256 key to generate. */
export const aes = (changes: Template = {}): Template => ({ ...aesBase, VALUE_LEN: 32, ...changes })

/** Template of an AES key to import or unwrap. */
export const knownAes = (value: Uint8Array | undefined, changes: Template = {}): Template => ({
  ...aesBase,
  ...(value === undefined ? {} : { VALUE: value }),
  ...changes,
})
