/** Text for terminals and plain files: nothing in it steers a terminal, and its lines fit. */

/**
 * Unicode ranges drawn two columns wide (UAX #11, classes W and F, the common blocks).
 */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const ZERO_WIDTH = /^\p{M}$/u

/** Replaces what could rewrite a screen or reorder what is read: controls, format and bidirectional overrides. */
export const replaceUnprintable = (text: string, by: (char: string) => string): string =>
  text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, by)

/** Makes foreign text (labels, names, titles) safe to print: such characters become `<U+XXXX>`. */
export const printable = (text: string): string =>
  replaceUnprintable(
    text,
    (char) => `<U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}>`,
  )

/** Columns a printable text takes. */
export function columnsOf(text: string): number {
  let columns = 0
  for (const char of text) columns += ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1
  return columns
}

function splitAt(word: string, columns: number): [string, string] {
  let head = ''
  for (const char of word) {
    if (head !== '' && columnsOf(head + char) > columns) break
    head += char
  }
  return [head, word.slice(head.length)]
}

/**
 * Breaks one line at spaces; continuation lines get `hang` spaces. Runs of spaces inside the line are
 * kept, so that columns stay aligned when the line fits; a word longer than a line is cut.
 */
export function wrap(text: string, columns: number, hang = 0): string[] {
  const lines: string[] = []
  const indent = ' '.repeat(hang)
  let line = ''
  let rest = text
  while (rest !== '') {
    const [, gap = '', word = ''] = /^( *)([^ ]*)/.exec(rest) ?? []
    rest = rest.slice(gap.length + word.length)
    if (columnsOf(line + gap + word) <= columns) {
      line += gap + word
      continue
    }
    if (line.trim() !== '') lines.push(line.trimEnd())
    let piece = word
    line = lines.length === 0 && line.trim() === '' ? line + gap : indent
    if (columnsOf(line) >= columns) line = ''
    while (columnsOf(line + piece) > columns) {
      const [head, tail] = splitAt(piece, columns - columnsOf(line))
      lines.push(line + head)
      line = indent
      piece = tail
    }
    line += piece
  }
  if (line.trimEnd() !== '' || lines.length === 0) lines.push(line.trimEnd())
  return lines
}
