/**
 * What an approval of a step covers: the step itself and every declaration of the plan it refers to. A
 * pure function of the plan, so that a verifier computes the same digest years later.
 */
import { canonicalDigest } from '../canonical.ts'
import { toHex } from '../bytes.ts'
import type { JsonObject } from '../types.ts'
import type { Plan, Step } from './plan.ts'

/** Arguments of a step, as they are digested into the intent that people sign. */
export function stepArgs(plan: Plan, step: Step): JsonObject {
  const { keys, outputs, inputs } = plan
  const names = new Set(step.kind === 'do' ? Object.values(step.with) : [])
  const referred = (table: Readonly<Record<string, object>> | undefined): JsonObject =>
    Object.fromEntries(
      Object.entries(table ?? {}).filter(([name]) => names.has(name)),
    ) as unknown as JsonObject
  return {
    step: step,
    keys: referred(keys),
    outputs: referred(outputs),
    inputs: referred(inputs),
  }
}

/** SHA-256 (hex) of {@link stepArgs}; `recovery` marks the approval of an interrupted call's fate. */
export const stepArgsSha256 = (
  plan: Plan,
  step: Step,
  recovery?: { readonly decision: 'adopt' | 'destroy'; readonly intent: number },
): string =>
  toHex(
    canonicalDigest({
      ...stepArgs(plan, step),
      ...(recovery === undefined ? {} : { recovery: { ...recovery } }),
    }),
  )

/** Name of what is approved, as it stands in the signed intent's `action`. */
export const approvedAction = (
  step: Step,
  recovery?: { readonly decision: 'adopt' | 'destroy' },
): string => {
  const action = step.kind === 'do' ? step.action : step.kind === 'approve' ? step.what : step.kind
  return recovery === undefined ? action : `${action}/${recovery.decision}`
}

/** CKA_ID (16 bytes) of the object a step creates: deterministic, so that an orphan is recognised. */
export const objectId = (ceremony: string, step: string, attempt = 1): Uint8Array =>
  canonicalDigest({ ceremony, step, attempt }).subarray(0, 16)
