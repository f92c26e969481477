/** Facts for page one of the report, drawn from a transcript. */
import type { EvidenceClass } from '../types.ts'
import type { Ledger } from './entries.ts'
import { type Transcript, entriesOf } from './verify-context.ts'
import { isUseless, keksOf } from './verify-keys.ts'

/** A person and what they did. */
export interface PersonFact {
  readonly id: string
  readonly name: string
  readonly principal: string
  readonly roles: readonly string[]
  /** Roles they acted in today. */
  readonly acted: readonly string[]
  readonly approvals: number
  readonly signed: boolean
}

/** Everybody named, in the binding's order. */
export function peopleFacts(transcript: Transcript, signedBy: readonly string[]): PersonFact[] {
  const chosen = entriesOf(transcript, 'people.chosen')
  const approvals = entriesOf(transcript, 'approval')
  return transcript.open.people.map(({ id, name, principal, roles }) => ({
    id,
    name,
    principal,
    roles,
    acted: [...new Set(chosen.filter(({ acting }) => acting.includes(id)).map(({ role }) => role))],
    approvals: approvals.filter(({ intent }) => intent.signer === principal).length,
    signed: signedBy.includes(id),
  }))
}

/** A token as the transcript knows it. */
export interface TokenFact {
  readonly name: string
  readonly label: string
  readonly serial: string
  /** Manufacturer, model and firmware. */
  readonly device: string
  readonly user: string
  readonly so: string
}

const text = (data: unknown, ...names: string[]): string => {
  const record = (data ?? {}) as Readonly<Record<string, unknown>>
  const found = names.map((name) => record[name]).find((value) => typeof value === 'string')
  return typeof found === 'string' ? found : ''
}

const split = (of: Ledger['tokens'][string]['user']): string =>
  of === undefined ? 'not split' : `${of.threshold} of ${of.of}, epoch ${of.epoch}`

/** Tokens of the plan: state at the end, identity as the module reported it. */
export function tokenFacts(transcript: Transcript): TokenFact[] {
  const { plan, binding, ledger } = transcript
  const checks = entriesOf(transcript, 'check').filter(({ name }) => name === 'token.identity')
  return plan.tokens.map((name) => {
    const label = ledger.tokens[name]?.label ?? binding.tokens[name]?.label ?? name
    const data = checks
      .map((check) => check.data)
      .findLast((item) => text(item, 'token') === name || text(item, 'label') === label)
    return {
      name,
      label,
      serial: ledger.tokens[name]?.serial ?? (text(data, 'serial', 'serialNumber') || 'unknown'),
      device: [
        text(data, 'manufacturer', 'manufacturerId'),
        text(data, 'model'),
        text(data, 'firmware', 'firmwareVersion'),
      ]
        .filter((part) => part !== '')
        .join(', '),
      user: split(ledger.tokens[name]?.user),
      so: split(ledger.tokens[name]?.so),
    }
  })
}

/** A key at the end of the ceremony. */
export interface KeyFact {
  readonly name: string
  readonly role: string
  readonly token: string
  readonly id: string
  readonly state: string
  readonly kcv: string
  readonly method: string
  /** Touched by this ceremony, or only known from before. */
  readonly here: boolean
}

/** Keys of the ledger. */
export function keyFacts(transcript: Transcript): KeyFact[] {
  const { ledger, open } = transcript
  return Object.entries(ledger.keys).map(([name, { role, token, id, state, kcv }]) => {
    const before = open.ledger.keys[name]
    const here = before?.id !== id || before.state !== state
    return { name, role, token, id, state, kcv: kcv.value, method: kcv.method, here }
  })
}

/** A wrapped copy and whether it can still be opened. */
export interface CopyFact {
  readonly key: string
  readonly output: string
  readonly sha256: string
  readonly keks: readonly string[]
  readonly useless: boolean
}

/** Wrapped copies of the ledger. */
export const copyFacts = ({ ledger }: Transcript): CopyFact[] =>
  ledger.copies.map((copy) => ({
    key: copy.key,
    output: copy.output,
    sha256: copy.sha256,
    keks: keksOf(copy),
    useless: isUseless(ledger, copy),
  }))

/** What stays behind, in the ceremony's own words, each sentence once. */
export function residuals(transcript: Transcript): string[] {
  const zeroised = entriesOf(transcript, 'check')
    .filter(({ name }) => name === 'key.zeroise')
    .flatMap(({ data }): unknown[] => {
      const list = (data as { residuals?: unknown } | null)?.residuals
      return Array.isArray(list) ? (list as unknown[]) : []
    })
    .filter((item): item is string => typeof item === 'string')
  const aborted = transcript.abort?.residuals ?? []
  return [...new Set([...aborted, ...zeroised])]
}

/** What each evidence class means, for the legend. */
export const EVIDENCE: Readonly<Record<EvidenceClass, string>> = {
  'hsm-enforced': 'the token itself stands in the way',
  'crypto-verified': 'checked with a signature, hash or known answer',
  'module-reported': 'the PKCS#11 module said so',
  'software-enforced': 'keyrite’s code enforced it',
  'human-asserted': 'a person said so',
}
