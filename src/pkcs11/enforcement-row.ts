/**
 * The shape of the enforcement table: what was tried against a token, what the standard asks for,
 * and what the token did. Rows are plain JSON.
 */
import { Pkcs11Error } from '../errors.ts'
import { CKR } from './constants-ckr.ts'

/**
 * - `enforced`: the token refused, or ignored the attempt without effect.
 * - `not enforced`: the attack succeeded.
 * - `not applicable`: the attack cannot be mounted on this token; `observed` says why.
 * - `not probed`: nothing was tried; `observed` says why.
 */
export type Verdict = 'enforced' | 'not enforced' | 'not applicable' | 'not probed'

/** How bad a `not enforced` is. `critical`: a key the table calls protected can leave the token. */
export type Severity = 'critical' | 'warning' | 'note'

/** One line of the enforcement table. */
export interface EnforcementRow {
  /** Stable; expectations and waivers name it. */
  readonly id: string
  /** The attribute whose promise is tested, without `CKA_`; `-` for rules that are not attributes. */
  readonly attribute: string
  /** What was done. */
  readonly attack: string
  /** What PKCS#11 v3.2 lets the token answer. */
  readonly expected: string
  /** The return value, `allowed`, or why nothing was tried. */
  readonly observed: string
  readonly verdict: Verdict
  readonly severity: Severity
  /** What the verdict means for the keys on this token. */
  readonly consequence: string
}

/** What became of one attack. */
export interface Outcome {
  readonly verdict: Verdict
  readonly observed: string
}

/** The module refused with return value `rv`. */
export const refused = (rv: string): Outcome => ({ verdict: 'enforced', observed: rv })

/** The module answered CKR_OK, and nothing that it should not do came of it. */
export const inert = (how: string): Outcome => ({ verdict: 'enforced', observed: how })

/** The attack succeeded. */
export const allowed = (how = 'allowed'): Outcome => ({ verdict: 'not enforced', observed: how })

/** The attack cannot be mounted here. */
export const inapplicable = (why: string): Outcome => ({ verdict: 'not applicable', observed: why })

/**
 * Whether an error is the module's answer to the call. A token that went away, ran out of memory or
 * lost the session has not refused anything, and must not be counted as enforcing.
 */
export function isRefusal(error: unknown): error is Pkcs11Error {
  if (!(error instanceof Pkcs11Error)) return false
  if (error.ckr === CKR.SESSION_CLOSED || error.ckr === CKR.SESSION_HANDLE_INVALID) return false
  if (['token-gone', 'module', 'capacity'].includes(error.category)) return false
  return error.retry !== 'reinit' && error.retry !== 'reload'
}
