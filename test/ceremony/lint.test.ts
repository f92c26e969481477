/**
 * Every rule of the linter, with a plan that breaks it. The plans are the shipped ones, which are clean, with
 * one edit; the findings must be exactly the ones named, so a rule that fires too often fails too.
 */
import { describe, expect, it } from 'vitest'

import { type LintOptions, RULES, type RuleId, lint } from '../../src/ceremony/lint.ts'
import { loadPlan } from '../../src/ceremony/plan.ts'
import { DEFAULT_POLICY } from '../../src/ceremony/policy.ts'
import { walk } from '../../src/ceremony/room-model.ts'
import { PLANS, type PlanName, edit, planText, shippedBinding, shippedPlan } from './plan-files.ts'

type Edit = readonly [from: string, to: string, all?: boolean]

interface Case {
  readonly rule: RuleId
  readonly what: string
  readonly plan: PlanName
  readonly edits: readonly Edit[]
  /** Text in the line the finding names. */
  readonly line: string
  /** Other rules the same edit breaks. */
  readonly also?: readonly RuleId[]
  readonly options?: LintOptions
  readonly severity?: 'error' | 'warning'
}

const LOGIN_CUSTODY = '  - do: quorum.login\n    with: { token: custody }\n'
const RESPLIT_VAULT = '  - do: quorum.resplit\n    with: { token: vault }\n'
const SEED = '    with: { key: embeddings-epoch-1 }\n'
const SEED_WRAP =
  '  - id: wrap-embeddings-epoch-1\n    do: key.wrap\n    with: { key: embeddings-epoch-1, kek: kek, output: wrapped-embeddings-epoch-1 }\n'
const SEED_RESTORE =
  '  - check: key.restore\n    with: { key: embeddings-epoch-1, from: wrapped-embeddings-epoch-1, kek: kek }\n'
const SEED_DIGEST =
  '  - record: output.digest\n    with: { output: wrapped-embeddings-epoch-1 }\n    read-aloud: pgp-words\n'
const production = { binding: { ...shippedBinding().binding, mode: 'production' as const } }
const policy = (change: object): LintOptions => ({ policy: { ...DEFAULT_POLICY, ...change } })

const CASES: readonly Case[] = [
  {
    rule: 'PLAN-NAME-1',
    what: 'a step names no token',
    plan: 'generate-kek',
    edits: [
      [
        '  - check: token.enforcement\n    with: { token: vault }',
        '  - check: token.enforcement\n    with: { token: vaults }',
      ],
    ],
    line: '{ token: vaults }',
    also: ['PLAN-CHECK-5'],
  },
  {
    rule: 'PLAN-NAME-1',
    what: 'a key is on no token',
    plan: 'generate-fpe-key',
    edits: [['fpe-pan: { token: vault', 'fpe-pan: { token: safe']],
    line: 'token: safe',
  },
  {
    rule: 'PLAN-NAME-1',
    what: 'the log is on no token',
    plan: 'generate-kek',
    edits: [['log: vault', 'log: volt']],
    line: 'log: volt',
    also: ['PLAN-USE-1'],
  },
  {
    rule: 'PLAN-NAME-2',
    what: 'a step names no key',
    plan: 'generate-fpe-key',
    edits: [
      [
        '- record: key.attributes\n    with: { key: fpe-pan }',
        '- record: key.attributes\n    with: { key: fpe-pam }',
      ],
    ],
    line: '{ key: fpe-pam }',
    also: ['KEY-RECORD-1'],
  },
  {
    rule: 'PLAN-NAME-3',
    what: 'a step names no output',
    plan: 'wrap-for-distribution',
    edits: [['with: { output: wrapped-fpe-partner }', 'with: { output: wrapped }']],
    line: '{ output: wrapped }',
    also: ['PLAN-OUTPUT-5'],
  },
  {
    rule: 'PLAN-NAME-3',
    what: 'a key names no copy',
    plan: 'zeroise-key',
    edits: [['copies: []', 'copies: [nowhere]']],
    line: 'copies: [nowhere]',
    also: ['KEY-ZERO-4'],
  },
  {
    rule: 'PLAN-NAME-4',
    what: 'a role without people approves',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - approve: { by: custodian, what: plan }',
        '  - approve: { by: custodian, what: plan }\n  - approve: { by: security-officer, what: plan }',
      ],
    ],
    line: 'by: security-officer',
  },
  {
    rule: 'PLAN-NAME-4',
    what: 'no witness to a zeroisation',
    plan: 'zeroise-key',
    edits: [
      ['  witness: 1\n', ''],
      ['by: [custodian, witness]', 'by: [custodian]'],
    ],
    line: '- id: zeroise-fpe-pan',
  },
  {
    rule: 'PLAN-NAME-5',
    what: 'two steps have one id',
    plan: 'generate-fpe-key',
    edits: [['id: read-plan', 'id: roll-call']],
    line: 'id: roll-call',
  },
  {
    rule: 'PLAN-NAME-5',
    what: 'an id is the default id of another step',
    plan: 'generate-fpe-key',
    edits: [['id: read-plan', 'id: s02']],
    line: 'id: s02',
  },
  {
    rule: 'PLAN-NAME-5',
    what: 'an input has the name of an output',
    plan: 'wrap-for-distribution',
    edits: [['steps:', 'inputs:\n  wrapped-fpe-partner: { from: previous }\nsteps:']],
    line: 'wrapped-fpe-partner: { from: previous }',
  },
  {
    rule: 'PLAN-USE-1',
    what: 'a key nobody uses',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  fpe-pan: {',
        '  spare: { token: vault, role: fpe, algorithm: AES-256, existing: true }\n  fpe-pan: {',
      ],
    ],
    line: 'spare: {',
  },
  {
    rule: 'PLAN-USE-2',
    what: 'a token nobody uses',
    plan: 'generate-kek',
    edits: [['tokens: [vault, custody]', 'tokens: [vault, custody, spare]']],
    line: 'tokens: [vault, custody, spare]',
  },
  {
    rule: 'PLAN-USE-3',
    what: 'an output nobody writes',
    plan: 'wrap-for-distribution',
    edits: [['outputs:', 'outputs:\n  other: { file: other.json }']],
    line: 'other: {',
  },
  {
    rule: 'PLAN-USE-3',
    what: 'an output written twice',
    plan: 'wrap-for-distribution',
    edits: [
      [
        '  - check: key.restore',
        '  - id: again\n    do: key.wrap\n    with: { key: fpe-partner, kek: kek, outer: kek-outer, output: wrapped-fpe-partner }\n  - check: key.restore',
      ],
    ],
    line: '    with: { key: fpe-partner, kek: kek, outer: kek-outer, output: wrapped-fpe-partner }\n  - check',
    also: ['KEY-BACKUP-1'],
  },
  {
    rule: 'PLAN-USE-3',
    what: 'an input nobody reads',
    plan: 'zeroise-key',
    edits: [['steps:', 'inputs:\n  old-copy: { from: previous }\nsteps:']],
    line: 'old-copy: {',
  },
  {
    rule: 'PLAN-USE-4',
    what: 'a role without a part',
    plan: 'generate-fpe-key',
    edits: [['  witness: 1', '  security-officer: { quorum: 2, of: 3 }\n  witness: 1']],
    line: 'security-officer: {',
  },
  {
    rule: 'PLAN-QUORUM-1',
    what: 'one custodian is enough',
    plan: 'generate-fpe-key',
    edits: [['quorum: 2, of: 3', 'quorum: 1, of: 3']],
    line: 'quorum: 1',
  },
  {
    rule: 'PLAN-QUORUM-2',
    what: 'more than there are',
    plan: 'generate-fpe-key',
    edits: [['quorum: 2, of: 3', 'quorum: 4, of: 3']],
    line: 'quorum: 4',
  },
  {
    rule: 'PLAN-QUORUM-3',
    what: 'no spare share',
    plan: 'generate-fpe-key',
    edits: [['quorum: 2, of: 3', 'quorum: 3, of: 3']],
    line: 'quorum: 3',
  },
  {
    rule: 'PLAN-QUORUM-4',
    what: 'fewer holders than the policy wants',
    plan: 'generate-fpe-key',
    edits: [],
    options: policy({ minimumThreshold: 3, minimumHolders: 5 }),
    line: 'custodian: { quorum: 2, of: 3 }',
  },
  {
    rule: 'PLAN-APPROVE-1',
    what: 'nobody approved',
    plan: 'generate-fpe-key',
    edits: [['  - approve: { by: custodian, what: plan }\n', '']],
    line: '- id: generate-fpe-pan',
    also: ['PLAN-APPROVE-1'],
  },
  {
    rule: 'PLAN-APPROVE-1',
    what: 'security officers did not approve',
    plan: 'initialise-tokens',
    edits: [['  - approve: { by: security-officer, what: plan }\n', '']],
    line: '- id: initialise-vault',
    also: ['PLAN-APPROVE-1'],
  },
  {
    rule: 'PLAN-APPROVE-2',
    what: 'the approval is old',
    plan: 'generate-fpe-key',
    edits: [['  - check: token.enforcement', '  - check: token.enforcement\n    minutes: 130']],
    options: policy({ approvalTtlMinutes: 140, maxMinutesWithoutBreak: 300 }),
    line: '- id: generate-fpe-pan',
    also: ['PLAN-APPROVE-2'],
    severity: 'warning',
  },
  {
    rule: 'PLAN-ATTEST-1',
    what: 'nobody attests',
    plan: 'generate-fpe-key',
    edits: [['  - attest: { by: [custodian, witness], what: transcript }\n', '']],
    line: '- do: quorum.resplit',
    also: ['PLAN-USE-4'],
  },
  {
    rule: 'PLAN-ATTEST-1',
    what: 'something comes after',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - attest: { by: [custodian, witness], what: transcript }\n',
        '  - attest: { by: [custodian, witness], what: transcript }\n  - say: Goodbye.\n',
      ],
    ],
    line: '- attest:',
  },
  {
    rule: 'PLAN-ATTEST-1',
    what: 'twice',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - do: quorum.resplit\n',
        '  - attest: { by: [witness], what: transcript }\n  - do: quorum.resplit\n',
      ],
    ],
    line: '- attest: { by: [witness]',
  },
  {
    rule: 'PLAN-ATTEST-2',
    what: 'the witness does not sign',
    plan: 'generate-fpe-key',
    edits: [['by: [custodian, witness]', 'by: [custodian, administrator]']],
    line: 'by: [custodian, administrator]',
    also: ['PLAN-USE-4'],
  },
  {
    rule: 'PLAN-CHECK-1',
    what: 'no clock',
    plan: 'generate-fpe-key',
    edits: [['  - check: clock\n', '']],
    line: '- approve:',
  },
  {
    rule: 'PLAN-CHECK-2',
    what: 'module not checked before login',
    plan: 'generate-fpe-key',
    edits: [['  - check: module.identity\n', '']],
    line: '- do: quorum.login',
  },
  {
    rule: 'PLAN-CHECK-2',
    what: 'module not checked before initialisation',
    plan: 'initialise-tokens',
    edits: [
      ['  - check: module.identity\n', ''],
      ['  - id: break\n', '  - check: module.identity\n  - id: break\n'],
    ],
    line: '- id: initialise-vault',
    also: ['PLAN-CHECK-2'],
  },
  {
    rule: 'PLAN-CHECK-3',
    what: 'identity not checked',
    plan: 'generate-fpe-key',
    edits: [['  - check: token.identity\n', '']],
    line: '- do: quorum.login',
  },
  {
    rule: 'PLAN-CHECK-3',
    what: 'identity checked only before initialisation',
    plan: 'initialise-tokens',
    edits: [
      ['  - check: token.identity\n    with: { token: vault }\n', ''],
      [
        '  - id: initialise-vault\n',
        '  - check: token.identity\n    with: { token: vault }\n  - id: initialise-vault\n',
      ],
    ],
    line: '  - do: quorum.login\n    with: { token: vault }',
  },
  {
    rule: 'PLAN-CHECK-4',
    what: 'no refusal seen',
    plan: 'generate-fpe-key',
    edits: [['  - check: quorum.negative\n', '']],
    line: '- do: quorum.login',
  },
  {
    rule: 'PLAN-CHECK-5',
    what: 'enforcement not probed',
    plan: 'generate-fpe-key',
    edits: [['  - check: token.enforcement\n', '']],
    line: '- id: generate-fpe-pan',
  },
  {
    rule: 'PLAN-LOGIN-1',
    what: 'the outer token is closed',
    plan: 'wrap-for-distribution',
    edits: [
      [LOGIN_CUSTODY, ''],
      [
        '  - do: quorum.resplit\n    with: { token: custody }\n  - do: quorum.logout\n    with: { token: custody }\n',
        '',
      ],
    ],
    line: '- id: wrap-fpe-partner',
    also: ['PLAN-LOGIN-1'],
  },
  {
    rule: 'PLAN-LOGIN-1',
    what: 'after logout',
    plan: 'generate-kek',
    edits: [
      [
        '  - check: quorum.negative\n    with: { token: vault }',
        '  - record: key.kcv\n    with: { key: kek-outer }\n  - check: quorum.negative\n    with: { token: vault }',
      ],
    ],
    line: '- record: key.kcv\n    with: { key: kek-outer }\n  - check',
  },
  {
    rule: 'PLAN-LOGIN-2',
    what: 'login twice',
    plan: 'generate-fpe-key',
    edits: [
      ['  - do: quorum.login\n', '  - do: quorum.login\n  - id: twice\n    do: quorum.login\n'],
    ],
    line: '- id: twice',
  },
  {
    rule: 'PLAN-LOGIN-2',
    what: 'negative control on an open token',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - do: quorum.resplit\n',
        '  - id: late\n    check: quorum.negative\n  - do: quorum.resplit\n',
      ],
    ],
    line: '- id: late',
  },
  {
    rule: 'PLAN-LOGIN-3',
    what: 'the PIN stays the same',
    plan: 'generate-kek',
    edits: [[RESPLIT_VAULT, '']],
    line: '  - do: quorum.login\n    with: { token: vault }',
  },
  {
    rule: 'PLAN-LOGIN-4',
    what: 'the log token is closed at the end',
    plan: 'generate-kek',
    edits: [[RESPLIT_VAULT, `${RESPLIT_VAULT}  - do: quorum.logout\n    with: { token: vault }\n`]],
    line: '- attest:',
  },
  {
    rule: 'PLAN-TIME-1',
    what: 'too long',
    plan: 'initialise-tokens',
    edits: [],
    options: policy({ maxMinutes: 100 }),
    line: '- id: roll-call',
  },
  {
    rule: 'PLAN-TIME-2',
    what: 'no break',
    plan: 'initialise-tokens',
    edits: [],
    options: policy({ maxMinutesWithoutBreak: 50 }),
    line: '- id: initialise-custody',
    severity: 'error',
  },
  {
    rule: 'PLAN-PREVIOUS-1',
    what: 'a second beginning',
    plan: 'generate-fpe-key',
    edits: [
      ['previous: required\nafter: [initialise-tokens.yaml]\n', 'previous: genesis\n'],
      ['algorithm: Ed25519, existing: true }', 'algorithm: Ed25519 }'],
      [
        '  - id: generate-fpe-pan\n',
        '  - do: key.generate\n    with: { key: log-signer }\n  - record: key.kcv\n    with: { key: log-signer }\n  - record: key.attributes\n    with: { key: log-signer }\n  - id: generate-fpe-pan\n',
      ],
    ],
    line: 'previous: genesis',
    severity: 'warning',
  },
  {
    rule: 'PLAN-PREVIOUS-1',
    what: 'a second beginning, in production',
    plan: 'generate-fpe-key',
    edits: [['previous: required\nafter: [initialise-tokens.yaml]\n', 'previous: genesis\n']],
    options: production,
    line: 'previous: genesis',
    also: ['PLAN-PREVIOUS-2'],
    severity: 'error',
  },
  {
    rule: 'PLAN-PREVIOUS-2',
    what: 'a first ceremony with existing keys and earlier plans',
    plan: 'initialise-tokens',
    edits: [['previous: genesis', 'previous: genesis\nafter: [generate-kek.yaml]']],
    line: 'after: [generate-kek.yaml]',
  },
  {
    rule: 'PLAN-PREVIOUS-2',
    what: 'an existing key out of nowhere',
    plan: 'zeroise-key',
    edits: [
      [
        'previous: required\nafter: [initialise-tokens.yaml, generate-fpe-key.yaml]',
        'previous: genesis',
      ],
    ],
    line: 'fpe-pan: {',
    also: ['PLAN-PREVIOUS-1', 'PLAN-PREVIOUS-2'],
  },
  {
    rule: 'PLAN-LOG-1',
    what: 'no log-signer',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  log-signer: { token: vault, role: log-signer, algorithm: Ed25519, existing: true }\n',
        '',
      ],
    ],
    line: 'ceremony: generate-fpe-key',
  },
  {
    rule: 'PLAN-LOG-1',
    what: 'log-signer on the other token',
    plan: 'generate-kek',
    edits: [
      ['log: vault', 'log: custody'],
      ['  - do: quorum.logout\n    with: { token: custody }\n', ''],
    ],
    line: 'log: custody',
    also: ['PLAN-USE-1'],
  },
  ...[
    '/etc/passwd',
    '../x.json',
    'a/../../x.json',
    'C:/x.json',
    'a\\b.json',
    './x.json',
    'dir/',
    '..',
    '.hidden.json',
    'wrapped/fpe.tmp',
    'a/b/c/d/e/f/g.json',
    `${'x'.repeat(129)}.json`,
  ].map((file): Case => ({
    rule: 'PLAN-OUTPUT-1',
    what: `output ${file}`,
    plan: 'wrap-for-distribution',
    edits: [['file: wrapped/fpe-partner.json', `file: ${JSON.stringify(file)}`]],
    line: 'wrapped-fpe-partner: { file',
  })),
  {
    rule: 'PLAN-OUTPUT-2',
    what: 'the output exists',
    plan: 'wrap-for-distribution',
    edits: [],
    options: { exists: (file) => file === 'wrapped/fpe-partner.json' },
    line: 'file: wrapped/fpe-partner.json',
  },
  {
    rule: 'PLAN-OUTPUT-3',
    what: 'two outputs, one file',
    plan: 'wrap-for-distribution',
    edits: [
      ['outputs:', 'outputs:\n  second: { file: Wrapped/FPE-partner.json }'],
      [
        '  - check: key.restore',
        '  - do: key.wrap\n    with: { key: fpe-partner, kek: kek, outer: kek-outer, output: second }\n  - check: key.restore\n    with: { key: fpe-partner, from: second, kek: kek, outer: kek-outer }\n  - record: output.digest\n    with: { output: second }\n  - check: key.restore',
      ],
    ],
    line: 'wrapped-fpe-partner: { file',
  },
  {
    rule: 'PLAN-OUTPUT-4',
    what: 'read before it is written',
    plan: 'wrap-for-distribution',
    edits: [
      [
        '  - id: wrap-fpe-partner',
        '  - check: key.restore\n    with: { key: fpe-partner, from: wrapped-fpe-partner, kek: kek, outer: kek-outer }\n  - id: wrap-fpe-partner',
      ],
    ],
    line: 'with: { key: fpe-partner, from: wrapped-fpe-partner, kek: kek, outer: kek-outer }\n  - id: wrap',
  },
  {
    rule: 'PLAN-OUTPUT-5',
    what: 'no digest',
    plan: 'wrap-for-distribution',
    edits: [
      [
        '  - record: output.digest\n    with: { output: wrapped-fpe-partner }\n    read-aloud: pgp-words\n',
        '',
      ],
    ],
    line: '- id: wrap-fpe-partner',
  },
  {
    rule: 'KEY-LIFE-1',
    what: 'used before it is made',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - id: generate-fpe-pan\n',
        '  - record: key.kcv\n    with: { key: fpe-pan }\n  - id: generate-fpe-pan\n',
      ],
    ],
    line: 'with: { key: fpe-pan }\n  - id: generate',
  },
  {
    rule: 'KEY-LIFE-2',
    what: 'used after it is zeroised',
    plan: 'zeroise-key',
    edits: [
      [
        '  - do: quorum.resplit\n',
        '  - record: key.attributes\n    with: { key: fpe-pan }\n  - do: quorum.resplit\n',
      ],
    ],
    line: 'with: { key: fpe-pan }\n  - do: quorum.resplit',
  },
  {
    rule: 'KEY-LIFE-3',
    what: 'an existing key is generated',
    plan: 'generate-fpe-key',
    edits: [
      [
        'fpe-pan: { token: vault, role: fpe, algorithm: AES-256 }',
        'fpe-pan: { token: vault, role: fpe, algorithm: AES-256, existing: true }',
      ],
    ],
    line: 'with: { key: fpe-pan }\n  - record: key.kcv',
  },
  {
    rule: 'KEY-LIFE-3',
    what: 'a key is generated twice',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - record: key.kcv',
        '  - do: key.generate\n    with: { key: fpe-pan }\n  - record: key.kcv',
      ],
    ],
    line: 'with: { key: fpe-pan }\n  - record: key.kcv',
  },
  {
    rule: 'KEY-LIFE-4',
    what: 'declared present, never made',
    plan: 'generate-fpe-key',
    edits: [['  - id: generate-fpe-pan\n    do: key.generate\n    with: { key: fpe-pan }\n', '']],
    line: 'fpe-pan: {',
    also: ['KEY-LIFE-1', 'KEY-LIFE-1'],
  },
  {
    rule: 'KEY-LIFE-4',
    what: 'declared present, zeroised',
    plan: 'zeroise-key',
    edits: [['end: absent, copies: []', 'end: present']],
    line: '- id: zeroise-fpe-pan',
  },
  {
    rule: 'KEY-LIFE-4',
    what: 'declared present, lost with its token',
    plan: 'initialise-tokens',
    edits: [
      [
        '  log-signer: {',
        '  old: { token: custody, role: kek-outer, algorithm: AES-256, existing: true }\n  log-signer: {',
      ],
      ['previous: genesis', 'previous: required'],
      [
        '  - id: initialise-custody',
        '  - record: key.kcv\n    with: { key: old }\n  - id: initialise-custody',
      ],
    ],
    line: '- id: initialise-custody',
    also: ['PLAN-LOGIN-1'],
  },
  {
    rule: 'KEY-LIFE-5',
    what: 'declared absent, kept',
    plan: 'generate-fpe-key',
    edits: [
      [
        'role: fpe, algorithm: AES-256 }',
        'role: fpe, algorithm: AES-256, end: absent, copies: [] }',
      ],
    ],
    line: 'end: absent',
  },
  {
    rule: 'KEY-FORM-1',
    what: 'never wrapped',
    plan: 'generate-fpe-key',
    edits: [
      ['role: fpe, algorithm: AES-256 }', 'role: fpe, algorithm: AES-256, distribute: nested }'],
      [
        '  - record: key.attributes',
        '  - do: key.lock\n    with: { key: fpe-pan }\n  - record: key.attributes',
      ],
    ],
    line: 'distribute: nested',
  },
  {
    rule: 'KEY-FORM-2',
    what: 'never locked',
    plan: 'wrap-for-distribution',
    edits: [['  - id: lock-fpe-partner\n    do: key.lock\n    with: { key: fpe-partner }\n', '']],
    line: '- id: generate-fpe-partner',
  },
  {
    rule: 'KEY-FORM-3',
    what: 'locked before it is wrapped',
    plan: 'wrap-for-distribution',
    edits: [
      ['  - id: lock-fpe-partner\n    do: key.lock\n    with: { key: fpe-partner }\n', ''],
      [
        '  - id: wrap-fpe-partner',
        '  - do: key.lock\n    with: { key: fpe-partner }\n  - id: wrap-fpe-partner',
      ],
    ],
    line: '- id: wrap-fpe-partner',
  },
  {
    rule: 'KEY-FORM-4',
    what: 'wrapped, not declared so',
    plan: 'wrap-for-distribution',
    edits: [
      [', distribute: nested', ''],
      ['  - id: lock-fpe-partner\n    do: key.lock\n    with: { key: fpe-partner }\n', ''],
    ],
    line: '- id: wrap-fpe-partner',
  },
  {
    rule: 'KEY-FORM-5',
    what: 'locked, though born locked',
    plan: 'generate-fpe-key',
    edits: [
      [
        '  - record: key.attributes',
        '  - id: lock\n    do: key.lock\n    with: { key: fpe-pan }\n  - record: key.attributes',
      ],
    ],
    line: '- id: lock',
  },
  {
    rule: 'KEY-FORM-6',
    what: 'existing and to be distributed',
    plan: 'zeroise-key',
    edits: [['existing: true, end: absent', 'existing: true, distribute: nested, end: absent']],
    line: 'distribute: nested',
  },
  {
    rule: 'KEY-FORM-7',
    what: 'another key than a seed under one KEK',
    plan: 'wrap-for-distribution',
    edits: [['distribute: nested', 'distribute: single']],
    line: 'distribute: single',
  },
  {
    rule: 'KEY-FORM-8',
    what: 'a seed that stays on its token',
    plan: 'generate-embedding-key',
    edits: [
      ['    distribute: single\n    end: absent\n    copies: [wrapped-embeddings-epoch-1]\n', ''],
      ['outputs:\n  wrapped-embeddings-epoch-1: { file: wrapped/embeddings-epoch-1.json }\n', ''],
      [SEED_WRAP + SEED_RESTORE + SEED_DIGEST, ''],
      ['  - id: zeroise-embeddings-epoch-1\n    do: key.zeroise\n' + SEED, ''],
      ['  kek: { token: vault, role: kek, algorithm: AES-256, existing: true }\n', ''],
    ],
    line: '    token: vault\n    role: embedding-seed',
  },
  {
    rule: 'KEY-WRAP-4',
    what: 'another key than a seed wrapped once',
    plan: 'wrap-for-distribution',
    edits: [
      [
        'do: key.wrap\n    with: { key: fpe-partner, kek: kek, outer: kek-outer, output',
        'do: key.wrap\n    with: { key: fpe-partner, kek: kek, output',
      ],
    ],
    line: '{ key: fpe-partner, kek: kek, output',
    also: ['KEY-BACKUP-1'],
  },
  {
    rule: 'KEY-WRAP-4',
    what: 'a nested seed wrapped once',
    plan: 'generate-embedding-key',
    edits: [['distribute: single', 'distribute: nested']],
    line: 'with: { key: embeddings-epoch-1, kek: kek, output',
    also: ['KEY-WRAP-4'],
  },
  {
    rule: 'KEY-WRAP-4',
    what: 'a single seed wrapped twice',
    plan: 'generate-embedding-key',
    edits: [
      ['kek: kek, output', 'kek: kek, outer: kek-outer, output'],
      ['tokens: [vault]', 'tokens: [vault, custody]\nlog: vault'],
      [
        '  embeddings-epoch-1:\n',
        '  kek-outer: { token: custody, role: kek-outer, algorithm: AES-256, existing: true }\n  embeddings-epoch-1:\n',
      ],
      ...['check: quorum.negative', 'do: quorum.login', 'check: token.enforcement'].map(
        (step): Edit => [`  - ${step}\n`, `  - ${step}\n    with: { token: vault }\n`],
      ),
      ['  - do: quorum.resplit\n', `  - do: quorum.resplit\n    with: { token: vault }\n`],
      ['  - check: token.identity\n', '  - check: token.identity\n    with: { token: vault }\n'],
      ['  - check: token.inventory\n', '  - check: token.inventory\n    with: { token: vault }\n'],
      [
        '  - record: token.inventory\n  - id: zeroise',
        '  - record: token.inventory\n    with: { token: vault }\n  - id: zeroise',
      ],
      [
        '  - record: token.inventory\n\n',
        '  - record: token.inventory\n    with: { token: vault }\n',
      ],
    ],
    line: 'with: { key: embeddings-epoch-1, kek: kek, outer: kek-outer, output',
    also: ['KEY-BACKUP-1', 'PLAN-LOGIN-1'],
  },
  {
    rule: 'KEY-WRAP-2',
    what: 'one layer, by a key that decrypts',
    plan: 'generate-embedding-key',
    edits: [['kek: { token: vault, role: kek,', 'kek: { token: vault, role: kek-outer,']],
    line: 'with: { key: embeddings-epoch-1, kek: kek, output',
    also: ['KEY-WRAP-2'],
  },
  {
    rule: 'KEY-WRAP-1',
    what: 'both wrapping keys on one token',
    plan: 'wrap-for-distribution',
    edits: [['kek-outer: { token: custody', 'kek-outer: { token: vault']],
    line: '- id: wrap-fpe-partner',
    also: ['KEY-WRAP-1'],
  },
  {
    rule: 'KEY-WRAP-2',
    what: 'a key that decrypts as inner layer',
    plan: 'wrap-for-distribution',
    edits: [['kek: { token: vault, role: kek,', 'kek: { token: vault, role: kek-outer,']],
    line: 'kek: kek, outer: kek-outer, output',
    also: ['KEY-WRAP-2'],
  },
  {
    rule: 'KEY-WRAP-2',
    what: 'a kek as outer layer',
    plan: 'wrap-for-distribution',
    edits: [
      ['kek-outer: { token: custody, role: kek-outer', 'kek-outer: { token: custody, role: kek'],
    ],
    line: 'kek: kek, outer: kek-outer, output',
    also: ['KEY-WRAP-2'],
  },
  {
    rule: 'KEY-WRAP-3',
    what: 'the kek is elsewhere',
    plan: 'wrap-for-distribution',
    edits: [
      ['kek: { token: vault, role: kek,', 'kek: { token: custody, role: kek,'],
      ['kek-outer: { token: custody', 'kek-outer: { token: vault'],
    ],
    line: '- id: wrap-fpe-partner',
    also: ['KEY-WRAP-3'],
  },
  {
    rule: 'KEY-ROLE-1',
    what: 'a signing FPE key',
    plan: 'generate-fpe-key',
    edits: [['role: fpe, algorithm: AES-256', 'role: fpe, algorithm: P-256']],
    line: 'role: fpe, algorithm: P-256',
  },
  {
    rule: 'KEY-ROLE-1',
    what: 'an AES log-signer',
    plan: 'generate-fpe-key',
    edits: [['role: log-signer, algorithm: Ed25519', 'role: log-signer, algorithm: AES-256']],
    line: 'role: log-signer',
  },
  {
    rule: 'KEY-ROLE-2',
    what: 'a role the policy does not allow',
    plan: 'generate-fpe-key',
    edits: [],
    options: policy({ allowedRoles: ['kek', 'kek-outer', 'log-signer'] }),
    line: 'role: fpe',
  },
  {
    rule: 'KEY-ROLE-2',
    what: 'an algorithm the policy does not allow',
    plan: 'generate-fpe-key',
    edits: [],
    options: policy({ allowedAlgorithms: ['AES-256', 'P-256'] }),
    line: 'algorithm: Ed25519',
  },
  {
    rule: 'KEY-ROLE-3',
    what: 'a seed without an epoch',
    plan: 'generate-embedding-key',
    edits: [['embeddings-epoch-1', 'embeddings', true]],
    line: '    token: vault\n    role: embedding-seed',
  },
  {
    rule: 'KEY-BACKUP-1',
    what: 'no restore test of a seed',
    plan: 'generate-embedding-key',
    edits: [[SEED_RESTORE, '']],
    line: '- id: wrap-embeddings-epoch-1',
  },
  {
    rule: 'KEY-FORM-2',
    what: 'a seed that stays extractable',
    plan: 'generate-embedding-key',
    edits: [
      ['    end: absent\n    copies: [wrapped-embeddings-epoch-1]\n', ''],
      ['  - id: zeroise-embeddings-epoch-1\n    do: key.zeroise\n' + SEED, ''],
    ],
    line: '- id: generate-embeddings-epoch-1',
  },
  {
    rule: 'KEY-ZERO-1',
    what: 'the file of a seed is not listed',
    plan: 'generate-embedding-key',
    edits: [['copies: [wrapped-embeddings-epoch-1]', 'copies: []']],
    line: 'copies: []',
  },
  {
    rule: 'KEY-ZERO-4',
    what: 'the file of an earlier seed can still be opened',
    plan: 'zeroise-key',
    edits: [
      ['fpe-pan', 'old-epoch-1', true],
      ['role: fpe', 'role: embedding-seed'],
      ['copies: []', 'copies: [old-copy]'],
      ['steps:', 'inputs:\n  old-copy: { from: previous }\nsteps:'],
    ],
    line: 'copies: [old-copy]',
  },
  {
    rule: 'KEY-BACKUP-1',
    what: 'no restore test',
    plan: 'wrap-for-distribution',
    edits: [
      [
        '  - check: key.restore\n    with: { key: fpe-partner, from: wrapped-fpe-partner, kek: kek, outer: kek-outer }\n',
        '',
      ],
    ],
    line: '- id: wrap-fpe-partner',
  },
  {
    rule: 'KEY-RECORD-1',
    what: 'no check value',
    plan: 'generate-fpe-key',
    edits: [['  - record: key.kcv\n    with: { key: fpe-pan }\n    read-aloud: nato\n', '']],
    line: '- id: generate-fpe-pan',
  },
  {
    rule: 'KEY-RECORD-1',
    what: 'no attributes',
    plan: 'initialise-tokens',
    edits: [['  - record: key.attributes\n    with: { key: log-signer }\n', '']],
    line: '- id: generate-log-signer',
  },
  {
    rule: 'KEY-ZERO-1',
    what: 'copies are not listed',
    plan: 'zeroise-key',
    edits: [[', copies: []', '']],
    line: 'fpe-pan: {',
  },
  {
    rule: 'KEY-ZERO-1',
    what: 'a copy made here is not listed',
    plan: 'wrap-for-distribution',
    edits: [
      ['distribute: nested }', 'distribute: nested, end: absent, copies: [] }'],
      [
        '  - id: lock-fpe-partner\n    do: key.lock',
        '  - record: key.attributes\n    with: { key: fpe-partner }\n  - record: token.inventory\n    with: { token: vault }\n  - do: key.zeroise',
      ],
      [
        '  - record: key.attributes\n    with: { key: fpe-partner }\n  - record: output',
        '  - record: output',
      ],
    ],
    line: 'copies: []',
  },
  {
    rule: 'KEY-ZERO-2',
    what: 'which key dies is not recorded',
    plan: 'zeroise-key',
    edits: [['record: key.kcv', 'record: key.attributes']],
    line: '- id: zeroise-fpe-pan',
  },
  {
    rule: 'KEY-ZERO-3',
    what: 'no inventory before',
    plan: 'zeroise-key',
    edits: [['  - record: token.inventory\n  - id: zeroise-fpe-pan', '  - id: zeroise-fpe-pan']],
    line: '- id: zeroise-fpe-pan',
  },
  {
    rule: 'KEY-ZERO-3',
    what: 'no inventory after',
    plan: 'zeroise-key',
    edits: [
      [
        '    with: { key: fpe-pan }\n  - record: token.inventory\n  - do',
        '    with: { key: fpe-pan }\n  - do',
      ],
    ],
    line: '- id: zeroise-fpe-pan',
  },
  {
    rule: 'KEY-ZERO-4',
    what: 'a copy can still be opened',
    plan: 'zeroise-key',
    edits: [
      ['copies: []', 'copies: [old-copy]'],
      ['steps:', 'inputs:\n  old-copy: { from: previous }\nsteps:'],
    ],
    line: 'copies: [old-copy]',
  },
]

const lineOf = (text: string, fragment: string): number => {
  const at = text.lastIndexOf(fragment)
  if (at < 0) throw new Error(`no such line: ${fragment}`)
  // A fragment that starts with white space names the first line that is not blank.
  const start = at + (/^\s*/.exec(fragment)?.[0].length ?? 0)
  return text.slice(0, start).split('\n').length
}

describe('the shipped plans', () => {
  it.each(PLANS)('%s lints clean', (name) => {
    const { plan, source } = shippedPlan(name)
    expect(lint(plan, source)).toEqual([])
    expect(lint(plan, source, { ...production, exists: () => false })).toEqual([])
  })

  it('say how long they take and leave nothing open', () => {
    for (const name of PLANS) {
      const room = walk(shippedPlan(name).plan)
      expect(room.minutes).toBeGreaterThan(30)
      for (const [, token] of room.tokens) expect(token.dueResplit).toBeUndefined()
      for (const [, key] of room.keys) expect(key.state).not.toBe('birth')
    }
  })
})

describe('a rule', () => {
  it.each(CASES)(
    '$rule: $what',
    ({ rule, plan: name, edits, line, also = [], options, severity }) => {
      const text = edits.reduce((now, [from, to, all]) => edit(now, from, to, all), planText(name))
      const { plan, source } = loadPlan(text, 'x.yaml')
      const findings = lint(plan, source, options)
      expect(findings.map((finding) => finding.rule).sort()).toEqual([rule, ...also].sort())
      const finding = findings.find(
        (found) => found.rule === rule && found.line === lineOf(text, line),
      )
      expect(
        finding,
        `expected line ${lineOf(text, line)}: ${JSON.stringify(findings)}`,
      ).toBeDefined()
      expect(finding!.severity).toBe(severity ?? RULES[rule].severity)
      expect(finding!.file).toBe('x.yaml')
      expect(finding!.message).not.toBe('')
      expect(finding!.hint).not.toBe('')
      // The same plan, unchanged and under the default policy, does not break the rule.
      const { plan: clean, source: cleanSource } = shippedPlan(name)
      expect(lint(clean, cleanSource).map((found) => found.rule)).not.toContain(rule)
    },
  )

  it('is broken by a test, whichever it is', () => {
    const tested = new Set<string>(CASES.map(({ rule }) => rule))
    const onBindings = (id: string): boolean => /^(?:BIND|CER)-/.test(id)
    expect(Object.keys(RULES).filter((id) => !tested.has(id) && !onBindings(id))).toEqual([])
  })

  it('can be switched off only where the policy says so', () => {
    const text = edit(planText('generate-fpe-key'), '  - check: quorum.negative\n', '')
    const { plan, source } = loadPlan(text, 'x.yaml')
    expect(lint(plan, source, policy({ requireNegativeControl: false }))).toEqual([])
    const wrapped = edit(
      planText('wrap-for-distribution'),
      '  - check: key.restore\n    with: { key: fpe-partner, from: wrapped-fpe-partner, kek: kek, outer: kek-outer }\n',
      '',
    )
    const loaded = loadPlan(wrapped, 'x.yaml')
    expect(lint(loaded.plan, loaded.source, policy({ requireRestoreTest: false }))).toEqual([])
  })
})

describe('a kek and the copies under it', () => {
  it('may be zeroised together with the key', () => {
    const text = [
      ['distribute: nested }', 'distribute: nested, end: absent, copies: [wrapped-fpe-partner] }'],
      [
        'role: kek, algorithm: AES-256, existing: true }',
        'role: kek, algorithm: AES-256, existing: true, end: absent, copies: [] }',
      ],
      [
        '  - id: lock-fpe-partner\n    do: key.lock\n    with: { key: fpe-partner }\n',
        '  - record: key.kcv\n    with: { key: kek }\n  - record: token.inventory\n    with: { token: vault }\n  - do: key.zeroise\n    with: { key: fpe-partner }\n  - do: key.zeroise\n    with: { key: kek }\n',
      ],
      ['  - record: key.attributes\n    with: { key: fpe-partner }\n', ''],
      [
        '  - id: wrap-fpe-partner',
        '  - record: key.attributes\n    with: { key: fpe-partner }\n  - id: wrap-fpe-partner',
      ],
    ].reduce((changed, [from, to]) => edit(changed, from!, to!), planText('wrap-for-distribution'))
    const { plan, source } = loadPlan(text, 'x.yaml')
    expect(lint(plan, source)).toEqual([])
  })
})
