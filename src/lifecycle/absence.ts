/**
 * Looks for a key from a process of its own: a module's caches and handles of the running process cannot
 * hide an object that is still there. The PIN goes through a pipe; it never stands in argv or environment.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { concat, fromUtf8, utf8, wipe } from '../bytes.ts'
import { TokenError } from '../errors.ts'

/** What the fresh process is told; the PIN follows the JSON line as raw bytes. */
export interface AbsenceQuery {
  readonly modulePath: string
  readonly tokenUri: string
  /** CKA_ID, hex. */
  readonly id: string
  readonly label: string
}

/** Objects the fresh process found. */
export interface AbsenceAnswer {
  readonly byId: number
  readonly byLabel: number
}

const PROBE = fileURLToPath(
  new URL(`./absence-probe${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
)

/** Counts objects with the id and with the label, seen by a fresh, logged-in process. */
export async function findFromFreshProcess(
  query: AbsenceQuery,
  pin: Uint8Array,
): Promise<AbsenceAnswer> {
  const child = spawn(process.execPath, [PROBE], { stdio: ['pipe', 'pipe', 'pipe'] })
  const input = concat(utf8(`${JSON.stringify(query)}\n`), pin)
  const chunks: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  await new Promise<void>((resolve) => child.stdin.end(input, resolve))
  wipe(input)
  const status = await closed
  if (status !== 0) {
    throw new TokenError('MODULE_CRASHED', 'the fresh process could not look for the key', {
      where: query.tokenUri,
      got: fromUtf8(new Uint8Array(Buffer.concat(errors))).trim() || `exit status ${status}`,
    })
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as AbsenceAnswer
}
