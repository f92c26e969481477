import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { sha256, toHex, utf8 } from '../src/bytes.ts'
import { MAX_DEPTH, canonicalDigest, canonicalJson, parseCanonicalJson } from '../src/canonical.ts'
import { FormatError } from '../src/errors.ts'
import type { Json } from '../src/types.ts'

const wellFormed = fc.string({ unit: 'binary' })
const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((n) => (Object.is(n, -0) ? 0 : n)),
    wellFormed,
    fc.array(tie('value')),
    fc.dictionary(wellFormed, tie('value')),
  ),
})).value

describe('RFC 8785', () => {
  it('sorts keys by UTF-16 code units (§3.2.3 example)', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    }
    const order = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33']
    expect(Object.keys(JSON.parse(canonicalJson(value)) as object)).toHaveLength(order.length)
    const places = order.map((name) => canonicalJson(value).indexOf(JSON.stringify(name)))
    expect(places).toEqual(places.toSorted((a, b) => a - b))
  })

  it('writes strings with the shortest escapes (§3.2.2.2)', () => {
    expect(canonicalJson('\u20ac$\u000f\nA\'B"\\"/\u2028\u007f')).toBe(
      '"\u20ac$\\u000f\\nA\'B\\"\\\\\\"/\u2028\u007f"',
    )
  })

  it('agrees with an independent implementation', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJson(value)).toBe(canonicalize(value))
      }),
      { numRuns: 500 },
    )
  })

  it('does not depend on the order in which keys were added, and reads back', () => {
    fc.assert(
      fc.property(fc.dictionary(wellFormed, json), (value) => {
        const text = canonicalJson(value)
        const reversed = Object.fromEntries(Object.entries(value).reverse())
        expect(canonicalJson(reversed)).toBe(text)
        expect(parseCanonicalJson(text)).toEqual(JSON.parse(text))
        expect(toHex(canonicalDigest(value))).toBe(toHex(sha256(utf8(text))))
      }),
    )
  })
})

describe('what has no canonical form', () => {
  const deep = (levels: number): Json => {
    let value: Json = 1
    for (let n = 0; n < levels; n += 1) value = [value]
    return value
  }
  const cyclic: Record<string, unknown> = {}
  cyclic['self'] = cyclic

  it.each<[string, unknown]>([
    ['undefined', { a: undefined }],
    ['a fraction', 0.1],
    ['minus zero', -0],
    ['an unsafe integer', 2 ** 53],
    ['NaN', Number.NaN],
    ['infinity', Infinity],
    ['a bigint', 1n],
    ['a function', { toJSON: () => 1 }],
    ['a symbol', Symbol('s')],
    ['a symbol as key', { [Symbol('s')]: 1 }],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', Uint8Array.of(1)],
    ['a hole in an array', Array(2)],
    ['a lone surrogate', 'a\udc00'],
    ['a lone surrogate in a key', { '\ud800': 1 }],
    ['a cycle', cyclic],
    ['too deep a nesting', deep(MAX_DEPTH + 1)],
  ])('refuses %s', (_name, value) => {
    expect(() => canonicalJson(value as Json)).toThrow(FormatError)
  })

  it('says where', () => {
    expect(() => canonicalJson({ a: [1, { b: 0.5 }] })).toThrow(
      expect.objectContaining({ code: 'FORMAT', where: '$.a[1].b', got: 'number 0.5' }),
    )
    expect(canonicalJson(deep(MAX_DEPTH))).toHaveLength(2 * MAX_DEPTH + 1)
  })
})

describe('reading', () => {
  it.each([
    ['nothing', ''],
    ['other text', '{'],
    ['white space', '{ "a":1}'],
    ['a final newline', '1\n'],
    ['keys out of order', '{"b":1,"a":2}'],
    ['a key twice', '{"a":1,"a":1}'],
    ['a needless escape', '"\\u0041"'],
    ['an upper-case escape', '"\\u000F"'],
    ['an escaped slash', '"\\/"'],
    ['a fraction', '1.0'],
    ['an exponent', '1e2'],
    ['minus zero', '-0'],
    ['a number that rounds', '9007199254740993'],
    ['an escaped lone surrogate', '"\\ud800"'],
    ['a deep nesting', '['.repeat(20_000) + ']'.repeat(20_000)],
  ])('refuses %s', (_name, text) => {
    expect(() => parseCanonicalJson(text, 'here')).toThrow(FormatError)
  })

  it('keeps a key named like a prototype', () => {
    const value = parseCanonicalJson('{"__proto__":1,"constructor":2}')
    expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor'])
    expect(canonicalJson(value)).toBe('{"__proto__":1,"constructor":2}')
  })
})
