/**
 * What one running ceremony knows: the reviewed plan, the site, the room, the transcript, and the tokens
 * that are logged in. Actions receive this and nothing else.
 */
import type { Hsm, Token } from '../pkcs11/index.ts'
import type { Clock, Random } from '../ports.ts'
import type { AllowedSigners } from '../quorum/index.ts'
import { wipe } from '../bytes.ts'
import type { Binding } from './binding.ts'
import type { BundlePaths } from './bundle.ts'
import type { Ledger } from './entries.ts'
import type { CeremonyIdentity } from './identity.ts'
import type { Journal } from './journal.ts'
import type { Plan } from './plan.ts'
import type { Policy } from './policy.ts'
import type { Person, Role, Room } from './room.ts'
import { type Observe, type WriteAhead, writeAhead } from './write-ahead.ts'

/** A token that the quorum has opened. */
export interface OpenToken {
  readonly token: Token
  /** The PIN secret, 32 bytes; wiped at logout. */
  readonly secret: Uint8Array
  /** Epoch of the shares it was combined from. */
  readonly epoch: number
}

/** One running ceremony. */
export interface Ceremony {
  readonly plan: Plan
  readonly binding: Binding
  readonly policy: Policy
  readonly roster: AllowedSigners
  readonly identity: CeremonyIdentity
  readonly paths: BundlePaths
  readonly room: Room
  readonly hsm: Hsm
  readonly clock: Clock
  readonly random: Random
  readonly journal: Journal
  readonly wal: WriteAhead
  readonly observe: Observe
  /** State as it will be recorded at the end of the step. */
  readonly ledger: Ledger
  readonly open: Map<string, OpenToken>
  /** Who acts today, by role; filled when first needed. */
  readonly acting: Map<Role, readonly Person[]>
  /** Signatures given in the ceremony before. */
  readonly spent: ReadonlySet<string>
}

/** What a ceremony starts with, first or resumed: nothing open, nobody chosen, every call written ahead. */
export const beginCeremony = (known: Omit<Ceremony, 'wal' | 'open' | 'acting'>): Ceremony => ({
  ...known,
  wal: writeAhead(known.journal, known.observe),
  open: new Map(),
  acting: new Map(),
})

/** Everyone the binding names, in its order. */
export const people = (ceremony: Pick<Ceremony, 'binding'>): Person[] =>
  Object.entries(ceremony.binding.people).map(([id, { name, principal, roles }]) => ({
    id,
    name,
    principal,
    roles,
  }))

/** Everyone who holds a role. */
export const holders = (ceremony: Pick<Ceremony, 'binding'>, role: Role): Person[] =>
  people(ceremony).filter((person) => person.roles.includes(role))

/** RFC 7512 URI of a plan's token: label and, once known, serial. */
export function tokenUri(ceremony: Ceremony, name: string): string {
  const known = ceremony.ledger.tokens[name]
  const bound = ceremony.binding.tokens[name]
  const serial = known?.serial ?? (bound?.serial === 'blank' ? undefined : bound?.serial)
  const label = known?.label ?? bound?.label ?? name
  const at = serial === undefined ? '' : `;serial=${encodeURIComponent(serial)}`
  return `pkcs11:token=${encodeURIComponent(label)}${at}`
}

/** Logs out and wipes what was kept for a token. */
export async function closeToken(ceremony: Ceremony, name: string): Promise<void> {
  const held = ceremony.open.get(name)
  if (held === undefined) return
  ceremony.open.delete(name)
  wipe(held.secret)
  await held.token[Symbol.asyncDispose]()
}
