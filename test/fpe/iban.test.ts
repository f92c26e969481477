/** IBANs: the registry against examples of other hands, check digits by BigInt, structure by expression. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ConfigError } from '../../src/errors.ts'
import { IBAN_STRUCTURES } from '../../src/fpe/iban-structures.ts'
import { type IbanOptions, iban } from '../../src/fpe/iban.ts'
import { behaves, columnOf, refusal, texts } from './format-column.ts'

/**
 * One number of each country: the example that globalcitizen/php-iban carries of the SWIFT list, and where that
 * has none or an older form, one of the right form with right check digits.
 */
const EXAMPLES = `
AD1200012030200359100100 AE070331234567890123456 AL47212110090000000235698741 AT611904300234573201
AZ21NABZ00000000137010001944 BA391290079401028494 BE68539007547034 BG80BNBG96611020345678
BH67BMAG00001299123456 BI4210000100010000332045181 BR9700360305000010009795493P1
BY13NBRB3600900000002Z00AB00 CH9300762011623852957 CR05015202001026284066
CY17002001280000001200527600 CZ6508000000192000145399 DE89370400440532013000
DJ2100010000000154000100186 DK5000400440116243 DO28BAGR00000001212453611324 EE382200221020145685
EG380019000500000000263180002 ES9121000418450200051332 FI2112345600000785 FK88SC123456789012
FO2000400440116243 FR1420041010050500013M02606 GB29NWBK60161331926819 GE29NB0000000101904917
GI75NWBK000000007099453 GL2000400440116243 GR1601101250000000012300695
GT82TRAJ01020000001210029690 HN54PISA00000000000000123124 HR1210010051863000160
HU42117730161111101800000000 IE29AIBK93115212345678 IL620108000000099999999
IQ98NBIQ850123456789012 IS140159260076545510730339 IT60X0542811101000000123456
JO94CBJO0010000000000131000302 KW81CBKU0000000000001234560101 KZ86125KZT5004100100
LB62099900000001001901229114 LC55HEMM000100010012001200023015 LI21088100002324013AA
LT121000011101001000 LU280019400644750000 LV80BANK0000435195001 LY83002048000020100120361
MC5811222000010123456789030 MD24AG000225100013104168 ME25505000012345678951 MK07250120000058984
MN121234123456789123 MR1300020001010000123456753 MT84MALT011000012345MTLCAST001S
MU17BOMM0101101030300200000MUR NI45BAPR00000013000003558124 NL91ABNA0417164300 NO9386011117947
OM810180000001299123456 PK36SCBL0000001123456702 PL61109010140000071219812874
PS92PALS000000000400123456702 PT50000201231234567890154 QA58DOHB00001234567890ABCDEFG
RO49AAAA1B31007593840000 RS35260005601001611379 RU0304452522540817810538091310419
SA0380000000608010167519 SC18SSCB11010000000000001497USD SD2129010501234001
SE4550000000058398257466 SI56191000000123438 SK3112000000198742637541 SM86U0322509800000000270100
SO211000001001000100141 ST68000100010051845310112 SV62CENR00000000000000700025
TL380080012345678910157 TN5910006035183598478831 TR330006100519786457841326
UA213996220000026007233566001 VA59001123000012345678 VG96VPVG0000012345678901 XK051212012345678906
YE15CBYE0001018861234567891234`
  .trim()
  .split(/\s+/)

/** ISO 7064 MOD 97-10 on the whole number as one integer. */
function remainder(iban: string): bigint {
  const text = iban.replaceAll(' ', '')
  const turned = text.slice(4) + text.slice(0, 4)
  return BigInt(turned.replaceAll(/[A-Z]/g, (letter) => String(parseInt(letter, 36)))) % 97n
}
const structure = (country: string): RegExp =>
  new RegExp(
    `^${country}\\d\\d${IBAN_STRUCTURES.get(country)!
      .map(
        ({ count, class: letter }) =>
          `${{ n: '\\d', a: '[A-Z]', c: '[0-9A-Z]' }[letter]}{${count}}`,
      )
      .join('')}$`,
  )
const printed = (text: string): string => text.replaceAll(/(.{4})(?=.)/g, '$1 ')

describe('the registry', () => {
  it('has every country that has an example, and no other', () => {
    expect([...IBAN_STRUCTURES.keys()]).toEqual(EXAMPLES.map((example) => example.slice(0, 2)))
    expect(EXAMPLES).toHaveLength(89)
  })

  it.each(EXAMPLES)('takes %s', (example) => {
    expect(remainder(example)).toBe(1n)
    expect(example).toMatch(structure(example.slice(0, 2)))
  })
})

const written = fc
  .tuple(fc.constantFrom(...EXAMPLES), fc.boolean())
  .map(([example, spaced]) => (spaced ? printed(example) : example))

describe('IBANs', () => {
  it('stay IBANs of their country, written alike', async () => {
    await behaves(iban(), written, (output, input) => {
      expect(remainder(output)).toBe(1n)
      expect(output.replaceAll(' ', '')).toMatch(structure(input.slice(0, 2)))
      expect(output.replaceAll(/\S/g, '#')).toBe(input.replaceAll(/\S/g, '#'))
    })
  })

  it('of every country encrypt and decrypt in one call', async () => {
    const field = columnOf(iban())
    const encrypted = texts(await field.encryptEach(EXAMPLES))
    for (const [i, output] of encrypted.entries()) {
      expect(remainder(output)).toBe(1n)
      expect(output).toMatch(structure(output.slice(0, 2)))
      expect(output.slice(4)).not.toBe(EXAMPLES[i]!.slice(4))
    }
    expect(texts(await field.decryptEach(encrypted))).toEqual(EXAMPLES)
  })

  it('keep the bank when told to', async () => {
    const german = fc
      .bigInt({ min: 0n, max: 10n ** 18n - 1n })
      .map((n) => n.toString().padStart(18, '0'))
      .map((bban) => `DE${String(98n - remainder(`DE00${bban}`)).padStart(2, '0')}${bban}`)
    await behaves(iban({ countries: ['DE'], keepFirst: 8 }), german, (output, input) => {
      expect(remainder(output)).toBe(1n)
      expect(output.slice(4, 12)).toBe(input.slice(4, 12))
    })
  })

  it('count what is encrypted only', () => {
    expect(columnOf(iban({ countries: ['DE'], keepFirst: 8 })).domain).toBe(10n ** 10n)
    expect(columnOf(iban({ countries: ['GB'] })).domain).toBe(26n ** 4n * 10n ** 14n)
    // Norway has the shortest BBAN.
    expect(columnOf(iban()).domain).toBe(10n ** 11n)
    expect(() => columnOf(iban({ countries: ['NO'], keepFirst: 6 }))).toThrow(
      expect.objectContaining({ code: 'DOMAIN_TOO_SMALL', got: '100000 possible values' }),
    )
  })
})

describe('wrong IBANs', () => {
  it.each([
    ['GB29NWBK60161331926818', 'FORMAT_MISMATCH'],
    ['gb29NWBK60161331926819', 'FORMAT_MISMATCH'],
    ['GB29nwbk60161331926819', 'SYMBOL_INVALID'],
    ['GB29NWBK6016133192681', 'LENGTH_INVALID'],
    ['GB29 NWBK60161331926819', 'LENGTH_INVALID'],
    ['GB29 NWBK 6016-1331 9268 19', 'FORMAT_MISMATCH'],
    ['US29NWBK60161331926819', 'FORMAT_MISMATCH'],
    ['GBX9NWBK60161331926819', 'FORMAT_MISMATCH'],
    ['', 'FORMAT_MISMATCH'],
  ])('%j: %s', async (value, code) => {
    expect(await refusal(iban(), value)).toMatchObject({ code })
  })

  it('whose check digits have the right remainder and are still not those of the standard', async () => {
    // 97 and 00, 98 and 01, 02 and 99 have equal remainders; 02 to 98 are the check digits there are.
    const found = new Set<string>()
    for (let i = 0; found.size < 3 && i < 5000; i++) {
      const bban = String(i).padStart(18, '0')
      for (const alias of ['00', '01', '99']) {
        if (remainder(`DE${alias}${bban}`) === 1n) found.add(`DE${alias}${bban}`)
      }
    }
    expect(found.size).toBeGreaterThanOrEqual(3)
    for (const value of found) {
      expect(await refusal(iban(), value)).toMatchObject({ code: 'FORMAT_MISMATCH' })
    }
  })

  it('of a country that is not taken', async () => {
    const error = await refusal(iban({ countries: ['DE'] }), 'GB29NWBK60161331926819')
    expect(error.code).toBe('FORMAT_MISMATCH')
  })

  it.each([{ countries: ['US'] }, { countries: [] }, { keepFirst: 31 }, { country: 'DE' }])(
    'options %j are refused',
    (options) => {
      expect(() => iban(options as IbanOptions)).toThrow(ConfigError)
    },
  )
})
