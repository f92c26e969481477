/** Verification of a log directory: reads only, takes no lock, trusts nothing in the directory. */
import { ConfigError } from '../errors.ts'
import type { SignedCheckpoint } from './checkpoint.ts'
import { layout } from './layout.ts'
import { replay } from './replay.ts'
import { broken } from './requirements.ts'
import type { Tree } from './tree.ts'
import type { LogEntry, VerifiedLog, VerifyLogOptions } from './types.ts'

/** A verified log with what proofs are made of. */
export interface VerifiedTree {
  readonly head: SignedCheckpoint
  readonly tree: Tree
  /** All entries, those beyond the signed size included. */
  readonly entries: readonly LogEntry[]
}

/** Reads and verifies; see {@link verifyLog} for what it throws. */
export async function readVerified(dir: string, options: VerifyLogOptions): Promise<VerifiedTree> {
  if (options.verifiers.length === 0) {
    throw new ConfigError('a log cannot be verified without a key', { where: 'verifiers' })
  }
  const entries: LogEntry[] = []
  const { tree, head, torn, tornHistory } = await replay(layout(dir), {
    ...options,
    purpose: 'verify',
    onEntry: (entry) => entries.push(entry),
  })
  const cut = torn ?? tornHistory
  if (cut !== undefined) {
    throw broken('CHAIN_BROKEN', 'LOG-LINE-1', 'log ends in the middle of a line', {
      where: cut.path,
      ...(torn ? { entry: torn.index } : {}),
      hint: 'if the writer crashed, open the log for writing once: that sets the torn line aside',
    })
  }
  if (head === undefined) {
    throw broken('SIGNATURE_INVALID', 'LOG-SIG-2', 'log has no checkpoint', {
      where: layout(dir).checkpoint,
      expected: 'a signed checkpoint',
    })
  }
  return { head, tree, entries }
}

/**
 * Verifies a log: signatures, every line and its chain, and the recomputed root at every checkpoint.
 * Throws VerificationError, whose `requirement` is the rule of `LOG_REQUIREMENTS` that does not hold and
 * whose `entry` is the first bad line where that can be told:
 * `SIGNATURE_INVALID`, `SIGNER_NOT_TRUSTED`, `ORIGIN_MISMATCH`, `CHAIN_BROKEN`, `LOG_TRUNCATED`,
 * `ROOT_MISMATCH`, `LOG_FORKED`.
 */
export async function verifyLog(dir: string, options: VerifyLogOptions): Promise<VerifiedLog> {
  const { head, entries } = await readVerified(dir, options)
  return {
    origin: head.origin,
    entries: entries.slice(0, head.size),
    size: head.size,
    root: head.root,
    signedBy: head.signedBy,
    unsignedTail: entries.length - head.size,
    note: head.note,
  }
}
