/** The enforcement table of a token that is already open, e.g. in the middle of a ceremony. */
import { TokenError } from '../errors.ts'
import { enforcementTable } from './enforcement.ts'
import type { EnforcementRow } from './enforcement-row.ts'
import { connectionOf } from './token-connection.ts'
import type { Token } from './types.ts'

/**
 * Attacks scratch session objects on `token` and says what it refused. The login stays as it is, so
 * what needs a logout is reported as not probed. Rows are plain JSON.
 * @throws TokenError ARGUMENT_INVALID for an SO login, whose rights differ from a user's;
 * CONNECTION_LOST, MODULE_CLOSED; Pkcs11Error when the token goes away.
 */
export async function probeEnforcement(token: Token): Promise<EnforcementRow[]> {
  const connection = connectionOf(token)
  if (connection.user === 'so') {
    throw new TokenError('ARGUMENT_INVALID', 'the SO cannot probe what users are refused', {
      where: `token=${token.info.label}`,
      expected: 'a user login, or none',
      got: 'an SO login',
    })
  }
  return connection.run(
    ({ cryptoki, slotId }) =>
      enforcementTable({
        cryptoki,
        slotId,
        loggedIn: connection.user === 'user',
        soleLogin: false,
      }),
    // Only so that the ladder watches over it; every attack has a session of its own.
    { on: 'fresh' },
  )
}
