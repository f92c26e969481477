/** Commitments of a split on their way into the transcript. */
import type { Commitments } from '../quorum/index.ts'
import type { EntryOf } from './entries.ts'

/** Commitments as a transcript entry holds them. */
export const loggedCommitments = (
  commitments: Commitments,
): EntryOf<'shares.committed'>['commitments'] =>
  structuredClone(commitments) as EntryOf<'shares.committed'>['commitments']
