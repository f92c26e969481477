/**
 * Every error keyrite throws. One class per kind of failure, a closed union of codes per class.
 * A message says what failed; `where`, `expected`, `got` and `hint` say the rest.
 * No secret (PIN, share, passphrase, key, plaintext) may reach any field of an error.
 */

/** The parts of a refusal a person needs to act on. */
export interface ErrorDetail {
  /** File, line, field, step or function the fault was found at. */
  readonly where?: string | undefined
  readonly expected?: string | undefined
  /** What was found instead; never a secret. */
  readonly got?: string | undefined
  /** The next thing to do. */
  readonly hint?: string | undefined
  readonly cause?: unknown
}

/** Base class: `code` is stable and machine-readable. */
export class KeyriteError<Code extends string = string> extends Error {
  override readonly name: string = 'KeyriteError'
  readonly code: Code
  readonly where: string | undefined
  readonly expected: string | undefined
  readonly got: string | undefined
  readonly hint: string | undefined

  constructor(code: Code, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.where = detail.where
    this.expected = detail.expected
    this.got = detail.got
    this.hint = detail.hint
  }

  /** Plain object for `--json` and for log entries; leaves out the stack and the cause. */
  toJSON(): Record<string, string> {
    const fields = {
      name: this.name,
      code: this.code,
      message: this.message,
      where: this.where,
      expected: this.expected,
      got: this.got,
      hint: this.hint,
    }
    return Object.fromEntries(
      Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined),
    )
  }
}

/** What a caller may do about a failed PKCS#11 call. */
export type Retry = 'never' | 'session' | 'relogin' | 'reinit' | 'reload' | 'operator'

/** Failure families of PKCS#11 return values. */
export type Pkcs11Category =
  | 'auth'
  | 'auth-locked'
  | 'session'
  | 'token-gone'
  | 'policy'
  | 'mechanism'
  | 'data'
  | 'capacity'
  | 'device'
  | 'module'
  | 'argument'

/** A PKCS#11 function returned something other than CKR_OK (PKCS#11 v2.40 §5.1.6). */
export class Pkcs11Error extends KeyriteError<'PKCS11'> {
  override readonly name = 'Pkcs11Error'
  /** Name of the return value, e.g. `CKR_PIN_INCORRECT`; `CKR_0x...` when unknown. */
  readonly rv: string
  /** Numeric return value. */
  readonly ckr: number
  /** The C function, e.g. `C_Login`. */
  readonly fn: string
  readonly category: Pkcs11Category
  readonly retry: Retry

  constructor(
    fields: { rv: string; ckr: number; fn: string; category: Pkcs11Category; retry: Retry },
    detail: ErrorDetail = {},
  ) {
    super('PKCS11', `${fields.fn} failed: ${fields.rv}`, detail)
    this.rv = fields.rv
    this.ckr = fields.ckr
    this.fn = fields.fn
    this.category = fields.category
    this.retry = fields.retry
  }
}

/** The PKCS#11 layer refused before or after calling the module. */
export type TokenErrorCode =
  | 'MODULE_NOT_FOUND'
  | 'MODULE_INVALID'
  | 'MODULE_CRASHED'
  | 'MODULE_HUNG'
  | 'MODULE_CLOSED'
  | 'MODULE_BUSY'
  | 'MODULE_NOT_OWNED'
  | 'MEMORY_NOT_LOCKED'
  | 'ARGUMENT_INVALID'
  | 'TOKEN_NOT_FOUND'
  | 'TOKEN_AMBIGUOUS'
  | 'KEY_NOT_FOUND'
  | 'KEY_AMBIGUOUS'
  | 'KEY_CHANGED'
  | 'KEY_EXISTS'
  | 'TEMPLATE_NOT_HONOURED'
  | 'MECHANISM_UNAVAILABLE'
  | 'POOL_TIMEOUT'
  | 'ALREADY_LOGGED_IN'
  | 'CONNECTION_LOST'
  | 'KNOWN_ANSWER_MISMATCH'

/** See {@link TokenErrorCode}. */
export class TokenError extends KeyriteError<TokenErrorCode> {
  override readonly name = 'TokenError'
}

/** Dual control refused. */
export type QuorumErrorCode =
  | 'QUORUM_NOT_MET'
  | 'SAME_PERSON_TWICE'
  | 'SAME_SHARE_TWICE'
  | 'SHARE_INVALID'
  | 'SHARE_WRONG_EPOCH'
  | 'SHARE_UNREADABLE'
  | 'RECEIPT_MISSING'
  | 'RECEIPT_INVALID'
  | 'APPROVAL_INVALID'
  | 'APPROVAL_EXPIRED'
  | 'APPROVAL_REPLAYED'
  | 'SIGNER_UNKNOWN'
  | 'SIGNER_WRONG_KEY'
  | 'SIGNER_EXPIRED'
  | 'SIGNER_NOT_ALLOWED'
  | 'SIGNATURE_INVALID'
  | 'SIGNATURE_WRONG_NAMESPACE'
  | 'SIGNING_FAILED'
  | 'SPLIT_INVALID'

/** `have` of `need` people, shares or signatures. */
export class QuorumError extends KeyriteError<QuorumErrorCode> {
  override readonly name = 'QuorumError'
  readonly have: number | undefined
  readonly need: number | undefined

  constructor(
    code: QuorumErrorCode,
    message: string,
    detail: ErrorDetail & { have?: number; need?: number } = {},
  ) {
    super(code, message, detail)
    this.have = detail.have
    this.need = detail.need
  }
}

/** A rule said no; `requirement` is the stable id of the rule, e.g. `CER-ROLES-1`. */
export type PolicyErrorCode =
  | 'LINT_FAILED'
  | 'ROLE_CONFLICT'
  | 'PLAN_CHANGED'
  | 'BINDING_CHANGED'
  | 'BINDING_MISMATCH'
  | 'OUTPUT_EXISTS'
  | 'ENFORCEMENT_MISSING'
  | 'STATE_MISMATCH'
  | 'CONFIRMATION_REFUSED'
  | 'ABORTED'
  | 'NOT_RESUMABLE'
  | 'MODE_REFUSED'

/** See {@link PolicyErrorCode}. */
export class PolicyError extends KeyriteError<PolicyErrorCode> {
  override readonly name = 'PolicyError'
  readonly requirement: string

  constructor(
    code: PolicyErrorCode,
    requirement: string,
    message: string,
    detail: ErrorDetail = {},
  ) {
    super(code, message, detail)
    this.requirement = requirement
  }
}

/** Evidence does not hold. */
export type VerificationErrorCode =
  | 'SIGNATURE_INVALID'
  | 'SIGNER_NOT_TRUSTED'
  | 'ROOT_MISMATCH'
  | 'CHAIN_BROKEN'
  | 'LOG_TRUNCATED'
  | 'LOG_FORKED'
  | 'ORIGIN_MISMATCH'
  | 'PROOF_INVALID'
  | 'REHEARSAL_AS_PRODUCTION'
  | 'TRANSCRIPT_INVALID'

/** `entry` is the log index the fault was found at, where there is one. */
export class VerificationError extends KeyriteError<VerificationErrorCode> {
  override readonly name = 'VerificationError'
  readonly requirement: string
  readonly entry: number | undefined

  constructor(
    code: VerificationErrorCode,
    requirement: string,
    message: string,
    detail: ErrorDetail & { entry?: number } = {},
  ) {
    super(code, message, detail)
    this.requirement = requirement
    this.entry = detail.entry
  }
}

/** Format-preserving encryption refused. */
export type FpeErrorCode =
  | 'KEY_INVALID'
  | 'KEY_NOT_REVERSED'
  | 'KEY_VERSION_UNKNOWN'
  | 'NOT_APPROVED'
  | 'ALPHABET_INVALID'
  | 'RADIX_INVALID'
  | 'TWEAK_INVALID'
  | 'LENGTH_INVALID'
  | 'SYMBOL_INVALID'
  | 'DOMAIN_TOO_SMALL'
  | 'FORMAT_MISMATCH'
  | 'ABORTED'
  | 'CLOSED'

/** `index` is the record the fault was found at, where there are several. Never holds a value. */
export class FpeError extends KeyriteError<FpeErrorCode> {
  override readonly name = 'FpeError'
  readonly index: number | undefined

  constructor(code: FpeErrorCode, message: string, detail: ErrorDetail & { index?: number } = {}) {
    super(code, message, detail)
    this.index = detail.index
  }
}

/** Encrypted embeddings refused. */
export type EmbeddingErrorCode =
  | 'PARAMETERS_UNKNOWN'
  | 'PARAMETERS_UNSAFE'
  | 'VECTOR_INVALID'
  | 'ID_INVALID'
  | 'METADATA_INVALID'
  | 'FILTER_INVALID'
  | 'COLLECTION_INVALID'
  | 'COLLECTION_NOT_FOUND'
  | 'COLLECTION_EXISTS'
  | 'COLLECTION_CHANGED'
  | 'KEY_INVALID'
  | 'KEY_MISMATCH'
  | 'EPOCH_UNKNOWN'
  | 'EPOCH_OUTDATED'
  | 'SESSION_UNKNOWN'
  | 'CIPHERTEXT_INVALID'
  | 'BLOCK_INVALID'
  | 'RECORD_INVALID'
  | 'SCORES_INVALID'
  | 'STORE_INVALID'
  | 'STORE_UNAVAILABLE'
  | 'KERNEL_UNAVAILABLE'
  | 'LIMIT_EXCEEDED'
  | 'DEADLINE_EXCEEDED'
  | 'UNAVAILABLE'
  | 'ABORTED'
  | 'CLOSED'

/** `index` is the vector or query the fault was found at, where there are several. Never holds a coordinate or a text. */
export class EmbeddingError extends KeyriteError<EmbeddingErrorCode> {
  override readonly name = 'EmbeddingError'
  readonly index: number | undefined

  constructor(
    code: EmbeddingErrorCode,
    message: string,
    detail: ErrorDetail & { index?: number | undefined } = {},
  ) {
    super(code, message, detail)
    this.index = detail.index
  }
}

/** Bytes or text are not in the format they should be in; `where` names the place. */
export class FormatError extends KeyriteError<'FORMAT'> {
  override readonly name = 'FormatError'

  constructor(message: string, detail: ErrorDetail & { where: string }) {
    super('FORMAT', message, detail)
  }
}

/** A configuration file, plan or option is wrong; `where` is file:line or the option. */
export class ConfigError extends KeyriteError<'CONFIG'> {
  override readonly name = 'ConfigError'

  constructor(message: string, detail: ErrorDetail = {}) {
    super('CONFIG', message, detail)
  }
}

/** The log or another file could not be made durable; the writer must stop. */
export class StorageError extends KeyriteError<'STORAGE' | 'LOCKED'> {
  override readonly name = 'StorageError'
}
