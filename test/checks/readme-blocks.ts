/** Reads the code blocks of a Markdown file with the marker that says what a check does with each. */

/** A fenced block. */
export interface Block {
  readonly language: string
  readonly code: string
  /** Text of the comment directly before the block, e.g. `run` or `not run: needs people`. */
  readonly marker: string | undefined
  /** Nearest heading above. */
  readonly heading: string
  /** 1-based line of the opening fence. */
  readonly line: number
}

/** All fenced blocks, in order. */
export function blocksOf(markdown: string): Block[] {
  const lines = markdown.split('\n')
  const blocks: Block[] = []
  let heading = ''
  let marker: string | undefined
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? ''
    const fence = /^```(\w*)$/.exec(line)
    if (fence === null) {
      heading = /^#+ (.+)$/.exec(line)?.[1] ?? heading
      if (line !== '') marker = /^<!-- (.+) -->$/.exec(line)?.[1]
      continue
    }
    const end = lines.indexOf('```', at + 1)
    if (end < 0) throw new Error(`line ${at + 1}: block without end`)
    const code = `${lines.slice(at + 1, end).join('\n')}\n`
    blocks.push({ language: fence[1] ?? '', code, marker, heading, line: at + 1 })
    marker = undefined
    at = end
  }
  return blocks
}

/** A terminal session: its commands as one script, and the pattern of its standard output. */
export function sessionOf(code: string): { script: string; output: RegExp } {
  const script: string[] = []
  const output: string[] = []
  let continued = false
  for (const line of code.trimEnd().split('\n')) {
    const command: string | undefined = continued ? line : /^\$ (.*)$/.exec(line)?.[1]
    if (command === undefined) output.push(line)
    else script.push(command)
    continued = command?.endsWith('\\') ?? false
  }
  return { script: script.join('\n'), output: outputPattern(output) }
}

const escaped = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)

/** Lines of output; `…` stands for any text within a line, alone on a line for any lines. */
export function outputPattern(lines: readonly string[]): RegExp {
  const pattern = lines.map((line) =>
    line === '…' ? '(?:.*\\n)*?' : `${line.split('…').map(escaped).join('.*')}\\n`,
  )
  return new RegExp(`^${pattern.join('')}$`)
}

/** What each `console.log(...) // text` of a program says it prints, in order. */
export const promisedLines = (code: string): string[] =>
  code.split('\n').flatMap((line) => /console\.log\(.*\) \/\/ (.+)$/.exec(line)?.[1] ?? [])
