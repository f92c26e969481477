/** What `runDoctor` finds out about a module and one of its tokens. Plain JSON. */
import type { EnforcementRow } from './enforcement-row.ts'
import type { KnownAnswer } from './known-answer.ts'
import type { WrapProbe } from './known-answer-wrap.ts'
import type { Profile } from './profile.ts'
import type { ModuleInfo, TokenInfo } from './types.ts'

/** CK_TOKEN_INFO with the numbers that matter to somebody who sets up a service. */
export interface TokenReport extends TokenInfo {
  readonly initialised: boolean
  readonly minPinLength: number
  readonly maxPinLength: number
  /** Null: the token does not say, or sets no limit. */
  readonly maxSessions: number | null
  readonly maxReadWriteSessions: number | null
}

/** CK_SLOT_INFO and the token in it. */
export interface SlotReport {
  readonly slotId: number
  readonly description: string
  readonly manufacturerId: string
  /** `CKF_...` */
  readonly flags: readonly string[]
  readonly hardwareVersion: string
  readonly firmwareVersion: string
  /** Null: the slot is empty, or the module refused C_GetTokenInfo. */
  readonly token: TokenReport | null
}

/** CK_MECHANISM_INFO. */
export interface MechanismReport {
  /** `CKM_...`, `CKM_0x...` when the number has no name. */
  readonly name: string
  readonly type: number
  /** Bits or bytes, depending on the mechanism and the module. */
  readonly minKeySize: number
  readonly maxKeySize: number
  /** Without `CKF_`. */
  readonly flags: readonly string[]
  /** The module lists the mechanism and refuses to describe it: `CKR_...`. */
  readonly refused?: string
}

/** Which token the probes ran on. */
export interface ProbedToken {
  readonly slotId: number
  readonly label: string
  readonly serial: string
  /** false: probed without PIN, with public session objects. */
  readonly loggedIn: boolean
}

/** See the head of this file. */
export interface DoctorReport {
  readonly module: ModuleInfo
  readonly slots: readonly SlotReport[]
  /** Null: nothing below was probed, for the reason in `notProbed`. */
  readonly probed: ProbedToken | null
  readonly notProbed: string | null
  readonly mechanisms: readonly MechanismReport[]
  readonly knownAnswers: readonly KnownAnswer[]
  /** What each number for AES key wrap stands for here. */
  readonly wraps: readonly WrapProbe[]
  /** Attacks on session objects; a module may treat token objects differently. */
  readonly enforcement: readonly EnforcementRow[]
  readonly profile: Profile | null
  /** `clean`, or how the module failed when it was finalised: everything above had been found by then. */
  readonly shutdown: string
}

/** What the child sends: everything but the end of the story. */
export type DoctorFindings = Omit<DoctorReport, 'shutdown'>
