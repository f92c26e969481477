/**
 * What parent and child of the doctor say to each other. Request: on the child's standard input, so
 * that no PIN is in an argument list or an environment. Answers: one JSON object a line on a pipe of
 * its own, because a module may print on standard output.
 */
import { fromUtf8, utf8, wipe } from '../bytes.ts'
import { FormatError } from '../errors.ts'
import type { DoctorFindings } from './doctor-report.ts'

/** File descriptor of the answers in the child. */
export const ANSWER_FD = 3

/** What is to be examined. */
export interface DoctorRequest {
  readonly path: string
  readonly sha256: string
  readonly tokenUri?: string
  readonly libraryParameters?: string
  /** `bytes`: the PIN follows the request; `path`: protected authentication path. */
  readonly pin: 'none' | 'bytes' | 'path'
}

/** An error of the child, to be made again by the parent. */
export interface ErrorAnswer {
  readonly kind: 'pkcs11' | 'token' | 'other'
  readonly code: string
  readonly message: string
  readonly fn?: string | undefined
  readonly ckr?: number | undefined
  readonly where?: string | undefined
  readonly expected?: string | undefined
  readonly got?: string | undefined
  readonly hint?: string | undefined
}

/** One line from the child. */
export type DoctorAnswer =
  /** The call that is about to be made, and what for: where a crash or a hang is. */
  | { readonly at: string; readonly during: string }
  | { readonly findings: DoctorFindings }
  | { readonly error: ErrorAnswer }
  /** The module was finalised. */
  | { readonly done: true }

const LENGTH_BYTES = 4

/** Length of the JSON, the JSON, the PIN. The caller wipes the result. */
export function encodeRequest(request: DoctorRequest, pin: Uint8Array | undefined): Uint8Array {
  const json = utf8(JSON.stringify(request))
  const out = new Uint8Array(LENGTH_BYTES + json.length + (pin?.length ?? 0))
  new DataView(out.buffer).setUint32(0, json.length)
  out.set(json, LENGTH_BYTES)
  if (pin !== undefined) out.set(pin, LENGTH_BYTES + json.length)
  return out
}

/** The request, and the PIN as a view of `bytes`, which the caller wipes. @throws FormatError. */
export function decodeRequest(bytes: Uint8Array): { request: DoctorRequest; pin: Uint8Array } {
  const end =
    bytes.length < LENGTH_BYTES
      ? Number.POSITIVE_INFINITY
      : LENGTH_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  if (end > bytes.length) {
    wipe(bytes)
    throw new FormatError('the request of the doctor is cut off', { where: 'standard input' })
  }
  const request = JSON.parse(fromUtf8(bytes.subarray(LENGTH_BYTES, end))) as DoctorRequest
  return { request, pin: bytes.subarray(end) }
}
