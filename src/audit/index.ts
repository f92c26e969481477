/** `keyrite/audit`: append-only logs that anyone can verify offline. */
export { formatCheckpoint, parseCheckpoint } from './checkpoint.ts'
export { openLog } from './log.ts'
export {
  type ConsistencyClaim,
  type InclusionClaim,
  leafHash,
  verifyConsistency,
  verifyInclusion,
} from './merkle.ts'
export {
  type ProvenEntry,
  type TlogProof,
  formatProof,
  parseProof,
  proveEntry,
  verifyProof,
} from './proof.ts'
export { LOG_REQUIREMENTS, type LogRequirement, type LogRequirementId } from './requirements.ts'
export type {
  Appended,
  Checkpoint,
  Log,
  LogEntry,
  OpenLogOptions,
  VerifiedLog,
  VerifyLogOptions,
} from './types.ts'
export { type Tree, createTree } from './tree.ts'
export { verifyLog } from './verify.ts'
export {
  formatVerifierKey,
  type NoteSigner,
  type NoteVerifier,
  noteVerifier,
  parseVerifierKey,
} from '../note.ts'
