/** One login for each token that a command names, however often and in whichever way it is named. */
import type { Command } from 'commander'

import { wipe } from '../bytes.ts'
import { Pkcs11Error } from '../errors.ts'
import type { Hsm, Token } from '../pkcs11/index.ts'
import { wholeNumber } from './command.ts'
import { placedError } from './error-place.ts'
import { readLoginLine } from './login-lines.ts'
import { type ModuleOptions, moduleOptions, openModule } from './module-option.ts'
import type { Io } from './output.ts'
import { askSecret, personalQuestions } from './questions.ts'
import type { Screen } from './screen.ts'

/** Options of {@link openTokens}. */
export interface LoginOptions extends ModuleOptions {
  /** File descriptor with one PIN a line; without it the PINs are asked for at the terminal. */
  readonly loginFd?: number
}

/** Adds `--login-fd` and the options of the module. */
export const loginOptions = (command: Command): Command =>
  moduleOptions(command).option(
    '--login-fd <number>',
    'read PINs from this file descriptor, one line for each token, instead of asking',
    wholeNumber(0),
  )

/** Tokens by URI; disposing of it logs out of all. */
export interface Tokens extends AsyncDisposable {
  /** Logs in when the token is first asked for. */
  token(uri: string): Promise<Token>
}

async function login(hsm: Hsm, tokenUri: string, pin: Uint8Array): Promise<Token> {
  try {
    return await hsm.login(tokenUri, { pin })
  } catch (error) {
    if (!(error instanceof Pkcs11Error) || error.where !== undefined) throw error
    // Of several tokens, the one whose PIN it was.
    throw placedError(error, { where: tokenUri })
  } finally {
    wipe(pin)
  }
}

/** Loads the module. */
export async function openTokens(options: LoginOptions, side: Screen, io: Io): Promise<Tokens> {
  const hsm = await openModule(options, io)
  const tokens = new Map<string, Token>()

  const pinOf = (label: string, uri: string): Promise<Uint8Array> =>
    options.loginFd === undefined
      ? askSecret(personalQuestions(side, io), { who: uri, prompt: `user PIN of token ${label}` })
      : Promise.resolve(readLoginLine(options.loginFd))

  return {
    // Two URIs may name one token in two ways; it is known by what it says itself.
    async token(tokenUri) {
      const probe = await hsm.open(tokenUri)
      const { slotId, label, serial } = probe.info
      await probe[Symbol.asyncDispose]()
      const identity = JSON.stringify([slotId, label, serial])
      const known = tokens.get(identity)
      if (known !== undefined) return known
      const token = await login(hsm, tokenUri, await pinOf(label, tokenUri))
      tokens.set(identity, token)
      return token
    },
    [Symbol.asyncDispose]: () => hsm[Symbol.asyncDispose](),
  }
}
