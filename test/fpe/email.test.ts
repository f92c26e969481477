/** E-mail addresses: letters and digits before the at sign change, nothing else. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { alphabet, alphabets } from '../../src/fpe/alphabet.ts'
import { email } from '../../src/fpe/email.ts'
import { behaves, columnOf, refusal, texts } from './format-column.ts'

const local = fc.stringMatching(/^[a-z0-9]{4}[a-z0-9._+-]{0,40}$/)
const address = fc
  .tuple(local, fc.constantFrom('example.com', 'Example.COM', 'bücher.example', 'mail.[10.0.0.1]'))
  .map(([name, domain]) => `${name}@${domain}`)

describe('e-mail addresses', () => {
  it('keep domain and punctuation', async () => {
    await behaves(email(), address, (output, input) => {
      const [before, ...domain] = output.split('@')
      const [was, ...same] = input.split('@')
      expect(domain).toEqual(same)
      expect(before!.replaceAll(/[a-z0-9]/g, 'x')).toBe(was!.replaceAll(/[a-z0-9]/g, 'x'))
    })
  })

  it('over another alphabet', async () => {
    const values = fc.stringMatching(/^[A-Za-z0-9]{4,20}$/).map((name) => `${name}@example.com`)
    await behaves(email({ alphabet: alphabets.base62 }), values, (output) => {
      expect(output).toMatch(/^[A-Za-z0-9]+@example\.com$/)
    })
  })

  it('are bound to domain and punctuation as written', async () => {
    const field = columnOf(email())
    const encrypted = texts(
      await field.encryptEach(['john.doe@a.example', 'john.doe@A.example', 'joh.ndoe@a.example']),
    ).map((text) => text.split('@')[0]!.replaceAll('.', ''))
    expect(new Set(encrypted).size).toBe(3)
  })

  it.each([
    ['John.doe@example.com', 'SYMBOL_INVALID'],
    ['"john doe"@example.com', 'SYMBOL_INVALID'],
    ['jöhn@example.com', 'SYMBOL_INVALID'],
    ['john.doe', 'FORMAT_MISMATCH'],
    ['john.doe@', 'FORMAT_MISMATCH'],
    ['john@doe@example.com', 'FORMAT_MISMATCH'],
    ['john.doe@exa mple.com', 'FORMAT_MISMATCH'],
    ['john.doe@exam\ud800ple.com', 'FORMAT_MISMATCH'],
    ['@example.com', 'LENGTH_INVALID'],
    ['..@example.com', 'LENGTH_INVALID'],
    [`${'j'.repeat(65)}@example.com`, 'LENGTH_INVALID'],
    [`john@${'d'.repeat(256)}`, 'LENGTH_INVALID'],
    ['joe@example.com', 'DOMAIN_TOO_SMALL'],
  ])('%j is refused: %s', async (value, code) => {
    expect(await refusal(email(), value, 1_000_000)).toMatchObject({ code })
  })

  it('alphabets with characters of addresses are refused', () => {
    expect(() => email({ alphabet: alphabet('abc.') })).toThrow(ConfigError)
    expect(() => email({ alphabet: alphabet('abc@') })).toThrow(ConfigError)
    expect(() => email({ alphabet: alphabet(['a', 'b', '\u{1F600}']) })).toThrow(ConfigError)
  })
})
