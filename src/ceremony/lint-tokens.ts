/** Rules on tokens: checks before trust, open and closed, new shares after every login, the log key. */
import { type LintContext, at, keysOf } from './lint-context.ts'
import { type ModelStep, type RoomModel, tokenOf, walk } from './room-model.ts'

/** PLAN-LOGIN-1: tokens that must be open. */
function needsOpen({ plan, report }: LintContext, model: ModelStep, room: RoomModel): void {
  const { spec, args, index } = model
  const missing = new Set<string>()
  for (const field of spec?.login ?? []) {
    const token = tokenOf(plan, field, args[field] ?? '')
    if (token !== undefined && room.tokens.get(token)?.open === false) missing.add(token)
  }
  for (const token of missing) {
    report(
      'PLAN-LOGIN-1',
      at(index),
      `token ${token} is not open`,
      `put \`do: quorum.login\` with { token: ${token} } before it`,
    )
  }
}

/** PLAN-LOGIN-2: tokens that must be closed. */
function needsClosed({ report }: LintContext, model: ModelStep, room: RoomModel): void {
  const token = model.args.token ?? ''
  if (model.spec?.loggedOut !== true || room.tokens.get(token)?.open !== true) return
  report('PLAN-LOGIN-2', at(model.index), `token ${token} is open`, 'do it before quorum.login')
}

/** PLAN-CHECK-2 to -5. */
function checksFirst(
  { plan, policy, report }: LintContext,
  { act, args, index }: ModelStep,
  room: RoomModel,
): void {
  const name = args.token ?? ''
  const token = room.tokens.get(name)
  const opens = act === 'do quorum.login'
  if ((opens || act === 'do token.initialise') && !room.moduleChecked) {
    const hint = 'put `check: module.identity` before it'
    report('PLAN-CHECK-2', at(index), 'the module file has not been checked', hint)
  }
  if (opens && token?.identityChecked === false) {
    report(
      'PLAN-CHECK-3',
      at(index),
      `the identity of token ${name} has not been checked`,
      `put \`check: token.identity\` with { token: ${name} } before it`,
    )
  }
  if (opens && policy.requireNegativeControl && token?.refusalSeen === false) {
    report(
      'PLAN-CHECK-4',
      at(index),
      `nobody has seen token ${name} refuse one custodian alone`,
      `put \`check: quorum.negative\` with { token: ${name} } before it`,
    )
  }
  if (act !== 'do key.generate' && act !== 'do key.unwrap') return
  const home = tokenOf(plan, 'key', args.key ?? '') ?? ''
  if (room.tokens.get(home)?.enforcementProbed !== false) return
  report(
    'PLAN-CHECK-5',
    at(index),
    `what token ${home} enforces has not been probed`,
    `put \`check: token.enforcement\` with { token: ${home} } before it`,
  )
}

/** PLAN-LOGIN-3: what is still due when the ceremony ends, or when shares are asked for again. */
function resplits({ plan, report }: LintContext, room: RoomModel): void {
  for (const [name, { dueResplit }] of room.tokens) {
    if (dueResplit === undefined) continue
    report(
      'PLAN-LOGIN-3',
      at(dueResplit),
      `the PIN of token ${name} is not split anew after this login`,
      `put \`do: quorum.resplit\` with { token: ${name} } after the last use of the token`,
    )
  }
  const log = room.tokens.get(plan.log)
  if (log?.open !== false) return
  report(
    'PLAN-LOGIN-4',
    at(plan.steps.length - 1),
    `log token ${plan.log} is not open when the transcript is attested`,
    'open it, and do not log out of it: the end of the ceremony does that',
  )
}

/** PLAN-LOG-1. */
function logKey(context: LintContext, room: RoomModel): void {
  const { plan, report } = context
  const signers = keysOf(context).filter(
    ([, { token, role }]) => token === plan.log && role === 'log-signer',
  )
  const alive = signers.some(([name]) => room.keys.get(name)?.state === 'locked')
  if (alive || !plan.tokens.includes(plan.log)) return
  report(
    'PLAN-LOG-1',
    ['log'],
    `token ${plan.log} has no log-signer key at the end`,
    `declare one: { token: ${plan.log}, role: log-signer, algorithm: Ed25519, existing: true }`,
  )
}

/** All rules of this file. */
export function lintTokens(context: LintContext): void {
  const end = walk(context.plan, (model, room) => {
    needsOpen(context, model, room)
    needsClosed(context, model, room)
    checksFirst(context, model, room)
  })
  resplits(context, end)
  logKey(context, end)
}
