/** Files that nobody signed: whoever can write into a bundle can also write its SHA256SUMS anew. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { readBundle, sumsOf } from '../../src/ceremony/bundle.ts'
import { failureOf, verify } from '../../src/ceremony/verify.ts'
import { scratch } from '../tokens.ts'
import { forge, makeTroupe } from './verify-forge.ts'

const root = scratch('verify-files')
const base = join(root, 'base')
const troupe = makeTroupe()
let vkey = ''
let copies = 0

beforeAll(async () => {
  ;({ vkey } = await forge(base, troupe))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A copy with changed files, and sums that fit them. */
async function forged(change: (dir: string) => void) {
  const dir = join(root, `copy-${(copies += 1)}`)
  cpSync(base, dir, { recursive: true })
  change(dir)
  const sums = await sumsOf(await readBundle(dir))
  writeFileSync(join(dir, 'SHA256SUMS'), sums)
  return verify(dir, { roster: troupe.roster, vkey })
}
const edit = (dir: string, name: string, change: (text: string) => string): void =>
  writeFileSync(join(dir, name), change(readFileSync(join(dir, name), 'utf8')))

describe('sums made anew', () => {
  it('hold when nothing was changed', async () => {
    expect((await forged(() => undefined)).ok).toBe(true)
  })

  it.each(['report.html', 'verify.go', 'VERIFY.md'])(
    'do not cover a changed %s by a report that claims another version',
    async (name) => {
      const verification = await forged((dir) => {
        edit(dir, 'report.html', (text) =>
          text.replace(/content="keyrite [^"]+"/, 'content="keyrite 99.0.0"'),
        )
        edit(dir, name, (text) => `${text}\n`)
      })
      expect(failureOf(verification, 'BUNDLE-DOCS-1')).toBe('TRANSCRIPT_INVALID')
    },
  )

  it.each(['log/notes.txt', 'log/lock', 'log/seg/readme'])(
    'do not cover a stranger %s',
    async (path) => {
      const verification = await forged((dir) => {
        mkdirSync(dirname(join(dir, path)), { recursive: true })
        writeFileSync(join(dir, path), '1\n')
      })
      expect(failureOf(verification, 'LOG-SEG-1')).toBe('CHAIN_BROKEN')
    },
  )
})

it('a bundle with temporary files is told apart from a damaged one', async () => {
  const dir = join(root, 'running')
  cpSync(base, dir, { recursive: true })
  writeFileSync(join(dir, 'reserve.tmp'), '')
  const { findings } = await verify(dir)
  expect(findings[0]).toMatchObject({ status: 'failed' })
  expect(findings[0]?.detail).toContain('waits for resume or abort')
})
