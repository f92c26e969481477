/**
 * What may be repaired when a log is opened for writing, and how. Only bytes that were never
 * acknowledged are touched: a torn last line beyond the signed size, a torn record of the checkpoint
 * history, a checkpoint file that is one behind the history. Everything else was refused by the replay.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { sha256, toHex, utf8 } from '../bytes.ts'
import { errnoOf } from '../errno.ts'
import {
  makeDirectory,
  readIfPresent,
  replaceFile,
  storageError,
  truncateDurably,
} from '../durable.ts'
import type { Layout } from './layout.ts'
import type { Replay, TornTail } from './replay.ts'
import { segmentName } from './segment.ts'

/** A tail set aside, as the `log.recovered` entry names it. */
export interface Quarantined {
  readonly quarantined: string
  readonly bytes: number
}

/** Moves a torn tail out of its file: first the copy is durable, then the file is cut. */
async function setAside(files: Layout, torn: TornTail, place: string): Promise<void> {
  const name = `${place}-${toHex(sha256(torn.bytes))}.torn`
  await makeDirectory(files.quarantine)
  await replaceFile(join(files.quarantine, name), torn.bytes)
  await truncateDurably(torn.path, torn.offset)
}

/**
 * Repairs what a crash left and returns the tails that no `log.recovered` entry names yet, those of an
 * earlier recovery that was itself interrupted included.
 */
export async function recover(
  files: Layout,
  found: Replay,
  reported: ReadonlySet<string>,
): Promise<Quarantined[]> {
  if (found.torn !== undefined) {
    await setAside(files, found.torn, segmentName(found.torn.index).replace('.jsonl', ''))
  }
  if (found.tornHistory !== undefined) {
    await setAside(files, found.tornHistory, `checkpoint-${found.tornHistory.index + 1}`)
  }
  if (found.head !== undefined && !found.headInPlace) {
    await replaceFile(files.checkpoint, utf8(found.head.note))
  }
  return listUnreported(files, reported)
}

async function listUnreported(
  files: Layout,
  reported: ReadonlySet<string>,
): Promise<Quarantined[]> {
  let names: string[]
  try {
    names = await readdir(files.quarantine)
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return []
    throw storageError(files.quarantine, cause)
  }
  const left: Quarantined[] = []
  for (const name of names.sort()) {
    if (!name.endsWith('.torn') || reported.has(name)) continue
    const content = await readIfPresent(join(files.quarantine, name))
    if (content !== undefined) left.push({ quarantined: name, bytes: content.length })
  }
  return left
}
