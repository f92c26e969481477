/** UUIDs: RFC 9562. */
import { randomUUID } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { type UuidOptions, uuid } from '../../src/fpe/uuid.ts'
import { behaves, columnOf, refusal, texts } from './format-column.ts'

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('UUIDs', () => {
  it('stay UUIDs of their version', async () => {
    await behaves(uuid(), fc.uuid(), (output, input) => {
      expect(output).toMatch(FORM)
      expect(output[14]).toBe(input[14])
    })
  })

  it('in capitals, without hyphens', async () => {
    const values = fc.uuid().map((value) => value.replaceAll('-', '').toUpperCase())
    await behaves(uuid({ case: 'upper' }), values, (output) => {
      expect(output).toMatch(/^[0-9A-F]{12}[1-8][0-9A-F]{3}[89AB][0-9A-F]{15}$/)
    })
  })

  it('encrypt 122 bits, all of them', async () => {
    const field = columnOf(uuid())
    expect(field.domain).toBe(2n ** 122n)
    const values = Array.from({ length: 200 }, () => randomUUID())
    const encrypted = texts(await field.encryptEach(values))
    const seen = Array.from({ length: 36 }, (_, at) => new Set(encrypted.map((text) => text[at])))
    // 16 possible digits, 4 for the variant, 1 for hyphens and version.
    expect(seen.map(({ size }) => (size > 8 ? 16 : size))).toEqual(
      Array.from('xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx', (c) =>
        c === 'x' ? 16 : c === 'y' ? 4 : 1,
      ),
    )
    const bare = texts(await field.encryptEach(values.map((value) => value.replaceAll('-', ''))))
    expect(bare).toEqual(encrypted.map((text) => text.replaceAll('-', '')))
  })

  it.each([
    ['00000000-0000-0000-0000-000000000000', 'FORMAT_MISMATCH'],
    ['ffffffff-ffff-ffff-ffff-ffffffffffff', 'FORMAT_MISMATCH'],
    ['c232ab00-9414-91ec-b3c8-9f6bdeced846', 'FORMAT_MISMATCH'],
    ['c232ab00-9414-11ec-c3c8-9f6bdeced846', 'FORMAT_MISMATCH'],
    ['c232ab00_9414-11ec-b3c8-9f6bdeced846', 'FORMAT_MISMATCH'],
    ['C232AB00-9414-11EC-B3C8-9F6BDECED846', 'SYMBOL_INVALID'],
    ['g232ab00-9414-11ec-b3c8-9f6bdeced846', 'SYMBOL_INVALID'],
    ['c232ab0094-1411ecb3c89f6bdeced846', 'LENGTH_INVALID'],
    ['{c232ab00-9414-11ec-b3c8-9f6bdeced846}', 'LENGTH_INVALID'],
  ])('%s is refused: %s', async (value, code) => {
    expect(await refusal(uuid(), value)).toMatchObject({ code })
  })

  it.each([{ case: 'mixed' }, { version: 4 }])('options %j are refused', (options) => {
    expect(() => uuid(options as unknown as UuidOptions)).toThrow(ConfigError)
  })
})
