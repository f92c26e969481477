/** Configurations of columns: faults with their place, every format, and the files in `ceremonies/`. */
import { readFile } from 'node:fs/promises'

import { describe, expect, it } from 'vitest'

import { ConfigError, FpeError } from '../../src/errors.ts'
import { fpeConfigSchema } from '../../src/fpe/config-schema.ts'
import { type FpeConfig, openColumns, parseFpeConfig } from '../../src/fpe/config.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { countingAes } from './counting-aes.ts'
import { texts } from './format-column.ts'

const STALE = 'stale: run `npm run schema` and review the difference'
const folder = new URL('../../ceremonies/', import.meta.url).pathname

const resolveKey = (uri: string): Promise<BlockCipher> =>
  Promise.resolve(countingAes(new Uint8Array(32).fill(uri.length)))
const uri = 'pkcs11:token=vault;object=fpe-pan;type=secret-key'
const keys = { k: { current: 1, versions: { '1': { uri } } } }
const config = (columns: object, rest: object = {}): string =>
  JSON.stringify({ keyrite: 'fpe/1', keys, columns, ...rest }, null, 2)
const format = (option: object): string => config({ field: { key: 'k', format: option } })
const card = { type: 'pan', keepFirst: 6, keepLast: 4 }

function fault(text: string): ConfigError {
  try {
    parseFpeConfig(text, 'columns.json')
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the configuration was taken')
}

describe('the files in ceremonies/', () => {
  it('the JSON Schema is what the zod schema says', async () => {
    await expect(fpeConfigSchema(), STALE).toMatchFileSnapshot(`${folder}fpe-config.schema.json`)
  })

  it('the JSON Schema allows no unknown key', () => {
    const open: string[] = []
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return
      const { type, properties, additionalProperties } = node as Record<string, unknown>
      if (type === 'object' && properties !== undefined && additionalProperties !== false)
        open.push(path)
      for (const [key, value] of Object.entries(node)) visit(value, `${path}/${key}`)
    }
    visit(JSON.parse(fpeConfigSchema()), '')
    expect(open).toEqual([])
  })

  it('the example opens, and its columns encrypt', async () => {
    const text = await readFile(`${folder}fpe-columns.json`, 'utf8')
    const columns = await openColumns(parseFpeConfig(text, 'fpe-columns.json'), (asked) => {
      expect(asked).toBe(uri)
      return resolveKey(asked)
    })
    const examples: Record<string, string> = {
      pan: '4111-1111-1111-1111',
      ssn: '123-45-6789',
      iban: 'DE89 3704 0044 0532 0130 00',
      phone: '+49 171 2345678',
      email: 'john.doe@example.com',
      passport: 'C01X00T47',
      customer: '01890a5d-ac96-774b-bcce-b302099a8057',
    }
    expect([...columns.keys()]).toEqual(Object.keys(examples))
    for (const [field, column] of columns) {
      const each = column.rowTweakColumn === undefined ? {} : { rowTweaks: ['7'] }
      const encrypted = texts(await column.encryptEach([examples[field]!], each))
      expect(encrypted[0]).not.toBe(examples[field])
      expect(await column.decryptEach(encrypted, each)).toEqual([examples[field]])
    }
  })
})

describe('columns', () => {
  it('come with what they need of the other columns', async () => {
    const parsed = parseFpeConfig(
      config({
        pan: { key: 'k', format: card, versionColumn: 'pan_version' },
        other: { key: 'k', format: card, tweak: { row: 'customer' } },
      }),
      'x',
    )
    const columns = await openColumns(parsed, resolveKey)
    expect(columns.get('pan')).toMatchObject({
      versionColumn: 'pan_version',
      rowTweakColumn: undefined,
    })
    expect(columns.get('other')).toMatchObject({
      versionColumn: undefined,
      rowTweakColumn: 'customer',
    })
    expect(columns.get('pan')?.currentVersion).toBe(1)
  })

  it('of one key share its cipher, and unused keys are not opened', async () => {
    const asked: string[] = []
    const parsed = parseFpeConfig(
      config(
        { a: { key: 'k', format: card }, b: { key: 'k', format: card } },
        {
          keys: { ...keys, unused: { current: 1, versions: { '1': { uri: 'pkcs11:object=u' } } } },
        },
      ),
      'x',
    )
    await openColumns(parsed, (one) => {
      asked.push(one)
      return resolveKey(one)
    })
    expect(asked).toEqual([uri])
  })

  it('have tenant, tweak and floor', async () => {
    const open = async (rest: object, more: object = {}): Promise<string> => {
      const text = config({ pan: { key: 'k', format: card, ...rest } }, more)
      const columns = await openColumns(parseFpeConfig(text, 'x'), resolveKey)
      return texts(await columns.get('pan')!.encryptEach(['4111111111111111']))[0]!
    }
    const results = [
      await open({}),
      await open({}, { tenant: 'acme' }),
      await open({ tweak: { hex: '' } }),
      await open({ tweak: { hex: '00' } }),
    ]
    expect(new Set(results).size).toBe(4)
    const dates = { type: 'date', pattern: 'YYYYMMDD', min: '19260101', max: '20251231' }
    const refused = parseFpeConfig(format(dates), 'x')
    await expect(openColumns(refused, resolveKey)).rejects.toBeInstanceOf(FpeError)
    const allowed = config({ day: { key: 'k', format: dates, minDomain: 30_000 } })
    const columns = await openColumns(parseFpeConfig(allowed, 'x'), resolveKey)
    expect(columns.get('day')?.domain).toBe(36_525n)
  })

  it('may read FF3-1 under an older version', async () => {
    const versions = {
      '1': {
        uri: 'pkcs11:object=old',
        method: 'FF3-1',
        allowNonApproved: true,
        tweak: { hex: 'd8e7920afa330a' },
      },
      '2': { uri },
    }
    const text = config(
      { pan: { key: 'k', format: card } },
      { keys: { k: { current: 2, versions } } },
    )
    const reversed = countingAes(new Uint8Array(32), { reversed: true })
    const columns = await openColumns(parseFpeConfig(text, 'x'), (one) =>
      one === uri ? resolveKey(one) : Promise.resolve(reversed),
    )
    const column = columns.get('pan')!
    const stored = ['4111111234561111']
    const plain = texts(await column.decryptEach(stored, { versions: 1 }))
    const rewrapped = await column.rewrapEach(stored, { versions: 1 })
    expect(await column.encryptEach(plain)).toEqual(rewrapped)
    await expect(openColumns(parseFpeConfig(text, 'x'), resolveKey)).rejects.toMatchObject({
      code: 'KEY_NOT_REVERSED',
    })
  })

  it.each<[object, string]>([
    [{ type: 'pan', digits: [16, 19], luhn: true }, '4111111111111111'],
    [{ type: 'ssn', strict: true }, '123456789'],
    [{ type: 'iban', countries: ['DE', 'GB'], keepFirst: 4 }, 'GB29NWBK60161331926819'],
    [{ type: 'phone', separators: ' ', national: true, keepLast: 1 }, '+49 171 2345678'],
    [{ type: 'email', alphabet: 'base62' }, 'John.Doe@example.com'],
    [{ type: 'uuid', case: 'upper' }, '01890A5D-AC96-774B-BCCE-B302099A8057'],
    [
      { type: 'date', pattern: 'YYYYMMDDHHmm', min: '200001010000', max: '203012312359' },
      '202402291200',
    ],
    [{ type: 'integer', min: '0', max: 10_000_000, width: 8 }, '00000042'],
    [
      { type: 'text', alphabet: { symbols: ['ä', 'ö', 'ü'] }, minLength: 13, maxLength: 20 },
      'äöüäöüäöüäöüä',
    ],
    [{ type: 'text', alphabet: { symbols: 'abcdefgh' } }, 'abcdefgh'],
    [
      {
        type: 'template',
        parts: [
          { literal: 'K' },
          { keep: { alphabet: 'any', length: 2 } },
          { separator: '-' },
          { keep: { alphabet: 'digits', length: 1 } },
          { encrypt: { alphabet: 'hex-lower', length: [5, 8] } },
        ],
      },
      'KXY-7c0ffee',
    ],
  ])('take the format %j', async (option, value) => {
    const columns = await openColumns(parseFpeConfig(format(option), 'x'), resolveKey)
    const column = columns.get('field')!
    const encrypted = texts(await column.encryptEach([value]))
    expect(encrypted[0]).not.toBe(value)
    expect(await column.decryptEach(encrypted)).toEqual([value])
  })
})

describe('faults', () => {
  it.each([
    ['', /columns\.json:1:1/],
    ['{', /columns\.json:1:2/],
    ['// x\n{}', /columns\.json:1:1/],
    ['{"a":1,}', /columns\.json:1:8/],
    ['[]', /^columns\.json:1:1$/],
    ['{"keyrite":"fpe/1","keys":{},\n  "keys":{},"columns":{}}', /columns\.json:2:3/],
    ['{"__proto__":{}}', /columns\.json:1:2/],
    [config({}, { keyrite: 'fpe/2' }), /columns\.json:2:14 keyrite/],
    [config({ pan: { key: 'k' } }), / columns\.pan\.format/],
    [config({ pan: { key: 'nobody', format: card } }), / columns\.pan\.key/],
    [config({ pan: { key: 'toString', format: card } }), / columns\.pan\.key/],
    [
      config({ pan: { key: 'k', format: { ...card, keepfirst: 6 } } }),
      / columns\.pan\.format\.keepfirst/,
    ],
    [config({ pan: { key: 'k', format: { type: 'pin' } } }), / columns\.pan\.format/],
    [config({ pan: { key: 'k', format: card, minDomain: 10 } }), / columns\.pan\.minDomain/],
    [config({ pan: { key: 'k', format: card, tweak: { hex: 'ABCD' } } }), / columns\.pan\.tweak/],
    [
      config({ pan: { key: 'k', format: card, versionColumn: 'pan' } }),
      / columns\.pan\.versionColumn/,
    ],
    [
      config({ pan: { key: 'k', format: card, tweak: { row: 'pan' } } }),
      / columns\.pan\.tweak\.row/,
    ],
    [config({}, { keys: { k: { current: 2, versions: { '1': { uri } } } } }), / keys\.k\.current/],
    [
      config({}, { keys: { k: { current: 1, versions: { one: { uri } } } } }),
      / keys\.k\.versions\.one/,
    ],
    [
      config({}, { keys: { k: { current: 1, versions: { '1': { uri: 'file:x' } } } } }),
      / keys\.k\.versions\.1\.uri/,
    ],
    [config({}, { columns: [] }), / columns/],
    [config({}, { extra: 1 }), / extra/],
  ])('%# are found with their place', (text, where) => {
    const error = fault(text)
    expect(error.where).toMatch(where)
    expect(error.expected).toBeTruthy()
  })

  it('a PIN in a URI is refused and not repeated', () => {
    const secret = 'pkcs11:object=k?pin-value=314159'
    const error = fault(
      config({}, { keys: { k: { current: 1, versions: { '1': { uri: secret } } } } }),
    )
    expect(error.expected).toContain('pin-value is refused')
    expect(JSON.stringify(error.toJSON())).not.toContain('314159')
  })

  it('a PIN as an option is refused and not repeated', () => {
    const error = fault(config({}, { pin: 314159 }))
    expect(error).toMatchObject({ expected: 'no such option here', got: 'number' })
    expect(JSON.stringify(error.toJSON())).not.toContain('314159')
  })

  it('others are counted', () => {
    const error = fault(config({ a: { key: 5, format: card }, b: { key: 6, format: card } }))
    expect(error).toMatchObject({ got: 'number', hint: '1 more fault after this one' })
  })

  it('of a format name the column', async () => {
    const parsed = parseFpeConfig(format({ type: 'pan', keepFirst: 13 }), 'x')
    await expect(openColumns(parsed, resolveKey)).rejects.toMatchObject({
      name: 'ConfigError',
      where: 'column field, pan.keepFirst',
    })
  })

  it('of an alphabet name the column', async () => {
    const twice = { symbols: 'aab' }
    const parsed = parseFpeConfig(format({ type: 'text', alphabet: twice }), 'x')
    await expect(openColumns(parsed, resolveKey)).rejects.toMatchObject({
      code: 'ALPHABET_INVALID',
      where: 'column field, symbol 2',
    })
  })

  it('a key that is not there in a configuration that was made by hand', async () => {
    const made: FpeConfig = {
      keyrite: 'fpe/1',
      keys: {},
      columns: { pan: { key: 'k', format: { type: 'ssn' } } },
    }
    await expect(openColumns(made, resolveKey)).rejects.toBeInstanceOf(ConfigError)
  })
})
