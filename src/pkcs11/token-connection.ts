/** The connection behind a token, for the parts of this layer that need more than its public face. */
import { TokenError } from '../errors.ts'
import type { Connection } from './connection.ts'
import type { Token } from './types.ts'

const CONNECTIONS = new WeakMap<Token, Connection>()

/** Remembers whose connection it is; called once, when the token is made. */
export const rememberConnection = (token: Token, connection: Connection): void =>
  void CONNECTIONS.set(token, connection)

/** @throws TokenError ARGUMENT_INVALID for a token that `loadModule(...)` did not make. */
export function connectionOf(token: Token): Connection {
  const connection = CONNECTIONS.get(token)
  if (connection !== undefined) return connection
  throw new TokenError('ARGUMENT_INVALID', 'not a token of this library', {
    where: 'token',
    expected: 'a Token from Hsm.login or Hsm.open',
  })
}
