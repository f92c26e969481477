/**
 * The linter: a symbolic run of the plan against the table of rules, before anyone is in the room. It reads
 * nothing but its arguments; whether an output exists is asked through `exists`.
 */
import { bindingFaults } from './binding-check.ts'
import type { Binding } from './binding-types.ts'
import type { LintContext } from './lint-context.ts'
import { lintKeys } from './lint-keys.ts'
import { lintNames } from './lint-names.ts'
import { lintPeople } from './lint-people.ts'
import { type Finding, RULES, RULE_IDS } from './lint-rules.ts'
import { lintTokens } from './lint-tokens.ts'
import type { Plan } from './plan.ts'
import { DEFAULT_POLICY, type Policy } from './policy.ts'
import type { SourceMap } from './source-map.ts'

export { type Finding, RULES, type Rule, type RuleId, type Severity } from './lint-rules.ts'

/** What the plan is held against. */
export interface LintOptions {
  /** Default: {@link DEFAULT_POLICY}. */
  readonly policy?: Policy | undefined
  /** Decides what counts in production. */
  readonly binding?: Binding | undefined
  /** With it, the rules on the binding itself are checked too; without it they are `checkBinding`'s. */
  readonly bindingSource?: SourceMap | undefined
  /** Whether an output's file exists; `file` as the plan writes it. */
  readonly exists?: ((file: string) => boolean) | undefined
}

/** All findings, in the order of the file; those on the binding last. Never throws. */
export function lint(plan: Plan, source: SourceMap, options: LintOptions = {}): Finding[] {
  const { policy = DEFAULT_POLICY, binding, bindingSource, exists } = options
  const findings: Finding[] = []
  const context: LintContext = {
    plan,
    policy,
    binding,
    exists,
    report: (rule, path, message, hint, severity = RULES[rule].severity) => {
      findings.push({ rule, severity, file: source.file, ...source.at(path), message, hint })
    },
  }
  lintNames(context)
  lintPeople(context)
  lintTokens(context)
  lintKeys(context)
  const order = (finding: Finding): number => RULE_IDS.indexOf(finding.rule)
  findings.sort((a, b) => a.line - b.line || a.column - b.column || order(a) - order(b))
  if (binding !== undefined && bindingSource !== undefined) {
    const { file } = bindingSource
    for (const { rule, path, message, hint } of bindingFaults(plan, binding)) {
      const { severity } = RULES[rule]
      findings.push({ rule, severity, file, ...bindingSource.at(path), message, hint })
    }
  }
  return findings
}
