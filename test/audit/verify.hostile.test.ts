import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { beforeAll, describe, expect, it } from 'vitest'

import { formatCheckpoint, leafHash, verifyLog } from '../../src/audit/index.ts'
import { createTree } from '../../src/audit/tree.ts'
import { toHex, utf8 } from '../../src/bytes.ts'
import { canonicalJson } from '../../src/canonical.ts'
import { ConfigError, VerificationError } from '../../src/errors.ts'
import { formatVerifierKey, noteVerifier, signNote } from '../../src/note.ts'
import type { JsonObject } from '../../src/types.ts'
import { buildGo, runGo } from './go-programs.ts'
import { fingerprint, firstSegment, linesOf, makeLog, open, scratch } from './scratch.ts'
import { ORIGIN, freshKey } from './software-keys.ts'

const { root: scratchRoot, fresh, copy } = scratch()
const key = freshKey()
const verifiers = [key.verifier]

/** Fourteen entries; checkpoints at 5 and 12; two entries not signed yet. */
let base: string
let goBinary: string
beforeAll(async () => {
  goBinary = buildGo('../../src/audit/verify.go', scratchRoot)
  base = fresh()
  await makeLog(base, 14, [5, 12], key.noteSigner)
})

const go = (dir: string, verifier = key.verifier) =>
  runGo(goBinary, [dir, formatVerifierKey(verifier)])

const write = (dir: string, lines: readonly string[]): void =>
  writeFileSync(firstSegment(dir), lines.map((line) => `${line}\n`).join(''))

/** Recomputes `seq` and `prev` of every line, as somebody would who knows the format. */
function rechain(lines: readonly string[]): string[] {
  let prev: string | undefined
  return lines.map((line, seq) => {
    const entry = JSON.parse(line) as JsonObject
    const text = canonicalJson({ ...entry, seq, ...(prev === undefined ? {} : { prev }) })
    prev = toHex(leafHash(utf8(text)))
    return text
  })
}

/** keyrite refuses exactly so, the Go program refuses too, and neither touches the directory. */
async function expectRefused(dir: string, expected: object, goRefuses = true): Promise<void> {
  const before = fingerprint(dir)
  const error = await verifyLog(dir, { verifiers }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(VerificationError)
  expect(error).toMatchObject(expected)
  // A log that does not verify does not open either.
  await expect(open(dir, { verifiers })).rejects.toThrow(VerificationError)
  expect(fingerprint(dir)).toBe(before)
  expect(go(dir).accepted).toBe(!goRefuses)
}

describe('the untouched log', () => {
  it('is accepted by keyrite and by the Go program', async () => {
    const found = await verifyLog(base, { verifiers, origin: ORIGIN })
    expect(found).toMatchObject({ origin: ORIGIN, size: 12, unsignedTail: 2, signedBy: [ORIGIN] })
    expect(found.entries).toEqual(
      linesOf(base)
        .slice(0, 12)
        .map((line): unknown => JSON.parse(line)),
    )
    const { accepted, output } = go(base)
    expect(output).toContain(`OK ${ORIGIN} signed 12 root`)
    expect(accepted).toBe(true)
  })

  it('is accepted with a P-256 key', async () => {
    const p256 = freshKey(ORIGIN, 'ecdsa-p256-sha256')
    const dir = fresh()
    await makeLog(dir, 6, [0, 3, 6], p256.noteSigner)
    await expect(verifyLog(dir, { verifiers: [p256.verifier] })).resolves.toMatchObject({ size: 6 })
    expect(go(dir, p256.verifier).accepted).toBe(true)
    expect(go(dir, freshKey(ORIGIN, 'ecdsa-p256-sha256').verifier).accepted).toBe(false)
    write(dir, rechain(linesOf(dir).with(2, linesOf(dir)[2]!.replace('entry 2', 'entry X'))))
    expect(go(dir, p256.verifier).accepted).toBe(false)
  })

  it('is accepted when empty, and when only the last checkpoint was kept', async () => {
    const empty = fresh()
    await makeLog(empty, 0, [0], key.noteSigner)
    await expect(verifyLog(empty, { verifiers })).resolves.toMatchObject({ size: 0, entries: [] })
    expect(go(empty).accepted).toBe(true)
    const dir = copy(base)
    rmSync(join(dir, 'checkpoints.log'))
    rmSync(join(dir, 'origin'))
    await expect(verifyLog(dir, { verifiers })).resolves.toMatchObject({ size: 12 })
  })
})

describe('one flipped byte', () => {
  it('in a signed line is refused, and the line is named', async () => {
    const dir = copy(base)
    const original = readFileSync(firstSegment(dir))
    let line = 0
    for (let at = 0; at < original.length && line < 12; at += 1) {
      if (at % 7 === 0 || original[at] === 0x0a) {
        const bytes = Buffer.from(original)
        bytes[at]! ^= 0x01
        writeFileSync(firstSegment(dir), bytes)
        const error: unknown = await verifyLog(dir, { verifiers }).catch((e: unknown) => e)
        expect(error).toMatchObject({ code: 'CHAIN_BROKEN', entry: line })
        if (at % 70 === 0) expect(go(dir).accepted).toBe(false)
      }
      if (original[at] === 0x0a) line += 1
    }
    expect(line).toBe(12)
  })

  it('in the last line, which no other confirms, is refused by the root', async () => {
    const dir = fresh()
    await makeLog(dir, 4, [3, 4], key.noteSigner)
    writeFileSync(
      firstSegment(dir),
      readFileSync(firstSegment(dir), 'utf8').replace('y 3"', 'y 2"'),
    )
    await expectRefused(dir, { code: 'ROOT_MISMATCH', requirement: 'LOG-ROOT-1', entry: 3 })
  })

  it.each(['checkpoint', 'checkpoints.log', 'origin'])('in %s is refused', async (name) => {
    const dir = copy(base)
    const original = readFileSync(join(dir, name))
    for (let at = 0; at < original.length; at += 1) {
      const bytes = Buffer.from(original)
      bytes[at]! ^= 0x01
      writeFileSync(join(dir, name), bytes)
      await expect(verifyLog(dir, { verifiers }), `byte ${at}`).rejects.toThrow(VerificationError)
    }
  })

  it('in the checkpoint is refused by the Go program', () => {
    const dir = copy(base)
    const original = readFileSync(join(dir, 'checkpoint'))
    // Go's base64 ignores the two unused bits of the last character, which carry nothing; keyrite does not.
    const unused = original.indexOf('=\n', original.lastIndexOf('\u2014')) - 1
    for (let at = 0; at < original.length; at += at < 90 ? 3 : 7) {
      if (at === unused) continue
      const bytes = Buffer.from(original)
      bytes[at]! ^= 0x01
      writeFileSync(join(dir, 'checkpoint'), bytes)
      expect(go(dir).accepted, `byte ${at}`).toBe(false)
    }
  })
})

describe('lines', () => {
  it('dropped: refused at the place of the gap', async () => {
    for (const n of [0, 4, 11]) {
      const dir = copy(base)
      write(dir, linesOf(dir).toSpliced(n, 1))
      await expectRefused(dir, { code: 'CHAIN_BROKEN', requirement: 'LOG-CHAIN-1', entry: n })
    }
  })

  it('dropped with the chain recomputed: refused by the root', async () => {
    const dir = copy(base)
    write(dir, rechain(linesOf(dir).toSpliced(7, 1)))
    await expectRefused(dir, {
      code: 'ROOT_MISMATCH',
      requirement: 'LOG-ROOT-1',
      where: 'entries 5 to 11',
    })
  })

  it('reordered: refused at the first of them', async () => {
    const dir = copy(base)
    const lines = linesOf(dir)
    write(dir, lines.with(6, lines[7]!).with(7, lines[6]!))
    await expectRefused(dir, { code: 'CHAIN_BROKEN', requirement: 'LOG-CHAIN-1', entry: 6 })
    write(dir, rechain(lines.with(6, lines[7]!).with(7, lines[6]!)))
    await expectRefused(dir, { code: 'ROOT_MISMATCH', requirement: 'LOG-ROOT-1' })
  })

  it('edited: refused, with and without the chain recomputed', async () => {
    const dir = copy(base)
    const edited = linesOf(dir).with(3, linesOf(dir)[3]!.replace('entry 3', 'entry three'))
    write(dir, edited)
    await expectRefused(dir, { code: 'CHAIN_BROKEN', requirement: 'LOG-CHAIN-1', entry: 3 })
    write(dir, rechain(edited))
    await expectRefused(dir, {
      code: 'ROOT_MISMATCH',
      requirement: 'LOG-ROOT-1',
      where: 'entries 0 to 4',
    })
  })

  it('inserted or repeated: refused', async () => {
    const dir = copy(base)
    const lines = linesOf(dir)
    write(dir, lines.toSpliced(2, 0, lines[2]!))
    await expectRefused(dir, { code: 'CHAIN_BROKEN', requirement: 'LOG-CHAIN-1', entry: 3 })
    write(dir, rechain(lines.toSpliced(2, 0, lines[2]!)))
    await expectRefused(dir, { code: 'ROOT_MISMATCH', requirement: 'LOG-ROOT-1' })
  })

  it('truncated: refused at the first missing one', async () => {
    for (const size of [0, 4, 5, 11]) {
      const dir = copy(base)
      write(dir, linesOf(dir).slice(0, size))
      const expected = { code: 'LOG_TRUNCATED', requirement: 'LOG-SIZE-1', entry: size }
      await expectRefused(dir, expected)
    }
    const dir = copy(base)
    rmSync(join(dir, 'seg'), { recursive: true })
    await expectRefused(dir, { code: 'LOG_TRUNCATED', requirement: 'LOG-SIZE-1', entry: 0 })
  })

  it.each([
    ['white space', (line: string) => line.replace(':', ': ')],
    ['a key twice', (line: string) => line.replace('{', '{"n":9,')],
    ['keys out of order', (line: string) => line.replace(',"v":1}', '}').replace('{', '{"v":1,')],
    ['an escape that is not needed', (line: string) => line.replace('entry', '\\u0065ntry')],
    ['a number in another form', (line: string) => line.replace('"v":1', '"v":1.0')],
    ['another version', (line: string) => line.replace('"v":1', '"v":2')],
    ['a time in another zone', (line: string) => line.replace('006Z', '006+01:00')],
    ['a day that does not exist', (line: string) => line.replace('01-02T', '02-30T')],
    ['no type', (line: string) => line.replace('test.note', '')],
    ['an array', () => '[]'],
    ['null', () => 'null'],
  ])('with %s: refused even when signed', async (_name, change) => {
    const dir = fresh()
    await makeLog(dir, 2, [], key.noteSigner)
    const lines = linesOf(dir).with(1, change(linesOf(dir)[1]!))
    write(dir, lines)
    const tree = createTree()
    for (const line of lines) tree.append(leafHash(utf8(line)))
    const text = formatCheckpoint({ origin: ORIGIN, size: 2, root: tree.root() })
    const note = await signNote(text, [key.noteSigner])
    writeFileSync(join(dir, 'checkpoint'), note)
    writeFileSync(join(dir, 'checkpoints.log'), `${note}\n`)
    // The Go program looks at the signature and the tree only.
    const expected = { code: 'CHAIN_BROKEN', requirement: 'LOG-LINE-1', entry: 1 }
    await expectRefused(dir, expected, false)
  })
})

describe('segments', () => {
  it('missing, renamed or strange: refused', async () => {
    const expected = { code: 'CHAIN_BROKEN', requirement: 'LOG-SEG-1' }
    const renamed = copy(base)
    renameSync(firstSegment(renamed), join(renamed, 'seg', '000000065536.jsonl'))
    await expectRefused(renamed, { ...expected, entry: 0 }, false)
    const extra = copy(base)
    writeFileSync(join(extra, 'seg', 'notes.txt'), '')
    await expectRefused(extra, expected, false)
    const short = copy(base)
    writeFileSync(join(short, 'seg', '000000065536.jsonl'), '')
    await expectRefused(short, { ...expected, entry: 14 }, false)
  })
})

describe('keys and origins', () => {
  it('wrong key: refused', async () => {
    const other = freshKey()
    await expect(verifyLog(base, { verifiers: [other.verifier] })).rejects.toMatchObject({
      code: 'SIGNER_NOT_TRUSTED',
      requirement: 'LOG-SIG-2',
    })
    expect(go(base, other.verifier).accepted).toBe(false)
  })

  it('wrong key that claims to be the right one: refused', async () => {
    const dir = copy(base)
    const other = freshKey()
    const note = readFileSync(join(dir, 'checkpoint'), 'utf8')
    const body = note.slice(0, note.indexOf('\n\n') + 1)
    const signature = await other.signer.sign(utf8(body))
    const line = Buffer.concat([key.verifier.keyId, signature]).toString('base64')
    writeFileSync(join(dir, 'checkpoint'), `${body}\n\u2014 ${ORIGIN} ${line}\n`)
    await expectRefused(dir, { code: 'SIGNATURE_INVALID', requirement: 'LOG-SIG-1' })
  })

  it('one bad signature by a trusted key spoils a good one by another', async () => {
    const dir = copy(base)
    const second = freshKey('second.example')
    {
      await using log = await open(dir)
      await log.checkpoint([key.noteSigner, second.noteSigner])
    }
    const both = { verifiers: [key.verifier, second.verifier] }
    const signedBy = [ORIGIN, 'second.example']
    await expect(verifyLog(dir, both)).resolves.toMatchObject({ signedBy })
    const note = readFileSync(join(dir, 'checkpoint'), 'utf8')
    writeFileSync(join(dir, 'checkpoint'), note.replace(/(second\.example \S{20})./, '$1A'))
    await expect(verifyLog(dir, both)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
  })

  it('no key at all: refused', async () => {
    await expect(verifyLog(base, { verifiers: [] })).rejects.toThrow(ConfigError)
  })

  it('no checkpoint: refused', async () => {
    const dir = copy(base)
    rmSync(join(dir, 'checkpoint'))
    rmSync(join(dir, 'checkpoints.log'))
    await expect(verifyLog(dir, { verifiers })).rejects.toMatchObject({
      code: 'SIGNATURE_INVALID',
      requirement: 'LOG-SIG-2',
    })
    expect(go(dir).accepted).toBe(false)
  })

  it('wrong origin: refused', async () => {
    const wrong = { code: 'ORIGIN_MISMATCH', requirement: 'LOG-ORIGIN-1' }
    const origin = 'keyrite.example/audit/other'
    await expect(verifyLog(base, { verifiers, origin })).rejects.toMatchObject(wrong)
    // The same key under the other log's name is another key to a note verifier.
    const renamed = noteVerifier(origin, 'ed25519', key.signer.publicKey)
    expect(go(base, renamed).accepted).toBe(false)

    // A checkpoint of another log, signed by the very same key under the very same name.
    const dir = copy(base)
    const tree = createTree()
    for (const line of linesOf(dir)) tree.append(leafHash(utf8(line)))
    const text = formatCheckpoint({ origin, size: 14, root: tree.root() })
    const note = await signNote(text, [key.noteSigner])
    writeFileSync(join(dir, 'checkpoint'), note)
    writeFileSync(join(dir, 'checkpoints.log'), `${note}\n`)
    await expectRefused(dir, wrong)
    // With the origin file gone the lines still say where they belong.
    rmSync(join(dir, 'origin'))
    await expect(verifyLog(dir, { verifiers })).rejects.toMatchObject({
      code: 'CHAIN_BROKEN',
      requirement: 'LOG-CHAIN-1',
      entry: 0,
    })
  })

  it('a history that is not a prefix: refused', async () => {
    const dir = copy(base)
    const text = formatCheckpoint({ origin: ORIGIN, size: 5, root: leafHash(utf8('another past')) })
    const forged = await signNote(text, [key.noteSigner])
    const note = readFileSync(join(dir, 'checkpoint'), 'utf8')
    writeFileSync(join(dir, 'checkpoints.log'), `${forged}\n${note}\n`)
    await expectRefused(dir, {
      code: 'ROOT_MISMATCH',
      requirement: 'LOG-ROOT-1',
      where: 'entries 0 to 4',
    })
  })
})

describe('the directory', () => {
  it('is only read', async () => {
    const dir = copy(base)
    const before = [fingerprint(dir), readdirSync(dir)]
    await verifyLog(dir, { verifiers })
    expect([fingerprint(dir), readdirSync(dir)]).toEqual(before)
  })
})
