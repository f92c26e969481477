/**
 * `ff1` and `ff3_1`: a method under one key over one alphabet, for single values, many, numerals and packed bytes.
 * Input is checked before the key is used; errors say where and never hold a value.
 */
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { type Setting, checkText, checkValue, ownTweak, setting } from './domain.ts'
import { checkKey } from './engine.ts'
import { runPacked, runStrings } from './many.ts'
import { enqueue } from './queue.ts'
import type { Direction, Ff1, Ff1Options, Ff3_1, FpeCipher, Method, TweakOption } from './types.ts'

/** @throws FpeError LENGTH_INVALID, SYMBOL_INVALID, TWEAK_INVALID, DOMAIN_TOO_SMALL */
function checkedNumerals(
  use: Setting,
  numerals: ArrayLike<number>,
  tweak: Uint8Array,
): Uint16Array {
  checkValue(use, numerals.length, tweak)
  const { radix } = use.alphabet
  return Uint16Array.from(numerals, (numeral, at) => {
    if (Number.isInteger(numeral) && numeral >= 0 && numeral < radix) return numeral
    throw new FpeError('SYMBOL_INVALID', 'a numeral is out of range', {
      where: `symbol ${at + 1}`,
      expected: `an integer from 0 to ${radix - 1}`,
    })
  })
}

function build(
  cipher: BlockCipher,
  method: Method,
  options: Ff1Options,
  approved: boolean,
  checkDirection: (direction: Direction) => void,
): FpeCipher {
  checkKey(cipher, method)
  const use = setting(cipher, method, options)
  const { alphabet, minLength, maxLength } = use
  const run = (
    direction: Direction,
    numerals: Uint16Array,
    tweak: Uint8Array,
  ): Promise<Uint16Array> =>
    enqueue(cipher, method, direction, { radix: alphabet.radix, numerals, tweak })
  const text =
    (direction: Direction) =>
    async (value: string, { tweak }: TweakOption): Promise<string> => {
      checkDirection(direction)
      checkText(value)
      const own = ownTweak(tweak)
      const numerals = alphabet.encode(value)
      checkValue(use, numerals.length, own)
      const result = await run(direction, numerals, own)
      const answer = alphabet.decode(result)
      result.fill(0)
      return answer
    }
  const list =
    (direction: Direction): FpeCipher['encryptNumerals'] =>
    async (numerals, { tweak }) => {
      checkDirection(direction)
      const own = ownTweak(tweak)
      return run(direction, checkedNumerals(use, numerals, own), own)
    }
  const many =
    (direction: Direction): FpeCipher['encryptMany'] =>
    async (values, many) => {
      checkDirection(direction)
      return runStrings(use, direction, values, many)
    }
  const packed =
    (direction: Direction): FpeCipher['encryptPacked'] =>
    async (records, packed) => {
      checkDirection(direction)
      return runPacked(use, direction, records, packed)
    }
  return Object.freeze({
    ...{ method, approved, alphabet, minLength, maxLength },
    encrypt: text('encrypt'),
    decrypt: text('decrypt'),
    encryptMany: many('encrypt'),
    decryptMany: many('decrypt'),
    encryptNumerals: list('encrypt'),
    decryptNumerals: list('decrypt'),
    encryptPacked: packed('encrypt'),
    decryptPacked: packed('decrypt'),
  })
}

/**
 * FF1 (SP 800-38G). FF1 itself runs outside the module that holds the key.
 * @throws FpeError DOMAIN_TOO_SMALL, RADIX_INVALID; KEY_INVALID for a key with reversed bytes.
 */
export const ff1: Ff1 = (cipher, options) => build(cipher, 'FF1', options, true, () => undefined)

/**
 * FF3-1, not NIST-approved: for data that exists. Decrypts; encrypts with `allowEncrypt` only.
 * @throws FpeError NOT_APPROVED, KEY_NOT_REVERSED, DOMAIN_TOO_SMALL, RADIX_INVALID.
 */
export const ff3_1: Ff3_1 = (cipher, options) => {
  // Callers without types get here too.
  if ((options.allowNonApproved as unknown) !== true) {
    throw new FpeError('NOT_APPROVED', 'FF3-1 is not NIST-approved', {
      expected: 'allowNonApproved: true',
      hint: 'use ff1; FF3-1 is for data that exists already',
    })
  }
  const { allowEncrypt = false } = options
  return build(cipher, 'FF3-1', options, false, (direction) => {
    if (direction === 'encrypt' && !allowEncrypt) {
      throw new FpeError('NOT_APPROVED', 'FF3-1 encrypts nothing new', {
        expected: 'decryption, or allowEncrypt: true',
        hint: 'encrypt with ff1',
      })
    }
  })
}
