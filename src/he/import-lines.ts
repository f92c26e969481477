/** Lines of a byte stream in bounded memory, split on LF before anything is decoded. */
import { concat, fromUtf8 } from '../bytes.ts'
import { FormatError } from '../errors.ts'

/** Longest line: a vector of 65,536 coordinates in decimal is about a tenth of it. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024

const LF = 0x0a
const CR = 0x0d

/** One line without its end. */
export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
}

const BOM = [0xef, 0xbb, 0xbf] as const

/** The line without a byte order mark (first line only) and without the CR of CR LF. */
function trimmed(bytes: Uint8Array, number: number): Uint8Array {
  const start = number === 1 && BOM.every((byte, i) => bytes[i] === byte) ? BOM.length : 0
  return bytes.subarray(start, bytes.at(-1) === CR ? bytes.length - 1 : bytes.length)
}

const isBlank = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0x20 || byte === 9)

/** Nothing is left of an input once its first items are skipped, and not even those are there. */
export const tooFewToSkip = (where: string, skip: number, count: number): FormatError =>
  new FormatError('the input has fewer items than are to be skipped', {
    where,
    expected: `${skip} items to skip, and those to read behind them`,
    got: `${count} items`,
    hint: 'nothing was imported; is it the right file, and the right number?',
  })

/**
 * The lines that are not blank, after the first `skip` of them. Skipped lines are not decoded.
 * @throws FormatError on a line that is too long or not UTF-8, where `where` and the number name it; and when
 * there are fewer lines than are to be skipped.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  where: string,
  skip = 0,
): AsyncGenerator<Line> {
  const parts: Uint8Array[] = []
  let held = 0
  let number = 0
  let left = skip
  const take = (): Line | undefined => {
    number += 1
    const bytes = trimmed(concat(...parts), number)
    parts.length = 0
    held = 0
    if (isBlank(bytes)) return undefined
    if (left > 0) {
      left -= 1
      return undefined
    }
    return { number, text: fromUtf8(bytes, `${where}, line ${number}`) }
  }
  const hold = (bytes: Uint8Array): void => {
    parts.push(bytes)
    held += bytes.length
    if (held <= MAX_LINE_BYTES) return
    throw new FormatError('a line is too long', {
      where: `${where}, line ${number + 1}`,
      expected: `at most ${MAX_LINE_BYTES} bytes`,
      hint: 'one item a line',
    })
  }
  for await (const chunk of chunks) {
    let start = 0
    for (let end; (end = chunk.indexOf(LF, start)) >= 0; start = end + 1) {
      hold(chunk.subarray(start, end))
      const line = take()
      if (line !== undefined) yield line
    }
    // A copy: the stream may use its buffer again before the line ends.
    if (start < chunk.length) hold(chunk.slice(start))
  }
  if (held > 0) {
    const line = take()
    if (line !== undefined) yield line
  }
  if (left > 0) throw tooFewToSkip(where, skip, skip - left)
}
