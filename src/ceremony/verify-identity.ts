/**
 * Checks of what the ceremony was: mode, id, the reviewed documents, the people, the ceremony before.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { assertDistinct, fingerprintsOf } from '../quorum/index.ts'
import type { Json } from '../types.ts'
import { nameCeremony } from './identity.ts'
import type { Role } from './room.ts'
import {
  type Answer,
  type Mode,
  type Transcript,
  ceremonyEntries,
  count,
  entriesOf,
  need,
  refute,
} from './verify-context.ts'

const ORIGIN = /^([^/\s]+)\/(ceremony|rehearsal)\/(\S+)$/u

const digestOf = (text: string): string => toHex(sha256(utf8(text)))

const sameJson = (a: unknown, b: unknown): boolean =>
  canonicalJson(a as Json) === canonicalJson(b as Json)

/** CER-MODE-1. A rehearsal shown as production is REHEARSAL_AS_PRODUCTION, wherever the word was changed. */
export function checkMode(transcript: Transcript, expected: Mode): Answer {
  const { log, binding } = transcript
  const kind = ORIGIN.exec(log.origin)?.[2]
  if (kind === undefined) {
    refute('origin names no mode', { expected: '<organisation>/ceremony/<id>', got: log.origin })
  }
  const claims: { readonly where: string; readonly mode: Mode; readonly entry?: number }[] = [
    { where: 'the origin', mode: kind === 'ceremony' ? 'production' : 'rehearsal' },
    { where: 'the binding', mode: binding.mode },
  ]
  for (const entry of ceremonyEntries(transcript)) {
    claims.push({ where: `entry ${entry.seq}`, mode: entry.mode, entry: entry.seq })
    if (entry.type === 'approval' || entry.type === 'receipt') {
      const where = `what was signed in entry ${entry.seq}`
      claims.push({ where, mode: entry.intent.mode, entry: entry.seq })
    }
  }
  const other = claims.find(({ mode }) => mode !== expected)
  if (other !== undefined) {
    refute(
      expected === 'production'
        ? `this is a rehearsal: ${other.where} says so`
        : `this is no rehearsal: ${other.where} says ${other.mode}`,
      {
        code: expected === 'production' ? 'REHEARSAL_AS_PRODUCTION' : 'TRANSCRIPT_INVALID',
        expected,
        got: other.mode,
        ...(other.entry === undefined ? {} : { entry: other.entry }),
      },
    )
  }
  return `${expected}, in ${count(claims.length, 'place')}`
}

/** CER-ID-1: SHA-256 over the canonical JSON of plan digest, binding digest, mode and predecessor. */
export function checkId(transcript: Transcript): Answer {
  const { open, log, plan, binding } = transcript
  const { id, origin } = nameCeremony(binding.organisation, plan.ceremony, open)
  const stray = ceremonyEntries(transcript).find((entry) => entry.ceremony !== id)
  if (stray !== undefined) {
    refute('entry belongs to another ceremony', {
      entry: stray.seq,
      expected: id,
      got: stray.ceremony,
    })
  }
  if (log.origin !== origin) {
    refute('origin is not the one of this ceremony', { expected: origin, got: log.origin })
  }
  return `${id.slice(0, 16)}… in every entry`
}

/** CER-PLAN-1. */
export function checkPlan({ open, planText, policyText, plan }: Transcript): Answer {
  const documents = [
    { name: 'plan.json', text: planText, want: open.planSha256 },
    { name: 'policy.json', text: policyText, want: open.policySha256 },
  ]
  for (const { name, text, want } of documents) {
    if (digestOf(text) !== want) {
      refute(`${name} is not the reviewed one`, {
        entry: open.seq,
        expected: want,
        got: digestOf(text),
      })
    }
  }
  return `${plan.ceremony}, ${count(plan.steps.length, 'step')}`
}

/** CER-BINDING-1. */
export function checkBindingDigest(transcript: Transcript): Answer {
  const { open, bindingText, binding, ledger } = transcript
  if (digestOf(bindingText) !== open.bindingSha256) {
    refute('binding.json is not the reviewed one', {
      entry: open.seq,
      expected: open.bindingSha256,
      got: digestOf(bindingText),
    })
  }
  const modules = [
    { seq: open.seq, sha256: open.module.sha256 },
    ...entriesOf(transcript, 'ceremony.resume').map(({ seq, moduleSha256 }) => ({
      seq,
      sha256: moduleSha256,
    })),
  ]
  const strange = modules.find((module) => module.sha256 !== binding.module.sha256)
  if (strange !== undefined) {
    refute('another PKCS#11 module file was loaded', {
      entry: strange.seq,
      expected: binding.module.sha256,
      got: strange.sha256,
    })
  }
  for (const [name, { label, serial }] of Object.entries(ledger.tokens)) {
    const bound = binding.tokens[name]
    if (bound === undefined) continue
    if (bound.label !== label || (bound.serial !== 'blank' && bound.serial !== serial)) {
      refute(`token ${name} is not the bound one`, {
        expected: `${bound.label}, serial ${bound.serial}`,
        got: `${label}, serial ${serial}`,
      })
    }
  }
  return `module ${binding.module.sha256.slice(0, 16)}…, ${count(Object.keys(binding.tokens).length, 'token')}`
}

/** What is known of the bundle before this one, when the verifier has it. */
export interface PreviousFacts {
  readonly ok: boolean
  readonly root: Uint8Array
  readonly ledger: unknown
}

/** CER-PREVIOUS-1. */
export function checkPrevious(transcript: Transcript, previous: PreviousFacts | undefined): Answer {
  const { open, plan } = transcript
  const planned = plan.previous.replace(/^sha256:/, '')
  const fits = planned === 'required' ? open.previous !== 'genesis' : planned === open.previous
  if (!fits) {
    refute('the ceremony does not continue the one its plan names', {
      entry: open.seq,
      expected: plan.previous,
      got: open.previous,
    })
  }
  if (open.previous === 'genesis') {
    const { tokens, keys, copies, logKeys } = open.ledger
    const known = [tokens, keys, copies, logKeys].flatMap((part) => Object.keys(part))
    if (known.length > 0) {
      refute('a first ceremony knows things from before', {
        entry: open.seq,
        expected: 'an empty state',
        got: known.join(', '),
      })
    }
    return 'the first of its line; nothing was known before'
  }
  if (previous === undefined) {
    return {
      detail: `continues the transcript with root ${open.previous.slice(0, 16)}…, which was not given`,
      evidence: 'software-enforced',
      warnings: [
        'The transcript before this one was not given, so what the ceremony says it started from was not compared.',
      ],
    }
  }
  if (!previous.ok) refute('the transcript before this one does not verify')
  if (toHex(previous.root) !== open.previous) {
    refute('another transcript came before this one', {
      code: 'LOG_FORKED',
      entry: open.seq,
      expected: open.previous,
      got: toHex(previous.root),
    })
  }
  if (!sameJson(previous.ledger, open.ledger)) {
    refute('the state at the start is not the state the ceremony before ended with', {
      entry: open.seq,
    })
  }
  return `continues root ${open.previous.slice(0, 16)}…, same state`
}

/** Roles nobody may hold together: dual control would be one person's. */
const APART: readonly (readonly [Role, Role])[] = [
  ['administrator', 'custodian'],
  ['security-officer', 'custodian'],
]

/** Canonical JSON has lost the order in which the binding's author wrote the people. */
const byId = (a: { readonly id: string }, b: { readonly id: string }): number =>
  a.id < b.id ? -1 : 1

/** CER-PEOPLE-1. */
export function checkPeople(transcript: Transcript): Answer {
  const { open, binding, plan, roster, rosterText } = transcript
  const people = Object.entries(binding.people).map(([id, { name, principal, roles }]) => ({
    id,
    name,
    principal,
    roles: [...roles],
  }))
  if (!sameJson(people.sort(byId), [...open.people].sort(byId))) {
    refute('the people are not those of the binding', { entry: open.seq })
  }
  if (digestOf(rosterText) !== open.rosterSha256 || open.rosterSha256 !== binding.roster.sha256) {
    refute('allowed_signers is not the reviewed roster', {
      entry: open.seq,
      expected: binding.roster.sha256,
      got: digestOf(rosterText),
    })
  }
  for (const { id, roles } of people) {
    const clash = APART.find((pair) => pair.every((role) => roles.includes(role)))
    if (clash !== undefined) {
      refute(`${id} is both ${clash.join(' and ')}`, { entry: open.seq, expected: 'two people' })
    }
  }
  const principals = people.map(({ principal }) => principal)
  const double = principals.find((principal, at) => principals.indexOf(principal) !== at)
  if (double !== undefined) refute(`two people sign as ${double}`, { entry: open.seq })
  assertDistinct(
    people.map(({ id, principal }) => ({
      holder: id,
      keyFingerprints: fingerprintsOf(roster, principal),
    })),
    'allowed_signers',
  )
  for (const { seq, role, acting } of entriesOf(transcript, 'people.chosen')) {
    const strange = acting.find(
      (id) => people.find((person) => person.id === id)?.roles.includes(role) !== true,
    )
    if (strange !== undefined)
      refute(`${strange} acted as ${role} without that role`, { entry: seq })
    const different = new Set(acting).size
    if (different !== acting.length || different < need(transcript, role)) {
      refute(`too few different people acted as ${role}`, {
        entry: seq,
        expected: `${need(transcript, role)} different people`,
        got: acting.join(', '),
      })
    }
  }
  const held = (role: Role): number => people.filter(({ roles }) => roles.includes(role)).length
  for (const role of ['custodian', 'security-officer'] as const) {
    const of = plan.roles[role]?.of
    if (of !== undefined && held(role) !== of) {
      refute(`${held(role)} people hold the role ${role}`, { expected: String(of) })
    }
  }
  return `${people.length} people, no key in two hands`
}
