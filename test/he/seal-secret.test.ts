/** The ternary secret of a seed. */
import { createHash, randomBytes } from 'node:crypto'

import { describe, expect, it, vi } from 'vitest'

import { geometryOf } from '../../src/he/parameters.ts'
import { seal } from '../../src/he/seal.ts'
import { createSealCipher } from '../../src/he/seal-cipher.ts'
import { secretKeyOf, ternary } from '../../src/he/seal-secret.ts'

const g = geometryOf({ parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 8 })

describe('the secret', () => {
  it('is read two bits at a time from SHAKE256, three of four values in use', () => {
    const seed = Uint8Array.from({ length: 32 }, (_, i) => i)
    const stream = createHash('shake256', { outputLength: 4096 })
      .update('keyrite-he/1 ternary secret')
      .update(seed)
      .digest()
    const expected: number[] = []
    for (const byte of stream) {
      const digits = byte.toString(4).padStart(4, '0').split('').reverse()
      for (const digit of digits) if (digit !== '3') expected.push(Number(digit) - 1)
    }
    expect([...ternary(seed, 2048)]).toEqual(expected.slice(0, 2048))
  })

  it('does not change from one version to the next', () => {
    // Computed with another implementation of SHAKE256 (CPython's hashlib).
    const bytes = Uint8Array.from(ternary(new Uint8Array(32), 2048), (x) => x + 1)
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(
      'b393415f6ee28e5e3dece74423aefcea45b5cc89ac0c43f1b4ef5b74dcec97f2',
    )
  })

  it('has every value about equally often', () => {
    const counts = [0, 0, 0]
    for (let i = 0; i < 50; i++) for (const x of ternary(randomBytes(32), 2048)) counts[x + 1]!++
    // 102,400 draws: the standard deviation of a count is 151.
    for (const count of counts) expect(Math.abs(count - 102_400 / 3)).toBeLessThan(6 * 151)
  })

  it('is what SEAL makes of it: of the same seed the same key, else another', async () => {
    const library = await seal(g.set)
    const { none } = library.lib.ComprModeType
    const blob = (seed: Uint8Array) => {
      const key = secretKeyOf(library, seed)
      const bytes = key.saveToArray(none) as Uint8Array
      key.delete()
      return bytes
    }
    const seed = randomBytes(32)
    expect(blob(seed)).toEqual(blob(seed))
    const other = Buffer.from(seed)
    other[31]! ^= 1
    expect(blob(other)).not.toEqual(blob(seed))
  })
})

describe('copies of the secret', () => {
  it('that are in JavaScript arrays are zero once the key is in SEAL', async () => {
    const { lib } = await seal(g.set)
    const given: Uint8Array[] = []
    const catching = (prototype: object, method: string) => {
      const original = Reflect.get(prototype, method) as (...args: unknown[]) => unknown
      return vi
        .spyOn(prototype as { method(): unknown }, method as 'method')
        .mockImplementation(function (this: unknown, ...args: unknown[]) {
          const value = original.apply(this, args)
          for (const one of [...args, value]) {
            // With data behind SEAL's prefix; those that overwrite have zeros there.
            if (one instanceof Uint8Array && one.subarray(88).some((x) => x !== 0)) given.push(one)
          }
          return value
        })
    }
    const spies = [
      catching(lib.Plaintext.prototype as object, 'loadFromArray'),
      catching(lib.Plaintext.prototype as object, 'saveToArray'),
      catching(lib.SecretKey.prototype as object, 'loadFromArray'),
    ]
    const cipher = await createSealCipher(g, randomBytes(32))
    expect(given).toHaveLength(3)
    await cipher.encrypt([new Int32Array(2048).fill(77)], 'block')
    expect(given).toHaveLength(4)
    for (const spy of spies) spy.mockRestore()
    cipher.dispose()
    for (const bytes of given) {
      expect(bytes.length).toBeGreaterThan(16_000)
      expect(bytes.every((byte) => byte === 0)).toBe(true)
    }
  })
})
