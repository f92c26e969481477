/**
 * The enforcement table: which of its promises a token keeps, found by attacking scratch keys.
 * Nothing here reads, changes or uses an object that it did not make; scratch keys are session
 * objects, so a token that loses power in the middle has none either.
 */
import type { Attack } from './enforcement-attack.ts'
import { SCRATCH_LABEL, openBench, openProbeSession, quietly } from './enforcement-bench.ts'
import type { BenchFindings, ProbeSite } from './enforcement-bench.ts'
import { LIFECYCLE_ATTACKS } from './enforcement-lifecycle.ts'
import { LOGIN_ATTACKS, LOGOUT_ATTACKS, NEVER_PROBED, PUBLIC_ATTACKS } from './enforcement-login.ts'
import { inapplicable, isRefusal } from './enforcement-row.ts'
import type { EnforcementRow, Outcome } from './enforcement-row.ts'
import { SECRECY_ATTACKS } from './enforcement-secrecy.ts'
import { USE_ATTACKS } from './enforcement-use.ts'
import { WRAPPING_ATTACKS } from './enforcement-wrapping.ts'

/** Attacks that need no particular login state. */
const ATTACKS: readonly Attack[] = [
  ...SECRECY_ATTACKS,
  ...WRAPPING_ATTACKS,
  ...USE_ATTACKS,
  ...LIFECYCLE_ATTACKS,
]

function row(attack: Attack, { verdict, observed }: Outcome): EnforcementRow {
  const { id, attribute, attack: what, expected, severity, holds, broken } = attack
  const consequences = {
    enforced: holds,
    'not enforced': broken,
    'not applicable': 'nothing can be relied on here',
    'not probed': 'unknown',
  }
  return {
    id,
    attribute,
    attack: what,
    expected,
    observed,
    verdict,
    severity,
    consequence: consequences[verdict],
  }
}

function mount(site: ProbeSite, attack: Attack, findings: BenchFindings): EnforcementRow {
  const bench = openBench(site, findings)
  try {
    return row(attack, attack.run(bench))
  } catch (error) {
    if (!isRefusal(error)) throw error
    return row(attack, inapplicable(`set-up refused: ${error.fn} ${error.rv}`))
  } finally {
    bench.close()
  }
}

const notProbed = (attack: Attack, why: string): EnforcementRow =>
  row(attack, { verdict: 'not probed', observed: why })

/** Scratch objects that are still there; there should be none. */
function leftovers(site: ProbeSite): EnforcementRow {
  const { cryptoki } = site
  const session = openProbeSession(site)
  try {
    const found = cryptoki.findObjects(session, { TOKEN: false, LABEL: SCRATCH_LABEL })
    for (const object of found) quietly(() => cryptoki.destroyObject(session, object))
    return {
      id: 'session-objects-die',
      attribute: 'TOKEN',
      attack: 'find a session object after its session was closed',
      expected: 'no such object',
      observed: found.length === 0 ? 'no such object' : `${found.length} found`,
      verdict: found.length === 0 ? 'enforced' : 'not enforced',
      severity: 'warning',
      consequence:
        found.length === 0
          ? 'nothing of this probe is left on the token'
          : 'session objects outlive their session; restart the application to be rid of them',
    }
  } finally {
    quietly(() => cryptoki.closeSession(session))
  }
}

/** Called before each attack with what it does: a crash can then be traced to it. */
export type OnAttack = (what: string) => void

/**
 * Mounts every attack that the site allows. With {@link ProbeSite.soleLogin} the login is used up.
 * @throws Pkcs11Error when the token goes away in the middle.
 */
export function enforcementTable(site: ProbeSite, onAttack: OnAttack = () => undefined) {
  const findings: BenchFindings = {}
  const run = (attack: Attack, at = site): EnforcementRow => {
    onAttack(attack.attack)
    return mount(at, attack, findings)
  }
  const needLogin = (attacks: readonly Attack[]) =>
    attacks.map((attack) => (site.loggedIn ? run(attack) : notProbed(attack, 'no PIN was given')))
  const rows = [...ATTACKS.map((attack) => run(attack)), ...needLogin(LOGIN_ATTACKS)]
  rows.push(leftovers(site))
  return [...rows, ...loggedOut(site, run), ...NEVER_PROBED]
}

/** The attacks on a token that nobody is logged in to. */
function loggedOut(
  site: ProbeSite,
  run: (attack: Attack, at?: ProbeSite) => EnforcementRow,
): EnforcementRow[] {
  if (!site.loggedIn) {
    return [
      ...LOGOUT_ATTACKS.map((attack) => notProbed(attack, 'no PIN was given')),
      ...PUBLIC_ATTACKS.map((attack) => run(attack)),
    ]
  }
  if (!site.soleLogin) {
    const why = 'the login is in use; keyrite doctor probes this in a process of its own'
    return [...LOGOUT_ATTACKS, ...PUBLIC_ATTACKS].map((attack) => notProbed(attack, why))
  }
  const after = { ...site, loggedIn: false, soleLogin: false }
  return [
    ...LOGOUT_ATTACKS.map((attack) => run(attack)),
    ...PUBLIC_ATTACKS.map((attack) => run(attack, after)),
  ]
}
