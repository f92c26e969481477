/** The report: says everything, injects nothing, fits a page and a terminal. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { escapeHtml } from '../../src/ceremony/report-markup.ts'
import { formatVerification, reportHtml } from '../../src/ceremony/report.ts'
import { REQUIREMENTS, REQUIREMENT_IDS } from '../../src/ceremony/requirements.ts'
import { verify } from '../../src/ceremony/verify.ts'
import { scratch } from '../tokens.ts'
import { forge, makeTroupe } from './verify-forge.ts'

const root = scratch('report')
const troupe = makeTroupe()
const dir = join(root, 'bundle')
let html = ''

beforeAll(async () => {
  await forge(dir, troupe)
  html = readFileSync(join(dir, 'report.html'), 'utf8')
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

describe('report.html', () => {
  it('stands alone: no scripts, nothing to load', () => {
    expect(html).not.toMatch(/<script|<img|<link|<iframe|\son\w+=|javascript:|url\(|@import/i)
    expect(html).not.toMatch(/(?:src|href)=/)
    expect(html).toContain(`default-src 'none'; style-src 'unsafe-inline'`)
  })

  it('escapes what plan and people say', () => {
    // The forged plan is titled with a script element.
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt; &amp; its transcript')
    expect(escapeHtml(`<a href="x" title='y'>&</a>`)).toBe(
      '&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;&lt;/a&gt;',
    )
    expect(escapeHtml('safe\u202egnp.exe')).toBe('safe[U+202E]gnp.exe')
    expect(escapeHtml('\u0007\u200b')).toBe('[U+0007][U+200B]')
  })

  it('opens with level, outcome, digests in hex and words, people, HSM, keys, copies, residuals', () => {
    const first = html.slice(html.indexOf('<h1>'), html.indexOf('Requirements and their evidence'))
    const parts = [
      'Complete',
      'Dual control reached',
      'split PIN, shown',
      'Who acted',
      'Alice Example',
      'Did not act: Carol Example, Sol Example.',
      'serial-vault',
      'SoftHSM project, SoftHSM v2, 2.6',
      'fpe-pan.keyrite',
      'kek and outer',
      'can be opened',
      'Snapshots of the token directory may still hold it.',
    ]
    let at = 0
    for (const part of parts) {
      expect(first.indexOf(part, at), part).toBeGreaterThanOrEqual(at)
      at = first.indexOf(part)
    }
    expect(first).toMatch(/<th scope="row">old<\/th>\s*<td>fpe, vault<\/td>\s*<td>destroyed<\/td>/)
    expect(first).toMatch(/(?:[0-9a-f]{4} ){15}[0-9a-f]{4}/)
  })

  it('answers every requirement with its evidence class', () => {
    for (const id of REQUIREMENT_IDS.filter((one) => !one.startsWith('BUNDLE-'))) {
      expect(html).toContain(`<th scope="row" class="mono">${id}</th>`)
      expect(html).toContain(escapeHtml(REQUIREMENTS[id].sentence))
    }
    for (const evidence of ['crypto-verified', 'module-reported', 'software-enforced']) {
      expect(html).toContain(`class="ev ev-${evidence}"`)
    }
  })

  it('has a timeline of all entries, tables with headers, a language and a title', () => {
    expect(html.match(/<td class="num">\d+<\/td>/g)?.length).toBeGreaterThanOrEqual(152)
    expect(html).toContain('alice opened share 1 of the USER PIN of vault, epoch 1')
    expect(html).toContain('<html lang="en">')
    expect(html).toContain('<title>Ceremony report: ')
    const tables = html.split('<table>').slice(1)
    for (const table of tables)
      expect(table).toMatch(/<caption>[^<]+<\/caption>\s*<thead>\s*<tr>\s*<th scope="col">/)
  })

  it('says loudly what is a rehearsal, aborted, or wrong', async () => {
    const rehearsal = join(root, 'rehearsal')
    await forge(rehearsal, troupe, { mode: 'rehearsal' })
    expect(readFileSync(join(rehearsal, 'report.html'), 'utf8')).toContain(
      'can never pass as production',
    )
    const aborted = join(root, 'aborted')
    await forge(aborted, troupe, { abortAt: 'lock', sign: [] })
    const page = readFileSync(join(aborted, 'report.html'), 'utf8')
    expect(page).toContain('<strong>Aborted</strong>')
    expect(page).toContain('still extractable')
    expect(page).toContain('present, extractable form')
    expect(reportHtml(await verify(rehearsal))).toContain('<strong>Does not verify</strong>')
  })
})

describe('formatVerification', () => {
  it('fits 80 columns and ends with the verdict', async () => {
    const lines = formatVerification(await verify(dir))
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
    expect(lines.at(-1)).toBe('verified: complete production transcript')
    expect(lines.join('\n')).toMatch(/warning: +Taken from the bundle itself/)
    for (const id of REQUIREMENT_IDS) expect(lines.join('\n')).toContain(id)
  })

  it('names what failed, with the requirement’s sentence', async () => {
    const rehearsal = join(root, 'text')
    await forge(rehearsal, troupe, { mode: 'rehearsal' })
    const lines = formatVerification(await verify(rehearsal))
    expect(lines.at(-1)).toBe('does not verify: CER-MODE-1')
    expect(lines.join('\n')).toMatch(/^FAILED {3}CER-MODE-1/m)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  it('keeps control characters of logged text from the terminal', async () => {
    const hostile = join(root, 'hostile')
    await forge(hostile, troupe, {
      abortAt: 'lock',
      sign: [],
      line: (line) =>
        line.type === 'ceremony.abort'
          ? { ...line, error: { name: 'X', code: 'X', message: '\u001b[2Jgone\u202e' } }
          : line,
    })
    const text = formatVerification(await verify(hostile)).join('\n')
    expect(text).toContain('?[2Jgone?')
    expect(text).not.toMatch(/[\u001b\u202e]/)
  })
})
