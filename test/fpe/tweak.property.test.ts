/** The encoding of tweaks: no two different inputs share one. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError, FpeError } from '../../src/errors.ts'
import { tweakHead, tweakOf } from '../../src/fpe/tweak.ts'

interface Input {
  readonly tenant: string
  readonly field: string
  readonly version: number
  readonly clear: readonly string[]
  readonly row: string | undefined
}

const encode = ({ tenant, field, version, clear, row }: Input): string =>
  Buffer.from(tweakOf(tweakHead({ tenant, field }, version), clear, row)).toString('hex')

/** Few characters, so that inputs that differ only in where one part ends come up often. */
const part = fc.string({ unit: fc.constantFrom('a', '|', '\0', '\u0001', 'é'), maxLength: 4 })
const input: fc.Arbitrary<Input> = fc.record({
  tenant: part,
  field: part,
  version: fc.constantFrom(1, 2, 256, 0xffff_ffff),
  clear: fc.array(part, { maxLength: 3 }),
  row: fc.option(part, { nil: undefined }),
})

describe('tweaks', () => {
  it('are equal for equal inputs only', () => {
    fc.assert(
      fc.property(input, input, (a, b) => {
        expect(encode(a) === encode(b)).toBe(JSON.stringify(a) === JSON.stringify(b))
      }),
      { numRuns: 5000 },
    )
  })

  it('are read back by a reader that knows nothing but the encoding', () => {
    fc.assert(
      fc.property(input, (given) => {
        const bytes = Buffer.from(encode(given), 'hex')
        let at = 0
        const take = (length: number): Buffer => bytes.subarray(at, (at += length))
        expect(take(1)[0]).toBe(1)
        const tenant = take(take(1)[0]!).toString()
        const field = take(take(1)[0]!).toString()
        const version = take(4).readUInt32BE()
        const row = take(1)[0] === 1 ? take(take(2).readUInt16BE()).toString() : undefined
        const clear = Array.from({ length: take(1)[0]! }, () =>
          take(take(2).readUInt16BE()).toString(),
        )
        expect(at).toBe(bytes.length)
        expect({ tenant, field, version, clear, row }).toEqual(given)
      }),
    )
  })

  it('tell "a|b" and "c" from "a" and "|bc", and a row tweak from a clear part', () => {
    const head = tweakHead({ tenant: '', field: 'f' }, 1)
    const hex = (...rest: [readonly string[], string | undefined]): string =>
      Buffer.from(tweakOf(head, ...rest)).toString('hex')
    const forms = [
      hex(['a|b', 'c'], undefined),
      hex(['a', '|bc'], undefined),
      hex(['a|bc'], undefined),
      hex(['c'], 'a|b'),
      hex([], 'a|bc'),
      hex([''], 'a|bc'),
    ]
    expect(new Set(forms).size).toBe(forms.length)
  })

  it('begin with what all values of a column share', () => {
    const head = tweakHead({ tenant: 'acme', field: 'pan' }, 7)
    expect(Buffer.from(tweakOf(head, ['411111', '1111'], undefined)).toString('latin1')).toBe(
      '\u0001\u0004acme\u0003pan\0\0\0\u0007' + '\0\u0002\0\u0006411111\0\u00041111',
    )
  })
})

describe('what cannot be bound', () => {
  it.each([
    [{ tenant: 'x'.repeat(256), field: 'f' }, 1],
    [{ tenant: '', field: 'é'.repeat(128) }, 1],
    [{ tenant: '\ud800', field: 'f' }, 1],
    [{ tenant: '', field: 'f' }, 2 ** 32],
    [{ tenant: '', field: 'f' }, 1.5],
  ] as const)('names and versions: %#', (names, version) => {
    expect(() => tweakHead(names, version)).toThrow(ConfigError)
  })

  const head = tweakHead({ tenant: '', field: 'f' }, 1)
  it.each([
    [['x'.repeat(4096)], undefined],
    [[], 'x'.repeat(5000)],
    [Array.from({ length: 256 }, () => ''), undefined],
    [['\udc00'], undefined],
    [[], 'a\ud800'],
  ])('parts: %#', (clear, row) => {
    const call = (): Uint8Array => tweakOf(head, clear, row)
    expect(call).toThrow(FpeError)
    expect(call).toThrow(expect.objectContaining({ code: 'TWEAK_INVALID' }))
  })
})
