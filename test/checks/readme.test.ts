/** README.md is executed: its terminal session, its shell blocks, its recipes; its names and links exist. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { RULE_IDS } from '../../src/ceremony/lint-rules.ts'
import { REQUIREMENT_IDS } from '../../src/ceremony/requirements.ts'
import { buildProgram } from '../../src/cli/program.ts'
import type { DoctorReport } from '../../src/pkcs11/index.ts'
import { runDoctor } from '../../src/pkcs11/index.ts'
import { SOFTHSM_MODULE, printSkip, scratch, softHsm } from '../tokens.ts'
import { type Clone, ROOT, builtClone } from './clone.ts'
import { type Block, blocksOf, outputPattern, promisedLines, sessionOf } from './readme-blocks.ts'

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const DOCUMENTS = [
  'README.md',
  'ceremonies/README.md',
  '.github/SECURITY.md',
  '.github/CONTRIBUTING.md',
  '.github/ASSURANCE.md',
]
const blocks = blocksOf(README)
const QUICK_START = 'run: quick start'
const CI = 'run: by .ci/run on a clean clone'
const WITH_TOKEN = 'run: on a token called service'
const WITH_BUNDLE = 'run: with the bundle of the session above as argument'
/** Markers this file knows what to do with, by language. */
const MARKERS: Readonly<Record<string, readonly string[]>> = {
  console: ['run'],
  sh: ['run', CI, WITH_TOKEN],
  ts: ['run', QUICK_START, WITH_BUNDLE],
}
const marked = (language: string, ...markers: string[]): Block[] =>
  blocks.filter((block) => block.language === language && markers.includes(block.marker ?? ''))

let clone: Clone
let cleanUp: (() => void)[] = []
beforeAll(() => {
  clone = builtClone()
  cleanUp.push(() => clone[Symbol.dispose]())
})
afterAll(() => {
  for (const undo of cleanUp.reverse()) undo()
  cleanUp = []
})

/** SOFTHSM2_CONF of this process, and so of its children, points at new tokens. */
function newTokens() {
  const hsm = softHsm()
  cleanUp.push(() => hsm.cleanup())
  return hsm
}

describe('blocks', () => {
  it('each say what this test does with them', () => {
    const unknown = blocks.filter(
      ({ language, marker = '' }) =>
        !marker.startsWith('not run: ') && MARKERS[language]?.includes(marker) !== true,
    )
    expect(unknown.map(({ line, language, marker }) => ({ line, language, marker }))).toEqual([])
    expect(marked('ts', QUICK_START)).toHaveLength(1)
    expect(marked('console', 'run')).toHaveLength(1)
  })

  it('that are not run give a reason', () => {
    const skipped = blocks.filter(({ marker }) => marker?.startsWith('not run'))
    for (const { line, marker } of skipped) printSkip(`README.md:${line}: ${marker ?? ''}`)
    expect(skipped.filter(({ marker }) => !/^not run: .{10,}/.test(marker ?? ''))).toEqual([])
  })

  it('that only a clean clone can run stand in .ci/run', () => {
    const ci = readFileSync(join(ROOT, '.ci/run'), 'utf8').split('\n')
    const commands = marked('sh', CI).flatMap(({ code }) => code.match(/npm [a-z ]*[a-z]/g) ?? [])
    expect(commands).toContain('npm run demo')
    expect(commands.filter((command) => !ci.includes(command))).toEqual([])
  })
})

/** Runs the terminal session once; later blocks use the bundle it makes. */
let sessionWork: string | undefined
function session(): { output: string; expected: RegExp; work: string } {
  const [block] = marked('console', 'run')
  const { script, output: expected } = sessionOf(block?.code ?? '')
  const temporary = scratch('readme')
  cleanUp.push(() => execFileSync('rm', ['-rf', temporary]))
  const { stdout, stderr, status } = spawnSync(
    'bash',
    ['-euo', 'pipefail', '-c', `${script}\nprintf %s "$work" > "$TMPDIR/work"`],
    { cwd: clone.dir, env: clone.env(temporary), encoding: 'utf8' },
  )
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
  sessionWork = readFileSync(join(temporary, 'work'), 'utf8')
  return { output: stdout, expected, work: sessionWork }
}

describe('the reader of blocks', () => {
  it('sees languages, markers and sessions', () => {
    const text = '# A\n\n<!-- run -->\n\n```sh\necho 1\n```\n\n```ts\n# B\n```\n'
    expect(blocksOf(text)).toEqual([
      { language: 'sh', code: 'echo 1\n', marker: 'run', heading: 'A', line: 5 },
      { language: 'ts', code: '# B\n', marker: undefined, heading: 'A', line: 9 },
    ])
    const { script, output } = sessionOf('$ one \\\n  more\n…\nx (… y\n$ two\n')
    expect(script).toBe('one \\\n  more\ntwo')
    expect('a\nb\nx (1 y\n').toMatch(output)
    expect('x (1 y\nb\n').not.toMatch(output)
    expect(promisedLines('console.log(1) // 1\nconsole.log(2)\n')).toEqual(['1'])
  })
})

describe('the terminal session', () => {
  it('runs and prints what the README shows', { timeout: 180_000 }, () => {
    const { output, expected } = session()
    expect(output).toMatch(expected)
  })
})

describe('shell blocks', () => {
  it.each(marked('sh', 'run', WITH_TOKEN))(
    '$heading, line $line',
    { timeout: 120_000 },
    ({ code, marker }) => {
      newTokens().tokens('service')
      const printed = execFileSync('bash', ['-euo', 'pipefail', '-c', code], {
        cwd: clone.dir,
        env: clone.env(),
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const document = JSON.parse(printed) as object
      if (marker !== WITH_TOKEN) {
        expect(document).toHaveProperty('evidence')
        return
      }
      const report = document as DoctorReport
      expect(report.probed?.label).toBe('service')
      expect(report.enforcement.length).toBeGreaterThan(0)
    },
  )
})

describe('recipes', () => {
  const [start] = marked('ts', QUICK_START)
  const recipes = marked('ts', QUICK_START, 'run', WITH_BUNDLE).map((block, at) => ({
    ...block,
    // Each recipe goes on where the quick start ends.
    program: block.marker === QUICK_START ? block.code : `${start?.code ?? ''}\n${block.code}`,
    file: `recipe-${at}.ts`,
  }))
  let folder: string
  beforeAll(() => {
    folder = join(clone.dir, 'recipes')
    mkdirSync(folder)
    for (const { file, program } of recipes) writeFileSync(join(folder, file), program)
    const config = { extends: '../tsconfig.json', include: ['*.ts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  })

  it('pass the type check against the built declarations', () => {
    const { stdout } = spawnSync('tsc', ['-p', folder], { encoding: 'utf8' })
    expect(stdout).toBe('')
  })

  it.each(recipes)('$heading, line $line', { timeout: 240_000 }, ({ file, program, marker }) => {
    const hsm = newTokens()
    const bundle =
      marker === WITH_BUNDLE
        ? [join(sessionWork ?? session().work, 'rehearsal', 'generate-fpe-key')]
        : []
    process.env['SOFTHSM2_CONF'] = hsm.conf
    const printed = execFileSync(process.execPath, [join(folder, file), ...bundle], {
      cwd: clone.dir,
      encoding: 'utf8',
    })
    const promised = promisedLines(program)
    expect(promised.length).toBeGreaterThan(0)
    expect(printed).toMatch(outputPattern(['…', ...promised.flatMap((line) => [line, '…'])]))
  })

  it('are at most twelve lines long', () => {
    const long = recipes.filter(
      ({ code, marker }) =>
        marker !== QUICK_START && code.split('\n').filter((line) => line !== '').length > 12,
    )
    expect(long.map(({ heading }) => heading)).toEqual([])
  })
})

describe('numbers', () => {
  const numberIn = (sentence: RegExp): number => Number(sentence.exec(README)?.[1])

  it('are those of the tables', () => {
    expect(numberIn(/linted by (\d+) rules/)).toBe(RULE_IDS.length)
    expect(numberIn(/against (\d+) requirements/)).toBe(REQUIREMENT_IDS.length)
  })

  it('of attacks is what the doctor mounts', async () => {
    const { service } = newTokens().tokens('service')
    const { enforcement } = await runDoctor(SOFTHSM_MODULE, {
      tokenUri: service.uri,
      pin: service.userPin(),
    })
    const mounted = enforcement.filter(({ verdict }) => verdict.endsWith('enforced'))
    expect(numberIn(/tries (\d+) attacks/)).toBe(mounted.length)
  })
})

describe('names', () => {
  const program = buildProgram(() => Promise.resolve())
  const child = (command: Command, name: string) =>
    command.commands.find((each) => each.name() === name)
  const leaves = (command: Command, path: string): string[] =>
    command.commands.flatMap((each) => {
      const name = `${path} ${each.name()}`.trim()
      return each.commands.length === 0 ? [name] : leaves(each, name)
    })
  /** The words after `keyrite`, read down the command tree; the first one that leads nowhere. */
  function deadWord(words: readonly string[]): string | undefined {
    let at: Command = program
    for (const word of words) {
      if (at.commands.length === 0) return undefined
      const next = child(at, word)
      if (next === undefined) return word
      at = next
    }
    return undefined
  }

  it('of commands are those of the program, and all of them', () => {
    const table = README.slice(README.indexOf('## Command line'))
    const named = [...table.matchAll(/`(?:keyrite )?([a-z]+(?: [a-z]+)*)`/g)].map(
      ([, name]) => name,
    )
    expect(leaves(program, '').filter((leaf) => !named.includes(leaf))).toEqual([])
  })

  it.each(DOCUMENTS)('of commands and options in %s exist', (file) => {
    const text = readFileSync(join(ROOT, file), 'utf8')
    const dead: string[] = []
    for (const [, line = ''] of text.matchAll(/(?:`|\$ |npx |^)keyrite ((?:(?!&&)[^`\n])+)/gm)) {
      const words = line.split(/\s+/).filter((word) => word !== '')
      const path = words.slice(0, words.findIndex((word) => !/^[a-z]+$/.test(word)) >>> 0)
      const word = deadWord(path)
      if (word !== undefined) dead.push(`${word} in: keyrite ${line}`)
      let at: Command = program
      for (const name of path) at = child(at, name) ?? at
      for (const option of words.filter((each) => /^--[a-z]/.test(each))) {
        const known = at.options.some(({ long }) => long === option) || option === '--help'
        if (!known) dead.push(`${option} in: keyrite ${line}`)
      }
    }
    expect(dead).toEqual([])
  })

  it.each(DOCUMENTS)('of files in %s exist', (file) => {
    const text = readFileSync(join(ROOT, file), 'utf8')
    const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^(?:https?|mailto):/.test(target))
      .map((target) => join(dirname(file), target))
    const paths = [...text.matchAll(/`((?:src|test|ceremonies|bindings|softhsm|\.ci)\/[\w./-]*)`/g)]
    const all = [...links, ...paths.map(([, path = '']) => path)]
    expect(all.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })
})
