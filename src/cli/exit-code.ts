/** Exit codes of the `keyrite` command, and which error leads to which. */
import {
  ConfigError,
  EmbeddingError,
  type EmbeddingErrorCode,
  FormatError,
  FpeError,
  KeyriteError,
  Pkcs11Error,
  TokenError,
  VerificationError,
} from '../errors.ts'

/** What the shell sees. Anything but `ok` means that at least one step failed. */
export const EXIT = {
  ok: 0,
  /** A rule, a quorum or a person said no; also every failure without a code of its own. */
  refused: 1,
  usage: 2,
  /** A file, path or setting is wrong. */
  configuration: 3,
  hsm: 4,
  /** Evidence does not hold. */
  verification: 5,
} as const

/** One of {@link EXIT}. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** The command line itself is wrong: unknown command or option, missing argument. */
export class UsageError extends KeyriteError<'USAGE'> {
  override readonly name = 'UsageError'
}

/** Token-layer refusals that a corrected path or setting cures; the others need the HSM's operator. */
const CONFIGURATION: ReadonlySet<string> = new Set([
  'MODULE_NOT_FOUND',
  'MODULE_INVALID',
  'ARGUMENT_INVALID',
])

/** What an encrypted collection says of itself does not hold. */
const EMBEDDING_EVIDENCE: ReadonlySet<EmbeddingErrorCode> = new Set<EmbeddingErrorCode>([
  'CIPHERTEXT_INVALID',
  'BLOCK_INVALID',
  'RECORD_INVALID',
  'SCORES_INVALID',
  'STORE_INVALID',
])

/** Ends of work on a collection that no other file or setting would have changed. */
const EMBEDDING_REFUSALS: ReadonlySet<EmbeddingErrorCode> = new Set<EmbeddingErrorCode>([
  'COLLECTION_CHANGED',
  'LIMIT_EXCEEDED',
  'DEADLINE_EXCEEDED',
  'UNAVAILABLE',
  'ABORTED',
  'CLOSED',
])

/** The exit code for an error; errors from outside keyrite count as refused. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return EXIT.usage
  if (error instanceof VerificationError) return EXIT.verification
  if (error instanceof EmbeddingError) {
    if (EMBEDDING_EVIDENCE.has(error.code)) return EXIT.verification
    return EMBEDDING_REFUSALS.has(error.code) ? EXIT.refused : EXIT.configuration
  }
  if (error instanceof FpeError && error.code !== 'ABORTED') return EXIT.configuration
  if (error instanceof ConfigError || error instanceof FormatError) return EXIT.configuration
  if (error instanceof TokenError && CONFIGURATION.has(error.code)) return EXIT.configuration
  if (error instanceof TokenError || error instanceof Pkcs11Error) return EXIT.hsm
  return EXIT.refused
}
