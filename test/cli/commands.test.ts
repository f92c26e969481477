/** Every command: `--help` with an example; bad input with what, where, expected, got, hint and the right exit code. */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { pathOf } from '../../src/cli/command.ts'
import { buildProgram, packageVersion } from '../../src/cli/program.ts'
import { runKeyrite } from './run-keyrite.ts'

const tree = buildProgram(() => Promise.reject(new Error('not run')))

function all(command: Command): Command[] {
  return [command, ...command.commands.flatMap(all)]
}
const words = (command: Command): string[] => pathOf(command).split(' ').slice(1)
const commands = all(tree)
const leaves = commands.filter((command) => command.commands.length === 0)

let dir = ''
const at = (name: string): string => join(dir, name)

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'keyrite-cli-'))
  writeFileSync(at('not-yaml'), 'ceremony: [unclosed\n')
  writeFileSync(at('empty'), '')
  writeFileSync(at('text'), 'this is not a share, a key, a proof or a roster\n')
  writeFileSync(at('not-a-module.so'), 'not an ELF file\n')
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it('dynamic imports stand in libraries.ts alone, where the compiler rewrites them for dist', () => {
  const folder = fileURLToPath(new URL('../../src/cli/', import.meta.url))
  const importing = readdirSync(folder).filter((name) =>
    readFileSync(join(folder, name), 'utf8').includes('import('),
  )
  expect(importing).toEqual(['libraries.ts'])
})

describe('help', () => {
  it.concurrent.each(commands.map((command) => [pathOf(command), command] as const))(
    '%s --help shows an example of itself and exits 0',
    async (path, command) => {
      const { code, stdout, stderr } = await runKeyrite([...words(command), '--help'])
      expect(code).toBe(0)
      expect(stderr).toBe('')
      expect(stdout).toMatch(new RegExp(`Examples?:\n  \\$ ${path}\\b`))
      if (command.commands.length === 0) expect(stdout).toContain('--json')
    },
  )

  it('that cannot be written is not told as success', () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const full = openSync('/dev/full', 'w')
    const { status, stderr } = spawnSync(process.execPath, [main, '--version'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    })
    closeSync(full)
    expect([status, stderr]).toEqual([1, expect.stringContaining('(ENOSPC)')])
  })

  it('no example and no option takes a secret', () => {
    for (const command of commands) {
      for (const option of command.options) {
        expect(option.flags).not.toMatch(/pin|pass|secret|force|yes/i)
      }
    }
  })

  it('--version prints the version of the package', async () => {
    expect(await runKeyrite(['--version'])).toEqual({
      code: 0,
      stdout: `${packageVersion()}\n`,
      stderr: '',
    })
  })
})

const COLUMNS = fileURLToPath(new URL('../../ceremonies/fpe-columns.json', import.meta.url))

/** One wrong invocation: arguments after the command, exit code, error code. */
type Wrong = readonly [args: () => string[], exit: number, code: string]
const missing = (): string => at('nothing-here')

/** At least one wrong invocation of every command; the list is compared with the tree below. */
const WRONG: Record<string, readonly Wrong[]> = {
  'keyrite doctor': [
    [() => [missing()], 3, 'MODULE_NOT_FOUND'],
    [() => [at('not-a-module.so')], 3, 'MODULE_INVALID'],
  ],
  'keyrite token list': [
    [() => [], 3, 'CONFIG'],
    [() => ['--module', missing()], 3, 'MODULE_NOT_FOUND'],
    [() => ['--module', at('not-a-module.so')], 3, 'MODULE_INVALID'],
  ],
  'keyrite token show': [[() => ['pkcs11:token=x'], 3, 'CONFIG']],
  'keyrite token init': [[() => ['--label', 'x', '--slot', 'one'], 2, 'USAGE']],
  'keyrite key list': [[() => ['--token', 'pkcs11:token=x'], 3, 'CONFIG']],
  'keyrite key show': [
    [
      () => ['pkcs11:object=x', '--token', 'pkcs11:token=x', '--module', missing()],
      3,
      'MODULE_NOT_FOUND',
    ],
  ],
  ...Object.fromEntries(
    ['encrypt', 'decrypt', 'rewrap'].map((name): [string, readonly Wrong[]] => [
      `keyrite fpe ${name}`,
      [
        [() => [], 2, 'USAGE'],
        [() => ['-c', missing(), '--in', at('text'), '--out', at('out.csv')], 3, 'CONFIG'],
        [() => ['-c', at('text'), '--in', at('text'), '--out', at('out.csv')], 3, 'CONFIG'],
        [() => ['-c', COLUMNS, '--in', missing(), '--out', at('out.csv')], 3, 'CONFIG'],
        [() => ['-c', COLUMNS, '--in', at('text'), '--out', at('out')], 2, 'USAGE'],
        [() => ['-c', COLUMNS, '--in', at('text'), '--out', '-', '--format', 'csv'], 2, 'USAGE'],
        [() => ['-c', COLUMNS, '--in', dir, '--out', at('out.csv')], 3, 'CONFIG'],
        // No module is named.
        [() => ['-c', COLUMNS, '--in', at('text'), '--out', at('out.csv')], 3, 'CONFIG'],
        [
          () => ['-c', COLUMNS, '--in', at('text'), '--out', at('out.csv'), '--batch-rows', '0'],
          2,
          'USAGE',
        ],
      ],
    ]),
  ),
  'keyrite fpe check': [
    [() => ['-c', missing()], 3, 'CONFIG'],
    [() => ['-c', at('text')], 3, 'CONFIG'],
    [() => ['-c', COLUMNS, '--module', missing()], 3, 'MODULE_NOT_FOUND'],
  ],
  // A store that is missing is told before keys are asked for.
  'keyrite embeddings create': [
    [() => ['x', '--store', missing(), '--dimensions', '0', '--seed', missing()], 2, 'USAGE'],
    [() => ['x', '--dimensions', '3', '--seed', missing()], 2, 'USAGE'],
  ],
  'keyrite embeddings state': [
    [() => ['--store', missing()], 3, 'STORE_UNAVAILABLE'],
    [() => ['--store-url-file', at('text')], 3, 'CONFIG'],
    [() => ['--store', 'gopher://x'], 3, 'CONFIG'],
  ],
  'keyrite embeddings drop': [[() => ['x', '--store', missing()], 3, 'STORE_UNAVAILABLE']],
  'keyrite embeddings import': [
    [
      () => ['x', '--in', at('text'), '--store', missing(), '--seed', at('text')],
      3,
      'STORE_UNAVAILABLE',
    ],
    [() => ['x', '--in', at('text'), '--store', missing()], 2, 'USAGE'],
  ],
  'keyrite embeddings kit': [
    [() => ['x', '--out', 'k', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
  ],
  'keyrite embeddings search': [
    [() => ['x', '--query', at('text'), '--store', missing(), '--seed', at('text')], 3, 'FORMAT'],
    [() => ['x', '--query', missing(), '--store', missing(), '--seed', at('text')], 3, 'CONFIG'],
    [
      () => ['x', '--query', at('text'), '--store', missing(), '--seed', 's', '-k', '0'],
      2,
      'USAGE',
    ],
  ],
  'keyrite embeddings get': [
    [() => ['x', 'id', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
    [() => ['x', '--store', missing(), '--seed', at('text')], 2, 'USAGE'],
  ],
  'keyrite embeddings delete': [
    [() => ['x', 'id', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
  ],
  'keyrite embeddings export': [
    [() => ['x', '--out', 'o', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
    [() => ['x', '--out', '-', '--store', missing(), '--seed', at('text')], 3, 'CONFIG'],
  ],
  'keyrite embeddings compact': [
    [() => ['x', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
  ],
  'keyrite embeddings rotate': [
    [() => ['x', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
  ],
  'keyrite embeddings verify': [
    [() => ['x', '--store', missing(), '--seed', at('text')], 3, 'STORE_UNAVAILABLE'],
  ],
  'keyrite embeddings serve': [
    [() => ['--listen', 'unix:s', '--store', missing()], 3, 'STORE_UNAVAILABLE'],
    [() => ['--listen', 'tcp:1', '--store', missing()], 2, 'USAGE'],
  ],
  'keyrite embeddings work': [[() => ['--store', missing()], 3, 'CONFIG']],
  'keyrite custodian keygen': [
    [() => ['--token', 'pkcs11:token=x', '--principal', 'a'], 3, 'CONFIG'],
  ],
  'keyrite custodian share show': [
    [() => [missing()], 3, 'CONFIG'],
    // Nobody can type a passphrase where there is no terminal.
    [() => [at('text')], 3, 'CONFIG'],
    [() => [at('text'), '--identity', at('text')], 1, 'SHARE_UNREADABLE'],
  ],
  'keyrite custodian share verify': [[() => [missing(), '--bundle', dir], 3, 'CONFIG']],
  'keyrite custodian roster check': [
    [() => [missing()], 3, 'CONFIG'],
    [() => [at('text')], 3, 'FORMAT'],
    [() => [dir], 3, 'CONFIG'],
  ],
  'keyrite ceremony lint': [
    [() => [missing()], 3, 'CONFIG'],
    [() => [dir], 3, 'CONFIG'],
    [() => [at('not-yaml')], 3, 'CONFIG'],
    [() => [at('empty')], 3, 'CONFIG'],
  ],
  'keyrite ceremony print': [[() => [missing()], 3, 'CONFIG']],
  'keyrite ceremony rehearse': [[() => [missing(), '--work', at('work')], 3, 'CONFIG']],
  'keyrite ceremony run': [
    [() => [missing(), '--binding', missing(), '--out', at('out')], 3, 'CONFIG'],
  ],
  'keyrite ceremony resume': [[() => [missing(), '--binding', missing()], 3, 'CONFIG']],
  'keyrite ceremony abort': [
    [() => [missing(), '--binding', missing(), '--reason', 'x'], 3, 'CONFIG'],
  ],
  'keyrite ceremony sign': [[() => [missing(), '--as', 'alice', '--key', missing()], 3, 'CONFIG']],
  'keyrite ceremony verify': [
    [() => [missing()], 3, 'CONFIG'],
    [() => [at('text')], 3, 'CONFIG'],
  ],
  'keyrite ceremony report': [[() => [missing()], 3, 'CONFIG']],
  'keyrite audit verify': [
    [() => [missing(), '--vkey', missing()], 3, 'CONFIG'],
    [() => [dir, '--vkey', at('empty')], 3, 'CONFIG'],
    [() => [at('text'), '--vkey', at('text')], 3, 'FORMAT'],
  ],
  'keyrite audit prove': [[() => [dir, '--vkey', missing(), '--index', '0'], 3, 'CONFIG']],
}

const PARTS = ['message', 'where', 'expected', 'got', 'hint'] as const

async function expectRefusal(args: readonly string[], exit: number, code: string): Promise<void> {
  const { code: status, stdout, stderr } = await runKeyrite([...args, '--json'])
  const { error } = JSON.parse(stdout) as { error: Record<string, string> }
  expect({ status, code: error['code'] }, stderr).toEqual({ status: exit, code })
  for (const part of PARTS) expect(error[part], `${part}: ${stderr}`).toEqual(expect.any(String))
  expect(stderr).toMatch(/^error: \S/)
  for (const part of PARTS.slice(1)) expect(stderr).toMatch(new RegExp(`^  ${part}:`, 'm'))
  expect(stderr).not.toMatch(/^\s+at /m)
}

describe('bad input', () => {
  it('covers every command', () => {
    expect(Object.keys(WRONG).sort()).toEqual(leaves.map(pathOf).sort())
  })

  const cases = Object.entries(WRONG).flatMap(([path, list]) =>
    list.map(
      ([args, exit, code], index) => [`${path} #${index + 1}`, path, args, exit, code] as const,
    ),
  )
  it.concurrent.each(cases)('%s', async (_, path, args, exit, code) => {
    await expectRefusal([...path.split(' ').slice(1), ...args()], exit, code)
  })

  it.concurrent.each(leaves.map((leaf) => [pathOf(leaf), leaf] as const))(
    '%s with an unknown option is a usage error',
    (_, leaf) => expectRefusal([...words(leaf), '--no-such-option'], 2, 'USAGE'),
  )

  it.concurrent.each(
    commands
      .filter((command) => command.commands.length > 0)
      .map((group) => [pathOf(group), group] as const),
  )('%s without or with a wrong command is a usage error', async (_, group) => {
    await expectRefusal(words(group), 2, 'USAGE')
    await expectRefusal([...words(group), 'no-such-command'], 2, 'USAGE')
  })

  it('suggests the command and the option that were meant', async () => {
    expect((await runKeyrite(['ceremony', 'lnit'])).stderr).toContain('did you mean lint?')
    expect((await runKeyrite(['token', 'list', '--modul', 'x'])).stderr).toContain(
      'did you mean --module?',
    )
  })

  it('KEYRITE_DEBUG=1 adds code locations without messages', async () => {
    const { stderr } = await runKeyrite(['ceremony', 'lint', missing()], {
      env: { KEYRITE_DEBUG: '1' },
    })
    expect(stderr).toMatch(/^ +at .*read-input\.ts/m)
  })
})
