/**
 * Files of a bundle that follow from the others: checkpoint and key in the forms stock tools read, the
 * guide, the verifier program, the report. Making them again gives the same bytes.
 */
import { createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { equal, fromUtf8, utf8 } from '../bytes.ts'
import { type NoteVerifier, formatVerifierKey, parseNote, parseVerifierKey } from '../note.ts'
import { BUNDLE, type Bundle } from './bundle.ts'
import { reportHtml } from './report.ts'
import type { Verification } from './verify-context.ts'
import { type ReadLog, checkpointBody } from './verify-log.ts'
import { verifyGuide } from './verify-md.ts'

/** The second implementation, in Go: one file, tested with the audit log and shipped with every bundle. */
const PROGRAM = new URL('../../src/audit/verify.go', import.meta.url)

/** The log key in the forms of a bundle. */
export function keyFiles(vkey: NoteVerifier): Map<string, Uint8Array> {
  const key = createPublicKey({ key: Buffer.from(vkey.publicKey), format: 'der', type: 'spki' })
  return new Map([
    [BUNDLE.vkey, utf8(`${formatVerifierKey(vkey)}\n`)],
    [BUNDLE.hsmKey, utf8(key.export({ format: 'pem', type: 'spki' }) as string)],
  ])
}

/** Raw signature of the log key on a checkpoint note. */
function rawSignature(note: Uint8Array, { name, keyId }: NoteVerifier): Uint8Array | undefined {
  return parseNote(note).signatures.find(
    (signature) => signature.name === name && equal(signature.keyId, keyId),
  )?.signature
}

async function checkpointFiles(
  bundle: Bundle,
  log: ReadLog,
  vkey: NoteVerifier | undefined,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>([[BUNDLE.body, utf8(checkpointBody(log))]])
  const source = `${BUNDLE.log}/checkpoint`
  if (!bundle.has(source)) return files
  const note = await bundle.read(source)
  files.set(BUNDLE.checkpoint, note)
  const raw = vkey === undefined ? undefined : rawSignature(note, vkey)
  if (raw !== undefined && log.hsmSize === log.size) files.set(BUNDLE.signature, raw)
  return files
}

async function vkeyOf(bundle: Bundle): Promise<NoteVerifier | undefined> {
  return bundle.has(BUNDLE.vkey)
    ? parseVerifierKey((await bundle.text(BUNDLE.vkey)).trim())
    : undefined
}

async function guide(
  bundle: Bundle,
  { transcript, signedBy, mode }: Verification,
  log: ReadLog,
  vkey: NoteVerifier | undefined,
): Promise<string> {
  const people = transcript?.open.people ?? []
  const last = log.lines.at(-1) as { readonly time?: string } | undefined
  return verifyGuide({
    title: transcript?.plan.title ?? 'the plan is not readable',
    origin: log.origin,
    mode: mode ?? (log.origin.includes('/rehearsal/') ? 'rehearsal' : 'production'),
    size: log.size,
    root: log.root,
    hsmSize: log.hsmSize,
    algorithm: vkey?.algorithm,
    time: transcript?.at.toISOString() ?? last?.time ?? '',
    roster: fromUtf8(await bundle.read(BUNDLE.roster), BUNDLE.roster),
    keyFiles: [...(vkey === undefined ? [] : keyFiles(vkey))].map(([path, bytes]) => ({
      path,
      text: fromUtf8(bytes, path),
    })),
    signers: people.filter(({ id }) => signedBy.includes(id)),
  })
}

/**
 * All derived files and their content. `verification` is what the bundle says of itself. Throws FormatError
 * when a source of theirs is missing.
 */
export async function derivedFiles(
  bundle: Bundle,
  verification: Verification,
  log: ReadLog | undefined,
): Promise<Map<string, Uint8Array>> {
  const vkey = await vkeyOf(bundle)
  const files = new Map<string, Uint8Array>(vkey === undefined ? [] : keyFiles(vkey))
  files.set(BUNDLE.program, new Uint8Array(await readFile(PROGRAM)))
  files.set(BUNDLE.report, utf8(reportHtml(verification)))
  if (log === undefined) return files
  for (const [path, content] of await checkpointFiles(bundle, log, vkey)) files.set(path, content)
  files.set(BUNDLE.guide, utf8(await guide(bundle, verification, log, vkey)))
  return files
}
