import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { beforeAll, describe, expect, it } from 'vitest'

import { formatProof, parseProof, proveEntry, verifyProof } from '../../src/audit/index.ts'
import { toBase64, utf8 } from '../../src/bytes.ts'
import { ConfigError, FormatError, KeyriteError } from '../../src/errors.ts'
import { formatVerifierKey } from '../../src/note.ts'
import { buildGo, runGo } from './go-programs.ts'
import { fingerprint, linesOf, makeLog, scratch } from './scratch.ts'
import { ORIGIN, freshKey } from './software-keys.ts'

const { root, fresh } = scratch()
const key = freshKey()
const verifiers = [key.verifier]

let dir: string
let goBinary: string
let proof: string
beforeAll(async () => {
  goBinary = buildGo('../../src/audit/verify.go', root)
  dir = fresh()
  await makeLog(dir, 11, [4, 10], key.noteSigner)
  proof = await proveEntry(dir, 6, { verifiers })
})

function goAccepts(text: string): boolean {
  const path = join(root, 'entry.tlog-proof')
  writeFileSync(path, text)
  return runGo(goBinary, [dir, formatVerifierKey(key.verifier), path]).accepted
}

describe('tlog proof', () => {
  it('has the form of C2SP tlog-proof', () => {
    const lines = proof.split('\n')
    expect(lines.slice(0, 3)).toEqual([
      'c2sp.org/tlog-proof@v1',
      `extra ${toBase64(utf8(linesOf(dir)[6]!))}`,
      'index 6',
    ])
    expect(proof.slice(proof.indexOf('\n\n') + 2)).toBe(
      readFileSync(join(dir, 'checkpoint'), 'utf8'),
    )
    const { index, hashes, checkpoint } = parseProof(proof)
    const bare = { index, hashes, checkpoint }
    expect(formatProof(parseProof(proof))).toBe(proof)
    expect(parseProof(formatProof(bare))).toEqual(bare)
  })

  it('proves every signed entry, to keyrite and to the Go program', async () => {
    const before = fingerprint(dir)
    for (let index = 0; index < 10; index += 1) {
      const text = await proveEntry(dir, index, { verifiers })
      const proven = verifyProof(text, { verifiers, origin: ORIGIN })
      expect(proven).toMatchObject({ index, origin: ORIGIN, size: 10, signedBy: [ORIGIN] })
      expect(proven.entry).toEqual(JSON.parse(linesOf(dir)[index]!))
      expect(goAccepts(text)).toBe(true)
    }
    expect(fingerprint(dir)).toBe(before)
  })

  it('does not exist for entries that are not signed', async () => {
    for (const index of [10, 11, -1, 0.5]) {
      await expect(proveEntry(dir, index, { verifiers })).rejects.toThrow(ConfigError)
    }
  })

  it('is refused after one flipped byte anywhere', () => {
    const original = Buffer.from(proof)
    const unused = original.indexOf('=\n', original.lastIndexOf('\u2014')) - 1
    for (let at = 0; at < original.length; at += 1) {
      const bytes = Buffer.from(original)
      bytes[at]! ^= 0x01
      const text = bytes.toString('utf8')
      expect(() => verifyProof(text, { verifiers }), `byte ${at}`).toThrow(KeyriteError)
      // The header line is not looked at by the Go program, nor are base64's unused bits.
      if (at > 30 && at % 29 === 0 && at !== unused)
        expect(goAccepts(text), `byte ${at}`).toBe(false)
    }
  })

  it('is refused for another index, another entry, another key or another origin', () => {
    const parts = parseProof(proof)
    const refused = { code: 'PROOF_INVALID', requirement: 'LOG-PROOF-1' }
    const failure = (text: string, options = {}): unknown => {
      try {
        return verifyProof(text, { verifiers, ...options })
      } catch (error) {
        return error
      }
    }
    expect(failure(formatProof({ ...parts, index: 7 }))).toMatchObject(refused)
    expect(failure(formatProof({ ...parts, index: 10 }))).toMatchObject(refused)
    expect(failure(formatProof({ ...parts, extra: utf8(linesOf(dir)[7]!) }))).toMatchObject(refused)
    expect(failure(formatProof({ ...parts, hashes: parts.hashes.slice(1) }))).toMatchObject(refused)
    const { index, hashes, checkpoint } = parts
    expect(failure(formatProof({ index, hashes, checkpoint }))).toMatchObject(refused)
    expect(failure(proof, { verifiers: [freshKey().verifier] })).toMatchObject({
      code: 'SIGNER_NOT_TRUSTED',
    })
    expect(failure(proof, { origin: 'keyrite.example/other' })).toMatchObject({
      code: 'ORIGIN_MISMATCH',
    })
  })

  it.each([
    ['nothing', () => ''],
    ['another version', () => proof.replace('@v1', '@v2')],
    ['no index', () => proof.replace('index 6\n', '')],
    ['a leading zero', () => proof.replace('index 6', 'index 06')],
    ['a negative index', () => proof.replace('index 6', 'index -6')],
    ['a short hash', () => proof.replace('index 6\n', 'index 6\nAAAA\n')],
    ['carriage returns', () => proof.replaceAll('\n', '\r\n')],
  ])('is not parsed with %s', (_name, text) => {
    expect(() => parseProof(text())).toThrow(FormatError)
  })
})
