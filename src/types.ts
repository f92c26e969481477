/** Types shared by all layers; no code. */

/**
 * How strongly a claim is backed.
 * - `hsm-enforced`: the token refused the opposite when it was tried, or the PIN quorum stands in the way.
 * - `crypto-verified`: checked here with a signature, hash or known-answer comparison.
 * - `module-reported`: the PKCS#11 module said so.
 * - `software-enforced`: keyrite's own code enforced it; a modified runner could skip it.
 * - `human-asserted`: a person said so.
 */
export type EvidenceClass =
  'hsm-enforced' | 'crypto-verified' | 'module-reported' | 'software-enforced' | 'human-asserted'

/** Values that have exactly one RFC 8785 form: no floats, no undefined. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }

/**
 * Proof, checked by the caller, that the people who must agree to a destructive call have agreed.
 * Functions that destroy or export take one, so that the call cannot be written by accident.
 */
export interface Approval {
  /** Principals whose signatures were verified. */
  readonly by: readonly string[]
  /** SHA-256 (hex) of the intent they signed. */
  readonly intentSha256: string
}
