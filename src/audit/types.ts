/** The append-only log: JSONL segments, RFC 6962 tree, C2SP checkpoints. */
import type { Clock } from '../ports.ts'
import type { NoteSigner, NoteVerifier } from '../note.ts'
import type { Json, JsonObject } from '../types.ts'

/** What a checkpoint states (C2SP tlog-checkpoint). */
export interface Checkpoint {
  readonly origin: string
  /** Number of entries. */
  readonly size: number
  /** RFC 6962 root over the first `size` entries. */
  readonly root: Uint8Array
}

/** A line as stored: the caller's fields plus `v`, `seq`, `time` and `prev`. */
export type LogEntry = JsonObject & {
  readonly v: 1
  readonly seq: number
  /** RFC 3339, UTC, milliseconds. Wall time is a statement, never an order. */
  readonly time: string
  /** Leaf hash (hex) of the line before; of the first line: SHA-256 of the origin. */
  readonly prev: string
  readonly type: string
}

/** Where an entry went. */
export interface Appended {
  readonly index: number
  /** RFC 6962 leaf hash. */
  readonly leafHash: Uint8Array
}

/** One writer per directory. Every error of write or fsync is fatal for the writer. */
export interface Log extends AsyncDisposable {
  readonly origin: string
  readonly size: number
  /** RFC 6962 root over all entries. */
  root(): Uint8Array
  entries(): readonly LogEntry[]
  /** Resolves when the line is durable (fdatasync). Concurrent calls share one sync. */
  append(fields: { readonly type: string; readonly [key: string]: Json }): Promise<Appended>
  /** Signs (size, root) and replaces `checkpoint` atomically; returns the signed note. */
  checkpoint(signers: readonly NoteSigner[]): Promise<string>
  inclusionProof(index: number, size?: number): Uint8Array[]
  consistencyProof(from: number, to?: number): Uint8Array[]
}

/** Options of `openLog`. */
export interface OpenLogOptions {
  readonly dir: string
  /** C2SP origin line, e.g. `keyrite.example/ceremony/<id>`. */
  readonly origin: string
  readonly clock: Clock
  /** `create` refuses an existing log; `append` refuses a missing one. */
  readonly mode: 'create' | 'append'
  /** Checked against an existing checkpoint at open; at least one must match when given. */
  readonly verifiers?: readonly NoteVerifier[]
  /** Size and root known from outside the directory, see {@link VerifyLogOptions}. */
  readonly anchor?: Pick<Checkpoint, 'size' | 'root'>
}

/** Options of `verifyLog`. */
export interface VerifyLogOptions {
  /** Trusted keys; at least one must have signed, and no signature by any of them may be bad. */
  readonly verifiers: readonly NoteVerifier[]
  /** The origin the log must have. */
  readonly origin?: string
  /**
   * A size and root of this log known from elsewhere (minutes, SIEM, a token). The log must contain it:
   * the only defence against an old but consistent copy of the whole directory.
   */
  readonly anchor?: Pick<Checkpoint, 'size' | 'root'>
}

/** What `verifyLog` found. */
export interface VerifiedLog {
  readonly origin: string
  readonly entries: readonly LogEntry[]
  readonly size: number
  readonly root: Uint8Array
  /** Names of the verifiers whose signature on the checkpoint is good. */
  readonly signedBy: readonly string[]
  /** Lines after the signed size. `entries`, `size` and `root` leave them out. */
  readonly unsignedTail: number
  /** The signed note the claims rest on. */
  readonly note: string
}
