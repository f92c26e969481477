/** What the rule files of the linter share: the plan, and how a finding is reported. */
import type { Binding } from './binding-types.ts'
import type { RuleId, Severity } from './lint-rules.ts'
import type { Plan } from './plan.ts'
import type { Policy } from './policy.ts'
import type { SourcePath } from './source-map.ts'

/** Input of every rule. */
export interface LintContext {
  readonly plan: Plan
  readonly policy: Policy
  readonly binding: Binding | undefined
  /** Whether an output's file is there already; `file` as the plan writes it. */
  readonly exists: ((file: string) => boolean) | undefined
  /** `path` is where in the plan's file; the nearest ancestor that is written there is named. */
  readonly report: (
    rule: RuleId,
    path: SourcePath,
    message: string,
    hint: string,
    severity?: Severity,
  ) => void
}

/** `keys` as names with their declarations. */
export const keysOf = ({ plan }: Pick<LintContext, 'plan'>): [string, Plan['keys'][string]][] =>
  Object.entries(plan.keys)

/** Path of a step, or of something in it. */
export const at = (step: number, ...inner: readonly (string | number)[]): SourcePath => [
  'steps',
  step,
  ...inner,
]
