/** Whatever a plan file holds, reading it ends in a plan or in a ConfigError, and linting it ends. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { canonicalJson } from '../../src/canonical.ts'
import { ConfigError } from '../../src/errors.ts'
import { loadBinding } from '../../src/ceremony/binding.ts'
import { RULES, lint } from '../../src/ceremony/lint.ts'
import { type LoadedPlan, loadPlan, planDigest, readPlan } from '../../src/ceremony/plan.ts'
import { scriptContent } from '../../src/ceremony/script-content.ts'
import { fromPgpWords, toPgpWords } from '../../src/pgp-words.ts'
import { PLANS, planText, shipped } from './plan-files.ts'

function read(text: string): LoadedPlan | undefined {
  try {
    return loadPlan(text, 'x.yaml')
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).where).toMatch(/^x\.yaml:\d+:\d+$/)
    return undefined
  }
}

/** A shipped plan after a few edits of whole lines: left out, doubled, swapped, or cut short. */
const mangled = fc
  .tuple(
    fc.constantFrom(...PLANS),
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(3)), { minLength: 1, maxLength: 4 }),
  )
  .map(([name, edits]) => {
    const lines = planText(name).split('\n')
    for (const [from, to, how] of edits) {
      const [a, b] = [from % lines.length, to % lines.length]
      if (how === 0) lines.splice(a, 1)
      else if (how === 1) lines.splice(b, 0, lines[a] ?? '')
      else if (how === 2) [lines[a], lines[b]] = [lines[b] ?? '', lines[a] ?? '']
      else lines[a] = (lines[a] ?? '').slice(0, to % 60)
    }
    return lines.join('\n')
  })

describe('any file', () => {
  it('is a plan or a ConfigError; a plan is linted, printed and read back', () => {
    let plans = 0
    fc.assert(
      fc.property(mangled, (text) => {
        const loaded = read(text)
        if (loaded === undefined) return
        plans++
        const { plan, source, digest } = loaded
        const lines = text.split('\n').length
        for (const { rule, line, column } of lint(plan, source)) {
          expect(RULES[rule]).toBeDefined()
          expect(line).toBeLessThanOrEqual(lines)
          expect(column).toBeGreaterThan(0)
        }
        expect(scriptContent(plan, digest).steps).toHaveLength(plan.steps.length)
        expect(planDigest(readPlan(canonicalJson(plan)))).toEqual(digest)
      }),
      // About 15 % are plans; at 250 runs the bound below would fail by chance once in a hundred.
      { numRuns: 500 },
    )
    expect(plans).toBeGreaterThan(25)
  })

  it('of arbitrary text is no plan', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(read(text)).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    ['nested lists', '['.repeat(50_000)],
    ['nested maps', '{a: '.repeat(50_000)],
    ['nested blocks', Array.from({ length: 400 }, (_, at) => `${' '.repeat(at)}a:\n`).join('')],
    ['nested sequences', '- '.repeat(60_000)],
  ])('of %s is no plan', (_what, text) => {
    expect(read(text)).toBeUndefined()
  })

  it('is a binding or a ConfigError', () => {
    const lines = shipped('softhsm.binding.yaml').split('\n')
    fc.assert(
      fc.property(fc.nat(lines.length - 1), fc.nat(lines.length - 1), (from, to) => {
        const text = lines
          .toSpliced(from, 1)
          .toSpliced(to, 0, lines[from] ?? '')
          .join('\n')
        try {
          expect(loadBinding(text, 'b.yaml').binding.binding).toBe('softhsm-lab')
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError)
        }
      }),
      { numRuns: 100 },
    )
  })
})

describe('PGP words', () => {
  it('read back to the same bytes, and never after a word is left out before the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 64 }), fc.nat(), (bytes, at) => {
        const words = toPgpWords(bytes)
        expect(fromPgpWords(words)).toEqual(bytes)
        const index = at % (words.length - 1)
        expect(() => fromPgpWords(words.toSpliced(index, 1))).toThrow('wrong place')
      }),
    )
  })
})
