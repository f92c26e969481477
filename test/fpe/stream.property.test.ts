/** Any file comes back byte for byte, and rows are seen as an independent parser sees them. */
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { FpeStreamOptions } from '../../src/fpe/stream.ts'
import { fakeColumn } from './fake-column.ts'
import { streamed } from './run-stream.ts'

const RUNS = 300
const digits = fc.stringMatching(/^[0-9]{1,12}$/)
const text = fc.string({ unit: fc.constantFrom(...Array.from('ab 1,;"\n\r\té日😀')), maxLength: 8 })
const quote = (value: string): string => `"${value.replaceAll('"', '""')}"`

/** A field in one of its spellings. */
const field = (value: string, delimiter: string, quoted: boolean): string =>
  quoted || /["\r\n]/.test(value) || value.includes(delimiter) ? quote(value) : value

const csvFile = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t'),
  lineEnd: fc.constantFrom('\n', '\r\n'),
  bom: fc.constantFrom('', '\ufeff'),
  lastLineEnd: fc.boolean(),
  panAt: fc.nat(3),
  rows: fc.array(
    fc.tuple(
      digits,
      fc.boolean(),
      fc.array(fc.tuple(text, fc.boolean()), { minLength: 3, maxLength: 3 }),
    ),
    { maxLength: 12 },
  ),
})

describe('CSV', () => {
  it('decrypts to the same bytes, with and without a version column, in pieces of any size', async () => {
    const property = fc.asyncProperty(
      csvFile,
      fc.boolean(),
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 5 }),
      async (
        { delimiter, lineEnd, bom, lastLineEnd, panAt, rows },
        versioned,
        chunk,
        batchRows,
      ) => {
        const line = (pan: string, others: readonly string[]): string =>
          [...others.slice(0, panAt), pan, ...others.slice(panAt)].join(delimiter)
        const lines = [
          line('pan', ['a', '"b"', 'c']),
          ...rows.map(([pan, quoted, others]) =>
            line(
              field(pan, delimiter, quoted),
              others.map(([value, inQuotes]) => field(value, delimiter, inQuotes)),
            ),
          ),
        ]
        const input = bom + lines.join(lineEnd) + (lastLineEnd ? lineEnd : '')
        const options = {
          format: 'csv',
          columns: [
            {
              column: fakeColumn('pan', { currentVersion: 3 }),
              ...(versioned && { versionField: 'v' }),
            },
          ],
          csv: { delimiter },
          batchRows,
        } as const satisfies Partial<FpeStreamOptions>
        const encrypted = await streamed(input, { ...options, direction: 'encrypt' }, chunk)
        const back = await streamed(encrypted.bytes, { ...options, direction: 'decrypt' }, chunk)
        expect(back.text).toBe(input)

        const seen = parse(encrypted.bytes, { delimiter, bom: true, record_delimiter: lineEnd })
        const before = parse(input, { delimiter, bom: true, record_delimiter: lineEnd })
        const expected = before.map((row, i) => {
          const shifted = row.with(
            panAt,
            (row[panAt] ?? '').replaceAll(/\d/g, (d) => String((Number(d) + 3) % 10)),
          )
          if (!versioned) return i === 0 ? row : shifted
          return i === 0 ? [...row, 'v'] : [...shifted, '3']
        })
        expect(seen).toEqual(expected)
      },
    )
    await fc.assert(property, { numRuns: RUNS })
  })

  it('any bytes at all: nothing that is not a value changes, and no value stays', async () => {
    const junk = fc.string({ unit: fc.constantFrom(...Array.from('1\n\r",x')), maxLength: 40 })
    const property = fc.asyncProperty(junk, fc.integer({ min: 1, max: 9 }), async (tail, chunk) => {
      const input = `pan,x\n${tail}`
      const options = {
        format: 'csv',
        columns: [{ column: fakeColumn('pan') }],
        keepEmpty: true,
      } as const
      const encrypted = await streamed(
        input,
        { ...options, direction: 'encrypt', onError: 'skip' },
        chunk,
      )
      const back = await streamed(encrypted.bytes, { ...options, direction: 'decrypt' })
      expect(encrypted.rows).toBe(back.rows + encrypted.badRows.length)
      // What csv-parse takes, we take too, and see the same values; what it refuses makes a bad row.
      if (encrypted.badRows.length > 0) return
      expect(back.text).toBe(input)
      const mine = parse(encrypted.bytes, {
        record_delimiter: ['\n', '\r\n'],
        relax_column_count: true,
      })
      for (const [pan] of mine.slice(1)) expect(pan).not.toMatch(/1/)
    })
    await fc.assert(property, { numRuns: 2 * RUNS })
  })
})

describe('JSON Lines', () => {
  const scalar = fc.oneof(
    fc.constantFrom(
      '1.0',
      '12345678901234567890',
      '-0',
      '1E2',
      'true',
      'null',
      '[]',
      '{"pan":"7"}',
    ),
    text.map((value) => JSON.stringify(value)),
  )
  const member = fc.tuple(fc.constantFrom('a', 'b', 'pan2', 'é', '\\u0061'), scalar)
  const space = fc.constantFrom('', ' ', '\t')

  it('decrypts to the same bytes', async () => {
    const row = fc
      .tuple(digits, space, fc.array(member, { maxLength: 3 }), fc.array(member, { maxLength: 3 }))
      .map(([pan, s, before, after]) => {
        const spelled = [...before, ['pan', `"${pan}"`] as const, ...after].map(
          ([key, value]) => `${s}"${key}"${s}:${s}${value}${s}`,
        )
        return `{${spelled.join(',')}}${s}`
      })
    const property = fc.asyncProperty(
      fc.array(row, { maxLength: 10 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 64 }),
      async (rows, versioned, chunk) => {
        const input = rows.join('\n')
        const column = fakeColumn('pan', { currentVersion: 2 })
        const columns = [{ column, ...(versioned && { versionField: 'pan_version' }) }]
        const options = { format: 'jsonl', columns, batchRows: 3 } as const
        const encrypted = await streamed(input, { ...options, direction: 'encrypt' }, chunk)
        for (const [i, line] of encrypted.text.split('\n').entries()) {
          if (line === '') continue
          const [was, is] = [JSON.parse(rows[i] ?? ''), JSON.parse(line)] as Record<
            string,
            unknown
          >[]
          expect(is).toMatchObject(versioned ? { pan_version: 2 } : {})
          expect(Object.keys(is ?? {}).filter((key) => key !== 'pan_version')).toEqual(
            Object.keys(was ?? {}),
          )
          expect(is?.['pan']).not.toBe(was?.['pan'])
        }
        const back = await streamed(encrypted.bytes, { ...options, direction: 'decrypt' }, chunk)
        expect(back.text).toBe(input)
      },
    )
    await fc.assert(property, { numRuns: RUNS })
  })
})

describe('plain lines', () => {
  it('decrypt to the same bytes', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.tuple(digits, fc.constantFrom('\n', '\r\n')), { maxLength: 20 }),
      fc.option(digits, { nil: '' }),
      fc.integer({ min: 1, max: 64 }),
      async (lines, last, chunk) => {
        const input = lines.map((line) => line.join('')).join('') + last
        const options = {
          format: 'lines',
          columns: [{ column: fakeColumn('pan') }],
          batchRows: 4,
        } as const
        const encrypted = await streamed(input, { ...options, direction: 'encrypt' }, chunk)
        expect(encrypted.values).toBe(lines.length + (last === '' ? 0 : 1))
        const back = await streamed(encrypted.bytes, { ...options, direction: 'decrypt' }, chunk)
        expect(back.text).toBe(input)
      },
    )
    await fc.assert(property, { numRuns: RUNS })
  })
})
