/** A token from which protected keys can leave is not a vault, whatever else it refuses. */
import { PolicyError } from '../errors.ts'
import type { EnforcementRow } from '../pkcs11/index.ts'

/** Throws ENFORCEMENT_MISSING when an attack on a protected key succeeded; other weaknesses are recorded only. */
export function refuseLeakyToken(rows: readonly EnforcementRow[], where: string): void {
  if (rows.length === 0) {
    throw new PolicyError('ENFORCEMENT_MISSING', 'CER-ENFORCE-1', 'nothing was probed', {
      where,
      expected: 'an enforcement table',
    })
  }
  const leaks = rows.filter(
    ({ severity, verdict }) => severity === 'critical' && verdict === 'not enforced',
  )
  const [first] = leaks
  if (first === undefined) return
  throw new PolicyError(
    'ENFORCEMENT_MISSING',
    'CER-ENFORCE-1',
    'protected keys can leave this token',
    {
      where,
      expected: 'every critical attack of the enforcement table refused',
      got: `${leaks.length} succeeded, first: ${first.attack} (${first.id})`,
      hint: 'keyrite doctor shows the whole table; hold the ceremony on another token',
    },
  )
}
