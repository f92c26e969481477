/**
 * That no branch, address or division in the addon's rounds depends on a numeral: see `timing-check.cc`. Says
 * nothing about the TypeScript rounds, which make no such promise, nor about the AES of a token or of OpenSSL.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { printSkip, scratch } from '../tokens.ts'

const BINDINGS = join(import.meta.dirname, '..', '..', 'bindings')
/** What node-gyp compiles the addon with, as far as it bears on the code that is made. */
const FLAGS = [
  ...['-std=c++17', '-O3', '-g', '-fno-omit-frame-pointer', '-fstack-protector-strong'],
  ...['-fexceptions', '-fvisibility=hidden', '-D_FORTIFY_SOURCE=2', '-I', BINDINGS],
]
const SOURCES = ['feistel', 'feistel_group', 'feistel_rounds', 'feistel_symbols', 'secret']

const dir = scratch('timing')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const has = (command: string) => spawnSync(command, ['--version']).status === 0
const missing = [
  ...['g++', 'objdump', 'valgrind'].filter((command) => !has(command)),
  ...['/usr/include/valgrind/memcheck.h'].filter((path) => !existsSync(path)),
]
if (missing.length > 0) printSkip(`timing of the addon's rounds: no ${missing.join(', ')}`)

describe.skipIf(missing.length > 0)('rounds, parsing and formatting', () => {
  it.each(['feistel_rounds', 'feistel_symbols'])('%s divides by no instruction', (name) => {
    const object = join(dir, `${name}.o`)
    execFileSync('g++', [...FLAGS, '-c', '-o', object, join(BINDINGS, `${name}.cc`)])
    const code = execFileSync('objdump', ['-dr', '--no-show-raw-insn', object], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    })
    expect(code).toMatch(/\bi?mul/)
    expect(
      code.split('\n').filter((line) => /\t[a-z]*div[a-z]*\b|__u?(div|mod)/.test(line)),
    ).toEqual([])
  })

  it('branch on nothing but the fact that a symbol is unknown, and look nothing up', () => {
    const program = join(dir, 'timing-check')
    const sources = SOURCES.map((name) => join(BINDINGS, `${name}.cc`))
    execFileSync('g++', [
      ...FLAGS,
      ...['-o', program, join(import.meta.dirname, 'timing-check.cc')],
      ...sources,
    ])
    const run = (...args: string[]) => {
      const options = ['-q', '--read-inline-info=yes', '--error-limit=no', program, ...args]
      const { stdout, stderr, status } = spawnSync('valgrind', options, { encoding: 'utf8' })
      const [, ...reports] = stderr.split(/ (?=Conditional jump|Use of uninit|Syscall param)/)
      const places = reports.map((report) => /\(([\w.-]+:\d+)\)/.exec(report)?.[1] ?? report)
      return { stdout, status, places: [...new Set(places)] }
    }
    const { stdout, status, places } = run()
    expect(stdout).toMatch(/^cases \d{3}\n$/)
    expect(status).toBe(0)
    const lines = readFileSync(join(BINDINGS, 'feistel_symbols.cc'), 'utf8').split('\n')
    const validity = lines.findIndex((line) =>
      line.includes('symbols.Parse(0, segment.count) == 0'),
    )
    expect(places).toEqual([`feistel_symbols.cc:${validity + 1}`])

    const control = run('control')
    const own = control.places.filter((place) => place.startsWith('timing-check.cc:'))
    expect(own.length).toBe(2)
  })
})
