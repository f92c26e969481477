/** Whatever text arrives: it fits, nothing is lost, and it cannot move the cursor. */
import fc from 'fast-check'
import { expect, it } from 'vitest'

import { toHex, utf8 } from '../../src/bytes.ts'
import { expandDigest } from '../../src/cli/digest-text.ts'
import { createScreen } from '../../src/cli/screen.ts'
import { MAX_SECRET_BYTES, createSecretLine } from '../../src/cli/secret-line.ts'
import { fromPgpWords, toPgpWords } from '../../src/pgp-words.ts'
import { columnsOf, printable, wrap } from '../../src/plain-text.ts'

const text = fc.string({ unit: 'binary', maxLength: 400 })

it('wrapped lines fit and keep every visible character in order', () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 20, max: 100 }), fc.nat(12), (any, columns, hang) => {
      const safe = printable(any)
      const lines = wrap(safe, columns, hang)
      for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(columns)
      const visible = (value: string): string => value.replaceAll(/ /g, '')
      expect(visible(lines.join(''))).toBe(visible(safe))
    }),
  )
})

it('nothing printed holds a control, format or bidirectional character except newlines', () => {
  fc.assert(
    fc.property(text, (any) => {
      let written = ''
      createScreen({ write: (chunk) => (written += chunk) }, {}).print(any)
      expect(written.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      expect(written.endsWith('\n')).toBe(true)
    }),
  )
})

it('a hidden line returns exactly the printable bytes typed, however the terminal chunks them', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 100 }),
      fc.integer({ min: 1, max: 7 }),
      (typed, size) => {
        const bytes = utf8(typed)
        const line = createSecretLine()
        for (let at = 0; at < bytes.length; at += size) {
          expect(line.feed(bytes.slice(at, at + size))).toBe('more')
        }
        expect(line.feed(Uint8Array.of(13))).toBe('done')
        expect(toHex(line.value())).toBe(toHex(bytes))
        line.wipe()
        expect(line.value()).toHaveLength(0)
      },
    ),
  )
})

it('backspace takes back whole characters until nothing is left', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-composite', maxLength: 40 }), (typed) => {
      const line = createSecretLine()
      line.feed(utf8(typed))
      const last = Array.from(typed).length
      for (let index = last - 1; index >= 0; index -= 1) {
        line.feed(Uint8Array.of(0x7f))
        expect(toHex(line.value())).toBe(toHex(utf8(Array.from(typed).slice(0, index).join(''))))
      }
      line.feed(Uint8Array.of(0x7f))
      expect(line.value()).toHaveLength(0)
    }),
  )
})

it('a hidden line has a limit', () => {
  const line = createSecretLine()
  expect(line.feed(new Uint8Array(MAX_SECRET_BYTES).fill(65))).toBe('more')
  expect(line.feed(Uint8Array.of(65))).toBe('too-long')
})

it('digest lines carry the digest as hex and as words', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (digest) => {
      const [label, ...lines] = expandDigest(`plan: sha256:${toHex(digest)}`, toPgpWords)
      expect(label).toBe('plan:')
      const body = lines.map((line) => line.slice(9))
      expect(body.slice(0, 2).join('').replaceAll(' ', '')).toBe(toHex(digest))
      const words = body.slice(2).flatMap((line) => line.trim().split(/ +/))
      expect(toHex(fromPgpWords(words))).toBe(toHex(digest))
    }),
  )
  expect(expandDigest('no digest here', toPgpWords)).toEqual(['no digest here'])
})
