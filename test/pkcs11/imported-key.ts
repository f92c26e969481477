/** AES keys with known values as session objects of a token, for comparisons with vectors and software. */
import { toHex } from '../../src/bytes.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import type { Key, Token } from '../../src/pkcs11/index.ts'
import type { ModuleUnderTest } from '../tokens.ts'
import { knownAes } from './open-session.ts'

/** Imports keys under the login of a token of this process. */
export interface KeyImport {
  /** The same value under the same suffix is imported once. */
  key(value: Uint8Array, suffix?: string): Promise<Key>
  /** Many keys make every search slow. */
  drop(key: Key): Promise<void>
  close(): void
}

export function keyImport(
  { module, libraryParameters }: Pick<ModuleUnderTest, 'module' | 'libraryParameters'>,
  token: Token,
): KeyImport {
  const cryptoki = openCryptoki({
    path: module,
    ...(libraryParameters === undefined ? {} : { libraryParameters }),
  })
  // The objects live as long as this session.
  const session = cryptoki.openSession(token.info.slotId, { readWrite: true })
  const made = new Map<string, Key>()
  return {
    async key(value, suffix = '') {
      const label = `imported ${toHex(value)}${suffix}`
      const known = made.get(label)
      if (known !== undefined) return known
      const id = new Uint8Array(Buffer.from(`${made.size}`))
      cryptoki.createObject(session, knownAes(value, { LABEL: label, ID: id }))
      const [key] = await token.find({ label })
      made.set(label, key!)
      return key!
    },
    async drop(key) {
      made.delete(key.label)
      await token.discard(key)
    },
    close() {
      cryptoki.closeSession(session)
      cryptoki.close()
    },
  }
}
