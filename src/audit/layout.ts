/** Where a log keeps what, relative to its directory. */
import { join } from 'node:path'

/** Paths of a log's files. */
export const layout = (dir: string) => ({
  dir,
  /** The origin, one line. */
  origin: join(dir, 'origin'),
  /** Segments of lines. */
  segments: join(dir, 'seg'),
  /** The latest signed checkpoint. */
  checkpoint: join(dir, 'checkpoint'),
  /** Every signed checkpoint, each followed by an empty line; append only. */
  history: join(dir, 'checkpoints.log'),
  /** Torn tails, named by place and SHA-256. */
  quarantine: join(dir, 'quarantine'),
  /** Names the process that writes. */
  lock: join(dir, 'lock'),
})

/** See {@link layout}. */
export type Layout = ReturnType<typeof layout>
