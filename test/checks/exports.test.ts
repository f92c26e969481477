/** DESIGN's public surface: subpath export = folder of src = section of the README, and what importing one loads. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Clone, ROOT, builtClone } from './clone.ts'

interface Target {
  readonly types: string
  readonly default: string
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, Target | string>
  sideEffects: boolean
  dependencies: Record<string, string>
}
const { dependencies } = manifest
const { './package.json': own, ...exported } = manifest.exports as Record<string, Target>
const subpaths = Object.keys(exported)
/** All subpaths there will ever be; later parts add theirs. */
const NAMES =
  'errors pkcs11 fpe he envelope rbac policy audit quorum lifecycle ceremony evidence'.split(' ')
const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)

/** Parts of a folder: for processes that must not load the rest, or with the types of an optional peer. */
const DOORS: Readonly<Record<string, string>> = {
  './he/scorer': 'he/scorer-side',
  './he/ingest': 'he/ingest-side',
  './he/langchain': 'he/langchain',
}
/** The door for users of an optional peer: nothing else may need the types of one. */
const LANGCHAIN = './he/langchain'

describe('exports', () => {
  it('are the root, the errors, every folder below the command line, and the doors', () => {
    const expected = [
      '.',
      './errors',
      ...folders.filter((f) => f !== 'cli').map((f) => `./${f}`),
      ...Object.keys(DOORS),
    ]
    expect(subpaths.toSorted()).toEqual(expected.toSorted())
    expect(own).toBe('./package.json')
    expect(manifest.sideEffects).toBe(false)
  })

  it('have the names of the design', () => {
    const names = subpaths
      .filter((path) => path !== '.' && !(path in DOORS))
      .map((path) => path.slice(2))
    expect(names.filter((name) => !NAMES.includes(name))).toEqual([])
  })

  it('each have a section in the README', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const sections = [...readme.matchAll(/^### (.+)$/gm)].flatMap(([, line = '']) =>
      line.split(', '),
    )
    const names = subpaths
      .filter((path) => path !== '.' && !(path in DOORS))
      .map((path) => path.slice(2))
    expect(names.filter((name) => !sections.includes(name))).toEqual([])
  })

  it.each(Object.entries(exported))('%s names its source in dist', (path, target) => {
    const name =
      DOORS[path] ??
      (path === '.' ? 'index' : path === './errors' ? 'errors' : `${path.slice(2)}/index`)
    expect(target).toEqual({ types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` })
    expect(existsSync(join(ROOT, 'src', `${name}.ts`))).toBe(true)
  })
})

describe('importing', () => {
  let clone: Clone
  beforeAll(() => {
    clone = builtClone()
  })
  afterAll(() => clone[Symbol.dispose]())

  /** Imports a subpath in a process of its own; what it exports, and the native code it loaded. */
  function imported(subpath: string): { names: string[]; native: string[] } {
    const program = `
      const module = await import(${JSON.stringify(`keyrite${subpath.slice(1)}`)})
      const native = process.report.getReport().sharedObjects.filter((path) => path.endsWith('.node'))
      console.log(JSON.stringify({ names: Object.keys(module), native }))`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: clone.dir,
      encoding: 'utf8',
    })
    return JSON.parse(printed) as { names: string[]; native: string[] }
  }

  it.each(subpaths)('%s works, and loads no native code before it is asked to', (subpath) => {
    const { names, native } = imported(subpath)
    expect(names.length).toBeGreaterThan(0)
    expect(native).toEqual([])
  })

  it.each([
    ['without optional peers', subpaths.filter((subpath) => subpath !== LANGCHAIN), []],
    ['with LangChain.js', [LANGCHAIN], ['@langchain/core']],
  ])('compiles for callers who check libraries too, %s', (_, imports, peers) => {
    const caller = mkdtempSync(join(clone.dir, '..', 'caller-'))
    const packages = join(caller, 'node_modules')
    const installed = ['@types/node', 'undici-types', ...Object.keys(dependencies), ...peers]
    for (const name of installed) {
      mkdirSync(dirname(join(packages, name)), { recursive: true })
      symlinkSync(join(ROOT, 'node_modules', name), join(packages, name))
    }
    for (const part of ['package.json', 'dist']) {
      cpSync(join(clone.dir, part), join(packages, 'keyrite', part), { recursive: true })
    }
    const program = imports.map((subpath, at) => {
      return `export * as part${at} from ${JSON.stringify(`keyrite${subpath.slice(1)}`)}\n`
    })
    writeFileSync(join(caller, 'caller.ts'), program.join(''))
    const options =
      '--strict --noEmit --skipLibCheck false --module nodenext --target es2024 --lib es2024,esnext.disposable --types node'
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const { stdout } = spawnSync(process.execPath, [tsc, ...options.split(' '), 'caller.ts'], {
      cwd: caller,
      encoding: 'utf8',
    })
    expect(stdout).toBe('')
  })

  it('the root brings nothing but errors', () => {
    const { names } = imported('.')
    expect(names.filter((name) => !name.endsWith('Error'))).toEqual([])
    expect(names).toContain('KeyriteError')
  })

  it('anything else is refused', () => {
    const attempt = "await import('keyrite/cli/main.js')"
    expect(() =>
      execFileSync(process.execPath, ['--input-type=module', '-e', attempt], {
        cwd: clone.dir,
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    ).toThrow(/ERR_PACKAGE_PATH_NOT_EXPORTED/)
  })

  it('native code is seen when it is loaded', () => {
    const program = `
      import { loadModule } from 'keyrite/pkcs11'
      await loadModule('/nonexistent.so').catch(() => undefined)
      process.dlopen({ exports: {} }, ${JSON.stringify(join(ROOT, 'bindings/build/Release/keyrite.node'))})
      console.log(process.report.getReport().sharedObjects.some((path) => path.endsWith('.node')))`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: clone.dir,
      encoding: 'utf8',
    })
    expect(printed.trim()).toBe('true')
  })
})
