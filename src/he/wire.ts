/**
 * The scorer's protocol over HTTP/2, version 1. Frames: `wire-frame.ts`; their heads: `wire-schema.ts`.
 * | request | body | answer |
 * |---|---|---|
 * | `POST /v1/collections/{name}/scan` | one `start` with the queries and the tokens of the filter | `start`, `records` (the tail), `block` as each is done, `end` |
 * | `POST /v1/collections/{name}/records` | one `start` with the places | `start`, `records` |
 * | `GET /v1/collections/{name}/state` | none | one `start` with the sealed keys of the sessions |
 * Refusals are problems (RFC 9457); one that comes up after the answer began is its last frame.
 * An answer to a scan without `end` or `problem` was cut off: HTTP/2 does not always tell.
 */
export { type ByteSource, type FrameParts, WIRE_MEDIA_TYPE, byteSource } from './wire-frame.ts'
export {
  PROBLEM_BYTES,
  PROBLEM_MEDIA_TYPE,
  type Problem,
  encodeProblem,
  problem,
  problemOf,
  restoreProblemBody,
} from './wire-problem.ts'
export { decodeScan, decodeScanRequest, encodeScan, encodeScanRequest } from './wire-scan.ts'
export {
  decodeRecordsRequest,
  decodeRecordsResponse,
  decodeState,
  encodeRecordsRequest,
  encodeRecordsResponse,
  encodeState,
  isCollectionName,
} from './wire-state.ts'

/** Milliseconds the caller waits; the scorer ends the request then. */
export const TIMEOUT_HEADER = 'x-keyrite-timeout-ms'
