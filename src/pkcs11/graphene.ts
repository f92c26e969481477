/**
 * Adapter for programs that already use graphene-pk11 or node-webcrypto-p11: works on the token and
 * under the login of a graphene `Session`. Only its handle and its raw library object are used, so
 * graphene stays an optional peer and none of its template or callback code runs.
 */
import { TokenError } from '../errors.ts'
import { CKF_SESSION } from './constants.ts'
import type { Cryptoki } from './cryptoki.ts'
import { loadModule } from './module.ts'
import { openCryptoki } from './native.ts'
import { translated } from './native-queries.ts'
import { isReturnValue } from './return-value.ts'
import type { Hsm, Token } from './types.ts'
import { formatUri } from './uri.ts'

/** The part of a graphene `Session` that is used; `lib` is graphene's pkcs11js object. */
export interface GrapheneSession {
  readonly handle: Buffer
  readonly slot: { readonly handle: Buffer }
  readonly lib: {
    /** Path the module was loaded from. */
    readonly libPath: string
    C_OpenSession(slot: Buffer, flags: number): Buffer
    C_CloseSession(session: Buffer): void
  }
}

/** A token used under somebody else's login. Dispose it before the graphene module is finalised. */
export interface AdoptedToken extends AsyncDisposable {
  readonly hsm: Hsm
  readonly token: Token
}

function refuse(path: string, got: string, hint: string): never {
  throw new TokenError('ARGUMENT_INVALID', 'the graphene session cannot be adopted', {
    where: path,
    expected: 'an open graphene-pk11 Session of a module that was loaded by its path',
    got,
    hint,
  })
}

const isHandle = (value: unknown): value is Buffer => Buffer.isBuffer(value) && value.length === 8

function checkShape(session: GrapheneSession): void {
  const claimed = session as unknown as Partial<GrapheneSession> | null | undefined
  if (isHandle(claimed?.handle) && isHandle(claimed.slot?.handle)) {
    if (typeof claimed.lib?.libPath === 'string' && claimed.lib.libPath.startsWith('/')) return
  }
  refuse('session', 'something else', 'pass the Session that slot.open() returned')
}

function knows(cryptoki: Cryptoki, session: Buffer): boolean {
  try {
    cryptoki.sessionInfo(session.readBigUInt64LE() as Parameters<Cryptoki['sessionInfo']>[0])
    return true
  } catch (error) {
    if (isReturnValue(error, 'SESSION_HANDLE_INVALID', 'SESSION_CLOSED')) return false
    throw error
  }
}

/**
 * Some modules (p11-kit's client) give every loader its own sessions and logins. A session opened
 * there must appear here and vanish here; equal numbers alone could be two different sessions.
 */
function sharesState(cryptoki: Cryptoki, { handle, lib, slot }: GrapheneSession): boolean {
  if (!knows(cryptoki, handle)) return false
  const flags = CKF_SESSION.SERIAL_SESSION
  const probe = translated('C_OpenSession', () => lib.C_OpenSession(slot.handle, flags))
  const appeared = knows(cryptoki, probe)
  translated('C_CloseSession', () => lib.C_CloseSession(probe))
  return appeared && !knows(cryptoki, probe)
}

/**
 * The token of a graphene session. keyrite neither logs in or out nor finalises: both stay with
 * the caller, who keeps the session open meanwhile.
 * @throws TokenError ARGUMENT_INVALID: not such a session, or a module that does not share its state
 * between loaders; TOKEN_NOT_FOUND; Pkcs11Error.
 */
export async function adoptGraphene(session: GrapheneSession): Promise<AdoptedToken> {
  checkShape(session)
  const path = session.lib.libPath
  const cryptoki = openCryptoki({ path })
  try {
    if (!sharesState(cryptoki, session)) {
      refuse(path, 'a session this process-wide module does not know', 'log in through keyrite')
    }
  } finally {
    cryptoki.close()
  }
  const hsm = await loadModule(path)
  try {
    const slotId = Number(session.slot.handle.readBigUInt64LE())
    const token = await hsm.open(formatUri({ slotId }))
    return { hsm, token, [Symbol.asyncDispose]: () => hsm[Symbol.asyncDispose]() }
  } catch (error) {
    await hsm[Symbol.asyncDispose]()
    throw error
  }
}
