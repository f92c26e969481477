import { describe, expect, it } from 'vitest'

import { canonicalJson } from '../../src/canonical.ts'
import { sha256, toHex, utf8 } from '../../src/bytes.ts'
import { ConfigError } from '../../src/errors.ts'
import { ACTIONS, REFERENT, actionSpec } from '../../src/ceremony/action-table.ts'
import { readOut } from '../../src/ceremony/digest.ts'
import { loadPlan, planDigest, readPlan } from '../../src/ceremony/plan.ts'
import { fromPgpWords } from '../../src/pgp-words.ts'
import { PLANS, edit, planText, shippedPlan } from './plan-files.ts'

const base = planText('generate-fpe-key')

function refusal(text: string): ConfigError {
  try {
    loadPlan(text, 'x.yaml')
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the plan was accepted')
}

const lineOf = (text: string, fragment: string): number =>
  text.slice(0, text.indexOf(fragment)).split('\n').length

describe('a plan', () => {
  it('has every default written out', () => {
    const { plan } = shippedPlan('generate-fpe-key')
    expect(plan.v).toBe(1)
    expect(plan.log).toBe('vault')
    expect(plan.keys['fpe-pan']).toEqual({
      token: 'vault',
      role: 'fpe',
      algorithm: 'AES-256',
      end: 'present',
      existing: false,
    })
    const login = plan.steps.find((step) => step.kind === 'do')
    expect(login).toEqual({
      id: 's08',
      title: 'The quorum opens token vault',
      minutes: 5,
      kind: 'do',
      action: 'quorum.login',
      with: { token: 'vault' },
    })
    expect(plan.steps.find(({ id }) => id === 'generate-fpe-pan')).toMatchObject({
      kind: 'do',
      action: 'key.generate',
      with: { key: 'fpe-pan' },
    })
    expect(plan.steps.at(-1)).toMatchObject({ kind: 'attest', by: ['custodian', 'witness'] })
  })

  it('is its own canonical JSON, whose SHA-256 is its digest', () => {
    for (const name of PLANS) {
      const { plan, digest } = shippedPlan(name)
      expect(toHex(digest)).toBe(toHex(sha256(utf8(canonicalJson(plan)))))
      expect(planDigest(readPlan(canonicalJson(plan)))).toEqual(digest)
    }
  })

  it('keeps its digest when comments, quotes, layout or the order of keys change', () => {
    const relaid = edit(
      edit(base, 'previous: required\nafter:', '# remark\nafter:'),
      'title: Generate the FPE key for payment tokens',
      'previous:   "required"\ntitle: \'Generate the FPE key for payment tokens\'',
    ).replaceAll('\n', '\r\n')
    expect(loadPlan(relaid, 'y.yaml').digest).toEqual(loadPlan(base, 'x.yaml').digest)
  })

  it.each([
    ['a word of a title', 'payment tokens', 'payment tokenz'],
    ['a word that is said', 'reads the digest words', 'reads the digest word'],
    ['an id', 'id: generate-fpe-pan', 'id: generate-fpe-pam'],
    ['a quorum', 'of: 3', 'of: 4'],
    ['read-aloud', 'read-aloud: nato', 'read-aloud: pgp-words'],
    [
      'a declared state',
      'role: fpe, algorithm: AES-256 }',
      'role: fpe, algorithm: AES-256, end: absent }',
    ],
  ])('changes its digest with %s', (_what, from, to) => {
    expect(loadPlan(edit(base, from, to), 'x').digest).not.toEqual(loadPlan(base, 'x').digest)
  })

  it('knows where its parts stand', () => {
    const { source } = loadPlan(base, 'x.yaml')
    expect(source.at(['steps', 0])).toEqual({ line: lineOf(base, '- id: roll-call'), column: 5 })
    expect(source.at(['keys', 'fpe-pan', 'role']).line).toBe(lineOf(base, 'fpe-pan: {'))
    // A default has no place of its own; the nearest thing that is written is named.
    expect(source.at(['steps', 3, 'with', 'token']).line).toBe(
      lineOf(base, '- check: token.identity'),
    )
    expect(source.keyAt(['roles', 'witness'])).toEqual({
      line: lineOf(base, 'witness: 1'),
      column: 3,
    })
  })
})

describe('a plan with a fault names line and column', () => {
  it.each<[string, string, string, string, string]>([
    ['unknown key', 'title: Generate', 'titel: Generate', 'titel', 'unknown key "titel"'],
    [
      'unknown key in a step',
      '    read-aloud: nato',
      '    read-allowed: nato',
      'read-allowed',
      'unknown key',
    ],
    [
      'unknown action',
      'check: module.identity',
      'check: module.identiti',
      'module.identiti',
      'no such action',
    ],
    [
      'unknown argument',
      'with: { key: fpe-pan }\n    read',
      'with: { kee: fpe-pan }\n    read',
      'kee',
      'is missing',
    ],
    ['action of another kind', '- check: clock', '- do: clock', 'clock', 'no such action'],
    [
      'two kinds in one step',
      '- check: clock',
      '- check: clock\n    say: hello',
      'check: clock',
      'exactly one of',
    ],
    ['no kind', '- check: clock', '- id: nothing', 'id: nothing', 'exactly one of'],
    [
      'prototype name as action',
      '- check: clock',
      '- check: toString',
      'toString',
      'no such action',
    ],
    [
      'read-aloud outside record',
      'do: key.generate',
      'read-aloud: nato\n    do: key.generate',
      'read-aloud: nato',
      'unknown key',
    ],
    ['text as number', 'of: 3', 'of: three', 'three', 'expected number'],
    ['fraction', 'of: 3', 'of: 2.5', '2.5', 'expected int'],
    ['unknown role', 'by: custodian, what', 'by: king, what', 'king', 'Invalid option'],
    [
      'unknown previous',
      'previous: required',
      'previous: sha256:abc',
      'sha256:abc',
      'genesis, required',
    ],
    ['upper-case name', 'tokens: [vault]', 'tokens: [Vault]', 'Vault', 'lower-case'],
    [
      'duplicate key',
      'title: Generate',
      'ceremony: again\ntitle: Generate',
      'ceremony: again',
      'unique',
    ],
    ['anchor', 'tokens: [vault]', 'tokens: &t [vault]', '[vault]', 'anchor'],
    ['alias', 'tokens: [vault]', 'tokens: [*vault]', '*vault', ''],
    ['tag', 'tokens: [vault]', 'tokens: [!!str vault]', 'vault]', 'tag'],
    ['own tag', 'tokens: [vault]', 'tokens: [!x vault]', '!x', 'tag'],
    ['bidirectional override', 'payment tokens', 'payment \u202etokens', '\u202e', 'invisible'],
    [
      'escaped override',
      'title: Generate the FPE key for payment tokens',
      'title: "a\\u202eb"',
      '"a\\u202eb"',
      'invisible',
    ],
    ['override in a comment', 'tokens: [vault]', 'tokens: [vault] # \u2066', '\u2066', 'invisible'],
    [
      'zero-width space',
      'key: fpe-pan }\n    read',
      'key: fpe\u200b-pan }\n    read',
      '\u200b',
      'invisible',
    ],
    ['joiner', 'payment tokens', 'payment\u200d tokens', '\u200d', 'invisible'],
    ['filler', 'payment tokens', 'payment \u3164tokens', '\u3164', 'invisible'],
    ['variation selector', 'payment tokens', 'payment\ufe0f tokens', '\ufe0f', 'invisible'],
    ['other space', 'payment tokens', 'payment\u00a0tokens', '\u00a0', 'invisible'],
    ['blank Braille', 'payment tokens', 'payment \u2800tokens', '\u2800', 'invisible'],
    ['second document', 'steps:', '---\nsteps:', '---', 'more than one'],
    ['merge key', 'steps:', '<<: { tokens: [a] }\nsteps:', '<<', 'unknown key'],
    ['prototype', '  fpe-pan: {', '  __proto__: {', '__proto__', '__proto__'],
    ['unclosed list', 'tokens: [vault]', 'tokens: [vault', 'log-signer', 'strict YAML'],
    [
      'title of two lines',
      'title: Generate the FPE key for payment tokens',
      'title: "a\\nb"',
      '"a\\nb"',
      'one line',
    ],
    ['shell in a step', '- check: clock', '- shell: rm -rf /', 'shell', 'exactly one of'],
  ])('%s', (_what, from, to, fragment, message) => {
    const text = edit(base, from, to)
    const error = refusal(text)
    const [, line] = /^x\.yaml:(\d+):\d+$/.exec(error.where ?? '') ?? []
    expect(`${error.message} ${error.hint ?? ''}`).toContain(message)
    if (fragment !== 'log-signer') expect(Number(line)).toBe(lineOf(text, fragment))
    else expect(Number(line)).toBeGreaterThan(0)
  })

  it('names a missing part at the place it is missing from', () => {
    const error = refusal(edit(base, 'tokens: [vault]\n', ''))
    expect(error.message).toContain('tokens: is missing')
    expect(error.where).toMatch(/^x\.yaml:\d+:1$/)
  })

  it('names all faults, the first one first', () => {
    const error = refusal(edit(edit(base, 'of: 3', 'of: x'), 'tokens: [vault]', 'tokens: [V]'))
    expect(error.where).toBe(`x.yaml:${lineOf(base, 'of: 3')}:31`)
    expect(error.hint).toContain(`also x.yaml:${lineOf(base, 'tokens:')}`)
  })

  it('wants to know which token when there are several', () => {
    const error = refusal(edit(base, 'tokens: [vault]', 'tokens: [vault, other]\nlog: vault'))
    expect(error.message).toContain('which token?')
    expect(refusal(edit(base, 'tokens: [vault]', 'tokens: [vault, other]')).message).toContain(
      'log',
    )
  })

  it.each([
    ['', 'empty'],
    ['# nothing\n', 'empty'],
    ['- a\n', 'expected object'],
    ['x', 'expected object'],
  ])('refuses %j', (text, message) => {
    expect(refusal(text).message).toContain(message)
  })

  it('refuses a directive and a file that is too large', () => {
    expect(refusal(`%YAML 1.1\n---\n${base}`).message).toContain('directive')
    expect(refusal(`${base}#${'x'.repeat(300_000)}\n`).message).toContain('too large')
  })
})

describe('readPlan', () => {
  const text = canonicalJson(shippedPlan('wrap-for-distribution').plan)

  it.each<[string, (text: string) => string]>([
    ['a final newline', (plan) => `${plan}\n`],
    ['another order of keys', (plan) => `{"v":1,${plan.slice(1).replace(',"v":1}', '}')}`],
    ['a key twice', (plan) => plan.replace('{"after"', '{"after":[],"after"')],
    ['an unknown key', (plan) => plan.replace('{"after"', '{"aaa":1,"after"')],
    ['another version', (plan) => plan.replace('"v":1}', '"v":2}')],
    ['a left-out default', (plan) => plan.replace('"existing":false,', '')],
    ['an unknown action', (plan) => plan.replace('"key.lock"', '"key.leak"')],
    ['an argument too many', (plan) => plan.replace('"with":{"key"', '"with":{"extra":"x","key"')],
    ['other text', () => 'plan'],
    ['null', () => 'null'],
  ])('refuses %s', (_what, change) => {
    expect(change(text)).not.toBe(text)
    expect(() => readPlan(change(text))).toThrow(ConfigError)
  })

  it('reads what a ceremony wrote', () => {
    expect(readPlan(text)).toEqual(shippedPlan('wrap-for-distribution').plan)
  })
})

describe('the action table', () => {
  const all = Object.entries(ACTIONS).flatMap(([kind, table]) =>
    Object.entries(table).map(([name, spec]) => ({ kind, name, spec })),
  )

  it.each(all)('$kind $name is whole', ({ kind, name, spec }) => {
    expect(actionSpec(kind as 'do', name)).toBe(spec)
    expect(spec.evidence.length).toBeGreaterThan(0)
    expect(spec.standards.length).toBeGreaterThan(0)
    expect(spec.boxes.length).toBeGreaterThan(0)
    const used = `${spec.title} ${spec.activity}`.match(/\{(\w+)\}/g) ?? []
    for (const field of used) expect(spec.with).toContain(field.slice(1, -1))
    for (const field of spec.login) expect(spec.with).toContain(field)
    for (const field of spec.with) expect(Object.keys(REFERENT)).toContain(field)
    // What changes a token is done by `do`, and by people who approve it.
    expect(spec.mutating && kind !== 'do').toBe(false)
    expect(spec.approvers.length > 0).toBe(spec.mutating)
  })

  it('does not know names of the language', () => {
    expect(actionSpec('do', 'constructor')).toBeUndefined()
    expect(actionSpec('check', '__proto__')).toBeUndefined()
  })
})

describe('readOut', () => {
  it('shows 32 bytes as two lines of hexadecimal and four of words', () => {
    const digest = sha256(utf8('keyrite'))
    const { hex, hexLines, wordLines } = readOut(digest)
    expect(hexLines.join('').replaceAll(' ', '')).toBe(hex)
    expect(hexLines).toHaveLength(2)
    expect(wordLines).toHaveLength(4)
    expect(fromPgpWords(wordLines.join(' ').split(' '))).toEqual(digest)
  })
})
