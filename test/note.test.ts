import { describe, expect, it } from 'vitest'

import { concat, fromHex, toBase64, toHex, utf8 } from '../src/bytes.ts'
import { ConfigError, FormatError } from '../src/errors.ts'
import {
  formatVerifierKey,
  noteVerifier,
  parseNote,
  parseVerifierKey,
  signNote,
  verifyNote,
} from '../src/note.ts'
import { freshKey } from './audit/software-keys.ts'

// The example of C2SP signed-note, "Verifier keys".
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const NOTE =
  'This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n'
// The example of Go's sumdb/note documentation.
const GO_VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const GO_TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
const GO_NOTE = `${GO_TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`

const key = freshKey('keyrite.example/a')
const p256 = freshKey('keyrite.example/b', 'ecdsa-p256-sha256')
const parse = (text: string) => parseNote(utf8(text))

describe('published examples', () => {
  it.each([
    ['C2SP signed-note', VKEY, NOTE, 'example.com/foo', 'This is an example message.\n'],
    ['Go sumdb/note', GO_VKEY, GO_NOTE, 'PeterNeumann', GO_TEXT],
  ])('%s', (_name, vkey, note, name, text) => {
    const verifier = parseVerifierKey(vkey)
    expect(formatVerifierKey(verifier)).toBe(vkey)
    expect(parse(note).text).toBe(text)
    expect(verifyNote(parse(note), [verifier])).toEqual([name])
    expect(() => verifyNote(parse(note.replace(/[Ii]s /, 'was ')), [verifier])).toThrow(
      expect.objectContaining({ code: 'SIGNATURE_INVALID', requirement: 'LOG-SIG-1' }),
    )
  })
})

describe('signing', () => {
  it('makes notes with one line per key that verify, for both algorithms', async () => {
    const note = await signNote('one\n\ntwo\n', [key.noteSigner, p256.noteSigner])
    const parsed = parse(note)
    expect(parsed.text).toBe('one\n\ntwo\n')
    expect(verifyNote(parsed, [key.verifier, p256.verifier])).toEqual([key.name, p256.name])
    expect(verifyNote(parsed, [p256.verifier])).toEqual([p256.name])
  })

  it.each([
    ['no final newline', 'text'],
    ['nothing', ''],
    ['a carriage return', 'text\r\n'],
    ['a tab', 'a\tb\n'],
    ['a NUL', 'a\0b\n'],
    ['a lone surrogate', 'a\ud800\n'],
  ])('refuses text with %s', async (_name, text) => {
    await expect(signNote(text, [key.noteSigner])).rejects.toThrow(FormatError)
  })

  it('refuses no signer, and one signer twice', async () => {
    await expect(signNote('text\n', [])).rejects.toThrow(FormatError)
    await expect(signNote('text\n', [key.noteSigner, key.noteSigner])).rejects.toThrow(FormatError)
  })

  it('does not return a signature that does not verify', async () => {
    const { signer } = key
    for (const made of [
      new Uint8Array(64),
      new Uint8Array(),
      await signer.sign(utf8('another text\n')),
    ]) {
      const faulty = { ...signer, sign: () => Promise.resolve(made) }
      await expect(signNote('text\n', [{ name: 'a', signer: faulty }])).rejects.toMatchObject({
        code: 'SIGNATURE_INVALID',
      })
    }
  })

  it.each([
    '',
    'a b',
    'a+b',
    'a\u0085b',
    'a\u00a0b',
    'a\u2003b',
    'a\tb',
    'a\nb',
    'a\u0001b',
    '\ud800',
  ])('refuses the key name %j', async (name) => {
    await expect(signNote('text\n', [{ name, signer: key.signer }])).rejects.toThrow(FormatError)
  })

  it('accepts a key name that only JavaScript takes for white space', () => {
    expect(noteVerifier('a\ufeffb', 'ed25519', key.signer.publicKey).name).toBe('a\ufeffb')
  })
})

describe('verifying', () => {
  const text = 'text\n'
  const line = (name: string, keyId: Uint8Array, signature: Uint8Array) =>
    `\u2014 ${name} ${toBase64(concat(keyId, signature))}\n`

  it('ignores unknown keys, also those that share a name or a key id', async () => {
    const other = freshKey(key.name)
    const note = await signNote(text, [key.noteSigner])
    const more = `${note}${line(key.name, other.verifier.keyId, new Uint8Array(64))}${line('keyrite.example/c', key.verifier.keyId, new Uint8Array(64))}`
    expect(verifyNote(parse(more), [key.verifier])).toEqual([key.name])
  })

  it('refuses a note when any signature by a known key is bad, in any order', async () => {
    const good = await signNote(text, [key.noteSigner])
    const bad = line(p256.name, p256.verifier.keyId, new Uint8Array(70))
    const body = `${text}\n`
    for (const note of [good + bad, body + bad + good.slice(body.length)]) {
      expect(() => verifyNote(parse(note), [key.verifier, p256.verifier])).toThrow(
        expect.objectContaining({ code: 'SIGNATURE_INVALID' }),
      )
      expect(verifyNote(parse(note), [key.verifier])).toEqual([key.name])
    }
  })

  it('refuses a note that no known key signed', async () => {
    const note = parse(await signNote(text, [key.noteSigner]))
    for (const verifiers of [[], [p256.verifier], [freshKey(key.name).verifier]]) {
      expect(() => verifyNote(note, verifiers)).toThrow(
        expect.objectContaining({ code: 'SIGNER_NOT_TRUSTED', requirement: 'LOG-SIG-2' }),
      )
    }
  })

  it('refuses two different keys of one name and key id', async () => {
    const note = parse(await signNote(text, [key.noteSigner]))
    const other = freshKey(key.name)
    const twin = { ...other.verifier, keyId: key.verifier.keyId }
    expect(() => verifyNote(note, [key.verifier, twin])).toThrow(ConfigError)
    expect(verifyNote(note, [key.verifier, key.verifier])).toEqual([key.name])
  })

  it('counts one key once', async () => {
    const note = await signNote(text, [key.noteSigner])
    const again = note.slice(note.indexOf('\u2014'))
    expect(verifyNote(parse(note + again), [key.verifier])).toEqual([key.name])
  })
})

describe('parsing', () => {
  it.each([
    ['nothing', ''],
    ['no signature', 'text\n\n'],
    ['no blank line', NOTE.replace('\n\n', '\n')],
    ['no final newline', NOTE.slice(0, -1)],
    ['text after the signatures', `${NOTE}more\n`],
    ['a hyphen for the dash', NOTE.replace('\u2014', '-')],
    ['no space after the dash', NOTE.replace('\u2014 ', '\u2014')],
    ['no name', NOTE.replace(' example.com/foo ', '  ')],
    ['no signature bytes', NOTE.replace(/Uw2QO.*=/, '')],
    ['a key id alone', NOTE.replace(/Uw2QO.*=/, 'Uw2QOg==')],
    ['a plus sign in the name', NOTE.replace('.com', '+com')],
    ['a carriage return', NOTE.replace('.\n', '.\r\n')],
    ['a NEL in the name', NOTE.replace('.com', '\u0085com')],
    ['spaces after the signature', NOTE.replace('=\n', '= \n')],
    ['unused bits that are not zero', NOTE.replace('QM=', 'QN=')],
    ['more than 100 signatures', NOTE + NOTE.slice(NOTE.indexOf('\u2014')).repeat(100)],
    ['more than a million bytes', 'x'.repeat(1_000_000) + NOTE],
  ])('refuses %s', (_name, note) => {
    expect(() => parse(note)).toThrow(FormatError)
  })

  it('refuses malformed UTF-8', () => {
    expect(() => parseNote(concat(Uint8Array.of(0xff), utf8(NOTE)))).toThrow(FormatError)
  })

  it('accepts 16 signatures and separates at the last blank line', () => {
    const signatures = NOTE.slice(NOTE.indexOf('\u2014')).repeat(16)
    const parsed = parse(`a\n\n\u2014 not a signature\n\nb\n\n${signatures}`)
    expect(parsed.text).toBe('a\n\n\u2014 not a signature\n\nb\n')
    expect(parsed.signatures).toHaveLength(16)
  })
})

describe('verifier keys', () => {
  it('round-trip for both algorithms', () => {
    for (const { verifier } of [key, p256]) {
      expect(parseVerifierKey(formatVerifierKey(verifier))).toEqual(verifier)
    }
    expect(toHex(parseVerifierKey(VKEY).keyId)).toBe('530d903a')
  })

  it.each([
    ['nothing', ''],
    ['another key id', VKEY.replace('530d903a', '530d903b')],
    ['another name', VKEY.replace('foo', 'bar')],
    ['an upper-case key id', VKEY.replace('530d903a', '530D903A')],
    ['no name', VKEY.replace('example.com/foo', '')],
    ['a space in the name', VKEY.replace('foo', 'f o')],
    ['no key', 'example.com/foo+530d903a+'],
    ['no padding where it is due', `a+00000000+${toBase64(new Uint8Array(35)).slice(0, -1)}`],
    ['another type', `a+00000000+${toBase64(new Uint8Array(33))}`],
    ['a short key', `a+00000000+${toBase64(concat(Uint8Array.of(1), new Uint8Array(31)))}`],
    ['a newline at the end', `${VKEY}\n`],
  ])('refused with %s', (_name, vkey) => {
    expect(() => parseVerifierKey(vkey)).toThrow(FormatError)
  })

  it('refuse keys that do not fit their algorithm', () => {
    const spki = p256.signer.publicKey
    const offCurve = concat(spki.subarray(0, 27), fromHex('01'.repeat(64)))
    for (const [algorithm, publicKey] of [
      ['ed25519', spki],
      ['ed25519', key.signer.publicKey.subarray(12)],
      ['ecdsa-p256-sha256', key.signer.publicKey],
      ['ecdsa-p256-sha256', concat(spki, Uint8Array.of(0))],
      ['ecdsa-p256-sha256', offCurve],
    ] as const) {
      expect(() => noteVerifier('a', algorithm, publicKey)).toThrow(FormatError)
    }
  })
})
