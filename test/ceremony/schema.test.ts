/** The generated files in `ceremonies/` are those the code generates. Regenerate them: npm run schema */
import { readFile } from 'node:fs/promises'

import { format } from 'prettier'
import { describe, expect, it } from 'vitest'

import { RULES, RULE_IDS } from '../../src/ceremony/lint-rules.ts'
import { schemaFiles } from '../../src/ceremony/schema.ts'

const STALE = 'stale: run `npm run schema` and review the difference'
const folder = new URL('../../ceremonies/', import.meta.url).pathname

describe('JSON Schema', () => {
  it.each(Object.entries(schemaFiles()))('%s is what the zod schema says', async (name, text) => {
    await expect(text, STALE).toMatchFileSnapshot(`${folder}${name}`)
  })

  it.each(Object.entries(schemaFiles()))('%s allows no unknown key', (_name, text) => {
    const open: string[] = []
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return
      const { type, properties, additionalProperties } = node as Record<string, unknown>
      if (type === 'object' && properties !== undefined && additionalProperties !== false) {
        open.push(path)
      }
      for (const [key, value] of Object.entries(node)) visit(value, `${path}/${key}`)
    }
    visit(JSON.parse(text), '')
    expect(open).toEqual([])
  })
})

describe('README', () => {
  it('lists every lint rule as the table has it', async () => {
    const readme = await readFile(`${folder}README.md`, 'utf8')
    const rules = RULE_IDS.map((id) => {
      const { severity, sentence, reason } = RULES[id]
      return `- **${id}** (${severity}): ${sentence} _${reason}_`
    }).join('\n')
    expect(readme).toMatch(/<!-- rules -->[^]*<!-- end of rules -->/)
    const fresh = readme.replace(
      /<!-- rules -->[^]*<!-- end of rules -->/,
      () => `<!-- rules -->\n\n${rules}\n\n<!-- end of rules -->`,
    )
    const options = { parser: 'markdown', printWidth: 100 }
    await expect(await format(fresh, options), STALE).toMatchFileSnapshot(`${folder}README.md`)
  })
})
