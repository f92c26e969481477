/** Separation of people: nobody counts twice, and nobody holds shares of both PINs of a token. */
import { PolicyError, QuorumError } from '../errors.ts'

import { type AllowedSigners, signersFor } from './allowed-signers.ts'

/** A person as far as separation cares. */
export interface Holder {
  /** Id in plans and shares. */
  readonly holder: string
  /** `SHA256:...` of every key they sign with. */
  readonly keyFingerprints: readonly string[]
}

/** Fingerprints of all keys the roster gives a principal. */
export const fingerprintsOf = (roster: AllowedSigners, principal: string): string[] =>
  signersFor(roster, principal).map(({ key }) => key.fingerprint)

const sharedKey = (a: Holder, b: Holder): string | undefined =>
  a.keyFingerprints.find((key) => b.keyFingerprints.includes(key))

/** What makes two entries one person, in words; `undefined` when nothing does. */
function sameness(a: Holder, b: Holder): string | undefined {
  if (a.holder === b.holder) return a.holder
  const key = sharedKey(a, b)
  return key === undefined ? undefined : `${a.holder} and ${b.holder} with the same key ${key}`
}

/** Every entry is another person with other keys. Throws QuorumError SAME_PERSON_TWICE. */
export function assertDistinct(people: readonly Holder[], where = 'holders'): void {
  people.forEach((person, at) => {
    for (const other of people.slice(0, at)) {
      const got = sameness(other, person)
      if (got !== undefined) {
        throw new QuorumError('SAME_PERSON_TWICE', 'one person is counted twice', {
          where,
          expected: 'different people with different keys',
          got,
        })
      }
    }
  })
}

/**
 * Nobody is in both groups, by id or by key: the SO can reset the USER PIN, so one person with both would need nobody
 * else. Throws PolicyError ROLE_CONFLICT, requirement QRM-SEPARATE-1.
 */
export function assertDisjoint(
  userHolders: readonly Holder[],
  soHolders: readonly Holder[],
  where = 'USER and SO share holders',
): void {
  for (const user of userHolders) {
    for (const so of soHolders) {
      const got = sameness(user, so)
      if (got !== undefined) {
        throw new PolicyError('ROLE_CONFLICT', 'QRM-SEPARATE-1', 'one person is in both groups', {
          where,
          expected: 'groups without a common person or key',
          got,
        })
      }
    }
  }
}
