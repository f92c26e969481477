/**
 * `keyrite doctor`: examines a PKCS#11 module in a child process, so that a file which crashes, hangs
 * or ends its process costs an error and nothing else.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { sha256, toHex, wipe } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import type { KeyriteError, TokenErrorCode } from '../errors.ts'
import { ANSWER_FD, encodeRequest } from './doctor-protocol.ts'
import type { DoctorAnswer, DoctorRequest, ErrorAnswer } from './doctor-protocol.ts'
import type { DoctorFindings, DoctorReport } from './doctor-report.ts'
import { moduleFile } from './module-file.ts'
import { pkcs11Error } from './return-value.ts'
import { parseUri } from './uri.ts'

/** What to examine. */
export interface DoctorOptions {
  /** The token to probe; may be left out when there is only one. */
  readonly tokenUri?: string
  /**
   * User PIN, tried once; `null`: the token asks for it itself. Without it public session objects are
   * probed. Not wiped here: the caller owns it.
   */
  readonly pin?: Uint8Array | null
  /** For all of it. Default 120 000. */
  readonly timeoutMs?: number
  /** Configuration string of modules that take one in C_Initialize (NSS, YubiHSM). */
  readonly libraryParameters?: string
}

const TIMEOUT_MS = 120_000
/** How long a module may take to finalise once everything was found. */
const SHUTDOWN_MS = 10_000
/** How much of the child's complaints is kept when it cannot even start. */
const STDERR_MAX = 2000

/** Runs from source and from the build: the child has the same extension as this file. */
const CHILD = fileURLToPath(new URL(`./doctor-child${extname(import.meta.url)}`, import.meta.url))

/** How the child ended. */
interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly timedOut: boolean
}

/** What the child said until then. */
interface Heard {
  last: { at: string; during: string } | undefined
  findings: DoctorFindings | undefined
  error: ErrorAnswer | undefined
  done: boolean
  stderr: string
}

/** Calls `line` for every complete line. */
function onLines(stream: Readable, line: (text: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(line)
  })
}

function hear(heard: Heard, text: string): void {
  const answer = parsed(text)
  if ('at' in answer) heard.last = answer
  else if ('findings' in answer) heard.findings = answer.findings
  else if ('error' in answer) heard.error = answer.error
  else if ('done' in answer) heard.done = true
}

/** A module can write on any descriptor of its process; what is not an answer is not heard. */
function parsed(text: string): DoctorAnswer {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as DoctorAnswer
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return { at: 'unknown', during: 'the module wrote on the answer pipe' }
}

/** Kills the child when its time is over; the time is short once the findings are in. */
function watch(child: ChildProcess, heard: Heard, timeoutMs: number): Promise<Ending> {
  return new Promise((done, fail) => {
    let timedOut = false
    const late = () => {
      timedOut = true
      // A module that hangs in a call does not see a SIGTERM.
      child.kill('SIGKILL')
    }
    let timer = setTimeout(late, timeoutMs)
    onLines(child.stdio[ANSWER_FD] as Readable, (text) => {
      hear(heard, text)
      if (heard.findings === undefined || heard.done) return
      clearTimeout(timer)
      timer = setTimeout(late, Math.min(timeoutMs, SHUTDOWN_MS))
    })
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      heard.stderr = (heard.stderr + chunk).slice(-STDERR_MAX)
    })
    child.once('error', (error) => {
      clearTimeout(timer)
      fail(error)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      done({ code, signal, timedOut })
    })
  })
}

/** The request, through the pipe; a child that is gone already is found out by its exit. */
function tell(child: ChildProcess, message: Uint8Array): void {
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(message)
}

const ended = ({ code, signal }: Ending): string =>
  signal === null ? `the process ended with code ${code ?? '?'}` : `the process died of ${signal}`

function place(path: string, { last }: Heard): string {
  return last === undefined ? path : `${path}: ${last.at} (${last.during})`
}

function failure(path: string, heard: Heard, ending: Ending, timeoutMs: number): KeyriteError {
  const where = place(path, heard)
  if (heard.error !== undefined) return remade(heard.error, where)
  if (ending.timedOut) {
    return new TokenError('MODULE_HUNG', 'the PKCS#11 module does not return', {
      where,
      expected: `an answer within ${timeoutMs} ms`,
      got: 'none; the process was killed',
      hint: 'is its device or server reachable? A slow device needs a longer time limit',
    })
  }
  if (heard.last === undefined) {
    return new TokenError('MODULE_CRASHED', 'the examination could not be started', {
      where: path,
      got: `${ended(ending)} before the module was opened: ${heard.stderr.trim()}`,
      hint: 'run: npm rebuild keyrite pkcs11js',
    })
  }
  return new TokenError('MODULE_CRASHED', 'the PKCS#11 module crashed', {
    where,
    expected: 'a return value',
    got: ended(ending),
    hint: 'do not load this file in a process that matters; check its version, configuration and dependencies',
  })
}

/** An error of the child as the class it had there. */
function remade(answer: ErrorAnswer, where: string): KeyriteError {
  const { code, message, expected, got, hint } = answer
  const detail = { where: answer.where ?? where, expected, got, hint }
  if (answer.kind === 'pkcs11') return pkcs11Error(answer.fn ?? '?', answer.ckr ?? -1, detail)
  if (answer.kind === 'token') return new TokenError(code as TokenErrorCode, message, detail)
  return new TokenError('MODULE_CRASHED', `the examination failed: ${message}`, detail)
}

function shutdown(heard: Heard, ending: Ending): string {
  if (heard.error !== undefined) return heard.error.message
  if (heard.done) return ending.signal === null && ending.code === 0 ? 'clean' : ended(ending)
  return ending.timedOut ? 'C_Finalize does not return' : `C_Finalize: ${ended(ending)}`
}

function requestFor(path: string, options: DoctorOptions): DoctorRequest {
  const { tokenUri, pin, libraryParameters } = options
  // Refused here, where the caller sees it as what it is.
  if (tokenUri !== undefined) parseUri(tokenUri)
  return {
    path,
    sha256: toHex(sha256(readFileSync(path))),
    ...(tokenUri === undefined ? {} : { tokenUri }),
    ...(libraryParameters === undefined ? {} : { libraryParameters }),
    pin: pin === undefined ? 'none' : pin === null ? 'path' : 'bytes',
  }
}

/**
 * Examines a module: identity, tokens, mechanisms, known answers, enforcement, profile.
 * Makes session objects only, and destroys them; a given PIN is tried once.
 * @throws TokenError MODULE_NOT_FOUND, MODULE_INVALID (not a module), MODULE_CRASHED, MODULE_HUNG,
 * TOKEN_NOT_FOUND, TOKEN_AMBIGUOUS, ARGUMENT_INVALID; Pkcs11Error, e.g. CKR_PIN_INCORRECT; FormatError of the URI.
 */
export async function runDoctor(
  modulePath: string,
  options: DoctorOptions = {},
): Promise<DoctorReport> {
  const { timeoutMs = TIMEOUT_MS, pin } = options
  const path = moduleFile(resolve(modulePath))
  const request = encodeRequest(requestFor(path, options), pin ?? undefined)
  const heard: Heard = {
    last: undefined,
    findings: undefined,
    error: undefined,
    done: false,
    stderr: '',
  }
  const child = spawn(process.execPath, [CHILD], { stdio: ['pipe', 'ignore', 'pipe', 'pipe'] })
  const ending = watch(child, heard, timeoutMs)
  tell(child, request)
  const how = await ending.finally(() => wipe(request))
  if (heard.findings === undefined) throw failure(path, heard, how, timeoutMs)
  return { ...heard.findings, shutdown: shutdown(heard, how) }
}
