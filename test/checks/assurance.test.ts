/**
 * `.github/ASSURANCE.md` is generated from the requirement tables, the lint rules and the refusals in the
 * source, with the tests that name each id. Regenerate it:
 * npx vitest run test/checks/assurance.test.ts -u
 */
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

import { format } from 'prettier'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

import { LOG_REQUIREMENTS } from '../../src/audit/requirements.ts'
import { RULES, RULE_IDS } from '../../src/ceremony/lint-rules.ts'
import { REQUIREMENTS } from '../../src/ceremony/requirements.ts'

const ROOT = join(import.meta.dirname, '../..')
const DOCUMENT = join(ROOT, '.github/ASSURANCE.md')
const STALE =
  'stale: run `npx vitest run test/checks/assurance.test.ts -u` and review the difference'
const ID = /^[A-Z]{3,8}(?:-[A-Z]+)+-\d+$/

/** Ids in string literals: an id in a comment tests nothing. */
function idsIn(path: string): Set<string> {
  const found = new Set<string>()
  const tree = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest)
  const visit = (node: ts.Node): void => {
    if (
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddleOrTemplateTail(node)
    ) {
      for (const [id] of node.text.matchAll(/\b[A-Z]{3,8}(?:-[A-Z]+)+-\d+\b/g)) found.add(id)
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

const filesBelow = (folder: string, suffix: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(suffix))
    .map((path) => join(ROOT, folder, path))
    .sort()

const tests = filesBelow('test', '.test.ts')
  .filter((path) => path !== import.meta.filename)
  .map((path) => ({ path: relative(ROOT, path), ids: idsIn(path) }))
const testsOf = (id: string): string[] =>
  tests.filter(({ ids }) => ids.has(id)).map(({ path }) => path)

/** An id that stands in an error and in no table. */
interface Refusal {
  readonly id: string
  readonly places: readonly string[]
}

const claims = { ...LOG_REQUIREMENTS, ...REQUIREMENTS }
const known = new Set<string>([...Object.keys(claims), ...RULE_IDS])
/** First words of ids; QRM is the quorum layer's, which has no table. */
const families = new Set(['QRM', ...[...known].map((id) => id.split('-')[0])])
const isOurs = (id: string): boolean => families.has(id.split('-')[0])

/** Ids the source names that are in no table: what the runner itself refuses. */
function refusals(): Refusal[] {
  const places = new Map<string, string[]>()
  for (const path of filesBelow('src', '.ts')) {
    for (const id of idsIn(path)) {
      if (isOurs(id) && !known.has(id))
        places.set(id, [...(places.get(id) ?? []), relative(ROOT, path)])
    }
  }
  return [...places]
    .map(([id, files]) => ({ id, places: files }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
}

const link = (path: string): string =>
  `[${path.replace(/^test\//, '').replace('.test.ts', '')}](../${path})`
const links = (paths: readonly string[]): string => paths.map(link).join(' · ') || '**none**'
const rows = (lines: readonly (readonly string[])[]): string =>
  lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')

function assurance(): string {
  const claimRows = Object.entries(claims).map(([id, { sentence, evidence }]) => [
    `\`${id}\``,
    sentence,
    evidence,
    links(testsOf(id)),
  ])
  const ruleRows = RULE_IDS.map((id) => [
    `\`${id}\``,
    RULES[id].severity,
    RULES[id].sentence,
    links(testsOf(id)),
  ])
  const refusalRows = refusals().map(({ id, places }) => [
    `\`${id}\``,
    places.map((path) => `\`${path}\``).join(' '),
    links(testsOf(id)),
  ])
  return `# Assurance

Which claims keyrite makes, how strongly each is backed, and which tests name it. Generated from \`src/audit/requirements.ts\`,
\`src/ceremony/requirements.ts\`, \`src/ceremony/lint-rules.ts\` and the test files by \`test/checks/assurance.test.ts\`, which fails when this page is
stale or a claim has no test. Assumptions and actors: [SECURITY.md](SECURITY.md).

The evidence class is the one the check of a claim has in general; what is said about a particular bundle names its own, e.g. weaker where
the verifier gave no roster. That a test names a claim says that somebody tried to break it, not that it cannot be broken.

## Logs and transcripts

What \`keyrite audit verify\` and \`keyrite ceremony verify\` answer, claim by claim.

| id | claim | evidence | tests |
| --- | --- | --- | --- |
${rows(claimRows)}

## Plans and bindings

What \`keyrite ceremony lint\` refuses (error) or puts before the reviewer (warning). All of it is software-enforced.

| id | severity | rule | tests |
| --- | --- | --- | --- |
${rows(ruleRows)}

## Refusals while a ceremony runs

Ids that errors carry besides the ones above. All of it is software-enforced; what the token itself refuses is named by its return value.

| id | refused in | tests |
| --- | --- | --- |
${rows(refusalRows)}
`
}

const options = { parser: 'markdown', printWidth: 100 }

describe('the assurance case', () => {
  it('has the form of an id wherever it names one', () => {
    expect([...known].filter((id) => !ID.test(id))).toEqual([])
    expect(known.size).toBeGreaterThan(100)
  })

  it('has a test for every claim and every rule', () => {
    expect([...known].filter((id) => testsOf(id).length === 0)).toEqual([])
  })

  it('has a test for every refusal', () => {
    const ids = refusals().map(({ id }) => id)
    expect(ids.filter((id) => testsOf(id).length === 0)).toEqual([])
  })

  it('is not named by comments or by other languages', () => {
    const ids = idsIn(import.meta.filename)
    expect(ids.has('LOG-NOSUCH-1')).toBe(true)
    // A comment that names LOG-COMMENT-1 counts for nothing.
    expect([...ids].filter((id) => id.startsWith('LOG-COMMENT'))).toEqual([])
  })

  it('is named by tests with ids that exist', () => {
    const real = new Set([...known, ...refusals().map(({ id }) => id)])
    const dead = tests.flatMap(({ path, ids }) =>
      [...ids].filter((id) => isOurs(id) && !real.has(id)).map((id) => `${path}: ${id}`),
    )
    expect(dead).toEqual([])
  })

  it('is written down as the tables have it', async () => {
    await expect(await format(assurance(), options), STALE).toMatchFileSnapshot(DOCUMENT)
  })
})
