/**
 * What a ceremony's evidence must show, one sentence per requirement. The ids are stable: they stand in
 * errors, in the report, in tests and in the assurance case.
 */
import { LOG_REQUIREMENTS } from '../audit/index.ts'
import type { EvidenceClass } from '../types.ts'

/** One requirement and the strongest evidence its check rests on. */
export interface Requirement {
  readonly sentence: string
  readonly evidence: EvidenceClass
}

const requirement = (evidence: EvidenceClass, sentence: string): Requirement => ({
  sentence,
  evidence,
})

/** In the order in which a reader would ask. */
export const REQUIREMENTS = {
  'BUNDLE-SUMS-1': requirement(
    'crypto-verified',
    'Every file has the digest SHA256SUMS gives it; none is missing, added or a link.',
  ),
  'BUNDLE-DOCS-1': requirement(
    'crypto-verified',
    'Report, guide, verifier program and key files say what the signed transcript says.',
  ),
  'TRUST-ANCHOR-1': requirement(
    'crypto-verified',
    'The people’s keys and the HSM’s log key came from the verifier, not only from this bundle.',
  ),
  'LOG-LINE-1': LOG_REQUIREMENTS['LOG-LINE-1'],
  'LOG-CHAIN-1': LOG_REQUIREMENTS['LOG-CHAIN-1'],
  'LOG-SEG-1': LOG_REQUIREMENTS['LOG-SEG-1'],
  'LOG-ORIGIN-1': LOG_REQUIREMENTS['LOG-ORIGIN-1'],
  'LOG-SIZE-1': LOG_REQUIREMENTS['LOG-SIZE-1'],
  'LOG-ROOT-1': LOG_REQUIREMENTS['LOG-ROOT-1'],
  'LOG-APPEND-1': LOG_REQUIREMENTS['LOG-APPEND-1'],
  'LOG-SIG-1': LOG_REQUIREMENTS['LOG-SIG-1'],
  'LOG-SIG-2': LOG_REQUIREMENTS['LOG-SIG-2'],
  'LOG-COVER-1': requirement(
    'crypto-verified',
    'The signed checkpoint covers the whole transcript, and the log signer of the plan signed it.',
  ),
  'CER-ENTRY-1': requirement(
    'crypto-verified',
    'Every line is an entry of the transcript schema; no unknown type, no unknown field.',
  ),
  'CER-MODE-1': requirement(
    'crypto-verified',
    'Origin, every entry, every approval and the binding name the same mode, and it is the expected one.',
  ),
  'CER-ID-1': requirement(
    'crypto-verified',
    'The ceremony id binds plan, binding, mode and predecessor, and every entry carries it.',
  ),
  'CER-PLAN-1': requirement(
    'crypto-verified',
    'Plan and policy are the reviewed ones: their digests stand in the first entry.',
  ),
  'CER-BINDING-1': requirement(
    'crypto-verified',
    'The binding is the reviewed one, and module and tokens used are those it names.',
  ),
  'CER-PREVIOUS-1': requirement(
    'crypto-verified',
    'The ceremony continues the one before it: same root, same state at the start.',
  ),
  'CER-PEOPLE-1': requirement(
    'crypto-verified',
    'The people are those of binding and roster, and no one holds two roles that must stay apart.',
  ),
  'CER-ORDER-1': requirement(
    'crypto-verified',
    'The steps of the plan were carried out in the order of the plan, each of them once.',
  ),
  'CER-QUORUM-1': requirement(
    'crypto-verified',
    'Whatever changed a token was approved by a quorum of different people with different keys.',
  ),
  'CER-APPROVAL-1': requirement(
    'crypto-verified',
    'Every approval is signed by a key on the roster over plan, step, arguments and log root, and was fresh.',
  ),
  'CER-REPLAY-1': requirement('crypto-verified', 'No approval and no nonce was used twice.'),
  'CER-WAL-1': requirement(
    'crypto-verified',
    'Every call that changes a token or a medium has one intent before it and one result after it.',
  ),
  'CER-SHARES-1': requirement(
    'software-enforced',
    'Every login took the shares of at least the threshold of different custodians.',
  ),
  'CER-RECEIPT-1': requirement(
    'crypto-verified',
    'Every holder of a new share signed a receipt for it.',
  ),
  'CER-RESPLIT-1': requirement(
    'module-reported',
    'Every PIN that was put together was changed and split again.',
  ),
  'CER-TIME-1': requirement(
    'software-enforced',
    'The clocks ran forward; wall and monotonic time agree.',
  ),
  'CER-CLOSE-1': requirement(
    'crypto-verified',
    'The transcript is closed by its last entry, which states what became of the ceremony.',
  ),
  'CER-DUAL-1': requirement(
    'crypto-verified',
    'The dual control that page one claims is borne out by the entries.',
  ),
  'KEY-STATE-1': requirement(
    'module-reported',
    'Every key is in the state the plan declares, with its key check value.',
  ),
  'KEY-ID-1': requirement(
    'crypto-verified',
    'Every key made here has the CKA_ID computed from ceremony and step.',
  ),
  'KEY-COPIES-1': requirement(
    'crypto-verified',
    'Every wrapped copy is listed, has the recorded digest, and no other file claims to be one.',
  ),
  'SIG-CUSTODIAN-1': requirement(
    'crypto-verified',
    'The custodians who acted signed the final checkpoint: a quorum of people, each with an own key.',
  ),
  'SIG-WITNESS-1': requirement(
    'crypto-verified',
    'The witnesses, and whoever else the plan asks to attest, signed the final checkpoint.',
  ),
} as const satisfies Record<string, Requirement>

/** Id of a requirement a bundle is checked against. */
export type RequirementId = keyof typeof REQUIREMENTS

/** All ids, in report order. */
export const REQUIREMENT_IDS = Object.keys(REQUIREMENTS) as RequirementId[]
