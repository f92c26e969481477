/** The keys that a configuration of columns names: which token each is on, and one login for each token. */
import type { Key, Pkcs11Uri } from '../pkcs11/index.ts'
import { pkcs11Library } from './libraries.ts'
import type { Io } from './output.ts'
import type { Screen } from './screen.ts'
import { type LoginOptions, openTokens } from './token-logins.ts'

/** Options of {@link openKeys}. */
export type KeyOptions = LoginOptions

/** Keys by URI; disposing of it logs out. */
export interface Keys extends AsyncDisposable {
  key(uri: string): Promise<Key>
}

/** The part of a key's URI that names its token. */
function tokenPart(uri: Pkcs11Uri): Pkcs11Uri {
  const { token, manufacturer, serial, model, slotId, slotManufacturer, slotDescription } = uri
  return {
    ...(token !== undefined && { token }),
    ...(manufacturer !== undefined && { manufacturer }),
    ...(serial !== undefined && { serial }),
    ...(model !== undefined && { model }),
    ...(slotId !== undefined && { slotId }),
    ...(slotManufacturer !== undefined && { slotManufacturer }),
    ...(slotDescription !== undefined && { slotDescription }),
  }
}

/** Loads the module; tokens are logged in to when the first of their keys is asked for. */
export async function openKeys(options: KeyOptions, side: Screen, io: Io): Promise<Keys> {
  const { formatUri, parseUri } = await pkcs11Library()
  const tokens = await openTokens(options, side, io)
  return {
    async key(uri) {
      const token = await tokens.token(formatUri(tokenPart(parseUri(uri))))
      return token.key(uri)
    },
    [Symbol.asyncDispose]: () => tokens[Symbol.asyncDispose](),
  }
}
