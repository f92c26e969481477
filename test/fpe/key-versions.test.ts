/** Versions of a key: found by number, refused by name, FF3-1 only when it is said. */
import { describe, expect, it } from 'vitest'

import { ConfigError, FpeError } from '../../src/errors.ts'
import { type KeyVersion, KeyVersions } from '../../src/fpe/key-versions.ts'
import { countingAes } from './counting-aes.ts'

const key = new Uint8Array(32).fill(1)
const plain = countingAes(key)
const reversed = countingAes(key, { reversed: true })
const legacy: KeyVersion = { cipher: reversed, method: 'FF3-1', allowNonApproved: true }
const ring = (versions: Record<number, KeyVersion>, current = 1): KeyVersions =>
  new KeyVersions({ name: 'fpe-pan', current, versions })

/** What a call throws. */
function thrown(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('key versions', () => {
  it('are found by number', () => {
    const versions = ring({ 1: { cipher: plain }, 7: legacy }, 7)
    expect(versions.current).toMatchObject({ number: 7, method: 'FF3-1', mayEncrypt: false })
    expect(versions.get(1)).toMatchObject({ number: 1, method: 'FF1', mayEncrypt: true })
    expect([...versions].map(({ number }) => number)).toEqual([1, 7])
  })

  it('that are unknown are refused with those that are known', () => {
    const error = thrown(() => ring({ 1: { cipher: plain }, 2: { cipher: plain } }).get(536221234))
    expect(error).toBeInstanceOf(FpeError)
    expect(error).toMatchObject({
      code: 'KEY_VERSION_UNKNOWN',
      where: 'key fpe-pan',
      expected: 'one of 1, 2',
    })
    // A field taken for the version may hold values, such as the digits of a social security number.
    expect(JSON.stringify((error as FpeError).toJSON())).not.toContain('536221234')
  })

  it('must have the current one', () => {
    expect(thrown(() => ring({ 1: { cipher: plain } }, 2))).toMatchObject({
      code: 'KEY_VERSION_UNKNOWN',
    })
  })

  it.each([0, -1, 1.5, 2 ** 32])('are not numbered %d', (number) => {
    expect(() => ring({ 1: { cipher: plain }, [number]: { cipher: plain } })).toThrow(ConfigError)
  })
})

describe('FF3-1', () => {
  it.each<[string, KeyVersion, string]>([
    ['without the word for it', { cipher: reversed, method: 'FF3-1' }, 'NOT_APPROVED'],
    ['with false', { ...legacy, allowNonApproved: false }, 'NOT_APPROVED'],
    ['with a key that is not reversed', { ...legacy, cipher: plain }, 'KEY_NOT_REVERSED'],
  ])('%s is refused', (_what, version, code) => {
    expect(thrown(() => ring({ 1: version }))).toMatchObject({ code })
  })

  it('decrypts only, until told otherwise', () => {
    const versions = ring({ 1: legacy, 2: { ...legacy, allowEncrypt: true } })
    expect(versions.for('decrypt', 1).method).toBe('FF3-1')
    expect(versions.for('encrypt', 2).method).toBe('FF3-1')
    expect(thrown(() => versions.for('encrypt', 1))).toMatchObject({
      code: 'NOT_APPROVED',
      where: 'key fpe-pan, version 1',
    })
  })

  it('keys and options are not for FF1', () => {
    expect(thrown(() => ring({ 1: { cipher: reversed } }))).toMatchObject({ code: 'KEY_INVALID' })
    expect(() => ring({ 1: { cipher: plain, allowEncrypt: true } })).toThrow(ConfigError)
  })
})
