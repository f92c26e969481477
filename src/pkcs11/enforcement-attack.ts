/** One attack of the enforcement table; the `enforcement-*.ts` files beside this one hold them. */
import type { Bench } from './enforcement-bench.ts'
import type { Outcome, Severity } from './enforcement-row.ts'

/** What an attack needs besides a token. `sole-login`: it logs the whole process out. */
export type AttackNeeds = 'nothing' | 'login' | 'sole-login'

/** One attack. */
export interface Attack {
  readonly id: string
  readonly attribute: string
  readonly attack: string
  readonly expected: string
  readonly severity: Severity
  readonly needs: AttackNeeds
  /** Consequence of `enforced`. */
  readonly holds: string
  /** Consequence of `not enforced`. */
  readonly broken: string
  /**
   * Mounts the attack. Everything before {@link Bench.attack} is set-up and a control that the same
   * call works where nothing forbids it; a Pkcs11Error there makes the row `not applicable`.
   */
  run(bench: Bench): Outcome
}
