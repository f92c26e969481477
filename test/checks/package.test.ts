/** What is published: the files of the tarball, its dependencies, and that a user can install and run it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { SOFTHSM_MODULE, softHsm } from '../tokens.ts'
import { type Clone, ROOT, builtClone } from './clone.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly bin: Readonly<Record<string, string>>
  readonly files: readonly string[]
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly allowScripts: Readonly<Record<string, boolean>>
}
interface LockedPackage {
  readonly version: string
  readonly resolved?: string
  readonly integrity?: string
  readonly hasInstallScript?: boolean
}
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const manifest = JSON.parse(read('package.json')) as Manifest
const { '': self, ...locked } = (
  JSON.parse(read('package-lock.json')) as { packages: Record<string, LockedPackage> }
).packages
const { dependencies, devDependencies, peerDependencies = {} } = manifest

describe('dependencies', () => {
  it('are pinned to one version each, and the lockfile has it', () => {
    const all = { ...dependencies, ...devDependencies }
    const loose = Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
    expect(loose).toEqual([])
    const differ = Object.entries(all).filter(
      ([name, version]) => locked[`node_modules/${name}`]?.version !== version,
    )
    expect(differ).toEqual([])
    expect(self).toMatchObject({ version: manifest.version, dependencies, devDependencies })
  })

  it('that the caller installs may be newer than those of the tests, not older', () => {
    const tested = Object.entries({ ...dependencies, ...devDependencies })
    const expected = tested
      .filter(([name]) => name in peerDependencies)
      .map(([name, version]) => [name, `^${version}`])
    expect(Object.entries(peerDependencies).sort()).toEqual(expected.sort())
  })

  it('are locked by hash and not by host', () => {
    const entries = Object.entries(locked)
    expect(entries.filter(([, { resolved }]) => resolved !== undefined)).toEqual([])
    expect(entries.filter(([, { integrity }]) => !/^sha512-/.test(integrity ?? ''))).toEqual([])
    expect(entries.length).toBeGreaterThan(10)
  })

  it('that run install scripts are those that may', () => {
    const scripted = Object.entries(locked)
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
    const installed = scripted.filter((name) => `node_modules/${name}` in locked)
    const allowed = Object.keys(manifest.allowScripts)
    // pkcs11js compiles through its binding.gyp, which the lockfile may or may not count as a script.
    expect(installed.filter((name) => !allowed.includes(name))).toEqual([])
    const compiles = (name: string): boolean =>
      readdirSync(join(ROOT, 'node_modules', name)).includes('binding.gyp')
    expect(allowed.filter((name) => !scripted.includes(name) && !compiles(name))).toEqual([])
    expect(Object.values(manifest.allowScripts)).toEqual(allowed.map(() => true))
  })
})

describe('the tarball', () => {
  let clone: Clone
  let paths: string[]
  beforeAll(() => {
    clone = builtClone()
    const printed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--silent'], {
      cwd: clone.dir,
      env: clone.env(),
      encoding: 'utf8',
    })
    const [packed] = JSON.parse(printed) as { files: { path: string }[] }[]
    paths = packed?.files.map(({ path }) => path) ?? []
  })
  afterAll(() => clone[Symbol.dispose]())

  it('holds the built library, each source file once, and nothing else in dist', () => {
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => path.slice(0, -3))
    const built = sources.flatMap((path) => [`dist/${path}.js`, `dist/${path}.d.ts`])
    expect(paths.filter((path) => path.startsWith('dist/')).toSorted()).toEqual(built.toSorted())
  })

  it('holds the plans, the addon source, the token scripts, and no more', () => {
    const below = (folder: string, pattern: RegExp): string[] =>
      readdirSync(join(ROOT, folder))
        .filter((name) => pattern.test(name))
        .map((name) => `${folder}/${name}`)
    const expected = [
      'LICENSE',
      'README.md',
      'package.json',
      'src/audit/verify.go', // copied into every bundle
      ...below('ceremonies', /./),
      'softhsm/up.sh',
      ...below('bindings', /\.(?:cc|h|mjs|map)$|^binding\.gyp$/),
    ]
    expect(paths.filter((path) => !path.startsWith('dist/')).toSorted()).toEqual(
      expected.toSorted(),
    )
  })

  it('installs without development dependencies, compiles and runs', { timeout: 180_000 }, () => {
    const consumer = join(dirname(clone.dir), 'consumer')
    const modules = join(consumer, 'node_modules')
    const home = join(modules, 'keyrite')
    mkdirSync(home, { recursive: true })
    const tarball = join(clone.dir, `keyrite-${manifest.version}.tgz`)
    execFileSync('tar', ['-xzf', tarball, '-C', home, '--strip-components=1'])
    // What an installer would fetch; anything imported that is not in `dependencies` is missing here.
    for (const name of Object.keys(dependencies)) {
      mkdirSync(dirname(join(modules, name)), { recursive: true })
      symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
    }
    const hsm = softHsm()
    try {
      const { vault } = hsm.tokens('vault')
      const env = clone.env()
      execFileSync('npm', ['run', '--silent', 'install'], { cwd: home, env, stdio: 'pipe' })
      writeFileSync(join(consumer, 'package.json'), '{ "type": "module" }')
      writeFileSync(
        join(consumer, 'program.js'),
        `import { loadModule } from 'keyrite/pkcs11'
         await using hsm = await loadModule(${JSON.stringify(SOFTHSM_MODULE)})
         await using token = await hsm.open('pkcs11:token=vault')
         const inventory = await token.inventory()
         console.log(token.info.serial, inventory.length)\n`,
      )
      const node = (...args: string[]): string =>
        execFileSync(process.execPath, args, { cwd: consumer, env, encoding: 'utf8' })
      expect(node('program.js')).toBe(`${vault.serial} 0\n`)
      const bin = join(home, manifest.bin['keyrite'] ?? '')
      expect(node(bin, '--version')).toBe(`${manifest.version}\n`)
      const plan = join(home, 'ceremonies', 'generate-fpe-key.yaml')
      expect(node(bin, 'ceremony', 'lint', plan)).toContain('0 errors')
    } finally {
      hsm.cleanup()
    }
  })
})
