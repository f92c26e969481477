/** Dates: exact to the calendar, within their range. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { type DateOptions, date } from '../../src/fpe/date.ts'
import { behaves, columnOf, permutes, refusal } from './format-column.ts'

const DAY = 86_400_000
/** The ISO form of a day by counting the days of months, without a Date. */
function isDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.split('-').map(Number)
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && day >= 1 && day <= days
}
const century = { pattern: 'YYYY-MM-DD', min: '1926-01-01', max: '2025-12-31' }

describe('dates', () => {
  it('of a century are 36,525, too few unless allowed', () => {
    expect(() => columnOf(date(century))).toThrow(
      expect.objectContaining({ code: 'DOMAIN_TOO_SMALL', got: '36525 possible values' }),
    )
    expect(columnOf(date(century), { minDomain: 36_525 }).domain).toBe(36_525n)
  })

  it('of four years are permuted', async () => {
    const first = Date.parse('2000-01-01')
    const set = Array.from({ length: 1461 }, (_, i) =>
      new Date(first + i * DAY).toISOString().slice(0, 10),
    )
    expect(set).toContain('2000-02-29')
    await permutes(date({ pattern: 'YYYY-MM-DD', min: '2000-01-01', max: '2003-12-31' }), set)
  })

  const days = fc
    .integer({ min: Date.parse('1926-01-01') / DAY, max: Date.parse('2025-12-31') / DAY })
    .map((day) => new Date(day * DAY).toISOString().slice(0, 10))
  it('stay in their range and in the calendar', async () => {
    await behaves(date(century), days, (output) => {
      expect(isDay(output)).toBe(true)
      expect(output >= century.min && output <= century.max).toBe(true)
    })
  })

  it.each([
    ['DD.MM.YYYY', /^(\d\d)\.(\d\d)\.(\d{4})$/, '$3-$2-$1'],
    ['YYYYMMDD', /^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3'],
    ['MM/DD/YYYY', /^(\d\d)\/(\d\d)\/(\d{4})$/, '$3-$1-$2'],
  ])('after the pattern %s', async (pattern, form, iso) => {
    const write = (text: string): string => {
      const [y = '', m = '', d = ''] = text.split('-')
      return pattern.replace('YYYY', y).replace('MM', m).replace('DD', d)
    }
    const format = date({ pattern, min: write(century.min), max: write(century.max) })
    await behaves(format, days.map(write), (output) => {
      expect(output).toMatch(form)
      expect(isDay(output.replace(form, iso))).toBe(true)
    })
  })

  it('with times, to the second', async () => {
    const options = {
      pattern: 'YYYY-MM-DDTHH:mm:ssZ',
      min: '1970-01-01T00:00:00Z',
      max: '2069-12-31T23:59:59Z',
    }
    expect(columnOf(date(options)).domain).toBe(36_525n * 86_400n)
    const seconds = fc
      .integer({ min: 0, max: 36_525 * 86_400 - 1 })
      .map((second) => `${new Date(second * 1000).toISOString().slice(0, 19)}Z`)
    await behaves(date(options), seconds, (output) => {
      expect(isDay(output.slice(0, 10))).toBe(true)
      expect(output.slice(10)).toMatch(/^T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/)
    })
  })

  it('of the first centuries are not those after 1900', async () => {
    const format = date({ pattern: 'YYYY-MM-DD', min: '0000-01-01', max: '0099-12-31' })
    expect(format.smallest).toBe(36_525n)
    await permutes(
      date({ pattern: 'YYYY-MM-DD', min: '0000-01-01', max: '0000-12-31' }),
      Array.from({ length: 366 }, (_, i) =>
        new Date(Date.parse('0000-01-01') + i * DAY).toISOString().slice(0, 10),
      ),
    )
  })

  it.each([
    ['1903-07-19', 'FORMAT_MISMATCH'],
    ['2087-04-15', 'FORMAT_MISMATCH'],
    ['2001-02-29', 'FORMAT_MISMATCH'],
    ['1900-02-29', 'FORMAT_MISMATCH'],
    ['2001-13-01', 'FORMAT_MISMATCH'],
    ['2001-00-10', 'FORMAT_MISMATCH'],
    ['2001-01-00', 'FORMAT_MISMATCH'],
    ['2001/01/01', 'FORMAT_MISMATCH'],
    ['2001-1-01x', 'FORMAT_MISMATCH'],
    ['2001-1-1', 'LENGTH_INVALID'],
    ['', 'LENGTH_INVALID'],
  ])('%j is refused: %s', async (value, code) => {
    expect(await refusal(date(century), value)).toMatchObject({ code })
  })

  it('a leap second and an hour 24 are refused', async () => {
    const format = date({ pattern: 'YYYYMMDDHHmmss', min: '20000101000000', max: '20201231235959' })
    for (const value of ['20161231235960', '20160101240000']) {
      expect(await refusal(format, value)).toMatchObject({ code: 'FORMAT_MISMATCH' })
    }
  })

  it.each([
    { pattern: 'YYYY-MM', min: '2000-01', max: '2001-01' },
    { pattern: 'YYYY-MM-DD mm', min: '2000-01-01 00', max: '2001-01-01 00' },
    { pattern: 'YYYY-MM-DD-DD', min: '2000-01-01-01', max: '2001-01-01-01' },
    { pattern: 'YY-MM-DD', min: '00-01-01', max: '01-01-01' },
    { ...century, min: '1926-02-30' },
    { ...century, max: '1925-12-31' },
    { ...century, max: century.min },
    { ...century, zone: 'UTC' },
  ])('options %j are refused', (options) => {
    expect(() => date(options as DateOptions)).toThrow(ConfigError)
  })
})
