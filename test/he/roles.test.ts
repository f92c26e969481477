/** The three roles by what their code can reach: a scorer no key, a public-key ingest no secret key. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const SRC = resolve(import.meta.dirname, '../../src')

/** Everything that a module loads, by path below src or by package name; type imports load nothing. */
function reachable(entry: string): { files: string[]; packages: string[] } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (path: string): void => {
    if (files.has(path)) return
    files.add(path)
    const tree = ts.createSourceFile(
      path,
      readFileSync(join(SRC, path), 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    )
    const follow = (specifier: string): void => {
      if (specifier.startsWith('.')) {
        visit(relative(SRC, resolve(SRC, dirname(path), specifier)))
      } else if (!specifier.startsWith('node:')) packages.add(specifier)
    }
    const look = (node: ts.Node): void => {
      if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
        const named = node.importClause?.namedBindings
        const onlyTypes =
          node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword ||
          (named !== undefined &&
            ts.isNamedImports(named) &&
            node.importClause?.name === undefined &&
            named.elements.every((element) => element.isTypeOnly))
        if (!onlyTypes) follow(node.moduleSpecifier.text)
      } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && !node.isTypeOnly) {
        if (ts.isStringLiteral(node.moduleSpecifier)) follow(node.moduleSpecifier.text)
      } else if (
        ts.isCallExpression(node) &&
        node.expression.kind === ts.SyntaxKind.ImportKeyword &&
        node.arguments[0] !== undefined &&
        ts.isStringLiteralLike(node.arguments[0])
      ) {
        follow(node.arguments[0].text)
      }
      ts.forEachChild(node, look)
    }
    look(tree)
  }
  visit(entry)
  return { files: [...files].sort(), packages: [...packages].sort() }
}

/** Files that hold a secret or use one. */
const SECRET = [
  'he/keyring.ts',
  'he/keys.ts',
  'he/seal-cipher.ts',
  'he/record.ts',
  'he/tokens.ts',
  'he/block-mac.ts',
  'he/key-holder.ts',
  'he/search.ts',
  'he/ingest-kit.ts',
]

describe('what a role can reach', () => {
  it('the key holder reaches all of it', () => {
    const { files, packages } = reachable('he/key-holder.ts')
    expect(SECRET.filter((path) => !files.includes(path))).toEqual([])
    expect(packages).toContain('node-seal')
  })

  it('the scorer: no key, no decryption, no SEAL at all', () => {
    const { files, packages } = reachable('he/scorer-side.ts')
    expect(files).toContain('he/scan-kernel.ts')
    expect(files).toContain('he/postgres.ts')
    expect(SECRET.filter((path) => files.includes(path))).toEqual([])
    expect(files.filter((path) => /seal|key|kit/.test(path))).toEqual([])
    expect(packages).not.toContain('node-seal')
    expect(packages.filter((name) => name.startsWith('@hpke'))).toEqual([])
  })

  it('the ingest: public keys only, no secret key, no decryption', () => {
    const { files, packages } = reachable('he/ingest-side.ts')
    expect(files).toContain('he/seal-public.ts')
    expect(packages).toContain('node-seal')
    const secret = [
      'he/keyring.ts',
      'he/keys.ts',
      'he/seal-cipher.ts',
      'he/search.ts',
      'he/key-holder.ts',
    ]
    expect(secret.filter((path) => files.includes(path))).toEqual([])
  })

  it('a process that loads the scorer has no SEAL in it', () => {
    const program = `
      import { registerHooks } from 'node:module'
      const loaded = []
      registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context) } })
      const { createScorer } = await import(${JSON.stringify(join(SRC, 'he/scorer-side.ts'))})
      console.log(JSON.stringify([typeof createScorer, loaded.filter((url) => /node-seal|keyring|hpke/.test(url)).length, loaded.length > 5]))`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    expect(JSON.parse(printed)).toEqual(['function', 0, true])
  })
})
