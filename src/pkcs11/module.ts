/** Entry to the layer: a loaded module, its tokens, logins (PKCS#11 v3.2 §5.4, §5.5). */
import { TokenError } from '../errors.ts'
import { connect } from './connection.ts'
import { mechanismName } from './constants-ckm.ts'
import { acquireModule } from './loaded-module.ts'
import type { LoadOptions } from './loaded-module.ts'
import { climb, firstStep, isRecoverable } from './recovery.ts'
import { initialisedTokens, isInitialised, presentTokens, tokenByUri } from './slot.ts'
import { createToken } from './token.ts'
import { rememberConnection } from './token-connection.ts'
import type { Hsm, LoginOptions, Token } from './types.ts'
import { parseUri } from './uri.ts'

/**
 * Loads and initialises a PKCS#11 module. Loading the same file again shares the instance; the last
 * `Hsm` to be disposed finalises it.
 * @throws TokenError MODULE_NOT_FOUND, MODULE_INVALID (also: other hash than `expectSha256`),
 * ARGUMENT_INVALID; Pkcs11Error of C_Initialize.
 */
export function loadModule(path: string, options: LoadOptions = {}): Promise<Hsm> {
  // Rejects instead of throwing.
  return Promise.resolve().then(() => createHsm(path, options))
}

function createHsm(path: string, options: LoadOptions): Hsm {
  const module = acquireModule(path, options)
  const { cryptoki } = module
  const tokens = new Set<Token>()
  let closed = false
  let released = false

  const alive = () => {
    if (!closed) return
    throw new TokenError('MODULE_CLOSED', 'the module was closed', { where: module.info.path })
  }

  /** Runs `work`; if the module has lost its device, initialises it again and runs `work` once more. */
  const reachable = async <T>(work: () => T | Promise<T>): Promise<T> => {
    alive()
    const { generation } = module
    try {
      return await work()
    } catch (error) {
      if (!isRecoverable(error) || error.retry === 'session' || error.retry === 'relogin') {
        throw error
      }
      await module.exclusive(async () => {
        if (module.generation !== generation) return
        await climb(module.info.path, firstStep(error), async (step) => {
          if (step !== 'relogin') await module.jobs.alone(() => module.renew(step))
        })
      })
      return await work()
    }
  }

  const start = async (uriText: string, login: LoginOptions | undefined): Promise<Token> => {
    const uri = parseUri(uriText)
    const connection = await reachable(() => connect(module, tokenByUri(cryptoki, uri), login))
    const token = createToken(connection, () => void tokens.delete(token))
    tokens.add(token)
    rememberConnection(token, connection)
    return token
  }

  return {
    info: module.info,

    tokens: () => reachable(() => initialisedTokens(cryptoki).map(({ info }) => info)),

    blankSlots: () =>
      reachable(() =>
        presentTokens(cryptoki)
          .filter((token) => !isInitialised(token))
          .map(({ info }) => info.slotId),
      ),

    initToken: async ({ slotId }, label, soPin) => {
      // Asked first, so that a lost device is found before the call that cannot be repeated.
      const known = await reachable(() => presentTokens(cryptoki))
      const present = known.find(({ info }) => info.slotId === slotId)
      if (present !== undefined && isInitialised(present)) {
        throw new TokenError('ARGUMENT_INVALID', 'the slot holds an initialised token', {
          where: `slot ${slotId}`,
          expected: 'a blank slot',
          got: `token=${present.info.label};serial=${present.info.serial}`,
          hint: 'C_InitToken would destroy its keys; erase it with the tools of its vendor first',
        })
      }
      cryptoki.initToken(slotId, label, soPin)
      const made = presentTokens(cryptoki).find(
        (token) => token.info.slotId === slotId && isInitialised(token),
      )
      if (made !== undefined) return made.info
      throw new TokenError('TOKEN_NOT_FOUND', 'the token was not there after C_InitToken', {
        where: `slot ${slotId}`,
        expected: `token=${label}`,
      })
    },

    mechanisms: (tokenUri) =>
      reachable(() => {
        const { info } = tokenByUri(cryptoki, parseUri(tokenUri))
        return cryptoki.mechanismList(info.slotId).map(mechanismName).sort()
      }),

    login: (tokenUri, login) => start(tokenUri, login),
    open: (tokenUri) => start(tokenUri, undefined),

    async [Symbol.asyncDispose]() {
      closed = true
      // One whose work does not end throws, and all of this may be called again.
      for (const token of [...tokens]) await token[Symbol.asyncDispose]()
      if (released) return
      released = true
      module.release()
    },
  }
}
