/**
 * The room: how a running ceremony talks to the people in it. The terminal, a scripted cast and a test
 * are three implementations of the same port; the engine never reads a keyboard or prints.
 */
import type { SshSigner } from '../quorum/index.ts'

/** Roles a person can hold (plan vocabulary). */
export type Role = 'administrator' | 'custodian' | 'security-officer' | 'witness'

/** A person named in the binding file. */
export interface Person {
  /** Short id used in plans, shares and signatures' file names, e.g. `alice`. */
  readonly id: string
  readonly name: string
  /** Principal in `allowed_signers`, e.g. `alice@keyrite.example`. */
  readonly principal: string
  readonly roles: readonly Role[]
}

/** A step as shown to people. */
export interface StepView {
  readonly id: string
  /** 1-based. */
  readonly number: number
  readonly total: number
  readonly kind: 'say' | 'check' | 'approve' | 'do' | 'record' | 'attest'
  readonly title: string
}

/** How a step ended. */
export type StepOutcome = 'done' | 'failed' | 'already-done'

/** What the engine asks of people and shows to them. A refusal is thrown as PolicyError CONFIRMATION_REFUSED. */
export interface Room {
  /** Aborted by Ctrl-C or by a person; the engine then writes a truthful abort. */
  readonly signal: AbortSignal
  /** Everybody in the room sees this: digests with their read-out words, values to compare. */
  show(lines: readonly string[]): void
  stepStarted(step: StepView): void
  stepFinished(step: StepView, outcome: StepOutcome): void
  /** A long part of a step: `done` of `total`, and whose turn it is. */
  progress(label: string, done: number, total: number): void
  /** The people of a role who act today: at least `need`, no one twice. */
  choose(role: Role, need: number, candidates: readonly Person[]): Promise<readonly Person[]>
  /** `who` types `phrase` exactly. */
  confirm(who: Person, question: string, phrase: string): Promise<void>
  /** Free text a person reads off the world, e.g. the wall clock. */
  reading(who: Person, question: string): Promise<string>
  /** Secret typed by `who`, not shown; the engine wipes it. `again`: entered twice and compared. */
  passphrase(who: Person, purpose: string, options: { again: boolean }): Promise<Uint8Array>
  /** The signing key of `who`. */
  signer(who: Person): Promise<SshSigner>
}
