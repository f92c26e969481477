/** DESIGN §2, read off the source: which file may import what, and what may be named how. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'

import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const SRC = join(ROOT, 'src')

/** Folders by layer; layer 0 is the files directly in src. */
const LAYERS: readonly (readonly string[])[] = [
  [''],
  ['pkcs11', 'fpe', 'he', 'envelope', 'audit', 'quorum', 'policy'],
  ['lifecycle', 'rbac', 'evidence'],
  ['ceremony'],
  ['cli'],
]
/**
 * The one file that may load a heavy dependency; its types may be named elsewhere in the same folder.
 * `types`: not even that file loads it, the caller brings it.
 */
const HEAVY: Readonly<Record<string, { file: string; use: 'load' | 'types' }>> = {
  pkcs11js: { file: 'pkcs11/native.ts', use: 'load' },
  'graphene-pk11': { file: 'pkcs11/graphene.ts', use: 'types' },
  'node-seal': { file: 'he/seal.ts', use: 'load' },
  '@cedar-policy/cedar-wasm': { file: 'policy/cedar.ts', use: 'load' },
  pg: { file: 'he/postgres.ts', use: 'load' },
  'pg-copy-streams': { file: 'he/postgres.ts', use: 'load' },
  '@langchain/core': { file: 'he/langchain.ts', use: 'load' },
  '@hpke/core': { file: 'he/ingest-kit.ts', use: 'load' },
}
const NATIVE_FILE = 'addon.ts'
/** Further doors of a folder: parts that a process may load without the rest (test/he/roles.test.ts). */
const DOORS: readonly string[] = ['he/scorer-side.ts', 'he/ingest-side.ts']
/** Drawer words: a file is named after the one thing that is in it. */
const FORBIDDEN_NAMES =
  /(?:^|[-_.])(?:utils?|commons?|helpers?|misc|managers?|services?|handlers?)(?:$|[-_.])/i
const MAX_LINES = 400

interface Import {
  readonly specifier: string
  readonly typesOnly: boolean
  /** By `import()`: only when it is needed. */
  readonly dynamic: boolean
}

interface Source {
  /** Path below src, with slashes. */
  readonly path: string
  readonly folder: string
  readonly layer: number
  readonly text: string
  readonly tree: ts.SourceFile
  readonly imports: readonly Import[]
}

/** Every way a module can name another: import, export from, import(), require(), import types. */
function importsOf(tree: ts.SourceFile): Import[] {
  const found: Import[] = []
  const add = (node: ts.Node | undefined, typesOnly: boolean, dynamic = false) => {
    if (node !== undefined && ts.isStringLiteralLike(node)) {
      found.push({ specifier: node.text, typesOnly, dynamic })
    }
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause
      const named = clause?.namedBindings
      const allTypes =
        clause?.name === undefined &&
        named !== undefined &&
        ts.isNamedImports(named) &&
        named.elements.length > 0 &&
        named.elements.every((element) => element.isTypeOnly)
      add(node.moduleSpecifier, clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || allTypes)
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true)
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression
      const loads =
        callee.kind === ts.SyntaxKind.ImportKeyword ||
        (ts.isIdentifier(callee) && callee.text === 'require') ||
        (ts.isPropertyAccessExpression(callee) && callee.name.text === 'resolve')
      if (loads) add(node.arguments[0], false, callee.kind === ts.SyntaxKind.ImportKeyword)
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

const sources: readonly Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .sort()
  .map((path) => {
    const text = readFileSync(join(SRC, path), 'utf8')
    const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
    const folder = path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
    const layer = LAYERS.findIndex((folders) => folders.includes(folder))
    return { path, folder, layer, text, tree, imports: importsOf(tree) }
  })
const byPath = new Map(sources.map((source) => [source.path, source]))

const isRelative = ({ specifier }: Import): boolean => specifier.startsWith('.')
/** The path below src that a relative import means. */
const target = (source: Source, { specifier }: Import): string =>
  relative(SRC, resolve(SRC, dirname(source.path), specifier))
/** `@scope/name` or `name` of a package import. */
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')

/** All lines that break a rule, so that one run shows everything. */
function violations(rule: (source: Source) => readonly string[]): string[] {
  return sources.flatMap((source) => rule(source).map((what) => `${source.path}: ${what}`))
}

describe('the reader of imports', () => {
  it('sees every form', () => {
    const text = `
      import a from 'a'
      import type { B } from 'b'
      import { type C } from 'c'
      import { d, type D } from 'd'
      import 'e'
      export * from 'f'
      export type { G } from 'g'
      const h = await import('h')
      type I = import('i').I
      const j = require('j')
      const k = require.resolve('k')
    `
    const tree = ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true)
    const values = ['a', 'd', 'e', 'f', 'h', 'j', 'k']
    const found = importsOf(tree)
    expect(found.map(({ specifier }) => specifier)).toEqual('a b c d e f g h i j k'.split(' '))
    expect(found.filter((i) => !i.typesOnly).map(({ specifier }) => specifier)).toEqual(values)
    expect(found.filter((i) => i.dynamic).map(({ specifier }) => specifier)).toEqual(['h'])
  })

  it('reads the whole source', () => {
    expect(sources.length).toBeGreaterThan(20)
    expect(byPath.has('audit/log.ts')).toBe(true)
  })
})

describe('layers', () => {
  it('place every folder', () => {
    expect(
      violations(({ layer, folder }) => (layer < 0 ? [`folder ${folder} has no layer`] : [])),
    ).toEqual([])
  })

  it('are imported downward only, never sideways, through a folder\u2019s index.ts or another door', () => {
    const rule = (source: Source) =>
      source.imports.filter(isRelative).flatMap((one) => {
        const path = target(source, one)
        const to = byPath.get(path)
        if (to === undefined) {
          return path.endsWith('.ts') ? [`imports ${path}, which does not exist`] : []
        }
        if (to.folder === source.folder) return []
        if (to.layer >= source.layer)
          return [`layer ${source.layer} imports ${path} of layer ${to.layer}`]
        const door = to.folder === '' || basename(path) === 'index.ts' || DOORS.includes(path)
        return door ? [] : [`imports ${path} past its index.ts`]
      })
    expect(violations(rule)).toEqual([])
  })

  it('have no import cycles, type imports included', () => {
    const cycles: string[] = []
    const state = new Map<string, 'open' | 'done'>()
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
        return
      }
      state.set(path, 'open')
      const source = byPath.get(path)
      for (const one of source?.imports.filter(isRelative) ?? []) {
        const next = target(source!, one)
        if (byPath.has(next)) visit(next, [...trail, path])
      }
      state.set(path, 'done')
    }
    for (const { path } of sources) visit(path, [])
    expect(cycles).toEqual([])
  })
})

/** Imports that TypeScript 6.0 does not rewrite for `dist`: `import('./x.ts')` in a function with `using`. */
function brokenInDist(tree: ts.SourceFile): string[] {
  const found: string[] = []
  const visit = (node: ts.Node, using: boolean): void => {
    let inside = using
    if (ts.isBlock(node) || ts.isSourceFile(node)) {
      inside ||= node.statements.some(
        (one) =>
          ts.isVariableStatement(one) && (one.declarationList.flags & ts.NodeFlags.Using) !== 0,
      )
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments
      const relative = specifier !== undefined && ts.isStringLiteralLike(specifier)
      if (inside && relative && specifier.text.startsWith('.')) found.push(specifier.text)
    }
    ts.forEachChild(node, (child) => visit(child, inside))
  }
  visit(tree, false)
  return found
}

describe('dynamic imports', () => {
  it('of our own files stand outside of functions with using declarations', () => {
    expect(violations(({ tree }) => brokenInDist(tree))).toEqual([])
    const text = `async function a() { await using b = c(); const d = await import('./e.ts') }
      async function f() { { using g = h() } await import('./i.ts') }`
    const tree = ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true)
    expect(brokenInDist(tree)).toEqual(['./e.ts'])
  })
})

describe('dependencies', () => {
  it('of layer 0 are node: modules only', () => {
    const rule = ({ layer, imports }: Source) =>
      layer > 0
        ? []
        : imports
            .filter((one) => !isRelative(one) && !one.specifier.startsWith('node:'))
            .map(({ specifier }) => `imports ${specifier}`)
    expect(violations(rule)).toEqual([])
  })

  it('are declared in package.json, and node\u2019s own carry the node: prefix', () => {
    const { dependencies, devDependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
      readFileSync(join(ROOT, 'package.json'), 'utf8'),
    ) as Record<'dependencies' | 'devDependencies' | 'peerDependencies', Record<string, string>> & {
      peerDependenciesMeta: Record<string, { optional?: boolean }>
    }
    // What the caller may leave out must not be needed to load a file.
    const isOptionalPeer = (name: string) =>
      name in peerDependencies && peerDependenciesMeta[name]?.optional === true
    const rule = ({ imports }: Source) =>
      imports.flatMap((one) => {
        if (isRelative(one) || one.specifier.startsWith('node:')) return []
        const name = packageOf(one.specifier)
        const declared =
          name in dependencies ||
          (one.typesOnly && name in devDependencies) ||
          (one.dynamic && isOptionalPeer(name))
        return declared ? [] : [`imports ${one.specifier}, which is no dependency`]
      })
    expect(violations(rule)).toEqual([])
  })

  it('that are heavy are loaded in one file each', () => {
    const rule = ({ path, imports }: Source) =>
      imports.flatMap((one) => {
        const heavy = HEAVY[packageOf(one.specifier)]
        if (heavy === undefined) return []
        const near =
          heavy.use === 'load' ? dirname(path) === dirname(heavy.file) : path === heavy.file
        const allowed = one.typesOnly ? near : heavy.use === 'load' && path === heavy.file
        return allowed ? [] : [`imports ${one.specifier}; only ${heavy.file} may`]
      })
    expect(violations(rule)).toEqual([])
  })

  it('in native code are loaded in one file', () => {
    const rule = ({ path, tree }: Source) => {
      if (path === NATIVE_FILE) return []
      const found: string[] = []
      const visit = (node: ts.Node): void => {
        // A string that names a native module or the folder of the addon.
        if (ts.isStringLiteralLike(node) && /\.node$|(?:^|\/)bindings\//.test(node.text)) {
          found.push(`names ${node.text}; only ${NATIVE_FILE} loads native code`)
        }
        if (ts.isPropertyAccessExpression(node) && node.name.text === 'dlopen') {
          found.push(`calls dlopen; only ${NATIVE_FILE} loads native code`)
        }
        ts.forEachChild(node, visit)
      }
      visit(tree)
      return found
    }
    expect(violations(rule)).toEqual([])
  })

  it('in native code are not loaded by the root, audit or quorum', () => {
    const entries = ['index.ts', 'audit/index.ts', 'quorum/index.ts', 'errors.ts']
    const script = `
      const before = process.report.getReport().sharedObjects.filter((o) => o.endsWith('.node'))
      for (const url of process.argv.slice(1)) await import(url)
      const after = process.report.getReport().sharedObjects.filter((o) => o.endsWith('.node'))
      process.stdout.write(JSON.stringify([before, after]))`
    const loaded = (...urls: string[]) =>
      JSON.parse(
        execFileSync(process.execPath, ['--input-type=module', '-e', script, ...urls], {
          encoding: 'utf8',
        }),
      ) as [string[], string[]]
    const urls = entries
      .filter((e) => existsSync(join(SRC, e)))
      .map((e) => `file://${join(SRC, e)}`)
    expect(urls).toHaveLength(entries.length)
    expect(loaded(...urls)).toEqual([[], []])
    // The same look at a module that is known to be native does see it.
    const [, native] = loaded(import.meta.resolve('pkcs11js'))
    expect(native).toHaveLength(1)
  })
})

/** Places that read the environment, the clock or chance, or print. */
function ambientUses(tree: ts.SourceFile): string[] {
  const ambient =
    /^(?:globalThis\.)?(?:process\.env|process\[['"]env|Date\.now|Math\.random|console\.)/
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const text = node.getText(tree).replace(/\s/g, '')
    const access = ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)
    if ((access && ambient.test(text)) || (ts.isNewExpression(node) && text === 'newDate()')) {
      const { line } = tree.getLineAndCharacterOfPosition(node.getStart(tree))
      found.push(`line ${line + 1}: ${text}`)
    } else {
      ts.forEachChild(node, visit)
    }
  }
  visit(tree)
  return found
}

describe('below the command line', () => {
  it('nothing reads the environment, the clock or chance, or prints', () => {
    const rule = ({ layer, tree }: Source) => (layer === LAYERS.length - 1 ? [] : ambientUses(tree))
    expect(violations(rule)).toEqual([])
  })

  it('such uses are seen', () => {
    const text = `
      const a = process.env.HOME
      const b = process['env']
      const c = Date.now() + Math.random()
      const d = new Date()
      console.log(a)
      globalThis.console.log(new Date(5), Date.parse('x'), process.pid) // process.env`
    const tree = ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true)
    const lines = ambientUses(tree).map((found) => found.split(':')[0])
    expect(lines).toEqual(['line 2', 'line 3', 'line 4', 'line 4', 'line 5', 'line 6', 'line 7'])
  })
})

describe('files', () => {
  const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(ROOT, path)))

  it(`in src and bindings have fewer than ${MAX_LINES} lines`, () => {
    const long = tracked
      .filter((path) => /^(?:src|bindings)\//.test(path))
      .map((path) => [path, readFileSync(join(ROOT, path), 'utf8').split('\n').length - 1] as const)
      .filter(([, lines]) => lines >= MAX_LINES)
    expect(long).toEqual([])
  })

  it('are named after what is in them', () => {
    const names = tracked.filter((path) =>
      path.split('/').some((part) => FORBIDDEN_NAMES.test(part)),
    )
    expect(names).toEqual([])
    expect('src/pkcs11/session-manager.ts').toMatch(FORBIDDEN_NAMES)
    expect('mechanism.ts').not.toMatch(FORBIDDEN_NAMES)
  })
})
