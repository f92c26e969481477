/**
 * Every rule of the linter: a stable id, what it demands, and why. Findings carry the id, README and tests
 * are checked against this table.
 */

/** `error` stops a ceremony, `warning` is for the reviewer to judge. */
export type Severity = 'error' | 'warning'

/** One thing the linter found. */
export interface Finding {
  readonly rule: RuleId
  readonly severity: Severity
  /** The plan or the binding file. */
  readonly file: string
  readonly line: number
  readonly column: number
  readonly message: string
  readonly hint: string
}

/** What a rule demands and why. */
export interface Rule {
  readonly severity: Severity
  readonly sentence: string
  readonly reason: string
}

const error = (sentence: string, reason: string): Rule => ({ severity: 'error', sentence, reason })
const warning = (sentence: string, reason: string): Rule => ({
  severity: 'warning',
  sentence,
  reason,
})

/** The table, in the order of the README. */
export const RULES = {
  'PLAN-NAME-1': error(
    'Every token that is named is declared under `tokens`.',
    'A misspelt token would be a different token.',
  ),
  'PLAN-NAME-2': error(
    'Every key that is named is declared under `keys`.',
    'The declaration states the key’s role and its state at the end.',
  ),
  'PLAN-NAME-3': error(
    'Every output or input that is named is declared.',
    'Files that nobody declared are files that nobody looks for.',
  ),
  'PLAN-NAME-4': error(
    'Every role that acts has people under `roles`.',
    'A step without people cannot be carried out.',
  ),
  'PLAN-NAME-5': error(
    'Step ids, and names of outputs and inputs, are unique.',
    'Approvals, results and CKA_IDs are bound to the step id.',
  ),
  'PLAN-USE-1': error(
    'Every declared key is used by a step.',
    'A declaration without a step is a step that was forgotten.',
  ),
  'PLAN-USE-2': error(
    'Every declared token is used by a step.',
    'A token on the table that nobody needs is a token at risk.',
  ),
  'PLAN-USE-3': error(
    'Every output is written once, every input is read.',
    'A missing output is found too late; one written twice hides the first.',
  ),
  'PLAN-USE-4': warning(
    'Every role has something to do.',
    'People who have nothing to do stop watching.',
  ),
  'PLAN-QUORUM-1': error(
    'A quorum is at least two people.',
    'A threshold of one is no dual control.',
  ),
  'PLAN-QUORUM-2': error(
    'A quorum is not larger than the number of people.',
    'It could never be met.',
  ),
  'PLAN-QUORUM-3': warning(
    'More people hold shares than the quorum needs.',
    'Without a spare, one lost share is a lost token.',
  ),
  'PLAN-QUORUM-4': error(
    'Quorums reach the policy’s least threshold and number of holders.',
    'The policy is the organisation’s decision, the plan is not.',
  ),
  'PLAN-APPROVE-1': error(
    'Custodians, and security officers where they act, approve the plan before anything changes.',
    'An approval after the fact approves nothing.',
  ),
  'PLAN-APPROVE-2': warning(
    'Steps that change something follow the approval of the plan within its lifetime.',
    'By then people no longer act on what they approved.',
  ),
  'PLAN-ATTEST-1': error(
    'There is exactly one `attest` step and it is the last.',
    'What comes after the signatures is not covered by them.',
  ),
  'PLAN-ATTEST-2': error(
    'Custodians, and witnesses where there are any, attest the transcript.',
    'Those who acted and those who watched say together what happened.',
  ),
  'PLAN-CHECK-1': error(
    'The clocks are read before the first approval.',
    'An air-gapped host has no trusted time; approvals expire by it.',
  ),
  'PLAN-CHECK-2': error(
    'The module file is checked before a token is initialised or opened.',
    'A changed module sees every PIN.',
  ),
  'PLAN-CHECK-3': error(
    'A token’s identity is checked before the quorum opens it, and again after it is initialised.',
    'The PIN must not be given to another device.',
  ),
  'PLAN-CHECK-4': error(
    'One custodian alone is refused by each token before the quorum opens it.',
    'Dual control that was never seen to refuse is a claim, not a fact.',
  ),
  'PLAN-CHECK-5': error(
    'A token’s enforcement is probed before a key is made or unwrapped on it.',
    'Attributes that the token ignores protect nothing.',
  ),
  'PLAN-LOGIN-1': error(
    'A step that needs a token runs while the quorum has it open.',
    'It would fail in the room.',
  ),
  'PLAN-LOGIN-2': error(
    'Tokens are opened when closed and closed when open.',
    'A second login is refused by PKCS#11; a lone login attempt proves nothing on an open token.',
  ),
  'PLAN-LOGIN-3': error(
    'Every login is followed by `quorum.resplit` of the same token.',
    'The PIN was whole in the host’s memory; it must not open anything tomorrow.',
  ),
  'PLAN-LOGIN-4': error(
    'The log token is open when the transcript is attested.',
    'Its log-signer signs the last checkpoint.',
  ),
  'PLAN-TIME-1': error(
    'The estimated time stays below the policy’s limit.',
    'Tired people tick boxes.',
  ),
  'PLAN-TIME-2': error(
    'There is a break (`say` with `break: true`) in every long stretch.',
    'Tired people tick boxes.',
  ),
  'PLAN-PREVIOUS-1': warning(
    'A plan that initialises no token continues a transcript; in production this is an error.',
    'A history with two beginnings can be replaced by either.',
  ),
  'PLAN-PREVIOUS-2': error(
    'A `genesis` plan uses no existing keys, no inputs and no earlier plans.',
    'The record that would identify them is in the transcript before.',
  ),
  'PLAN-LOG-1': error(
    'The log token has a key of role `log-signer` that exists at the end.',
    'Without it nothing ties the transcript to the device.',
  ),
  'PLAN-OUTPUT-1': error(
    'Output files are relative and stay inside the bundle.',
    'A plan must not write elsewhere on the host.',
  ),
  'PLAN-OUTPUT-2': error('Output files do not exist yet.', 'Nothing is ever overwritten.'),
  'PLAN-OUTPUT-3': error(
    'No two outputs share a file.',
    'The second would be refused in the room.',
  ),
  'PLAN-OUTPUT-4': error('An output is written before it is read.', 'It would fail in the room.'),
  'PLAN-OUTPUT-5': warning(
    'The digest of every output is recorded.',
    'It is what the recipient compares.',
  ),
  'KEY-LIFE-1': error(
    'A key is used only after it was made, unless it is `existing`.',
    'It would fail in the room.',
  ),
  'KEY-LIFE-2': error(
    'A key is not used after it was zeroised; an `embedding-seed` is restored from its file.',
    'It would fail in the room.',
  ),
  'KEY-LIFE-3': error(
    'A key is made once, and not when it is `existing`.',
    'Two keys under one name cannot be told apart.',
  ),
  'KEY-LIFE-4': error(
    'A key declared `present` is there at the end.',
    'The declared end state is what the verifier checks.',
  ),
  'KEY-LIFE-5': error(
    'A key declared `absent` is zeroised.',
    'The declared end state is what the verifier checks.',
  ),
  'KEY-FORM-1': error(
    'A key with `distribute` is wrapped.',
    'It would be extractable for nothing.',
  ),
  'KEY-FORM-2': error(
    'A key with `distribute` is locked or zeroised before the end.',
    'Its extractable form must not outlive the ceremony.',
  ),
  'KEY-FORM-3': error(
    'A key is wrapped before it is locked.',
    'A locked key cannot leave its token.',
  ),
  'KEY-FORM-4': error(
    'Only a key with `distribute` is wrapped.',
    'All other keys are born unable to leave.',
  ),
  'KEY-FORM-5': error(
    'Only a key in its extractable form is locked.',
    'All other keys are born locked.',
  ),
  'KEY-FORM-6': error(
    'An existing key is not declared `distribute`.',
    'The ceremony that made it has locked it.',
  ),
  'KEY-FORM-7': error(
    'Only an `embedding-seed` is declared `distribute: single`.',
    'One token opens the file; a seed must open where its service runs, other keys need not.',
  ),
  'KEY-FORM-8': error(
    'An `embedding-seed` that is made is declared `distribute`.',
    'Services open it from a file; on its token alone it serves nobody.',
  ),
  'KEY-WRAP-1': error(
    'The two wrapping keys are on different tokens.',
    'On one token, one PIN opens both layers.',
  ),
  'KEY-WRAP-2': error(
    'The inner layer uses a `kek`, the outer a `kek-outer`.',
    'One key that both wraps and decrypts reads out every key it wrapped.',
  ),
  'KEY-WRAP-3': error(
    'The inner wrapping key is on the token of the wrapped key.',
    'C_WrapKey works inside one token.',
  ),
  'KEY-WRAP-4': error(
    '`outer` is named, unless the key is an `embedding-seed` with `distribute: single`.',
    'The declaration says how many tokens open the file; the steps must do the same.',
  ),
  'KEY-ROLE-1': error(
    'A key’s algorithm fits its role.',
    'log-signer keys sign (Ed25519, P-256); all others are AES-256.',
  ),
  'KEY-ROLE-2': error(
    'Roles and algorithms are allowed by the policy.',
    'The policy is the organisation’s decision, the plan is not.',
  ),
  'KEY-ROLE-3': error(
    'The name of an `embedding-seed` ends in `-epoch-` and a number.',
    'The name goes into the seed, so that no file passes as one of another epoch.',
  ),
  'KEY-BACKUP-1': error(
    'Every wrapped key is restored once in the same ceremony.',
    'A backup that was never restored is a hope.',
  ),
  'KEY-RECORD-1': error(
    'Check value and attributes of every key made here are recorded.',
    'They are how the key is recognised later and how its form is proved.',
  ),
  'KEY-ZERO-1': error(
    'A key that ends absent lists every wrapped copy in `copies` (`[]` says there is none).',
    'A copy that is forgotten brings the key back.',
  ),
  'KEY-ZERO-2': error(
    'The check value of a key is recorded before it is zeroised.',
    'Otherwise nobody can say which key died.',
  ),
  'KEY-ZERO-3': error(
    'The objects of the token are recorded before and after a key is zeroised.',
    'The difference is the proof.',
  ),
  'KEY-ZERO-4': warning(
    'Listed copies can no longer be opened: their wrapping key is zeroised here too.',
    'Otherwise the key is not gone; the transcript states the residual.',
  ),
  'CER-ROLES-1': error(
    'The administrator is not a custodian.',
    'One person would run and approve.',
  ),
  'CER-ROLES-2': error(
    'Nobody holds both an SO share and a user share.',
    'The SO can reset the user PIN; the two groups watch each other.',
  ),
  'CER-ROLES-3': error(
    'The administrator is not a security officer.',
    'One person would run the host and open the token to a new PIN.',
  ),
  'CER-ROLES-4': error('A witness holds no other role.', 'A witness who acts is not a witness.'),
  'BIND-ROLES-1': error(
    'Every role has the people the plan asks for; share-holding roles have exactly that many.',
    'A PIN is split among all holders.',
  ),
  'BIND-PEOPLE-1': error(
    'Every person is bound once: name, principal, signing key and share medium are their own.',
    'One person under two names is a quorum of one.',
  ),
  'BIND-PEOPLE-2': error(
    'Everyone whose role approves or attests has a signer.',
    'The signature would be missing in the room.',
  ),
  'BIND-PEOPLE-3': error(
    'Every custodian and security officer has a place for shares.',
    'The share would have nowhere to go.',
  ),
  'BIND-TOKEN-1': error('Every token of the plan is bound.', 'The plan names no devices.'),
  'BIND-TOKEN-2': error(
    'No two tokens are bound to one device.',
    'Nested wrapping on one device is single control.',
  ),
  'BIND-TOKEN-3': error(
    'A serial is `blank` only when the plan initialises the token.',
    'Otherwise any device with that label would do.',
  ),
  'BIND-PREVIOUS-1': error(
    'The binding names the bundle before when, and only when, the plan continues one.',
    'The chain of ceremonies must not fork or begin anew.',
  ),
  'BIND-INPUT-1': error(
    'Every input of the plan has a path, and every path an input.',
    'The plan names no places.',
  ),
} as const satisfies Record<string, Rule>

/** Id of a rule. */
export type RuleId = keyof typeof RULES

/** All ids, in the table's order. */
export const RULE_IDS = Object.keys(RULES) as RuleId[]
