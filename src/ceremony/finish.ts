/** Finishing a bundle: everything that follows from the transcript is written beside it, then summed up. */
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { utf8 } from '../bytes.ts'
import { StorageError } from '../errors.ts'
import { parseVerifierKey } from '../note.ts'
import { BUNDLE, readBundle, removeTemporaries, sumsOf, writeFileDurable } from './bundle.ts'
import { derivedFiles, keyFiles } from './bundle-documents.ts'
import { inspectBundle } from './verify.ts'

/** Replaces a file unless it says the same already. */
async function put(dir: string, path: string, content: Uint8Array): Promise<void> {
  const found = await readFile(join(dir, path)).catch(() => undefined)
  if (found !== undefined && Buffer.compare(found, content) === 0) return
  await writeFileDurable(join(dir, path), content, { replace: true })
}

/**
 * Writes checkpoint copy, key files, VERIFY.md, verify.go, report.html and SHA256SUMS. May be called
 * again at any time (after a resume, after each signature); the same transcript gives the same files.
 * The log must be closed. `vkey` is the log key; without one that of an earlier call stays. Throws
 * StorageError, FormatError.
 */
export async function finishBundle({
  dir,
  vkey,
}: {
  readonly dir: string
  readonly vkey?: string
}): Promise<void> {
  const lock = join(dir, BUNDLE.log, 'lock')
  if ((await lstat(lock).catch(() => undefined)) !== undefined) {
    throw new StorageError('LOCKED', 'a bundle is finished after its log is closed', {
      where: lock,
    })
  }
  await removeTemporaries(dir)
  if (vkey !== undefined) {
    for (const [path, content] of keyFiles(parseVerifierKey(vkey))) await put(dir, path, content)
  }
  const bundle = await readBundle(dir)
  const { verification, log } = await inspectBundle(bundle)
  for (const [path, content] of await derivedFiles(bundle, verification, log)) {
    await put(dir, path, content)
  }
  await put(dir, BUNDLE.sums, utf8(await sumsOf(await readBundle(dir))))
}
