/**
 * Verification of a bundle: offline, without an HSM, without writing. Every requirement of the table is
 * answered on its own; one that fails makes the whole fail. What can be anchored outside the bundle (the
 * people's keys, the log key, the ceremony before) is the caller's to give.
 */
import { sha256, toHex } from '../bytes.ts'
import { FormatError, type VerificationErrorCode } from '../errors.ts'
import { parseVerifierKey } from '../note.ts'
import { parseAllowedSigners } from '../quorum/index.ts'
import { BUNDLE, type Bundle, parseSums, readBundle } from './bundle.ts'
import { derivedFiles } from './bundle-documents.ts'
import { REQUIREMENT_IDS, type RequirementId } from './requirements.ts'
import { SOFTWARE } from './software.ts'
import { type Mode, type Verification, examine, refute } from './verify-context.ts'
import type { PreviousFacts } from './verify-identity.ts'
import type { ReadLog } from './verify-log.ts'
import { type VerifyOptions, complete, failedWith, readTranscript } from './verify-reading.ts'

export type { Finding, Mode, Verification } from './verify-context.ts'
export type { VerifyOptions } from './verify-reading.ts'

/** Requirements about the files around the transcript; the report, being one of them, leaves them out. */
const FILE_IDS: readonly RequirementId[] = ['BUNDLE-SUMS-1', 'BUNDLE-DOCS-1']

/** BUNDLE-SUMS-1: what `sha256sum -c SHA256SUMS` shows, and that nothing else is there. */
async function checkSums(bundle: Bundle): Promise<string> {
  const sums = parseSums(await bundle.text(BUNDLE.sums))
  for (const { path } of bundle.files) {
    if (path === BUNDLE.sums) continue
    const [expected, got] = [sums.get(path), toHex(sha256(await bundle.read(path)))]
    if (expected === undefined) refute('file is not listed', { got: path })
    if (expected !== got) refute(`file ${path} was changed`, { expected, got })
  }
  const missing = [...sums.keys()].find((path) => !bundle.has(path))
  if (missing !== undefined) refute('listed file is missing', { expected: missing })
  return `${sums.size} files`
}

/** Versions of keyrite that ran the ceremony, as its transcript records them. */
const makersOf = ({ transcript }: Verification): string[] =>
  (transcript?.entries ?? []).flatMap((entry) =>
    entry.type === 'ceremony.open' || entry.type === 'ceremony.resume'
      ? [entry.software.keyrite]
      : [],
  )

/** BUNDLE-DOCS-1: what is derived from the transcript is derived again and compared. */
async function checkDocuments(bundle: Bundle, own: Verification, log: ReadLog | undefined) {
  const maker = /<meta name="generator" content="keyrite ([^"]+)"/.exec(
    bundle.has(BUNDLE.report) ? await bundle.text(BUNDLE.report) : '',
  )?.[1]
  const words: readonly string[] = [BUNDLE.report, BUNDLE.guide, BUNDLE.program]
  const otherMaker = maker !== undefined && maker !== SOFTWARE.keyrite
  // Only the transcript can excuse: what the report says of itself, whoever edits it can write.
  if (otherMaker && !makersOf(own).includes(maker)) {
    refute('report.html names a keyrite that is not in the transcript', {
      expected: [SOFTWARE.keyrite, ...makersOf(own)].join(' or '),
      got: maker,
    })
  }
  for (const [path, content] of await derivedFiles(bundle, own, log)) {
    if (otherMaker && words.includes(path)) continue
    const found = bundle.has(path) ? await bundle.read(path) : undefined
    if (found === undefined) refute(`${path} is missing`)
    if (Buffer.compare(found, content) !== 0)
      refute(`${path} does not say what the transcript says`)
  }
  return otherMaker
    ? {
        detail: 'keys and checkpoint are those of the transcript',
        warnings: [
          `Report, guide and program say they were made by keyrite ${maker}; this is ${SOFTWARE.keyrite}, so they were not compared.`,
        ],
      }
    : 'each was made again and is the same'
}

/** The mode a bundle claims for itself, from the origin of its log. */
async function ownMode(bundle: Bundle): Promise<Mode> {
  const path = `${BUNDLE.log}/origin`
  const origin = bundle.has(path) ? Buffer.from(await bundle.read(path)) : Buffer.alloc(0)
  return origin.includes('/rehearsal/') ? 'rehearsal' : 'production'
}

/** What a bundle says of itself, trusting its own keys: the content of its report. */
export async function inspectBundle(
  bundle: Bundle,
): Promise<{ readonly verification: Verification; readonly log: ReadLog | undefined }> {
  const reading = await readTranscript(bundle, { mode: await ownMode(bundle) }, undefined)
  const ids = REQUIREMENT_IDS.filter((id) => !FILE_IDS.includes(id))
  return { verification: complete(reading, ids), log: reading.log }
}

async function previousFacts(options: VerifyOptions): Promise<PreviousFacts | undefined> {
  const { previous, mode, roster, vkey } = options
  if (previous === undefined) return undefined
  const { ok, root, ledger } = await verify(previous, {
    ...(mode === undefined ? {} : { mode }),
    ...(roster === undefined ? {} : { roster }),
    ...(vkey === undefined ? {} : { vkey }),
  })
  return { ok, root, ledger }
}

/**
 * Verifies a bundle. Answers every requirement; throws only ConfigError, for a directory that is not there
 * or an option that is not what it should be. `errors` holds a VerificationError per failed requirement.
 */
export async function verify(dir: string, options: VerifyOptions = {}): Promise<Verification> {
  if (options.vkey !== undefined) parseVerifierKey(options.vkey.trim())
  if (options.roster !== undefined) parseAllowedSigners(options.roster, 'own roster')
  let bundle: Bundle
  try {
    bundle = await readBundle(dir)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const finding = await failedWith('BUNDLE-SUMS-1', error)
    const none = { log: undefined, transcript: undefined, signedBy: [] }
    return complete({ findings: [finding], ...none }, REQUIREMENT_IDS)
  }
  const reading = await readTranscript(bundle, options, await previousFacts(options))
  const { verification, log } = await inspectBundle(bundle)
  reading.findings.push(
    await examine('BUNDLE-SUMS-1', () => checkSums(bundle)),
    await examine('BUNDLE-DOCS-1', () => checkDocuments(bundle, verification, log)),
  )
  return complete(reading, REQUIREMENT_IDS)
}

/** For callers that want an exception: throws the first failed requirement. */
export function requireVerified({ errors }: Verification): void {
  const [first] = errors
  if (first !== undefined) throw first
}

/** Code of the failed requirement, if it failed. */
export const failureOf = (
  { findings }: Verification,
  id: RequirementId,
): VerificationErrorCode | undefined => findings.find((finding) => finding.id === id)?.code
