/** A roster that does not fit the people is refused before anything is touched. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { loadBinding } from '../../src/ceremony/index.ts'
import { refuseUnlessRostered } from '../../src/ceremony/roster-check.ts'
import { parseAllowedSigners } from '../../src/quorum/index.ts'
import { scratch } from '../tokens.ts'

const dir = scratch('roster')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const CEREMONIES = join(import.meta.dirname, '../../ceremonies')
const bindingFile = join(CEREMONIES, 'softhsm.binding.yaml')
const { resolved } = loadBinding(readFileSync(bindingFile, 'utf8'), bindingFile)
const roster = readFileSync(join(CEREMONIES, 'allowed_signers'), 'utf8')

execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'mallory')])
const mallory = readFileSync(join(dir, 'mallory.pub'), 'utf8').trim()

const check = (text: string, at = '2026-11-21T12:00:00Z'): void =>
  refuseUnlessRostered(resolved, parseAllowedSigners(text), new Date(at))

describe('the roster and the people', () => {
  it('accepts the example site', () => {
    expect(() => check(roster)).not.toThrow()
  })

  it.each([
    ['a pattern over everybody', '*@keyrite.example'],
    ['a list of two', 'alice@keyrite.example,bob@keyrite.example'],
  ])('refuses one key for two people: %s', (_what, principals) => {
    expect(() => check(`${roster}${principals} ${mallory}\n`)).toThrow(
      expect.objectContaining({ code: 'SAME_PERSON_TWICE' }),
    )
  })

  it('lets one person have two keys', () => {
    expect(() => check(`${roster}alice@keyrite.example ${mallory}\n`)).not.toThrow()
  })

  it('refuses a signer without a line', () => {
    expect(() => check(roster.replace(/^walter.*\n/m, ''))).toThrow(
      expect.objectContaining({ code: 'SIGNER_UNKNOWN', got: 'none' }),
    )
  })

  it.each(['2025-12-31T23:59:59Z', '2027-06-01T00:00:00Z'])(
    'refuses a signer whose keys are not valid: %s',
    (at) => {
      const text = roster.replaceAll('valid-after="20260101Z"', '$&,valid-before="20270101Z"')
      expect(() => check(text)).not.toThrow()
      expect(() => check(text, at)).toThrow(expect.objectContaining({ code: 'SIGNER_EXPIRED' }))
    },
  )
})
