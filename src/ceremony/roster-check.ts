/**
 * Whether the roster fits the people of the binding: each of them has a key of their own that is valid
 * today. Looked at before anything is touched; the verifier would refuse the transcript later, when keys
 * have been made and PINs changed.
 */
import { QuorumError } from '../errors.ts'
import { type AllowedSigners, assertDistinct, fingerprintsOf, signersFor } from '../quorum/index.ts'
import type { Binding } from './binding-types.ts'

/**
 * Throws QuorumError: SAME_PERSON_TWICE for a key that two people could sign with (a pattern such as
 * `*@site.example` gives one to everybody), SIGNER_UNKNOWN for a signer without a line, SIGNER_EXPIRED
 * for one whose lines are all not valid at `at`.
 */
export function refuseUnlessRostered(binding: Binding, roster: AllowedSigners, at: Date): void {
  const where = binding.roster.file
  const people = Object.entries(binding.people)
  assertDistinct(
    people.map(([holder, { principal }]) => ({
      holder,
      keyFingerprints: fingerprintsOf(roster, principal),
    })),
    where,
  )
  const second = at.getTime() / 1000
  for (const [id, { principal, signer }] of people) {
    if (signer === undefined) continue
    const lines = signersFor(roster, principal)
    if (lines.length === 0) {
      throw new QuorumError('SIGNER_UNKNOWN', `${id} is not on the roster`, {
        where,
        expected: `a line for ${principal}`,
        got: 'none',
        hint: 'add the line to the roster, review it, and put its new digest into the binding',
      })
    }
    const valid = lines.some(
      ({ validAfter = 0, validBefore = Infinity }) => second >= validAfter && second <= validBefore,
    )
    if (!valid) {
      throw new QuorumError('SIGNER_EXPIRED', `no key of ${id} is valid today`, {
        where: `${where}:${lines.map(({ line }) => line).join(', ')}`,
        expected: `a line for ${principal} that is valid at ${at.toISOString()}`,
        got: 'lines that are not valid yet, or no more',
      })
    }
  }
}
