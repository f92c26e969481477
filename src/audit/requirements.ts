/** What a log promises: one stable id per rule, its sentence, and how strongly it is backed. */
import { type ErrorDetail, VerificationError, type VerificationErrorCode } from '../errors.ts'
import type { EvidenceClass } from '../types.ts'

/** A rule of the log. */
export interface LogRequirement {
  readonly sentence: string
  readonly evidence: EvidenceClass
}

/** Every rule, by id. Errors, tests and reports name rules by these ids. */
export const LOG_REQUIREMENTS = {
  'LOG-LINE-1': {
    sentence:
      'Every line is one canonical JSON object below 65 536 bytes with v, seq, time, prev and type.',
    evidence: 'crypto-verified',
  },
  'LOG-CHAIN-1': {
    sentence: 'Every line states its own position and the leaf hash of the line before it.',
    evidence: 'crypto-verified',
  },
  'LOG-SEG-1': {
    sentence:
      'Segments are named by their first index, without gaps, 65 536 lines in all but the last.',
    evidence: 'crypto-verified',
  },
  'LOG-ORIGIN-1': {
    sentence: 'The checkpoint, the first line and the expected origin name the same log.',
    evidence: 'crypto-verified',
  },
  'LOG-SIG-1': {
    sentence: 'No signature by a trusted key on a checkpoint fails to verify.',
    evidence: 'crypto-verified',
  },
  'LOG-SIG-2': {
    sentence: 'At least one trusted key has signed the checkpoint.',
    evidence: 'crypto-verified',
  },
  'LOG-SIZE-1': {
    sentence: 'The log holds at least as many lines as its checkpoint signs.',
    evidence: 'crypto-verified',
  },
  'LOG-ROOT-1': {
    sentence: 'The RFC 6962 root of the signed lines equals the signed root.',
    evidence: 'crypto-verified',
  },
  'LOG-APPEND-1': {
    sentence: 'Every checkpoint extends all earlier ones; one that does not is never signed.',
    evidence: 'crypto-verified',
  },
  'LOG-ANCHOR-1': {
    sentence: 'The log contains the size and root that were published outside of it.',
    evidence: 'crypto-verified',
  },
  'LOG-PROOF-1': {
    sentence: 'An inclusion proof leads from the entry to the signed root.',
    evidence: 'crypto-verified',
  },
  'LOG-PROOF-2': {
    sentence: 'A consistency proof leads from the earlier root to the later one.',
    evidence: 'crypto-verified',
  },
  'LOG-DURABLE-1': {
    sentence: 'An entry is acknowledged after fdatasync; any write or sync error stops the writer.',
    evidence: 'software-enforced',
  },
  'LOG-RECOVER-1': {
    sentence: 'Only a torn last line beyond the signed size is set aside, and that is logged.',
    evidence: 'software-enforced',
  },
  'LOG-WRITER-1': {
    sentence: 'A log has one writer at a time.',
    evidence: 'software-enforced',
  },
  'LOG-CREATE-1': {
    sentence: 'Creating a log never touches an existing one.',
    evidence: 'software-enforced',
  },
} as const satisfies Record<string, LogRequirement>

/** Id of a rule. */
export type LogRequirementId = keyof typeof LOG_REQUIREMENTS

/** The error for a broken rule. */
export const broken = (
  code: VerificationErrorCode,
  requirement: LogRequirementId,
  message: string,
  detail: ErrorDetail & { entry?: number } = {},
): VerificationError => new VerificationError(code, requirement, message, detail)
