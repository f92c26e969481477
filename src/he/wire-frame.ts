/**
 * Frames of the scorer's protocol. A message is an 8-byte preamble (ASCII `KRSW`, version 1, kind, two zero
 * bytes) and frames until the stream ends. A frame, all numbers little-endian:
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 1 | type, see {@link FRAMES} |
 * | 1 | 3 | zero |
 * | 4 | 4 | u32 h: length of the head |
 * | 8 | 4 | u32 b: length of the body |
 * | 12 | h | head: one JSON object in UTF-8, which says how the body is cut |
 * | 12+h | b | body: ciphertexts and keyed hashes, as they are |
 * Every length is compared with its bound before memory is taken for it.
 */
import type * as z from 'zod'

import { concat, fromUtf8, utf8 } from '../bytes.ts'
import { EmbeddingError, FormatError } from '../errors.ts'

/** Media type of all messages. */
export const WIRE_MEDIA_TYPE = 'application/vnd.keyrite.scorer'
const MAGIC = utf8('KRSW')
const VERSION = 1
const PREAMBLE_BYTES = 8
const FRAME_BYTES = 12
/** Shorter pieces are joined as they come: each takes memory of its own, and their number is the sender's. */
const PIECE_BYTES = 4096

/** Kinds of messages. */
const KINDS = {
  'scan request': 1,
  'scan response': 2,
  'records request': 3,
  'records response': 4,
  'state response': 5,
} as const
/** What a message is; also names it in errors. */
export type MessageKind = keyof typeof KINDS

/** Types of frames. `start` comes first and once; `end` or `problem` comes last. */
const FRAMES = { start: 1, records: 2, block: 3, end: 4, problem: 5 } as const
/** See {@link FRAMES}. */
export type FrameType = keyof typeof FRAMES

/** Bounds on one frame, in bytes. */
export interface FrameBounds {
  readonly head: number
  readonly body: number
}

/** The bytes of a message as they come in. */
export interface ByteSource {
  /** Exactly so many bytes; waits for them. */
  read(length: number): Promise<Uint8Array>
  /** Nothing may follow. @throws FormatError. */
  end(): Promise<void>
  /** Bytes that came in so far. */
  readonly received: number
}

/** A frame, or the first ones of a message, in parts to send in order. */
export type FrameParts = readonly Uint8Array[]

/** A frame whose body is not read yet. */
export interface OpenFrame {
  readonly type: FrameType
  readonly head: unknown
  readonly headLength: number
  readonly bodyLength: number
  /** `message, type`, for errors. */
  readonly where: string
}

/**
 * @param chunks - what a socket delivers, in pieces of any length
 * @param options - `what` names the message; `maxBytes` bounds all of it; `cutShort` makes the error of a
 *   message that ends early, by default a {@link FormatError}.
 */
export function byteSource(
  chunks: AsyncIterator<Uint8Array>,
  options: { what: string; maxBytes: number; cutShort?: () => Error },
): ByteSource {
  const { what, maxBytes } = options
  let parts: Uint8Array[] = []
  let have = 0
  let received = 0

  async function pull(): Promise<boolean> {
    const next = await chunks.next()
    if (next.done === true) return false
    const { buffer, byteOffset, length } = next.value
    received += length
    if (received > maxBytes) throw tooLarge(what, maxBytes, `more than ${maxBytes} bytes`)
    // No Buffer leaves here: its `slice` shares memory, and it is no plain array to a comparison.
    if (length > 0) parts.push(new Uint8Array(buffer, byteOffset, length))
    have += length
    for (;;) {
      const [before, last] = parts.slice(-2)
      if (before === undefined || last === undefined) break
      if (before.length > last.length || last.length >= PIECE_BYTES) break
      parts.splice(-2, 2, concat(before, last))
    }
    return true
  }

  return {
    get received() {
      return received
    },
    async read(length) {
      while (have < length) {
        if (await pull()) continue
        throw (
          options.cutShort?.() ??
          new FormatError('a message is cut short', {
            where: what,
            expected: `${length} more bytes`,
            got: `${have}`,
          })
        )
      }
      const all = parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(...parts)
      parts = length < have ? [all.subarray(length)] : []
      have -= length
      return all.subarray(0, length)
    },
    async end() {
      while (have === 0) if (!(await pull())) return
      throw new FormatError('bytes follow the end of a message', { where: what, expected: 'none' })
    },
  }
}

function tooLarge(where: string, most: number, got: string): EmbeddingError {
  return new EmbeddingError('LIMIT_EXCEEDED', 'a message is too large', {
    where,
    expected: `at most ${most} bytes`,
    got,
  })
}

/** First bytes of a message. */
export function preamble(kind: MessageKind): Uint8Array {
  const bytes = new Uint8Array(PREAMBLE_BYTES)
  bytes.set(MAGIC)
  bytes[4] = VERSION
  bytes[5] = KINDS[kind]
  return bytes
}

/** @throws FormatError when the message is of another kind or version. */
export async function readPreamble(source: ByteSource, kind: MessageKind): Promise<void> {
  const found = await source.read(PREAMBLE_BYTES)
  const expected = preamble(kind)
  if (Buffer.compare(found, expected) === 0) return
  const ours = Buffer.compare(found.subarray(0, 4), MAGIC) === 0
  throw new FormatError(
    ours
      ? 'a message of another version or kind'
      : 'not a message of keyrite\u2019s scorer protocol',
    {
      where: kind,
      expected: `version ${VERSION}, kind ${KINDS[kind]}`,
      ...(ours ? { got: `version ${found[4] ?? 0}, kind ${found[5] ?? 0}` } : {}),
      hint: 'both sides must run the same major version of keyrite',
    },
  )
}

/** A frame without its body, which the caller sends after it. */
export function frameStart(type: FrameType, head: unknown, bodyLength: number): Uint8Array {
  const text = utf8(JSON.stringify(head))
  const bytes = new Uint8Array(FRAME_BYTES + text.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, FRAMES[type])
  view.setUint32(4, text.length, true)
  view.setUint32(8, bodyLength, true)
  bytes.set(text, FRAME_BYTES)
  return bytes
}

/** Reads a frame up to its body. @throws FormatError, EmbeddingError LIMIT_EXCEEDED. */
export async function openFrame(
  source: ByteSource,
  message: string,
  allowed: readonly FrameType[],
  bounds: FrameBounds,
): Promise<OpenFrame> {
  const bytes = await source.read(FRAME_BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES)
  const type = allowed.find((one) => FRAMES[one] === view.getUint8(0))
  if (type === undefined || view.getUint32(0, true) !== FRAMES[type]) {
    throw new FormatError('a frame that does not belong here', {
      where: message,
      expected: allowed.join(' or '),
      got: `type ${view.getUint8(0)}`,
    })
  }
  const where = `${message}, ${type}`
  const headLength = view.getUint32(4, true)
  const bodyLength = view.getUint32(8, true)
  if (headLength > bounds.head) throw tooLarge(`${where}, head`, bounds.head, `${headLength}`)
  if (bodyLength > bounds.body) throw tooLarge(`${where}, body`, bounds.body, `${bodyLength}`)
  const text = fromUtf8(await source.read(headLength), where)
  try {
    return { type, head: JSON.parse(text) as unknown, headLength, bodyLength, where }
  } catch {
    throw new FormatError('the head of a frame is not JSON', { where })
  }
}

/** The head in its form; unknown fields are errors. @throws FormatError. */
export function parseHead<T>(schema: z.ZodType<T>, { head, where }: OpenFrame): T {
  const parsed = schema.safeParse(head)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new FormatError('the head of a frame has another form', {
    where: [where, ...(issue?.path ?? [])].join(', '),
    // Messages of zod name fields and types, no values; those of unknown keys quote the sender's text.
    expected: issue?.code === 'unrecognized_keys' ? 'no other fields' : issue?.message,
  })
}

/** Cuts a body into its parts, in order. */
export interface Cutter {
  take(length: number): Uint8Array
}

/**
 * Reads the body of a frame whose parts have a sum of lengths the head states.
 * @throws FormatError unless the parts fill the body exactly.
 */
export async function readBody(
  source: ByteSource,
  { bodyLength, where }: OpenFrame,
  lengths: Iterable<number>,
): Promise<Cutter> {
  let sum = 0
  for (const length of lengths) sum += length
  if (sum !== bodyLength) {
    throw new FormatError('the parts of a frame do not fill it', {
      where,
      expected: `${bodyLength} bytes`,
      got: `${sum}`,
    })
  }
  const body = await source.read(bodyLength)
  let at = 0
  return { take: (length) => body.subarray(at, (at += length)) }
}
