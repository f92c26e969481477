/**
 * Errors over the network: application/problem+json (RFC 9457) with keyrite's code, as the body of a
 * refusal and as the last frame of a response that had begun. What went wrong inside the scorer is told
 * to its own `onError` only.
 */
import { STATUS_CODES } from 'node:http'

import * as z from 'zod'

import { fromUtf8 } from '../bytes.ts'
import { EmbeddingError, type EmbeddingErrorCode, FormatError, KeyriteError } from '../errors.ts'
import { printable } from '../plain-text.ts'
import { type OpenFrame, frameStart } from './wire-frame.ts'

/** RFC 9457 §6.1. */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json'
/** Longer ones are not ours. */
export const PROBLEM_BYTES = 16 * 1024
/** Longer texts are cut. */
const TEXT_LENGTH = 500

/** Status by code. `inside`: the scorer's own trouble, whose details stay there. */
const STATUS: Readonly<Record<EmbeddingErrorCode, number | { readonly inside: number }>> = {
  PARAMETERS_UNKNOWN: { inside: 500 },
  PARAMETERS_UNSAFE: { inside: 500 },
  VECTOR_INVALID: 400,
  ID_INVALID: 400,
  METADATA_INVALID: 400,
  FILTER_INVALID: 400,
  COLLECTION_INVALID: 400,
  COLLECTION_NOT_FOUND: 404,
  COLLECTION_EXISTS: 409,
  COLLECTION_CHANGED: 409,
  KEY_INVALID: { inside: 500 },
  KEY_MISMATCH: { inside: 500 },
  EPOCH_UNKNOWN: 409,
  EPOCH_OUTDATED: 409,
  SESSION_UNKNOWN: 404,
  CIPHERTEXT_INVALID: 400,
  BLOCK_INVALID: { inside: 500 },
  RECORD_INVALID: { inside: 500 },
  SCORES_INVALID: { inside: 500 },
  STORE_INVALID: { inside: 500 },
  STORE_UNAVAILABLE: { inside: 503 },
  KERNEL_UNAVAILABLE: { inside: 500 },
  LIMIT_EXCEEDED: 413,
  DEADLINE_EXCEEDED: 504,
  UNAVAILABLE: 503,
  ABORTED: 503,
  CLOSED: 503,
}

/** A message a person can act on; `FORMAT` and `FORBIDDEN` are the codes that are no EmbeddingError's. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly where?: string | undefined
  readonly expected?: string | undefined
  readonly got?: string | undefined
  readonly hint?: string | undefined
  readonly index?: number | undefined
}

const text = z.string().max(4096).exactOptional()
const problemSchema = z.looseObject({
  status: z.int().min(400).max(599).exactOptional(),
  detail: text,
  code: z.string().max(100).exactOptional(),
  where: text,
  expected: text,
  got: text,
  hint: text,
  index: z.int().nonnegative().exactOptional(),
})

/** A problem of this status. */
export function problem(
  status: number,
  code: string,
  detail: string,
  rest: Partial<Pick<Problem, 'where' | 'expected' | 'got' | 'hint' | 'index'>> = {},
): Problem {
  const title = STATUS_CODES[status] ?? 'Error'
  return { type: 'about:blank', title, status, detail, code, ...rest }
}

/** What a client is told of an error. `inside`: the operator should hear of it. */
export function problemOf(error: unknown): { problem: Problem; inside: boolean } {
  if (error instanceof FormatError) return { problem: told(400, error), inside: false }
  if (error instanceof EmbeddingError) {
    const status = STATUS[error.code]
    if (typeof status === 'number') return { problem: told(status, error), inside: false }
    const detail = 'the scorer cannot do this; its operator finds the reason there'
    return { problem: problem(status.inside, error.code, detail), inside: true }
  }
  return { problem: problem(500, 'INTERNAL', 'the scorer failed'), inside: true }
}

function told(status: number, error: KeyriteError): Problem {
  const { code, message, where, expected, got, hint } = error
  const index = error instanceof EmbeddingError ? error.index : undefined
  return problem(status, code, message, { where, expected, got, hint, index })
}

const isCode = (code: string | undefined): code is EmbeddingErrorCode =>
  code !== undefined && Object.hasOwn(STATUS, code)

/** Foreign text, made safe to print. */
const clean = (from: string | undefined): string | undefined =>
  from === undefined ? undefined : printable(from.slice(0, TEXT_LENGTH))

/**
 * The error a problem stands for. The sender is not trusted: unknown forms give `UNAVAILABLE`.
 * @param where - which scorer, when the problem itself names no place.
 */
export function restoreProblem(value: unknown, where: string, status?: number): Error {
  const parsed = problemSchema.safeParse(value)
  const { code, detail, index, ...rest } = parsed.success ? parsed.data : {}
  const fields = {
    where: clean(rest.where) ?? where,
    expected: clean(rest.expected),
    got: clean(rest.got),
    hint: clean(rest.hint),
  }
  const message = clean(detail)
  if (code === 'FORMAT') return new FormatError(message ?? 'refused by the scorer', fields)
  if (isCode(code)) {
    return new EmbeddingError(code, message ?? 'refused by the scorer', { ...fields, index })
  }
  return new EmbeddingError('UNAVAILABLE', message ?? 'the scorer answered with an error', {
    ...fields,
    got: fields.got ?? `status ${rest.status ?? status ?? 'unknown'}`,
    hint: fields.hint ?? 'its operator finds the reason in its log',
  })
}

/** The last frame of an answer that had begun. */
export const encodeProblem = (of: Problem): Uint8Array => frameStart('problem', of, 0)

/** As {@link restoreProblem}, of the bytes of a body. */
export function restoreProblemBody(bytes: Uint8Array, where: string, status: number): Error {
  try {
    return restoreProblem(JSON.parse(fromUtf8(bytes)), where, status)
  } catch {
    return restoreProblem(undefined, where, status)
  }
}

/** Throws what the last frame of a response says. */
export function throwProblem(frame: OpenFrame): never {
  throw restoreProblem(frame.head, frame.where)
}
