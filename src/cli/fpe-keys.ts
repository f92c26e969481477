/** The keys that a configuration of columns names: which token each is on, and one login for each token. */
import { wipe } from '../bytes.ts'
import type { Hsm, Key, Pkcs11Uri, Token } from '../pkcs11/index.ts'
import { pkcs11Library } from './libraries.ts'
import { readLoginLine } from './login-lines.ts'
import { type ModuleOptions, openModule } from './module-option.ts'
import type { Io } from './output.ts'
import { askSecret, personalQuestions } from './questions.ts'
import type { Screen } from './screen.ts'

/** Options of {@link openKeys}. */
export interface KeyOptions extends ModuleOptions {
  readonly loginFd?: number
}

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

async function login(hsm: Hsm, tokenUri: string, pin: Uint8Array): Promise<Token> {
  try {
    return await hsm.login(tokenUri, { pin })
  } finally {
    wipe(pin)
  }
}

/** Loads the module; tokens are logged in to when the first of their keys is asked for. */
export async function openKeys(options: KeyOptions, side: Screen, io: Io): Promise<Keys> {
  const { formatUri, parseUri } = await pkcs11Library()
  const hsm = await openModule(options, io)
  const tokens = new Map<string, Token>()

  const pinOf = (label: string, uri: string): Promise<Uint8Array> =>
    options.loginFd === undefined
      ? askSecret(personalQuestions(side, io), { who: uri, prompt: `user PIN of token ${label}` })
      : Promise.resolve(readLoginLine(options.loginFd))

  /** Two URIs may name one token in two ways; it is known by what it says itself. */
  const tokenOf = async (tokenUri: string): Promise<Token> => {
    const probe = await hsm.open(tokenUri)
    const { slotId, label, serial } = probe.info
    await probe[Symbol.asyncDispose]()
    const identity = JSON.stringify([slotId, label, serial])
    const known = tokens.get(identity)
    if (known !== undefined) return known
    const token = await login(hsm, tokenUri, await pinOf(label, tokenUri))
    tokens.set(identity, token)
    return token
  }

  return {
    async key(uri) {
      const token = await tokenOf(formatUri(tokenPart(parseUri(uri))))
      return token.key(uri)
    },
    [Symbol.asyncDispose]: () => hsm[Symbol.asyncDispose](),
  }
}
