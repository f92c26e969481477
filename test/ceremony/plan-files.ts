/** The shipped files under `ceremonies/`, for tests of the plan side. */
import { readFileSync } from 'node:fs'

import { type LoadedBinding, loadBinding } from '../../src/ceremony/binding.ts'
import { type LoadedPlan, loadPlan } from '../../src/ceremony/plan.ts'

export const FOLDER = new URL('../../ceremonies/', import.meta.url).pathname

/** Plans in the order in which a site holds them. */
export const PLANS = [
  'initialise-tokens',
  'generate-kek',
  'generate-fpe-key',
  'wrap-for-distribution',
  'zeroise-key',
  'generate-embedding-key',
] as const
export type PlanName = (typeof PLANS)[number]

/** Text of a file in `ceremonies/`. */
export const shipped = (file: string): string => readFileSync(`${FOLDER}${file}`, 'utf8')

export const planText = (name: PlanName): string => shipped(`${name}.yaml`)

export const shippedPlan = (name: PlanName): LoadedPlan =>
  loadPlan(planText(name), `${FOLDER}${name}.yaml`)

/** Replaces text that must be there, once unless `all`. */
export function edit(text: string, from: string, to: string, all = false): string {
  const count = text.split(from).length - 1
  if (count === 0 || (count > 1 && !all)) {
    throw new Error(`edit matches ${count} times: ${JSON.stringify(from)}`)
  }
  return text.replaceAll(from, () => to)
}

/** The shipped binding, for `initialise-tokens`. */
export const shippedBinding = (): LoadedBinding =>
  loadBinding(shipped('softhsm.binding.yaml'), `${FOLDER}softhsm.binding.yaml`)

/** The shipped binding's text changed so that it fits a plan that continues a transcript. */
export const continuingBinding = (): string =>
  `${edit(shipped('softhsm.binding.yaml'), 'serial: blank }\n  custody: { label: custody, serial: blank', 'serial: "1111111111111111" }\n  custody: { label: custody, serial: "2222222222222222"')}previous: { bundle: ../bundles/one, root: "sha256:${'ab'.repeat(32)}" }\n`
