/** What names a ceremony: digests of the reviewed inputs, and the id and log origin that follow from them. */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalDigest } from '../canonical.ts'
import type { Json } from '../types.ts'
import type { Binding } from './binding.ts'
import type { Plan } from './plan.ts'
import type { Policy } from './policy.ts'

/** Digests that identify the ceremony, hex. */
export interface CeremonyIdentity {
  readonly id: string
  readonly origin: string
  readonly mode: 'production' | 'rehearsal'
  readonly planSha256: string
  readonly bindingSha256: string
  readonly policySha256: string
  readonly rosterSha256: string
  /** Root of the transcript before, or `genesis`. */
  readonly previous: string
}

/** The fields that the id binds. */
type Bound = Pick<CeremonyIdentity, 'planSha256' | 'bindingSha256' | 'mode' | 'previous'>

/** Id and log origin: the id is SHA-256 over the canonical JSON of what it binds. */
export function nameCeremony(
  organisation: string,
  ceremony: string,
  { planSha256, bindingSha256, mode, previous }: Bound,
): Pick<CeremonyIdentity, 'id' | 'origin'> {
  const id = toHex(canonicalDigest({ planSha256, bindingSha256, mode, previous }))
  const kind = mode === 'rehearsal' ? 'rehearsal' : 'ceremony'
  return { id, origin: `${organisation}/${kind}/${ceremony}/${id.slice(0, 16)}` }
}

/** Digests and names that follow from the reviewed inputs alone. */
export function identify(
  {
    plan,
    binding,
    policy,
    roster,
  }: { plan: Plan; binding: Binding; policy: Policy; roster: string },
  previous: string,
): CeremonyIdentity {
  const digest = (value: unknown): string => toHex(canonicalDigest(value as Json))
  const planSha256 = digest(plan)
  const bindingSha256 = digest(binding)
  const { mode } = binding
  return {
    ...nameCeremony(binding.organisation, plan.ceremony, {
      planSha256,
      bindingSha256,
      mode,
      previous,
    }),
    mode,
    planSha256,
    bindingSha256,
    policySha256: digest(policy),
    rosterSha256: toHex(sha256(utf8(roster))),
    previous,
  }
}
