/**
 * Digests as people read them: grouped hexadecimal, and the PGP word list beneath, in columns that can be
 * followed with a finger.
 */
import { fromHex } from '../bytes.ts'

const DIGEST = /^(?<before>.*?)(?:sha256:)?(?<hex>[0-9a-f]{64})(?<after>[).,;]?)$/
const HEX_PER_LINE = 32
const WORDS_PER_LINE = 4
const WORD_COLUMNS = 12

/** Turns bytes into read-out words. */
export type WordsOf = (bytes: Uint8Array) => readonly string[]

function groups(hex: string): string {
  const quads = hex.match(/.{1,4}/g) ?? []
  return quads.map((quad, index) => (index === 4 ? ` ${quad}` : quad)).join(' ')
}

/** Two lines of hexadecimal and eight of words, without a label. */
function digestLines(hex: string, wordsOf: WordsOf): string[] {
  const words = wordsOf(fromHex(hex, 'digest'))
  const lines: string[] = []
  for (let at = 0; at < hex.length; at += HEX_PER_LINE) {
    lines.push((at === 0 ? 'hex' : '').padEnd(7) + groups(hex.slice(at, at + HEX_PER_LINE)))
  }
  for (let at = 0; at < words.length; at += WORDS_PER_LINE) {
    const row = words.slice(at, at + WORDS_PER_LINE).map((word) => word.padEnd(WORD_COLUMNS))
    lines.push((at === 0 ? 'words' : '').padEnd(7) + row.join(' ').trimEnd())
  }
  return lines
}

/** A line that ends in a SHA-256 digest becomes its label and {@link digestLines}; others stay. */
export function expandDigest(line: string, wordsOf: WordsOf): string[] {
  const match = DIGEST.exec(line)
  if (match?.groups === undefined) return [line]
  const { before = '', hex = '' } = match.groups
  const label = before.trimEnd()
  return [...(label === '' ? [] : [label]), ...digestLines(hex, wordsOf).map((text) => `  ${text}`)]
}
