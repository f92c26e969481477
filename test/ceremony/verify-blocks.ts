/** Runs the commands of a bundle's VERIFY.md as they stand, with the stock tools they name. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Tools a block is about. */
export type Tool = 'sha256sum' | 'find' | 'head' | 'openssl' | 'go' | 'ssh-keygen'

/** One `sh` block. */
export interface Block {
  readonly tool: Tool
  readonly text: string
}

const TOOLS: readonly [RegExp, Tool][] = [
  [/ssh-keygen -Y verify/, 'ssh-keygen'],
  [/go run/, 'go'],
  [/openssl/, 'openssl'],
  [/--check --strict/, 'sha256sum'],
  [/find \./, 'find'],
  [/head -n 1/, 'head'],
]

/** All blocks of a guide, in order. */
export function blocksOf(dir: string): Block[] {
  const guide = readFileSync(join(dir, 'VERIFY.md'), 'utf8')
  return [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, text = '']) => {
    const tool = TOOLS.find(([pattern]) => pattern.test(text))?.[1]
    if (tool === undefined) throw new RangeError(text)
    return { tool, text }
  })
}

/** Runs a block in the bundle directory with /bin/sh. Go's own network is switched off. */
export function runBlock(
  dir: string,
  { text }: Block,
  env: Record<string, string> = {},
): { readonly ok: boolean; readonly output: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', text], {
    cwd: dir,
    encoding: 'utf8',
    env: { ...process.env, GOPROXY: 'off', ...env },
  })
  return { ok: status === 0, output: stdout + stderr }
}

/** Tools whose blocks fail; `blocks` are those of the untouched bundle. */
export function failingTools(
  dir: string,
  blocks: readonly Block[],
  env: Record<string, string> = {},
): Tool[] {
  const failed = blocks.filter((block) => !runBlock(dir, block, env).ok).map(({ tool }) => tool)
  return [...new Set(failed)].sort()
}
