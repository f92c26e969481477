import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, it, onTestFinished } from 'vitest'

import { loadPlan } from '../../src/ceremony/plan.ts'
import { type PrintOptions, printScript } from '../../src/ceremony/print.ts'
import { scriptContent } from '../../src/ceremony/script-content.ts'
import { readOut } from '../../src/ceremony/digest.ts'
import { PLANS, edit, planText, shippedBinding, shippedPlan } from './plan-files.ts'

const hostile = edit(
  planText('initialise-tokens'),
  'title: Initialise the tokens vault and custody',
  `title: "<script>alert('1')</script> & \\"Ωμέγα\\" Токены 山 --><style>*{}"`,
)

function hasPdftotext(): boolean {
  try {
    execFileSync('pdftotext', ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Text of each page as poppler reads it. */
function pages(pdf: Uint8Array): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'keyrite-print-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'script.pdf')
  writeFileSync(file, pdf)
  const text = execFileSync('pdftotext', ['-layout', file, '-'], { encoding: 'utf8' })
  return text.split('\f').slice(0, -1)
}

/** What a reader sees of HTML. */
const visible = (html: string): string =>
  html
    .replace(/<style>[^]*?<\/style>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&nbsp;/g, ' ')
    .replace(/&amp;/g, '&')
    .replace(/\s+/g, ' ')

describe('the content of the script', () => {
  const { plan, digest } = shippedPlan('initialise-tokens')

  it('adds the minutes up', () => {
    const { steps, total } = scriptContent(plan, digest)
    expect(steps.slice(0, 3).map(({ elapsed }) => elapsed)).toEqual(['0:02', '0:04', '0:06'])
    expect(total).toBe('2:06')
    expect(total).toBe(steps.at(-1)?.elapsed)
  })

  it('names the bound people, and leaves places for the others', () => {
    const bound = scriptContent(plan, digest, shippedBinding())
    expect(bound.participants.map(({ name }) => name.split(' ')[0])).toEqual([
      'Ines',
      'Alice',
      'Bob',
      'Carol',
      'Dora',
      'Erik',
      'Fatima',
      'Walter',
    ])
    const open = scriptContent(plan, digest)
    expect(open.participants).toHaveLength(8)
    expect(open.participants.every(({ name }) => name === '')).toBe(true)
    const approve = open.steps.find(({ kind }) => kind === 'approve')
    expect(approve?.boxes.at(-1)).toMatchObject({ kind: 'people', names: ['', ''] })
  })

  it('prints what is known and leaves blanks for what is read in the room', () => {
    const boxes = (bound: boolean) =>
      scriptContent(plan, digest, bound ? shippedBinding() : undefined).steps.find(
        ({ title }) => title === 'Check the PKCS#11 module file',
      )!.boxes
    expect(boxes(false).map(({ kind }) => kind)).toEqual(['blank', 'blank', 'tick'])
    expect(boxes(true).map(({ kind }) => kind)).toEqual(['value', 'value', 'tick'])
    const pinned = shippedBinding().binding.module.sha256
    expect(boxes(true)[1]).toMatchObject({ value: pinned.match(/.{8}/g)!.join(' ') })
  })

  it('has the alphabet only when something is read with it', () => {
    expect(scriptContent(plan, digest).nato).toBe(true)
    const silent = loadPlan(
      planText('initialise-tokens').replaceAll('    read-aloud: nato\n', ''),
      'x',
    )
    expect(scriptContent(silent.plan, silent.digest).nato).toBe(false)
  })

  it.each(PLANS)('%s: every step has something to write or tick', (name) => {
    const loaded = shippedPlan(name)
    for (const step of scriptContent(loaded.plan, loaded.digest).steps) {
      expect(step.boxes.length).toBeGreaterThan(0)
      expect(step.title).not.toMatch(/\{\w+\}/)
      for (const text of step.activity) expect(text).not.toMatch(/\{\w+\}/)
    }
  })
})

describe('HTML', () => {
  const print = async (text: string, options: Partial<PrintOptions> = {}) => {
    const { plan, digest } = loadPlan(text, 'x.yaml')
    const { html } = await printScript(plan, { digest, ...options })
    return html
  }

  it('holds every step, the digest in both forms, and the end', async () => {
    for (const name of PLANS) {
      const { plan, digest } = shippedPlan(name)
      const text = visible((await printScript(plan, { digest })).html)
      for (const { title, id } of plan.steps) {
        expect(text).toContain(title)
        expect(text).toContain(id)
      }
      const { hexLines, wordLines } = readOut(digest)
      for (const line of [...hexLines, ...wordLines]) expect(text).toContain(line)
      expect(text).toContain('I do not agree')
      expect(text).toContain('Exception sheet 2')
    }
  })

  it('escapes every text and loads nothing', async () => {
    const html = await print(hostile)
    expect(html).not.toMatch(/<script/i)
    expect(html.match(/<style>/g)).toHaveLength(1)
    expect(visible(html)).toContain(`<script>alert('1')</script> & "Ωμέγα" Токены 山`)
    expect(html).not.toMatch(/<(?:link|img|iframe|object|embed|base|form)|@import|url\(|https?:/i)
    expect(html).not.toMatch(/\son\w+=/i)
    expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
    // The title is repeated by CSS in the page margin, where it must not end the string or the style.
    const style = /<style>([^]*?)<\/style>/.exec(html)?.[1] ?? ''
    expect(style).toContain('\\3c script\\3e alert')
    expect(style).toContain('counter(pages)')
  })

  it('states the mode of the binding, or leaves it to be ticked', async () => {
    const { plan, digest } = shippedPlan('initialise-tokens')
    const bound = await printScript(plan, { digest, binding: shippedBinding() })
    expect(visible(bound.html)).toContain('REHEARSAL')
    expect(visible(bound.html)).toContain(readOut(shippedBinding().digest).wordLines[0])
    expect(visible(await print(planText('initialise-tokens')))).toContain('rehearsal production')
  })
})

describe('PDF', () => {
  it('has the same bytes for the same input, and others for another date', async () => {
    const { plan, digest } = shippedPlan('wrap-for-distribution')
    const options = { digest, binding: shippedBinding(), date: new Date('2026-11-20T10:00:00Z') }
    const [first, second] = [await printScript(plan, options), await printScript(plan, options)]
    expect(Buffer.from(first.pdf).equals(Buffer.from(second.pdf))).toBe(true)
    expect(first.html).toBe(second.html)
    const later = await printScript(plan, { ...options, date: new Date('2026-11-21T10:00:00Z') })
    expect(Buffer.from(first.pdf).equals(Buffer.from(later.pdf))).toBe(false)
    expect(Buffer.from(first.pdf).toString('latin1')).toMatch(/^%PDF-1\.7[^]*%%EOF\s*$/)
  })

  it.skipIf(!hasPdftotext())('says what the HTML says, page by page', async () => {
    for (const name of ['initialise-tokens', 'wrap-for-distribution'] as const) {
      const { plan, digest } = shippedPlan(name)
      const sheets = pages((await printScript(plan, { digest, binding: shippedBinding() })).pdf)
      const all = sheets.join('\n')
      const { hexLines, wordLines } = readOut(digest)
      for (const line of [...hexLines, ...wordLines]) expect(sheets[0]).toContain(line)
      sheets.forEach((sheet, at) => {
        expect(sheet).toContain(`Page ${at + 1} of ${sheets.length}`)
        expect(sheet).toContain(readOut(digest).hex.slice(0, 16))
        expect(sheet).toContain(plan.ceremony)
        expect(sheet).toMatch(/Date _+\s+Initials _+/)
        // No page holds nothing but header and footer.
        expect(sheet.trim().split('\n').length).toBeGreaterThan(6)
      })
      // Steps and their numbers are in order, and every page of the table has its head.
      const numbers = [...all.matchAll(/^ {0,4}(\d{1,2}) {2,}\S/gm)].map(([, number]) =>
        Number(number),
      )
      expect(numbers).toEqual(plan.steps.map((_, index) => index + 1))
      const withSteps = sheets.filter((sheet) => /\d min/.test(sheet))
      for (const sheet of withSteps) expect(sheet).toContain('Expected value')
      expect(sheets.at(-1)).toContain('I do not agree')
    }
  })

  it.skipIf(!hasPdftotext())(
    'prints letters that are not Latin, and names those it cannot',
    async () => {
      const { plan, digest } = loadPlan(hostile, 'x.yaml')
      const [first = ''] = pages((await printScript(plan, { digest })).pdf)
      expect(first).toContain('Ωμέγα')
      expect(first).toContain('Токены')
      expect(first).toContain('⟨U+5C71⟩')
      expect(first).toContain("<script>alert('1')</script>")
    },
  )

  it.skipIf(!hasPdftotext())('keeps the longest texts on the page', async () => {
    const long = `${'Donaudampfschifffahrtsgesellschaftskapitän '.repeat(27)}Ende.`
    const text = edit(
      planText('generate-fpe-key'),
      `    title: Roll call\n    say: >-\n`,
      `    title: ${'Wort '.repeat(15)}Ende\n    say: >-\n      ${long}\n`,
    ).replace(/Ende\.\n[^]*?\n {2}- check: clock/, 'Ende.\n  - check: clock')
    const { plan, digest } = loadPlan(text, 'x.yaml')
    const sheets = pages((await printScript(plan, { digest })).pdf)
    const steps = sheets.find((sheet) => sheet.includes('Donaudampf'))
    expect(steps).toContain('Ende.')
    expect(steps).toContain('Page ')
  })

  it.skipIf(!hasPdftotext())('tears a row apart only when it is higher than a page', async () => {
    const text = edit(
      edit(planText('generate-fpe-key'), 'quorum: 2, of: 3', 'quorum: 32, of: 32'),
      '- check: clock',
      `- say: "${'山a'.repeat(590)} Ende."\n  - check: clock`,
    )
    const { plan, digest } = loadPlan(text, 'x.yaml')
    const sheets = pages((await printScript(plan, { digest })).pdf)
    const all = sheets.join('\n')
    expect(all).toContain('Ende.')
    expect(all).toContain('continued')
    expect(all.match(/⟨U\+5C71⟩/g)!.length).toBeGreaterThan(590)
    // Everything stands above the footer: the last line of each page is the page number's.
    for (const sheet of sheets) {
      expect(sheet.trimEnd().split('\n').at(-1)).toMatch(/Page \d+ of \d+$/)
    }
  })
})
