/** The entries of an open log: those of the last segment in memory, all others read when asked for. */
import { join } from 'node:path'

import {
  SEGMENT_HEIGHT,
  SEGMENT_LINES,
  loadSegment,
  parseEntry,
  readLines,
  segmentName,
} from './segment.ts'
import type { Tree } from './tree.ts'
import type { LogEntry } from './types.ts'

/** See {@link createEntryStore}. */
export interface EntryStore {
  push(entry: LogEntry): void
  /** All entries, oldest first; throws VerificationError when a segment on disk has changed. */
  all(tree: Tree): LogEntry[]
}

function readSegment(directory: string, first: number, tree: Tree): LogEntry[] {
  loadSegment(directory, first, tree.node(SEGMENT_HEIGHT, first / SEGMENT_LINES))
  const entries: LogEntry[] = []
  for (const lines of readLines(join(directory, segmentName(first)))) {
    for (const line of lines) entries.push(parseEntry(line, first + entries.length).entry)
  }
  return entries
}

/** A store over the segments in `directory`; entries are pushed in order from index 0. */
export function createEntryStore(directory: string): EntryStore {
  let recent: LogEntry[] = []
  let firstRecent = 0
  return {
    push(entry) {
      if (entry.seq % SEGMENT_LINES === 0) {
        recent = []
        firstRecent = entry.seq
      }
      recent.push(entry)
    },
    all(tree) {
      let entries: LogEntry[] = []
      for (let first = 0; first < firstRecent; first += SEGMENT_LINES) {
        entries = entries.concat(readSegment(directory, first, tree))
      }
      return entries.concat(recent)
    },
  }
}
