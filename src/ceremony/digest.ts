/** Digests as people compare them: hexadecimal and PGP words. */
import { toHex } from '../bytes.ts'
import { toPgpWords } from '../pgp-words.ts'

/** A digest as it is shown and read aloud. */
export interface DigestReadOut {
  readonly hex: string
  /** Lines of 32 hexadecimal digits in groups of 4. */
  readonly hexLines: readonly string[]
  /** Lines of 8 PGP words. */
  readonly wordLines: readonly string[]
}

const lines = (items: readonly string[], perLine: number, joint: string): string[] =>
  Array.from({ length: Math.ceil(items.length / perLine) }, (_, at) =>
    items.slice(at * perLine, (at + 1) * perLine).join(joint),
  )

/** Hexadecimal in groups and PGP words, eight to a line. */
export function readOut(digest: Uint8Array): DigestReadOut {
  const hex = toHex(digest)
  return {
    hex,
    hexLines: lines(hex.match(/.{1,4}/g) ?? [], 8, ' '),
    wordLines: lines(toPgpWords(digest), 8, ' '),
  }
}
