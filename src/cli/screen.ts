/**
 * Text for people: printable, wrapped to the terminal, never moving the cursor, so that it reads the
 * same on an 80x24 terminal, a dumb one, in `script`(1) and in a file.
 */
import { styleText } from 'node:util'

import { printable, wrap } from '../plain-text.ts'

/** Styles used; none carries meaning that the words do not. */
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'

const MIN_COLUMNS = 40
const MAX_COLUMNS = 100

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
