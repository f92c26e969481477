/**
 * One line typed blind: bytes in, bytes out. Never a string, because strings cannot be wiped.
 * Keys are those of a terminal in raw mode (ECMA-48 control characters and sequences).
 */
import { wipe } from '../bytes.ts'

/** Longest secret accepted, in bytes: a PIN is 64, a passphrase far below. */
export const MAX_SECRET_BYTES = 1024

/** What the line wants after some keys. */
export type SecretEvent = 'more' | 'done' | 'interrupt' | 'end' | 'too-long'

const ETX = 0x03 // ^C
const EOT = 0x04 // ^D
const BS = 0x08
const LF = 0x0a
const CR = 0x0d
const NAK = 0x15 // ^U
const ETB = 0x17 // ^W
const ESC = 0x1b
const DEL = 0x7f

/** A line under entry. */
export interface SecretLine {
  /** Takes bytes read from the terminal; the caller wipes them. Bytes after the line's end are dropped. */
  feed(bytes: Uint8Array): SecretEvent
  /** A copy of what was typed, for the caller to own and wipe. */
  value(): Uint8Array
  wipe(): void
}

/** An empty line. */
export function createSecretLine(): SecretLine {
  const buffer = new Uint8Array(MAX_SECRET_BYTES)
  let length = 0
  let escape: 'none' | 'escape' | 'csi' = 'none'

  const truncate = (to: number): void => {
    buffer.fill(0, to, length)
    length = to
  }
  /** Removes one character: its UTF-8 continuation bytes (10xxxxxx) and its lead byte. */
  const backspace = (): void => {
    let at = length
    while (at > 0 && ((buffer[at - 1] ?? 0) & 0xc0) === 0x80) at -= 1
    truncate(Math.max(0, at - 1))
  }
  /** Arrow keys and paste brackets (ESC [ ... final byte 0x40-0x7e) leave no trace. */
  const inEscape = (byte: number): boolean => {
    if (escape === 'none') return false
    if (escape === 'escape') escape = byte === 0x5b || byte === 0x4f ? 'csi' : 'none'
    else if (byte >= 0x40 && byte <= 0x7e) escape = 'none'
    return true
  }
  const key = (byte: number): SecretEvent => {
    if (byte === ETX) return 'interrupt'
    if (byte === CR || byte === LF) return 'done'
    if (inEscape(byte)) return 'more'
    if (byte === ESC) escape = 'escape'
    else if (byte === EOT && length === 0) return 'end'
    else if (byte === DEL || byte === BS) backspace()
    else if (byte === NAK || byte === ETB) truncate(0)
    else if (byte >= 0x20) {
      if (length === MAX_SECRET_BYTES) return 'too-long'
      buffer[length] = byte
      length += 1
    }
    return 'more'
  }
  return {
    feed(bytes) {
      for (const byte of bytes) {
        const event = key(byte)
        if (event !== 'more') return event
      }
      return 'more'
    },
    value: () => buffer.slice(0, length),
    wipe: () => {
      wipe(buffer)
      length = 0
    },
  }
}
