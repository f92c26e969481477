/**
 * The plaintext of a share file: lines a person can read after `age -d`, enough to recover the PIN without keyrite.
 * Exactly one byte sequence per share, so parsing compares the re-encoding. Secret lines never become strings.
 *
 * Recovery: the last byte of a value is x, the bytes before it are y. Over GF(2^8) with x^8+x^4+x^3+x+1, the
 * Lagrange interpolation at 0 of `threshold` shares gives the 32 bytes whose hexadecimal digits are the PIN.
 */
import { concat, equal, fromUtf8, sha256, toHex, utf8, wipe } from '../bytes.ts'
import { QuorumError } from '../errors.ts'

import { base16, fromBase16 } from './base16.ts'
import { spellHex } from './spelling.ts'
import type { PinKind, Share } from './types.ts'

const TITLE = 'keyrite share v1'
const NOTE = [
  'note: value = y bytes, then one x byte. Lagrange interpolation at 0 over GF(2^8), polynomial 0x11b,',
  'note: of as many shares as the threshold says gives the bytes whose hexadecimal digits are the PIN.',
  'note: check = first 8 digits of SHA-256 over the lines above it: head -n 10 FILE | sha256sum',
]
const FIELDS = ['holder', 'token', 'serial', 'pin', 'epoch', 'share', 'threshold'] as const
const LINE_FEED = 10

const line = (name: string, text: string): Uint8Array => utf8(`${name}: ${text}\n`)

/** First 8 digits of SHA-256 over the lines above: `head -n 10 FILE | sha256sum`. */
const checkDigits = (linesAbove: Uint8Array): string => toHex(sha256(linesAbove)).slice(0, 8)

/** The file's plaintext; the caller wipes it. */
export function encodeShareText(share: Share): Uint8Array {
  const value = base16(share.value)
  const salt = base16(share.salt)
  const above = concat(
    utf8(`${TITLE}\n`),
    line('holder', share.holder),
    line('token', share.tokenLabel),
    line('serial', share.tokenSerial),
    line('pin', share.pin),
    line('epoch', String(share.epoch)),
    line('share', `${share.index} of ${share.of}`),
    line('threshold', String(share.threshold)),
    utf8('value: '),
    value,
    utf8('\nsalt: '),
    salt,
    Uint8Array.of(LINE_FEED),
  )
  const check = checkDigits(above)
  const text = concat(
    above,
    line('check', check),
    line('words', spellHex(check)),
    ...NOTE.map((note) => utf8(`${note}\n`)),
  )
  wipe(value, salt, above)
  return text
}

/** Views of the lines of `bytes`, without their line feeds. */
function linesOf(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = []
  let from = 0
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, from)) {
    lines.push(bytes.subarray(from, at))
    from = at + 1
  }
  return lines
}

/** The part after `name: `, or `undefined` when the line is another one. */
function after(name: string, bytes: Uint8Array | undefined): Uint8Array | undefined {
  const prefix = utf8(`${name}: `)
  const starts = bytes !== undefined && equal(bytes.subarray(0, prefix.length), prefix)
  return starts ? bytes.subarray(prefix.length) : undefined
}

/**
 * Strict inverse of {@link encodeShareText}; does not wipe its input. Throws QuorumError SHARE_INVALID when a line is
 * missing, changed, mistyped or out of place; `where` names the file.
 */
export function parseShareText(bytes: Uint8Array, where = 'share text'): Share {
  let holder = 'an unknown holder'
  const fail = (at: string): never => {
    throw new QuorumError('SHARE_INVALID', `the share file of ${holder} is damaged`, {
      where: `${where}, ${at}`,
      expected: `the lines of "${TITLE}"`,
      hint: 'restore the file from its copy, or use the share of another holder',
    })
  }
  const lines = linesOf(bytes)
  const field = (name: (typeof FIELDS)[number]): string => {
    const text = after(name, lines[1 + FIELDS.indexOf(name)])
    if (text === undefined) return fail(`line "${name}"`)
    try {
      return fromUtf8(text, where)
    } catch {
      return fail(`line "${name}"`)
    }
  }
  const whole = (text: string, at: string): number =>
    /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : fail(at)
  holder = field('holder')
  const [index = '', of = '', more] = field('share').split(' of ')
  const secret = (name: string, at: number): Uint8Array =>
    fromBase16(after(name, lines[at]) ?? Uint8Array.of(0)) ?? fail(`line "${name}"`)
  const share: Share = {
    tokenLabel: field('token'),
    tokenSerial: field('serial'),
    pin: field('pin') as PinKind,
    epoch: whole(field('epoch'), 'line "epoch"'),
    threshold: whole(field('threshold'), 'line "threshold"'),
    of: more === undefined ? whole(of, 'line "share"') : fail('line "share"'),
    holder,
    index: whole(index, 'line "share"'),
    value: secret('value', 1 + FIELDS.length),
    salt: secret('salt', 2 + FIELDS.length),
  }
  if ((share.pin as string) !== 'user' && (share.pin as string) !== 'so') fail('line "pin"')
  const again = encodeShareText(share)
  const same = equal(again, bytes)
  wipe(again)
  if (!same) {
    wipe(share.value, share.salt)
    fail('check line or layout')
  }
  return share
}
