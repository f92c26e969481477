/** What the repository may contain at all. Layers, names and lengths of source files: layers.test.ts. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { ROOT } from './clone.ts'

/** DESIGN §2, and what the tools need to find beside package.json. */
const TOP = [
  ...['.ci', '.github', 'bindings', 'ceremonies', 'softhsm', 'src', 'test'],
  ...['LICENSE', 'README.md', 'package.json', 'package-lock.json', 'tsconfig.json'],
  ...['.gitignore', '.npmrc', '.prettierignore', '.prettierrc.json', 'eslint.config.js'],
  ...['tsconfig.build.json', 'vitest.config.ts'],
]
/** Sites a text may point a reader to. Nothing is fetched from them. */
const CITED = ['c2sp.org', 'json-schema.org', 'no-color.org', 'philzimmermann.com', 'sqlite.org']
/** Hosts that are no site: names without a domain, and addresses of this machine. */
const NO_SITE = /^(?:[\w-]*|127\.0\.0\.1|0\.0\.0\.0)$/

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(ROOT, path)))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
/** This file spells out what it looks for. */
const others = files.filter(({ path }) => path !== 'test/checks/hygiene.test.ts')

/** `path:line: text` of every match. */
function matches(pattern: RegExp, among = others): string[] {
  return among.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, at) => (pattern.test(line) ? `${path}:${at + 1}: ${line.trim()}` : [])),
  )
}

describe('the repository', () => {
  it('has exactly the entries of the design', () => {
    const top = new Set(files.map(({ path }) => path.split('/')[0]))
    expect([...top].toSorted()).toEqual(TOP.toSorted())
  })

  it('holds text only, in UTF-8, each file ending in one newline', () => {
    const odd = files.filter(
      ({ text }) => text.includes('\0') || text.includes('\uFFFD') || !/[^\n]\n$/.test(text),
    )
    expect(odd.map(({ path }) => path)).toEqual([])
  })

  it('is under the MIT licence, and says so in one place each', () => {
    const manifest = readFileSync(join(ROOT, 'package.json'), 'utf8')
    expect(JSON.parse(manifest)).toMatchObject({ license: 'MIT' })
    expect(readFileSync(join(ROOT, 'LICENSE'), 'utf8')).toMatch(/^MIT License\n\nCopyright \(c\) /)
    expect(matches(/SPDX-License-Identifier:(?! MIT\b)/)).toEqual([])
    expect(matches(/All rights reserved/i)).toEqual([])
  })

  it('has no half-done work', () => {
    expect(matches(/\b(?:TODO|FIXME|HACK|XXX)\b/)).toEqual([])
    expect(matches(/\b(?:describe|it|test)\.(?:only|todo)\b/)).toEqual([])
    // A rule that is switched off says why.
    expect(matches(/\beslint-disable(?!.* -- \w)/)).toEqual([])
    expect(matches(/@ts-(?:ignore|nocheck)/)).toEqual([])
  })

  it('names no path of a machine, no registry, and no site but those it cites', () => {
    expect(matches(/(?:^|[\s"'`(=:])\/(?:work|root|home|Users)\/[\w.]/)).toEqual([])
    expect(matches(/\b(?:registry\.|npmjs\.|pypi\.|proxy\.golang|deb\.debian)/)).toEqual([])
    const foreign = matches(/https?:\/\//).filter((line) =>
      [...line.matchAll(/https?:\/\/([\w.-]+)/g)].some(
        ([, host = '']) =>
          !CITED.includes(host) && !NO_SITE.test(host) && !/\.(?:example|invalid|test)$/.test(host),
      ),
    )
    expect(foreign.filter((line) => !line.startsWith('package-lock.json:'))).toEqual([])
  })

  it('holds no private key and no age identity', () => {
    expect(matches(/^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----$/)).toEqual([])
    expect(matches(/AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50}/)).toEqual([])
  })

  it('would notice', () => {
    const planted = [{ path: 'a', text: 'x = 1 // TODO later\n"/root/x"' }]
    expect(matches(/\bTODO\b/, planted)).toEqual(['a:1: x = 1 // TODO later'])
    expect(matches(/(?:^|[\s"'`(=:])\/(?:work|root|home|Users)\/[\w.]/, planted)).toHaveLength(1)
  })
})
