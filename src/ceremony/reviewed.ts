/** The reviewed files of a bundle, checked against the digests the transcript opened with. */
import { readFile } from 'node:fs/promises'

import { sha256, toHex, utf8 } from '../bytes.ts'
import { PolicyError, type PolicyErrorCode } from '../errors.ts'
import { type BundlePaths } from './bundle.ts'

/** Digests people approved, hex. */
export interface ReviewedDigests {
  readonly planSha256: string
  readonly bindingSha256: string
  readonly policySha256: string
  readonly rosterSha256: string
}

/** Texts of the reviewed files. */
export interface ReviewedTexts {
  readonly plan: string
  readonly binding: string
  readonly policy: string
  readonly roster: string
}

/** Reads the reviewed files again; throws PLAN_CHANGED or BINDING_CHANGED if one was edited since. */
export async function readReviewed(
  paths: BundlePaths,
  digests: ReviewedDigests,
): Promise<ReviewedTexts> {
  const read = async (
    path: string,
    expected: string,
    code: PolicyErrorCode,
    requirement: string,
  ): Promise<string> => {
    const text = await readFile(path, 'utf8')
    const got = toHex(sha256(utf8(text)))
    if (got === expected) return text
    throw new PolicyError(code, requirement, 'a reviewed file was edited after it was approved', {
      where: path,
      expected,
      got,
      hint: 'abort, review the change, and hold a new ceremony',
    })
  }
  return {
    plan: await read(paths.plan, digests.planSha256, 'PLAN_CHANGED', 'CER-PLAN-1'),
    binding: await read(paths.binding, digests.bindingSha256, 'BINDING_CHANGED', 'CER-BINDING-1'),
    policy: await read(paths.policy, digests.policySha256, 'PLAN_CHANGED', 'CER-PLAN-1'),
    roster: await read(paths.roster, digests.rosterSha256, 'BINDING_CHANGED', 'CER-BINDING-1'),
  }
}
