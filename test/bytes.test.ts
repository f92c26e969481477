import { execFileSync } from 'node:child_process'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  concat,
  equal,
  fromBase64,
  fromHex,
  fromUtf8,
  secretBytes,
  sha256,
  toBase64,
  toHex,
  utf8,
  wipe,
} from '../src/bytes.ts'
import { FormatError } from '../src/errors.ts'

const bytes = fc.uint8Array({ maxLength: 200 })

describe('hexadecimal', () => {
  it('round-trips, as plain arrays that share no memory', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        const back = fromHex(toHex(value))
        expect(back).toEqual(value)
        expect(back.constructor).toBe(Uint8Array)
        expect(back.buffer.byteLength).toBe(value.length)
      }),
    )
  })

  it.each(['0', '0G', 'AB', 'ab ', ' ab', '0x00', 'ab\n', 'abc', 'ü'])('refuses %j', (text) => {
    expect(() => fromHex(text, 'the field')).toThrow(
      expect.objectContaining({ code: 'FORMAT', where: 'the field' }),
    )
  })

  it('encodes the part of a buffer that a view shows', () => {
    expect(toHex(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))).toBe('0203')
  })
})

describe('base64', () => {
  // RFC 4648 §10.
  it.each([
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ])('of %j is %j', (text, encoded) => {
    expect(toBase64(utf8(text))).toBe(encoded)
    expect(fromUtf8(fromBase64(encoded))).toBe(text)
  })

  it('round-trips', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(fromBase64(toBase64(value))).toEqual(value)
      }),
    )
  })

  it.each([
    ['no padding', 'Zg'],
    ['half the padding', 'Zg='],
    ['padding alone', '===='],
    ['padding in the middle', 'Zg==Zg=='],
    ['unused bits that are not zero', 'Zh=='],
    ['base64url', '-_8='],
    ['a newline', 'Zm9v\nZm9v'],
    ['white space around', ' Zm9v '],
    ['other characters', 'Zm9*'],
  ])('refuses %s', (_name, text) => {
    expect(() => fromBase64(text)).toThrow(FormatError)
  })

  it('reads long text without exhausting the stack', () => {
    const long = new Uint8Array(60_000_000)
    expect(fromBase64(toBase64(long)).length).toBe(long.length)
  })
})

describe('text', () => {
  it('refuses malformed UTF-8 and keeps a byte order mark', () => {
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))).toBe('\ufeffA')
    for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      expect(() => fromUtf8(Uint8Array.from(bad), 'here')).toThrow(
        expect.objectContaining({ code: 'FORMAT', where: 'here' }),
      )
    }
  })

  it('refuses to encode a lone surrogate, which would become another text', () => {
    expect(() => utf8('a\ud800')).toThrow(FormatError)
    expect(toHex(utf8('\u{1f511}'))).toBe('f09f9491')
  })
})

describe('arrays', () => {
  it('are joined in order', () => {
    expect(concat()).toEqual(new Uint8Array())
    expect(concat(Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3))).toEqual(
      Uint8Array.of(1, 2, 3),
    )
  })

  it('are compared by content and length', () => {
    expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true)
    expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
    expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
  })

  it('are wiped in place, also through a view, missing ones left out', () => {
    const secret = Uint8Array.of(1, 2, 3, 4)
    wipe(secret.subarray(1, 3), undefined)
    expect(secret).toEqual(Uint8Array.of(1, 0, 0, 4))
  })
})

describe('bytes for a secret', () => {
  it('are zero', () => {
    expect(secretBytes(3)).toEqual(Uint8Array.of(0, 0, 0))
  })

  it('lie outside the heap that the garbage collector moves, unlike other short arrays', () => {
    // A process of its own: here buffers of the test runner come and go.
    const script = `
      import { secretBytes } from ${JSON.stringify(new URL('../src/bytes.ts', import.meta.url).href)}
      const outside = (make) => {
        gc()
        const before = process.memoryUsage().arrayBuffers
        const kept = Array.from({ length: 10_000 }, make)
        gc()
        return (process.memoryUsage().arrayBuffers - before) / kept.length
      }
      const plain = outside(() => new Uint8Array(32))
      console.log(JSON.stringify([outside(() => secretBytes(32)), plain]))`
    const options = ['--expose-gc', '--input-type=module', '-e', script]
    const printed = execFileSync(process.execPath, options, { encoding: 'utf8' })
    const [secret = 0, plain = 0] = JSON.parse(printed) as number[]
    expect(secret).toBeGreaterThan(31)
    expect(plain).toBeLessThan(1)
  })
})

describe('SHA-256', () => {
  // FIPS 180-4 examples "abc" and the empty message.
  it('gives the published values, whole or in parts', () => {
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(toHex(sha256(utf8('abc')))).toBe(abc)
    expect(toHex(sha256(utf8('a'), utf8(''), utf8('bc')))).toBe(abc)
    expect(toHex(sha256())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })
})
