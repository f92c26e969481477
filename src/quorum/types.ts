/** Split PINs, share files, receipts and signed approvals. */
import type { JsonObject } from '../types.ts'

/** Which PIN a share belongs to. */
export type PinKind = 'user' | 'so'

/** What a share is a share of; public. */
export interface ShareScope {
  readonly tokenLabel: string
  readonly tokenSerial: string
  readonly pin: PinKind
  /** 1 for the first split, +1 for each re-split. */
  readonly epoch: number
  readonly threshold: number
  readonly of: number
}

/** One custodian's share. `value` and `salt` are secret; wipe after use. */
export interface Share extends ShareScope {
  readonly holder: string
  /** 1-based position among the holders. */
  readonly index: number
  readonly value: Uint8Array
  readonly salt: Uint8Array
}

/** Public, logged: lets a bad share be named without learning anything about it. */
export interface Commitments extends ShareScope {
  readonly shares: readonly {
    readonly index: number
    readonly holder: string
    /** SHA-256 (hex) over a domain label, the scope, the index, the salt and the value. */
    readonly commitment: string
  }[]
}

/** How a share file is locked. `workFactor` is log2 N of scrypt (age default 18). */
export type ShareLock =
  { readonly passphrase: Uint8Array; readonly workFactor?: number } | { readonly recipient: string }

/** How a share file is opened. */
export type ShareKey = { readonly passphrase: Uint8Array } | { readonly identity: Uint8Array }

/** Namespaces of OpenSSH signatures (PROTOCOL.sshsig). */
export type SshsigNamespace = 'keyrite-approval' | 'keyrite-checkpoint'

/** A person's own signing key: key file, ssh-agent, FIDO2 or PKCS#11. */
export interface SshSigner {
  /** The principal in `allowed_signers`. */
  readonly principal: string
  /** Armored SSHSIG over the message. */
  sign(namespace: SshsigNamespace, message: Uint8Array): Promise<string>
}

/** What is agreed to: everything in an intent that does not depend on the person who signs. */
export interface IntentTopic {
  /** Ceremony id (hex): binds plan, binding, mode and predecessor. */
  readonly ceremony: string
  readonly mode: 'production' | 'rehearsal'
  readonly planSha256: string
  readonly bindingSha256: string
  readonly step: string
  /** What is approved, e.g. `plan`, `key.generate`, `share.receipt`. */
  readonly action: string
  readonly argsSha256: string
  /** The log as the signer saw it. */
  readonly logOrigin: string
  readonly logSize: number
  readonly logRoot: string
}

/** An intent without its constant fields. */
export interface IntentFields extends IntentTopic {
  /** RFC 3339 UTC. */
  readonly expires: string
  /** Principal who signs. */
  readonly signer: string
  /** 16 random bytes, hex. */
  readonly nonce: string
}

/** What a custodian signs before something happens. JSON, RFC 8785 form. */
export type Intent = JsonObject & IntentFields & { readonly v: 1; readonly type: 'keyrite-intent' }

/** A signed intent as it is logged. */
export interface SignedIntent {
  readonly intent: Intent
  readonly signature: string
}
