/** The transcript before this one: verified, compared with the bound root, and read for its ledger. */
import { toHex } from '../bytes.ts'
import { PolicyError } from '../errors.ts'
import type { Binding } from './binding.ts'
import type { Entry, Ledger } from './entries.ts'
import type { Plan } from './plan.ts'
import { verify } from './verify.ts'

/** Where the new ceremony starts from. */
export interface Previous {
  /** Root of the previous transcript, hex. */
  readonly root: string
  readonly ledger: Ledger
  /** Signatures given in it: none of them may be given again. */
  readonly signatures: ReadonlySet<string>
}

/** Signatures of approvals and receipts among entries. */
export const signaturesIn = (entries: readonly Entry[]): Set<string> =>
  new Set(
    entries.flatMap((entry) =>
      entry.type === 'approval' || entry.type === 'receipt' ? [entry.signature] : [],
    ),
  )

/**
 * Undefined for a genesis plan. Throws BINDING_MISMATCH when the bound bundle is missing, does not verify
 * in the same mode, is unfinished, or has another root than the binding (or the plan) names.
 */
export async function previousLedger(plan: Plan, binding: Binding): Promise<Previous | undefined> {
  if (plan.previous === 'genesis') return undefined
  const refuse = (got: string, expected: string): never => {
    throw new PolicyError(
      'BINDING_MISMATCH',
      'CER-PREVIOUS-1',
      'the previous transcript does not fit',
      {
        where: binding.previous?.bundle ?? 'binding: previous',
        expected,
        got,
      },
    )
  }
  const { previous, mode } = binding
  if (previous === undefined) return refuse('nothing', 'bundle and root of the ceremony before')
  const verification = await verify(previous.bundle, { mode })
  const failed = verification.findings.find(({ status }) => status === 'failed')
  if (failed !== undefined)
    return refuse(`${failed.id}: ${failed.detail}`, 'a bundle that verifies')
  if (verification.outcome !== 'complete' && verification.outcome !== 'aborted') {
    return refuse(`${verification.outcome} transcript`, 'a closed transcript')
  }
  const root = `sha256:${toHex(verification.root)}`
  if (root !== previous.root) return refuse(root, previous.root)
  if (plan.previous !== 'required' && plan.previous !== root) return refuse(root, plan.previous)
  return {
    root: toHex(verification.root),
    ledger: structuredClone(verification.ledger),
    signatures: signaturesIn(verification.transcript?.entries ?? []),
  }
}
