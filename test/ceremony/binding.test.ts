import { readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

import { sha256, toHex, utf8 } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import { ConfigError, PolicyError } from '../../src/errors.ts'
import { bindingFaults } from '../../src/ceremony/binding-check.ts'
import { checkBinding, loadBinding } from '../../src/ceremony/binding.ts'
import { lint } from '../../src/ceremony/lint.ts'
import { DEFAULT_POLICY, loadPolicy } from '../../src/ceremony/policy.ts'
import {
  FOLDER,
  continuingBinding,
  edit,
  shipped,
  shippedBinding,
  shippedPlan,
} from './plan-files.ts'

const text = shipped('softhsm.binding.yaml')
const { plan } = shippedPlan('initialise-tokens')

function refusal(binding: string): ConfigError {
  try {
    loadBinding(binding, 'site/b.yaml')
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the binding was accepted')
}

describe('the shipped binding', () => {
  it('fits the plan that initialises the tokens', () => {
    expect(bindingFaults(plan, shippedBinding().binding)).toEqual([])
  })

  it('pins roster and policy as sha256sum prints them', () => {
    const { resolved } = shippedBinding()
    for (const { file, sha256: pinned } of [resolved.roster, resolved.policy]) {
      expect(toHex(sha256(readFileSync(file)))).toBe(pinned)
    }
  })

  it('names only people of the roster as signers, with both namespaces for those who approve', () => {
    const roster = shipped('allowed_signers')
    for (const { principal, roles, signer } of Object.values(shippedBinding().binding.people)) {
      const line = roster.split('\n').find((entry) => entry.startsWith(`${principal} `))
      expect(line !== undefined).toBe(signer !== undefined)
      if (line === undefined) continue
      expect(line.includes('keyrite-approval')).toBe(!roles.includes('witness'))
      expect(line).toContain('keyrite-checkpoint')
    }
    expect(roster).not.toMatch(/PRIVATE KEY/)
  })

  it('is digested as written and resolved against its own place', () => {
    const here = loadBinding(text, '/a/b.yaml')
    const there = loadBinding(text, '/c/d/b.yaml')
    expect(here.digest).toEqual(there.digest)
    expect(toHex(here.digest)).toBe(toHex(sha256(utf8(canonicalJson(here.binding)))))
    expect(here.binding.roster.file).toBe('allowed_signers')
    expect(here.resolved.roster.file).toBe('/a/allowed_signers')
    expect(there.resolved.policy.file).toBe('/c/d/policy.yaml')
    expect(here.resolved.people['alice']?.shares?.directory).toBe('/media/alice/shares')
    const again = loadBinding(canonicalJson(here.binding), '/e/binding.json')
    expect(again.digest).toEqual(here.digest)
  })
})

describe('a binding holds no secret', () => {
  const SECRET = 'hunter2-0123456789'
  it.each<[string, string, string]>([
    ['pin', 'label: vault, serial: blank', `label: vault, serial: blank, pin: "${SECRET}"`],
    ['so-pin', 'label: vault, serial: blank', `label: vault, serial: blank, so-pin: "${SECRET}"`],
    [
      'passphrase',
      'principal: alice@keyrite.example',
      `principal: alice@keyrite.example\n    passphrase: ${SECRET}`,
    ],
    ['password', 'mode: rehearsal', `mode: rehearsal\npassword: ${SECRET}`],
    [
      'pin-value in a URI',
      'object=approval;type=private',
      `object=approval;type=private?pin-value=${SECRET}`,
    ],
    ['age identity', 'identity: /media/carol/age-identity', `identity: AGE-SECRET-KEY-1${SECRET}`],
    [
      'private key',
      'signer: { file: /media/dora/id_ed25519 }',
      `signer: { file: "-----BEGIN OPENSSH PRIVATE KEY----- ${SECRET}" }`,
    ],
    ['share', 'lock: passphrase }\n  erik', `lock: passphrase, share: ${SECRET} }\n  erik`],
  ])('%s is refused without being repeated', (_what, from, to) => {
    const error = refusal(edit(text, from, to))
    expect(error.message).toContain('secret')
    expect(error.where).toMatch(/^site\/b\.yaml:\d+:\d+$/)
    expect(JSON.stringify(error.toJSON())).not.toContain(SECRET)
  })
})

describe('a binding with a fault names line and column', () => {
  it.each<[string, string, string, string]>([
    ['unknown key', 'mode: rehearsal', 'mood: rehearsal', 'unknown key "mood"'],
    ['mode', 'mode: rehearsal', 'mode: test', 'mode'],
    ['serial as number', 'label: vault, serial: blank', 'label: vault, serial: 1234', 'quote it'],
    ['label over 32 bytes', 'label: vault,', `label: ${'ä'.repeat(17)},`, '32 bytes'],
    ['unknown role', 'roles: [witness]', 'roles: [judge]', 'roles'],
    [
      'principal pattern',
      'principal: alice@keyrite.example',
      'principal: "*@keyrite.example"',
      'principal',
    ],
    ['organisation', 'organisation: keyrite.example', 'organisation: Keyrite Example', 'host name'],
    ['two signers', 'signer: { detached: true }', 'signer: { detached: true, file: x }', 'one of'],
    ['hash', /sha256: [0-9a-f]{64}/.exec(text)?.[0] ?? '', 'sha256: ABC', '64 lower-case'],
  ])('%s', (_what, from, to, message) => {
    const error = refusal(edit(text, from, to))
    expect(`${error.message} ${error.hint ?? ''}`).toContain(message)
    expect(error.where).toMatch(/^site\/b\.yaml:\d+:\d+$/)
  })
})

/** Every rule on bindings, with an edit that breaks exactly it. */
const BROKEN: readonly [string, string, string, string][] = [
  ['CER-ROLES-1', 'ROLE_CONFLICT', 'roles: [administrator]', 'roles: [administrator, custodian]'],
  [
    'CER-ROLES-2',
    'ROLE_CONFLICT',
    'principal: alice@keyrite.example\n    roles: [custodian]',
    'principal: alice@keyrite.example\n    roles: [custodian, security-officer]',
  ],
  [
    'CER-ROLES-3',
    'ROLE_CONFLICT',
    'principal: dora@keyrite.example\n    roles: [security-officer]',
    'principal: dora@keyrite.example\n    roles: [security-officer, administrator]',
  ],
  ['CER-ROLES-4', 'ROLE_CONFLICT', 'roles: [witness]', 'roles: [witness, administrator]'],
  ['BIND-ROLES-1', 'BINDING_MISMATCH', 'roles: [administrator]', 'roles: [witness]'],
  ['BIND-PEOPLE-1', 'ROLE_CONFLICT', 'name: Bob Example', 'name: alice  EXAMPLE'],
  [
    'BIND-PEOPLE-1',
    'ROLE_CONFLICT',
    'principal: bob@keyrite.example',
    'principal: Alice@keyrite.example',
  ],
  [
    'BIND-PEOPLE-1',
    'ROLE_CONFLICT',
    'agent: /media/bob/id_ed25519.pub',
    'agent: /media/alice/id_ed25519.pub',
  ],
  [
    'BIND-PEOPLE-1',
    'ROLE_CONFLICT',
    'directory: /media/bob/shares',
    'directory: /media/alice/shares/',
  ],
  ['BIND-PEOPLE-2', 'BINDING_MISMATCH', '    signer: { detached: true }\n', ''],
  [
    'BIND-PEOPLE-3',
    'BINDING_MISMATCH',
    '    shares: { directory: /media/bob/shares, lock: passphrase }\n',
    '',
  ],
  ['BIND-TOKEN-1', 'BINDING_MISMATCH', '  custody: { label: custody, serial: blank }\n', ''],
  ['BIND-TOKEN-2', 'BINDING_MISMATCH', 'label: custody, serial', 'label: vault, serial'],
  [
    'BIND-PREVIOUS-1',
    'BINDING_MISMATCH',
    'mode: rehearsal',
    `mode: rehearsal\nprevious: { bundle: x, root: "sha256:${'0'.repeat(64)}" }`,
  ],
  [
    'BIND-INPUT-1',
    'BINDING_MISMATCH',
    'mode: rehearsal',
    'mode: rehearsal\ninputs: { something: x }',
  ],
]

describe('checkBinding', () => {
  it.each(BROKEN)('%s: %s', (rule, code, from, to) => {
    const changed = edit(text, from, to)
    const { binding, source } = loadBinding(changed, 'b.yaml')
    expect(new Set(bindingFaults(plan, binding).map((fault) => fault.rule))).toContain(rule)
    const error = (() => {
      try {
        checkBinding(plan, binding)
      } catch (thrown) {
        return thrown
      }
      return undefined
    })()
    expect(error).toBeInstanceOf(PolicyError)
    expect((error as PolicyError).code).toBe(code)
    expect((error as PolicyError).requirement).toBe(rule)
    const findings = lint(plan, shippedPlan('initialise-tokens').source, {
      binding,
      bindingSource: source,
    })
    const finding = findings.find((found) => found.rule === rule)
    expect(finding).toMatchObject({ severity: 'error', file: 'b.yaml' })
    expect(finding!.line).toBeGreaterThan(0)
  })

  it('wants serials and a predecessor for a plan that continues', () => {
    const kek = shippedPlan('generate-kek').plan
    const rules = (binding: string): string[] =>
      bindingFaults(kek, loadBinding(binding, 'b.yaml').binding).map(({ rule }) => rule)
    expect(rules(continuingBinding())).toEqual([])
    expect(rules(text)).toEqual(['BIND-TOKEN-3', 'BIND-TOKEN-3', 'BIND-PREVIOUS-1'])
    const oneDevice = edit(continuingBinding(), '2222222222222222', '1111111111111111')
    expect(rules(oneDevice)).toEqual(['BIND-TOKEN-2'])
    const named = { ...kek, previous: `sha256:${'cd'.repeat(32)}` }
    const binding = loadBinding(continuingBinding(), 'b.yaml').binding
    expect(bindingFaults(named, binding).map(({ rule }) => rule)).toEqual(['BIND-PREVIOUS-1'])
  })

  it('wants a path for every input', () => {
    const kek = shippedPlan('generate-kek').plan
    const reading = { ...kek, inputs: { copy: { from: 'previous' as const } } }
    const bound = loadBinding(continuingBinding(), 'b.yaml').binding
    expect(bindingFaults(reading, bound).map(({ rule }) => rule)).toEqual(['BIND-INPUT-1'])
    expect(bindingFaults(reading, { ...bound, inputs: { copy: 'x' } })).toEqual([])
  })
})

describe('a policy', () => {
  it('is shipped as the default', () => {
    expect(loadPolicy(shipped('policy.yaml'), `${FOLDER}policy.yaml`).policy).toEqual(
      DEFAULT_POLICY,
    )
  })

  it('is digested in canonical form', () => {
    const { policy, digest } = loadPolicy(shipped('policy.yaml'), 'p.yaml')
    expect(toHex(digest)).toBe(toHex(sha256(utf8(canonicalJson(policy)))))
    expect(loadPolicy(canonicalJson(policy), 'policy.json').digest).toEqual(digest)
  })

  it.each<[string, string, string]>([
    ['minimumThreshold: 2', 'minimumThreshold: 1', '>=2'],
    ['requirePrevious: true', 'requirePrevious: yes', 'expected boolean'],
    ['requirePrevious: true\n', '', 'is missing'],
    ['maxMinutes: 300', 'maxMinutes: 300\nforce: true', 'unknown key "force"'],
    ['[AES-256, Ed25519, P-256]', '[DES]', 'allowedAlgorithms'],
  ])('refuses %s as %j', (from, to, message) => {
    const changed = edit(shipped('policy.yaml'), from, to)
    expect(() => loadPolicy(changed, 'p.yaml')).toThrow(ConfigError)
    expect(() => loadPolicy(changed, 'p.yaml')).toThrow(message)
  })
})
