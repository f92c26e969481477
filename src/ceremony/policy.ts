/** The site's rules for plans: what the linter insists on and how long an approval lives. */
import * as z from 'zod'

import { canonicalDigest } from '../canonical.ts'
import { keyAlgorithm, keyRole, name } from './plan-schema.ts'
import type { SourceMap } from './source-map.ts'
import { checkShape, readYaml } from './strict-yaml.ts'

const minutes = z.int().min(1).max(1440)

/** A policy file. Every rule is written out; there are no defaults. */
export const policySchema = z.strictObject({
  policy: name,
  /** Least number of people who must act together; never below 2. */
  minimumThreshold: z.int().min(2).max(100),
  /** Least number of people a PIN is split among. */
  minimumHolders: z.int().min(2).max(100),
  /** An approval that is older than this counts no more. */
  approvalTtlMinutes: minutes,
  /** Longest ceremony. */
  maxMinutes: minutes,
  /** Longest stretch without a break. */
  maxMinutesWithoutBreak: minutes,
  /** Every wrapped key is unwrapped again in the same ceremony. */
  requireRestoreTest: z.boolean(),
  /** One custodian alone is refused before the quorum logs in. */
  requireNegativeControl: z.boolean(),
  /** In production every ceremony but the first names the one before. */
  requirePrevious: z.boolean(),
  allowedRoles: z.array(keyRole).min(1),
  allowedAlgorithms: z.array(keyAlgorithm).min(1),
})

/** See {@link policySchema}. */
export type Policy = Readonly<z.infer<typeof policySchema>>

/** A policy, where its parts stand, and the SHA-256 of its canonical JSON. */
export interface LoadedPolicy {
  readonly policy: Policy
  readonly source: SourceMap
  readonly digest: Uint8Array
}

/** What the linter uses when no policy is named; the same as `ceremonies/policy.yaml`. */
export const DEFAULT_POLICY: Policy = {
  policy: 'default',
  minimumThreshold: 2,
  minimumHolders: 3,
  approvalTtlMinutes: 240,
  maxMinutes: 300,
  maxMinutesWithoutBreak: 150,
  requireRestoreTest: true,
  requireNegativeControl: true,
  requirePrevious: true,
  allowedRoles: ['fpe', 'kek', 'kek-outer', 'embedding-seed', 'log-signer'],
  allowedAlgorithms: ['AES-256', 'Ed25519', 'P-256'],
}

/** Reads a policy file, or the `policy.json` of a bundle. Throws ConfigError with `file:line:column`. */
export function loadPolicy(text: string, file: string): LoadedPolicy {
  const yaml = readYaml(text, file)
  const policy = checkShape(policySchema, yaml, 'the policy')
  return { policy, source: yaml.source, digest: canonicalDigest(policy) }
}
