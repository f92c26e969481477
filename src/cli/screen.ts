/**
 * Text for people: printable, wrapped to the terminal, never moving the cursor, so that it reads the
 * same on an 80x24 terminal, a dumb one, in `script`(1) and in a file.
 */
import { styleText } from 'node:util'

/** Styles used; none carries meaning that the words do not. */
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

const MIN_COLUMNS = 40
const MAX_COLUMNS = 100

/**
 * Unicode ranges drawn two columns wide (UAX #11, classes W and F, the common blocks).
 */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const ZERO_WIDTH = /^\p{M}$/u

/**
 * Makes foreign text (labels, names, titles) safe to print: control, format and bidirectional override
 * characters, which could rewrite the screen or reorder what is read, become `<U+XXXX>`.
 */
export function printable(text: string): string {
  return text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, (char) => {
    const code = char.codePointAt(0) ?? 0
    return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
  })
}

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

/** A writer of human text on one stream. */
export interface Screen {
  /** Columns available. */
  readonly columns: number
  /** Writes lines, sanitised and wrapped with `hang` spaces on continuation lines. */
  print(text?: string, options?: { readonly hang?: number; readonly style?: Style }): void
  /** Writes one sanitised line as it is, however long: for what people copy, such as commands and paths. */
  verbatim(text: string, options?: { readonly style?: Style }): void
  /** Writes text without a newline: the prompt before an answer. */
  ask(prompt: string): void
}

/** What a screen needs to know of a stream. */
export interface ScreenStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** Colours only where a terminal shows them and nobody opted out (https://no-color.org). */
export function createScreen(
  stream: ScreenStream,
  environment: Readonly<Record<string, string | undefined>>,
): Screen {
  const colour =
    stream.isTTY === true &&
    (environment['NO_COLOR'] ?? '') === '' &&
    environment['TERM'] !== 'dumb'
  const width = (): number =>
    Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, (stream.columns ?? 80) || 80)) - 1
  const styled = (text: string, style: Style | undefined): string =>
    colour && style !== undefined ? styleText(style, text, { validateStream: false }) : text
  return {
    get columns() {
      return width()
    },
    print(text = '', { hang = 0, style } = {}) {
      for (const part of text.split('\n')) {
        for (const line of wrap(printable(part), width(), hang)) {
          stream.write(`${styled(line, style)}\n`)
        }
      }
    },
    verbatim(text, { style } = {}) {
      stream.write(`${styled(printable(text), style)}\n`)
    },
    ask(prompt) {
      stream.write(styled(wrap(printable(prompt), width()).join('\n'), 'bold') + ' ')
    },
  }
}
